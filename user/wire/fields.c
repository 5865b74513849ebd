/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/fields.h"

#include <math.h>

uint64_t number_read(const uint8_t *at, size_t bytes)
{
	uint64_t value = 0;

	for (size_t i = 0; i < bytes; i++)
		value |= (uint64_t)at[i] << 8 * i;
	return value;
}

void number_add(struct text *out, uint64_t value, size_t bytes)
{
	uint8_t data[8];

	for (size_t i = 0; i < bytes; i++)
		data[i] = (uint8_t)(value >> 8 * i);
	text_add_bytes(out, data, bytes);
}

double double_read(const uint8_t *at)
{
	uint64_t bits = number_read(at, 8);
	double value;

	memcpy(&value, &bits, sizeof(value));
	return isnan(value) ? NAN : value; /* one NaN, whatever its bits were */
}

void double_add(struct text *out, double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	number_add(out, bits, 8);
}

size_t field_begin(struct text *out, uint16_t tag)
{
	number_add(out, tag, 2);
	number_add(out, 0, 4);
	return out->length;
}

void field_end(struct text *out, size_t mark)
{
	uint32_t length = (uint32_t)(out->length - mark);

	for (int i = 0; i < 4; i++)
		out->data[mark - 4 + (size_t)i] = (char)(length >> 8 * i);
}

/* ---- to the wire ---- */

static size_t bytes_of(enum field_type type)
{
	switch (type) {
	case FIELD_BOOL:
	case FIELD_ENUM:
		return 1;
	case FIELD_U16:
		return 2;
	case FIELD_U32:
		return 4;
	default:
		return 8;
	}
}

static uint64_t member_number(const struct field *field, const void *member)
{
	switch (field->type) {
	case FIELD_BOOL:
		return *(const bool *)member;
	case FIELD_ENUM:
		return *(const unsigned *)member;
	case FIELD_U16:
		return *(const uint16_t *)member;
	case FIELD_U32:
		return *(const uint32_t *)member;
	default:
		return *(const uint64_t *)member;
	}
}

static bool all_zero(const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (bytes[i])
			return false;
	return true;
}

static void add_record(struct text *out, const struct field *field, const void *member)
{
	size_t before = out->length, mark = field_begin(out, field->tag);

	fields_add(out, field->table, member);
	field_end(out, mark);
	if (out->length == mark) /* all of it has its default */
		out->length = before;
}

static void add_bytes(struct text *out, uint16_t tag, const void *bytes, size_t count)
{
	size_t mark = field_begin(out, tag);

	text_add_bytes(out, bytes, count);
	field_end(out, mark);
}

static void add_number(struct text *out, const struct field *field, const void *member)
{
	uint64_t number = member_number(field, member);
	size_t mark;

	if (!number)
		return;
	mark = field_begin(out, field->tag);
	number_add(out, number, bytes_of(field->type));
	field_end(out, mark);
}

static void add_double(struct text *out, uint16_t tag, double value)
{
	size_t mark;

	if (isnan(value))
		return;
	mark = field_begin(out, tag);
	double_add(out, value);
	field_end(out, mark);
}

static void add_field(struct text *out, const struct field *field, const void *member)
{
	size_t length;

	switch (field->type) {
	case FIELD_RECORD:
		add_record(out, field, member);
		break;
	case FIELD_STRING:
		length = strnlen(member, field->limit - 1);
		if (length)
			add_bytes(out, field->tag, member, length);
		break;
	case FIELD_BYTES:
		if (!all_zero(member, field->limit))
			add_bytes(out, field->tag, member, field->limit);
		break;
	case FIELD_F64:
		add_double(out, field->tag, *(const double *)member);
		break;
	default:
		add_number(out, field, member);
	}
}

void fields_add(struct text *out, const struct table *table, const void *from)
{
	for (size_t i = 0; i < table->count; i++)
		add_field(out, &table->fields[i], (const char *)from + table->fields[i].offset);
}

/* ---- from the wire ---- */

