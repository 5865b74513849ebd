/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a look found is begun: what nobody wants drains, what is too old or has drifted serves until
 * one more of the same does, and what is to be cheaper until one that is cheaper does, bought for
 * that price and no other. Each was found by two looks in a row, and each is a decision.
 */
#include <math.h>

#include "core/give.h"

static enum retire_reason reason_of(enum disrupt_reason reason)
{
	static const enum retire_reason reasons[DISRUPT_REASONS] = {
		[DISRUPT_EMPTY] = RETIRE_EMPTY,
		[DISRUPT_EXPIRED] = RETIRE_EXPIRED,
		[DISRUPT_DRIFTED] = RETIRE_DRIFTED,
		[DISRUPT_UNDERUTILIZED] = RETIRE_UNDERUTILIZED,
	};

	return reasons[reason];
}

static bool acts(const struct look *look)
{
	return look->core->config.mode == MODE_ACT;
}

/* ---- the decision ---- */

static void say_budget(const struct look *look, const struct disrupt_node *node,
		       enum disrupt_reason reason, char *out, size_t size)
{
	const struct disrupt_allowance *allowance = &look->plan.pools[node->pool].allowance[reason];
	const char *pool = look->pools[node->pool]->name;

	if (allowance->allowed == UINT32_MAX)
		line_add(out, size, "NodePool %s has no budget for it: not bound", pool);
	else
		line_add(out, size,
			 "budget of NodePool %s: %u of %u may go at once, %u went already or are "
			 "not ready",
			 pool, allowance->allowed, allowance->nodes, allowance->going);
}

static void say_others(const struct look *look, const struct disrupt_node *node, char *out,
		       size_t size)
{
	const struct giving_view *view = &look->core->giving.pools.at[node->pool];

	for (int by = 0; by < HOLD_REASONS; by++)
		if (view->held[by] && by != HOLD_PRICE)
			line_add(out, size, "held back: %u (%s): %s", view->held[by],
				 disrupt_hold_text((enum disrupt_hold)by), view->holds[by]);
}

static void fill(const struct look *look, const struct disrupt_command *command,
		 const struct disrupt_node *node, bool goes_alone, struct decision *decision)
{
	char saves[96] = "";

	if (!isnan(command->usd_saved) && command->reason != DISRUPT_UNDERUTILIZED &&
	    command->replacements.count && command->usd_after > 0)
		snprintf(saves, sizeof(saves), "; %.4g USD an hour now, %.4g then",
			 command->usd_before, command->usd_after);
	snprintf(decision->arithmetic, sizeof(decision->arithmetic), "%s: %s%s",
		 disrupt_reason_text(command->reason), command->why, saves);
	decision->replicas_decided = decision->replicas_before - goes_alone;
	say_budget(look, node, command->reason, decision->limits, sizeof(decision->limits));
	say_others(look, node, decision->limits, sizeof(decision->limits));
}

/* Also of an instance whose policy is gone. */
static struct record *record_for(const struct look *look, const struct disrupt_command *command,
				 uint32_t n, enum decision_kind kind)
{
	const struct instance *instance = look->instances.at[n];
	const struct policy_state *policy = give_policy(look, instance);
	const struct policy gone = {.name = (char *)instance->policy,
				    .pool = (char *)instance->pool};
	const struct policy_state stand_in = {.policy = &gone};
	struct record *record =
		record_new(look->core, kind, policy ? policy : &stand_in, look->now);

	if (!record)
		return NULL;
	if (policy) {
		record->decision.replicas_before = policy->current;
		record->decision.replicas_wanted = policy->result_present.valid
							   ? policy->result_present.desired
							   : policy->current;
	}
	fill(look, command, &look->nodes.at[n], kind == DECISION_RETIRE && !policy,
	     &record->decision);
	look->core->totals.decisions++;
	return record;
}

/* Observe mode: once for each instance and reason. */
static void wish(const struct look *look, const struct disrupt_command *command, uint32_t n)
{
	struct instance *instance = look->instances.at[n];
	struct record *record;

	if (instance->wishes & (1U << command->reason))
		return;
	instance->wishes |= 1U << command->reason;
	record = record_for(look, command, n, DECISION_RETIRE);
	if (!record)
		return;
	record_step(look->core, record, look->now, "observe mode: %s (%s, %s) stays", instance->id,
		    instance->instance_type, instance->zone);
	journal_decision(look->core, record, look->now);
	record_close_if_done(look->core, record, look->now);
	record_changed(look->core, record);
}

/* ---- beginning ---- */

