/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door to the kernel: loads and attaches the programs of bpf/, and reads what they count. The
 * only room that knows libbpf.
 */
#ifndef FORERUN_PROBE_PROBE_H
#define FORERUN_PROBE_PROBE_H

#include "base/loop.h"
#include "bpf/forerun.h"

#define PROBE_BUCKETS FORERUN_BUCKETS
#define PROBE_COMM_SIZE 16
#define PROBE_PROTOCOLS FORERUN_PROTOCOLS

/*
 * One listener: everything that listens on one address and port of one network namespace (the
 * sockets of an SO_REUSEPORT group are one listener). Its slot keeps its counters when the server
 * restarts on the same address. Counters only grow, as long as generation is the same; gauges are
 * as of the sample.
 */
struct listener_sample {
	uint64_t id; /* unique on this host while forerun runs: slot and generation */
	uint32_t slot, generation;
	uint64_t cgroup_id; /* of the newest socket; 0: not known */
	uint32_t netns; /* inode number */
	uint16_t family; /* AF_INET, AF_INET6, AF_UNIX */
	uint16_t port; /* AF_UNIX: 0 */
	uint8_t address[16]; /* IPv4 in the first four bytes; network order. AF_UNIX: the inode
				number in the first eight, host order */
	const char *path; /* AF_UNIX: what it is bound to, an abstract name with '@' in front, what
			     cannot be printed as '?'; "" or NULL: not known. Valid until the next
			     sample */
	uint32_t sockets; /* listening now; 0: gone, but connections live on */

	/* The accept queue, full when depth > limit: a listener holds limit + 1 connections. */
	uint32_t queue_depth, queue_limit; /* sums over the sockets */
	uint32_t queue_worst_depth,
		queue_worst_limit; /* of the socket that is fullest, by depth / (limit + 1) */
	uint32_t queue_peak; /* highest sum-relevant depth that any handshake saw in one socket
				since the last sample, and at least worst_depth */
	uint32_t syn_queue, syn_queue_young;

	uint64_t drops; /* sk_drops: overflow, SYN queue overflow and filters together */
	uint64_t overflows; /* final ACKs and SYNs that arrived while the queue was full */
	uint64_t syns;
	uint64_t established;
	uint64_t accepted; /* established - waiting - reset before accept: taken by accept(2).
			      AF_UNIX: at least so many, and of the counters the only one */
	uint64_t closed;
	uint64_t requests, responses;
	uint64_t protocols[PROBE_PROTOCOLS]; /* connections by what they turned out to speak; those
						that said nothing are in none */
	uint64_t lower_bounds; /* occasions after which requests are at least what is counted */
	uint32_t open_connections; /* established and not yet closed, those in the queue too */
	uint32_t in_flight; /* requests without a response yet */

	uint64_t accept_wait_ns, accept_waits; /* sum and count, only where accept(2) is visible */
	uint64_t response_ns; /* sum over responses */
	const uint64_t *response_buckets; /* [PROBE_BUCKETS], cumulative in time; valid until the
					     next sample */

	uint32_t pid; /* of one process that holds it, 0: not known */
	char comm[PROBE_COMM_SIZE];
};

struct probe_health {
	uint64_t listeners_refused; /* the listener table was full */
	uint64_t connections_refused; /* no memory for a connection's storage, or its table was full
				       */
	uint64_t unix_refused; /* AF_UNIX listeners not followed, at the last search: a quarter of
				  the table is theirs */
	uint64_t edges_lost; /* ring buffer full */
	uint64_t iterator_errors;
	uint32_t listeners, listeners_max;
	uint64_t kernel_ns, kernel_runs; /* measured inside, sampled, scaled up: what the programs
					    cost since the start */
	uint64_t poll_ns; /* what reading this sample took */
};

struct sample {
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	const struct listener_sample *listeners;
	size_t count;
	struct probe_health health;
};

/* The queue of a listener crossed its threshold, or was full. Seen in the kernel during a
 * handshake. */
struct edge {
	uint64_t time_ns; /* CLOCK_MONOTONIC, in the kernel, when the packet passed */
	uint64_t listener_id;
	uint32_t slot;
	uint32_t depth, limit; /* of that one socket, the arriving connection counted */
	bool full;
};

struct probe_config {
	uint32_t listeners_max; /* default 1024 */
	uint32_t connections_max; /* default 262144: above this connections are not followed, and
				     counted as refused */
	uint32_t edge_depth; /* threshold of each listener in connections waiting; default 4 */
	const char *cgroup_path; /* NULL: found in /proc/self/mountinfo */
	const char *pin_path; /* bpffs directory; NULL: nothing is pinned and all goes with the
				 process */
	uint32_t rescan_ms; /* slow search for what was missed; default 30,000 */
};

struct probe;

void probe_config_default(struct probe_config *config);

/* Loads, attaches, finds what exists already. Errors are logged with what to do about them. */
int probe_new(const struct probe_config *config, struct probe **out);
void probe_free(struct probe *probe); /* detaches; leaves pins if it was told to pin */

/* Edges call fn from the loop as they come. */
int probe_watch_edges(struct probe *probe, struct loop *loop,
		      void (*fn)(void *arg, const struct edge *edge), void *arg);

/* Reads all listeners. The sample belongs to the probe and is valid until the next call. now_ns:
 * CLOCK_MONOTONIC. */
int probe_sample(struct probe *probe, uint64_t now_ns, const struct sample **out);

/* The threshold of one listener, or of all (slot UINT32_MAX). */
int probe_set_edge_depth(struct probe *probe, uint32_t slot, uint32_t depth);

/* Bounds of response-time bucket i in nanoseconds, [low, high); the last high is UINT64_MAX. */
void probe_bucket_bounds(size_t i, uint64_t *low_ns, uint64_t *high_ns);

/* For `forerun version` and doctor: one line for each hook, whether it works here and why not. */
struct probe_hook {
	const char *name;
	bool works;
	char why[160]; /* "" when it works */
};
/* Fills up to count hooks, returns how many there are. Also libbpf's version and whether the kernel
 * has BTF. */
size_t probe_hooks(struct probe_hook *hooks, size_t count);
const char *probe_libbpf_version(void);
bool probe_kernel_btf(void);

#endif
