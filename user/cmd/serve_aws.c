/* SPDX-License-Identifier: Apache-2.0 */
/* The families of /metrics that are about calls at AWS. */
#include "cmd/facts.h"

#define RATES_MOST 32

static void count(struct export_metrics *metrics, const char *name, const char *help,
		  uint64_t value)
{
	export_metrics_family(metrics, name, "counter", NULL, help);
	export_metrics_value(metrics, name, "counter", (double)value, NULL);
}

static void call_families(const struct facts *facts, struct export_metrics *metrics)
{
	struct cloud_status status;

	cloud_status(facts->cloud, &status);
	count(metrics, "forerun_aws_calls", "Calls that were sent to AWS.", status.calls);
	count(metrics, "forerun_aws_errors", "Of these, those without the answer that was wanted.",
	      status.errors);
	count(metrics, "forerun_aws_throttled", "Of these, those that AWS throttled.",
	      status.throttled);
	count(metrics, "forerun_aws_connections_dead",
	      "Calls that went out again on another connection: the peer acknowledged nothing.",
	      status.hedged);
	export_metrics_family(metrics, "forerun_aws_clock_offset_seconds", "gauge", "seconds",
			      "How far AWS' clock is ahead of this host's.");
	export_metrics_value(metrics, "forerun_aws_clock_offset_seconds", "gauge",
			     status.clock_offset_s, NULL);
}

/* A part that was never fetched has no age. */
static void catalog_families(const struct facts *facts, struct export_metrics *metrics)
{
	static const char name[] = "forerun_catalog_age_seconds";
	static const char *const TYPES[] = {"part", "types", NULL};
	static const char *const PRICES[] = {"part", "prices", NULL};
	static const char *const SPOT[] = {"part", "spot", NULL};
	struct cloud_status status;

	cloud_status(facts->cloud, &status);
	export_metrics_family(metrics, name, "gauge", "seconds",
			      "Since instance types, prices on demand and on spot were fetched.");
	if (status.types_wall_ns)
		export_metrics_value(metrics, name, "gauge", age_seconds(status.types_wall_ns),
				     TYPES);
	if (status.prices_wall_ns)
		export_metrics_value(metrics, name, "gauge", age_seconds(status.prices_wall_ns),
				     PRICES);
	if (status.spot_wall_ns)
		export_metrics_value(metrics, name, "gauge", age_seconds(status.spot_wall_ns),
				     SPOT);
}

static double rate_tokens(const struct cloud_rate *rate)
{
	return rate->tokens;
}

static double rate_waits(const struct cloud_rate *rate)
{
	return (double)rate->waits;
}

static double rate_waited(const struct cloud_rate *rate)
{
	return (double)rate->waited_ns / NS_PER_S;
}

static void rate_families(const struct facts *facts, struct export_metrics *metrics)
{
	static const struct {
		const char *name, *type, *unit, *help;
		double (*value)(const struct cloud_rate *rate);
	} families[] = {
		{"forerun_aws_rate_tokens", "gauge", NULL,
		 "What is left of EC2's rate for this action, as this process counts it.",
		 rate_tokens},
		{"forerun_aws_rate_waits", "counter", NULL, "Calls that had to wait for it.",
		 rate_waits},
		{"forerun_aws_rate_waited_seconds", "counter", "seconds", "How long these waited.",
		 rate_waited},
	};
	struct cloud_rate rates[RATES_MOST];
	size_t rates_count = cloud_rates(facts->cloud, rates, RATES_MOST);

	for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
		export_metrics_family(metrics, families[f].name, families[f].type, families[f].unit,
				      families[f].help);
		for (size_t i = 0; i < rates_count; i++) {
			const char *labels[] = {"action", rates[i].action, "of",
						rates[i].per_instance ? "instances" : "calls",
						NULL};

			export_metrics_value(metrics, families[f].name, families[f].type,
					     families[f].value(&rates[i]), labels);
		}
	}
}

void aws_metrics(const struct facts *facts, struct export_metrics *metrics)
{
	call_families(facts, metrics);
	catalog_families(facts, metrics);
	rate_families(facts, metrics);
}
