/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listeners as metric families. One gauge for each metric with the mean of its fast window, a
 * _peak beside it where a peak between scrapes matters, the kernel's counters as they are, and the
 * response times as a histogram whose bounds are a few of the fine buckets' own bounds, so that it
 * is exact. Owners' long names stand in forerun_listener_info alone, to be joined.
 */
#include <math.h>
#include <sys/socket.h>

#include "export/private.h"

#define LISTENER_LABELS 6 /* of which each series carries */
#define LABEL_SIZE 320

/* The labels of one listener as the name/value pairs that export_metrics_value() takes. */
struct listener_labels {
	char values[LISTENER_LABELS][LABEL_SIZE];
	const char *pairs[2 * LISTENER_LABELS + 1];
};

static const char *const series_labels[LISTENER_LABELS] = {"address",	 "port",  "netns",
							   "owner_kind", "owner", "process"};

static void labels_of(const struct indicator *indicator, struct listener_labels *labels)
{
	for (size_t i = 0; i < LISTENER_LABELS; i++) {
		if (indicator_label(indicator, series_labels[i], labels->values[i], LABEL_SIZE) < 0)
			labels->values[i][0] = '\0';
		labels->pairs[2 * i] = series_labels[i];
		labels->pairs[2 * i + 1] = labels->values[i];
	}
	labels->pairs[2 * LISTENER_LABELS] = NULL;
}

struct listeners {
	const struct indicator *indicators;
	const struct listener_labels *labels;
	size_t count;
};

static const char *metric_unit(const char *name)
{
	static const char *const units[] = {"seconds", "ratio", "cores"};

	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (str_ends(name, units[i]))
			return units[i];
	return NULL;
}

static void gauge_of_statistic(struct export_metrics *metrics, const struct listeners *listeners,
			       enum metric metric, enum statistic statistic)
{
	const char *name = signal_metric_name(metric);
	bool peak = statistic == STAT_SLOW_PEAK;
	_cleanup_free_ char *family = str_printf("%s%s", name, peak ? "_peak" : "");
	_cleanup_free_ char *help =
		str_printf("%s%s", signal_metric_help(metric), peak ? " Highest in 3 s." : "");

	if (!family || !help)
		return;
	export_metrics_family(metrics, family, "gauge", peak ? NULL : metric_unit(family), help);
	for (size_t i = 0; i < listeners->count; i++)
		export_metrics_value(metrics, family, "gauge",
				     listeners->indicators[i].value[metric][statistic],
				     listeners->labels[i].pairs);
}

static void gauges(struct export_metrics *metrics, const struct listeners *listeners)
{
	static const enum metric with_peak[] = {METRIC_ACCEPT_QUEUE_DEPTH, METRIC_SYN_QUEUE_DEPTH,
						METRIC_REQUESTS_IN_FLIGHT};

	for (int metric = 0; metric < METRIC_COUNT; metric++)
		gauge_of_statistic(metrics, listeners, metric, STAT_FAST);
	for (size_t i = 0; i < ARRAY_SIZE(with_peak); i++)
		gauge_of_statistic(metrics, listeners, with_peak[i], STAT_SLOW_PEAK);
}

static void counters(struct export_metrics *metrics, const struct listeners *listeners)
{
	static const struct {
		const char *name, *help;
		size_t offset;
	} families[] = {
		{"forerun_requests", "Requests that arrived.",
		 offsetof(struct indicator, requests)},
		{"forerun_responses", "Responses that were sent.",
		 offsetof(struct indicator, responses)},
		{"forerun_connections", "Connections established, those still waiting included.",
		 offsetof(struct indicator, established)},
		{"forerun_connections_accepted", "Connections that the server took with accept.",
		 offsetof(struct indicator, accepted)},
		{"forerun_connections_closed", "Connections that were closed.",
		 offsetof(struct indicator, closed)},
		{"forerun_drops",
		 "Packets that the listener dropped, whatever the cause (the kernel's sk_drops).",
		 offsetof(struct indicator, drops)},
		{"forerun_overflows", "Handshake packets that met a full accept queue.",
		 offsetof(struct indicator, overflows)},
		{"forerun_syns", "SYN packets that arrived.", offsetof(struct indicator, syns)},
	};

	for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
		export_metrics_family(metrics, families[f].name, "counter", NULL, families[f].help);
		for (size_t i = 0; i < listeners->count; i++) {
			const char *at = (const char *)&listeners->indicators[i];
			uint64_t value;

			memcpy(&value, at + families[f].offset, sizeof(value));
			export_metrics_value(
				metrics, families[f].name, "counter",
				listeners->indicators[i].family == AF_UNIX ? NAN : (double)value,
				listeners->labels[i].pairs);
		}
	}
}

