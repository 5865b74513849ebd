/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TerminateInstances: only instances that carry this installation's tags, that EC2 shows, and never
 * this host. Written down before the call, asked again until the answer is known: asked twice is
 * the same as once. And which instances a policy gives up when it shrinks: the youngest first.
 */
#include "core/drain.h"

/* It was to go once it was replaced, and nothing was bought for it yet. */
static bool waits_for_order(const struct instance *instance)
{
	const struct drain *drain = instance->drain;

	return drain && drain->state == DRAIN_REPLACING && !*drain->replacement &&
	       instance_live(instance);
}

/* How many of this policy could be terminated now. */
uint32_t retirable(const struct core *core, const struct policy_state *policy)
{
	uint32_t count = 0;

	vec_for_each (it, &policy->lane->instances)
		count += instance_may_go(core, *it) || waits_for_order(*it);
	return count;
}

static bool is_younger(const struct instance *a, const struct instance *b)
{
	if (a->launched_wall_ns != b->launched_wall_ns)
		return a->launched_wall_ns > b->launched_wall_ns;
	return strcmp(a->id, b->id) > 0;
}

/* The youngest that is younger than none of those that were chosen already. */
static struct instance *youngest(const struct core *core, const struct policy_state *policy,
				 const struct instance *before)
{
	struct instance *best = NULL;

	vec_for_each (it, &policy->lane->instances) {
		if (!instance_may_go(core, *it) || (before && !is_younger(before, *it)))
			continue;
		if (!best || is_younger(*it, best))
			best = *it;
	}
	return best;
}

/* These go first, and need no replacement any more. */
static uint32_t retire_waiting(struct core *core, struct record *record,
			       const struct policy_state *policy, uint32_t count, struct moment now)
{
	uint32_t n = 0;

	vec_for_each (it, &policy->lane->instances) {
		if (n == count || !waits_for_order(*it))
			continue;
		(*it)->drain->replacing = REPLACE_NOT;
		record_step(core, record, now, "%s was to go already: it is not replaced",
			    (*it)->id);
		drain_begins(core, (*it)->drain, "the policy wants fewer", now);
		n++;
	}
	return n;
}

int retire(struct core *core, struct record *record, struct policy_state *policy, uint32_t count,
	   struct moment now)
{
	const struct retire_request request = {
		.reason = RETIRE_SCALE_DOWN, .replacing = REPLACE_NOT, .record = record};
	_cleanup_free_ struct instance **chosen = calloc(MAX(count, 1U), sizeof(*chosen));
	uint32_t n = 0;

	if (!chosen)
		return -ENOMEM;
	count -= retire_waiting(core, record, policy, count, now);
	while (n < count && (chosen[n] = youngest(core, policy, n ? chosen[n - 1] : NULL)))
		n++;
	return retire_all(core, chosen, n, &request, now);
}

/* ---- one call ---- */

void open_retirement_free(struct open_retirement *open)
{
	if (!open)
		return;
	vec_free(&open->order.instances);
	free(open);
}

void retirement_mark(struct core *core, const struct open_retirement *open, bool terminating)
{
	vec_for_each (it, &open->order.instances) {
		struct instance *instance = instance_find(core, it->id);

		if (!instance)
			continue;
		instance->terminating = terminating;
		if (instance->drain && terminating)
			instance->drain->state = DRAIN_TERMINATING;
	}
}

static void retirement_ask(struct core *core, struct open_retirement *open, struct moment now)
{
	open->retry_ns = now.mono_ns + 120 * NS_PER_S;
	open->tries++;
	core->effects.terminate(core->effects.arg, &open->order);
}

struct open_retirement *retirement_new(struct core *core, const char *decision)
{
	struct open_retirement *open = calloc(1, sizeof(*open));

	if (!open)
		return NULL;
	set_text(open->order.decision, decision);
	open->order.number = ++core->retirements_made;
	return open;
}

void retirement_add(struct open_retirement *open, const struct instance *instance)
{
	struct launched_instance *chosen = vec_push(&open->order.instances);

	set_text(chosen->id, instance->id);
	set_text(chosen->instance_type, instance->instance_type);
	set_text(chosen->zone, instance->zone);
}

int retirement_go(struct core *core, struct open_retirement *open, struct moment now)
{
	struct record *record = record_find(core, open->order.decision);
	int r;

	group_of_retirement(core, open);
	r = journal_terminate(core, &open->order, now);
	if (r < 0) {
		open_retirement_free(open);
		return r;
	}
	*vec_push(&core->retirements) = open;
	retirement_mark(core, open, true);
	vec_for_each (instance, &open->order.instances)
		record_step(core, record, now, "terminating %s (%s, %s)", instance->id,
			    instance->instance_type, instance->zone);
	retirement_ask(core, open, now);
	return 0;
}

