/* SPDX-License-Identifier: Apache-2.0 */
/* Signals for people and for other systems: OpenMetrics text, JSON, the live table. */
#ifndef FORERUN_EXPORT_EXPORT_H
#define FORERUN_EXPORT_EXPORT_H

#include "base/text.h"
#include "signal/signal.h"

/* OpenMetrics 1.0 text of the listeners' signals and the agent's own health, without the final "#
 * EOF" (others may add their own families: export_openmetrics_family, _value; end with
 * export_openmetrics_end). */
void export_openmetrics_signals(struct text *out, const struct indicator *indicators, size_t count,
				const struct probe_health *health, uint64_t now_ns);
/* type: "gauge", "counter" (name without _total; it is added). */
void export_openmetrics_family(struct text *out, const char *name, const char *type,
			       const char *unit, const char *help);
/* labels: "policy", "web", NULL: pairs, ended by NULL. NaN values are left out. */
void export_openmetrics_value(struct text *out, const char *name, const char *type, double value,
			      const char *const *labels);
void export_openmetrics_end(struct text *out);
#define EXPORT_OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* {"time":...,"listeners":[...]}: every metric and statistic that is known, labels, diagnosis. */
void export_json_signals(struct text *out, const struct indicator *indicators, size_t count,
			 struct moment now);

/* ---- the live table, drawn as plain text with ANSI only where color is set ---- */

struct table_policy {
	char name[64], metric[96];
	double value, target;
	int32_t replicas, ready, wanted;
	char note[160];
};
struct table_decision {
	uint64_t wall_ns;
	char id[48], text[200];
};
struct table {
	const char *title; /* "forerun 0.1.0  host  observe  up 12 s" */
	const struct indicator *indicators;
	size_t count;
	const struct table_policy *policies;
	size_t policies_count;
	const struct table_decision *decisions;
	size_t decisions_count;
	const char *const *log_lines;
	size_t log_count;
	unsigned width, height; /* of the terminal */
	bool color;
};
/* Exactly height lines or fewer, none wider than width columns. */
void export_table(struct text *out, const struct table *table);

#endif
