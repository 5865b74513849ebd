/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From readings to decisions: the HPA algorithm on the present and on the forecast, then what keeps
 * from acting on it, then the plan.
 */
#include <math.h>

#include "core/core_private.h"

#define HELD_AGAIN_NS (60 * NS_PER_S)
#define BACKOFF_FIRST_NS (5 * NS_PER_S)
#define BACKOFF_MAX_NS (300 * NS_PER_S)

/* One policy, now. */
struct evaluation {
	struct policy_state *policy;
	struct policy_status *status;
	struct hpa_result up, present;
	int32_t current, ready;
	uint64_t edge_ns;
	struct moment now;
};

struct policy_state *policy_find(struct core *core, const char *name)
{
	for (size_t i = 0; i < core->policies_count; i++)
		if (str_equal(core->policies[i].policy->name, name))
			return &core->policies[i];
	return NULL;
}

/* A pool that fails is not hammered: 5 s, doubled up to 5 min, until an instance serves. */
void policy_backoff(struct core *core, const char *name, const char *why, struct moment now)
{
	struct policy_state *policy = policy_find(core, name);
	uint64_t wait_ns;

	if (!policy)
		return;
	wait_ns = MIN(BACKOFF_FIRST_NS << MIN(policy->backoff_tries, 10U), BACKOFF_MAX_NS);
	policy->backoff_tries++;
	policy->backoff_ns = now.mono_ns + wait_ns;
	set_text(policy->backoff_why, why);
}

void policy_served(struct core *core, const char *name)
{
	struct policy_state *policy = policy_find(core, name);

	if (!policy)
		return;
	policy->backoff_tries = 0;
	policy->backoff_ns = 0;
}

/* Whether that reason is new: not told before, or not within the last minute. */
static bool is_news(struct policy_state *policy, const char *key, struct moment now)
{
	struct held_memory *oldest = &policy->held[0];

	for (size_t i = 0; i < ARRAY_SIZE(policy->held); i++) {
		struct held_memory *known = &policy->held[i];

		if (strcmp(known->key, key) == 0) {
			bool news = now.mono_ns > known->last_ns + HELD_AGAIN_NS;

			known->last_ns = now.mono_ns;
			return news;
		}
		if (known->last_ns < oldest->last_ns)
			oldest = known;
	}
	set_text(oldest->key, key);
	oldest->last_ns = now.mono_ns;
	return true;
}

static void fill_record(struct core *core, struct record *record, const struct evaluation *e,
			const struct hpa_result *result)
{
	struct decision *decision = &record->decision;

	decision->edge_ns = e->edge_ns;
	decision->replicas_before = e->current;
	decision->replicas_wanted = result->desired;
	set_text(decision->arithmetic, result->arithmetic);
	policy_signals_text(core, e->policy, e->now, decision->signals, sizeof(decision->signals));
	core->totals.decisions++;
}

static void held_record(struct core *core, const struct evaluation *e,
			const struct hpa_result *result, const char *limits)
{
	struct record *record = record_new(core, DECISION_HELD, e->policy, e->now);

	if (!record)
		return;
	fill_record(core, record, e, result);
	record->decision.replicas_decided = e->current;
	set_text(record->decision.limits, limits);
	record->decision.closed = true;
	journal_decision(core, record, e->now);
	record_step(core, record, e->now, "held: %s", e->status->held);
	journal_closed(core, record, e->now);
	record_changed(core, record);
}

/* Says what keeps it from acting; the counter counts occasions, not ticks. Returns whether it is
 * news. */
static bool hold(const struct evaluation *e, uint64_t *counter, const char *key, const char *format,
		 ...) _printf_(4, 5);
static bool hold(const struct evaluation *e, uint64_t *counter, const char *key, const char *format,
		 ...)
{
	va_list arguments;
	bool news = is_news(e->policy, key, e->now);

	va_start(arguments, format);
	vsnprintf(e->status->held, sizeof(e->status->held), format, arguments);
	va_end(arguments);
	if (news && counter)
		++*counter;
	return news;
}

/* What keeps from acting at all, up or down. */
static bool may_act(struct core *core, const struct evaluation *e)
{
	const struct policy_state *policy = e->policy;

	if (core->journal_error) {
		hold(e, NULL, "journal",
		     "the journal cannot be written (%s): nothing is launched or terminated until "
		     "forerun is restarted",
		     strerror(-core->journal_error));
		return false;
	}
	if (!policy->pool) {
		hold(e, NULL, "pool", "NodePool %s is not configured", policy->policy->pool);
		return false;
	}
	if (core->config.mode != MODE_ACT)
		return true;
	if (!core->fleet_known) {
		hold(e, NULL, "fleet", "EC2 has not yet said which instances there are");
		return false;
	}
	if (e->now.mono_ns < policy->backoff_ns) {
		hold(e, NULL, "backoff", "waits %.0f s after a failure: %s",
		     ceil((double)(policy->backoff_ns - e->now.mono_ns) / NS_PER_S),
		     policy->backoff_why);
		return false;
	}
	return true;
}

