/* SPDX-License-Identifier: Apache-2.0 */
/* One connection of an agent, on the core's side. Whatever is wrong with what it says ends this
 * connection, with a reason, and nothing else. */
#include "wire/server_private.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

#define OUT_BYTES_MAX ((size_t)64 << 10) /* a slow reader ends above it */
#define BYTES_PER_FRAME ((double)(64 << 10)) /* what the limit on frames allows in bytes */
#define LISTENERS_PER_MESSAGE 512 /* so many cost as much again as a message */
#define TOO_MUCH "the agent says too much"
#define FULL "the core keeps as much of its agents as it may"
#define BURST 10 /* so many seconds' worth may come at once */

bool bucket_allows(struct bucket *bucket, double amount, double per_second, double most,
		   uint64_t now_ns)
{
	double passed = (double)(now_ns - bucket->filled_ns) / (double)NS_PER_S;

	bucket->level = bucket->filled_ns ? MIN(bucket->level + passed * per_second, most) : most;
	bucket->filled_ns = now_ns;
	if (bucket->level < amount)
		return false;
	bucket->level -= amount;
	return true;
}

static int say(struct peer *peer, const struct text *out)
{
	peer->spoken_ns = time_mono_ns();
	return tls_stream_write(peer->stream, out->data, out->length);
}

/* ---- the end ---- */

static void forget_host(struct peer *peer)
{
	struct wire_server *server = peer->server;

	if (map_get(&server->by_host, hash_text(peer->host)) == peer)
		map_remove(&server->by_host, hash_text(peer->host));
}

/* It is no part of the fleet any more: told once, whoever ended it and however. */
static void leave(struct peer *peer, const char *reason)
{
	struct wire_server *server = peer->server;
	enum peer_phase before = peer->phase;

	if (before == PEER_ENDING)
		return;
	peer->phase = PEER_ENDING;
	if (before == PEER_NEW) {
		server_not_new(peer);
		server->status.refused++;
		server_complain(server, peer, reason, time_mono_ns());
		return;
	}
	server->open_count--;
	server->status.ended++;
	server->state_bytes -= peer->reader.state.bytes;
	frame_reader_free(&peer->reader);
	forget_host(peer);
	if (server->events.left)
		server->events.left(server->events.arg, peer->host, reason);
}

void peer_end(struct peer *peer, const char *reason)
{
	_cleanup_text_ struct text out = {0};

	if (peer->phase == PEER_ENDING)
		return;
	if (tls_stream_ready(peer->stream)) {
		bye_add(&out, reason);
		say(peer, &out);
	}
	leave(peer, reason);
	tls_stream_end(peer->stream);
}

void peer_free(struct peer *peer)
{
	struct wire_server *server = peer->server;
	struct peer *last = server->peers.at[server->peers.count - 1];

	server->status.bytes += tls_stream_bytes(peer->stream);
	tls_stream_free(peer->stream);
	inbox_free(&peer->inbox);
	/* The last one moves to its place, perhaps out of the way of who tells them all something.
	 */
	if (last->index >= server->tell_next && peer->index < server->tell_next)
		peer_tell(last);
	last->index = peer->index;
	server->peers.at[peer->index] = last;
	server->peers.count--;
	free(peer->host);
	free(peer);
}

static void on_closed(void *arg, const char *reason)
{
	struct peer *peer = arg;

	if (peer->phase == PEER_NEW && !tls_stream_was_ready(peer->stream))
		peer->server->status.handshakes_failed++;
	leave(peer, reason);
	peer_free(peer);
}

/* ---- hello ---- */

static int refuse(char reason[REASON_SIZE], int error, const char *text)
{
	snprintf(reason, REASON_SIZE, "%s", text);
	return error;
}

static void welcome(struct peer *peer)
{
	_cleanup_text_ struct text out = {0};
	const struct wire_server *server = peer->server;
	uint32_t silent_ms = (uint32_t)(server->config.silent_after_ns / NS_PER_MS);
	struct welcome about = {
		.major = SESSION_MAJOR,
		.minor = SESSION_MINOR,
		.speak_within_ms = MAX(silent_ms / 3, 1U),
		.silent_after_ms = silent_ms,
		.interest = server->config.interest,
	};

	snprintf(about.version, sizeof(about.version), "%s", FORERUN_VERSION);
	welcome_add(&out, &about);
	say(peer, &out);
}

/* An agent that starts anew, or whose host was cut off: the old connection is only in the way. */
static void replace(struct peer *peer)
{
	struct map *by_host = &peer->server->by_host;
	struct peer *before = map_get(by_host, hash_text(peer->host));

	if (before && !str_equal(before->host, peer->host))
		return; /* one hash for two names: it ends like others do */
	if (before)
		peer_end(before, "another connection of this host took its place");
	map_put(by_host, hash_text(peer->host), peer);
}

