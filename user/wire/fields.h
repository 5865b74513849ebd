/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structs as tagged fields: a table says which member stands under which tag, and both directions
 * follow it. On the wire a field is "u16 tag, u32 length, value", all little-endian. Members that
 * have their default (0, false, "", NaN) are left out; unknown tags are passed over.
 */
#ifndef FORERUN_WIRE_FIELDS_H
#define FORERUN_WIRE_FIELDS_H

#include "base/base.h"
#include "base/text.h"

#define REASON_SIZE 128

enum field_type {
	FIELD_BOOL, /* u8 */
	FIELD_ENUM, /* u8, below limit */
	FIELD_U16,
	FIELD_U32,
	FIELD_U64,
	FIELD_F64, /* default NaN */
	FIELD_BYTES, /* exactly limit bytes; left out when all are 0 */
	FIELD_STRING, /* without its end, shorter than limit */
	FIELD_RECORD, /* fields of its own, by table */
};

struct field {
	uint16_t tag;
	enum field_type type;
	size_t offset; /* of the member in its struct */
	size_t limit;
	const struct table *table;
};

struct table {
	const char *name; /* for messages */
	const struct field *fields;
	size_t count;
};

/* A part of a frame that is being read. */
struct part {
	const uint8_t *at;
	size_t length;
};

uint64_t number_read(const uint8_t *at, size_t bytes);
void number_add(struct text *out, uint64_t value, size_t bytes);
double double_read(const uint8_t *at);
void double_add(struct text *out, double value);

/* A field whose value is what is added between the two calls. */
size_t field_begin(struct text *out, uint16_t tag);
void field_end(struct text *out, size_t mark);

void fields_add(struct text *out, const struct table *table, const void *from);

/* Takes one field off the front of part: 1, 0 at its end, -EBADMSG. */
int field_next(struct part *part, uint16_t *tag, struct part *value, char reason[REASON_SIZE]);
/* Sets every member of the table to its default. */
void fields_default(const struct table *table, void *to);
/* Sets the member that stands under the tag; an unknown tag is no error. */
int field_read(const struct table *table, uint16_t tag, struct part value, void *to,
	       char reason[REASON_SIZE]);

#endif
