/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/message.h"

#include <ctype.h>

#include "wire/tables.h"

#define TAG_INTEREST 16
#define TAG_EDGE_DEPTH 17
#define INTEREST_BYTES 3 /* u8 metric, u16 a bit for each statistic */

/* ---- heads ---- */

int message_next(struct part *data, struct message *out, char reason[REASON_SIZE])
{
	size_t length;

	if (data->length < MESSAGE_HEAD_BYTES)
		return 0;
	length = (size_t)number_read(data->at, 2);
	if (length > MESSAGE_BYTES_MAX) {
		snprintf(reason, REASON_SIZE, "a message of %zu bytes is longer than %d", length,
			 MESSAGE_BYTES_MAX);
		return -EMSGSIZE;
	}
	if (data->length < MESSAGE_HEAD_BYTES + length)
		return 0;
	out->kind = data->at[2];
	out->flags = data->at[3];
	out->body = (struct part){.at = data->at + MESSAGE_HEAD_BYTES, .length = length};
	data->at += MESSAGE_HEAD_BYTES + length;
	data->length -= MESSAGE_HEAD_BYTES + length;
	return 1;
}

void message_set_head(struct text *out, size_t mark, size_t length, enum message_kind kind,
		      uint8_t flags)
{
	out->data[mark] = (char)length;
	out->data[mark + 1] = (char)(length >> 8);
	out->data[mark + 2] = (char)kind;
	out->data[mark + 3] = (char)flags;
}

size_t message_begin(struct text *out, enum message_kind kind)
{
	size_t mark = out->length;

	number_add(out, 0, MESSAGE_HEAD_BYTES);
	message_set_head(out, mark, 0, kind, 0);
	return mark;
}

int message_end(struct text *out, size_t mark)
{
	size_t length = out->length - mark - MESSAGE_HEAD_BYTES;

	if (length > MESSAGE_BYTES_MAX) {
		out->length = mark;
		out->data[mark] = '\0';
		return -EMSGSIZE;
	}
	message_set_head(out, mark, length, (enum message_kind)out->data[mark + 2], 0);
	return 0;
}

/* ---- content ---- */

static void add_interest(struct text *out, const struct wire_interest *interest)
{
	size_t mark = field_begin(out, TAG_INTEREST), before = out->length;

	for (unsigned metric = 0; metric < METRIC_COUNT; metric++) {
		if (!interest->statistics[metric])
			continue;
		number_add(out, metric, 1);
		number_add(out, interest->statistics[metric], 2);
	}
	field_end(out, mark);
	if (out->length == before) /* everything is: the default */
		out->length = mark - 6;
	if (!interest->edge_depth)
		return;
	mark = field_begin(out, TAG_EDGE_DEPTH);
	number_add(out, interest->edge_depth, 4);
	field_end(out, mark);
}

static int read_interest(struct part value, struct wire_interest *out, char reason[REASON_SIZE])
{
	if (value.length % INTEREST_BYTES) {
		snprintf(reason, REASON_SIZE, "the interest is cut short");
		return -EBADMSG;
	}
	/* Metrics that only a newer core knows cannot be sent. */
	for (size_t i = 0; i < value.length; i += INTEREST_BYTES)
		if (value.at[i] < METRIC_COUNT)
			out->statistics[value.at[i]] = (uint16_t)number_read(value.at + i + 1, 2);
	return 0;
}

static int read_edge_depth(struct part value, struct wire_interest *out, char reason[REASON_SIZE])
{
	if (value.length != 4) {
		snprintf(reason, REASON_SIZE, "the edge depth has %zu bytes", value.length);
		return -EBADMSG;
	}
	out->edge_depth = (uint32_t)number_read(value.at, 4);
	return 0;
}

/* Fields by the table; the interest, where it may stand, goes to interest. */
static int read_fields(const struct table *table, struct part body, void *to,
		       struct wire_interest *interest, char reason[REASON_SIZE])
{
	struct part value = {0};
	uint16_t tag = 0;
	int r;

