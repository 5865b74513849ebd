/* SPDX-License-Identifier: Apache-2.0 */
/* What the core keeps: hosts and what they say, pools, lanes, instances, orders, decisions. Private
 * to the room. */
#ifndef FORERUN_CORE_TYPES_H
#define FORERUN_CORE_TYPES_H

#include "base/map.h"
#include "core/core.h"

#define DECISIONS_KEPT 256
#define WITNESSES 4
#define TYPES_PER_ORDER 60 /* as Karpenter: larger requests are refused as too large */
#define ATTEMPTS_MAX 6
#define LEAD_TIMES_KEPT 64
#define LEAD_KINDS_MAX 32 /* families of one pool that are told apart */
#define LATENCIES_KEPT 256
#define OBSERVATION_SPAN_NS (100 * NS_PER_MS) /* one tick */
#define MISSING_FOR_NS (60 * NS_PER_S)
/* EC2 honours a ClientToken for at least a day. An older order is settled by its tags alone. */
#define TOKEN_GOOD_FOR_NS (12 * 3600 * NS_PER_S)
/* A decision that a restart cut short is finished when it is younger than this. */
#define DECISION_FRESH_NS (5 * 60 * NS_PER_S)

/* A listener that speaks in a decision: kept by value, for its frame is gone by then. */
struct witness {
	uint64_t id;
	char address[ADDRESS_TEXT_SIZE];
	char owner[80];
	double value;
	uint64_t age_ns; /* when the frame was received */
	enum diagnosis diagnosis;
	bool left_out; /* of the reading for scale-up */
	char reason[240];
};

/* What one host's newest frame says about one metric of one policy. Kept small and side by side for
 * all hosts of a service: a fleet's sum reads nothing else. */
struct contribution {
	uint32_t matched, stale, unknown, left_out, pressing;
	bool leaving; /* the host drains: what it has comes to the others */
	double usage; /* of all that match */
	double usage_up, fast_up, trend_up; /* without those that more capacity would not help */
	double limit;
	uint64_t age_ns; /* of the oldest value in it, when the frame was received */
};
struct contributions {
	VEC(struct contribution) list;
};

/* Who stands behind a contribution: the largest, those left out first. */
struct testimony {
	struct witness at[WITNESSES];
	size_t count;
};

/* Which metrics select a listener: labels are compared once, not on every frame. */
struct match {
	uint64_t id, owner;
	uint64_t bits; /* of the first 64 metrics; more are in member.more_bits */
};

/* A service: what policies scale, and the hosts that run it. Outside a fleet there is one, of every
 * policy. */
struct service {
	const char *name;
	VEC(struct policy_state *) policies;
	struct metric_ref *metrics; /* of all its policies, one behind the other */
	size_t metrics_count;
	VEC(struct member *) members; /* the vectors below have the same index */
	VEC(uint64_t) heard; /* when its last frame came */
	struct contributions *contributions; /* metrics_count */
	uint64_t last_frame_ns;
	uint64_t first_joined_ns, last_joined_ns;
	bool settled; /* the hosts that were there before this start have had the time to join */
};

/* One host of one service. */
struct member {
	struct service *service;
	struct host_view *host;
	size_t at; /* in service->members */
	struct testimony *testimonies; /* service->metrics_count */
	VEC(struct match) matches;
	VEC(uint64_t) more_bits; /* words - 1 for each match */
	struct map matches_by_id; /* index + 1 */
};

struct host_view {
	char host[WIRE_HOST_SIZE];
	char instance_id[32];
	char services[256]; /* as its frames say */
	struct service *tagged; /* where they say nothing: as its tag says */
	uint64_t received_ns;
	bool responded; /* a response of it was seen */
	VEC(struct member *) members;
};

/* One (policy, metric), numbered through. */
struct metric_ref {
	const struct policy *policy;
	const struct policy_metric *metric;
};

