/* SPDX-License-Identifier: Apache-2.0 */
/* Differences between frames: what comes out on the other side is what went in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "wire/delta.h"

#define NOW_NS (1000000 * NS_PER_S)
#define MOST 40

struct ends {
	struct owners sender_owners, receiver_owners;
	struct layout *layout;
	struct frame_writer writer;
	struct frame_reader reader;
	struct scratch scratch;
	struct text bytes; /* of the last frame */
	uint64_t seed;
};

static void open_ends(struct ends *ends, const struct wire_interest *interest, uint64_t seed)
{
	*ends = (struct ends){.seed = seed};
	ends->layout = layout_new(interest);
	frame_writer_init(&ends->writer, &ends->sender_owners, ends->layout);
	frame_reader_init(&ends->reader, &ends->receiver_owners, ends->layout);
}

static void close_ends(struct ends *ends)
{
	frame_writer_free(&ends->writer);
	frame_reader_free(&ends->reader);
	assert_int_equal(ends->sender_owners.bytes, 0);
	assert_int_equal(ends->receiver_owners.bytes, 0);
	owners_free(&ends->sender_owners);
	owners_free(&ends->receiver_owners);
	scratch_free(&ends->scratch);
	layout_unref(ends->layout);
	text_free(&ends->bytes);
}

/* ---- random states ---- */

static uint64_t draw(struct ends *ends, uint64_t below)
{
	ends->seed ^= ends->seed << 13;
	ends->seed ^= ends->seed >> 7;
	ends->seed ^= ends->seed << 17;
	return ends->seed % below;
}

static double draw_value(struct ends *ends)
{
	const double odd[] = {NAN, 0, -0.0, INFINITY, -INFINITY, 65535, 65536, 0.5, 1e300, -3};
	uint64_t which = draw(ends, 20);

	return which < ARRAY_SIZE(odd) ? odd[which] : (double)draw(ends, 1U << 30) / 7;
}

static void draw_text(struct ends *ends, char *to, size_t size)
{
	size_t length = draw(ends, 4) ? draw(ends, MIN(size, (size_t)12)) : draw(ends, size);

	memset(to, 0, size);
	for (size_t i = 0; i < length; i++)
		to[i] = (char)('a' + draw(ends, 26));
}

static void draw_owner(struct ends *ends, struct owner *to)
{
	*to = (struct owner){.kind = (enum owner_kind)draw(ends, OWNER_POD + 1),
			     .cgroup_id = draw(ends, UINT64_MAX)};
	draw_text(ends, to->name, sizeof(to->name));
	draw_text(ends, to->unit, sizeof(to->unit));
	draw_text(ends, to->container_id, sizeof(to->container_id));
	draw_text(ends, to->pod_uid, sizeof(to->pod_uid));
	draw_text(ends, to->process, sizeof(to->process));
	draw_text(ends, to->cgroup_path, sizeof(to->cgroup_path));
	draw_text(ends, to->socket_path, sizeof(to->socket_path));
}

static void draw_identity(struct ends *ends, struct indicator *to)
{
	to->slot = (uint32_t)draw(ends, 5000);
	to->netns = (uint32_t)draw(ends, UINT32_MAX);
	to->family = (uint16_t)draw(ends, 11);
	to->port = (uint16_t)draw(ends, UINT16_MAX + 1);
	for (size_t i = 0; i < sizeof(to->address); i++)
		to->address[i] = (uint8_t)draw(ends, 256);
	to->sockets = (uint32_t)draw(ends, 64);
	to->queue_limit = (uint32_t)draw(ends, 70000);
	draw_owner(ends, &to->owner);
	to->first_seen_ns = NOW_NS - draw(ends, NOW_NS);
}

/* Some of what may change from one frame to the next. */
static void change(struct ends *ends, struct indicator *to)
{
	for (uint64_t i = draw(ends, 30); i > 0; i--)
		to->value[draw(ends, METRIC_COUNT)][draw(ends, STAT_COUNT)] = draw_value(ends);
	for (uint64_t i = draw(ends, 5); i > 0; i--)
		to->response_buckets[draw(ends, PROBE_BUCKETS)] += draw(ends, 1000);
	for (unsigned i = 0; i < STATE_COUNTERS; i++)
		*indicator_counter(to, i) += draw(ends, 3) ? 0 : draw(ends, UINT32_MAX);
	to->time_ns = NOW_NS - draw(ends, 3) * draw(ends, NS_PER_S);
	if (!draw(ends, 4))
		draw_text(ends, to->reason, sizeof(to->reason));
	if (!draw(ends, 4))
		to->diagnosis = (enum diagnosis)draw(ends, DIAGNOSIS_COUNT);
	if (!draw(ends, 8))
		to->capacity_per_second = draw_value(ends);
	if (!draw(ends, 20))
		draw_identity(ends, to);
}