static void begin(const struct look *look, const struct disrupt_command *command, uint32_t n,
		  enum replacing replacing, const char *replacement)
{
	struct instance *instance = look->instances.at[n];
	struct record *record = record_for(look, command, n, DECISION_RETIRE);
	const struct retire_request request = {.reason = reason_of(command->reason),
					       .replacing = replacing,
					       .replacement = replacement,
					       .record = record};

	if (!record || journal_decision(look->core, record, look->now) < 0)
		return;
	if (retire_begin(look->core, instance, &request, look->now) < 0) {
		record->decision.closed = true;
		record_changed(look->core, record);
		return;
	}
	look->core->giving.commands[command->reason]++;
}

/* ---- a cheaper one ---- */

/* What it may cost at most. Of spot for spot the set is the cheapest types of the command, so that
 * what EC2 takes of it is not looked at again at once. */
static double usd_below(const struct look *look, const struct disrupt_command *command)
{
	const struct instance *instance = look->instances.at[command->nodes.at[0]];
	const struct disrupt_offerings *set = &command->replacements.at[0];
	double most = 0;

	if (instance->capacity_type != CAPACITY_SPOT)
		return command->usd_before;
	for (size_t i = 0; i < set->list.count; i++) {
		bool new_type = true;

		for (size_t j = 0; j < i && new_type; j++)
			new_type = strcmp(set->list.at[j]->instance_type,
					  set->list.at[i]->instance_type) != 0;
		if (new_type)
			most = MAX(most, set->list.at[i]->usd_per_hour);
	}
	return MIN(nextafter(most, INFINITY), command->usd_before);
}

static bool lane_may(const struct look *look, const struct policy_state *policy,
		     char why[CLOUD_TEXT_SIZE])
{
	if (look->now.mono_ns < policy->backoff_ns) {
		snprintf(why, CLOUD_TEXT_SIZE, "waits after a failure: %.180s",
			 policy->backoff_why);
		return false;
	}
	return lane_state(look->core, policy->lane, look->now, why, CLOUD_TEXT_SIZE) == LANE_FREE;
}

/* Ordered within every limit; NULL: not now. */
static struct record *buy(const struct look *look, const struct disrupt_command *command,
			  struct policy_state *policy)
{
	_cleanup_(plan_free)
	struct launch_plan plan = {0};
	const struct record priced = {.usd_below = usd_below(look, command)};
	char limits[sizeof(((struct decision *)0)->limits)] = "";
	struct core *core = look->core;
	struct record *record;

	plan_make(core, policy, 1, &priced, look->now, &plan, limits, sizeof(limits));
	if (plan_total(&plan) != 1)
		return NULL;
	record = record_for(look, command, command->nodes.at[0], DECISION_REPLACE);
	if (!record)
		return NULL;
	record->count = 1;
	record->usd_below = priced.usd_below;
	record->decision.replicas_decided++;
	set_text(record->decision.limits, limits);
	plan_sources(&plan, &record->decision);
	if (journal_decision(core, record, look->now) < 0 ||
	    order_place(core, record, &plan, look->now) < 0) {
		record->decision.failed = 1;
		record->decision.closed = true;
		return NULL;
	}
	record_step(core, record, look->now, "takes the place of %s: below %.4g USD an hour",
		    look->instances.at[command->nodes.at[0]]->id, priced.usd_below);
	record_changed(core, record);
	return record;
}

static void make_cheaper(const struct look *look, const struct disrupt_command *command)
{
	uint32_t n = command->nodes.at[0];
	struct policy_state *policy = give_policy(look, look->instances.at[n]);
	char why[CLOUD_TEXT_SIZE], id[48];
	struct record *record;

	if (!policy || !lane_may(look, policy, why))
		return;
	record = buy(look, command, policy);
	if (!record)
		return;
	set_text(id, record->decision.id);
	begin(look, command, n, REPLACE_FIRST, id);
	look->core->giving.usd_saved += command->usd_saved;
	counts_old(look->core);
}

/* ---- all of them ---- */

/* Nothing is done on the first observation. */
static bool found_twice(const struct look *look, struct instance *instance)
{
	bool twice = instance->chosen && instance->chosen + 1 == look->core->giving.look;

	instance->chosen = look->core->giving.look;
	return twice;
}

static void carry_out(const struct look *look, const struct disrupt_command *command, uint32_t n)
{
	if (!acts(look))
		wish(look, command, n);
	else if (!may_call(look->core))
		return;
	else if (command->reason == DISRUPT_UNDERUTILIZED)
		make_cheaper(look, command);
	else
		begin(look, command, n, command->replacements.count ? REPLACE_FIRST : REPLACE_NOT,
		      NULL);
}

void give_act(struct look *look)
{
	vec_for_each (command, &look->plan.commands)
		vec_for_each (n, &command->nodes)
			if (found_twice(look, look->instances.at[*n]))
				carry_out(look, command, *n);
}
