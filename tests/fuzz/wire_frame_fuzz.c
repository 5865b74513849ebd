/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a frame, and any bytes as the payload of a frame whose checksums are right (which a
 * fuzzer would not find). What is decoded encodes to something that decodes to the same.
 */
#include "wire/wire.h"

static void put(struct text *out, uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		text_add_char(out, (char)(value >> 8 * i));
}

static void check_again(const struct frame *frame)
{
	struct text first = {0}, second = {0};
	struct frame back;
	char reason[128];

	if (frame_encode(frame, &first) < 0 ||
	    frame_decode(first.data, first.length, &back, reason) != (ssize_t)first.length ||
	    frame_encode(&back, &second) < 0 || first.length != second.length ||
	    memcmp(first.data, second.data, first.length) != 0)
		abort();
	frame_free(&back);
	text_free(&first);
	text_free(&second);
}

static void try(const void *data, size_t length)
{
	struct frame frame;
	char reason[128] = "";
	ssize_t taken = frame_decode(data, length, &frame, reason);

	if (taken > (ssize_t)length || (taken < 0 && !reason[0]))
		abort();
	if (taken <= 0)
		return;
	check_again(&frame);
	frame_free(&frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text bytes = {0};

	try(data, size);
	text_add(&bytes, "FRNF");
	put(&bytes, WIRE_VERSION, 2);
	put(&bytes, size & 1 ? FRAME_EDGE : FRAME_TICK, 2);
	put(&bytes, size, 4);
	put(&bytes, crc32_of(data, size), 4);
	put(&bytes, crc32_of(bytes.data, 16), 4);
	text_add_bytes(&bytes, data, size);
	try(bytes.data, bytes.length);
	text_free(&bytes);
	return 0;
}
