/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the probe room. */
#ifndef FORERUN_PROBE_PRIVATE_H
#define FORERUN_PROBE_PRIVATE_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdbool.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;

#include "base/log.h"
#include "base/map.h"
#include "base/vec.h"
#include "probe/probe.h"
#include "forerun.skel.h"

/* How often a socket of a slot dropped, by its number: sk_drops starts at 0 with each socket. */
struct socket_drops {
	uint32_t number;
	uint32_t last;
	bool seen;
};

/* What userspace remembers of a slot. */
struct tracked {
	uint32_t generation;
	uint64_t empty_since_ns; /* no socket and no connection since then; 0: not empty */
	uint64_t drops;
	int64_t not_accepted; /* as of the last sample */
	uint64_t accepted; /* never less than was reported */
	uint32_t pid;
	char comm[PROBE_COMM_SIZE];
	bool path_known;
	char path[sizeof(((struct forerun_path *)0)->bytes) + 1]; /* AF_UNIX */
	uint32_t newest, searched; /* socket numbers: the newest, and that when pid was searched */
	VEC(struct socket_drops) sockets;
	uint64_t buckets[PROBE_BUCKETS];
	uint64_t buckets_at_responses; /* the count of responses that buckets stands for */
};

struct probe {
	struct probe_config config;
	struct forerun *skel;
	char *pins; /* the directory of this layout below pin_path, NULL: nothing pinned */
	uint32_t stripes;
	struct forerun_slot *slots; /* mapped; [listeners_max] */
	struct forerun_counters *counters; /* mapped; [counters_slots][stripes] */
	uint32_t counters_slots; /* mapped so far: what is mapped is resident */
	struct tracked **tracked; /* [listeners_max], NULL where never used */
	VEC(struct listener_sample) listeners;
	VEC(struct forerun_row) rows;
	VEC(uint32_t) index_of_slot; /* slot -> 1 + index in listeners */
	struct sample sample;
	uint64_t iterator_errors;
	uint64_t listeners_refused; /* as of the last look */
	uint32_t unix_refused; /* as of the last search */
	bool somebody_waits; /* a listener was refused, and may be still */
	uint64_t searched_ns, next_search_ns;
	bool marks_are_stale; /* a socket's slot has gone: a search gives it another */
	struct ring_buffer *ring;
	struct loop *loop;
	void (*on_edge)(void *arg, const struct edge *edge);
	void *on_edge_arg;
};

static inline uint64_t listener_id(uint32_t slot, uint32_t generation)
{
	return (uint64_t)generation << 32 | slot;
}

static inline struct forerun_counters *counters_at(const struct probe *probe, uint32_t slot,
						   uint32_t stripe)
{
	return &probe->counters[(size_t)slot * probe->stripes + stripe];
}

/* load.c */
int probe_load(struct probe *probe);
void probe_unload(struct probe *probe);
int probe_find_cgroup2(char **path);
void probe_quiet_libbpf(void);
/* Adds one hint to a failed load: what is missing, by name. */
const char *probe_failure_hint(int error);

/* pins.c */
/* Sets where maps are pinned, when they are; makes the directory. */
int pins_set(struct probe *probe);
char *pins_link(const struct probe *probe, const struct bpf_program *program);
/* Removes what other versions and settings of forerun left below pin_path. */
void pins_remove_others(const struct probe *probe);

/* hooks.c */
/* The first program that does not load by itself, NULL: each does. */
const char *hooks_first_failing(void);

/* path.c */
/* What an AF_UNIX socket is bound to, as text. */
void path_text(const struct forerun_path *path, char *out, size_t size);
/* That of a slot, read once. */
void path_read(struct probe *probe, uint32_t slot, struct tracked *tracked);

/* slots.c */
int slots_map(struct probe *probe);
void slots_unmap(struct probe *probe);
int slots_fill(struct probe *probe);
struct tracked *slots_track(struct probe *probe, uint32_t slot);
void slots_release(struct probe *probe, uint32_t slot);

/* search.c */
/* Marks listeners, then the connections that were accepted from them. */
int probe_search(struct probe *probe);
/* Calls fn with each record of size bytes that the iterator writes. */
int probe_iterate(struct probe *probe, struct bpf_link *link, size_t size,
		  void (*fn)(struct probe *probe, const void *record));

#endif
