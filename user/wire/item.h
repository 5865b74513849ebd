/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compact form that frames have on a connection: items of "u8 tag << 2 | type, value". The type
 * says how long the value is, so that a reader passes over tags that it does not know. Numbers are
 * LEB128: seven bits a byte, the lowest first, the highest bit says that another byte follows.
 */
#ifndef FORERUN_WIRE_ITEM_H
#define FORERUN_WIRE_ITEM_H

#include "wire/fields.h"

enum item_type {
	ITEM_NUMBER, /* LEB128, at most 64 bits */
	ITEM_DOUBLE, /* 8 bytes, IEEE 754 */
	ITEM_BYTES, /* LEB128 of the length, then so many bytes */
};

struct item {
	uint8_t tag;
	enum item_type type;
	uint64_t number;
	double value;
	struct part bytes;
};

void varint_add(struct text *out, uint64_t number);
/* False when it is cut short or has more than 64 bits. */
bool varint_take(struct part *part, uint64_t *number);

void item_add_number(struct text *out, uint8_t tag, uint64_t number);
void item_add_double(struct text *out, uint8_t tag, double value);
void item_add_bytes(struct text *out, uint8_t tag, const void *bytes, size_t length);

/* Takes one item off the front of part: 1, 0 at its end, -EBADMSG. */
int item_next(struct part *part, struct item *item, char reason[REASON_SIZE]);

#endif
