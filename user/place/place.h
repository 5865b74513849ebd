/* SPDX-License-Identifier: Apache-2.0 */
/* Whose socket is it: cgroup id -> path -> systemd unit, container or Kubernetes pod; and what that
 * cgroup uses. */
#ifndef FORERUN_PLACE_PLACE_H
#define FORERUN_PLACE_PLACE_H

#include "base/base.h"
#include "probe/probe.h"

enum owner_kind { OWNER_UNKNOWN, OWNER_PROCESS, OWNER_UNIT, OWNER_CONTAINER, OWNER_POD };

/* Text is "" where it does not apply. */
struct owner {
	enum owner_kind kind;
	uint64_t cgroup_id;
	char name[80]; /* what a person calls it: "nginx.service", "3f2a9c1b7d4e", pod UID, process
			  name */
	char unit[80]; /* systemd unit, also of a container that runs in one */
	char container_id[65]; /* full */
	char pod_uid[37]; /* 8-4-4-4-12 */
	char process[PROBE_COMM_SIZE];
	char cgroup_path[256]; /* below the cgroup mount, "/" first; cut with "..." in front when
				  longer */
	char socket_path[112]; /* of an AF_UNIX listener, an abstract name with '@' in front */
};

/* What the owner's cgroup has used so far, and the whole host. Counters; known tells which fields
 * are filled. */
struct usage {
	uint64_t time_ns; /* when the CPU figures were read, 0: never; the same figures may be given
			     again */
	uint64_t psi_time_ns; /* when PSI was read, which is done less often */
	bool cpu_known, throttle_known, cpu_limit_known, psi_known;
	uint64_t cpu_ns;
	uint64_t throttled_ns, throttled_periods, periods;
	double cpu_limit_cores; /* quota / period of the tightest ancestor */
	uint64_t psi_cpu_some_ns, psi_memory_some_ns, psi_memory_full_ns;
};

/* The owner of one listener of a sample at the same index, with its usage. */
struct placed {
	const struct owner *owner; /* belongs to place; valid until the next place_sample() */
	struct usage usage;
};

struct place;

struct place_config {
	const char *cgroup_path; /* NULL: the cgroup2 mount is found in /proc/self/mountinfo */
	const char *proc_path; /* NULL: "/proc" */
	uint32_t usage_every_ms; /* default 100: younger figures are given again */
};

int place_new(const struct place_config *config, struct place **out);
void place_free(struct place *place);

/* Owners of a sample, at the same index as its listeners; belongs to place, valid until the next
 * call. Owners that cannot be found are OWNER_UNKNOWN, never an error. */
int place_sample(struct place *place, const struct sample *sample, const struct placed **out);

/* The whole host: CPU of /proc/stat (all but idle and iowait), CPUs in cpu_limit_cores. */
int place_host(struct place *place, uint64_t now_ns, struct usage *out);

/* From a cgroup path alone (no files): kind, unit, container id and pod UID. Knows systemd and
 * cgroupfs drivers, containerd, CRI-O, Docker, Podman. */
void owner_from_cgroup_path(const char *path, struct owner *out);
const char *owner_kind_text(
	enum owner_kind kind); /* "unit", "container", "pod", "process", "unknown" */

/* The cgroup2 mount point of a mountinfo file: the caller frees. -ENOENT when there is none. */
int place_find_cgroup2(const char *mountinfo_path, char **out);

#endif
