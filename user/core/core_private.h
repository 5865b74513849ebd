/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the core call of each other. */
#ifndef FORERUN_CORE_PRIVATE_H
#define FORERUN_CORE_PRIVATE_H

#include "core/core_types.h"

struct cJSON;

/* ---- line.c: text in fixed places ---- */
void line_add(char *out, size_t size, const char *format, ...) _printf_(3, 4);
#define set_text(to, from) text_copy(to, sizeof(to), from)

void text_copy(char *out, size_t size, const char *from);

/* ---- service.c ---- */
int services_new(struct core *core);
void services_free(struct core *core);
struct service *service_find(const struct core *core, const char *name);
/* The host of that frame with its services as they are now; NULL: it is not to be counted. */
struct host_view *host_take(struct core *core, const struct frame *frame, struct moment now);
struct host_view *host_by_instance(const struct core *core, const char *instance_id);
/* Whether that instance leaves has changed. */
void host_leaves(const struct core *core, const char *instance_id);
bool host_is_leaving(const struct core *core, const struct host_view *host);
void hosts_see(struct core *core, const struct fleet_view *view);
void hosts_forget(struct core *core, struct moment now);
bool host_silent(const struct core *core, const struct host_view *host, uint64_t now_ns);
void hosts_count(const struct core *core, struct policy_state *policy);
bool service_settled(struct core *core, struct service *service, struct moment now);

/* ---- reading.c ---- */
/* member: whose labels a selector may name too; NULL: any host will do. */
bool metric_takes(const struct member *member, const struct policy_metric *metric,
		  const struct indicator *indicator);
void frame_take(struct core *core, struct host_view *host, const struct frame *frame);

/* ---- policy_reading.c ---- */
void policy_read(struct core *core, struct policy_state *policy, struct moment now);
/* The lead begins: the next observation is a first one. */
void observations_reset(struct core *core);

/* ---- sum.c ---- */
struct sum {
	struct contribution all;
	uint32_t hosts; /* fresh, with a listener that matches */
	uint32_t hosts_silent; /* or in part */
	uint32_t hosts_bounded;
	size_t bounded; /* one of them */
	uint64_t age_ns;
};
void sum_hosts(const struct core *core, const struct policy_state *policy, size_t metric,
	       double lead_seconds, struct moment now, struct sum *sum);

/* ---- signals_text.c ---- */
void policy_signals_text(const struct policy_state *policy, struct moment now, char *out,
			 size_t size);
const struct witness *policy_left_out(const struct policy_state *policy);

/* ---- forecast.c ---- */
double forecast_of(double present, double fast, double trend_per_second, double lead_seconds,
		   double ceiling);
double forecast_standing(struct forecast_history *history, uint64_t now_ns, double forecast);

/* ---- counts.c ---- */
/* Something about instances or orders changed: what was counted of them is old. */
void counts_old(struct core *core);
void counts_refresh(struct core *core);
/* That order is on its way now; cheaper than counting anew. */
void counts_ordered(struct core *core, const struct open_order *open);

/* ---- brake.c ---- */
void brake_policy(struct core *core, struct policy_state *policy, enum brake brake,
		  const char *text);
void brakes_settle(struct core *core, struct policy_state *policy);
void brake_everything(struct core *core, enum brake brake, const char *text, struct moment now);
void brakes_tick(struct core *core, struct moment now);
void pause_by_tags(struct core *core, const struct fleet_view *view, struct moment now);

/* ---- spend.c ---- */
void spend_tick(struct core *core, struct moment now);
double spend_last_day(const struct spend *spend, uint64_t wall_ns);
/* The object of the journal's line "spend" and of the lease's state. */
void spend_write(const struct spend *spend, struct text *out);
int spend_read(struct spend *spend, const struct cJSON *json);

