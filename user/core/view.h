/* SPDX-License-Identifier: Apache-2.0 */
/* What the core tells of its fleet: for `forerun status`, JSON and metrics. Part of the core room's
 * door (core/core.h). Texts belong to the core and are valid until it is called with something new.
 */
#ifndef FORERUN_CORE_VIEW_H
#define FORERUN_CORE_VIEW_H

#include "core/capacity.h"
#include "plan/disrupt.h"
#include "wire/wire.h"

struct core;
struct decision;

/* ---- times ---- */

/* A launch's way, each stage named for what it ends with. */
enum launch_stage {
	STAGE_CALLED, /* edge or decision -> CreateFleet on the wire */
	STAGE_PENDING, /* -> EC2 named the instance */
	STAGE_RUNNING, /* -> EC2 showed it as running */
	STAGE_CONNECTED, /* -> the first frame of its agent */
	STAGE_SERVING, /* -> its first response, or what stands for it */
	STAGE_COUNT
};
const char *launch_stage_text(enum launch_stage stage); /* "called", "pending", ... */

/* How an instance came to serve. */
enum serving_proof {
	PROOF_CLOCK, /* it ran for so long, and nobody could tell better */
	PROOF_RESPONSE, /* its own signals show a response */
	PROOF_IDLE, /* its agent reports, and nothing was asked of it for long */
};

#define DURATION_BUCKETS 21
extern const double duration_bounds[DURATION_BUCKETS]; /* seconds, upper ends, growing */
struct duration_histogram {
	uint64_t counts[DURATION_BUCKETS + 1]; /* each by itself; the last: above all bounds */
	uint64_t count;
	double sum_seconds;
};

/* Since the journal began, but for what says otherwise. NaN: nothing to tell it from yet. */
struct core_times {
	struct duration_histogram latency; /* edge or decision -> serving, each instance */
	struct duration_histogram stages[STAGE_COUNT];
	double latency_p50, latency_p95; /* seconds, of the last 256 */
	double share_over_15, share_over_60; /* of all latencies, 0 to 1 */
	uint64_t spot_interruptions; /* spot instances that ended, and not by forerun */
	double spot_hours; /* of spot instances, those that run included */
	double interruptions_per_hour; /* of one spot instance */
	uint64_t served; /* instances that came to serve */
	double usd_before_serving; /* what all cost until they served, or ended without */
	double usd_per_replica; /* that, for each that came to serve */
};
void core_times(const struct core *core, struct moment now, struct core_times *out);

/* How long launches of one kind take from the call until they serve. */
struct lead_view {
	const char *pool, *family; /* "m5"; family "": all kinds of the pool as it launches them */
	uint32_t samples;
	double p50, p75, p95; /* seconds */
};
/* Of all pools; the caller frees *out. The first of each pool is the one for the whole pool, also
 * where nothing was learned: then samples is 0 and all quantiles are the configured lead time. */
size_t core_leads(const struct core *core, struct lead_view **out);

/* ---- instances and hosts ---- */

/* Why an instance goes. */
enum retire_reason {
	RETIRE_SCALE_DOWN, /* its policy wants fewer */
	RETIRE_EMPTY,
	RETIRE_UNDERUTILIZED,
	RETIRE_DRIFTED,
	RETIRE_EXPIRED,
	RETIRE_TAGGED, /* somebody set forerun.dev/draining with a reason of his own */
	RETIRE_REBALANCE, /* EC2 recommends to leave it */
	RETIRE_MAINTENANCE, /* EC2 has something scheduled for it */
	RETIRE_SPOT, /* EC2 takes it back */
	RETIRE_REASONS
};
const char *retire_reason_text(enum retire_reason reason); /* "scale-down", "spot", ... */

/* How far it is. */
enum drain_state {
	DRAIN_REPLACING, /* serves on until its replacement does */
	DRAIN_DRAINING, /* takes nothing new, what it has is waited for */
	DRAIN_TERMINATING, /* TerminateInstances is asked for */
};
const char *drain_state_text(enum drain_state state); /* "replacing", "draining", "terminating" */

enum agent_state { AGENT_NONE, AGENT_CONNECTED, AGENT_SILENT };
const char *agent_state_text(enum agent_state state); /* "none", "connected", "silent" */