static void retirement_remove(struct core *core, struct open_retirement *open)
{
	for (size_t i = 0; i < core->retirements.count; i++)
		if (core->retirements.at[i] == open) {
			vec_remove(&core->retirements, i);
			break;
		}
	open_retirement_free(open);
}

static void refused(struct core *core, const struct open_retirement *open,
		    const struct terminate_result *result, struct moment now)
{
	char why[CLOUD_TEXT_SIZE];

	snprintf(why, sizeof(why), "EC2 does not terminate it: %s", result->error_code);
	retirement_mark(core, open, false);
	vec_for_each (it, &open->order.instances) {
		struct instance *instance = instance_find(core, it->id);

		if (instance)
			drain_refused(core, instance, why, now);
	}
}

void core_terminated(struct core *core, const struct terminate_result *result, struct moment now)
{
	struct record *record = record_find(core, result->decision);
	struct open_retirement *open = NULL;

	vec_for_each (it, &core->retirements)
		if ((*it)->order.number == result->number &&
		    strcmp((*it)->order.decision, result->decision) == 0)
			open = *it;
	if (!open)
		return;
	if (result->error == -EAGAIN) {
		open->retry_ns = now.mono_ns + backoff_after(result->decision, open->tries);
		if (open->tries <= 4)
			record_step(core, record, now,
				    "TerminateInstances: %s %s, asked again in %.1f s",
				    *result->error_code ? result->error_code : "no answer",
				    result->error_text,
				    (double)(open->retry_ns - now.mono_ns) / NS_PER_S);
		return;
	}
	journal_terminated(core, result, now);
	if (result->error) {
		record_step(core, record, now, "TerminateInstances refused: %s: %s, request %s",
			    result->error_code, result->error_text, result->request_id);
		refused(core, open, result, now);
		if (record)
			policy_backoff(core, record->decision.policy, result->error_code, now);
	} else {
		core->totals.terminations += open->order.instances.count;
		record_step(core, record, now, "EC2 terminates %zu, request %s",
			    open->order.instances.count, result->request_id);
	}
	retirement_remove(core, open);
	if (record) {
		record_close_if_done(core, record, now);
		record_changed(core, record);
	}
}

/* After a restart: what was to be terminated is terminated. */
void retirements_start(struct core *core, struct moment now)
{
	if (!core->leads)
		retirements_yield(core, "standby", now);
	vec_for_each (it, &core->retirements) {
		retirement_mark(core, *it, true);
		if (may_call(core))
			retirement_ask(core, *it, now);
	}
}

/* Nothing is called any more. What is there later, whoever leads decides anew. */
void retirements_yield(struct core *core, const char *why, struct moment now)
{
	while (core->retirements.count) {
		struct open_retirement *open = core->retirements.at[0];
		struct record *record = record_find(core, open->order.decision);
		struct terminate_result result = {.error = -ECANCELED};

		set_text(result.decision, open->order.decision);
		result.number = open->order.number;
		set_text(result.error_code, CODE_NOT_LEADER);
		journal_terminated(core, &result, now);
		retirement_mark(core, open, false);
		record_step(core, record, now,
			    "%s: TerminateInstances is not asked for again by this core", why);
		retirement_remove(core, open);
		if (record) {
			record_close_if_done(core, record, now);
			record_changed(core, record);
		}
	}
}

/* EC2 shows none of them any more, or as terminated. It would answer that it does not know them,
 * for ever. */
static bool all_gone(const struct core *core, const struct open_retirement *open)
{
	if (!core->fleet_known)
		return false;
	vec_for_each (it, &open->order.instances) {
		const struct instance *instance = instance_find(core, it->id);

		if (instance && !instance->gone)
			return false;
	}
	return true;
}

static void retirement_over(struct core *core, struct open_retirement *open, struct moment now)
{
	struct record *record = record_find(core, open->order.decision);
	struct terminate_result result = {0};

	set_text(result.decision, open->order.decision);
	result.number = open->order.number;
	set_text(result.error_code, "gone already");
	journal_terminated(core, &result, now);
	core->totals.terminations += open->order.instances.count;
	record_step(core, record, now, "all %zu are gone", open->order.instances.count);
	retirement_remove(core, open);
	if (record) {
		record_close_if_done(core, record, now);
		record_changed(core, record);
	}
}

uint64_t retirements_tick(struct core *core, struct moment now)
{
	uint64_t next_ns = UINT64_MAX;

	if (!may_call(core))
		return next_ns;
	for (size_t i = core->retirements.count; i-- > 0;) {
		struct open_retirement *open = core->retirements.at[i];

		if (open->retry_ns <= now.mono_ns && all_gone(core, open)) {
			retirement_over(core, open, now);
			continue;
		}
		if (open->retry_ns <= now.mono_ns)
			retirement_ask(core, open, now);
		next_ns = MIN(next_ns, open->retry_ns);
	}
	return next_ns;
}
