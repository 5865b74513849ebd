/* SPDX-License-Identifier: Apache-2.0 */
/* From what a policy wants to a decision and its calls. */
#include <math.h>

#include "core/drain.h"

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

/* ---- up ---- */

static void decide_up(struct core *core, const struct evaluation *e, const struct launch_plan *plan,
		      uint32_t count, const char *limits)
{
	struct record *record = record_new(core, DECISION_SCALE_UP, e->policy, e->now);

	if (!record)
		return;
	fill_record(core, record, e, true);
	record->count = count;
	record->decision.replicas_decided = e->policy->current + (int32_t)count;
	set_text(record->decision.limits, limits);
	plan_sources(plan, &record->decision);
	if (journal_decision(core, record, e->now) < 0) {
		record->decision.closed = true;
		return;
	}
	if (core->config.mode == MODE_ACT) {
		if (order_place(core, record, plan, e->now) < 0) {
			record->decision.failed = count;
			record->decision.closed = true;
			may_act(core, e, true);
			return;
		}
		scaled(e->policy, record->decision.replicas_decided, (int32_t)count, e->now);
	} else {
		set_text(e->policy->not_asked, record->decision.id);
		dry_run(core, e->policy, plan);
		record_close_if_done(core, record, e->now);
	}
	record_changed(core, record);
}

/* What made the order smaller, or took all of it. */
void plan_brakes(struct core *core, const struct evaluation *e, const struct launch_plan *plan,
		 uint32_t wanted)
{
	char text[CLOUD_TEXT_SIZE];

	snprintf(text, sizeof(text), "%u of %u are launched", plan_total(plan), wanted);
	for (int brake = 0; brake < BRAKE_COUNT; brake++)
		if (plan->brakes & 1U << brake)
			brake_policy(core, e->policy, (enum brake)brake,
				     plan_total(plan) ? text : plan->held);
}

/* Nothing more is launched before all that was launched is known. A launch under way is no news. */
static bool lane_is_free(struct core *core, const struct evaluation *e)
{
	struct held_by by = {"order", BRAKE_COUNT, NULL};
	char why[CLOUD_TEXT_SIZE];
	enum lane_state state;

	if (core->config.mode != MODE_ACT)
		return true;
	state = lane_state(core, e->policy->lane, e->now, why, sizeof(why));
	if (state == LANE_FREE)
		return true;
	if (state == LANE_HELD)
		by.key = "sequence";
	if (hold(core, e, &by, "%s", why) && state == LANE_HELD)
		held_record(core, e, true, "sequence of launches: bound");
	return false;
}

/* Room that exists: what drains for this policy, and can be called back, is there at once. Returns
 * how many were. */
static uint32_t call_back(struct core *core, const struct evaluation *e, uint32_t wanted)
{
	struct policy_state *policy = e->policy;
	struct instance *last = may_call(core) ? retire_last(policy->lane) : NULL;
	char names[CLOUD_TEXT_SIZE] = "";
	struct record *record;
	uint32_t count = 0;

	for (; last && last->drain->reason == RETIRE_SCALE_DOWN && count < wanted;
	     last = retire_last(policy->lane)) {
		if (retire_cancel(core, last, "it is wanted again", e->now) < 0)
			break;
		line_add(names, sizeof(names), "%s", last->id);
		count++;
	}
	record = count ? record_new(core, DECISION_SCALE_UP, policy, e->now) : NULL;
	if (!record)
		return count;
	fill_record(core, record, e, true);
	record->decision.sources[SOURCE_ROOM] =
		(struct source_choice){.asked = true, .count = count, .why = "was draining"};
	record->decision.replicas_decided = policy->current + (int32_t)count;
	record->decision.closed = true;
	journal_decision(core, record, e->now);
	for (char *name = strtok(names, "\n"); name; name = strtok(NULL, "\n"))
		record_step(core, record, e->now, "%s drains, and is called back", name);
	journal_closed(core, record, e->now);
	record_changed(core, record);
	scaled(policy, record->decision.replicas_decided, (int32_t)count, e->now);
	policy->current += (int32_t)count;
	return count;
}

static void scale_up(struct core *core, const struct evaluation *e)
{
	_cleanup_(plan_free)
	struct launch_plan plan = {0};
	struct policy_state *policy = e->policy;
	uint32_t wanted = (uint32_t)(policy->result_up.desired - policy->current);
	char limits[sizeof(((struct decision *)0)->limits)] = "";

	if (!may_act(core, e, true))
		return;
	wanted -= call_back(core, e, wanted);
	if (!wanted || !lane_is_free(core, e))
		return;
	line_add(limits, sizeof(limits), "minReplicas %d, maxReplicas %d: %s",
		 policy->policy->min_replicas, policy->policy->max_replicas,
		 policy->result_up.reason);
	plan_make(core, policy, wanted, NULL, e->now, &plan, limits, sizeof(limits));
	plan_brakes(core, e, &plan, wanted);
	if (!plan_total(&plan) &&
	    (core->config.mode == MODE_ACT || str_starts(plan.held_key, "limit"))) {
		const struct held_by by = {plan.held_key, BRAKE_COUNT, &core->totals.held_by_limit};

		if (hold(core, e, &by, "%s", plan.held) && !plan.waits)
			held_record(core, e, true, limits);
		return;
	}
	if (wish_is_known(core, &policy->wish_up, &policy->wish_up_ns, policy->result_up.desired,
			  true, e)) {
		dry_run(core, policy, &plan);
		return;
	}
	decide_up(core, e, &plan, plan_total(&plan) ? plan_total(&plan) : wanted, limits);
}

