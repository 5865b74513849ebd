/* SPDX-License-Identifier: Apache-2.0 */
/* Names that people and policies use. */
#include <arpa/inet.h>
#include <sys/socket.h>

#include "signal/private.h"

static const struct {
	const char *name, *help;
} metrics[METRIC_COUNT] = {
	[METRIC_ACCEPT_QUEUE_DEPTH] = {"forerun_accept_queue_depth",
				       "Connections waiting to be accepted."},
	[METRIC_ACCEPT_QUEUE_UTILIZATION] =
		{"forerun_accept_queue_utilization",
		 "Share of the accept queue in use, of the fullest socket: depth / (limit + 1)."},
	[METRIC_ACCEPT_QUEUE_WAIT_SECONDS] =
		{"forerun_accept_queue_wait_seconds",
		 "Mean time that connections wait to be accepted, in seconds."},
	[METRIC_SYN_QUEUE_DEPTH] = {"forerun_syn_queue_depth",
				    "Connections whose handshake is not complete."},
	[METRIC_DROPS_PER_SECOND] =
		{"forerun_drops_per_second",
		 "Packets and connections dropped at the listener, per second."},
	[METRIC_OVERFLOWS_PER_SECOND] =
		{"forerun_overflows_per_second",
		 "Handshake packets that found the accept queue full, per second."},
	[METRIC_CONNECTIONS_PER_SECOND] = {"forerun_connections_per_second",
					   "Connections established, per second."},
	[METRIC_ACCEPTS_PER_SECOND] = {"forerun_accepts_per_second",
				       "Connections taken by the server, per second."},
	[METRIC_REQUESTS_PER_SECOND] = {"forerun_requests_per_second",
					"Requests arrived, per second."},
	[METRIC_RESPONSES_PER_SECOND] = {"forerun_responses_per_second",
					 "Responses begun, per second."},
	[METRIC_REQUESTS_IN_FLIGHT] = {"forerun_requests_in_flight",
				       "Requests that have no response yet."},
	[METRIC_OPEN_CONNECTIONS] = {"forerun_open_connections",
				     "Connections open, those that wait included."},
	[METRIC_RESPONSE_TIME_P50_SECONDS] = {"forerun_response_time_p50_seconds",
					      "Median response time, in seconds."},
	[METRIC_RESPONSE_TIME_P90_SECONDS] =
		{"forerun_response_time_p90_seconds",
		 "Response time that 90 % of the responses stay below, in seconds."},
	[METRIC_RESPONSE_TIME_P99_SECONDS] =
		{"forerun_response_time_p99_seconds",
		 "Response time that 99 % of the responses stay below, in seconds."},
	[METRIC_CPU_CORES] = {"forerun_cpu_cores", "CPU that the owner uses, in cores."},
	[METRIC_CPU_UTILIZATION] = {"forerun_cpu_utilization",
				    "CPU that the owner uses as a share of its limit, or of the "
				    "host where it has none."},
	[METRIC_CPU_THROTTLED_RATIO] = {"forerun_cpu_throttled_ratio",
					"Share of time for which the owner's CPU quota held it."},
	[METRIC_CPU_PRESSURE_RATIO] =
		{"forerun_cpu_pressure_ratio",
		 "Share of time for which some task of the owner waited for CPU (PSI)."},
	[METRIC_MEMORY_PRESSURE_RATIO] =
		{"forerun_memory_pressure_ratio",
		 "Share of time for which some task of the owner waited for memory (PSI)."},
};

const char *signal_metric_name(enum metric metric)
{
	return (unsigned)metric < METRIC_COUNT ? metrics[metric].name : "unknown";
}

const char *signal_metric_help(enum metric metric)
{
	return (unsigned)metric < METRIC_COUNT ? metrics[metric].help : "";
}

int signal_metric_parse(const char *name, enum metric *metric)
{
	for (int i = 0; i < METRIC_COUNT; i++) {
		if (str_equal(name, metrics[i].name)) {
			*metric = (enum metric)i;
			return 0;
		}
	}
	return -EINVAL;
}

