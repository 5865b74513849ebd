/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decides: fleet view -> demand -> plan -> journal -> launch or retire. Calls no clock, socket or
 * file: moments and effects are handed in, so that the simulator runs the same code.
 *
 * The order of things in one decision: evaluated on a frame -> journaled -> launch() called -> on
 * the disk. After a restart the journal is replayed with core_replay(), and every order without a
 * known end is asked for again, with the same token and the same parameters. docs/exactly-once.md
 * says why nothing is launched twice, whatever is lost.
 */
#ifndef FORERUN_CORE_CORE_H
#define FORERUN_CORE_CORE_H

#include "core/capacity.h"
#include "documents/documents.h"
#include "core/hpa.h"
#include "core/view.h"
#include "wire/wire.h"

enum core_mode { MODE_OBSERVE, MODE_ACT };

struct core_limits {
	uint32_t launches_per_minute; /* instances; default 20 */
	double usd_per_hour; /* of all instances of forerun together; INFINITY: no limit; default
				INFINITY */
	double usd_per_day; /* what they cost in any 24 hours; likewise */
	uint32_t surge; /* largest number of instances in one decision; default 100 */
	double host_replicas; /* replicas that the signals of one host can ask for, in a fleet;
				 default 10 */
	double silent_share; /* of a service's hosts; above it nothing is scaled down: default 0.2
			      */
	uint64_t visible_within_ns; /* EC2 shows a new instance within this: default 5 min */
	uint64_t stale_ns; /* signals older than this are left out; default 3 s */
	uint64_t lead_time_ns; /* until one was learned; default 40 s */
	uint64_t drain_most_ns; /* an instance drains for so long at most, where its pool has no
				   terminationGracePeriod: default 5 min */
	uint64_t drain_blind_ns; /* and for so long where neither an agent nor a target group tells
				    how far it is; at most the other: default 30 s */
	uint64_t no_capacity_ns; /* how long a pool without capacity is remembered: 3 min, as
				    Karpenter */
	uint64_t serving_after_ns; /* running for so long counts as serving, where nothing better is
				      known: default 20 s */
};

struct core_config {
	enum core_mode mode;
	struct core_limits limits;
	size_t decisions_kept; /* in memory, of those that are over; 0: 256 */
	char host[WIRE_HOST_SIZE]; /* part of every decision id */
	char instance_id[32]; /* of this host on EC2, "" elsewhere: it is a replica itself */
	char owner[CLOUD_NAME_SIZE]; /* tag forerun.dev/owner of what is launched: cloud_config.name
				      */
	bool fleet; /* decides for hosts that report; false: for this one host, which is a replica
		       of every policy */
	bool standby; /* watches and decides nothing until core_lead() */
	bool spot_to_spot; /* spot may be replaced by cheaper spot, by Karpenter's rules */
};

/* One replica decision: why, what, what came of it. */
enum decision_kind {
	DECISION_SCALE_UP,
	DECISION_SCALE_DOWN,
	DECISION_HELD,
	DECISION_RETIRE, /* an instance goes, and not because fewer are wanted */
	DECISION_REPLACE, /* what goes is replaced */
};

/* What one source gives to a decision, and how long it takes as far as was learned. */
struct source_choice {
	bool asked; /* it was looked at */
	uint32_t count; /* instances that come from it */
	double seconds; /* from the call until serving; NaN: nothing was learned yet */
	char why[96]; /* why not more; "" when there is nothing to say */
};

struct decision_step { /* what happened, in order */
	uint64_t mono_ns, wall_ns;
	char text[CLOUD_TEXT_SIZE];
};

struct decision {
	char id[48];
	enum decision_kind kind;
	enum core_mode mode; /* observe: nothing was called */
	char policy[CLOUD_NAME_SIZE], pool[CLOUD_NAME_SIZE];
	struct moment made;
	uint64_t edge_ns; /* CLOCK_MONOTONIC of the edge that led to it; 0: a tick */
	int32_t replicas_before, replicas_wanted,
		replicas_decided; /* decided: after the limits below the policy */
	char signals[2048]; /* one line a signal: name, labels, value, age, diagnosis */
	char arithmetic[HPA_TEXT_SIZE];
	char limits[1024]; /* one line for each limit that was looked at, and whether it bound */
	struct source_choice sources[SOURCE_COUNT]; /* the fastest first */
	VEC(struct decision_step) steps;
	uint32_t launched, failed; /* instances so far */
	bool closed; /* nothing more will come of it */
};