/* ---- down ---- */

static void decide_down(struct core *core, const struct evaluation *e, uint32_t count)
{
	struct record *record = record_new(core, DECISION_SCALE_DOWN, e->policy, e->now);

	if (!record)
		return;
	fill_record(core, record, e, false);
	record->count = count;
	record->decision.replicas_decided = e->policy->current - (int32_t)count;
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
			may_act(core, e, false);
			return;
		}
		scaled(e->policy, record->decision.replicas_decided, -(int32_t)count, e->now);
	} else {
		record_close_if_done(core, record, e->now);
	}
	record_changed(core, record);
}

/* No data is not zero. */
static bool hold_silence(struct core *core, const struct evaluation *e)
{
	const struct held_by stale = {"stale-down", BRAKE_COUNT, &core->totals.held_stale};
	const struct held_by silent = {"silent-down", BRAKE_SILENCE, &core->totals.held_silent};
	const struct policy_state *policy = e->policy;

	if (core->config.fleet && policy->stale)
		hold(core, e, &silent,
		     "scale-down is frozen: %u of %zu hosts of service %s are silent, more than "
		     "%g %%, and no data is not zero",
		     policy->hosts_silent, policy->service->members.count, policy->service->name,
		     100 * core->config.limits.silent_share);
	else if (!policy->all_known || policy->stale)
		hold(core, e, &stale,
		     "scale-down waits: a signal is missing or stale, and no data is not zero");
	else
		return false;
	return true;
}

static void scale_down(struct core *core, const struct evaluation *e)
{
	const struct held_by open = {"order-open", BRAKE_COUNT, NULL};
	struct policy_state *policy = e->policy;
	uint32_t count = MIN((uint32_t)(policy->current - policy->result_present.desired),
			     retirable(core, policy));

	if (!count || !may_act(core, e, false) || hold_silence(core, e))
		return;
	if (policy->lane->waiting || policy->lane->orders.count) {
		hold(core, e, &open, "scale-down waits for a launch whose end is not known");
		return;
	}
	if (wish_is_known(core, &policy->wish_down, &policy->wish_down_ns,
			  policy->result_present.desired, false, e))
		return;
	decide_down(core, e, count);
}

/* ---- neither ---- */

/* More is wanted, but only because of listeners that more would not help. */
static void hold_by_diagnosis(struct core *core, const struct evaluation *e)
{
	const struct witness *witness = policy_left_out(e->policy);
	char key[32 + ADDRESS_TEXT_SIZE] = "diagnosis:idle";
	const struct held_by by = {key, BRAKE_COUNT, &core->totals.held_by_diagnosis};
	bool news;

	if (witness) {
		snprintf(key, sizeof(key), "diagnosis:%d:%s", (int)witness->diagnosis,
			 witness->address);
		news = hold(core, e, &by, "%s: %s", signal_diagnosis_text(witness->diagnosis),
			    witness->reason);
	} else {
		news = hold(core, e, &by,
			    "the target is exceeded, but no matching listener is under load");
	}
	if (news)
		held_record(core, e, false, "diagnosis: bound");
}

/* More is wanted, but only because of one host that asks for more than one may. */
static void hold_by_host(struct core *core, const struct evaluation *e)
{
	const struct held_by by = {"host-replicas", BRAKE_HOST_REPLICAS, NULL};
	const struct policy_state *policy = e->policy;
	const char *why = "";

	for (size_t i = 0; i < policy->policy->metrics.count && !*why; i++)
		why = policy->readings_up[i].why;
	if (hold(core, e, &by, "%s", why))
		held_record(core, e, true, "replicas of one host: bound");
}

static void note_bounded(struct core *core, const struct evaluation *e)
{
	struct policy_state *policy = e->policy;
	char text[128];

	if (!policy->hosts_bounded)
		return;
	core->totals.host_reports_bounded += !(policy->brakes & 1U << BRAKE_HOST_REPLICAS);
	snprintf(text, sizeof(text), "%u hosts of service %.40s ask for more than %g replicas each",
		 policy->hosts_bounded, policy->service->name, core->config.limits.host_replicas);
	brake_policy(core, policy, BRAKE_HOST_REPLICAS, text);
}

static bool lifted_by_minimum(const struct policy_state *policy)
{
	return policy->current < policy->policy->min_replicas;
}

void act(struct core *core, const struct evaluation *e)
{
	const struct policy_state *policy = e->policy;
	int32_t up = policy->result_up.desired, present = policy->result_present.desired;

	if (!may_judge(core, e))
		return;
	note_bounded(core, e);
	if (up > policy->current && (policy->pressing || lifted_by_minimum(policy)))
		scale_up(core, e);
	else if (present > policy->current && policy->hosts_bounded)
		hold_by_host(core, e);
	else if (up > policy->current || (present > policy->current && !policy->silent_loaded))
		hold_by_diagnosis(core, e);
	else if (policy->result_present.valid && present < policy->current)
		scale_down(core, e);
}