static void draw_new(struct ends *ends, struct indicator *to)
{
	*to = (struct indicator){.id = draw(ends, UINT64_MAX), .capacity_per_second = NAN};
	for (unsigned m = 0; m < METRIC_COUNT; m++)
		for (unsigned s = 0; s < STAT_COUNT; s++)
			to->value[m][s] = NAN;
	draw_identity(ends, to);
	change(ends, to);
}

static void draw_host(struct ends *ends, struct frame *frame)
{
	struct usage *usage = &frame->host_usage;

	frame->kind = draw(ends, 5) ? FRAME_TICK : FRAME_EDGE;
	frame->edge_ns = frame->kind == FRAME_EDGE ? NOW_NS - draw(ends, NS_PER_S) : 0;
	frame->host_cpu_cores = draw_value(ends);
	frame->host_cpus = (double)draw(ends, 3);
	usage->time_ns = draw(ends, 4) ? NOW_NS - draw(ends, NS_PER_S) : 0;
	usage->cpu_known = draw(ends, 2);
	usage->cpu_ns += draw(ends, NS_PER_S);
	usage->cpu_limit_cores = draw(ends, 2) ? NAN : 2.5;
	if (!draw(ends, 10))
		draw_text(ends, frame->instance_id, sizeof(frame->instance_id));
}

/* ---- over the wire ---- */

static int receive(struct ends *ends, uint64_t now_ns, struct frame *out, char reason[REASON_SIZE])
{
	struct part part = {(const uint8_t *)ends->bytes.data, ends->bytes.length};
	struct message message;
	int r = 0;

	while (part.length) {
		assert_int_equal(r, 0); /* the last message alone makes it whole */
		assert_int_equal(message_next(&part, &message, reason), 1);
		assert_int_equal(message.kind, MESSAGE_FRAME);
		r = frame_read(&ends->reader, &message, ends->layout, now_ns, reason);
		if (r < 0)
			return r;
	}
	assert_int_equal(r, 1);
	frame_reader_expand(&ends->reader, &ends->scratch, out);
	return 0;
}

static void pass(struct ends *ends, const struct frame *frame, bool full, struct frame *out)
{
	char reason[REASON_SIZE];

	text_clear(&ends->bytes);
	assert_int_equal(frame_write(&ends->writer, frame, full, NOW_NS, &ends->bytes), 0);
	if (receive(ends, NOW_NS, out, reason) < 0)
		fail_msg("%s", reason);
}

static const struct indicator *find(const struct frame *frame, uint64_t id)
{
	for (size_t i = 0; i < frame->count; i++)
		if (frame->indicators[i].id == id)
			return &frame->indicators[i];
	return NULL;
}

static void assert_same_number(double a, double b)
{
	if (isnan(a))
		assert_true(isnan(b));
	else
		assert_memory_equal(&a, &b, sizeof(a));
}

static void assert_same_owner(const struct owner *a, const struct owner *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->cgroup_id, b->cgroup_id);
	assert_string_equal(a->name, b->name);
	assert_string_equal(a->unit, b->unit);
	assert_string_equal(a->container_id, b->container_id);
	assert_string_equal(a->pod_uid, b->pod_uid);
	assert_string_equal(a->process, b->process);
	assert_string_equal(a->cgroup_path, b->cgroup_path);
	assert_string_equal(a->socket_path, b->socket_path);
}

