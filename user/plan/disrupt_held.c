/* SPDX-License-Identifier: Apache-2.0 */
/* What holds nodes back, in words. */
#include <time.h>

#include "plan/disrupt_private.h"

const char *disrupt_reason_text(enum disrupt_reason reason)
{
	static const char *const texts[DISRUPT_REASONS] = {
		[DISRUPT_EMPTY] = "empty",
		[DISRUPT_EXPIRED] = "expired",
		[DISRUPT_DRIFTED] = "drifted",
		[DISRUPT_UNDERUTILIZED] = "underutilized",
	};

	return (size_t)reason < DISRUPT_REASONS ? texts[reason] : "unknown";
}

const char *disrupt_hold_text(enum disrupt_hold by)
{
	static const char *const texts[HOLD_REASONS] = {
		[HOLD_BUDGET] = "budget",	  [HOLD_CONSOLIDATE_AFTER] = "consolidate-after",
		[HOLD_POLICY] = "policy",	  [HOLD_BLOCKED] = "do-not-disrupt",
		[HOLD_PLACE] = "no-place",	  [HOLD_NODES] = "more-nodes",
		[HOLD_PRICE] = "price",		  [HOLD_SPOT_TO_SPOT] = "spot-to-spot",
		[HOLD_MIN_VALUES] = "min-values", [HOLD_BALANCED] = "balanced",
		[HOLD_UNKNOWN] = "unknown",	  [HOLD_LIMIT] = "limit",
	};

	return (size_t)by < HOLD_REASONS ? texts[by] : "unknown";
}

void search_hold(struct search *search, uint32_t node, enum disrupt_reason reason,
		 enum disrupt_hold by, const char *format, ...)
{
	struct disrupt_held *held = vec_push(&search->plan->held);
	va_list arguments;

	held->node = node;
	held->reason = reason;
	held->by = by;
	held->usd_saved = NAN;
	va_start(arguments, format);
	vsnprintf(held->why, sizeof(held->why), format, arguments);
	va_end(arguments);
}

static struct disrupt_held *last_held(struct search *search)
{
	return &search->plan->held.at[search->plan->held.count - 1];
}

void search_hold_until(struct search *search, uint64_t wall_ns)
{
	last_held(search)->until_wall_ns = wall_ns;
}

void search_hold_saves(struct search *search, double usd)
{
	last_held(search)->usd_saved = usd;
}

static void budget_words(const struct disruption_budget *budget, uint64_t until_ns, char *out,
			 size_t size)
{
	time_t until = (time_t)(until_ns / NS_PER_S);
	struct tm date;
	int n = snprintf(out, size, "the budget of %u%s", budget->nodes,
			 budget->percent      ? "%"
			 : budget->nodes == 1 ? " node"
					      : " nodes");

	if (!budget->scheduled)
		return;
	gmtime_r(&until, &date);
	n += snprintf(out + n, size - (size_t)n, " that is on until ");
	strftime(out + n, size - (size_t)n, "%Y-%m-%d %H:%M UTC", &date);
}

void search_hold_for_budget(struct search *search, uint32_t node, enum disrupt_reason reason)
{
	uint32_t pool = search->input->nodes[node].pool;
	const struct pool_count *count = &search->pools[pool];
	struct disrupt_allowance allowance;
	uint64_t until_ns = 0;
	char words[96] = "its budgets";

	disrupt_allowed(search->input->pools[pool], count->nodes, count->going, reason,
			search->input->wall_ns, &allowance);
	if (allowance.by && allowance.by->scheduled)
		until_ns = cron_last(&allowance.by->schedule, search->input->wall_ns) +
			   allowance.by->duration_s * NS_PER_S;
	if (allowance.by)
		budget_words(allowance.by, until_ns, words, sizeof(words));
	search_hold(search, node, reason, HOLD_BUDGET,
		    "%s lets %u of %u nodes go at once, %u go already or are not ready", words,
		    allowance.allowed, allowance.nodes, allowance.going);
	search_hold_until(search, until_ns);
}
