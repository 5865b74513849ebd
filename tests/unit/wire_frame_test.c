/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "wire/wire.h"

#define HEAD_BYTES 20

static void fill_owner(struct owner *owner, unsigned i)
{
	owner->kind = (enum owner_kind)(i % (OWNER_POD + 1));
	owner->cgroup_id = 4000 + i;
	snprintf(owner->name, sizeof(owner->name), "nginx-%u.service", i);
	snprintf(owner->unit, sizeof(owner->unit), "%s", i % 2 ? "nginx.service" : "");
	memset(owner->container_id, i % 3 ? 'c' : 0, sizeof(owner->container_id) - 1);
	snprintf(owner->process, sizeof(owner->process), "nginx");
	snprintf(owner->cgroup_path, sizeof(owner->cgroup_path), "/system.slice/%u", i);
	snprintf(owner->socket_path, sizeof(owner->socket_path), "/run/%u.sock", i);
}

static void fill_indicator(struct indicator *to, unsigned i)
{
	*to = (struct indicator){.id = UINT64_MAX - i,
				 .slot = i,
				 .netns = 4026531840U,
				 .family = i % 2 ? 10 : 2,
				 .port = (uint16_t)(80 + i),
				 .address = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1},
				 .sockets = 4,
				 .queue_limit = 511,
				 .time_ns = 123456789012345ULL + i,
				 .first_seen_ns = 123,
				 .capacity_per_second = i % 2 ? 1234.5 : NAN,
				 .diagnosis = (enum diagnosis)(i % DIAGNOSIS_COUNT),
				 .requests = 1 + i,
				 .responses = 2,
				 .established = 3,
				 .accepted = 4,
				 .closed = 5,
				 .drops = 6,
				 .overflows = 7,
				 .syns = 8,
				 .response_ns = 9};
	fill_owner(&to->owner, i);
	snprintf(to->reason, sizeof(to->reason), "%u connections wait", i);
	for (unsigned m = 0; m < METRIC_COUNT; m++)
		for (unsigned s = 0; s < STAT_COUNT; s++)
			to->value[m][s] = (m + s + i) % 3 ? m * 100.25 + s - 3 : NAN;
	to->value[1][1] = 0;
	to->value[2][2] = -0.0;
	to->value[3][3] = INFINITY;
	for (unsigned b = i % 5; b < PROBE_BUCKETS; b += 5)
		to->response_buckets[b] = b * 1000003ULL;
}

static struct frame sample_frame(struct indicator *indicators, unsigned count)
{
	struct frame frame = {.kind = FRAME_EDGE,
			      .host = "ip-10-0-0-1",
			      .sequence = 42,
			      .age_ns = 1500000,
			      .edge_ns = 987654321,
			      .host_usage = {.time_ns = 1,
					     .psi_time_ns = 2,
					     .cpu_known = true,
					     .psi_known = true,
					     .cpu_ns = 3,
					     .throttled_ns = 4,
					     .throttled_periods = 5,
					     .periods = 6,
					     .cpu_limit_cores = 2,
					     .psi_cpu_some_ns = 7,
					     .psi_memory_some_ns = 8,
					     .psi_memory_full_ns = 9},
			      .host_cpu_cores = NAN,
			      .host_cpus = 2,
			      .instance_id = "i-0123456789abcdef0",
			      .services = "api,web",
			      .notices = {{NOTICE_REBALANCE, "", 0, 5},
					  {NOTICE_SPOT, "terminate", 1700000000123, 6}},
			      .notices_count = 2,
			      .indicators = indicators,
			      .count = count};

	for (unsigned i = 0; i < count; i++)
		fill_indicator(&indicators[i], i);
	return frame;
}

#define SAME(a, b, member) assert_memory_equal(&(a)->member, &(b)->member, sizeof((a)->member))