static void assert_same_listener(const struct layout *layout, const struct indicator *a,
				 const struct indicator *b)
{
	assert_int_equal(a->slot, b->slot);
	assert_int_equal(a->netns, b->netns);
	assert_int_equal(a->family, b->family);
	assert_int_equal(a->port, b->port);
	assert_memory_equal(a->address, b->address, sizeof(a->address));
	assert_int_equal(a->sockets, b->sockets);
	assert_int_equal(a->queue_limit, b->queue_limit);
	assert_same_owner(&a->owner, &b->owner);
	assert_int_equal(a->time_ns, b->time_ns);
	assert_int_equal(a->first_seen_ns, b->first_seen_ns);
	assert_same_number(a->capacity_per_second, b->capacity_per_second);
	assert_int_equal(a->diagnosis, b->diagnosis);
	assert_string_equal(a->reason, b->reason);
	for (unsigned m = 0; m < METRIC_COUNT; m++)
		for (unsigned s = 0; s < STAT_COUNT; s++)
			assert_same_number(layout->place[m][s] == LAYOUT_NO_PLACE ? NAN
										  : a->value[m][s],
					   b->value[m][s]);
	if (!layout->everything)
		return;
	for (unsigned i = 0; i < STATE_COUNTERS; i++)
		assert_int_equal(*indicator_counter((struct indicator *)a, i),
				 *indicator_counter((struct indicator *)b, i));
	assert_memory_equal(a->response_buckets, b->response_buckets, sizeof(a->response_buckets));
}

static void assert_same_frame(const struct layout *layout, const struct frame *a,
			      const struct frame *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->age_ns, b->age_ns);
	assert_int_equal(a->edge_ns, b->edge_ns);
	assert_same_number(a->host_cpu_cores, b->host_cpu_cores);
	assert_same_number(a->host_cpus, b->host_cpus);
	assert_string_equal(a->instance_id, b->instance_id);
	if (layout->everything) {
		assert_int_equal(a->host_usage.time_ns, b->host_usage.time_ns);
		assert_int_equal(a->host_usage.cpu_known, b->host_usage.cpu_known);
		assert_int_equal(a->host_usage.cpu_ns, b->host_usage.cpu_ns);
		assert_same_number(a->host_usage.cpu_limit_cores, b->host_usage.cpu_limit_cores);
	}
	assert_int_equal(a->count, b->count);
	for (size_t i = 0; i < a->count; i++) {
		const struct indicator *other = find(b, a->indicators[i].id);

		assert_non_null(other);
		assert_same_listener(layout, &a->indicators[i], other);
	}
}

/* ---- tests ---- */

static void set_age(struct frame *frame)
{
	uint64_t newest_ns = 0;

	for (size_t i = 0; i < frame->count; i++)
		newest_ns = MAX(newest_ns, frame->indicators[i].time_ns);
	frame->age_ns = frame->count ? NOW_NS - newest_ns : 0;
}

static void run_life(const struct wire_interest *interest, uint64_t seed, unsigned frames)
{
	struct indicator *listeners = calloc(MOST, sizeof(*listeners));
	struct frame frame = {.indicators = listeners}, out;
	struct ends ends;

	open_ends(&ends, interest, seed);
	for (unsigned i = 0; i < frames; i++) {
		while (frame.count && !draw(&ends, 4))
			listeners[draw(&ends, frame.count)] = listeners[--frame.count];
		for (size_t k = 0; k < frame.count; k++)
			if (draw(&ends, 2))
				change(&ends, &listeners[k]);
		while (frame.count < MOST && !draw(&ends, 2))
			draw_new(&ends, &listeners[frame.count++]);
		draw_host(&ends, &frame);
		set_age(&frame);
		pass(&ends, &frame, i == 0 || !draw(&ends, 15), &out);
		assert_same_frame(ends.layout, &frame, &out);
		assert_int_equal(out.sequence, i + 1);
	}
	close_ends(&ends);
	free(listeners);
}

static void any_state_arrives_as_it_was(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++)
		run_life(&(struct wire_interest){0}, seed * 7919, 100);
}

static void of_values_only_those_of_interest_arrive(void **state)
{
	struct wire_interest interest = {0};

	(void)state;
	interest.statistics[METRIC_ACCEPT_QUEUE_DEPTH] = 1 << STAT_FAST_PEAK | 1 << STAT_TREND;
	interest.statistics[METRIC_MEMORY_PRESSURE_RATIO] = 1 << STAT_LAST;
	for (uint64_t seed = 1; seed <= 20; seed++)
		run_life(&interest, seed * 104729, 100);
}

