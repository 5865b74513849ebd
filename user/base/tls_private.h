/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the TLS streams share: tls_context.c reads keys and certificates, tls.c drives
 * OpenSSL on the loop, tls_reason.c says in words what went wrong. */
#ifndef FORERUN_BASE_TLS_PRIVATE_H
#define FORERUN_BASE_TLS_PRIVATE_H

#include <openssl/ssl.h>

#include "base/text.h"
#include "base/tls.h"

#define TLS_KEY_BYTES 32
#define TLS_RECEIVE_BYTES 65536

struct tls_context {
	unsigned references;
	SSL_CTX *ssl;
	BIO_METHOD *transport;
	bool server, shared;
	EVP_PKEY *no_key; /* what stands where a certificate's key was; made when first needed */
	uint8_t key[TLS_KEY_BYTES];
	/* One stream at a time reads: these are nobody's for longer than that. */
	const struct tls_stream *reading; /* NULL when it was freed meanwhile */
	uint8_t received[TLS_RECEIVE_BYTES]; /* as it came */
	uint8_t plain[TLS_READ_BYTES];
};

enum tls_phase { TLS_SHAKING, TLS_OPEN, TLS_ENDING, TLS_CLOSED };

struct tls_stream {
	struct loop *loop;
	struct tls_context *context;
	const struct tls_events *events;
	void *arg;
	SSL *ssl;
	int fd;
	enum tls_phase phase;
	uint8_t alert; /* that the other side sent, 0: none */
	bool waits_to_write; /* the loop tells when the socket takes more */
	int error; /* errno of the socket, 0: none */
	char *reason; /* while it ends: why, NULL where its owner ended it */
	struct loop_timer *linger; /* bounds the end */
	const uint8_t *in; /* of context->received: what OpenSSL has not taken yet */
	size_t in_length;
	struct text out; /* encrypted, not taken by the socket yet */
	size_t out_max;
	uint64_t bytes;
	char *identity; /* under a shared key: ours as a client, the other's as a server */
};

/* The BIO between OpenSSL and the socket: reads from stream->in, writes to the socket. */
BIO_METHOD *tls_transport_new(void);
/* Sends what waits, as far as the socket takes it. */
void tls_send_waiting(struct tls_stream *stream);
/* Why the last call of OpenSSL failed, for this stream; empties OpenSSL's queue of errors. */
void tls_stream_reason(const struct tls_stream *stream, char reason[TLS_REASON_SIZE]);
/* The words of OpenSSL's oldest error, "" if there is none; empties the queue. */
const char *tls_library_error(void);
/* Alerts that the other side sends, for SSL_CTX_set_info_callback(). */
void tls_note_alert(const SSL *ssl, int where, int value);
/* Callbacks of the shared key, for tls_context_new(). */
int tls_shared_key_use(SSL *ssl, const EVP_MD *digest, const unsigned char **identity,
		       size_t *length, SSL_SESSION **session);
int tls_shared_key_find(SSL *ssl, const unsigned char *identity, size_t length,
			SSL_SESSION **session);

#endif
