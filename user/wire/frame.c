/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/wire.h"

#include <math.h>

#include "base/vec.h"
#include "wire/tables.h"

/*
 * The head, in this layout for every version:
 *	0 magic "FRNF"   4 u8 major   5 u8 minor   6 u8 kind   7 u8 zero
 *	8 u32 bytes of the payload   12 u32 CRC-32 of the payload   16 u32 CRC-32 of bytes 0..15
 * The head has a sum of its own, so that a damaged length is not waited for.
 */
#define HEAD_BYTES 20
#define WIRE_MINOR 2 /* 1: instance id and services; 2: notices */

static const char magic[4] = {'F', 'R', 'N', 'F'};

/* ---- to the wire ---- */

/* What is not known is left out: of 180 values a quiet listener has few. */
static void add_values(struct text *out, const struct indicator *indicator)
{
	size_t mark = field_begin(out, TAG_INDICATOR_VALUES);

	for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
		for (unsigned statistic = 0; statistic < STAT_COUNT; statistic++) {
			if (isnan(indicator->value[metric][statistic]))
				continue;
			number_add(out, metric, 1);
			number_add(out, statistic, 1);
			double_add(out, indicator->value[metric][statistic]);
		}
	field_end(out, mark);
}

static void add_buckets(struct text *out, const struct indicator *indicator)
{
	size_t mark = field_begin(out, TAG_INDICATOR_BUCKETS);

	for (unsigned i = 0; i < PROBE_BUCKETS; i++) {
		if (!indicator->response_buckets[i])
			continue;
		number_add(out, i, 2);
		number_add(out, indicator->response_buckets[i], 8);
	}
	field_end(out, mark);
}

static void add_payload(struct text *out, const struct frame *frame)
{
	fields_add(out, &frame_table, frame);
	for (size_t i = 0; i < frame->notices_count; i++) {
		size_t mark = field_begin(out, TAG_FRAME_NOTICE);

		fields_add(out, &notice_table, &frame->notices[i]);
		field_end(out, mark);
	}
	for (size_t i = 0; i < frame->count; i++) {
		size_t mark = field_begin(out, TAG_FRAME_INDICATOR);

		fields_add(out, &indicator_table, &frame->indicators[i]);
		add_values(out, &frame->indicators[i]);
		add_buckets(out, &frame->indicators[i]);
		field_end(out, mark);
	}
}

static void set_number(char *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (char)(value >> 8 * i);
}

int frame_encode(const struct frame *frame, struct text *out)
{
	size_t start = out->length, length;
	char *head;

	if (frame->kind != FRAME_TICK && frame->kind != FRAME_EDGE)
		return -EINVAL;
	if (frame->count > WIRE_INDICATORS_MAX)
		return -EMSGSIZE;
	text_add_bytes(out, magic, sizeof(magic));
	number_add(out, WIRE_VERSION, 1);
	number_add(out, WIRE_MINOR, 1);
	number_add(out, frame->kind, 1);
	number_add(out, 0, 1);
	number_add(out, 0, 8);
	number_add(out, 0, 4);
	add_payload(out, frame);
	length = out->length - start - HEAD_BYTES;
	if (length > WIRE_FRAME_BYTES_MAX) {
		out->length = start;
		out->data[start] = '\0';
		return -EMSGSIZE;
	}
	head = out->data + start;
	set_number(head + 8, (uint32_t)length);
	set_number(head + 12, crc32_of(head + HEAD_BYTES, length));
	set_number(head + 16, crc32_of(head, 16));
	return 0;
}

/* ---- from the wire ---- */

static _printf_(3, 4) int bad(char reason[REASON_SIZE], int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(reason, REASON_SIZE, format, args);
	va_end(args);
	return error;
}

static int read_values(struct indicator *to, struct part value, char reason[REASON_SIZE])
{
	if (value.length % 10)
		return bad(reason, -EBADMSG, "indicator: the values are cut short");
	for (size_t i = 0; i < value.length; i += 10) {
		const uint8_t *at = value.at + i;

		/* Others are a newer version's. */
		if (at[0] < METRIC_COUNT && at[1] < STAT_COUNT)
			to->value[at[0]][at[1]] = double_read(at + 2);
	}
	return 0;
}