static void protocols(struct export_metrics *metrics, const struct listeners *listeners)
{
	static const char family[] = "forerun_connections_by_protocol";

	export_metrics_family(metrics, family, "counter", NULL,
			      "Connections by the protocol that their first bytes told.");
	for (size_t i = 0; i < listeners->count; i++)
		for (size_t p = 0; p < PROBE_PROTOCOLS; p++)
			if (listeners->indicators[i].protocols[p])
				metrics_sample(metrics, family, "_total",
					       listeners->labels[i].pairs, "protocol",
					       signal_protocol_name(p),
					       (double)listeners->indicators[i].protocols[p]);
}

/* Bounds are the powers of two from 128 us to 16.8 s: ends of octaves of the fine buckets. */
#define HISTOGRAM_LOWEST_NS (128 * NS_PER_US)
#define HISTOGRAM_HIGHEST_NS (16777216 * NS_PER_US)

static void histogram_of(struct export_metrics *metrics, const char *name,
			 const struct indicator *indicator, const char *const *labels)
{
	uint64_t below = 0, bound = HISTOGRAM_LOWEST_NS;
	char le[NUMBER_TEXT_SIZE];

	for (size_t i = 0; i < PROBE_BUCKETS; i++) {
		uint64_t low, high;

		probe_bucket_bounds(i, &low, &high);
		while (bound <= HISTOGRAM_HIGHEST_NS && low >= bound) {
			number_text((double)bound / (double)NS_PER_S, le);
			metrics_sample(metrics, name, "_bucket", labels, "le", le, (double)below);
			bound *= 2;
		}
		below += indicator->response_buckets[i];
	}
	metrics_sample(metrics, name, "_bucket", labels, "le", "+Inf", (double)below);
	metrics_sample(metrics, name, "_sum", labels, NULL, NULL,
		       (double)indicator->response_ns / (double)NS_PER_S);
	metrics_sample(metrics, name, "_count", labels, NULL, NULL, (double)below);
}

static void response_times(struct export_metrics *metrics, const struct listeners *listeners)
{
	const char *name = "forerun_response_time_seconds";

	export_metrics_family(metrics, name, "histogram", "seconds",
			      "Time from a request's first byte to its response's first byte.");
	for (size_t i = 0; i < listeners->count; i++)
		if (listeners->indicators[i].responses)
			histogram_of(metrics, name, &listeners->indicators[i],
				     listeners->labels[i].pairs);
}

static void states(struct export_metrics *metrics, const struct listeners *listeners,
		   uint64_t now_ns)
{
	export_metrics_family(metrics, "forerun_accept_queue_limit", "gauge", NULL,
			      "Connections that may wait, summed over the group's sockets.");
	for (size_t i = 0; i < listeners->count; i++)
		export_metrics_value(metrics, "forerun_accept_queue_limit", "gauge",
				     listeners->indicators[i].queue_limit,
				     listeners->labels[i].pairs);
	export_metrics_family(
		metrics, "forerun_learned_capacity_per_second", "gauge", NULL,
		"Responses per second of this listener while its queue was not empty.");
	for (size_t i = 0; i < listeners->count; i++)
		export_metrics_value(metrics, "forerun_learned_capacity_per_second", "gauge",
				     listeners->indicators[i].capacity_per_second,
				     listeners->labels[i].pairs);
	export_metrics_family(metrics, "forerun_diagnosis", "gauge", NULL,
			      "1 for the diagnosis that holds now.");
	for (size_t i = 0; i < listeners->count; i++)
		metrics_sample(metrics, "forerun_diagnosis", "", listeners->labels[i].pairs,
			       "diagnosis",
			       signal_diagnosis_text(listeners->indicators[i].diagnosis), 1);
	export_metrics_family(metrics, "forerun_signal_age_seconds", "gauge", "seconds",
			      "Age of the newest value of this listener.");
	for (size_t i = 0; i < listeners->count; i++) {
		uint64_t time_ns = listeners->indicators[i].time_ns;
		uint64_t age_ns = now_ns > time_ns ? now_ns - time_ns : 0;

		export_metrics_value(metrics, "forerun_signal_age_seconds", "gauge",
				     (double)age_ns / (double)NS_PER_S, listeners->labels[i].pairs);
	}
}

