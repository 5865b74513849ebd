/* SPDX-License-Identifier: Apache-2.0 */
/* Signals for people and for other systems: metrics text, JSON, the live table. */
#ifndef FORERUN_EXPORT_EXPORT_H
#define FORERUN_EXPORT_EXPORT_H

#include "base/text.h"
#include "signal/signal.h"

/* ---- metrics text: Prometheus' classic format 0.0.4, or OpenMetrics 1.0 ---- */

enum export_dialect { EXPORT_PROMETHEUS, EXPORT_OPENMETRICS };

struct export_metrics {
	struct text *out;
	enum export_dialect dialect;
};

#define EXPORT_PROMETHEUS_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define EXPORT_OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* What a scraper's Accept header asks for (NULL: no header): OpenMetrics only where it is named. */
enum export_dialect export_dialect_of(const char *accept);
const char *export_dialect_type(enum export_dialect dialect);

/* The head of a family. type: "gauge", "counter" (name without _total; it is added), "histogram".
 * unit: "seconds", "bytes" and so on where the name ends in it, else NULL. */
void export_metrics_family(struct export_metrics *metrics, const char *name, const char *type,
			   const char *unit, const char *help);
/* One value of that family; type is "gauge" or "counter". labels: "policy", "web", NULL: pairs,
 * ended by NULL; may be NULL itself. A NaN is "not known" and left out. */
void export_metrics_value(struct export_metrics *metrics, const char *name, const char *type,
			  double value, const char *const *labels);
/* The samples of a histogram with those labels (as above). counts: of each bucket by itself, one
 * more than there are bounds, the last for what is above all of them. */
void export_metrics_histogram(struct export_metrics *metrics, const char *name,
			      const double *bounds, size_t bounds_count, const uint64_t *counts,
			      double sum, const char *const *labels);
/* The end: "# EOF" where the dialect has one. */
void export_metrics_end(struct export_metrics *metrics);

/* The listeners' signals and counters, and the probe's own health. */
void export_metrics_signals(struct export_metrics *metrics, const struct indicator *indicators,
			    size_t count, const struct probe_health *health, uint64_t now_ns);

/* ---- JSON ---- */

/* A number in JSON: the shortest text that reads back the same; null for NaN and infinity. */
void export_json_number(struct text *out, double value);
/* {"time":...,"listeners":[...]}: every metric and statistic that is known, labels, diagnosis. With
 * buckets also the response times: [[upper bound in seconds, null for the last, count], ...]. */
void export_json_signals(struct text *out, const struct indicator *indicators, size_t count,
			 bool buckets, struct moment now);

/* ---- the live table, plain text; ANSI colours only where color is set ---- */

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
/* One line below the title: "hosts: 1000 reporting, 3 silent", "brake usd-per-hour: ...". */
struct table_notice {
	char text[240];
	bool warns;
};
struct table {
	const char *title; /* "forerun 0.1.0  host  observe  up 12 s" */
	const char *hint; /* below it: where to look and how to end; NULL: no such line */
	const struct table_notice *notices;
	size_t notices_count;
	bool no_listeners; /* it watches none: no such section */
	const struct indicator *indicators;
	size_t count;
	bool no_policies; /* decides nothing: there is no list of policies */
	const struct table_policy *policies;
	size_t policies_count;
	const struct table_decision *decisions; /* the newest first */
	size_t decisions_count;
	const char *const *log_lines; /* the newest last */
	size_t log_count;
	unsigned width, height; /* of the terminal */
	bool color;
};
/* Exactly height lines or fewer, none wider than width columns, each ended by a newline. Whatever
 * names hold (a process may call itself an escape sequence), only printable ASCII comes out. */
void export_table(struct text *out, const struct table *table);

#include "export/top.h"

#endif