/* ---- room.c ---- */
struct room {
	double cpus, memory_mib, usd_hour, usd_day; /* INFINITY: no limit; dollars an hour */
	double usd_day_spent;
	double nodes;
	double resources[POOL_RESOURCES];
};
enum room_kind {
	ROOM_USD_HOUR = 1,
	ROOM_USD_DAY = 2,
	ROOM_CPU = 4,
	ROOM_MEMORY = 8,
	ROOM_SUBNET = 16,
	ROOM_QUOTA = 32,
	ROOM_NODES = 64,
	ROOM_RESOURCES = 128, /* the first of POOL_RESOURCES bits */
	ROOM_ALL = (ROOM_RESOURCES << POOL_RESOURCES) - 1
};
uint32_t offer_room(const struct offer *offer, const struct room *room, uint32_t kinds);
struct subnet_state *subnet_find(const struct core *core, const char *id);
void subnets_see(struct core *core, const struct class_view *view);
struct quota_state *quota_find(struct core *core, const char *instance_type,
			       enum capacity_type type);
void quotas_see(struct core *core, const struct catalog *catalog);

/* ---- pool_resources.c: what a pool limits beside cpu, memory and nodes ---- */
const char *pool_resource_text(size_t resource); /* "nvidia.com/gpu" */
void pool_resources_new(struct pool_state *pool);
void pool_resources_rebuild(struct pool_state *pool, const struct catalog *catalog);
/* POOL_RESOURCES amounts; NULL: of a type that is not known, or of a pool that limits none. */
const double *pool_resources_of(const struct pool_state *pool, const char *type);
/* The most that one instance of it may have; NaN: one of its types is not known. */
void order_resources(const struct pool_state *pool, const struct open_order *open,
		     double worst[POOL_RESOURCES]);
/* amounts: of each; NULL or NaN: not known. */
void count_resources(struct pool_state *pool, double count, const double *amounts);

/* ---- dry_run.c ---- */
void dry_run(struct core *core, struct policy_state *policy, const struct launch_plan *plan);
bool dry_run_answered(struct core *core, const struct launch_result *result, struct moment now);

/* ---- evaluate.c ---- */
struct evaluation { /* one policy, now */
	struct policy_state *policy;
	uint64_t edge_ns;
	struct moment now;
};
/* What the algorithm is given: on the forecast, or on the present alone. */
struct hpa_input policy_input(const struct policy_state *policy, bool up, struct moment now);
uint64_t evaluate_frame(struct core *core, const struct host_view *host, bool edge,
			uint64_t edge_ns, struct moment now);
/* At the next tick, whatever was evaluated a moment ago. */
void evaluate_soon(struct core *core, const char *policy);
uint64_t evaluate_due(struct core *core, struct moment now);
void policy_backoff(struct core *core, const char *name, const char *why, struct moment now);
void policy_served(struct core *core, const char *name);
struct policy_state *policy_find(struct core *core, const char *name);

/* ---- gate.c ---- */
struct held_by {
	const char *key; /* one reason, one key: the figures in its sentence may change */
	enum brake brake; /* BRAKE_COUNT: none */
	uint64_t *counter; /* of occasions; NULL: none */
};
/* Says what keeps it from acting. Returns whether it is news. */
bool hold(struct core *core, const struct evaluation *e, const struct held_by *by,
	  const char *format, ...) _printf_(4, 5);
void held_record(struct core *core, const struct evaluation *e, bool up, const char *limits);
void fill_record(struct core *core, struct record *record, const struct evaluation *e, bool up);
bool may_judge(struct core *core, const struct evaluation *e);
bool may_act(struct core *core, const struct evaluation *e, bool up);

/* ---- act.c ---- */
void plan_brakes(struct core *core, const struct evaluation *e, const struct launch_plan *plan,
		 uint32_t wanted);
void act(struct core *core, const struct evaluation *e);

/* ---- offerings.c ---- */
bool offering_matches(const struct offering *offering, const struct pool *pool);
void offers_rebuild_all(struct core *core);
bool no_capacity_covers(const struct no_capacity *entry, const char *instance_type,
			const char *zone, enum capacity_type type);
void no_capacity_remember(struct core *core, const char *instance_type, const char *zone,
			  enum capacity_type type, uint64_t now_ns);
bool no_capacity_decay(struct core *core, uint64_t now_ns);
struct pool_state *pool_find(struct core *core, const char *name);
void instance_describe(struct core *core, struct instance *instance);