static void infos(struct export_metrics *metrics, const struct listeners *listeners)
{
	static const char *const long_labels[] = {"unit", "container_id", "pod_uid"};
	const char *labels[2 * (LISTENER_LABELS + ARRAY_SIZE(long_labels)) + 1];
	char values[ARRAY_SIZE(long_labels)][LABEL_SIZE];

	export_metrics_family(metrics, "forerun_listener_info", "gauge", NULL,
			      "1 for each listener, with everything known of its owner.");
	for (size_t i = 0; i < listeners->count; i++) {
		size_t at = 2 * LISTENER_LABELS;

		memcpy(labels, listeners->labels[i].pairs, at * sizeof(*labels));
		for (size_t l = 0; l < ARRAY_SIZE(long_labels); l++) {
			if (indicator_label(&listeners->indicators[i], long_labels[l], values[l],
					    LABEL_SIZE) < 0)
				continue;
			labels[at++] = long_labels[l];
			labels[at++] = values[l];
		}
		labels[at] = NULL;
		export_metrics_value(metrics, "forerun_listener_info", "gauge", 1, labels);
	}
}

static void single(struct export_metrics *metrics, const char *name, const char *type,
		   const char *unit, const char *help, double value)
{
	export_metrics_family(metrics, name, type, unit, help);
	export_metrics_value(metrics, name, type, value, NULL);
}

static void probe_families(struct export_metrics *metrics, const struct probe_health *health)
{
	single(metrics, "forerun_probe_listeners", "gauge", NULL, "Listeners that are followed.",
	       health->listeners);
	single(metrics, "forerun_probe_listeners_max", "gauge", NULL,
	       "Listeners that can be followed (--listeners-max).", health->listeners_max);
	single(metrics, "forerun_probe_listeners_refused", "counter", NULL,
	       "Listeners not followed because the table was full.",
	       (double)health->listeners_refused);
	single(metrics, "forerun_probe_unix_listeners_refused", "gauge", NULL,
	       "Unix sockets that listen and are not followed: a quarter of the table is theirs.",
	       (double)health->unix_refused);
	single(metrics, "forerun_probe_connections_refused", "counter", NULL,
	       "Connections not followed because the table or memory was full.",
	       (double)health->connections_refused);
	single(metrics, "forerun_probe_edges_lost", "counter", NULL,
	       "Edges lost because the ring buffer was full.", (double)health->edges_lost);
	single(metrics, "forerun_probe_iterator_errors", "counter", NULL,
	       "Failed reads of the listeners.", (double)health->iterator_errors);
	single(metrics, "forerun_probe_kernel_seconds", "counter", "seconds",
	       "CPU time of the kernel programs, sampled and scaled up.",
	       (double)health->kernel_ns / (double)NS_PER_S);
	single(metrics, "forerun_probe_kernel_runs", "counter", NULL,
	       "Runs of the kernel programs.", (double)health->kernel_runs);
	single(metrics, "forerun_probe_poll_seconds", "gauge", "seconds",
	       "Time that the last poll took.", (double)health->poll_ns / (double)NS_PER_S);
}

void export_metrics_signals(struct export_metrics *metrics, const struct indicator *indicators,
			    size_t count, const struct probe_health *health, uint64_t now_ns)
{
	_cleanup_free_ struct listener_labels *labels = calloc(count ? count : 1, sizeof(*labels));
	struct listeners listeners = {indicators, labels, count};

	if (!labels)
		return;
	for (size_t i = 0; i < count; i++)
		labels_of(&indicators[i], &labels[i]);
	infos(metrics, &listeners);
	gauges(metrics, &listeners);
	states(metrics, &listeners, now_ns);
	counters(metrics, &listeners);
	protocols(metrics, &listeners);
	response_times(metrics, &listeners);
	probe_families(metrics, health);
}
