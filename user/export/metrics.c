/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two text formats that scrapers read. Classic: prometheus.io/docs/instrumenting/
 * exposition_formats; OpenMetrics: the OpenMetrics 1.0 specification. They differ in the name of a
 * counter's family, the UNIT line and the end mark.
 */
#include <math.h>

#include "export/private.h"

enum export_dialect export_dialect_of(const char *accept)
{
	return accept && strstr(accept, "application/openmetrics-text") ? EXPORT_OPENMETRICS
									: EXPORT_PROMETHEUS;
}

const char *export_dialect_type(enum export_dialect dialect)
{
	return dialect == EXPORT_OPENMETRICS ? EXPORT_OPENMETRICS_TYPE : EXPORT_PROMETHEUS_TYPE;
}

void number_text(double value, char out[NUMBER_TEXT_SIZE])
{
	if (fabs(value) < 1e15 && trunc(value) == value) {
		snprintf(out, NUMBER_TEXT_SIZE, "%.0f", value);
		return;
	}
	for (int digits = 6; digits <= 17; digits++) {
		snprintf(out, NUMBER_TEXT_SIZE, "%.*g", digits, value);
		if (strtod(out, NULL) == value)
			return;
	}
}

/* Escapes as both formats have it in label values; HELP texts are the same but for quotes. */
static void add_escaped(struct text *out, const char *string, bool quotes)
{
	for (const char *c = string; *c; c++) {
		if (*c == '\\')
			text_add(out, "\\\\");
		else if (*c == '\n')
			text_add(out, "\\n");
		else if (*c == '"' && quotes)
			text_add(out, "\\\"");
		else
			text_add_char(out, *c);
	}
}

static void add_label(struct text *out, bool first, const char *name, const char *value)
{
	text_add_char(out, first ? '{' : ',');
	text_add(out, name);
	text_add(out, "=\"");
	add_escaped(out, value, true);
	text_add_char(out, '"');
}

static void add_value(struct text *out, double value)
{
	char number[NUMBER_TEXT_SIZE];

	if (isinf(value)) {
		text_add(out, value > 0 ? "+Inf" : "-Inf");
		return;
	}
	number_text(value, number);
	text_add(out, number);
}

void metrics_sample(struct export_metrics *metrics, const char *name, const char *suffix,
		    const char *const *labels, const char *extra_name, const char *extra_value,
		    double value)
{
	struct text *out = metrics->out;
	bool first = true;

	text_add(out, name);
	text_add(out, suffix);
	for (; labels && labels[0]; labels += 2) {
		add_label(out, first, labels[0], labels[1]);
		first = false;
	}
	if (extra_name) {
		add_label(out, first, extra_name, extra_value);
		first = false;
	}
	text_add(out, first ? " " : "} ");
	add_value(out, value);
	text_add_char(out, '\n');
}

void export_metrics_family(struct export_metrics *metrics, const char *name, const char *type,
			   const char *unit, const char *help)
{
	struct text *out = metrics->out;
	bool classic = metrics->dialect == EXPORT_PROMETHEUS;
	const char *suffix = classic && str_equal(type, "counter") ? "_total" : "";

	text_printf(out, "# HELP %s%s ", name, suffix);
	add_escaped(out, help, !classic);
	text_printf(out, "\n# TYPE %s%s %s\n", name, suffix, type);
	if (unit && !classic)
		text_printf(out, "# UNIT %s %s\n", name, unit);
}

void export_metrics_value(struct export_metrics *metrics, const char *name, const char *type,
			  double value, const char *const *labels)
{
	if (!isnan(value))
		metrics_sample(metrics, name, str_equal(type, "counter") ? "_total" : "", labels,
			       NULL, NULL, value);
}

void export_metrics_histogram(struct export_metrics *metrics, const char *name,
			      const double *bounds, size_t bounds_count, const uint64_t *counts,
			      double sum, const char *const *labels)
{
	char le[NUMBER_TEXT_SIZE];
	uint64_t below = 0;

	for (size_t i = 0; i < bounds_count; i++) {
		below += counts[i];
		number_text(bounds[i], le);
		metrics_sample(metrics, name, "_bucket", labels, "le", le, (double)below);
	}
	below += counts[bounds_count];
	metrics_sample(metrics, name, "_bucket", labels, "le", "+Inf", (double)below);
	metrics_sample(metrics, name, "_sum", labels, NULL, NULL, sum);
	metrics_sample(metrics, name, "_count", labels, NULL, NULL, (double)below);
}

void export_metrics_end(struct export_metrics *metrics)
{
	if (metrics->dialect == EXPORT_OPENMETRICS)
		text_add(metrics->out, "# EOF\n");
}
