/* SPDX-License-Identifier: Apache-2.0 */
/* What keeps from acting on what a policy wants, and how it is said: once an occasion, not on every
 * tick. */
#include <math.h>

#include "core/core_private.h"

#define HELD_AGAIN_NS (60 * NS_PER_S)

/* Whether that reason is new: not told before, or not within the last minute. */
static bool is_news(struct policy_state *policy, const char *key, struct moment now)
{
	struct held_memory *oldest = &policy->told[0];

	for (size_t i = 0; i < ARRAY_SIZE(policy->told); i++) {
		struct held_memory *known = &policy->told[i];

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

bool hold(struct core *core, const struct evaluation *e, const struct held_by *by,
	  const char *format, ...)
{
	struct policy_state *policy = e->policy;
	bool news = is_news(policy, by->key, e->now);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(policy->held, sizeof(policy->held), format, arguments);
	va_end(arguments);
	if (news && by->counter)
		++*by->counter;
	if (by->brake < BRAKE_COUNT)
		brake_policy(core, policy, by->brake, policy->held);
	return news;
}

void fill_record(struct core *core, struct record *record, const struct evaluation *e, bool up)
{
	const struct policy_state *policy = e->policy;
	struct decision *decision = &record->decision;
	struct hpa_input input = policy_input(policy, up, e->now);

	decision->edge_ns = e->edge_ns;
	decision->replicas_before = policy->current;
	decision->replicas_wanted = up ? policy->result_up.desired : policy->result_present.desired;
	hpa_explain(up ? &policy->up : &policy->down, &input, decision->arithmetic);
	policy_signals_text(policy, e->now, decision->signals, sizeof(decision->signals));
	core->totals.decisions++;
}

void held_record(struct core *core, const struct evaluation *e, bool up, const char *limits)
{
	struct record *record = record_new(core, DECISION_HELD, e->policy, e->now);

	if (!record)
		return;
	fill_record(core, record, e, up);
	record->decision.replicas_decided = e->policy->current;
	set_text(record->decision.limits, limits);
	record->decision.closed = true;
	journal_decision(core, record, e->now);
	record_step(core, record, e->now, "held: %s", e->policy->held);
	journal_closed(core, record, e->now);
	record_changed(core, record);
}

static void hold_journal(struct core *core, const struct evaluation *e)
{
	const struct held_by by = {"journal", BRAKE_JOURNAL, NULL};

	hold(core, e, &by,
	     "the journal cannot be written (%s): nothing is launched or terminated until forerun "
	     "is restarted",
	     strerror(-core->journal_error));
}

static void hold_pause(struct core *core, const struct evaluation *e, bool up)
{
	const struct held_by by = {"pause", BRAKE_PAUSE, &core->totals.held_paused};

	if (hold(core, e, &by, "%s", core->brakes[BRAKE_PAUSE].text))
		held_record(core, e, up, "pause: bound");
}

static void hold_backoff(struct core *core, const struct evaluation *e)
{
	const struct held_by by = {"backoff", BRAKE_BACKOFF, NULL};
	const struct policy_state *policy = e->policy;

	hold(core, e, &by, "waits %.0f s after a failure: %s",
	     ceil((double)(policy->backoff_ns - e->now.mono_ns) / NS_PER_S), policy->backoff_why);
}

/* What only keeps from calls, and so from nothing in observe mode. */
static bool may_call_now(struct core *core, const struct evaluation *e)
{
	const struct held_by fleet = {"fleet", BRAKE_COUNT, NULL};

	if (core->config.mode != MODE_ACT)
		return true;
	if (!core->fleet_known)
		hold(core, e, &fleet, "EC2 has not yet said which instances there are");
	else if (e->now.mono_ns < e->policy->backoff_ns)
		hold_backoff(core, e);
	else
		return true;
	return false;
}

bool may_act(struct core *core, const struct evaluation *e, bool up)
{
	const struct held_by pool = {"pool", BRAKE_COUNT, NULL};

	if (core->journal_error)
		hold_journal(core, e);
	else if (core->pauses.count)
		hold_pause(core, e, up);
	else if (!e->policy->pool)
		hold(core, e, &pool, "NodePool %s is not configured", e->policy->policy->pool);
	else
		return may_call_now(core, e);
	return false;
}

static bool hold_unknown(struct core *core, const struct evaluation *e)
{
	const struct held_by by = {"unknown", BRAKE_COUNT, &core->totals.held_stale};
	const struct policy_state *policy = e->policy;

	if (policy->any_known)
		return false;
	if (core->config.fleet && !policy->service->members.count)
		hold(core, e, &by, "no fresh signal: no host of service %s reports",
		     policy->service->name);
	else
		hold(core, e, &by, "no fresh signal: %s",
		     policy->policy->metrics.count ? policy->readings[0].why : "no metrics");
	return true;
}

static bool hold_first(struct core *core, const struct evaluation *e)
{
	const struct held_by by = {"first", BRAKE_FIRST_OBSERVATION,
				   &core->totals.held_first_observation};
	const struct policy_state *policy = e->policy;

	if (!policy->observed)
		hold(core, e, &by, "the first observation: nothing is done on it");
	else if (!service_settled(core, policy->service, e->now))
		hold(core, e, &by, "hosts of service %s still join after the start: %zu so far",
		     policy->service->name, policy->service->members.count);
	else
		return false;
	return true;
}

/* What must be there before anything is wanted at all. */
bool may_judge(struct core *core, const struct evaluation *e)
{
	const struct held_by standby = {"standby", BRAKE_STANDBY, NULL};

	if (!core->leads) {
		hold(core, e, &standby, "another core leads: this one watches");
		return false;
	}
	return !hold_unknown(core, e) && !hold_first(core, e);
}
