/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/item.h"

#define VARINT_BYTES_MAX 10

void varint_add(struct text *out, uint64_t number)
{
	uint8_t bytes[VARINT_BYTES_MAX];
	size_t count = 0;

	do {
		bytes[count] = number & 0x7f;
		number >>= 7;
		if (number)
			bytes[count] |= 0x80;
		count++;
	} while (number);
	text_add_bytes(out, bytes, count);
}

bool varint_take(struct part *part, uint64_t *number)
{
	size_t most = MIN(part->length, (size_t)VARINT_BYTES_MAX);
	uint64_t value = 0;

	for (size_t i = 0; i < most; i++) {
		uint8_t byte = part->at[i];

		if (i == VARINT_BYTES_MAX - 1 && byte > 1)
			return false;
		value |= (uint64_t)(byte & 0x7f) << 7 * i;
		if (byte & 0x80)
			continue;
		part->at += i + 1;
		part->length -= i + 1;
		*number = value;
		return true;
	}
	return false;
}

static void add_key(struct text *out, uint8_t tag, enum item_type type)
{
	text_add_char(out, (char)(tag << 2 | type));
}

void item_add_number(struct text *out, uint8_t tag, uint64_t number)
{
	add_key(out, tag, ITEM_NUMBER);
	varint_add(out, number);
}

void item_add_double(struct text *out, uint8_t tag, double value)
{
	add_key(out, tag, ITEM_DOUBLE);
	double_add(out, value);
}

void item_add_bytes(struct text *out, uint8_t tag, const void *bytes, size_t length)
{
	add_key(out, tag, ITEM_BYTES);
	varint_add(out, length);
	text_add_bytes(out, bytes, length);
}

static int cut_short(const struct item *item, char reason[REASON_SIZE])
{
	snprintf(reason, REASON_SIZE, "item %u is cut short", item->tag);
	return -EBADMSG;
}

static int take_bytes(struct part *part, struct item *item, char reason[REASON_SIZE])
{
	uint64_t length;

	if (!varint_take(part, &length) || length > part->length)
		return cut_short(item, reason);
	item->bytes = (struct part){.at = part->at, .length = (size_t)length};
	part->at += length;
	part->length -= (size_t)length;
	return 1;
}

static int take_double(struct part *part, struct item *item, char reason[REASON_SIZE])
{
	if (part->length < 8)
		return cut_short(item, reason);
	item->value = double_read(part->at);
	part->at += 8;
	part->length -= 8;
	return 1;
}

int item_next(struct part *part, struct item *item, char reason[REASON_SIZE])
{
	if (part->length == 0)
		return 0;
	item->tag = *part->at >> 2;
	item->type = (enum item_type)(*part->at & 3);
	part->at++;
	part->length--;
	switch (item->type) {
	case ITEM_NUMBER:
		return varint_take(part, &item->number) ? 1 : cut_short(item, reason);
	case ITEM_DOUBLE:
		return take_double(part, item, reason);
	case ITEM_BYTES:
		return take_bytes(part, item, reason);
	default:
		snprintf(reason, REASON_SIZE, "item %u has an unknown type", item->tag);
		return -EBADMSG;
	}
}
