/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream recorded from a real server (signal_dump SECONDS PORT FILE): idle, a little load, more
 * than it can serve, stopped with SIGSTOP, going on. The same stream gives the same answer, byte by
 * byte, each time, and the answer that stands in signal_replay.expected (written by this program
 * when it is called with the word "print").
 */
#include <inttypes.h>

#include "base/text.h"
#include "tests/unit/signal_stream.h"

#define STREAM "tests/unit/signal_replay.stream"
#define EXPECTED "tests/unit/signal_replay.expected"
#define LIMIT (1U << 20)

struct replay {
	struct stream stream;
	struct text whole; /* every value of every sample and edge */
	struct text brief; /* what is compared with the stored expectation */
	uint64_t first_ns;
	enum diagnosis diagnosis;
	unsigned samples;
	bool pending; /* a sample was read and not fed yet */
};

static void print_all(struct replay *r, const struct indicator *i)
{
	text_printf(&r->whole, "%" PRIu64 " %d %s %.17g\n", i->time_ns, i->diagnosis, i->reason,
		    i->capacity_per_second);
	for (int m = 0; m < METRIC_COUNT; m++) {
		for (int s = 0; s < STAT_COUNT; s++)
			text_printf(&r->whole, " %.17g", i->value[m][s]);
	}
}

static void print_brief(struct replay *r, const struct indicator *i, const char *kind)
{
	static const enum metric metrics[] = {
		METRIC_ACCEPT_QUEUE_DEPTH,  METRIC_ACCEPT_QUEUE_WAIT_SECONDS,
		METRIC_REQUESTS_PER_SECOND, METRIC_RESPONSE_TIME_P99_SECONDS,
		METRIC_CPU_CORES,
	};

	text_printf(&r->brief, "%llu ms %s %s capacity %.4g: %s\n",
		    (i->time_ns - r->first_ns) / NS_PER_MS, kind,
		    signal_diagnosis_text(i->diagnosis), i->capacity_per_second, i->reason);
	for (size_t m = 0; m < ARRAY_SIZE(metrics); m++) {
		text_printf(&r->brief, "\t%s", signal_metric_name(metrics[m]));
		for (int s = 0; s < STAT_COUNT; s++)
			text_printf(&r->brief, " %.4g", i->value[metrics[m]][s]);
		text_add(&r->brief, "\n");
	}
}

static void print(struct replay *r, const char *kind)
{
	const struct indicator *i = stream_indicator(&r->stream);

	print_all(r, i);
	if (i->diagnosis != r->diagnosis || r->samples % 10 == 0)
		print_brief(r, i, kind);
	r->diagnosis = i->diagnosis;
}

static void feed(struct replay *r)
{
	if (!r->pending)
		return;
	r->pending = false;
	assert_int_equal(stream_feed_at(&r->stream, r->stream.now_ns), 0);
	r->samples++;
	print(r, "sample");
}

static void read_listener(struct replay *r, const char *line)
{
	struct listener_sample *l = &r->stream.listener;
	struct usage *u = &r->stream.usage;
	unsigned port, known;

	assert_int_equal(
		sscanf(line,
		       "l %lu %u %u %u %u %u %u %u %u %u %u %u %lu %lu %lu %lu %lu %lu "
		       "%lu %lu %u %u %lu %lu %u %lu %lu",
		       &l->id, &l->slot, &l->generation, &port, &l->sockets, &l->queue_depth,
		       &l->queue_limit, &l->queue_worst_depth, &l->queue_worst_limit,
		       &l->queue_peak, &l->syn_queue, &l->syn_queue_young, &l->drops, &l->overflows,
		       &l->syns, &l->established, &l->accepted, &l->closed, &l->requests,
		       &l->responses, &l->open_connections, &l->in_flight, &l->accept_wait_ns,
		       &l->accept_waits, &known, &u->cpu_ns, &u->time_ns),
		27);
	l->port = (uint16_t)port;
	u->cpu_known = known;
	r->pending = true;
}

static void read_edge(struct replay *r, const char *line)
{
	struct edge edge = {0};
	unsigned full;

	assert_int_equal(sscanf(line, "e %lu %lu %u %u %u %u", &edge.time_ns, &edge.listener_id,
				&edge.slot, &edge.depth, &edge.limit, &full),
			 6);
	edge.full = full;
	assert_int_equal(signal_edge(r->stream.signal, &edge), 0);
	print(r, "edge");
}

static void read_line(struct replay *r, const char *line)
{
	uint64_t count;
	size_t bucket;

	switch (line[0]) {
	case 's':
		feed(r);
		assert_int_equal(sscanf(line, "s %lu", &r->stream.now_ns), 1);
		if (!r->first_ns)
			r->first_ns = r->stream.now_ns;
		return;
	case 'l':
		read_listener(r, line);
		return;
	case 'b':
		assert_int_equal(sscanf(line, "b %zu %lu", &bucket, &count), 2);
		assert_true(bucket < PROBE_BUCKETS);
		r->stream.buckets[bucket] = count;
		return;
	default:
		feed(r);
		read_edge(r, line);
	}
}

static void replay(struct replay *r)
{
	_cleanup_free_ char *text = NULL;
	char *save = NULL;

	memset(r, 0, sizeof(*r));
	stream_start(&r->stream, 0);
	r->stream.owner.kind = OWNER_PROCESS;
	r->diagnosis = DIAGNOSIS_COUNT;
	assert_int_equal(file_read(STREAM, LIMIT, &text, NULL), 0);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		read_line(r, line);
	feed(r);
}

static void replay_free(struct replay *r)
{
	stream_end(&r->stream);
	text_free(&r->whole);
	text_free(&r->brief);
}

static void test_the_same_stream_gives_the_same_answer(void **state)
{
	struct replay first, second;

	(void)state;
	replay(&first);
	replay(&second);
	assert_true(first.samples > 100);
	assert_int_equal(first.whole.length, second.whole.length);
	assert_memory_equal(first.whole.data, second.whole.data, first.whole.length);
	replay_free(&first);
	replay_free(&second);
}

static void test_a_recorded_stream_gives_the_stored_answer(void **state)
{
	_cleanup_free_ char *expected = NULL;
	struct replay r;

	(void)state;
	replay(&r);
	assert_int_equal(file_read(EXPECTED, LIMIT, &expected, NULL), 0);
	assert_string_equal(r.brief.data, expected);
	replay_free(&r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_same_stream_gives_the_same_answer),
		cmocka_unit_test(test_a_recorded_stream_gives_the_stored_answer),
	};

	if (argc > 1 && strcmp(argv[1], "print") == 0) {
		struct replay r;

		replay(&r);
		fputs(r.brief.data, stdout);
		replay_free(&r);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