struct class_state {
	const struct node_class *node_class;
	bool known, ready;
	char problem[CLOUD_TEXT_SIZE];
	VEC(struct subnet) subnets;
	VEC(struct launch_template) templates;
	VEC(struct capacity_reservation) reservations;
	uint64_t groups_hash; /* of its security groups */
};

/* A subnet, whichever class found it. */
struct subnet_state {
	char id[CLOUD_NAME_SIZE];
	uint32_t free_addresses; /* at seen_ns */
	uint64_t seen_ns;
	uint32_t taken; /* launched since, or on its way */
	uint64_t order; /* the last that was counted here */
};

struct quota_state {
	struct vcpu_quota quota;
	double vcpus_used; /* by forerun, what is on its way included */
	double coming; /* of the order being counted */
};

/* A (type, zone) that can be ordered now, with what the limits need to know of it. */
struct offer {
	struct launch_override override;
	size_t offering; /* in its pool's offerings */
	struct subnet_state *subnet;
	struct quota_state *quota; /* NULL: none is known */
	enum reservation_kind reservation; /* of CAPACITY_RESERVED: */
	uint32_t reserved; /* instances that it has room for; 0: no reservation */
	const double *resources; /* pool_resources_of() its type */
};
struct offers {
	VEC(struct offer) list;
};

/* How long the newest launches of one family took, as a ring. */
struct lead_times {
	char family[24];
	double seconds[LEAD_TIMES_KEPT];
	uint64_t count;
};

/* One instance's whole way. Seconds; NaN: not known. */
struct launch_way {
	enum serving_proof proof;
	bool edge; /* an edge led to it */
	double latency, lead; /* from the edge or decision, and from the call */
	double stages[STAGE_COUNT];
};

/* What all ways add up to. */
struct timing {
	struct duration_histogram latency, stages[STAGE_COUNT];
	double latencies[LATENCIES_KEPT]; /* the newest, as a ring */
	uint64_t latencies_count;
	uint64_t spot_interruptions, served;
	double spot_hours; /* of those that are gone */
	double usd_before_serving;
};

/* What a node may have beside cpu and memory, each with its place (pool_resource_text()). */
#define POOL_RESOURCES 9

struct type_resources {
	char name[32];
	double amounts[POOL_RESOURCES];
};

/* What runs or is coming in one pool. */
struct usage_now {
	double cpus, memory_mib;
	double resources[POOL_RESOURCES]; /* only of a pool that limits one of them */
	bool resources_unknown;
	uint32_t nodes;
	bool size_unknown;
};

/* How long the newest instances of one source took to serve, as a ring. */
struct source_times {
	double seconds[LEAD_TIMES_KEPT];
	uint64_t count;
};

struct policy_state;

struct pool_state {
	const struct pool *pool;
	struct want *warm; /* its warm pool; NULL: it has none */
	struct want *fixed; /* spec.replicas; NULL: not given */
	char class_hash[20], pool_hash[20]; /* as the tags of what is launched today say */
	struct source_times sources[SOURCE_COUNT];
	double spot_share; /* of what runs or is coming, at the last launch; NaN: nothing is */
	struct class_state *class;
	struct usage_now usage;
	double resource_limits[POOL_RESOURCES]; /* INFINITY: none */
	bool resources_limited;
	VEC(struct type_resources) types; /* then: all of the catalog, by name */
	VEC(struct offering) offerings; /* those that the requirements leave */
	VEC(uint64_t) values; /* of each, one for each requirement with minValues: its value */
	struct offers offers[CAPACITY_TYPES]; /* placed, not out of capacity, by price */
	VEC(struct lead_times) leads; /* one for each family that was launched */
	uint8_t mix[LEAD_TIMES_KEPT]; /* which of them the newest launches were of */
	uint64_t mix_count;
	double lead_seconds; /* for the forecast, once mix_count is not 0 */
	double inherited_seconds; /* until then, as the leader before had learned it; 0: nothing */
	bool agents_known; /* its instances run agents: one has reported */
	bool leads_proven; /* learned from responses, no longer by the clock */
};