int signal_statistic_parse(const char *window, const char *statistic, enum statistic *out)
{
	static const struct {
		const char *window, *name;
		enum statistic statistic;
	} pairs[] = {
		{"300ms", "mean", STAT_FAST}, {"300ms", "peak", STAT_FAST_PEAK},
		{"100ms", "last", STAT_LAST}, {"100ms", "mean", STAT_LAST},
		{"3s", "mean", STAT_SLOW},    {"3s", "peak", STAT_SLOW_PEAK},
		{"3s", "p50", STAT_SLOW_P50}, {"3s", "p90", STAT_SLOW_P90},
		{"3s", "p99", STAT_SLOW_P99},
	};

	/* The newest value is in no other window. */
	if (!window)
		window = str_equal(statistic, "last") ? "100ms" : "300ms";
	if (!statistic)
		statistic = "mean";
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		if (strcmp(window, pairs[i].window) == 0 && strcmp(statistic, pairs[i].name) == 0) {
			*out = pairs[i].statistic;
			return 0;
		}
	}
	return -EINVAL;
}

const char *signal_diagnosis_text(enum diagnosis diagnosis)
{
	static const char *const names[DIAGNOSIS_COUNT] = {
		[DIAGNOSIS_IDLE] = "idle",
		[DIAGNOSIS_OK] = "ok",
		[DIAGNOSIS_NEEDS_CAPACITY] = "needs-capacity",
		[DIAGNOSIS_APP_STALLED] = "app-stalled",
		[DIAGNOSIS_BACKLOG_TOO_SMALL] = "backlog-too-small",
		[DIAGNOSIS_ATTACK_OR_SCAN] = "attack-or-scan",
	};

	return (unsigned)diagnosis < DIAGNOSIS_COUNT ? names[diagnosis] : "unknown";
}

/* "unix:/run/app.sock", "unix:@name"; one that is bound to nothing by its inode number. */
static void unix_name(const struct indicator *indicator, char *out, size_t size)
{
	uint64_t inode;

	memcpy(&inode, indicator->address, sizeof(inode));
	if (indicator->owner.socket_path[0])
		snprintf(out, size, "unix:%s", indicator->owner.socket_path);
	else
		snprintf(out, size, "unix:[%llu]", (unsigned long long)inode);
}

static void address_only(const struct indicator *indicator, char *out, size_t size)
{
	char text[INET6_ADDRSTRLEN];

	if (indicator->family == AF_UNIX) {
		unix_name(indicator, out, size);
		return;
	}
	if (inet_ntop(indicator->family == AF_INET6 ? AF_INET6 : AF_INET, indicator->address, text,
		      sizeof(text)))
		snprintf(out, size, "%s", text);
	else
		snprintf(out, size, "?");
}

void indicator_address(const struct indicator *indicator, char out[ADDRESS_TEXT_SIZE])
{
	char text[INET6_ADDRSTRLEN];

	if (indicator->family == AF_UNIX) {
		unix_name(indicator, out, ADDRESS_TEXT_SIZE);
		return;
	}
	address_only(indicator, text, sizeof(text));
	snprintf(out, ADDRESS_TEXT_SIZE, indicator->family == AF_INET6 ? "[%s]:%u" : "%s:%u", text,
		 indicator->port);
}

int indicator_label(const struct indicator *indicator, const char *name, char *out, size_t size)
{
	const struct owner *owner = &indicator->owner;
	const struct {
		const char *name, *value;
	} texts[] = {
		{"owner_kind", owner_kind_text(owner->kind)},
		{"owner", owner->name},
		{"unit", owner->unit},
		{"container_id", owner->container_id},
		{"pod_uid", owner->pod_uid},
		{"process", owner->process},
	};

	if (strcmp(name, "address") == 0) {
		address_only(indicator, out, size);
		return 0;
	}
	if (strcmp(name, "port") == 0) {
		snprintf(out, size, "%u", indicator->port);
		return 0;
	}
	if (strcmp(name, "netns") == 0) {
		snprintf(out, size, "%u", indicator->netns);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (strcmp(name, texts[i].name) == 0) {
			snprintf(out, size, "%s", texts[i].value);
			return 0;
		}
	}
	return -ENOENT;
}

const char *signal_protocol_name(size_t protocol)
{
	static const char *const names[PROBE_PROTOCOLS] = {
		[FORERUN_PROTOCOL_HTTP1] = "http1",	  [FORERUN_PROTOCOL_HTTP2] = "http2",
		[FORERUN_PROTOCOL_TLS] = "tls",		  [FORERUN_PROTOCOL_OTHER] = "other",
		[FORERUN_PROTOCOL_UPGRADED] = "upgraded",
	};

	return protocol < PROBE_PROTOCOLS ? names[protocol] : NULL;
}

const char *indicator_request_quality(const struct indicator *indicator)
{
	return indicator->lower_bounds || indicator->protocols[FORERUN_PROTOCOL_TLS]
		       ? QUALITY_LOWER_BOUND
		       : QUALITY_EXACT;
}