/* What keeps the core from acting, or from acting as far as the policy wants. */
enum brake {
	BRAKE_STANDBY, /* another core leads */
	BRAKE_PAUSE, /* core_pause() */
	BRAKE_JOURNAL, /* it cannot be written */
	BRAKE_FIRST_OBSERVATION, /* nothing is done on what was seen once, or while hosts still join
				  */
	BRAKE_SILENCE, /* too many hosts of a service are silent: nothing is scaled down */
	BRAKE_HOST_REPLICAS, /* one host asked for more replicas than one may */
	BRAKE_LAUNCHES_PER_MINUTE,
	BRAKE_SURGE,
	BRAKE_USD_PER_HOUR,
	BRAKE_USD_PER_DAY,
	BRAKE_POOL_LIMITS,
	BRAKE_SUBNET, /* free addresses */
	BRAKE_QUOTA, /* of the account's vCPUs */
	BRAKE_BACKOFF, /* a pool that failed */
	BRAKE_COUNT
};
/* "pause", "usd-per-day", ...: the label of forerun_brake_holding. */
const char *brake_name(enum brake brake);

struct brake_status {
	bool holding;
	uint32_t policies; /* that it holds now */
	uint64_t occasions; /* how often it began to hold a policy */
	uint64_t since_ns; /* CLOCK_MONOTONIC, while it holds */
	char text[CLOUD_TEXT_SIZE]; /* what it said last: which policy, which figures */
};

/* What the core asks the world for. None may call back into the core before it returns. */
struct core_effects {
	void *arg;
	/* One JSON object without newline, written when it returns 0: what comes next is called. An
	 * error stops all acting. With sync: to be on the disk soon, with all lines before it
	 * (core_journal_failed() when that fails). */
	int (*journal)(void *arg, const char *json, size_t length, bool sync);
	void (*launch)(void *arg, const struct launch_order *order);
	void (*terminate)(void *arg, const struct terminate_order *order);
	/* Made or changed; for the table, the JSON stream and exports. */
	void (*decided)(void *arg, const struct decision *decision);
	/* A brake begins to hold, or holds nothing any more: for the log, once an occasion. */
	void (*braked)(void *arg, enum brake brake, bool holds, const char *text);
	/* The tag forerun.dev/draining; NULL: nobody needs it. */
	void (*mark)(void *arg, const struct mark_order *order);
	/* Target groups; NULL: there are none. */
	void (*targets)(void *arg, const struct target_order *order);
	/* The lease's record is to be written anew soon (core_state_write()); NULL: nobody does. */
	void (*outdated)(void *arg);
	/* StopInstances of one that was prepared for a warm pool. */
	void (*stop)(void *arg, const struct stop_order *order);
};

struct core;

void core_limits_default(struct core_limits *limits);
/* The documents stay the caller's and must outlive the core. */
int core_new(const struct core_config *config, const struct documents *documents,
	     const struct core_effects *effects, struct core **out);
void core_free(struct core *core);

/* One journal line from before, in order, before core_start(). -EBADMSG with a reason when it makes
 * no sense. */
int core_replay(struct core *core, const char *json, size_t length, char reason[160]);
/* All that a later start must know, as lines that can stand in the place of all lines so far. Ends
 * with the first negative return of write. */
int core_journal_rewrite(struct core *core,
			 int (*write)(void *arg, const char *json, size_t length), void *arg,
			 struct moment now);
/* After the replay: asks again for every order whose end is not known. */
void core_start(struct core *core, struct moment now);

/* ---- leading: of several cores only the one with the lease acts ---- */

/* From now on this core acts, once it has seen the fleet (cloud_describe_now()) and two new
 * observations. state is what the leader before wrote (core_state_write()), "" when
 * nothing is known; -EBADMSG with a reason when it makes no sense, and then it does not lead. */
int core_lead(struct core *core, uint64_t epoch, const char *state, struct moment now,
	      char reason[160]);
/* What was to be on the disk is not: stops all acting. error: negative errno. */
void core_journal_failed(struct core *core, int error);
/* The lease is lost: nothing is called any more, also nothing that waits or was to be asked again.
 */
void core_yield(struct core *core, const char *why, struct moment now);
/* What a successor with an empty disk must know, as one JSON object of at most 300,000 bytes: the
 * sequence of each lane, what was spent today, and how much this leader may launch beyond it. last:
 * it launches nothing any more. */
