/* SPDX-License-Identifier: Apache-2.0 */
/* nghttp2 as the reference: its client and its server speak to each other, in random segments that
 * the kernel programs' code sees too. It counts what they count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>

#include "probe_wire.h"

#define ROUNDS 60

struct side {
	nghttp2_session *session;
	u8 pending[1 << 20];
	size_t length;
};

struct world {
	struct wire wire;
	struct side client, server;
	u32 requests, responses; /* as nghttp2 has them */
	u32 streams[4096], streams_count; /* open at the server */
};

static u32 seed;

static u32 chance(u32 below)
{
	seed = seed * 1664525 + 1013904223;
	return (u32)(((u64)(seed >> 8) * below) >> 24);
}

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t length, int flags,
		       void *arg)
{
	struct world *world = arg;
	struct side *side = session == world->client.session ? &world->client : &world->server;

	(void)flags;
	if (side->length + length > sizeof(side->pending))
		return NGHTTP2_ERR_WOULDBLOCK;
	memcpy(side->pending + side->length, data, length);
	side->length += length;
	return (ssize_t)length;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct world *world = arg;

	if (session != world->server.session || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	world->requests++;
	world->streams[world->streams_count++] = (u32)frame->hd.stream_id;
	return 0;
}

/* What the server sent is a response when it ends a stream. */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct world *world = arg;
	bool ends = frame->hd.type == NGHTTP2_RST_STREAM ||
		    ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
		     frame->hd.flags & NGHTTP2_FLAG_END_STREAM);

	if (session == world->server.session && ends)
		world->responses++;
	return 0;
}

static ssize_t read_body(nghttp2_session *session, int32_t stream_id, uint8_t *out, size_t length,
			 uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	size_t *left = source->ptr, take = *left < length ? *left : length;

	(void)session;
	(void)stream_id;
	(void)arg;
	memset(out, 'x', take);
	*left -= take;
	if (!*left) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		free(left);
	}
	return (ssize_t)take;
}

static ssize_t pad(nghttp2_session *session, const nghttp2_frame *frame, size_t most, void *arg)
{
	size_t more = most - frame->hd.length;

	(void)session;
	(void)arg;
	return (ssize_t)(frame->hd.length + (more ? chance((u32)(more < 256 ? more : 256)) : 0));
}

static nghttp2_data_provider body_of(size_t length)
{
	size_t *left = malloc(sizeof(*left));

	*left = length;
	return (nghttp2_data_provider){.source.ptr = left, .read_callback = read_body};
}

#define NV(name, value)                                                                 \
	{                                                                               \
		(uint8_t *)(name), (uint8_t *)(value), sizeof(name) - 1, strlen(value), \
			NGHTTP2_NV_FLAG_NONE                                            \
	}

static void client_asks(struct world *world)
{
	char path[4000] = "/";
	nghttp2_nv headers[] = {NV(":method", "POST"), NV(":scheme", "http"),
				NV(":authority", "test"), NV(":path", path)};
	nghttp2_data_provider body;
	bool has_body = chance(2);
	size_t length = chance(20) ? chance(200) : 3000; /* now and then with CONTINUATION */

	memset(path + 1, 'a', length);
	headers[3].valuelen = length + 1;
	if (has_body)
		body = body_of(chance(5000));
	nghttp2_submit_request(world->client.session, NULL, headers, 4, has_body ? &body : NULL,
			       NULL);
}

static void server_answers(struct world *world)
{
	const nghttp2_nv headers[] = {NV(":status", "200")};
	u32 at, id;
	nghttp2_data_provider body;

	if (!world->streams_count)
		return;
	at = chance(world->streams_count);
	id = world->streams[at];
	world->streams[at] = world->streams[--world->streams_count];
	if (chance(8) == 0) {
		nghttp2_submit_rst_stream(world->server.session, 0, (int32_t)id,
					  NGHTTP2_INTERNAL_ERROR);
	} else if (chance(3)) {
		body = body_of(chance(30000));
		nghttp2_submit_response(world->server.session, (int32_t)id, headers, 1, &body);
	} else {
		nghttp2_submit_response(world->server.session, (int32_t)id, headers, 1, NULL);
	}
}

/* Everything that one side has to say, in segments; the other hears it a piece at a time too. */
static void flush(struct world *world, struct side *from, struct side *to)
{
	nghttp2_session_send(from->session);
	for (size_t at = 0; at < from->length;) {
		u32 piece = 1 + chance(chance(4) ? 1448 : 9);

		if (piece > from->length - at)
			piece = (u32)(from->length - at);
		if (from == &world->client)
			wire_client(&world->wire, from->pending + at, piece);
		else
			wire_server(&world->wire, from->pending + at, piece);
		assert_int_equal(nghttp2_session_mem_recv(to->session, from->pending + at, piece),
				 piece);
		at += piece;
	}
	from->length = 0;
}

static void sessions_start(struct world *world)
{
	nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 100},
					     {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20}};
	nghttp2_session_callbacks *callbacks;

	nghttp2_session_callbacks_new(&callbacks);
	nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
	nghttp2_session_callbacks_set_select_padding_callback(callbacks, pad);
	nghttp2_session_client_new(&world->client.session, callbacks, world);
	nghttp2_session_server_new(&world->server.session, callbacks, world);
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_submit_settings(world->client.session, 0, settings, 2);
	nghttp2_submit_settings(world->server.session, 0, settings, 2);
	nghttp2_session_set_local_window_size(world->client.session, 0, 0, 1 << 24);
	nghttp2_session_set_local_window_size(world->server.session, 0, 0, 1 << 24);
}

static void converse(struct world *world)
{
	for (u32 step = 0; step < 60; step++) {
		for (u32 n = chance(10); n; n--)
			client_asks(world);
		if (chance(5) == 0)
			nghttp2_submit_ping(world->client.session, 0, NULL);
		flush(world, &world->client, &world->server);
		for (u32 n = chance(12); n; n--)
			server_answers(world);
		flush(world, &world->server, &world->client);
		wire_now_ns += 1000000;
	}
	while (world->streams_count) {
		server_answers(world);
		flush(world, &world->server, &world->client);
		flush(world, &world->client, &world->server);
	}
	for (int i = 0; i < 20; i++) { /* windows open again */
		flush(world, &world->client, &world->server);
		flush(world, &world->server, &world->client);
	}
}

static void test_requests_and_responses_are_those_of_nghttp2(void **state)
{
	struct world *world = malloc(sizeof(*world));
	u64 requests = 0, let_go = 0;

	(void)state;
	for (u32 round = 1; round <= ROUNDS; round++) {
		memset(world, 0, sizeof(*world));
		seed = round;
		wire_start(&world->wire, false);
		sessions_start(world);
		converse(world);
		assert_int_equal(world->wire.sums.requests, world->requests);
		/* A stream that stayed open for as many others as are kept was let go of, and said
		 * so. */
		assert_int_equal(world->wire.sums.responses + world->wire.sums.lower_bounds,
				 world->responses);
		let_go += world->wire.sums.lower_bounds;
		assert_int_equal(world->wire.sk.http2->open, 0);
		requests += world->requests;
		nghttp2_session_del(world->client.session);
		nghttp2_session_del(world->server.session);
		wire_end(&world->wire);
	}
	assert_true(requests > 100 * ROUNDS);
	assert_true(let_go < requests / 1000);
	free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests_and_responses_are_those_of_nghttp2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