static void assert_same_usage(const struct usage *a, const struct usage *b)
{
	SAME(a, b, time_ns);
	SAME(a, b, psi_time_ns);
	SAME(a, b, cpu_known);
	SAME(a, b, throttle_known);
	SAME(a, b, cpu_limit_known);
	SAME(a, b, psi_known);
	SAME(a, b, cpu_ns);
	SAME(a, b, throttled_ns);
	SAME(a, b, throttled_periods);
	SAME(a, b, periods);
	SAME(a, b, cpu_limit_cores);
	SAME(a, b, psi_cpu_some_ns);
	SAME(a, b, psi_memory_some_ns);
	SAME(a, b, psi_memory_full_ns);
}

static void assert_same_owner(const struct owner *a, const struct owner *b)
{
	SAME(a, b, kind);
	SAME(a, b, cgroup_id);
	SAME(a, b, name);
	SAME(a, b, unit);
	SAME(a, b, container_id);
	SAME(a, b, pod_uid);
	SAME(a, b, process);
	SAME(a, b, cgroup_path);
	SAME(a, b, socket_path);
}

static void assert_same_indicator(const struct indicator *a, const struct indicator *b)
{
	SAME(a, b, id);
	SAME(a, b, slot);
	SAME(a, b, netns);
	SAME(a, b, family);
	SAME(a, b, port);
	SAME(a, b, address);
	SAME(a, b, sockets);
	SAME(a, b, queue_limit);
	assert_same_owner(&a->owner, &b->owner);
	SAME(a, b, time_ns);
	SAME(a, b, first_seen_ns);
	SAME(a, b, value);
	SAME(a, b, capacity_per_second);
	SAME(a, b, diagnosis);
	SAME(a, b, reason);
	SAME(a, b, requests);
	SAME(a, b, responses);
	SAME(a, b, established);
	SAME(a, b, accepted);
	SAME(a, b, closed);
	SAME(a, b, drops);
	SAME(a, b, overflows);
	SAME(a, b, syns);
	SAME(a, b, response_ns);
	SAME(a, b, response_buckets);
}

static void assert_same(const struct frame *a, const struct frame *b)
{
	assert_string_equal(a->instance_id, b->instance_id);
	assert_string_equal(a->services, b->services);
	SAME(a, b, notices_count);
	for (size_t i = 0; i < a->notices_count; i++) {
		SAME(a, b, notices[i].kind);
		SAME(a, b, notices[i].when_wall_ms);
		SAME(a, b, notices[i].age_ns);
		assert_string_equal(a->notices[i].what, b->notices[i].what);
	}
	SAME(a, b, kind);
	SAME(a, b, host);
	SAME(a, b, sequence);
	SAME(a, b, age_ns);
	SAME(a, b, edge_ns);
	assert_same_usage(&a->host_usage, &b->host_usage);
	SAME(a, b, host_cpu_cores);
	SAME(a, b, host_cpus);
	SAME(a, b, count);
	for (size_t i = 0; i < a->count; i++)
		assert_same_indicator(&a->indicators[i], &b->indicators[i]);
}

static void a_frame_comes_back_as_it_was(void **state)
{
	struct indicator *indicators = calloc(7, sizeof(*indicators));
	struct frame frame = sample_frame(indicators, 7), back;
	struct text bytes = {0};
	char reason[128];

	(void)state;
	assert_int_equal(frame_encode(&frame, &bytes), 0);
	assert_int_equal(frame_decode(bytes.data, bytes.length, &back, reason), bytes.length);
	assert_same(&frame, &back);
	frame_free(&back);
	text_free(&bytes);
	free(indicators);
}

static void what_is_not_known_stays_unknown(void **state)
{
	struct frame frame = {.kind = FRAME_TICK, .host_cpu_cores = NAN, .host_cpus = NAN}, back;
	struct indicator *empty = calloc(1, sizeof(*empty));
	struct text bytes = {0};
	char reason[128];

	(void)state;
	frame.host_usage.cpu_limit_cores = NAN;
	assert_int_equal(frame_encode(&frame, &bytes), 0);
	assert_int_equal(bytes.length, HEAD_BYTES);
	assert_int_equal(frame_decode(bytes.data, bytes.length, &back, reason), HEAD_BYTES);
	assert_same(&frame, &back);
	frame_free(&back);
	text_clear(&bytes);

	empty->capacity_per_second = NAN;
	for (unsigned m = 0; m < METRIC_COUNT; m++)
		for (unsigned s = 0; s < STAT_COUNT; s++)
			empty->value[m][s] = NAN;
	frame.indicators = empty;
	frame.count = 1;
	assert_int_equal(frame_encode(&frame, &bytes), 0);
	assert_true(bytes.length < 64);
	assert_int_equal(frame_decode(bytes.data, bytes.length, &back, reason), bytes.length);
	assert_same(&frame, &back);
	frame_free(&back);
	text_free(&bytes);
	free(empty);
}