void core_state_write(struct core *core, bool last, struct text *out);
/* What core_state_write() gave last is in the record now, or was already. Before the first time of
 * a lead nothing is launched. */
void core_state_stored(struct core *core);
/* Kill switch: while there is a reason nothing is launched or terminated. from: "file", "command",
 * "tag", "lock"; each is set and lifted (why NULL) by itself. */
void core_pause(struct core *core, const char *from, const char *why, struct moment now);

void core_catalog(struct core *core, const struct catalog *catalog);
void core_class(struct core *core, const struct class_view *view);
void core_fleet(struct core *core, const struct fleet_view *view, struct moment now);
void core_launched(struct core *core, const struct launch_result *result, struct moment now);
void core_terminated(struct core *core, const struct terminate_result *result, struct moment now);
void core_marked(struct core *core, const struct mark_result *result, struct moment now);
void core_targets(struct core *core, const struct target_result *result, struct moment now);
/* What EC2 says of that instance's end. False: it cannot be acted on yet (what runs is not known,
 * paused, another core leads), and is to be said again. Of frames the core takes them itself. */
bool core_notice(struct core *core, const char *instance_id, const struct notice *notice,
		 enum notice_source source, struct moment now);
/* EC2 says that it is stopping, stopped, shutting down or terminated. False: as above. */
bool core_instance_state(struct core *core, const char *instance_id, enum instance_state state,
			 struct moment now);
/* What EC2 says of the end of this host itself; "" for nothing. */
const char *core_own_notice(const struct core *core);
void core_stopped(struct core *core, const struct stop_result *result, struct moment now);

/* New signals of one host. In `forerun run` every policy is evaluated at once; in a fleet those of
 * the host's services: on an edge at once, else at most every 50 ms. Returns the CLOCK_MONOTONIC
 * time by which core_tick() is to be called, UINT64_MAX when this changes nothing about that. */
uint64_t core_frame(struct core *core, const struct frame *frame, struct moment now);
/* Time passes: retries, staleness, scale-down. Returns the CLOCK_MONOTONIC time at which it wants
 * to be called next. */
uint64_t core_tick(struct core *core, struct moment now);

/* ---- for people and exports ---- */

struct policy_status {
	const struct policy *policy;
	struct reading readings[8]; /* of the first 8 metrics */
	struct hpa_result result;
	int32_t replicas, ready, pending, wanted;
	bool observed; /* false: only the first observation so far */
	char held[CLOUD_TEXT_SIZE]; /* what keeps it from acting now, "" when nothing */
};
size_t core_policies(struct core *core, const struct policy_status **out);

/* One host of a fleet, as its agent tells of it. */
struct host_status {
	char host[WIRE_HOST_SIZE], instance_id[32];
	char services[256]; /* that it counts for: "api,web" */
	uint64_t heard_ns; /* when its last frame came */
	bool silent; /* its signals are stale */
	bool responded; /* a response of it was seen */
};
/* False past the end. */
bool core_host(const struct core *core, size_t index, struct moment now, struct host_status *out);

/* All brakes, by number. */
void core_brakes(const struct core *core, struct brake_status out[BRAKE_COUNT]);

struct core_totals {
	uint64_t evaluations, edges, decisions, launches_called, instances_launched,
		launches_failed, terminations;
	uint64_t held_by_limit, held_by_diagnosis, held_stale, held_first_observation,
		no_capacity_errors, throttles;
	uint64_t held_paused, held_silent, host_reports_bounded, hosts_forgotten, dry_runs;
	uint32_t hosts, hosts_silent; /* in a fleet */
	double usd_last_day; /* of forerun's instances in the last 24 hours */
	double usd_per_hour; /* of what forerun runs now */
	uint32_t instances_pending, instances_running;
	double lead_time_seconds; /* in use for the forecast */
	uint64_t lead_times_learned;
	uint64_t edge_to_sent_ns_last; /* of the last launch on an edge; 0: none yet */
};
void core_totals(const struct core *core, struct core_totals *out);

/* The newest first; NULL past the end. Belongs to the core, valid until it is called with something
 * new. */
const struct decision *core_decision(const struct core *core, size_t index);
const struct decision *core_decision_by_id(const struct core *core, const char *id);

/* What `forerun explain` prints; also from a core that only replayed a journal. */
void decision_explain(const struct decision *decision, struct text *out);
void decision_json(const struct decision *decision, struct text *out);
const char *decision_kind_text(enum decision_kind kind);
bool decision_launches(const struct decision *decision); /* instances belong to it */

#endif
