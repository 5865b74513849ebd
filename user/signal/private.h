/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share. */
#ifndef FORERUN_SIGNAL_PRIVATE_H
#define FORERUN_SIGNAL_PRIVATE_H

#include <math.h>

#include "base/map.h"
#include "base/vec.h"
#include "signal/signal.h"

/* Kept besides the public metrics, for the diagnosis. */
enum { METRIC_SYNS_PER_SECOND = METRIC_COUNT, METRIC_CLOSES_PER_SECOND, METRIC_ALL };

/* ---- window.c ---- */

#define WINDOW_SLOTS 48
/* Samples that come faster than slow window / WINDOW_SPANS share a slot, so slots never run out. */
#define WINDOW_SPANS 40

/* When the slots of one listener were: common to all its metrics. A slot is the time since the one
 * before. */
struct timeline {
	uint64_t fast_ns, slow_ns;
	uint64_t time_ns[WINDOW_SLOTS], span_ns[WINDOW_SLOTS];
	uint8_t fast_count; /* slots in the fast window */
	uint8_t newest; /* index */
	uint8_t count;
	bool merged; /* the newest sample went into the slot that was there */
	uint64_t merged_span_ns; /* how long that slot was before */
};

struct ring {
	double value[WINDOW_SLOTS]; /* NaN: not known then */
	double *peak; /* [WINDOW_SLOTS]; NULL: none was ever above its value, as with most metrics
		       */
};

/* One metric over the slow window. Most metrics of most listeners do not change: they need no
 * ring. */
struct window {
	double last; /* of the newest sample */
	bool constant; /* all slots hold last */
	uint32_t run; /* newest slots that hold last */
	struct ring *ring; /* valid unless constant */
};

/* Makes a slot for a sample (or widens the newest) and says which slots fell out of the window. */
struct timeline_step {
	uint8_t evicted[WINDOW_SLOTS];
	uint8_t evicted_count;
};
void timeline_advance(struct timeline *timeline, uint64_t time_ns, struct timeline_step *step);
/* The i-th newest slot. */
static inline uint8_t timeline_slot(const struct timeline *timeline, uint8_t i)
{
	return (uint8_t)((timeline->newest + WINDOW_SLOTS - i) % WINDOW_SLOTS);
}

/* Returns whether the statistics are others than before. */
bool window_push(struct window *window, const struct timeline *timeline, double value, double peak);
void window_statistics(const struct window *window, const struct timeline *timeline,
		       double out[STAT_COUNT]);
/* Of the newest slots: STAT_FAST or STAT_SLOW alone, which costs less. */
double window_mean(const struct window *window, const struct timeline *timeline, uint8_t slots);
void window_free(struct window *window);

/* ---- histogram.c: response times of the slow window ---- */

struct histogram_delta {
	uint32_t count;
	uint8_t bucket, slot;
};
_Static_assert(PROBE_BUCKETS <= 256, "a bucket index must fit in uint8_t");

#define QUANTILES 3
extern const double histogram_q[QUANTILES]; /* 0.5, 0.9, 0.99 */

/* Counts of some time, and where the first and the last that is not 0 can be. */
struct histogram_counts {
	uint32_t at[PROBE_BUCKETS];
	uint8_t low, high;
	uint64_t total;
};

struct histogram {
	struct histogram_delta *deltas; /* a queue, oldest first */
	uint32_t head, length, capacity;
	struct histogram_counts slow; /* sum of the deltas */
};

/* Slots fell out of the window. */
void histogram_evict(struct histogram *histogram, const struct timeline_step *step);
/* previous: the counters at the last sample, brought up to date. interval: what was added. */
void histogram_push(struct histogram *histogram, const struct timeline *timeline,
		    const uint64_t *buckets, uint64_t *previous, bool rebase,
		    struct histogram_counts *interval);
/* Sum of the newest slots. */
void histogram_within(const struct histogram *histogram, const struct timeline *timeline,
		      uint8_t slots, struct histogram_counts *sum);
/* In seconds, by linear interpolation inside the bucket; NaN when there is nothing. */
void histogram_quantiles(const struct histogram_counts *counts, double out[QUANTILES]);
void histogram_free(struct histogram *histogram);

/* ---- capacity.c: what one replica can serve ---- */

#define CAPACITY_SPANS 32

struct capacity {
	double per_second[CAPACITY_SPANS];
	uint64_t time_ns[CAPACITY_SPANS];
	uint8_t next, count;
	uint64_t span_ns, responses; /* of the saturated span under way */
	double learned; /* NaN until a span was seen */
};

void capacity_init(struct capacity *capacity);
/* One interval. saturated: its queue was not empty at any time, and the CPU was used. */
void capacity_interval(struct capacity *capacity, uint64_t now_ns, uint64_t interval_ns,
		       uint64_t responses, bool saturated);

/* ---- listener.c: one listener's state ---- */

