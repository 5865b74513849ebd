/* SPDX-License-Identifier: Apache-2.0 */
/* One listener whose samples a test makes step by step, 100 ms apart. */
#ifndef FORERUN_TESTS_SIGNAL_STREAM_H
#define FORERUN_TESTS_SIGNAL_STREAM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <sys/socket.h>

#include "signal/signal.h"

#define STEP_NS (100 * NS_PER_MS)

struct stream {
	struct signal *signal;
	struct listener_sample listener;
	uint64_t buckets[PROBE_BUCKETS];
	struct owner owner;
	struct usage usage;
	uint64_t now_ns;
};

static inline void stream_start(struct stream *s, uint32_t limit)
{
	struct signal_config config;

	memset(s, 0, sizeof(*s));
	signal_config_default(&config);
	config.host_cpus = 4;
	assert_int_equal(signal_new(&config, &s->signal), 0);
	s->listener = (struct listener_sample){
		.id = 7,
		.slot = 3,
		.generation = 1,
		.cgroup_id = 1,
		.netns = 4026531840,
		.family = AF_INET,
		.port = 80,
		.sockets = 1,
		.queue_limit = limit,
		.queue_worst_limit = limit,
		.pid = 100,
		.comm = "server",
	};
	s->listener.response_buckets = s->buckets;
	s->owner.kind = OWNER_UNIT;
	snprintf(s->owner.name, sizeof(s->owner.name), "server.service");
	s->usage.cpu_known = true;
	s->now_ns = 1000 * NS_PER_S;
}

static inline void stream_end(struct stream *s)
{
	signal_free(s->signal);
}

static inline const struct indicator *stream_indicator(struct stream *s)
{
	const struct indicator *indicators;

	assert_int_equal(signal_indicators(s->signal, &indicators), 1);
	return indicators;
}

static inline void stream_depth(struct stream *s, uint32_t depth)
{
	s->listener.queue_depth = s->listener.queue_worst_depth = depth;
	s->listener.queue_peak = depth;
}

static inline int stream_feed_at(struct stream *s, uint64_t time_ns)
{
	struct sample sample = {.time_ns = time_ns, .listeners = &s->listener, .count = 1};
	struct placed placed = {.owner = &s->owner, .usage = s->usage};

	return signal_feed(s->signal, &sample, &placed);
}

/* One sample 100 ms after the last one, in which the owner used that many cores. */
static inline const struct indicator *stream_step(struct stream *s, double cores)
{
	s->now_ns += STEP_NS;
	s->usage.cpu_ns += (uint64_t)(cores * (double)STEP_NS);
	s->usage.time_ns = s->now_ns;
	assert_int_equal(stream_feed_at(s, s->now_ns), 0);
	return stream_indicator(s);
}

/* That many connections come, are taken, ask once and are answered. */
static inline void stream_serve(struct stream *s, uint64_t connections)
{
	s->listener.syns += connections;
	s->listener.established += connections;
	s->listener.accepted += connections;
	s->listener.closed += connections;
	s->listener.requests += connections;
	s->listener.responses += connections;
	s->buckets[80] += connections;
}

static inline void stream_edge(struct stream *s, uint64_t after_ns, uint32_t depth)
{
	struct edge edge = {
		.time_ns = s->now_ns + after_ns,
		.listener_id = s->listener.id,
		.slot = s->listener.slot,
		.depth = depth,
		.limit = s->listener.queue_worst_limit,
		.full = depth > s->listener.queue_worst_limit,
	};

	assert_int_equal(signal_edge(s->signal, &edge), 0);
}

#endif