/* Nothing to be had for a while. An empty type or zone stands for every one. */
struct no_capacity {
	char instance_type[32], zone[32];
	enum capacity_type capacity_type;
	uint64_t until_ns;
};

struct lane;

/* Whether one more of its policy is bought for an instance that goes. */
enum replacing {
	REPLACE_NOT,
	REPLACE_BESIDE, /* at once, and it drains at once: its end is near */
	REPLACE_FIRST, /* it serves on until its replacement does */
};

enum mark_state { MARK_NONE, MARK_ASKED, MARK_DONE };

/* An instance on its way out. */
struct drain {
	struct instance *instance;
	char decision[48]; /* that chose it */
	char replacement[48]; /* that buys for it; "": none yet, or none */
	enum retire_reason reason;
	enum replacing replacing;
	enum drain_state state;
	bool given; /* the replacement is somebody else's order */
	uint64_t since_ns, since_wall_ns; /* it is that far */
	uint64_t deadline_wall_ns; /* 0: none */
	bool refused; /* TerminateInstances was: EC2 ends it itself */
	enum mark_state marked; /* its tag in EC2 */
	uint64_t mark_call, mark_retry_ns;
	uint32_t mark_tries;
};

/* A tag that is to be taken off again. */
struct unmark {
	char id[32];
	uint64_t call, retry_ns;
	uint32_t tries;
};

/* What a target group of ELB has of one instance. */
enum target_state {
	TARGET_UNKNOWN,
	TARGET_IN,
	TARGET_OUT, /* deregistered; its connections may still live */
	TARGET_UNUSED, /* and the group has nothing of it any more */
};
struct target {
	enum target_state state;
	uint64_t call; /* under way; 0: none */
	uint64_t retry_ns, changed_ns;
	uint32_t tries;
};

struct target_call {
	uint64_t number;
	enum target_action action;
	const char *group;
};

/* What the agent of an instance that goes says of its policy's listeners. */
struct signs {
	uint64_t heard_ns; /* when it said so last; 0: never, or it cannot tell */
	uint64_t quiet_ns; /* since when nothing is open and nothing in flight; 0: something is */
	double connections, in_flight;
};

struct instance {
	struct lane *lane;
	char id[32], instance_type[32], zone[32];
	char decision[48], token[64], pool[CLOUD_NAME_SIZE], policy[CLOUD_NAME_SIZE];
	uint64_t sequence; /* of its token; 0: a token of the old kind */
	uint64_t epoch; /* of the lead that asked for it; 0: none, or not known */
	enum capacity_type capacity_type;
	enum instance_state state;
	uint32_t vcpus;
	uint64_t memory_mib;
	double usd_per_hour;
	uint64_t launched_wall_ns, known_wall_ns;
	uint64_t known_ns; /* when it was first heard of */
	uint64_t sent_ns; /* when its call left; 0: not in this run */
	uint64_t running_ns, running_wall_ns; /* since when; 0: not yet */
	uint64_t missing_ns; /* since when it is not shown any more; 0: it is */
	uint64_t connected_ns, heard_ns; /* its agent's first and newest frame; 0: none */
	uint64_t serving_ns; /* since when; 0: not in this run */
	uint64_t gone_ns; /* kept a while, so that an old picture does not bring it back */
	uint64_t gone_wall_ns;
	uint64_t view; /* number of the last view that showed it */
	struct subnet_state *subnet; /* that it was launched into; NULL: not in this run */
	struct drain *drain; /* NULL: it stays */
	struct signs signs;
	VEC(struct target) targets; /* one for each target group of its policy, once it is in any */
	uint32_t notices; /* bits of enum notice_kind: of what it was told already */
	bool listens; /* its agent showed a listener of its policy */
	bool registered; /* with every target group */
	bool routed; /* in core->routed */
	bool tag_ignored; /* it was called back, and the tag may still be shown */
	enum launch_source source; /* of what made it a replica, or is to prepare it */
	char class_hash[20], pool_hash[20]; /* its tags; "": none */
	char image_id[CLOUD_NAME_SIZE], subnet_id[CLOUD_NAME_SIZE]; /* "": EC2 was not heard yet */
	uint64_t groups_hash; /* likewise; 0 */
	bool reserved; /* it runs in a capacity reservation */
	uint64_t drifted_wall_ns; /* since when it is known to have; 0: it has not */
	uint64_t idle_wall_ns; /* since when nobody is known to want it; 0: somebody does */
	uint64_t chosen; /* the last look that would give it back */
	uint32_t wishes; /* observe mode: bits of enum disrupt_reason that were recorded */
	uint64_t started_ns, started_wall_ns; /* StartInstances was accepted then, and EC2 may
						 still show it as stopped; 0: no */
	uint64_t start_failed_ns; /* it could not be started then; 0: never */
	uint64_t stop_ns; /* it was asked to stop; 0: it was not */
	uint64_t stop_retry_ns; /* asked again then */
	uint32_t stop_tries;
	bool prepared; /* its first boot for a warm pool is over */
	bool claimed; /* an open order starts it */
	bool grouped; /* a member of its pool's Auto Scaling group */
	bool seen, serving, terminating, gone;
	bool vanished; /* gone only because it was not shown; it may come back */
};