static int admit(struct peer *peer, const struct hello *hello, char reason[REASON_SIZE])
{
	struct wire_server *server = peer->server;
	char why[WIRE_REASON_SIZE] = "";
	const struct wire_hello about = {
		.host = hello->host,
		.instance_id = hello->instance_id,
		.identity_document = hello->identity_document,
		.identity_pkcs7 = hello->identity_pkcs7,
		.version = hello->version,
		.address = peer->address,
	};
	int r;

	r = server->events.admit ? server->events.admit(server->events.arg, &about, why) : 0;
	if (r < 0)
		return refuse(reason, r, *why ? why : "this host may not report here");
	peer->host = strdup(hello->host);
	if (!peer->host)
		return refuse(reason, -ENOMEM, "the core is out of memory");
	snprintf(peer->instance_id, sizeof(peer->instance_id), "%s", hello->instance_id);
	server_not_new(peer);
	peer->phase = PEER_OPEN;
	tls_stream_forget_peer(peer->stream);
	frame_reader_init(&peer->reader, &server->owners, server->layout);
	server->open_count++;
	server->status.admitted++;
	server->state_bytes += peer->reader.state.bytes;
	replace(peer);
	welcome(peer);
	if (server->events.joined)
		server->events.joined(server->events.arg, &about);
	return 0;
}

static int on_hello(struct peer *peer, struct part body, char reason[REASON_SIZE])
{
	_cleanup_free_ struct hello *hello = calloc(1, sizeof(*hello));
	int r;

	if (!hello)
		return refuse(reason, -ENOMEM, "the core is out of memory");
	r = hello_read(body, hello, reason);
	if (r < 0)
		return r;
	if (hello->major != SESSION_MAJOR) {
		snprintf(reason, REASON_SIZE,
			 "the agent speaks version %u.%u, but only %u is known here", hello->major,
			 hello->minor, SESSION_MAJOR);
		return -EPROTONOSUPPORT;
	}
	if (!tls_stream_is_host(peer->stream, hello->host)) {
		snprintf(reason, REASON_SIZE, "its certificate or key is not for host %.63s",
			 hello->host);
		return -EACCES;
	}
	if (peer->server->open_count >= peer->server->config.connections_max)
		return refuse(reason, -EBUSY, "the core has as many connections as it takes");
	return admit(peer, hello, reason);
}

/* ---- what it says ---- */

static bool allows(struct peer *peer, double messages)
{
	double rate = peer->server->config.frames_per_second_max;

	return bucket_allows(&peer->messages, messages, rate, BURST * rate, peer->heard_ns);
}

/* Who has the most makes room, so that nobody can crowd out the others. r where that is another
 * one. */
static int end_largest(struct peer *peer, int r, char reason[REASON_SIZE])
{
	struct peer *largest = peer;

	vec_for_each (it, &peer->server->peers)
		if ((*it)->phase == PEER_OPEN &&
		    (*it)->reader.state.bytes > largest->reader.state.bytes)
			largest = *it;
	if (largest == peer)
		return refuse(reason, -ENOMEM, FULL);
	peer_end(largest, FULL);
	return r;
}

static int on_frame(struct peer *peer, const struct message *message, char reason[REASON_SIZE])
{
	struct wire_server *server = peer->server;
	size_t before = peer->reader.state.bytes;
	struct frame frame;
	int r;

	r = frame_read(&peer->reader, message, server->layout, peer->heard_ns, reason);
	server->state_bytes += peer->reader.state.bytes - before;
	if (r >= 0 && server->state_bytes + server->owners.bytes > server->config.memory_max)
		r = end_largest(peer, r, reason);
	if (r <= 0)
		return r;
	/* All listeners are looked at, however little changed. */
	if (!allows(peer, (double)peer->reader.state.count / LISTENERS_PER_MESSAGE))
		return refuse(reason, -EBUSY, TOO_MUCH);
	frame_reader_expand(&peer->reader, &server->scratch, &frame);
	/* Who it is was settled when it was admitted. */
	snprintf(frame.host, sizeof(frame.host), "%s", peer->host);
	if (peer->instance_id[0])
		snprintf(frame.instance_id, sizeof(frame.instance_id), "%s", peer->instance_id);
	server->status.frames++;
	server->status.edges += frame.kind == FRAME_EDGE;
	if (server->events.frame)
		server->events.frame(server->events.arg, &frame);
	return 0;
}