/* In observe mode nothing changes, so the same wish comes again and again: it is recorded when it
 * grows, or comes back after a while. */
static bool wish_is_known(struct core *core, int32_t *wish, uint64_t *since_ns, int32_t desired,
			  bool grows, const struct evaluation *e)
{
	uint64_t window_s = MAX(e->policy->policy->down.stabilization_s, 60U);
	bool known = *since_ns && e->now.mono_ns < *since_ns + window_s * NS_PER_S &&
		     (grows ? desired <= *wish : desired >= *wish);

	if (core->config.mode == MODE_ACT)
		return false;
	*since_ns = e->now.mono_ns;
	if (!known)
		*wish = desired;
	return known;
}

/* What was decided holds for the stabilisation window of scaling down, also when it was decided on
 * the forecast. */
static void scaled(struct policy_state *policy, int32_t replicas, int32_t change, struct moment now)
{
	struct hpa_recommendation *recommendation;

	hpa_scaled(&policy->up, now.mono_ns, change);
	hpa_scaled(&policy->down, now.mono_ns, change);
	if (change < 0)
		return;
	recommendation = vec_push(&policy->down.recommendations);
	recommendation->time_ns = now.mono_ns;
	recommendation->replicas = replicas;
}

static void decide_up(struct core *core, const struct evaluation *e, const struct plan *plan,
		      uint32_t count, const char *limits)
{
	struct record *record = record_new(core, DECISION_SCALE_UP, e->policy, e->now);

	if (!record)
		return;
	fill_record(core, record, e, &e->up);
	record->count = count;
	record->decision.replicas_decided = e->current + (int32_t)count;
	set_text(record->decision.limits, limits);
	if (journal_decision(core, record, e->now) < 0) {
		record->decision.closed = true;
		return;
	}
	if (core->config.mode == MODE_ACT) {
		if (order_place(core, record, plan, e->now) < 0) {
			record->decision.failed = count;
			record->decision.closed = true;
			may_act(core, e);
			return;
		}
		scaled(e->policy, record->decision.replicas_decided, (int32_t)count, e->now);
	} else {
		record_close_if_done(core, record, e->now);
	}
	record_changed(core, record);
}

/* Nothing more is launched before all that was launched is known. A launch under way is no news. */
static bool lane_is_free(struct core *core, const struct evaluation *e)
{
	char why[CLOUD_TEXT_SIZE];
	enum lane_state state = core->config.mode == MODE_ACT ? lane_state(core, e->policy->lane,
									   e->now, why, sizeof(why))
							      : LANE_FREE;

	if (state == LANE_FREE)
		return true;
	if (hold(e, NULL, state == LANE_HELD ? "sequence" : "order", "%s", why) &&
	    state == LANE_HELD)
		held_record(core, e, &e->up, "sequence of launches: bound");
	return false;
}

static void scale_up(struct core *core, const struct evaluation *e)
{
	_cleanup_(plan_free)
	struct plan plan = {0};
	struct policy_state *policy = e->policy;
	uint32_t wanted = (uint32_t)(e->up.desired - e->current);
	char limits[sizeof(((struct decision *)0)->limits)] = "";

	if (!may_act(core, e) || !lane_is_free(core, e))
		return;
	line_add(limits, sizeof(limits), "minReplicas %d, maxReplicas %d: %s",
		 policy->policy->min_replicas, policy->policy->max_replicas, e->up.reason);
	plan_make(core, policy->pool, wanted, NULL, e->now, &plan, limits, sizeof(limits));
	if (!plan.count && (core->config.mode == MODE_ACT || str_starts(plan.held_key, "limit"))) {
		if (hold(e, &core->totals.held_by_limit, plan.held_key, "%s", plan.held))
			held_record(core, e, &e->up, limits);
		return;
	}
	if (wish_is_known(core, &policy->wish_up, &policy->wish_up_ns, e->up.desired, true, e))
		return;
	decide_up(core, e, &plan, plan.count ? plan.count : wanted, limits);
}

static void decide_down(struct core *core, const struct evaluation *e, uint32_t count)
{
	struct record *record = record_new(core, DECISION_SCALE_DOWN, e->policy, e->now);

	if (!record)
		return;
	fill_record(core, record, e, &e->present);
	record->count = count;
	record->decision.replicas_decided = e->current - (int32_t)count;
	line_add(record->decision.limits, sizeof(record->decision.limits),
		 "only what forerun launched for this policy: %u may go, %u go, the youngest first",
		 retirable(core, e->policy), count);
	if (journal_decision(core, record, e->now) < 0) {
		record->decision.closed = true;
		return;
	}
	if (core->config.mode == MODE_ACT) {
		if (retire(core, record, e->policy, count, e->now) < 0) {
			record->decision.closed = true;
			may_act(core, e);
			return;
		}
		scaled(e->policy, record->decision.replicas_decided, -(int32_t)count, e->now);
	} else {
		record_close_if_done(core, record, e->now);
	}
	record_changed(core, record);
}