/* Said in the place of EC2's code when its picture of the fleet told the end. */
#define SETTLED_BY_TAGS "settled by tags"
/* In the place of EC2's code where a call was not let out, by user/cloud too. */
#define CODE_NOT_LEADER "NotLeader"

#define COUNT_UNKNOWN UINT32_MAX

/* A larger one in a tag is nobody's; what is written down may be a little larger. */
#define LANE_NUMBER_MAX 900000000000000ULL

/* One number of a lane's sequence that somebody has used. */
struct lane_number {
	uint64_t n;
	uint32_t expected; /* instances that there are of it, at most; COUNT_UNKNOWN */
	uint32_t shown, showing; /* the most that one view showed; in the view being read */
	uint64_t known_ns, known_wall_ns; /* since when it is known to be used */
	bool exact; /* expected is what was launched, not what was asked for */
	bool ended; /* this core was told what it launched: it knows the ids */
};

/* One policy on its pool: the sequence of its launches, see sequence.c. */
struct lane {
	char pool[CLOUD_NAME_SIZE], policy[CLOUD_NAME_SIZE]; /* "" while only its key is known */
	uint64_t key; /* the hexadecimal digits of its tokens */
	bool known; /* the journal or the lease's record tells of it, or a launch of ours ended */
	bool blind; /* its instances are there and nothing tells of its sequence */
	bool lost; /* history was lost: it goes on with a number that nobody can have used */
	uint32_t taken; /* numbers that somebody else had used, in a row */
	uint64_t next; /* the lowest number that nobody is known to have used */
	uint64_t settled; /* up to it, all that was launched is known */
	uint64_t seen; /* for so long that EC2 shows it by now, to every core */
	uint64_t record_next, record_seen; /* as the leader before wrote them */
	VEC(struct lane_number) numbers; /* above seen, as far as something is known, ascending */
	uint64_t wait_ns, wait_wall_ns; /* since when it is held; 0: it is not */
	uint64_t wait_to; /* numbers up to it are settled when the wait is over */
	VEC(struct instance *) instances;
	VEC(struct open_order *) orders;
	uint32_t waiting; /* instances of decisions that wait for their next attempt */
	uint64_t replace_ns; /* replacements are looked at again then */
	char replace_held[CLOUD_TEXT_SIZE]; /* what keeps them from being bought; "" nothing */
};

