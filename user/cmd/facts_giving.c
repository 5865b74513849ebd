/* SPDX-License-Identifier: Apache-2.0 */
/* What could be given back, and what holds it: for /v1/status and /metrics. */
#include <math.h>

#include "cmd/facts.h"

/* ---- /v1/status ---- */

static void member(struct text *out, const char *key, const char *value)
{
	text_printf(out, "\"%s\":", key);
	text_add_json(out, value);
	text_add_char(out, ',');
}

static void add_held(const struct giving_view *view, struct text *out)
{
	bool any = false;

	text_add(out, "\"held\":[");
	for (int by = 0; by < HOLD_REASONS; by++) {
		if (!view->held[by])
			continue;
		text_add(out, any ? ",{" : "{");
		any = true;
		member(out, "by", disrupt_hold_text((enum disrupt_hold)by));
		text_printf(out, "\"instances\":%u,\"why\":", view->held[by]);
		text_add_json(out, view->holds[by]);
		text_add_char(out, '}');
	}
	text_add_char(out, ']');
}

static void add_pool(const struct giving_view *view, struct moment now, struct text *out)
{
	double seconds = ((double)view->next_wall_ns - (double)now.wall_ns) / NS_PER_S;

	text_add_char(out, '{');
	member(out, "pool", view->pool->name);
	text_printf(out, "\"drifted\":%u,\"expired\":%u,", view->drifted, view->expired);
	member(out, "drift", view->drift);
	member(out, "expires_next", view->next);
	if (*view->next)
		text_printf(out, "\"expires_in_s\":%.0f,", seconds);
	text_printf(out, "\"usd_per_hour_saves\":%.6f,\"usd_per_hour_held\":%.6f,", view->usd_saves,
		    view->usd_held);
	add_held(view, out);
	text_add_char(out, '}');
}

void giving_json(const struct facts *facts, struct moment now, struct text *out)
{
	struct giving_totals giving;

	core_giving(facts->core, &giving);
	text_printf(out, "{\"looks\":%llu,\"usd_per_hour_saved\":%.6f,\"pools\":[",
		    (unsigned long long)giving.looks, giving.usd_saved);
	for (size_t i = 0; i < giving.pools_count; i++) {
		if (i)
			text_add_char(out, ',');
		add_pool(&giving.pools[i], now, out);
	}
	text_add(out, "]}");
}

/* ---- /metrics ---- */

static void gauges_by_reason(struct export_metrics *metrics, const char *name, const char *help,
			     const struct giving_totals *giving, bool of_budget)
{
	export_metrics_family(metrics, name, "gauge", NULL, help);
	for (size_t i = 0; i < giving->pools_count; i++)
		for (enum disrupt_reason r = DISRUPT_EMPTY; r < DISRUPT_REASONS; r++) {
			const struct giving_view *view = &giving->pools[i];
			uint32_t allowed = view->allowance[r].allowed;
			const char *labels[] = {"pool", view->pool->name, "reason",
						disrupt_reason_text(r), NULL};

			if (of_budget && allowed == UINT32_MAX)
				continue;
			export_metrics_value(metrics, name, "gauge",
					     of_budget ? allowed : view->eligible[r], labels);
		}
}

static void savings(struct export_metrics *metrics, const struct giving_totals *giving)
{
	static const char name[] = "forerun_consolidation_usd_per_hour";

	export_metrics_family(metrics, name, "gauge", NULL,
			      "What consolidation would save in an hour: now, and what is held "
			      "back.");
	for (size_t i = 0; i < giving->pools_count; i++) {
		const struct giving_view *view = &giving->pools[i];
		const char *now[] = {"pool", view->pool->name, "state", "possible", NULL};
		const char *held[] = {"pool", view->pool->name, "state", "held", NULL};

		export_metrics_value(metrics, name, "gauge", view->usd_saves, now);
		export_metrics_value(metrics, name, "gauge", view->usd_held, held);
	}
}

void giving_metrics(const struct facts *facts, struct export_metrics *metrics)
{
	struct giving_totals giving;

	core_giving(facts->core, &giving);
	export_metrics_family(metrics, "forerun_disruptions", "counter", NULL,
			      "Instances that were chosen to be given back, by why.");
	for (enum disrupt_reason r = DISRUPT_EMPTY; r < DISRUPT_REASONS; r++) {
		const char *labels[] = {"reason", disrupt_reason_text(r), NULL};

		export_metrics_value(metrics, "forerun_disruptions", "counter",
				     (double)giving.begun[r], labels);
	}
	export_metrics_family(metrics, "forerun_consolidated_usd_per_hour", "gauge", NULL,
			      "What consolidation has saved in an hour since this start.");
	export_metrics_value(metrics, "forerun_consolidated_usd_per_hour", "gauge",
			     giving.usd_saved, NULL);
	if (!giving.pools_count)
		return;
	gauges_by_reason(metrics, "forerun_disruption_eligible",
			 "Instances that could be given back, budgets aside, by why.", &giving,
			 false);
	gauges_by_reason(metrics, "forerun_disruption_budget",
			 "Instances of a NodePool that may go at once by its budgets, by why; "
			 "absent where no budget says.",
			 &giving, true);
	savings(metrics, &giving);
}