/* The bytes of the example in docs/wire.md. */
static void the_documented_example_is_what_is_written(void **state)
{
	static const char head[] =
		"\x46\x52\x4e\x46\x01\x02\x01\x00\x15\x00\x00\x00\x8b\xea\x31\xd9\xbe\xc5\x2e\x9f";
	static const char payload[] = "\x01\0\x01\0\0\0\x61"
				      "\x02\0\x08\0\0\0\x01\0\0\0\0\0\0\0";
	struct frame frame = {.kind = FRAME_TICK,
			      .host = "a",
			      .sequence = 1,
			      .host_cpu_cores = NAN,
			      .host_cpus = NAN};
	struct text bytes = {0};

	(void)state;
	frame.host_usage.cpu_limit_cores = NAN;
	assert_int_equal(frame_encode(&frame, &bytes), 0);
	assert_int_equal(bytes.length, sizeof(head) - 1 + sizeof(payload) - 1);
	assert_memory_equal(bytes.data, head, sizeof(head) - 1);
	assert_memory_equal(bytes.data + sizeof(head) - 1, payload, sizeof(payload) - 1);
	text_free(&bytes);
}

static void frames_of_version_1_0_are_read(void **state)
{
	static const char bytes[] =
		"\x46\x52\x4e\x46\x01\x00\x01\x00\x15\x00\x00\x00\x8b\xea\x31\xd9\x7f\x7c\x42\xc7"
		"\x01\0\x01\0\0\0\x61"
		"\x02\0\x08\0\0\0\x01\0\0\0\0\0\0\0";
	struct frame back;
	char reason[128];

	(void)state;
	assert_int_equal(frame_decode(bytes, sizeof(bytes) - 1, &back, reason), sizeof(bytes) - 1);
	assert_string_equal(back.host, "a");
	assert_int_equal(back.sequence, 1);
	assert_string_equal(back.services, "");
	frame_free(&back);
}

static void frames_follow_each_other_in_a_stream(void **state)
{
	struct indicator *indicators = calloc(3, sizeof(*indicators));
	struct frame frame = sample_frame(indicators, 3), back;
	struct text bytes = {0};
	size_t at = 0;
	char reason[128];

	(void)state;
	for (uint64_t i = 1; i <= 5; i++) {
		frame.sequence = i;
		assert_int_equal(frame_encode(&frame, &bytes), 0);
	}
	for (uint64_t i = 1; i <= 5; i++) {
		ssize_t taken = frame_decode(bytes.data + at, bytes.length - at, &back, reason);

		assert_true(taken > 0);
		assert_int_equal(back.sequence, i);
		frame_free(&back);
		at += (size_t)taken;
	}
	assert_int_equal(at, bytes.length);
	assert_int_equal(frame_decode(bytes.data + at, 0, &back, reason), 0);
	text_free(&bytes);
	free(indicators);
}

static void a_frame_cut_anywhere_waits_for_the_rest(void **state)
{
	struct indicator *indicators = calloc(2, sizeof(*indicators));
	struct frame frame = sample_frame(indicators, 2), back;
	struct text bytes = {0};
	char reason[128];

	(void)state;
	assert_int_equal(frame_encode(&frame, &bytes), 0);
	for (size_t cut = 0; cut < bytes.length; cut++) {
		/* On its own, so that reading past its end is seen. */
		_cleanup_free_ char *part = malloc(cut + !cut);

		memcpy(part, bytes.data, cut);
		assert_int_equal(frame_decode(part, cut, &back, reason), 0);
	}
	text_free(&bytes);
	free(indicators);
}