/* ---- values.c: minValues ---- */
struct missing_values { /* different values of a label among what an order may become */
	const char *key;
	uint32_t has, needs;
};
void values_rebuild(struct pool_state *pool);
/* Whether what the plan took has too few of one of them. */
bool values_missing(const struct policy_state *policy, const struct launch_plan *plan,
		    struct missing_values *out);

/* ---- plan.c ---- */
void plan_make(struct core *core, const struct policy_state *policy, uint32_t wanted,
	       const struct record *record, struct moment now, struct launch_plan *plan,
	       char *limits, size_t limits_size);
void plan_free(struct launch_plan *plan);
void plan_hold(struct launch_plan *plan, const char *key, enum brake brake, const char *format, ...)
	_printf_(4, 5);

/* ---- plan_take.c ---- */
size_t offers_left(const struct offers *offers, const struct record *record,
		   enum capacity_type type);
/* The most of which at least one offer stays within every limit of these kinds. */
uint32_t most_that_fit(const struct offers *offers, const struct record *record,
		       enum capacity_type type, const struct room *room, uint32_t kinds);
/* As many of plan->count as minValues leave, with all that may be taken of them. False: none, and
 * missing says what was too few for a single one; it is filled, too, where it made them fewer. */
bool plan_take(const struct policy_state *policy, const struct record *record,
	       const struct room *room, struct launch_plan *plan, struct missing_values *missing);

/* ---- plan_text.c ---- */
double limit_of_nodes(const struct pool *pool);
const char *bound_text(bool bound);
void say_pool(const struct pool_state *pool, const struct room *room, uint32_t kinds, char *out,
	      size_t size);
void say_usd(const struct core *core, const struct room *room, const struct launch_plan *plan,
	     uint32_t kinds, char *out, size_t size);
void say_before(const struct core *core, const struct lane *lane, const struct pool_state *pool,
		char *out, size_t size);
void say_addresses(const struct launch_plan *plan, uint32_t kinds, uint32_t wanted, char *out,
		   size_t size);

/* ---- source.c ---- */
uint32_t plan_total(const struct launch_plan *plan);
void plan_sources(const struct launch_plan *plan, struct decision *decision);
void plan_starts(struct core *core, const struct policy_state *policy, const struct record *record,
		 const struct room *room, struct moment now, struct launch_plan *plan);
bool choose_capacity_type(struct core *core, const struct policy_state *policy,
			  const struct record *record, struct launch_plan *plan);
const struct offers *policy_offers(const struct policy_state *policy, enum capacity_type type);
bool policy_fits(const struct policy_state *policy, const struct instance *instance);
uint32_t spot_of(const struct spot_share *share, uint32_t all, uint32_t spot, uint32_t more);
double pool_spot_share(const struct core *core, const struct pool_state *pool);
void source_learn(struct pool_state *pool, enum launch_source source, double seconds);
double source_seconds(const struct pool_state *pool, enum launch_source source);
enum launch_source source_of_fleet(enum capacity_type type);
enum launch_source source_of_start(const struct pool_state *pool, const struct instance *instance);

/* ---- fits.c ---- */
void fits_rebuild(struct core *core);

/* ---- want.c: what a NodePool wants by itself ---- */
void wants_new(struct core *core);
void wants_free(struct core *core);
bool is_want_name(const char *name);
bool is_warm_name(const char *name);
struct policy_state *want_find(struct core *core, const char *name);
void want_more(struct core *core, const struct evaluation *e, int32_t have, int32_t target);
void want_fewer(struct core *core, const struct evaluation *e, uint32_t count,
		struct instance *const *chosen);
uint64_t wants_tick(struct core *core, struct moment now);

/* ---- starts_record.c: starts under way, in the lease's record ---- */
void starts_write(struct core *core, bool last, struct text *out);
int starts_read(struct core *core, const struct cJSON *starts, bool apply, struct moment now);
void starts_seen(struct core *core, uint64_t asked_ns);
bool starts_hidden(struct core *core, const struct lane *lane, struct moment now,
		   uint64_t *left_ns);

/* ---- warm.c ---- */
bool instance_warm(const struct instance *instance);
bool instance_drifted(const struct pool_state *pool, const struct instance *instance);
bool instance_startable(const struct core *core, const struct policy_state *policy,
			const struct instance *instance, struct moment now);
