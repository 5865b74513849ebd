/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scale-down: terminates only instances that carry this policy's tags, that EC2 shows, and never
 * this host. The youngest go first. Written down before the call, asked again until the answer is
 * known: TerminateInstances twice is the same as once.
 */
#include "core/core_private.h"

static bool may_go(const struct core *core, const struct instance *instance)
{
	return instance_live(instance) && instance->seen && !instance->missing_ns &&
	       strcmp(instance->id, core->config.instance_id) != 0;
}

/* How many of this policy could be terminated now. */
uint32_t retirable(const struct core *core, const struct policy_state *policy)
{
	uint32_t count = 0;

	vec_for_each (it, &policy->lane->instances)
		count += may_go(core, *it);
	return count;
}

static struct instance *youngest(const struct core *core, const struct policy_state *policy)
{
	struct instance *best = NULL;

	vec_for_each (it, &policy->lane->instances) {
		if (!may_go(core, *it))
			continue;
		if (!best || (*it)->launched_wall_ns > best->launched_wall_ns ||
		    ((*it)->launched_wall_ns == best->launched_wall_ns &&
		     strcmp((*it)->id, best->id) > 0))
			best = *it;
	}
	return best;
}

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

		if (instance)
			instance->terminating = terminating;
	}
}

static void retirement_ask(struct core *core, struct open_retirement *open, struct moment now)
{
	open->retry_ns = now.mono_ns + 120 * NS_PER_S;
	open->tries++;
	core->effects.terminate(core->effects.arg, &open->order);
}

static void choose(struct core *core, const struct policy_state *policy, uint32_t count,
		   struct terminate_order *order)
{
	while (count--) {
		struct instance *instance = youngest(core, policy);
		struct launched_instance *chosen;

		if (!instance)
			return;
		instance->terminating = true;
		chosen = vec_push(&order->instances);
		set_text(chosen->id, instance->id);
		set_text(chosen->instance_type, instance->instance_type);
		set_text(chosen->zone, instance->zone);
	}
}

int retire(struct core *core, struct record *record, struct policy_state *policy, uint32_t count,
	   struct moment now)
{
	struct open_retirement *open = calloc(1, sizeof(*open));
	int r;

	if (!open)
		return -ENOMEM;
	set_text(open->order.decision, record->decision.id);
	choose(core, policy, count, &open->order);
	r = journal_terminate(core, &open->order, now);
	if (r < 0) {
		retirement_mark(core, open, false);
		open_retirement_free(open);
		return r;
	}
	*vec_push(&core->retirements) = open;
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

void core_terminated(struct core *core, const struct terminate_result *result, struct moment now)
{
	struct record *record = record_find(core, result->decision);
	struct open_retirement *open = NULL;

	vec_for_each (it, &core->retirements)
		if (strcmp((*it)->order.decision, result->decision) == 0)
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
		retirement_mark(core, open, false);
		record_step(core, record, now, "TerminateInstances refused: %s: %s, request %s",
			    result->error_code, result->error_text, result->request_id);
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
