/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share. */
#ifndef FORERUN_PLACE_PRIVATE_H
#define FORERUN_PLACE_PRIVATE_H

#include <dirent.h>

#include "base/map.h"
#include "base/vec.h"
#include "place/place.h"

#define FILE_TEXT_SIZE 4096

/* ---- files.c: small files of /proc and of a cgroup, none of which is trusted ---- */

/* The beginning of the file, NUL-terminated; its length or a negative errno. */
ssize_t text_read(int fd, char *text, size_t size);
ssize_t text_read_at(int directory, const char *path, char *text, size_t size);
/* The number behind "key " or "key=" at the start of a word. */
bool text_counter(const char *text, const char *key, uint64_t *value);
/* Copies what can be printed; everything else becomes '?'. */
void text_clean(char *out, size_t size, const char *from, size_t length);
uint64_t saturating_multiply(uint64_t a, uint64_t b);

/* ---- owner.c ---- */

/* As owner_from_cgroup_path(); returns the length of the part of the path that is the owner itself:
 * the rest is the owner's own division. */
size_t owner_parse(const char *path, struct owner *out);

/* ---- groups.c: cgroups by id ---- */

struct group {
	uint64_t id;
	char *path; /* below the mount, "/" first; NULL: not found (yet) */
	bool root; /* of the mount: everything that is in no cgroup of its own */
	bool gone; /* its directory was removed; ids are never used again */
	struct owner owner; /* without the process */
	char *usage_path; /* of the owner's cgroup, relative to the mount */
	int cpu_fd, cpu_pressure_fd, memory_pressure_fd; /* -1: not open */
	struct usage usage;
	uint64_t limit_read_ns; /* when cpu.max was read; 0: never */
	uint64_t seen_ns;
	uint64_t try_ns; /* search again not before */
	uint32_t tries;
};

/* A search of the tree under way. It goes on where it stood, a bounded number of directories at a
 * time. */
struct walk {
	VEC(char *) pending; /* relative paths still to be read */
	DIR *directory; /* being read; NULL: none */
	char *path; /* its relative path */
	bool running;
	uint64_t started_ns;
};

struct groups {
	int root_fd, proc_fd;
	uint64_t root_id;
	struct map by_id; /* of struct group */
	size_t unresolved;
	struct walk walk;
	uint64_t swept_ns;
	uint32_t descriptors, descriptors_max; /* kept open */
};

int groups_init(struct groups *groups, const char *cgroup_path, int proc_fd);
void groups_free(struct groups *groups);
/* The cgroup with that id; pid (0: none) is a hint where it may be. Never NULL. */
struct group *groups_get(struct groups *groups, uint64_t id, uint32_t pid, uint64_t now_ns);
/* Goes on searching for ids that are not known, and forgets what is not asked for any more. */
void groups_step(struct groups *groups, uint64_t now_ns);

/* ---- usage.c: what a cgroup uses ---- */

void group_close(struct groups *groups, struct group *group);
/* Fills group->usage; known flags tell what was there. */
void group_read_usage(struct groups *groups, struct group *group, uint64_t now_ns);
/* "some" and "full" totals of a PSI file. */
bool pressure_parse(const char *text, uint64_t *some_ns, uint64_t *full_ns);

/* ---- family.c: what a process with its children uses ---- */

struct member {
	uint32_t pid;
	uint64_t start; /* ticks since boot: tells a new process with an old number */
	uint64_t own, waited; /* ticks: utime + stime, and those of children waited for */
};

struct family {
	uint32_t pid;
	char comm[PROBE_COMM_SIZE];
	int64_t group; /* process group */
	VEC(struct member) members; /* the process itself first */
	struct usage usage;
	uint64_t searched_ns; /* when children were looked for */
	uint64_t seen_ns;
};

struct families {
	int proc_fd;
	uint64_t tick_ns;
	struct map by_pid; /* of struct family */
	uint64_t swept_ns;
};

void families_init(struct families *families, int proc_fd);
void families_free(struct families *families);
/* NULL when there is no such process. */
struct family *families_get(struct families *families, uint32_t pid, uint64_t now_ns);
/* -ESRCH when the process is gone; the family is freed then. */
int family_read_usage(struct families *families, struct family *family, uint64_t now_ns);
void families_sweep(struct families *families, uint64_t now_ns);

struct process_stat {
	char comm[PROBE_COMM_SIZE];
	int64_t group;
	uint64_t start, own, waited;
};
/* Text of /proc/PID/stat, see proc_pid_stat(5). */
int process_stat_parse(const char *text, struct process_stat *out);

#endif