void warm_view(const struct pool_state *pool, struct moment now, struct warm_view *view);
void warm_templates(struct core *core, struct launch_order *order);
void warm_look(struct core *core, struct pool_state *pool, const struct evaluation *e);
void order_claims(struct core *core, const struct open_order *open, bool claims);
void instance_started(struct core *core, struct instance *instance, enum launch_source source,
		      struct moment now);
bool start_not_shown(const struct core *core, struct instance *instance,
		     const struct instance_view *view, uint64_t asked_ns);

/* ---- rate.c ---- */
uint32_t launches_in_last_minute(struct core *core, uint64_t now_ns);
/* The end of a launch is known: from now on it counts for a minute. */
void launches_add(struct core *core, const char *token, uint32_t count, struct moment now);
/* EC2 shows an instance for the first time: a launch that this core did not make counts, too. */
void launches_see(struct core *core, const struct instance_view *view, struct moment now);
/* The lead begins: those that the record may lack, as if they were launched now. */
void launches_lead(struct core *core, struct moment now);
void recent_write(const struct core *core, struct text *out);
int recent_read(struct core *core, const struct cJSON *recent, bool apply, struct moment now);

/* ---- allowance.c: what the lanes share, from one leader to the next ---- */
int allowance_new(struct core *core);
void allowance_free(struct core *core);
bool needs_promise(const struct core *core); /* a lease's record is there to be written */
/* What may have been launched by leaders before and is not known; what can only be of that lane is
 * left out: its number tells. */
double before_left(const struct core *core, const struct lane *lane, size_t shared);
/* It is one of those. */
bool is_of_before(const struct core *core, const struct instance *instance);
void before_found(struct core *core, const struct instance *instance);
/* After a view: by then EC2 shows everything of before. */
void before_ends(struct core *core, uint64_t asked_ns);
double promise_left(const struct core *core, size_t shared);
void promise_spend(struct core *core, const struct open_order *open);
/* That much cannot be launched without another record. */
void promise_want(struct core *core, size_t shared, double amount);
void promises_forget(struct core *core);
/* Another record is being written; what it promises goes into the newest. */
void promise_begin(struct core *core);

/* ---- allowance_record.c: the same in the lease's record ---- */
void allowance_write(struct core *core, bool last, struct text *out);
int allowance_read(struct core *core, const struct cJSON *ahead, bool apply);

/* ---- decide.c ---- */
struct record *record_new(struct core *core, enum decision_kind kind,
			  const struct policy_state *policy, struct moment now);
void record_add(struct core *core, struct record *record);
void record_free(struct record *record);
uint32_t record_rest(const struct record *record);
void record_retry(struct core *core, struct record *record, uint64_t at_ns);
void record_no_retry(struct core *core, struct record *record);
struct record *record_find(const struct core *core, const char *id);
void records_trim(struct core *core);
void record_step(struct core *core, struct record *record, struct moment when, const char *format,
		 ...) _printf_(4, 5);
void record_changed(struct core *core, struct record *record);
void record_close_if_done(struct core *core, struct record *record, struct moment now);

/* ---- sequence.c: the numbers of a lane ---- */
struct lane *lane_of(struct core *core, const char *pool, const char *policy);
struct lane *lane_by_key(struct core *core, uint64_t key);
/* The lane and the number of a token; NULL when it is of the old kind or of no lane. */
struct lane *lane_of_token(const struct core *core, const char *token, uint64_t *n);
void lane_token(const struct lane *lane, uint64_t n, char *out, size_t size);
void lane_free(struct lane *lane);
enum lane_state {
	LANE_FREE,
	LANE_BUSY, /* a launch has no known end */
	LANE_HELD /* a launch that is not ours is not yet shown */
};
/* Whether it may launch now, and why not. */
enum lane_state lane_state(const struct core *core, const struct lane *lane, struct moment now,
			   char *why, size_t size);
void lane_ended(struct core *core, struct lane *lane, uint64_t n, uint32_t launched,
		struct moment now);
