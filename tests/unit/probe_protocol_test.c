/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel programs make of a connection's bytes, however they are cut into segments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "probe_wire.h"

static u32 seed;

static u32 chance(u32 below)
{
	seed = seed * 1664525 + 1013904223;
	return (u32)(((u64)(seed >> 8) * below) >> 24);
}

static void expect(const struct wire *wire, u64 requests, u64 responses, u8 protocol)
{
	assert_int_equal(wire->sums.requests, requests);
	assert_int_equal(wire->sums.responses, responses);
	assert_int_equal(wire->connection.protocol, protocol);
}

/* In pieces of at most that many bytes. */
static void client_cut(struct wire *wire, const void *payload, size_t length, u32 piece)
{
	for (size_t at = 0; at < length; at += piece)
		wire_client(wire, (const u8 *)payload + at,
			    (u32)(length - at < piece ? length - at : piece));
}

#define CLIENT(wire, text) wire_client(wire, text, sizeof(text) - 1)
#define SERVER(wire, text) wire_server(wire, text, sizeof(text) - 1)

static void test_every_method_is_http1_from_any_cut(void **state)
{
	static const char *const requests[] = {
		"GET / HTTP/1.1\r\n\r\n",	"PUT /a HTTP/1.1\r\n\r\n",
		"POST /a HTTP/1.1\r\n\r\n",	"HEAD / HTTP/1.1\r\n\r\n",
		"PATCH / HTTP/1.1\r\n\r\n",	"TRACE / HTTP/1.1\r\n\r\n",
		"DELETE / HTTP/1.1\r\n\r\n",	"OPTIONS * HTTP/1.1\r\n\r\n",
		"CONNECT a:1 HTTP/1.1\r\n\r\n", "PROPFIND / HTTP/1.1\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++)
		for (u32 piece = 1; piece < 40; piece++) {
			struct wire wire;

			wire_start(&wire, false);
			for (u64 n = 1; n <= 3; n++) {
				client_cut(&wire, requests[i], strlen(requests[i]), piece);
				SERVER(&wire, "HTTP/1.1 200 OK\r\n\r\n");
				expect(&wire, n, n, PROTOCOL_HTTP1);
			}
			assert_int_equal(wire.sums.protocols[FORERUN_PROTOCOL_HTTP1], 1);
			wire_end(&wire);
		}
}

static void test_what_is_none_of_them_counts_by_turns(void **state)
{
	struct wire wire;

	(void)state;
	wire_start(&wire, false);
	CLIENT(&wire, "*1\r\n$4\r\nPING\r\n");
	SERVER(&wire, "+PONG\r\n");
	CLIENT(&wire, "*1\r\n$4\r\nPING\r\n");
	expect(&wire, 2, 1, PROTOCOL_OTHER);
	wire_end(&wire);
}

static void test_a_server_that_speaks_first_answers_nothing(void **state)
{
	struct wire wire;

	(void)state;
	wire_start(&wire, false);
	SERVER(&wire, "220 mail\r\n");
	CLIENT(&wire, "EHLO me\r\n");
	SERVER(&wire, "250 ok\r\n");
	expect(&wire, 1, 1, PROTOCOL_OTHER);
	wire_end(&wire);
}

static void test_after_100_continue_the_same_request_goes_on(void **state)
{
	struct wire wire;

	(void)state;
	wire_start(&wire, false);
	CLIENT(&wire, "POST / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n");
	SERVER(&wire, "HTTP/1.1 100 Continue\r\n\r\n");
	CLIENT(&wire, "body");
	SERVER(&wire, "HTTP/1.1 200 OK\r\n\r\n");
	expect(&wire, 1, 1, PROTOCOL_HTTP1);
	wire_end(&wire);
}

static void test_a_websocket_is_one_request(void **state)
{
	struct wire wire;

	(void)state;
	wire_start(&wire, false);
	CLIENT(&wire, "GET /chat HTTP/1.1\r\nUpgrade: websocket\r\n\r\n");
	SERVER(&wire, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
	for (int i = 0; i < 10; i++) {
		CLIENT(&wire, "\x81\x85mask-hello");
		SERVER(&wire, "\x81\x05hello");
	}
	expect(&wire, 1, 1, PROTOCOL_UPGRADED);
	wire_end(&wire);
}

static void test_a_proxy_header_in_front_is_passed_over(void **state)
{
	static const char v1[] = "PROXY TCP4 192.0.2.1 192.0.2.2 1000 80\r\nGET / HTTP/1.1\r\n\r\n";
	static const char v2[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"
				 "abcdefghijkl"
				 "GET / HTTP/1.1\r\n\r\n";
	static const char v2_local[] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0GET / HTTP/1.1\r\n\r\n";
	const struct {
		const char *bytes;
		size_t length;
	} cases[] = {{v1, sizeof(v1) - 1}, {v2, sizeof(v2) - 1}, {v2_local, sizeof(v2_local) - 1}};

	(void)state;
	for (size_t i = 0; i < 3; i++)
		for (u32 piece = 1; piece < 80; piece++) {
			struct wire wire;

			wire_start(&wire, false);
			client_cut(&wire, cases[i].bytes, cases[i].length, piece);
			SERVER(&wire, "HTTP/1.1 200 OK\r\n\r\n");
			expect(&wire, 1, 1, PROTOCOL_HTTP1);
			wire_end(&wire);
		}
}

static void test_what_was_seen_before_does_not_count_again(void **state)
{
	static const char request[] = "GET / HTTP/1.1\r\n\r\n";
	struct wire wire;
	u32 first;

	(void)state;
	wire_start(&wire, false);
	first = wire.sequence;
	CLIENT(&wire, "GET / HTTP/1.1\r\n\r\n");
	SERVER(&wire, "HTTP/1.1 200 OK\r\n\r\n");
	wire_client_at(&wire, first, request, sizeof(request) - 1);
	wire_client_at(&wire, first + 3, request + 3, 5);
	expect(&wire, 1, 1, PROTOCOL_HTTP1);
	/* One that overlaps and goes on is new by what goes on. */
	wire_client_at(&wire, first + 4, "/ HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", 32);
	expect(&wire, 2, 1, PROTOCOL_HTTP1);
	wire_end(&wire);
}

/* ---- TLS ---- */

static size_t record(u8 *out, u8 type, u32 length, u8 first)
{
	out[0] = type;
	out[1] = out[2] = 3;
	out[3] = (u8)(length >> 8);
	out[4] = (u8)length;
	memset(out + 5, 0xaa, length);
	if (length)
		out[5] = first;
	return 5 + length;
}

static size_t server_hello(u8 *out, bool is_13, bool alpn_h2)
{
	u8 extensions[64];
	size_t size = 0, length;

	memcpy(extensions, "\xff\x01\0\1\0", 5); /* renegotiation_info */
	size += 5;
	if (is_13) {
		memcpy(extensions + size, "\0\x2b\0\2\3\4", 6);
		size += 6;
	}
	if (alpn_h2) {
		memcpy(extensions + size, "\0\x10\0\5\0\3\2h2", 9);
		size += 9;
	}
	length = record(out, 22, (u32)(4 + 2 + 32 + 1 + 32 + 5 + size), 2);
	out[5 + 4 + 2 + 32] = 32;
	out[5 + 4 + 2 + 32 + 1 + 32 + 3] = 0;
	out[5 + 4 + 2 + 32 + 1 + 32 + 4] = (u8)size;
	memcpy(out + 5 + 4 + 2 + 32 + 1 + 32 + 5, extensions, size);
	return length;
}

static void tls_records(struct wire *wire, u32 piece, const u8 *bytes, size_t length)
{
	client_cut(wire, bytes, length, piece);
}

/* A client's records in one flight: type, length, first byte; ended by a length of 0. */
struct flight {
	u8 type;
	u32 length;
	u8 first;
};

static void client_flight(struct wire *wire, u32 piece, const struct flight *flight)
{
	u8 bytes[4096];
	size_t length = 0;

	for (; flight->length; flight++)
		length += record(bytes + length, flight->type, flight->length, flight->first);
	tls_records(wire, piece, bytes, length);
}

static void server_flight(struct wire *wire, const struct flight *flight)
{
	u8 bytes[4096];
	size_t length = 0;

	for (; flight->length; flight++)
		length += record(bytes + length, flight->type, flight->length, flight->first);
	wire_server(wire, bytes, (u32)length);
}

#define FLIGHT(...) ((const struct flight[]){__VA_ARGS__, {0}})

static void test_tls13_counts_only_what_the_application_says(void **state)
{
	u8 hello[256];
	size_t length = server_hello(hello, true, false);

	(void)state;
	for (u32 piece = 1; piece < 300; piece += piece < 12 ? 1 : 37) {
		struct wire wire;

		wire_start(&wire, false);
		client_flight(&wire, piece, FLIGHT({22, 512, 1}));
		wire_server(&wire, hello, (u32)length);
		server_flight(&wire, FLIGHT({20, 1, 1}, {23, 900}, {23, 53}));
		client_flight(&wire, piece, FLIGHT({20, 1, 1}, {23, 53}));
		server_flight(&wire, FLIGHT({23, 250}, {23, 250})); /* tickets */
		expect(&wire, 0, 0, PROTOCOL_TLS);
		for (u64 n = 1; n <= 3; n++) {
			client_flight(&wire, piece, FLIGHT({23, 120}));
			server_flight(&wire, FLIGHT({23, 700}));
			expect(&wire, n, n, PROTOCOL_TLS);
		}
		client_flight(&wire, piece, FLIGHT({23, TLS13_KEY_UPDATE}));
		client_flight(&wire, piece, FLIGHT({23, TLS13_ALERT}));
		expect(&wire, 3, 3, PROTOCOL_TLS);
		assert_int_equal(wire.sums.lower_bounds, 0);
		wire_end(&wire);
	}
}

static void test_tls13_request_right_behind_the_handshake(void **state)
{
	u8 hello[256];
	size_t length = server_hello(hello, true, false);
	struct wire wire;

	(void)state;
	wire_start(&wire, false);
	client_flight(&wire, 2000, FLIGHT({22, 512, 1}));
	wire_server(&wire, hello, (u32)length);
	client_flight(&wire, 2000, FLIGHT({20, 1, 1}, {23, TLS13_FINISHED_SHA384}, {23, 300}));
	expect(&wire, 1, 0, PROTOCOL_TLS);
	server_flight(&wire, FLIGHT({23, 900}));
	expect(&wire, 1, 1, PROTOCOL_TLS);
	wire_end(&wire);
}

static void test_tls13_client_certificate_in_one_record(void **state)
{
	u8 hello[256];
	size_t length = server_hello(hello, true, false);
	struct wire wire;

	(void)state;
	wire_start(&wire, false);
	client_flight(&wire, 2000, FLIGHT({22, 512, 1}));
	wire_server(&wire, hello, (u32)length);
	client_flight(&wire, 2000, FLIGHT({20, 1, 1}, {23, 1200}));
	server_flight(&wire, FLIGHT({23, 250}));
	client_flight(&wire, 2000, FLIGHT({23, 300}));
	server_flight(&wire, FLIGHT({23, 900}));
	expect(&wire, 1, 1, PROTOCOL_TLS);
	wire_end(&wire);
}

static void test_tls13_early_data_is_a_request(void **state)
{
	u8 hello[256];
	size_t length = server_hello(hello, true, false);
	struct wire wire;

	(void)state;
	wire_start(&wire, false);
	client_flight(&wire, 2000, FLIGHT({22, 512, 1}, {20, 1, 1}, {23, 200}));
	expect(&wire, 1, 0, PROTOCOL_TLS);
	wire_server(&wire, hello, (u32)length);
	expect(&wire, 1, 0, PROTOCOL_TLS);
	server_flight(&wire, FLIGHT({23, 700}));
	expect(&wire, 1, 1, PROTOCOL_TLS);
	client_flight(&wire, 2000, FLIGHT({23, 21}, {23, 53})); /* EndOfEarlyData, Finished */
	expect(&wire, 1, 1, PROTOCOL_TLS);
	client_flight(&wire, 2000, FLIGHT({23, 200}));
	expect(&wire, 2, 1, PROTOCOL_TLS);
	wire_end(&wire);
}

/* ---- tickets that come while an upload is under way ---- */

static void tls13_handshake(struct wire *wire)
{
	u8 hello[256];
	size_t length = server_hello(hello, true, false);

	wire_start(wire, false);
	client_flight(wire, 2000, FLIGHT({22, 512, 1}));
	wire_server(wire, hello, (u32)length);
	client_flight(wire, 2000, FLIGHT({20, 1, 1}, {23, 53}));
}

enum records { FULL, GROWING, SMALL };

/* As OpenSSL, Go and a slow writer cut what they send. */
static size_t upload(u8 *out, enum records how, u32 count, size_t *last)
{
	size_t length = record(out, 23, 60 + chance(900), 0);

	for (u32 i = 0; i < count; i++) {
		u32 size = how == SMALL ? 1300 : how == FULL ? 16401 : 1186 * (i + 1) + 17;

		*last = length;
		if (i + 1 == count)
			size = 40 + chance(1000);
		length += record(out + length, 23, size, 0);
	}
	return length;
}

static void tickets(struct wire *wire, bool two, bool at_once)
{
	if (two && at_once) {
		server_flight(wire, FLIGHT({23, 250}, {23, 250}));
		return;
	}
	server_flight(wire, FLIGHT({23, 250}));
	if (two)
		server_flight(wire, FLIGHT({23, 250}));
}

/* From where the client has not received the tickets yet for some segments, or has and ends no
 * record there but full ones. */
static void one_upload(u8 *bytes, bool heard, enum records how)
{
	struct wire wire;
	size_t last = 0, length = upload(bytes, how, 3 + chance(8), &last);
	size_t when = chance((u32)last - 1) + 1;
	bool told = false, two = chance(2), at_once = chance(2);
	u32 most = chance(2) ? 40000 : 1448;
	bool by_record = chance(2); /* one write, one segment */

	tls13_handshake(&wire);
	for (size_t at = 0; at < length;) {
		u32 piece = chance(most) + 1;

		if (by_record)
			piece = 5 + ((u32)bytes[at + 3] << 8 | bytes[at + 4]);
		if (piece > length - at)
			piece = (u32)(length - at);
		if (!told && at && at + piece > when) {
			u32 answer = wire.answer;

			tickets(&wire, two, at_once);
			wire.unheard = heard ? 0 : wire.answer - answer;
			told = true;
		}
		wire_client(&wire, bytes + at, piece);
		wire.unheard = 0;
		at += piece;
	}
	assert_int_equal(wire.sums.requests, 1);
	server_flight(&wire, FLIGHT({23, 700}));
	expect(&wire, 1, 1, PROTOCOL_TLS);
	assert_int_equal(wire.sums.unanswered, 0);
	client_flight(&wire, 2000, FLIGHT({23, 120}));
	expect(&wire, 2, 1, PROTOCOL_TLS);
	server_flight(&wire, FLIGHT({23, 250}));
	client_flight(&wire, 2000, FLIGHT({23, 120}));
	expect(&wire, 3, 2, PROTOCOL_TLS);
	wire_end(&wire);
}

static void test_tickets_in_the_middle_of_an_upload_answer_nothing(void **state)
{
	u8 *bytes = malloc(1 << 20);

	(void)state;
	for (u32 round = 1; round < 3000; round++) {
		seed = round;
		one_upload(bytes, false, chance(3));
		one_upload(bytes, true, FULL);
	}
	free(bytes);
}

/* What counts as in flight stays so while what looked like the response was a ticket. */
static void test_an_upload_is_in_flight_until_its_response(void **state)
{
	struct wire wire;

	(void)state;
	tls13_handshake(&wire);
	client_flight(&wire, 2000, FLIGHT({23, 120}));
	server_flight(&wire, FLIGHT({23, 250}));
	expect(&wire, 1, 1, PROTOCOL_TLS);
	server_flight(&wire, FLIGHT({23, 250}));
	client_flight(&wire, 2000, FLIGHT({23, 1200}));
	assert_int_equal(wire.sums.requests - wire.sums.responses - wire.sums.unanswered, 1);
	server_flight(&wire, FLIGHT({23, 900}));
	expect(&wire, 1, 1, PROTOCOL_TLS);
	assert_int_equal(wire.sums.unanswered, 0);
	wire_end(&wire);
}

/* A server without tickets, whose answers are as short as one. */
static void test_answers_that_look_like_tickets_count(void **state)
{
	struct wire wire;

	(void)state;
	tls13_handshake(&wire);
	for (u64 n = 1; n <= 5; n++) {
		client_flight(&wire, 2000, FLIGHT({23, 120}));
		server_flight(&wire, FLIGHT({23, 250}));
		expect(&wire, n, n, PROTOCOL_TLS);
	}
	wire_end(&wire);
	tls13_handshake(&wire);
	server_flight(&wire, FLIGHT({23, 250}, {23, 250}));
	for (u64 n = 1; n <= 5; n++) {
		client_flight(&wire, 2000, FLIGHT({23, 120}));
		server_flight(&wire, FLIGHT({23, 250}));
		expect(&wire, n, n, PROTOCOL_TLS);
	}
	wire_end(&wire);
}

static void test_tls12_counts_by_the_record_type(void **state)
{
	u8 hello[256];
	size_t length = server_hello(hello, false, false);

	(void)state;
	for (u32 piece = 1; piece < 300; piece += piece < 12 ? 1 : 37) {
		struct wire wire;

		wire_start(&wire, false);
		client_flight(&wire, piece, FLIGHT({22, 200, 1}));
		wire_server(&wire, hello, (u32)length);
		client_flight(&wire, piece, FLIGHT({22, 37, 16}, {20, 1, 1}, {22, 40, 9}));
		server_flight(&wire, FLIGHT({22, 180, 4}, {20, 1, 1}, {22, 40, 9}));
		expect(&wire, 0, 0, PROTOCOL_TLS);
		client_flight(&wire, piece, FLIGHT({23, TLS13_ALERT}));
		server_flight(&wire, FLIGHT({23, 700}));
		expect(&wire, 1, 1, PROTOCOL_TLS);
		client_flight(&wire, piece, FLIGHT({21, 26, 9}));
		expect(&wire, 1, 1, PROTOCOL_TLS);
		wire_end(&wire);
	}
}

static void test_tls12_is_known_without_its_server_hello(void **state)
{
	u8 hello[256];
	struct wire wire;

	(void)state;
	server_hello(hello, false, false);
	wire_start(&wire, false);
	client_flight(&wire, 2000, FLIGHT({22, 200, 1}));
	wire_server(&wire, hello, 40); /* cut */
	client_flight(&wire, 2000, FLIGHT({22, 37, 16}, {20, 1, 1}, {22, 40, 9}));
	client_flight(&wire, 2000, FLIGHT({23, 99}));
	server_flight(&wire, FLIGHT({23, 700}));
	expect(&wire, 1, 1, PROTOCOL_TLS);
	wire_end(&wire);
}

static void test_http2_named_in_tls12_is_a_lower_bound(void **state)
{
	u8 hello[256];
	size_t length = server_hello(hello, false, true);
	struct wire wire;

	(void)state;
	wire_start(&wire, false);
	client_flight(&wire, 2000, FLIGHT({22, 200, 1}));
	wire_server(&wire, hello, (u32)length);
	assert_int_equal(wire.sums.lower_bounds, 1);
	wire_end(&wire);
}

static void test_joined_in_the_middle_of_tls(void **state)
{
	struct wire wire;

	(void)state;
	wire_start(&wire, true);
	client_flight(&wire, 2000, FLIGHT({23, 200}));
	server_flight(&wire, FLIGHT({23, 700}));
	client_flight(&wire, 2000, FLIGHT({23, TLS13_ALERT}));
	expect(&wire, 1, 1, PROTOCOL_TLS);
	wire_end(&wire);
}

/* ---- HTTP/2 by hand ---- */

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

static size_t frame(u8 *out, u32 length, u8 type, u8 flags, u32 stream)
{
	u8 head[] = {(u8)(length >> 16), (u8)(length >> 8),  (u8)length,	type,	   flags,
		     (u8)(stream >> 24), (u8)(stream >> 16), (u8)(stream >> 8), (u8)stream};

	memcpy(out, head, sizeof(head));
	memset(out + sizeof(head), 0x5a, length);
	return sizeof(head) + length;
}

static void test_http2_ends_and_resets(void **state)
{
	struct wire wire;
	u8 out[1024];
	size_t n;

	(void)state;
	wire_start(&wire, false);
	CLIENT(&wire, PREFACE);
	n = frame(out, 6, 4, 0, 0); /* SETTINGS */
	n += frame(out + n, 20, H2_HEADERS, 5, 1);
	n += frame(out + n, 20, H2_HEADERS, 4, 3);
	n += frame(out + n, 20, H2_HEADERS, 4, 5);
	n += frame(out + n, 20, H2_HEADERS, 5, 3); /* trailers of 3 */
	n += frame(out + n, 8, 6, 0, 0); /* PING */
	wire_client(&wire, out, (u32)n);
	expect(&wire, 3, 0, PROTOCOL_HTTP2);
	n = frame(out, 20, H2_HEADERS, 4, 1);
	n += frame(out + n, 30, H2_DATA, 0, 1);
	n += frame(out + n, 0, H2_DATA, 1, 1);
	n += frame(out + n, 4, H2_RST_STREAM, 0, 1); /* behind its end: nothing more */
	n += frame(out + n, 4, H2_RST_STREAM, 0, 3);
	n += frame(out + n, 20, H2_HEADERS, 5, 2); /* of a push */
	wire_server(&wire, out, (u32)n);
	expect(&wire, 3, 2, PROTOCOL_HTTP2);
	n = frame(out, 4, H2_RST_STREAM, 0, 5);
	wire_client(&wire, out, (u32)n);
	assert_int_equal(wire.sums.unanswered, 1);
	assert_int_equal(wire.sk.http2->open, 0);
	assert_int_equal(wire.sums.lower_bounds, 0);
	wire_end(&wire);
}

static void test_a_missing_segment_is_not_guessed_over(void **state)
{
	struct wire wire;
	u8 out[1024];
	size_t n;

	(void)state;
	wire_start(&wire, false);
	CLIENT(&wire, PREFACE);
	n = frame(out, 20, H2_HEADERS, 5, 1);
	wire_client(&wire, out, (u32)n);
	wire.sequence += 100;
	wire_client(&wire, out, (u32)n);
	wire_client(&wire, out, (u32)n);
	expect(&wire, 1, 0, PROTOCOL_HTTP2);
	assert_int_equal(wire.sums.lower_bounds, 1);
	assert_int_equal(wire.sums.unanswered, 1);
	wire_end(&wire);
}

static void test_rapid_reset_is_counted_and_bounded(void **state)
{
	struct wire wire;
	u8 *out = malloc(1 << 20);
	size_t n = 0;

	(void)state;
	wire_start(&wire, false);
	CLIENT(&wire, PREFACE);
	for (u32 stream = 1; stream < 2001; stream += 2) {
		n += frame(out + n, 20, H2_HEADERS, 5, stream);
		n += frame(out + n, 4, H2_RST_STREAM, 0, stream);
	}
	wire_client(&wire, out, (u32)n);
	expect(&wire, 1000, 0, PROTOCOL_HTTP2);
	assert_int_equal(wire.sums.unanswered, 1000);
	/* More frames than any segment holds in earnest: followed no longer. */
	for (n = 0; n < 9 * 10000;)
		n += frame(out + n, 0, 9, 0, 1);
	wire_client(&wire, out, (u32)n);
	assert_int_equal(wire.sums.lower_bounds, 1);
	free(out);
	wire_end(&wire);
}

static void test_more_streams_than_are_kept(void **state)
{
	struct wire wire;
	u8 out[64];

	(void)state;
	wire_start(&wire, false);
	CLIENT(&wire, PREFACE);
	for (u32 i = 0; i < H2_STREAMS + 10; i++)
		wire_client(&wire, out, (u32)frame(out, 10, H2_HEADERS, 5, 2 * i + 1));
	expect(&wire, H2_STREAMS + 10, 0, PROTOCOL_HTTP2);
	assert_int_equal(wire.sums.unanswered, 10);
	assert_int_equal(wire.sums.lower_bounds, 10);
	assert_int_equal(wire.sk.http2->open, H2_STREAMS);
	wire_end(&wire);
}

static void test_response_times_are_until_the_first_headers(void **state)
{
	struct wire wire;
	u8 out[64];
	u64 buckets = 0;

	(void)state;
	wire_start(&wire, false);
	CLIENT(&wire, PREFACE);
	wire_client(&wire, out, (u32)frame(out, 10, H2_HEADERS, 5, 1));
	wire_now_ns += 5000000;
	wire_server(&wire, out, (u32)frame(out, 10, H2_HEADERS, 4, 1));
	wire_now_ns += 900000000;
	wire_server(&wire, out, (u32)frame(out, 10, H2_DATA, 1, 1));
	assert_int_equal(wire.sums.response_ns, 5000000);
	for (u32 i = 0; i < FORERUN_BUCKETS; i++)
		buckets += wire.sums.buckets[i];
	assert_int_equal(buckets, 1);
	assert_int_equal(wire.sums.buckets[forerun_bucket_of(5000000)], 1);
	wire_end(&wire);
}

/* Random bytes of both sides never crash, and never count an answer without a question. */
static void test_garbage_is_harmless(void **state)
{
	static const char *const starts[] = {"",       PREFACE,	   "\x16\x03\x01",
					     "PROXY ", "\r\n\r\n", "GET "};

	(void)state;
	for (u32 round = 1; round < 3000; round++) {
		const char *start = starts[round % 6];
		struct wire wire;
		u8 bytes[512];

		seed = round;
		wire_start(&wire, round % 5 == 0);
		wire_client(&wire, start, (u32)strlen(start));
		for (int i = 0; i < 40; i++) {
			u32 length = chance(sizeof(bytes)) + 1;

			for (u32 at = 0; at < length; at++)
				bytes[at] = (u8)chance(chance(2) ? 8 : 256);
			if (chance(2))
				wire_client(&wire, bytes, length);
			else
				wire_server(&wire, bytes, length);
			wire_now_ns += chance(1000000);
		}
		assert_true(wire.sums.responses + wire.sums.unanswered <= wire.sums.requests);
		wire_end(&wire);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_method_is_http1_from_any_cut),
		cmocka_unit_test(test_what_is_none_of_them_counts_by_turns),
		cmocka_unit_test(test_a_server_that_speaks_first_answers_nothing),
		cmocka_unit_test(test_after_100_continue_the_same_request_goes_on),
		cmocka_unit_test(test_a_websocket_is_one_request),
		cmocka_unit_test(test_a_proxy_header_in_front_is_passed_over),
		cmocka_unit_test(test_what_was_seen_before_does_not_count_again),
		cmocka_unit_test(test_tls13_counts_only_what_the_application_says),
		cmocka_unit_test(test_tls13_request_right_behind_the_handshake),
		cmocka_unit_test(test_tls13_client_certificate_in_one_record),
		cmocka_unit_test(test_tls13_early_data_is_a_request),
		cmocka_unit_test(test_tickets_in_the_middle_of_an_upload_answer_nothing),
		cmocka_unit_test(test_an_upload_is_in_flight_until_its_response),
		cmocka_unit_test(test_answers_that_look_like_tickets_count),
		cmocka_unit_test(test_tls12_counts_by_the_record_type),
		cmocka_unit_test(test_tls12_is_known_without_its_server_hello),
		cmocka_unit_test(test_http2_named_in_tls12_is_a_lower_bound),
		cmocka_unit_test(test_joined_in_the_middle_of_tls),
		cmocka_unit_test(test_http2_ends_and_resets),
		cmocka_unit_test(test_a_missing_segment_is_not_guessed_over),
		cmocka_unit_test(test_rapid_reset_is_counted_and_bounded),
		cmocka_unit_test(test_more_streams_than_are_kept),
		cmocka_unit_test(test_response_times_are_until_the_first_headers),
		cmocka_unit_test(test_garbage_is_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