/* A CreateFleet whose end is not known. */
struct open_order {
	struct launch_order order;
	struct lane *lane;
	uint64_t made_ns, made_wall_ns;
	uint64_t retry_ns; /* asked again then, when no answer has come */
	uint64_t uncertain_ns; /* the last time it may have had its effect without our knowing; 0:
				  never */
	uint32_t tries;
	uint32_t vcpus_worst;
	uint64_t memory_mib_worst;
	double usd_worst;
	bool ask; /* false: only its tags can tell */
	bool unstored; /* it names instances to start, and the lease's record does not yet */
	bool written; /* the record that is being written does */
	bool over; /* its end is known; it is about to go */
	bool settle_by_tags; /* once everything launched under its token must be visible, what is
				not was not launched */
};

struct open_retirement {
	struct terminate_order order;
	uint64_t retry_ns;
	uint32_t tries;
};

struct record {
	struct decision decision; /* first: the door hands out its address */
	struct lane *lane;
	uint32_t attempts;
	uint32_t count; /* instances that were decided */
	uint32_t released; /* of a replacement: instances that left for it */
	double usd_below; /* of a replacement that is to save: it buys only what costs less an
			     hour; 0: anything */
	bool retry; /* the remainder waits for its next attempt */
	bool reserved; /* reservations were asked */
	bool when_free; /* and for its lane, whatever the time */
	uint64_t retry_ns;
	uint32_t waiting; /* instances of it that wait */
	VEC(struct no_capacity) failed; /* offers that failed in this decision; until_ns unused */
};

/* A launch whose end is known, from then on: its effect was no later. */
struct launch_count {
	uint64_t time_ns, wall_ns;
	uint32_t count;
	char token[64]; /* or the id of one instance that another core launched */
};

/* What the lanes share, each a number of its own: launches in a minute, dollars, and of each pool
 * vCPUs, memory, nodes and what a node may have beside those. */
#define SHARED_LAUNCHES 0
#define SHARED_USD 1
#define SHARED_OF_ALL 2
#define SHARED_OF_POOL (3 + POOL_RESOURCES)
#define SHARED_CPUS(pool) (SHARED_OF_ALL + SHARED_OF_POOL * (size_t)((pool)-core->pools))
#define SHARED_MEMORY(pool) (SHARED_CPUS(pool) + 1)
#define SHARED_NODES(pool) (SHARED_CPUS(pool) + 2)
#define SHARED_RESOURCE(pool, i) (SHARED_CPUS(pool) + 3 + (i))

/* How much of one of these, and whose it is. */
struct share {
	double amount; /* INFINITY: all that there is */
	uint64_t lane; /* it can be of that lane alone; 0: of any */
};

/* What the lease's record lets this leader launch beyond it: one amount for each that is shared. */
enum promise_kind {
	PROMISE_STORED, /* in the record for sure */
	PROMISE_UNSURE, /* the least of all that may have been written since */
	PROMISE_NEWEST, /* being written */
	PROMISE_KINDS
};
struct promise {
	bool is;
	double *left;
};

/* Nothing is done on the first observation: a metric counts when it was known in two frames, a tick
 * apart. */
struct observation {
	uint32_t frames;
	uint64_t since_ns, last_ns;
};

/* The forecasts of the last seconds, as a queue whose first is the lowest. */
struct forecast_point {
	uint64_t time_ns;
	double value;
};
struct forecast_history {
	VEC(struct forecast_point) points;
	uint64_t since_ns; /* of the first without a gap; 0: none */
};

/* What was recorded as held, so that it is recorded once and not on every tick. */
struct held_memory {
	char key[96];
	uint64_t last_ns;
};