void lane_taken(struct core *core, struct lane *lane, uint64_t n, struct moment now);
void lane_used(struct lane *lane, uint64_t n, uint32_t expected, bool exact, struct moment now);
void lane_replay_order(const struct core *core, struct lane *lane, uint64_t n, uint64_t wall_ns);
void lane_replay_number(struct lane *lane, const struct lane_number *number);
void lane_record(struct lane *lane, uint64_t next, uint64_t seen);
void lane_shown(struct lane *lane, uint64_t n, uint32_t count, struct moment now);
void lanes_shown(struct core *core, uint64_t asked_ns, struct moment now);
void lanes_start(struct core *core, struct moment now);
uint64_t visible_within(const struct core *core);

/* ---- take.c ---- */
void take_instance(struct core *core, const struct open_order *open,
		   const struct launched_instance *launched, uint64_t sent_ns, struct moment now);

/* ---- launch.c ---- */
void attempt_next(struct core *core, struct record *record, struct moment now);
void order_replay_result(struct core *core, const struct launch_result *result, struct moment then);
void order_over(struct core *core, struct open_order *open, const struct launch_result *result,
		struct moment now);

/* ---- settle.c ---- */
void orders_settle(struct core *core, uint64_t asked_ns, struct moment now);

/* ---- order.c ---- */
int order_place(struct core *core, struct record *record, const struct launch_plan *plan,
		struct moment now);
void order_tags(struct core *core, struct launch_order *order);
void orders_start(struct core *core, struct moment now);
void orders_ask_all(struct core *core, const char *since, struct moment now);
void orders_yield(struct core *core, const char *why, struct moment now);
uint64_t orders_tick(struct core *core, struct moment now);
struct open_order *order_find(struct core *core, const char *token);
void order_remove(struct core *core, struct open_order *open);
uint64_t mono_of(uint64_t wall_ns, struct moment now);
void order_worst(struct core *core, struct open_order *open);
void open_order_free(struct open_order *open);
void order_add(struct core *core, struct open_order *open);
bool order_is_of(const struct open_order *open, const struct instance *instance);

/* ---- bought through an Auto Scaling group (group.c) ---- */

void group_order_fill(const struct core *core, struct open_order *open, const struct lane *lane);
void group_dry_run_fill(const struct core *core, const struct policy_state *policy,
			struct launch_order *order);
uint32_t group_order_coming(const struct open_order *open);
/* The group has been told, and had its time: what it launches later is found as its member. */
bool group_order_late(const struct core *core, const struct open_order *open, uint64_t asked_ns);
bool group_is_new(const struct instance *instance); /* of no decision yet */
void group_claim(struct core *core, const struct open_order *open, struct instance *instance,
		 uint64_t sent_ns);
/* A group is told one thing at a time: it grows, or it shrinks. */
bool group_grows(const struct instance *instance);
bool group_shrinks(const struct core *core, const struct lane *lane);
void group_of_retirement(const struct core *core, struct open_retirement *open);
const char *order_action(const struct open_order *open);
void order_start_tags(struct core *core, struct launch_order *order);
void starts_stored(struct core *core);
uint32_t order_coming(const struct open_order *open);
bool may_call(const struct core *core);
uint64_t backoff_after(const char *token, uint32_t tries);

/* ---- fleet.c ---- */
struct instance *instance_find(const struct core *core, const char *id);
struct instance *instance_add(struct core *core, const char *id);
void instance_place(struct core *core, struct instance *instance);
bool instance_live(const struct instance *instance);
bool instance_billed(const struct instance *instance);
void instances_start(struct core *core, struct moment now);
void instances_replay_forget(struct core *core, uint64_t wall_ns);
uint64_t instances_tick(struct core *core, struct moment now);
/* EC2 says that it is in another state than before. */
void instance_is(struct core *core, struct instance *instance, enum instance_state state,
		 struct moment now);
void instance_gone(struct core *core, struct instance *instance, struct moment now,
		   const char *why);
void starting_again(struct core *core, struct instance *instance);
void lane_count(const struct lane *lane, int32_t *current, int32_t *ready);
/* Also hosts of its service that are none of its instances. */
void replicas_count(struct core *core, struct policy_state *policy, int32_t *current,
		    int32_t *ready);
void instance_step(struct core *core, const struct instance *instance, struct moment now,
		   const char *what);
