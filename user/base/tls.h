/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS 1.3 streams on the event loop, for connections that live long: nothing blocks, nothing is
 * resumed, an idle stream holds no buffer. Who the other side is follows from its certificate
 * (both sides show one), or both sides hold the same key (external PSK with ECDHE).
 */
#ifndef FORERUN_BASE_TLS_H
#define FORERUN_BASE_TLS_H

#include "base/loop.h"

#define TLS_REASON_SIZE 160
#define TLS_NAME_SIZE 256 /* of a host, in a certificate or as the identity of a shared key */
#define TLS_READ_BYTES 16384 /* most that one call of data() brings */

/* Keys and settings of one side. Streams hold a reference to theirs, so that newer keys can take
 * the place of older ones while those streams go on. */
struct tls_context;

struct tls_config {
	bool server;
	/* Either all three, PEM; or the key alone: one line of 64 hex digits. */
	const char *ca_file, *certificate_file, *key_file;
	const char *shared_key_file;
};

/* -EINVAL, -ENOENT and the like: the reason names the file and says what is wrong with it. */
int tls_context_new(const struct tls_config *config, struct tls_context **out,
		    char reason[TLS_REASON_SIZE]);
struct tls_context *tls_context_ref(struct tls_context *context);
void tls_context_unref(struct tls_context *context);

struct tls_stream;

/* Called from the loop; each may free the stream. */
struct tls_events {
	/* May this step of a handshake be taken now? It is asked again in the next round; NULL:
	 * always. */
	bool (*may_shake)(void *arg);
	/* The handshake is done on this side; NULL: not of interest. */
	void (*ready)(void *arg);
	/* Valid during the call, at most TLS_READ_BYTES. */
	void (*data)(void *arg, const void *data, size_t length);
	/* Nothing waits to be sent any more; NULL: not of interest. */
	void (*drained)(void *arg);
	/* Nothing more comes and nothing can be sent; called once. The reason says why in words. */
	void (*closed)(void *arg, const char *reason);
};

struct tls_stream_config {
	int fd; /* non-blocking and connected; taken over on success */
	size_t out_max; /* bytes that may wait for the other side to take them */
	/* Of a client: */
	const char *peer_name; /* a name or address that the other side's certificate must bear */
	const char *identity; /* under a shared key: who we are */
};

/* Begins the handshake in the next round. events must outlive the stream. */
int tls_stream_new(struct loop *loop, struct tls_context *context,
		   const struct tls_stream_config *config, const struct tls_events *events,
		   void *arg, struct tls_stream **out);
/* Closes at once. */
void tls_stream_free(struct tls_stream *stream);
/* Written now as far as the other side takes it. -ENOBUFS above out_max (nothing was taken),
 * -EPIPE when the stream is no good any more: closed() follows then, or has come already. */
int tls_stream_write(struct tls_stream *stream, const void *data, size_t length);
/* Bytes that wait for the other side to take them. */
size_t tls_stream_waiting(const struct tls_stream *stream);
/* Nothing more will be written: what waits is sent, then the end. What still comes in is thrown
 * away until the other side ends, too, so that it can read what was said last; closed() then. */
void tls_stream_end(struct tls_stream *stream);
bool tls_stream_ready(const struct tls_stream *stream);
bool tls_stream_was_ready(const struct tls_stream *stream); /* the handshake was done */
/* Whether the other side is that host: by its certificate's DNS names (its common name where it has
 * none), spelled the same, without wildcards, or by the identity that it claimed under the shared
 * key. */
bool tls_stream_is_host(const struct tls_stream *stream, const char *host);
/* Gives back most of what the other side's certificate takes, once nobody asks about it any more.
 */
void tls_stream_forget_peer(struct tls_stream *stream);
uint64_t tls_stream_bytes(const struct tls_stream *stream); /* sent and received, encrypted */

#endif
