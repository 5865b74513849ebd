/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <sys/socket.h>

#include "export/private.h"

static const char *const statistic_names[STAT_COUNT] = {
	[STAT_LAST] = "last",
	[STAT_FAST] = "fast",
	[STAT_FAST_PEAK] = "fast_peak",
	[STAT_SLOW] = "slow",
	[STAT_SLOW_PEAK] = "slow_peak",
	[STAT_SLOW_P50] = "slow_p50",
	[STAT_SLOW_P90] = "slow_p90",
	[STAT_SLOW_P99] = "slow_p99",
	[STAT_TREND] = "trend_per_second",
};

static const char *const label_names[] = {"address",	  "port",    "netns",
					  "owner_kind",	  "owner",   "unit",
					  "container_id", "pod_uid", "process"};

void export_json_number(struct text *out, double value)
{
	char number[NUMBER_TEXT_SIZE];

	if (!isfinite(value)) {
		text_add(out, "null");
		return;
	}
	number_text(value, number);
	text_add(out, number);
}

static void add_labels(struct text *out, const struct indicator *indicator)
{
	bool first = true;

	text_add(out, "\"labels\":{");
	for (size_t i = 0; i < ARRAY_SIZE(label_names); i++) {
		char value[320];

		if (indicator_label(indicator, label_names[i], value, sizeof(value)) < 0)
			continue;
		if (!value[0])
			continue;
		text_printf(out, "%s\"%s\":", first ? "" : ",", label_names[i]);
		text_add_json(out, value);
		first = false;
	}
	text_add(out, "}");
}

/* Only what is known: a metric without any value is left out, and so is a statistic. */
static void add_metrics(struct text *out, const struct indicator *indicator)
{
	bool first_metric = true;

	text_add(out, "\"metrics\":{");
	for (int metric = 0; metric < METRIC_COUNT; metric++) {
		bool first = true;

		for (int statistic = 0; statistic < STAT_COUNT; statistic++) {
			double value = indicator->value[metric][statistic];

			if (!isfinite(value))
				continue;
			if (first)
				text_printf(out, "%s\"%s\":{", first_metric ? "" : ",",
					    signal_metric_name(metric));
			text_printf(out, "%s\"%s\":", first ? "" : ",", statistic_names[statistic]);
			export_json_number(out, value);
			first = first_metric = false;
		}
		if (!first)
			text_add(out, "}");
	}
	text_add(out, "}");
}

static void add_counters(struct text *out, const struct indicator *indicator)
{
	if (indicator->family == AF_UNIX) { /* nothing is counted there */
		text_add(out, "\"counters\":null,\"quality\":{\"requests\":null}");
		return;
	}
	text_printf(
		out,
		"\"counters\":{\"requests\":%llu,\"responses\":%llu,\"connections\":%llu,"
		"\"accepted\":%llu,\"closed\":%llu,\"drops\":%llu,\"overflows\":%llu,"
		"\"syns\":%llu,\"protocols\":{",
		(unsigned long long)indicator->requests, (unsigned long long)indicator->responses,
		(unsigned long long)indicator->established, (unsigned long long)indicator->accepted,
		(unsigned long long)indicator->closed, (unsigned long long)indicator->drops,
		(unsigned long long)indicator->overflows, (unsigned long long)indicator->syns);
	for (size_t i = 0; i < PROBE_PROTOCOLS; i++)
		text_printf(out, "%s\"%s\":%llu", i ? "," : "", signal_protocol_name(i),
			    (unsigned long long)indicator->protocols[i]);
	text_printf(out, "}},\"quality\":{\"requests\":\"%s\"}",
		    indicator_request_quality(indicator));
}

/* Only the buckets that hold something. */
static void add_buckets(struct text *out, const struct indicator *indicator)
{
	uint64_t low, high;
	bool first = true;

	text_add(out, ",\"response_buckets\":[");
	for (size_t i = 0; i < PROBE_BUCKETS; i++) {
		if (!indicator->response_buckets[i])
			continue;
		probe_bucket_bounds(i, &low, &high);
		text_add(out, first ? "[" : ",[");
		export_json_number(out,
				   high == UINT64_MAX ? INFINITY : (double)high / (double)NS_PER_S);
		text_printf(out, ",%llu]", (unsigned long long)indicator->response_buckets[i]);
		first = false;
	}
	text_add_char(out, ']');
}

static void add_listener(struct text *out, const struct indicator *indicator, bool buckets,
			 uint64_t now_ns)
{
	char address[ADDRESS_TEXT_SIZE];
	uint64_t age_ns = now_ns > indicator->time_ns ? now_ns - indicator->time_ns : 0;

	indicator_address(indicator, address);
	text_add(out, "{\"listener\":");
	text_add_json(out, address);
	text_printf(out, ",\"sockets\":%u,\"queue_limit\":%u,\"age_seconds\":", indicator->sockets,
		    indicator->queue_limit);
	export_json_number(out, (double)age_ns / (double)NS_PER_S);
	text_add(out, ",\"diagnosis\":");
	text_add_json(out, signal_diagnosis_text(indicator->diagnosis));
	text_add(out, ",\"reason\":");
	text_add_json(out, indicator->reason);
	text_add(out, ",\"capacity_per_second\":");
	export_json_number(out, indicator->capacity_per_second);
	text_add_char(out, ',');
	add_labels(out, indicator);
	text_add_char(out, ',');
	add_metrics(out, indicator);
	text_add_char(out, ',');
	add_counters(out, indicator);
	if (buckets)
		add_buckets(out, indicator);
	text_add_char(out, '}');
}

void export_json_signals(struct text *out, const struct indicator *indicators, size_t count,
			 bool buckets, struct moment now)
{
	char time[TIME_TEXT_SIZE];

	time_format(now.wall_ns, time);
	text_printf(out, "{\"time\":\"%s\",\"listeners\":[", time);
	for (size_t i = 0; i < count; i++) {
		if (i)
			text_add_char(out, ',');
		add_listener(out, &indicators[i], buckets, now.mono_ns);
	}
	text_add(out, "]}");
}