struct node_view {
	const char *id, *instance_type, *zone, *decision, *pool, *policy;
	enum capacity_type capacity_type;
	enum instance_state state;
	enum agent_state agent;
	bool serving, terminating;
	bool retires; /* it is on its way out: */
	enum retire_reason reason;
	enum drain_state drain;
	uint64_t drain_ns; /* since when it is that far; CLOCK_MONOTONIC */
	char waits[CLOUD_TEXT_SIZE]; /* for what; "" for nothing */
	double usd_per_hour; /* NaN: not known */
	uint64_t launched_wall_ns;
	enum launch_stage stage; /* the last that it passed */
	uint64_t stage_ns; /* when; CLOCK_MONOTONIC, 0: before this start */
	double expected_seconds; /* until it serves, as others of its kind took; NaN: it serves, or
				    takes longer than any before */
};
/* Whatever EC2 has of ours, in no order; false past the end. Start with *at 0. */
bool core_node(const struct core *core, size_t *at, struct moment now, struct node_view *out);

/* ---- what goes ---- */

/* What is said of an instance's end, and by whom. */
enum notice_source { NOTICE_BY_AGENT, NOTICE_BY_QUEUE, NOTICE_SOURCES };
const char *notice_source_text(enum notice_source source); /* "agent", "queue" */

/* Since this start. */
struct core_drains {
	uint64_t begun[RETIRE_REASONS], called_off;
	struct duration_histogram
		seconds; /* from being chosen until nothing was left to wait for */
	uint64_t out_of_time; /* of these: terminated with something still open */
	uint64_t notices[NOTICE_KINDS][NOTICE_SOURCES]; /* each once, by who was first */
	uint64_t notices_again; /* told before, by the other or again */
	uint64_t notices_foreign; /* of instances that forerun did not launch */
	struct duration_histogram notice_delay[NOTICE_SOURCES]; /* until the core heard of it */
	uint32_t replacing, draining; /* now */
};
void core_drains(const struct core *core, struct core_drains *out);

/* ---- what is on its way ---- */

struct coming_view {
	const struct decision *decision;
	uint32_t count, serving, failed; /* instances */
	enum launch_stage stage; /* the last that all passed; STAGE_COUNT: not called yet */
	uint64_t since_ns; /* when; CLOCK_MONOTONIC */
	double expected_seconds; /* until the last one serves; NaN as above */
};
/* Launches that are not over, the newest first; false past the end. Start with *at 0. */
bool core_coming(const struct core *core, size_t *at, struct moment now, struct coming_view *out);

/* ---- lanes ---- */

/* A policy on its pool that launches nothing, because a launch that is not this core's is not seen
 * yet. */
struct lane_view {
	const char *policy, *pool;
	char why[CLOUD_TEXT_SIZE];
};
/* Those that are held; false past the end. Start with *at 0. */
bool core_lane_held(const struct core *core, size_t *at, struct moment now, struct lane_view *out);

/* ---- pools ---- */

/* What a warm pool has. */
struct warm_view {
	uint32_t size; /* wanted; 0: the pool has no warm pool */
	uint32_t ready; /* at rest, and started at once when wanted */
	uint32_t preparing; /* ordered, or in their first boot */
	uint32_t drifted, old; /* to be replaced */
	uint64_t oldest_wall_ns; /* when the oldest was prepared; 0: there is none */
	double volume_gib; /* of what rests: this alone it costs */
	const char *held; /* what keeps it from its size, "" otherwise */
};

struct pool_view {
	const struct pool *pool;
	struct warm_view warm;
	double spot_share; /* of its replicas; NaN: there are none */
	uint32_t running, pending; /* instances; pending: also what is only ordered */
	double cpus, memory_bytes; /* of all these, ordered ones as the largest that may come */
	double usd_per_hour;
	bool ready; /* its class is resolved and something can be bought */
	const char *problem; /* why not, "" otherwise */
};
/* All pools; the caller frees *out. */
size_t core_pools(const struct core *core, struct pool_view **out);

/* ---- what could be given back ---- */

/* One NodePool, when it was last looked at (every 10 s, by the core that leads). */
struct giving_view {
	const struct pool *pool;
	uint32_t drifted, expired;
	char drift[CLOUD_TEXT_SIZE]; /* why the first of them did, "" for none */
	char next[32]; /* instance that expires next, "" for none */
	uint64_t next_wall_ns; /* when */
	uint32_t eligible[DISRUPT_REASONS];
	struct disrupt_allowance allowance[DISRUPT_REASONS];
	double usd_saves; /* an hour, by what is to be consolidated */
	double usd_held; /* and by what is held back */
	uint32_t held[HOLD_REASONS]; /* instances, by what holds them back */
	char holds[HOLD_REASONS][DISRUPT_TEXT_SIZE]; /* the first of each, in words */
};
struct giving_totals {
	uint64_t looks; /* since this start */
	uint64_t begun[DISRUPT_REASONS]; /* instances */
	double usd_saved; /* an hour, by those that were consolidated */
	const struct giving_view *pools;
	size_t pools_count; /* 0: not looked yet */
};
void core_giving(const struct core *core, struct giving_totals *out);

#endif
