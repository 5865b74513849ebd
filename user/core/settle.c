/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Orders without a known end that EC2's picture of the fleet tells the end of: all of it is there,
 * another launch is there under its number, or nothing more of it can turn up.
 */
#include "core/core_private.h"

static void settle_one(struct core *core, struct open_order *open, struct moment now)
{
	struct record *record = record_find(core, open->order.decision);
	struct launch_result result = {.outcome = LAUNCH_DONE};

	set_text(result.token, open->order.token);
	set_text(result.error_code, SETTLED_BY_TAGS);
	vec_for_each (it, &open->lane->instances)
		if (*open->order.group
			    ? result.instances.count < open->order.count && group_is_new(*it)
			    : order_is_of(open, *it)) {
			struct launched_instance *launched = vec_push(&result.instances);

			set_text(launched->id, (*it)->id);
			set_text(launched->instance_type, (*it)->instance_type);
			set_text(launched->zone, (*it)->zone);
		}
	journal_result(core, &result, now);
	record_step(core, record, now, "found by their %s: %zu of %u of %s %s",
		    *open->order.group ? "group" : "tags", result.instances.count,
		    open->order.count, order_action(open), open->order.token);
	order_over(core, open, &result, now);
	launch_result_free(&result);
}

/* EC2 shows another decision's instances under the number of this order. */
static bool shown_as_another(const struct open_order *open)
{
	vec_for_each (it, &open->lane->instances)
		if (open->order.sequence && strcmp((*it)->token, open->order.token) == 0 &&
		    strcmp((*it)->decision, open->order.decision) != 0)
			return true;
	return false;
}

static void settle_lost(struct core *core, struct open_order *open, struct moment now)
{
	struct launch_result result = {.outcome = LAUNCH_REFUSED};

	set_text(result.token, open->order.token);
	set_text(result.error_code, "IdempotentParameterMismatch");
	set_text(result.error_text, "EC2 shows another launch under this token");
	journal_result(core, &result, now);
	order_over(core, open, &result, now);
}

/* An order whose end is not known is settled when all of it is seen, when another is seen in its
 * place, or when nothing more of it can turn up. */
void orders_settle(struct core *core, uint64_t asked_ns, struct moment now)
{
	for (size_t i = core->orders.count; i-- > 0;) {
		struct open_order *open = core->orders.at[i];

		if (shown_as_another(open))
			settle_lost(core, open, now);
		else if (open->uncertain_ns &&
			 (order_coming(open) == 0 || group_order_late(core, open, asked_ns) ||
			  (open->settle_by_tags &&
			   asked_ns > open->uncertain_ns + visible_within(core))))
			settle_one(core, open, now);
	}
}