static void any_flipped_bit_is_found(void **state)
{
	struct indicator *indicators = calloc(2, sizeof(*indicators));
	struct frame frame = sample_frame(indicators, 2), back;
	struct text bytes = {0};
	char reason[128];

	(void)state;
	assert_int_equal(frame_encode(&frame, &bytes), 0);
	for (size_t bit = 0; bit < bytes.length * 8; bit++) {
		bytes.data[bit / 8] = (char)(bytes.data[bit / 8] ^ 1 << bit % 8);
		reason[0] = '\0';
		assert_int_equal(frame_decode(bytes.data, bytes.length, &back, reason), -EBADMSG);
		assert_string_not_equal(reason, "");
		bytes.data[bit / 8] = (char)(bytes.data[bit / 8] ^ 1 << bit % 8);
	}
	text_free(&bytes);
	free(indicators);
}

/* ---- frames of others ---- */

static void put(struct text *out, uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		text_add_char(out, (char)(value >> 8 * i));
}

static void put_field(struct text *out, uint16_t tag, const void *value, size_t length)
{
	put(out, tag, 2);
	put(out, length, 4);
	text_add_bytes(out, value, length);
}

static ssize_t decode_payload(unsigned major, unsigned kind, const struct text *payload,
			      struct frame *back, char reason[128])
{
	struct text bytes = {0};
	ssize_t r;

	text_add(&bytes, "FRNF");
	put(&bytes, major, 1);
	put(&bytes, 9, 1);
	put(&bytes, kind, 1);
	put(&bytes, 0, 1);
	put(&bytes, payload->length, 4);
	put(&bytes, crc32_of(payload->data, payload->length), 4);
	put(&bytes, crc32_of(bytes.data, 16), 4);
	text_add_bytes(&bytes, payload->data, payload->length);
	r = frame_decode(bytes.data, bytes.length, back, reason);
	text_free(&bytes);
	return r;
}

static void fields_of_a_newer_minor_version_are_passed_over(void **state)
{
	static const char values[] = "\x00\x00\x00\x00\x00\x00\x00\x00\x04\x40" /* 2.5 */
				     "\xc8\x00\x00\x00\x00\x00\x00\x00\x04\x40" /* metric 200 */
				     "\x00\xc8\x00\x00\x00\x00\x00\x00\x04\x40"; /* statistic 200 */
	struct text payload = {0}, indicator = {0}, owner = {0};
	struct frame back;
	char reason[128];

	(void)state;
	put_field(&owner, 900, "new", 3);
	put_field(&owner, 3, "web", 3);
	put_field(&indicator, 901, "", 0);
	put_field(&indicator, 9, owner.data, owner.length);
	put_field(&indicator, 32, values, 30);
	put_field(&payload, 65535, "something new", 13);
	put_field(&payload, 16, indicator.data, indicator.length);
	put_field(&payload, 1, "host", 4);
	assert_int_equal(decode_payload(1, 1, &payload, &back, reason), 20 + payload.length);
	assert_string_equal(back.host, "host");
	assert_int_equal(back.count, 1);
	assert_string_equal(back.indicators[0].owner.name, "web");
	assert_true(back.indicators[0].value[0][0] == 2.5);
	assert_true(isnan(back.indicators[0].value[0][1]));
	frame_free(&back);
	text_free(&payload);
	text_free(&indicator);
	text_free(&owner);
}

static void another_major_version_or_kind_is_refused(void **state)
{
	struct text payload = {0};
	struct frame back, wrong = {.kind = 3};
	char reason[128];

	(void)state;
	text_add(&payload, "");
	assert_int_equal(decode_payload(2, 1, &payload, &back, reason), -EPROTONOSUPPORT);
	assert_string_equal(reason, "version 2.9, but only 1 is known here");
	assert_int_equal(decode_payload(1, 3, &payload, &back, reason), -EBADMSG);
	assert_string_equal(reason, "frames of kind 3 are not known");
	text_clear(&payload);
	assert_int_equal(frame_encode(&wrong, &payload), -EINVAL);
	assert_int_equal(payload.length, 0);
	text_free(&payload);
}