static _printf_(2, 3) int bad(char reason[REASON_SIZE], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(reason, REASON_SIZE, format, args);
	va_end(args);
	return -EBADMSG;
}

int field_next(struct part *part, uint16_t *tag, struct part *value, char reason[REASON_SIZE])
{
	*tag = 0;
	*value = *part;
	if (part->length == 0)
		return 0;
	if (part->length < 6)
		return bad(reason, "a field's head is cut short");
	*tag = (uint16_t)number_read(part->at, 2);
	value->length = (size_t)number_read(part->at + 2, 4);
	value->at = part->at + 6;
	if (value->length > part->length - 6)
		return bad(reason, "field %u is longer than what holds it", *tag);
	part->at += 6 + value->length;
	part->length -= 6 + value->length;
	return 1;
}

void fields_default(const struct table *table, void *to)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct field *field = &table->fields[i];
		void *member = (char *)to + field->offset;

		if (field->type == FIELD_RECORD)
			fields_default(field->table, member);
		else if (field->type == FIELD_F64)
			*(double *)member = NAN;
		else if (field->type == FIELD_STRING || field->type == FIELD_BYTES)
			memset(member, 0, field->limit);
		else
			memset(member, 0,
			       field->type == FIELD_ENUM ? sizeof(unsigned)
							 : bytes_of(field->type));
	}
}

static int read_number(const struct field *field, uint64_t number, void *member)
{
	switch (field->type) {
	case FIELD_BOOL:
		*(bool *)member = number != 0;
		return 0;
	case FIELD_ENUM:
		if (number >= field->limit)
			return -EBADMSG;
		*(unsigned *)member = (unsigned)number;
		return 0;
	case FIELD_U16:
		*(uint16_t *)member = (uint16_t)number;
		return 0;
	case FIELD_U32:
		*(uint32_t *)member = (uint32_t)number;
		return 0;
	default:
		*(uint64_t *)member = number;
		return 0;
	}
}

static int read_record(const struct table *table, struct part part, void *to,
		       char reason[REASON_SIZE])
{
	struct part value = {0};
	uint16_t tag = 0;
	int r;

	while ((r = field_next(&part, &tag, &value, reason)) > 0) {
		r = field_read(table, tag, value, to, reason);
		if (r < 0)
			return r;
	}
	return r;
}

static int read_string(const struct table *table, const struct field *field, struct part value,
		       char *to, char reason[REASON_SIZE])
{
	if (value.length >= field->limit || memchr(value.at, '\0', value.length))
		return bad(reason, "%s: field %u is no text of less than %zu bytes", table->name,
			   field->tag, field->limit);
	memcpy(to, value.at, value.length);
	memset(to + value.length, 0, field->limit - value.length);
	return 0;
}

static int read_member(const struct table *table, const struct field *field, struct part value,
		       void *member, char reason[REASON_SIZE])
{
	size_t expected = field->type == FIELD_BYTES ? field->limit : bytes_of(field->type);

	if (field->type == FIELD_RECORD)
		return read_record(field->table, value, member, reason);
	if (field->type == FIELD_STRING)
		return read_string(table, field, value, member, reason);
	if (value.length != expected)
		return bad(reason, "%s: field %u has %zu bytes instead of %zu", table->name,
			   field->tag, value.length, expected);
	if (field->type == FIELD_BYTES)
		memcpy(member, value.at, expected);
	else if (field->type == FIELD_F64)
		*(double *)member = double_read(value.at);
	else if (read_number(field, number_read(value.at, expected), member) < 0)
		return bad(reason, "%s: field %u has an unknown value", table->name, field->tag);
	return 0;
}

int field_read(const struct table *table, uint16_t tag, struct part value, void *to,
	       char reason[REASON_SIZE])
{
	for (size_t i = 0; i < table->count; i++)
		if (table->fields[i].tag == tag)
			return read_member(table, &table->fields[i], value,
					   (char *)to + table->fields[i].offset, reason);
	return 0;
}
