/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Samples and edges in, leading indicators out: windows, rates, percentiles, trend, diagnosis.
 * Reads no clock and no file: the same stream gives the same answer.
 */
#ifndef FORERUN_SIGNAL_SIGNAL_H
#define FORERUN_SIGNAL_SIGNAL_H

#include "place/place.h"
#include "probe/probe.h"

/* Names are signal_metric_name(): the same in policies, in /metrics and in JSON. */
enum metric {
	METRIC_ACCEPT_QUEUE_DEPTH, /* connections waiting, summed over the group */
	METRIC_ACCEPT_QUEUE_UTILIZATION, /* of the fullest socket: depth / (limit + 1) */
	METRIC_ACCEPT_QUEUE_WAIT_SECONDS, /* mean wait of those accepted in the window; Little's law
					     where accept(2) is not visible */
	METRIC_SYN_QUEUE_DEPTH,
	METRIC_DROPS_PER_SECOND,
	METRIC_OVERFLOWS_PER_SECOND,
	METRIC_CONNECTIONS_PER_SECOND,
	METRIC_ACCEPTS_PER_SECOND,
	METRIC_REQUESTS_PER_SECOND,
	METRIC_RESPONSES_PER_SECOND,
	METRIC_REQUESTS_IN_FLIGHT,
	METRIC_OPEN_CONNECTIONS,
	METRIC_RESPONSE_TIME_P50_SECONDS,
	METRIC_RESPONSE_TIME_P90_SECONDS,
	METRIC_RESPONSE_TIME_P99_SECONDS,
	METRIC_CPU_CORES, /* the owner's use */
	METRIC_CPU_UTILIZATION, /* of its limit, or of the host where it has none: 0..1 */
	METRIC_CPU_THROTTLED_RATIO, /* share of time throttled */
	METRIC_CPU_PRESSURE_RATIO, /* PSI some */
	METRIC_MEMORY_PRESSURE_RATIO,
	METRIC_COUNT
};

/* One metric over its windows. NaN is "not known" everywhere: never zero. */
enum statistic {
	STAT_LAST, /* the newest value (of a rate: over the last interval) */
	STAT_FAST, /* mean of the fast window (300 ms) */
	STAT_FAST_PEAK, /* highest, peaks between polls included */
	STAT_SLOW, /* mean of the slow window (3 s) */
	STAT_SLOW_PEAK,
	STAT_SLOW_P50,
	STAT_SLOW_P90,
	STAT_SLOW_P99,
	STAT_TREND, /* change per second, least squares over the slow window; its unit is the
		       metric's per second */
	STAT_COUNT
};

enum diagnosis {
	DIAGNOSIS_IDLE,
	DIAGNOSIS_OK,
	DIAGNOSIS_NEEDS_CAPACITY,
	DIAGNOSIS_APP_STALLED,
	DIAGNOSIS_BACKLOG_TOO_SMALL,
	DIAGNOSIS_ATTACK_OR_SCAN,
	DIAGNOSIS_COUNT
};

struct indicator {
	uint64_t id; /* listener_sample.id */
	uint32_t slot;
	uint32_t netns;
	uint16_t family, port;
	uint8_t address[16];
	uint32_t sockets;
	uint32_t queue_limit; /* sum over the sockets */
	struct owner owner;
	uint64_t time_ns; /* of the newest sample or edge in it */
	uint64_t first_seen_ns; /* of the first sample with this listener */
	double value[METRIC_COUNT][STAT_COUNT];
	double capacity_per_second; /* learned: responses/s while its queue was not empty; NaN until
				       seen */
	enum diagnosis diagnosis;
	char reason[240]; /* one sentence with the figures, what it means and what to do */
	uint64_t requests, responses, established, accepted, closed, drops, overflows,
		syns; /* counters as sampled */
	uint64_t response_ns;
	uint64_t response_buckets[PROBE_BUCKETS];
	uint64_t protocols[PROBE_PROTOCOLS]; /* connections by what they speak, as probe_protocol */
	uint64_t lower_bounds; /* occasions after which requests are at least what is counted */
};

struct signal_config {
	uint64_t fast_ns, slow_ns; /* 300 ms, 3 s */
	uint64_t stall_ns; /* how long a queue must stand with nothing taken before it is a stall: 1
			      s */
	double host_cpus; /* for utilisation where the owner has no limit; 0: not known */
	uint32_t edge_depth; /* connections waiting that make an edge, as probe_config has it; a
				listener whose backlog is smaller than twice that counts half of its
				own; default 4 */
};

struct signal;

void signal_config_default(struct signal_config *config);
int signal_new(const struct signal_config *config, struct signal **out);
void signal_free(struct signal *signal);

/* placed: one for each listener of the sample, same index. Samples must come in order of time
 * (-EINVAL otherwise). */
int signal_feed(struct signal *signal, const struct sample *sample, const struct placed *placed);
/* Raises the depth of that listener at once, without waiting for the next sample. -ENOENT: not
 * sampled yet. */
int signal_edge(struct signal *signal, const struct edge *edge);

/* All listeners in the order of slot; belongs to signal, valid until the next feed or edge. */
size_t signal_indicators(struct signal *signal, const struct indicator **out);
/* The same, but of the values only those of these metrics (bit 1 << enum metric) are sure to be of
 * the newest sample: for who looks often and at little. */
size_t signal_indicators_for(struct signal *signal, uint32_t metrics, const struct indicator **out);

const char *signal_metric_name(enum metric metric); /* "forerun_accept_queue_depth", ... */
const char *signal_metric_help(enum metric metric); /* one line with unit */
int signal_metric_parse(const char *name, enum metric *metric);
/* Policy labels: window "100ms" (last), "300ms", "3s"; statistic "last", "mean", "peak", "p50",
 * "p90", "p99". A pair that does not exist gives -EINVAL. Either may be NULL: window 300ms,
 * statistic mean. */
int signal_statistic_parse(const char *window, const char *statistic, enum statistic *out);
const char *signal_diagnosis_text(enum diagnosis diagnosis); /* "needs-capacity", ... */

/* How sure the counts of requests and responses are: QUALITY_EXACT, or QUALITY_LOWER_BOUND where
 * HTTP/2 may be inside of TLS, or some connection could not be followed. docs/signals.md has the
 * cases. */
#define QUALITY_EXACT "exact"
#define QUALITY_LOWER_BOUND "lower bound"
const char *indicator_request_quality(const struct indicator *indicator);
/* "http1", "http2", "tls", "other", "upgraded": index of indicator.protocols; NULL past the end. */
const char *signal_protocol_name(size_t protocol);

/* Labels of an indicator for selectors and exports: address, port, netns, owner_kind, owner, unit,
 * container_id, pod_uid, process. Returns 0 and the value ("" when it does not apply), -ENOENT for
 * an unknown name. */
int indicator_label(const struct indicator *indicator, const char *name, char *out, size_t size);
/* "0.0.0.0:80", "[::]:80", "unix:/run/app.sock", "unix:@abstract", with the namespace only where
 * the caller adds it. */
#define ADDRESS_TEXT_SIZE 128
void indicator_address(const struct indicator *indicator, char out[ADDRESS_TEXT_SIZE]);

#endif