static void scale_down(struct core *core, const struct evaluation *e)
{
	struct policy_state *policy = e->policy;
	uint32_t count = MIN((uint32_t)(e->current - e->present.desired), retirable(core, policy));

	if (!count || !may_act(core, e))
		return;
	if (!policy->all_known || policy->stale) {
		hold(e, &core->totals.held_stale, "stale-down",
		     "scale-down waits: a signal is missing or stale, and no data is not zero");
		return;
	}
	if (policy->lane->waiting || policy->lane->orders.count) {
		hold(e, NULL, "order-open", "scale-down waits for a launch whose end is not known");
		return;
	}
	if (wish_is_known(core, &policy->wish_down, &policy->wish_down_ns, e->present.desired,
			  false, e))
		return;
	decide_down(core, e, count);
}

/* More is wanted, but only because of listeners that more would not help. */
static void hold_by_diagnosis(struct core *core, const struct evaluation *e)
{
	const struct witness *witness = policy_left_out(core, e->policy);
	char key[96];
	bool news;

	if (witness) {
		snprintf(key, sizeof(key), "diagnosis:%d:%s", (int)witness->diagnosis,
			 witness->address);
		news = hold(e, &core->totals.held_by_diagnosis, key, "%s: %s",
			    signal_diagnosis_text(witness->diagnosis), witness->reason);
	} else {
		news = hold(e, &core->totals.held_by_diagnosis, "diagnosis:idle",
			    "the target is exceeded, but no matching listener is under load");
	}
	if (news)
		held_record(core, e, &e->present, "diagnosis: bound");
}

static bool lifted_by_minimum(const struct evaluation *e)
{
	return e->current < e->policy->policy->min_replicas;
}

static void act(struct core *core, const struct evaluation *e)
{
	const struct policy_state *policy = e->policy;

	if (!core->leads) {
		hold(e, NULL, "standby", "another core leads: this one watches");
		return;
	}
	if (!policy->any_known) {
		hold(e, &core->totals.held_stale, "unknown", "no fresh signal: %s",
		     policy->policy->metrics.count ? policy->readings[0].why : "no metrics");
		return;
	}
	if (!policy->observed) {
		hold(e, &core->totals.held_first_observation, "first",
		     "the first observation: nothing is done on it");
		return;
	}
	if (e->up.desired > e->current && (policy->pressing || lifted_by_minimum(e)))
		scale_up(core, e);
	else if (MAX(e->up.desired, e->present.desired) > e->current)
		hold_by_diagnosis(core, e);
	else if (e->present.valid && e->present.desired < e->current)
		scale_down(core, e);
}

static void fill_status(struct policy_status *status, const struct evaluation *e)
{
	const struct policy_state *policy = e->policy;
	size_t count = MIN(policy->policy->metrics.count, ARRAY_SIZE(status->readings));

	for (size_t i = 0; i < count; i++) {
		status->readings[i] = policy->readings[i];
		status->readings[i].forecast = policy->readings_up[i].forecast;
		if (*policy->readings_up[i].why)
			set_text(status->readings[i].why, policy->readings_up[i].why);
	}
	status->result = e->up.desired > e->current ? e->up : e->present;
	status->replicas = e->current;
	status->ready = e->ready;
	status->pending = e->current - e->ready;
	status->wanted = status->result.desired;
	status->observed = policy->observed;
	status->held[0] = '\0';
}

static void evaluate_policy(struct core *core, size_t index, struct moment now, uint64_t edge_ns)
{
	struct policy_state *policy = &core->policies[index];
	struct evaluation e = {
		.policy = policy, .status = &core->status[index], .edge_ns = edge_ns, .now = now};
	struct hpa_input input = {.policy = policy->policy, .now_ns = now.mono_ns};

	policy_read(core, policy, now);
	replicas_count(core, policy, &e.current, &e.ready);
	input.current = e.current;
	input.ready = e.ready;
	input.readings = policy->readings;
	hpa_evaluate(&policy->down, &input, &e.present);
	input.readings = policy->readings_up;
	input.use_forecast = true;
	hpa_evaluate(&policy->up, &input, &e.up);
	core->totals.evaluations++;
	fill_status(e.status, &e);
	act(core, &e);
}

void evaluate_all(struct core *core, struct moment now, uint64_t edge_ns)
{
	core->last_evaluated_ns = now.mono_ns;
	for (size_t i = 0; i < core->policies_count; i++)
		evaluate_policy(core, i, now, edge_ns);
}
