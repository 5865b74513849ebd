/* SPDX-License-Identifier: Apache-2.0 */
/* Budgets of a NodePool: how many of its nodes may go at once. */
#include "plan/disrupt_private.h"

static bool is_for(const struct disruption_budget *budget, enum disrupt_reason reason)
{
	static const uint32_t REASON_BITS[DISRUPT_REASONS] = {
		[DISRUPT_EMPTY] = 1U << REASON_EMPTY,
		[DISRUPT_DRIFTED] = 1U << REASON_DRIFTED,
		[DISRUPT_UNDERUTILIZED] = 1U << REASON_UNDERUTILIZED,
		[DISRUPT_EXPIRED] = (1U << DISRUPTION_REASONS) - 1,
	};

	return (budget->reasons & REASON_BITS[reason]) == REASON_BITS[reason];
}

static uint32_t allowed_by(const struct disruption_budget *budget, uint32_t nodes)
{
	if (!budget->percent)
		return budget->nodes;
	return (uint32_t)(((uint64_t)nodes * budget->nodes + 99) / 100);
}

void disrupt_allowed(const struct pool *pool, uint32_t nodes, uint32_t going,
		     enum disrupt_reason reason, uint64_t wall_ns, struct disrupt_allowance *out)
{
	*out = (struct disrupt_allowance){.nodes = nodes, .going = going, .allowed = UINT32_MAX};
	vec_for_each (budget, &pool->budgets) {
		uint32_t allowed = allowed_by(budget, nodes);

		if (!is_for(budget, reason) || allowed >= out->allowed ||
		    !disruption_budget_active(budget, wall_ns))
			continue;
		out->allowed = allowed;
		out->by = budget;
	}
	out->left = out->allowed - MIN(out->allowed, going);
}