static void malformed_fields_under_a_right_checksum_are_refused(void **state)
{
	static const struct {
		uint16_t tag;
		const char *value;
		size_t length;
		const char *says;
	} cases[] = {
		{2, "\1\2\3", 3, "frame: field 2 has 3 bytes instead of 8"},
		{2, "123456789", 9, "frame: field 2 has 9 bytes instead of 8"},
		{1, "a\0b", 3, "frame: field 1 is no text"},
		{1, "0123456789012345678901234567890123456789012345678901234567890123", 64,
		 "frame: field 1 is no text of less than 64 bytes"},
		{5, "\1\0\7\0\0\0", 6, "field 1 is longer than what holds it"},
		{5, "\1\0\7", 3, "a field's head is cut short"},
		{16, "\15\0\1\0\0\0\x63", 7, "indicator: field 13 has an unknown value"},
		{16, "\40\0\1\0\0\0\0", 7, "indicator: the values are cut short"},
		{16, "\41\0\1\0\0\0\0", 7, "indicator: the buckets are cut short"},
		{16, "\41\0\12\0\0\0\xff\xff\1\0\0\0\0\0\0\0", 16, "there is no bucket 65535"},
		{16, "\6\0\1\0\0\0\1", 7, "indicator: field 6 has 1 bytes instead of 16"},
	};
	struct frame back;
	char reason[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct text payload = {0};

		put_field(&payload, cases[i].tag, cases[i].value, cases[i].length);
		assert_int_equal(decode_payload(1, 1, &payload, &back, reason), -EBADMSG);
		if (!strstr(reason, cases[i].says))
			print_error("case %zu: %s\n", i, reason);
		assert_non_null(strstr(reason, cases[i].says));
		text_free(&payload);
	}
}

static void sizes_are_bounded_in_both_directions(void **state)
{
	struct indicator *indicators = calloc(WIRE_INDICATORS_MAX, sizeof(*indicators));
	struct frame frame = {.kind = FRAME_TICK,
			      .indicators = indicators,
			      .count = WIRE_INDICATORS_MAX + 1},
		     back;
	struct text bytes = {0}, payload = {0};
	char reason[128];

	(void)state;
	assert_int_equal(frame_encode(&frame, &bytes), -EMSGSIZE);
	/* Zeros are values: 180 of them in each are more than 16 MiB. */
	frame.count = WIRE_INDICATORS_MAX;
	text_add(&bytes, "before");
	assert_int_equal(frame_encode(&frame, &bytes), -EMSGSIZE);
	assert_string_equal(bytes.data, "before");
	for (unsigned i = 0; i < WIRE_INDICATORS_MAX + 1; i++)
		put_field(&payload, 16, "", 0);
	assert_int_equal(decode_payload(1, 1, &payload, &back, reason), -EBADMSG);
	assert_string_equal(reason, "more than 16384 listeners");
	text_clear(&bytes);
	text_add(&bytes, "FRNF");
	put(&bytes, 0x00010001, 4);
	put(&bytes, WIRE_FRAME_BYTES_MAX + 1, 4);
	put(&bytes, 0, 4);
	put(&bytes, crc32_of(bytes.data, 16), 4);
	assert_int_equal(frame_decode(bytes.data, bytes.length, &back, reason), -EBADMSG);
	text_free(&bytes);
	text_free(&payload);
	free(indicators);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_comes_back_as_it_was),
		cmocka_unit_test(what_is_not_known_stays_unknown),
		cmocka_unit_test(the_documented_example_is_what_is_written),
		cmocka_unit_test(frames_of_version_1_0_are_read),
		cmocka_unit_test(frames_follow_each_other_in_a_stream),
		cmocka_unit_test(a_frame_cut_anywhere_waits_for_the_rest),
		cmocka_unit_test(any_flipped_bit_is_found),
		cmocka_unit_test(fields_of_a_newer_minor_version_are_passed_over),
		cmocka_unit_test(another_major_version_or_kind_is_refused),
		cmocka_unit_test(malformed_fields_under_a_right_checksum_are_refused),
		cmocka_unit_test(sizes_are_bounded_in_both_directions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
