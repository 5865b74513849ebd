/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Observe mode: EC2 is asked whether it would have allowed the call that was not made (CreateFleet
 * with DryRun), once for each recorded decision. What it says becomes a step of the decision.
 */
#include "core/core_private.h"

/* The plan may be there later than the decision: before the class is known nothing can be asked. */
void dry_run(struct core *core, struct policy_state *policy, const struct launch_plan *plan)
{
	const struct record *record =
		*policy->not_asked ? record_find(core, policy->not_asked) : NULL;
	struct launch_order order = {
		.dry_run = true, .capacity_type = plan->capacity_type, .count = plan->count};

	if (!record || !plan->count || !core->effects.launch)
		return;
	policy->not_asked[0] = '\0';
	set_text(order.token, record->decision.id);
	set_text(order.decision, record->decision.id);
	set_text(order.pool, record->decision.pool);
	set_text(order.policy, record->decision.policy);
	vec_for_each (override, &plan->overrides)
		*vec_push(&order.overrides) = *override;
	order_tags(core, &order);
	group_dry_run_fill(core, policy, &order);
	core->totals.dry_runs++;
	core->effects.launch(core->effects.arg, &order);
	launch_order_free(&order);
}

/* True when it was one: then there is nothing else to be made of the answer. */
bool dry_run_answered(struct core *core, const struct launch_result *result, struct moment now)
{
	struct record *record = record_find(core, result->token);

	/* The token of a call that may launch is never a decision's id in observe mode. */
	if (!record || record->decision.mode != MODE_OBSERVE)
		return false;
	if (strcmp(result->error_code, "DryRunOperation") == 0 || result->outcome == LAUNCH_DONE)
		record_step(core, record, now, "EC2 would have allowed it, request %s",
			    *result->request_id ? result->request_id : "?");
	else
		record_step(core, record, now,
			    "EC2 would not have allowed it: %s: %.150s, request %s",
			    *result->error_code ? result->error_code : "no answer",
			    result->error_text, *result->request_id ? result->request_id : "?");
	record_changed(core, record);
	return true;
}
