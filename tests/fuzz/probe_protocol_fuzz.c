/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel programs' protocol code: any segmentation of the same turns gives the same count, and
 * nothing is answered that was not asked. Input: first byte: 1 joined in the middle; 2 behind a
 * handshake of TLS 1.3, so that each turn is a record; then turns of "u8 who and how it is cut, u8
 * length, bytes".
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/unit/probe_wire.h"

/* A ServerHello or a status line is one segment in earnest: what is cut inside of one is told apart
 * by what comes later only. */
#define SERVER_PIECE_LEAST 200

static void feed(struct wire *wire, const u8 *turn, u32 length, bool server, u32 piece)
{
	if (server && piece < SERVER_PIECE_LEAST)
		piece = SERVER_PIECE_LEAST;
	for (u32 at = 0; at < length; at += piece) {
		u32 take = length - at < piece ? length - at : piece;

		if (server)
			wire_server(wire, turn + at, take);
		else
			wire_client(wire, turn + at, take);
	}
}

static void check(const struct wire *wire)
{
	u64 buckets = 0;

	for (u32 i = 0; i < FORERUN_BUCKETS; i++)
		buckets += wire->sums.buckets[i];
	if (wire->sums.responses + wire->sums.unanswered > wire->sums.requests ||
	    buckets != wire->sums.responses)
		abort();
}

/* As the ServerHello and the client's Finished leave it. */
static void open_tls13(struct wire *wire)
{
	static const u8 hello[] = {22, 3, 1, 0, 4, 1, 0, 0, 0};
	static const u8 finished[5 + TLS13_FINISHED_SHA256] = {23, 3, 3, 0, TLS13_FINISHED_SHA256};

	wire_client(wire, hello, sizeof(hello));
	wire->connection.tls = TLS13_HANDSHAKE;
	wire_client(wire, finished, sizeof(finished));
	if (!wire->connection.fresh)
		abort();
}

static u32 as_record(const u8 *bytes, u32 length, u8 *out)
{
	const u8 head[] = {TLS_APPLICATION, 3, 3, 0, (u8)length};

	memcpy(out, head, sizeof(head));
	memcpy(out + sizeof(head), bytes, length);
	return sizeof(head) + length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire whole, cut;
	bool tls;

	if (!size)
		return 0;
	tls = data[0] & 2;
	wire_start(&whole, data[0] & 1 && !tls);
	wire_start(&cut, data[0] & 1 && !tls);
	if (tls) {
		open_tls13(&whole);
		open_tls13(&cut);
	}
	for (size_t at = 1; at + 2 <= size;) {
		u32 length = data[at + 1];
		bool server = data[at] & 1;
		u32 piece = (data[at] >> 1) % 40 + 1;
		const u8 *turn = data + at + 2;
		u8 record[5 + 255];

		if (length > size - at - 2)
			length = (u32)(size - at - 2);
		at += 2 + length;
		if (tls) {
			length = as_record(turn, length, record);
			turn = record;
		}
		feed(&whole, turn, length, server, 1000);
		feed(&cut, turn, length, server, tls && server ? 1000 : piece);
		check(&whole);
		check(&cut);
		/* Where TLS is no TLS, what follows in the segment is passed over. */
		if ((tls || cut.connection.protocol != PROTOCOL_TLS) &&
		    (whole.sums.requests != cut.sums.requests ||
		     whole.sums.responses != cut.sums.responses))
			abort();
	}
	wire_end(&whole);
	wire_end(&cut);
	return 0;
}