struct policy_state {
	const struct policy *policy;
	struct pool_state *pool;
	struct lane *lane;
	struct service *service;
	size_t metrics_at; /* index of its first metric in service->metrics */
	int32_t hosts; /* of the service that are no instances of this policy */
	uint64_t hosts_counted; /* core->changes then; 0: not yet */
	struct hpa_state up, down;
	struct reading *readings, *readings_up;
	struct observation *observations; /* one for each metric */
	struct forecast_history *forecasts; /* likewise */
	bool any_known, all_known, stale;
	bool observed;
	uint32_t pressing;
	uint32_t hosts_silent, hosts_bounded; /* of the metric with most of them */
	bool silent_loaded; /* the present holds what silent hosts may have */
	int32_t current, replicas_ready; /* at the last evaluation */
	struct hpa_result result_up, result_present; /* of it */
	bool status_old; /* the door's picture is older than that */
	uint32_t brakes, braking; /* bits of enum brake: at the last evaluation, in this one */
	uint64_t braked_ns[BRAKE_COUNT];
	char held[CLOUD_TEXT_SIZE];
	uint64_t backoff_ns;
	uint32_t backoff_tries;
	char backoff_why[CLOUD_TEXT_SIZE];
	struct held_memory told[8];
	char not_asked[48]; /* observe mode: the decision that EC2 has not been asked about */
	struct want *want; /* it is a NodePool's own; NULL: a policy's */
	bool narrowed; /* not everything that its pool may buy is for it: then these are */
	VEC(bool) fits; /* for each of its pool's offerings */
	char unfit[CLOUD_TEXT_SIZE]; /* why the first of them does not fit, "" when none */
	struct offers offers[CAPACITY_TYPES];
	int32_t wish_up, wish_down; /* observe mode: what was recorded already */
	uint64_t wish_up_ns, wish_down_ns;
};

/* What a NodePool wants by itself: a lane of its own, under a name that no policy can have. */
struct want {
	struct policy policy; /* what the rest of the core needs of one: its names */
	struct policy_state state;
	char name[CLOUD_NAME_SIZE + 16];
	uint64_t looked_ns; /* 0: to be looked at now */
	char problem[CLOUD_TEXT_SIZE]; /* what StopInstances said last; "" nothing */
};

struct brake_state {
	uint32_t policies; /* that it holds */
	bool everything; /* it holds the whole core */
	uint64_t occasions, since_ns, released_ns;
	bool told;
	char text[CLOUD_TEXT_SIZE];
};

struct pause {
	char from[16];
	char why[CLOUD_TEXT_SIZE];
};

/* What forerun's instances cost, by the hour of the wall clock; 24 hours and the present one. */
#define SPEND_HOURS 25
struct spend {
	double usd[SPEND_HOURS]; /* of the hour n at n % SPEND_HOURS */
	uint64_t hour; /* the newest; 0: nothing yet */
	uint64_t wall_ns, mono_ns; /* counted so far; mono 0: not in this run */
	double usd_per_hour; /* since then */
	uint64_t written_ns;
};

/* What was found when it was last looked at what to give back; give.c. */
struct giving {
	uint64_t looked_ns, look; /* when; how often */
	uint64_t commands[DISRUPT_REASONS]; /* that were begun, in nodes */
	double usd_saved; /* by those that consolidated, an hour */
	VEC(struct giving_view) pools;
};

struct core {
	struct core_config config;
	const struct documents *documents;
	struct core_effects effects;

	struct service *services;
	size_t services_count;
	struct map services_by_name;
	struct policy_state *policies;
	struct policy_status *status;
	uint64_t *evaluated_ns; /* of each policy */
	bool *dirty; /* signals came that it has not been evaluated on */
	size_t policies_count;
	struct map policies_by_name;
	struct pool_state *pools;
	size_t pools_count;
	struct map pools_by_name;
	struct class_state *classes;
	size_t classes_count;

