/* SPDX-License-Identifier: Apache-2.0 */
/* spec.disruption of a NodePool, with the defaults of its definition. */
#include "documents/read.h"

#define BUDGETS_MAX 50
#define REASONS_MAX 50
#define ALL_REASONS ((1U << DISRUPTION_REASONS) - 1)
#define SCHEDULE                                                                          \
	"^(@(annually|yearly|monthly|weekly|daily|midnight|hourly))|((.+)[[:space:]](.+)" \
	"[[:space:]](.+)[[:space:]](.+)[[:space:]](.+))$"

static const char *const REASONS[] = {
	[REASON_UNDERUTILIZED] = "Underutilized",
	[REASON_EMPTY] = "Empty",
	[REASON_DRIFTED] = "Drifted",
};

const char *disruption_reason_text(enum disruption_reason reason)
{
	return REASONS[reason];
}

bool disruption_budget_active(const struct disruption_budget *budget, uint64_t wall_ns)
{
	uint64_t last;

	if (!budget->scheduled)
		return true;
	last = cron_last(&budget->schedule, wall_ns);
	return last && (wall_ns - last) / NS_PER_S < budget->duration_s;
}

/* None given is all of them; an empty list is none, and such a budget holds nothing back. */
static void read_reasons(const struct cursor *at, struct disruption_budget *budget)
{
	budget->reasons = ALL_REASONS;
	if (!read_list(at, REASONS_MAX))
		return;
	budget->reasons = 0;
	if (!at->node->count)
		warning_at(at->problems, at->node, "no reason: this budget holds nothing back");
	for (size_t i = 0; i < at->node->count; i++) {
		struct cursor item = cursor_item(at, i);
		size_t chosen = 0;

		if (!cursor_present(&item)) {
			cursor_expected(&item, "a reason");
		} else if (read_enum(&item, REASONS, ARRAY_SIZE(REASONS), &chosen)) {
			if (budget->reasons & (1U << chosen))
				cursor_refuse(&item, "found %s twice, expected it once",
					      REASONS[chosen]);
			budget->reasons |= 1U << chosen;
		}
	}
}

static void read_nodes(const struct cursor *at, struct disruption_budget *budget)
{
	_cleanup_free_ char *text = NULL;
	unsigned long long number;

	budget->percent = true;
	budget->nodes = 10;
	if (!read_matching(at, "^((100|[0-9]{1,2})%|[0-9]+)$",
			   "a number of nodes or a share such as 10%, in quotes", &text))
		return;
	number = strtoull(text, NULL, 10);
	budget->percent = str_ends(text, "%");
	budget->nodes = number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
}

static void read_window(const struct cursor *at, struct disruption_budget *budget)
{
	struct cursor schedule = cursor_field(at, "schedule");
	struct cursor duration = cursor_field(at, "duration");
	_cleanup_free_ char *text = NULL, *cron = NULL;
	const char *why = NULL;

	if (cursor_present(&schedule) != cursor_present(&duration))
		cursor_refuse(at, "found %s alone, expected schedule and duration together",
			      cursor_present(&schedule) ? "schedule" : "duration");
	if (read_matching(&duration, "^((([0-9]+(h|m))|([0-9]+h[0-9]+m))(0s)?)$",
			  "hours and minutes such as 8h, 30m or 1h30m", &text))
		budget->duration_s = duration_seconds(text);
	if (!read_matching(&schedule, SCHEDULE,
			   "minute, hour, day of month, month and day of week such as "
			   "\"0 9 * * mon-fri\", or @daily",
			   &cron))
		return;
	budget->scheduled = true;
	if (cron_parse(cron, &budget->schedule, &why) < 0)
		cursor_refuse(&schedule, "%s", why);
}

static void read_budget(const struct cursor *at, struct pool *pool)
{
	static const struct field FIELDS[] = {{"nodes"}, {"reasons"}, {"schedule"}, {"duration"}};
	struct cursor nodes = cursor_field(at, "nodes"), reasons = cursor_field(at, "reasons");
	struct disruption_budget budget = {0};

	if (!cursor_present(at)) {
		cursor_expected(at, "a budget");
		return;
	}
	if (!read_mapping(at, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	read_nodes(&nodes, &budget);
	read_reasons(&reasons, &budget);
	read_window(at, &budget);
	if (budget.reasons)
		*vec_push(&pool->budgets) = budget;
}

static void read_budgets(const struct cursor *at, struct pool *pool)
{
	pool->budgets_given = cursor_present(at);
	if (!pool->budgets_given)
		*vec_push(&pool->budgets) = (struct disruption_budget){
			.reasons = ALL_REASONS, .percent = true, .nodes = 10};
	if (!read_list(at, BUDGETS_MAX))
		return;
	for (size_t i = 0; i < at->node->count; i++) {
		struct cursor item = cursor_item(at, i);

		read_budget(&item, pool);
	}
}

void read_disruption(const struct cursor *spec, struct pool *pool)
{
	static const struct field FIELDS[] = {
		{"consolidateAfter", FIELD_REQUIRED, "a duration such as 0s, 5m or Never"},
		{"consolidationPolicy"},
		{"budgets"},
	};
	static const char *const POLICIES[] = {"WhenEmptyOrUnderutilized", "WhenEmpty", "Balanced"};
	struct cursor disruption = cursor_field(spec, "disruption");
	struct cursor after = cursor_field(&disruption, "consolidateAfter");
	struct cursor policy = cursor_field(&disruption, "consolidationPolicy");
	struct cursor budgets = cursor_field(&disruption, "budgets");
	size_t chosen = 0;

	if (cursor_present(&disruption) && disruption.node->kind != YAML_MAPPING) {
		cursor_expected(&disruption, "a mapping");
		return;
	}
	read_mapping(&disruption, FIELDS, ARRAY_SIZE(FIELDS));
	read_duration(&after, true, &pool->consolidate_after_s);
	if (read_enum(&policy, POLICIES, ARRAY_SIZE(POLICIES), &chosen))
		pool->consolidation = (enum consolidation_policy)chosen;
	read_budgets(&budgets, pool);
}