static void an_unchanged_state_costs_a_few_bytes(void **state)
{
	struct indicator *listeners = calloc(20, sizeof(*listeners));
	struct frame frame = {.kind = FRAME_TICK, .indicators = listeners, .count = 20}, out;
	struct ends ends;
	size_t full;

	(void)state;
	open_ends(&ends, &(struct wire_interest){0}, 4711);
	for (unsigned i = 0; i < 20; i++)
		draw_new(&ends, &listeners[i]);
	set_age(&frame);
	pass(&ends, &frame, true, &out);
	full = ends.bytes.length;
	pass(&ends, &frame, false, &out);
	assert_true(full > 4000);
	assert_true(ends.bytes.length < 24);
	assert_same_frame(ends.layout, &frame, &out);
	close_ends(&ends);
	free(listeners);
}

/* More than one message holds. */
static void many_listeners_arrive_in_parts(void **state)
{
	enum { COUNT = 3000 };
	struct indicator *listeners = calloc(COUNT, sizeof(*listeners));
	struct frame frame = {.kind = FRAME_EDGE, .indicators = listeners, .count = COUNT}, out;
	struct ends ends;

	(void)state;
	open_ends(&ends, &(struct wire_interest){0}, 99);
	for (unsigned i = 0; i < COUNT; i++)
		draw_new(&ends, &listeners[i]);
	set_age(&frame);
	pass(&ends, &frame, true, &out);
	assert_true(ends.bytes.length > 20 * MESSAGE_BYTES_MAX);
	assert_same_frame(ends.layout, &frame, &out);
	frame.count = 1;
	set_age(&frame);
	pass(&ends, &frame, false, &out);
	assert_same_frame(ends.layout, &frame, &out);
	close_ends(&ends);
	free(listeners);
}

/* Ages travel: a receiver whose clock began later, or long before, sees the same ages. */
static void clocks_are_not_compared(void **state)
{
	struct indicator listener;
	struct frame frame = {.kind = FRAME_EDGE, .indicators = &listener, .count = 1}, out;
	struct ends ends;
	char reason[REASON_SIZE];

	(void)state;
	open_ends(&ends, &(struct wire_interest){0}, 5);
	draw_new(&ends, &listener);
	listener.time_ns = NOW_NS - 3 * NS_PER_MS;
	listener.first_seen_ns = NOW_NS - 3600 * NS_PER_S;
	frame.edge_ns = NOW_NS - 2 * NS_PER_MS;
	frame.age_ns = 3 * NS_PER_MS;
	assert_int_equal(frame_write(&ends.writer, &frame, true, NOW_NS, &ends.bytes), 0);
	assert_int_equal(receive(&ends, 60 * NS_PER_S, &out, reason), 0);
	assert_int_equal(out.age_ns, 3 * NS_PER_MS);
	assert_int_equal(out.edge_ns, 60 * NS_PER_S - 2 * NS_PER_MS);
	assert_int_equal(out.indicators[0].time_ns, 60 * NS_PER_S - 3 * NS_PER_MS);
	assert_int_equal(out.indicators[0].first_seen_ns, 0); /* before its clock began */
	close_ends(&ends);
}

/* Thousands of hosts run the same units. */
static void equal_owners_are_kept_once(void **state)
{
	struct indicator listeners[2];
	struct frame frame = {.kind = FRAME_TICK, .indicators = listeners, .count = 2}, out;
	struct ends ends;
	size_t one;

	(void)state;
	open_ends(&ends, &(struct wire_interest){0}, 6);
	draw_new(&ends, &listeners[0]);
	frame.count = 1;
	set_age(&frame);
	pass(&ends, &frame, true, &out);
	one = ends.receiver_owners.bytes;
	assert_true(one > 0);
	listeners[1] = listeners[0];
	listeners[1].id++;
	listeners[1].owner.cgroup_id++;
	frame.count = 2;
	pass(&ends, &frame, false, &out);
	assert_int_equal(ends.receiver_owners.bytes, one);
	assert_same_frame(ends.layout, &frame, &out);
	close_ends(&ends);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_state_arrives_as_it_was),
		cmocka_unit_test(of_values_only_those_of_interest_arrive),
		cmocka_unit_test(an_unchanged_state_costs_a_few_bytes),
		cmocka_unit_test(many_listeners_arrive_in_parts),
		cmocka_unit_test(clocks_are_not_compared),
		cmocka_unit_test(equal_owners_are_kept_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