	VEC(struct host_view *) hosts;
	struct map hosts_by_name, hosts_by_instance;
	struct map tagged; /* instance id -> service of the instances whose tags name one */
	struct map ended; /* instances that EC2 shows as ended */
	uint64_t forgot_ns; /* when hosts were last looked through */
	VEC(uint32_t) slots; /* of the indicators of the frame at hand in the member's matches */
	VEC(struct record *) records; /* the newest last */
	struct map records_by_id;
	size_t records_waiting; /* for their next attempt */
	VEC(struct instance *) instances;
	struct map instances_by_id;
	VEC(struct instance *) starting; /* of these, what does not serve yet */
	VEC(struct open_order *) orders;
	VEC(struct lane *) lanes;
	struct map lanes_by_key;
	VEC(struct open_retirement *) retirements;
	uint32_t retirements_made; /* the last number */
	VEC(struct drain *) drains;
	VEC(struct unmark) unmarks;
	VEC(struct instance *) routed; /* whose target groups are not known to be as they should */
	VEC(struct target_call) target_calls;
	uint64_t health_ns; /* target groups are asked again then */
	uint64_t calls; /* the last number of a call for a tag or a target group */
	struct core_drains departures;
	struct giving giving;
	char own_notice[CLOUD_TEXT_SIZE]; /* of this host */
	VEC(struct no_capacity) no_capacity;
	VEC(struct launch_count) launches;

	size_t shared_count;
	struct promise promises[PROMISE_KINDS];
	double *wanted; /* beyond what is promised: the next record promises it */
	bool waits_for_record;
	uint64_t asked_second;
	uint32_t asked_for_records; /* in that second */
	struct share *before; /* what leaders before may have launched that is not known here */
	double *found; /* of that, what was found since */
	bool has_before;
	bool record_is_cut; /* it had no room for all lanes */

	struct core_totals totals;
	struct timing timing;
	VEC(struct subnet_state *) subnets;
	struct map subnets_by_id;
	VEC(struct quota_state) quotas;
	struct brake_state brakes[BRAKE_COUNT];
	VEC(struct pause) pauses;
	struct spend spend;
	uint64_t changes; /* of instances and orders, from 1 */
	bool counted; /* what counts.c sums up is of now */
	uint64_t orders_counted;
	bool usd_unknown; /* the price of something that runs or is coming is not known */
	double usd_running, usd_coming; /* an hour; the second at worst */
	uint64_t now_wall_ns; /* of the same moment */
	uint64_t now_ns; /* the newest moment that was handed in */
	uint64_t last_evaluated_ns; /* all policies; 0: do it now */
	uint64_t last_id_ms;
	uint64_t sequence;
	uint32_t host_hash;
	uint64_t replayed_gone; /* instances that were replayed as gone */
	bool started, fleet_known;
	bool leads;
	uint64_t epoch, lead_ns; /* of the lead; since when */
	uint64_t views;
	bool starts_known; /* the journal or the lease's record tells what was started before */
	uint64_t starts_from_ns; /* else: what was, is shown from then on; 0: not led yet */
	int journal_error;
	struct text line; /* of the journal, reused */
	/* While it is rewritten, lines go there. */
	int (*rewrite)(void *arg, const char *json, size_t length);
	void *rewrite_arg;
};

/* What has been settled about an order before it is one. */
struct launch_plan {
	enum capacity_type capacity_type;
	uint32_t count;
	VEC(struct launch_override) overrides;
	VEC(size_t) offered; /* of each, its place in the pool's offerings */
	VEC(struct launched_instance) starts; /* beside those: instances of a warm pool */
	enum reservation_kind reservation; /* of CAPACITY_RESERVED */
	uint32_t later; /* on demand, once this one has its end */
	uint32_t start_vcpus, start_nodes;
	uint64_t start_memory_mib;
	double start_usd;
	double start_resources[POOL_RESOURCES];
	struct source_choice sources[SOURCE_COUNT]; /* what each source gives, and in which time */
	uint32_t vcpus_worst;
	uint64_t memory_mib_worst;
	double usd_worst;
	char held_key[96]; /* what kept count at 0; "" otherwise */
	char held[CLOUD_TEXT_SIZE];
	uint32_t brakes; /* bits of enum brake: what made it smaller, down to nothing */
	bool waits; /* only until the lease's record is written */
};

#endif