static int read_buckets(struct indicator *to, struct part value, char reason[REASON_SIZE])
{
	if (value.length % 10)
		return bad(reason, -EBADMSG, "indicator: the buckets are cut short");
	for (size_t i = 0; i < value.length; i += 10) {
		uint64_t bucket = number_read(value.at + i, 2);

		if (bucket >= PROBE_BUCKETS)
			return bad(reason, -EBADMSG, "indicator: there is no bucket %u",
				   (unsigned)bucket);
		to->response_buckets[bucket] = number_read(value.at + i + 2, 8);
	}
	return 0;
}

static int read_indicator(struct indicator *to, struct part part, char reason[REASON_SIZE])
{
	struct part value = {0};
	uint16_t tag = 0;
	int r;

	fields_default(&indicator_table, to);
	for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
		for (unsigned statistic = 0; statistic < STAT_COUNT; statistic++)
			to->value[metric][statistic] = NAN;
	while ((r = field_next(&part, &tag, &value, reason)) > 0) {
		if (tag == TAG_INDICATOR_VALUES)
			r = read_values(to, value, reason);
		else if (tag == TAG_INDICATOR_BUCKETS)
			r = read_buckets(to, value, reason);
		else
			r = field_read(&indicator_table, tag, value, to, reason);
		if (r < 0)
			return r;
	}
	return r;
}

/* More than there is room for are a newer version's. */
static int read_notice(struct frame *frame, struct part part, char reason[REASON_SIZE])
{
	struct notice *notice = &frame->notices[frame->notices_count];

	if (frame->notices_count == NOTICES_MAX)
		return 0;
	frame->notices_count++;
	return notice_read(part, notice, reason);
}

static int read_payload(struct frame *frame, struct part part, char reason[REASON_SIZE])
{
	VEC(struct indicator) indicators = {0};
	struct part value = {0};
	uint16_t tag = 0;
	int r;

	while ((r = field_next(&part, &tag, &value, reason)) > 0) {
		if (tag == TAG_FRAME_NOTICE)
			r = read_notice(frame, value, reason);
		else if (tag != TAG_FRAME_INDICATOR)
			r = field_read(&frame_table, tag, value, frame, reason);
		else if (indicators.count == WIRE_INDICATORS_MAX)
			r = bad(reason, -EBADMSG, "more than %u listeners", WIRE_INDICATORS_MAX);
		else
			r = read_indicator(vec_push(&indicators), value, reason);
		if (r < 0)
			break;
	}
	frame->indicators = indicators.at;
	frame->count = indicators.count;
	return r;
}

/* 1 and the payload's length when the head stands, 0 when more is needed. */
static int read_head(const uint8_t *at, size_t length, size_t *payload, char reason[REASON_SIZE])
{
	*payload = 0;
	if (length == 0)
		return 0;
	if (memcmp(at, magic, MIN(length, sizeof(magic))) != 0)
		return bad(reason, -EBADMSG, "no frame begins here");
	if (length < HEAD_BYTES)
		return 0;
	if (number_read(at + 16, 4) != crc32_of(at, 16))
		return bad(reason, -EBADMSG, "the head's checksum does not match");
	if (at[4] != WIRE_VERSION)
		return bad(reason, -EPROTONOSUPPORT, "version %u.%u, but only %u is known here",
			   at[4], at[5], WIRE_VERSION);
	if (at[6] != FRAME_TICK && at[6] != FRAME_EDGE)
		return bad(reason, -EBADMSG, "frames of kind %u are not known", at[6]);
	*payload = (size_t)number_read(at + 8, 4);
	if (*payload > WIRE_FRAME_BYTES_MAX)
		return bad(reason, -EBADMSG, "%zu bytes are more than a frame may have", *payload);
	return length - HEAD_BYTES >= *payload;
}

ssize_t frame_decode(const void *data, size_t length, struct frame *out, char reason[128])
{
	const uint8_t *at = data;
	struct frame frame = {0};
	struct part part;
	size_t payload;
	int r;

	r = read_head(at, length, &payload, reason);
	if (r <= 0)
		return r;
	part = (struct part){.at = at + HEAD_BYTES, .length = payload};
	if (number_read(at + 12, 4) != crc32_of(part.at, part.length))
		return bad(reason, -EBADMSG, "the checksum does not match");
	fields_default(&frame_table, &frame);
	frame.kind = (enum frame_kind)at[6];
	r = read_payload(&frame, part, reason);
	if (r < 0) {
		frame_free(&frame);
		return r;
	}
	*out = frame;
	return (ssize_t)(HEAD_BYTES + payload);
}

void frame_free(struct frame *frame)
{
	free((void *)frame->indicators);
	frame->indicators = NULL;
	frame->count = 0;
}