	fields_default(table, to);
	if (interest)
		*interest = (struct wire_interest){0};
	while ((r = field_next(&body, &tag, &value, reason)) > 0) {
		if (tag == TAG_INTEREST && interest)
			r = read_interest(value, interest, reason);
		else if (tag == TAG_EDGE_DEPTH && interest)
			r = read_edge_depth(value, interest, reason);
		else
			r = field_read(table, tag, value, to, reason);
		if (r < 0)
			return r;
	}
	return r;
}

int hello_add(struct text *out, const struct hello *hello)
{
	size_t mark = message_begin(out, MESSAGE_HELLO);

	fields_add(out, &hello_table, hello);
	return message_end(out, mark);
}

/* What is shown to people must not move their cursor, or look like another line of the log. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

int hello_read(struct part body, struct hello *out, char reason[REASON_SIZE])
{
	int r = read_fields(&hello_table, body, out, NULL, reason);

	if (r < 0)
		return r;
	make_printable(out->version);
	make_printable(out->instance_id);
	for (const char *c = out->host; *c; c++) {
		if (isalnum((unsigned char)*c) || strchr("-._", *c))
			continue;
		snprintf(reason, REASON_SIZE,
			 "a host's name has letters, digits, '-', '.' and '_'");
		return -EBADMSG;
	}
	return 0;
}

void welcome_add(struct text *out, const struct welcome *welcome)
{
	size_t mark = message_begin(out, MESSAGE_WELCOME);

	fields_add(out, &welcome_table, welcome);
	add_interest(out, &welcome->interest);
	message_end(out, mark);
}

int welcome_read(struct part body, struct welcome *out, char reason[REASON_SIZE])
{
	return read_fields(&welcome_table, body, out, &out->interest, reason);
}

void interest_add(struct text *out, const struct wire_interest *interest)
{
	size_t mark = message_begin(out, MESSAGE_INTEREST);

	add_interest(out, interest);
	message_end(out, mark);
}

int interest_read(struct part body, struct wire_interest *out, char reason[REASON_SIZE])
{
	static const struct table nothing = {.name = "interest"};

	return read_fields(&nothing, body, out, out, reason);
}

void bye_add(struct text *out, const char *text)
{
	size_t mark = message_begin(out, MESSAGE_BYE);
	struct bye bye = {0};

	snprintf(bye.reason, sizeof(bye.reason), "%s", text);
	fields_add(out, &bye_table, &bye);
	message_end(out, mark);
}

int bye_read(struct part body, struct bye *out, char reason[REASON_SIZE])
{
	int r = read_fields(&bye_table, body, out, NULL, reason);

	make_printable(out->reason);
	return r;
}

/* ---- from a stream ---- */

static int take_all(struct part *data, int (*take)(void *arg, const struct message *message),
		    void *arg, char reason[REASON_SIZE])
{
	struct message message = {0};
	int r;

	while ((r = message_next(data, &message, reason)) > 0) {
		r = take(arg, &message);
		if (r < 0)
			break;
	}
	return r;
}

int inbox_feed(struct inbox *inbox, const void *data, size_t length,
	       int (*take)(void *arg, const struct message *message), void *arg,
	       char reason[REASON_SIZE])
{
	struct part part = {.at = data, .length = length};
	struct text kept = inbox->kept;
	int r;

	inbox->kept = (struct text){0};
	if (kept.length) {
		text_add_bytes(&kept, data, length);
		part = (struct part){.at = (const uint8_t *)kept.data, .length = kept.length};
	}
	r = take_all(&part, take, arg, reason);
	if (r >= 0 && part.length)
		text_add_bytes(&inbox->kept, part.at, part.length);
	text_free(&kept);
	return r;
}

void inbox_free(struct inbox *inbox)
{
	text_free(&inbox->kept);
}