static int on_bye(struct peer *peer, struct part body, char reason[REASON_SIZE])
{
	struct bye bye;
	int r;

	r = bye_read(body, &bye, reason);
	if (r < 0)
		return r;
	leave(peer, *bye.reason ? bye.reason : "the agent said goodbye");
	tls_stream_end(peer->stream);
	return -ECONNRESET; /* nothing counts after it */
}

static int on_message(void *arg, const struct message *message)
{
	struct peer *peer = arg;

	/* Only what makes a message is a sign of life: a byte a second is none. */
	peer->heard_ns = peer->now_ns;
	if (!(message->flags & MESSAGE_CONTINUES) && !allows(peer, 1))
		return refuse(peer->server->problem, -EBUSY, TOO_MUCH);
	if (message->kind == MESSAGE_BYE)
		return on_bye(peer, message->body, peer->server->problem);
	if (peer->phase == PEER_NEW) {
		if (message->kind == MESSAGE_HELLO)
			return on_hello(peer, message->body, peer->server->problem);
		return refuse(peer->server->problem, -EBADMSG,
			      "the agent said something before its hello");
	}
	switch (message->kind) {
	case MESSAGE_HELLO:
		return refuse(peer->server->problem, -EBADMSG, "the agent said hello again");
	case MESSAGE_FRAME:
		return on_frame(peer, message, peer->server->problem);
	default:
		return 0; /* a ping, or what only a newer version knows */
	}
}

static void on_data(void *arg, const void *data, size_t length)
{
	struct peer *peer = arg;

	if (peer->phase == PEER_ENDING)
		return;
	peer->now_ns = time_mono_ns();
	if (inbox_feed(&peer->inbox, data, length, on_message, peer, peer->server->problem) < 0)
		peer_end(peer, peer->server->problem);
}

static bool may_shake(void *arg)
{
	const struct peer *peer = arg;

	return server_may_shake(peer->server);
}

/* ---- looking after ---- */

void peer_tell(struct peer *peer)
{
	_cleanup_text_ struct text out = {0};

	if (peer->phase == PEER_OPEN && peer->wants_interest)
		interest_add(&out, &peer->server->config.interest);
	if (peer->phase == PEER_OPEN && peer->wants_poll)
		message_end(&out, message_begin(&out, MESSAGE_POLL));
	peer->wants_interest = peer->wants_poll = false;
	if (out.length && say(peer, &out) == -ENOBUFS)
		peer_end(peer, "the agent does not read what is sent to it");
}

void peer_look_after(struct peer *peer, uint64_t now_ns)
{
	const struct wire_server_config *config = &peer->server->config;
	double rate = config->frames_per_second_max * BYTES_PER_FRAME;
	uint64_t bytes = tls_stream_bytes(peer->stream);
	_cleanup_text_ struct text out = {0};

	if (peer->phase != PEER_OPEN)
		return;
	if (now_ns - MIN(now_ns, peer->heard_ns) > config->silent_after_ns) {
		peer_end(peer, "the agent said nothing for too long");
		return;
	}
	if (!bucket_allows(&peer->bytes, (double)(bytes - peer->bytes_seen), rate, BURST * rate,
			   now_ns)) {
		peer_end(peer, TOO_MUCH);
		return;
	}
	peer->bytes_seen = bytes;
	if (now_ns - MIN(now_ns, peer->spoken_ns) < config->silent_after_ns / 3)
		return;
	message_end(&out, message_begin(&out, MESSAGE_PING));
	if (say(peer, &out) == -ENOBUFS)
		peer_end(peer, "the agent does not read what is sent to it");
}

static const struct tls_events stream_events = {
	.may_shake = may_shake,
	.data = on_data,
	.closed = on_closed,
};

int peer_new(struct wire_server *server, int fd, const char *address, uint64_t now_ns)
{
	const struct tls_stream_config config = {.fd = fd, .out_max = OUT_BYTES_MAX};
	struct peer *peer = calloc(1, sizeof(*peer));
	unsigned timeout_ms = (unsigned)(server->config.silent_after_ns / NS_PER_MS);
	int r, on = 1;

	if (!peer)
		return -ENOMEM;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
	peer->server = server;
	peer->began_ns = peer->heard_ns = peer->spoken_ns = now_ns;
	snprintf(peer->address, sizeof(peer->address), "%s", address);
	r = tls_stream_new(server->loop, server->context, &config, &stream_events, peer,
			   &peer->stream);
	if (r < 0) {
		free(peer);
		return r;
	}
	peer->index = server->peers.count;
	*vec_push(&server->peers) = peer;
	server_new_peer(peer);
	return 0;
}