void instance_serves(struct core *core, struct instance *instance, enum serving_proof proof,
		     struct moment now);

/* ---- timing.c ---- */
double lead_time_seconds(const struct core *core, const struct pool_state *pool);
void lead_time_learn(struct core *core, struct pool_state *pool, const char *instance_type,
		     double seconds, enum serving_proof proof);
void leads_write(const struct core *core, struct text *out);
void leads_read(struct core *core, const struct cJSON *leads);
double lead_time_left(const struct core *core, const struct pool_state *pool,
		      const char *instance_type, double elapsed_seconds);

/* ---- stages.c ---- */
void instance_stage(const struct instance *instance, enum launch_stage *stage, uint64_t *at_ns);
void instance_heard(struct core *core, const struct frame *frame, struct moment now);
bool indicator_responded(const struct indicator *indicator);
bool listener_is_of(const struct core *core, const struct instance *instance,
		    const struct indicator *indicator);
void duration_add(struct duration_histogram *histogram, double seconds);
uint64_t instance_serves_at(const struct core *core, const struct instance *instance);
enum serving_proof instance_clock_proof(const struct core *core, const struct instance *instance);
void instance_way_over(struct core *core, struct instance *instance, enum serving_proof proof,
		       struct moment now, char told[CLOUD_TEXT_SIZE]);
void way_add(struct core *core, struct pool_state *pool, const char *instance_type,
	     const struct launch_way *way);
void account_served(struct core *core, const struct instance *instance, uint64_t wall_ns);
void account_gone(struct core *core, struct instance *instance, uint64_t wall_ns);
void account_back(struct core *core, struct instance *instance);

/* ---- give.c ---- */
/* At most every 10 s, and nothing when this core does not lead. */
uint64_t give_back_tick(struct core *core, struct moment now);
void giving_free(struct core *core);

/* ---- retire.c ---- */
int retire(struct core *core, struct record *record, struct policy_state *policy, uint32_t count,
	   struct moment now);
uint32_t retirable(const struct core *core, const struct policy_state *policy);
void retirements_start(struct core *core, struct moment now);
void retirements_yield(struct core *core, const char *why, struct moment now);
uint64_t retirements_tick(struct core *core, struct moment now);
void retirement_mark(struct core *core, const struct open_retirement *open, bool terminating);
void open_retirement_free(struct open_retirement *open);
/* One TerminateInstances: made, filled, then written down and called; gone takes it over. */
struct open_retirement *retirement_new(struct core *core, const char *decision);
void retirement_add(struct open_retirement *open, const struct instance *instance);
int retirement_go(struct core *core, struct open_retirement *open, struct moment now);
/* Something of that decision drains; drain.h has the rest. */
bool drains_open(const struct core *core, const char *decision);

/* ---- journal.c ---- */
struct text *line_begin(struct core *core, const char *kind, struct moment now);
int line_write(struct core *core, bool sync);
void line_add_text(struct text *line, const char *key, const char *value);
void line_add_number(struct text *line, const char *key, double value);
void line_add_count(struct text *line, const char *key, uint64_t value);
void line_add_us(struct text *line, const char *key, uint64_t ns);
void line_add_element(struct text *line, const char *value, bool first);
int journal_decision(struct core *core, const struct record *record, struct moment now);
int journal_order(struct core *core, const struct open_order *open, uint32_t attempt,
		  struct moment now);
void journal_result(struct core *core, const struct launch_result *result, struct moment now);
void journal_step(struct core *core, const char *decision, const struct decision_step *step);
int journal_terminate(struct core *core, const struct terminate_order *order, struct moment now);
void journal_terminated(struct core *core, const struct terminate_result *result,
			struct moment now);
void journal_claimed(struct core *core, const struct instance *instance, struct moment now);
void journal_instance(struct core *core, const struct instance *instance, const char *state,
		      struct moment now);
void journal_lead(struct core *core, const struct instance *instance, const struct launch_way *way,
		  struct moment now);
void journal_epoch(struct core *core, struct moment now);
void journal_spend(struct core *core, struct moment now);
void journal_closed(struct core *core, const struct record *record, struct moment now);
const char *outcome_text(enum launch_outcome outcome);

#endif