struct counters {
	uint64_t drops, overflows, syns, established, accepted, closed, requests, responses;
	uint64_t wait_ns, waits;
};

/* What happened between two samples. */
struct interval {
	uint64_t ns; /* 0: there is no interval (first sample, or counters started anew) */
	struct counters delta;
	uint32_t peak_depth;
	bool after_gap; /* longer than every window */
};

/* When what was seen, CLOCK_MONOTONIC, 0: never or not now. */
struct evidence {
	uint64_t active_ns; /* anything arrived, was answered or waited */
	uint64_t waiting_since_ns; /* queue not empty */
	uint64_t still_since_ns; /* queue not empty and nothing taken or answered */
	uint64_t moving_since_ns; /* taken or answered, without a pause of the fast window */
	uint64_t moved_ns;
	uint64_t hot_ns; /* depth at the edge level */
	uint64_t overflow_ns;
	uint64_t short_burst_ns; /* a short burst that overflowed was over */
	uint64_t flood_since_ns, flood_ns; /* SYNs or connections without requests */
	uint64_t throttled_ns;
	uint64_t cpu_full_ns; /* one reading of the CPU use was at the limit */
	uint64_t diagnosed_ns; /* since when the diagnosis is what it is */
	uint64_t said_ns; /* when the reason was written */
	bool scan; /* the flood completes its handshakes */
};

struct listener {
	uint64_t id;
	uint32_t generation;
	uint32_t syn_queue, in_flight, worst_limit, depth;
	bool seen; /* in the sample being fed */
	uint64_t time_ns; /* of the newest sample */
	uint32_t pid;
	uint64_t first_seen_ns;
	struct counters counters;
	struct interval interval;
	uint32_t edge_peak, edge_worst_limit; /* of edges since the newest sample */
	struct usage usage;
	double cpu_cores, cpu_utilization, throttled, cpu_pressure, memory_pressure;
	struct timeline timeline;
	struct window windows[METRIC_ALL];
	uint32_t stale; /* a bit for each metric whose statistics in the indicator are not made yet
			 */
	/* Accepts and their waits in each slot, where accept(2) is visible. */
	float wait_ns[WINDOW_SLOTS], waits[WINDOW_SLOTS];
	/* SYNs or connections of each slot, whichever are more, and of all in the window. */
	uint32_t arrivals[WINDOW_SLOTS];
	uint64_t arrivals_sum;
	struct histogram *histogram; /* NULL: no response yet */
	struct capacity capacity;
	struct evidence evidence;
};

struct signal {
	struct signal_config config;
	uint64_t time_ns; /* of the newest sample */
	bool requests_seen; /* requests can be counted here */
	VEC(struct indicator) indicators; /* by slot */
	VEC(struct listener *) listeners; /* same index */
	uint32_t fresh; /* metrics of which no listener is stale */
};

struct listener *listener_new(const struct signal_config *config, const struct listener_sample *s);
void listener_free(struct listener *listener);
/* Counters and windows, and the facts of the indicator; its values become stale. */
void listener_feed(const struct signal *signal, struct listener *listener,
		   struct indicator *indicator, const struct listener_sample *s,
		   const struct placed *placed, uint64_t time_ns);
/* Makes what is stale of these metrics (a bit each). */
void listener_refresh(struct listener *listener, struct indicator *indicator, uint32_t metrics);
/* The mean of STAT_FAST or STAT_SLOW, or STAT_LAST, stale or not. Not for waits and response times,
 * whose means are by connection. metric: of METRIC_ALL. */
double listener_value(const struct listener *listener, const struct indicator *indicator,
		      unsigned metric, enum statistic statistic);
/* The depth that a handshake saw after the newest sample. */
void listener_edge(struct listener *listener, struct indicator *indicator, const struct edge *edge);

/* ---- usage.c ---- */

/* The owner's use since the last reading, into the listener's cpu_ and pressure figures. rebase: it
 * is another owner than before. */
void usage_update(const struct signal_config *config, struct listener *listener,
		  const struct usage *usage, bool rebase, uint64_t time_ns);

/* ---- diagnose.c, reason.c ---- */

/* Depth from which a queue counts as an edge for this listener. */
uint32_t edge_level(const struct signal_config *config, const struct listener *listener);
/* Takes in what the interval showed. */
void evidence_update(const struct signal *signal, struct listener *listener,
		     const struct indicator *indicator);
void diagnose(const struct signal *signal, struct listener *listener, struct indicator *indicator,
	      uint64_t now_ns);
/* The owner's CPU is known and hardly used. */
bool cpu_is_low(const struct signal_config *config, const struct listener *listener,
		const struct indicator *indicator);
bool cpu_is_full(const struct listener *listener, const struct indicator *indicator);
void reason_write(const struct signal *signal, struct listener *listener,
		  struct indicator *indicator, uint64_t now_ns);

#endif
