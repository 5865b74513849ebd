/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tls_private.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECORD_BYTES 16384
#define RECORD_OVERHEAD 64 /* more than what a record adds to its content */
#define LINGER_NS NS_PER_S

/* ---- the end ---- */

static void close_stream(struct tls_stream *stream, const char *reason)
{
	if (stream->phase == TLS_CLOSED)
		return;
	stream->phase = TLS_CLOSED;
	loop_timer_free(TAKE(stream->linger));
	loop_fd_remove(stream->loop, stream->fd);
	close_descriptor(&stream->fd);
	stream->fd = -1;
	stream->events->closed(stream->arg, stream->reason ? stream->reason : reason);
}

static void half_close(struct tls_stream *stream)
{
	if (stream->phase == TLS_ENDING && !stream->out.length)
		shutdown(stream->fd, SHUT_WR);
}

static void linger_over(void *arg, uint64_t now_ns)
{
	(void)now_ns;
	close_stream(arg, "the connection was ended here");
}

/* A socket that is closed while something unread is in it resets the connection, and the other
 * side loses what was said last: an alert, a goodbye. */
static void begin_end(struct tls_stream *stream)
{
	stream->phase = TLS_ENDING;
	half_close(stream);
	if (stream->linger ||
	    loop_timer_new(stream->loop, linger_over, stream, &stream->linger) < 0)
		return;
	loop_timer_at(stream->linger, time_mono_ns() + LINGER_NS);
}

static void fail(struct tls_stream *stream)
{
	char reason[TLS_REASON_SIZE];

	tls_stream_reason(stream, reason);
	if (stream->error || stream->alert) {
		close_stream(stream, reason);
		return;
	}
	free(stream->reason);
	stream->reason = strdup(reason);
	begin_end(stream);
}

void tls_stream_end(struct tls_stream *stream)
{
	if (stream->phase == TLS_ENDING || stream->phase == TLS_CLOSED)
		return;
	if (stream->phase == TLS_OPEN) {
		ERR_clear_error();
		SSL_shutdown(stream->ssl);
	}
	begin_end(stream);
}

/* ---- events ---- */

void tls_note_alert(const SSL *ssl, int where, int value)
{
	struct tls_stream *stream = SSL_get_app_data(ssl);

	if (where & SSL_CB_ALERT && where & SSL_CB_READ && value >> 8 == SSL3_AL_FATAL)
		stream->alert = (uint8_t)value;
}

/* 1: go on, 0: there is nothing more to do now. */
static int shake(struct tls_stream *stream)
{
	int r = SSL_do_handshake(stream->ssl);

	if (r != 1) {
		if (SSL_get_error(stream->ssl, r) != SSL_ERROR_WANT_READ)
			fail(stream);
		return 0;
	}
	/* Without a certificate and without the shared key nobody is let through. */
	if (stream->context->shared && !SSL_session_reused(stream->ssl)) {
		stream->reason = strdup("the other side does not use the shared key");
		begin_end(stream);
		return 0;
	}
	stream->phase = TLS_OPEN;
	if (stream->events->ready)
		stream->events->ready(stream->arg);
	return 1;
}

static int read_plain(struct tls_stream *stream)
{
	struct tls_context *context = stream->context;
	int count = SSL_read(stream->ssl, context->plain, TLS_READ_BYTES);

	if (count > 0) {
		stream->events->data(stream->arg, context->plain, (size_t)count);
		return 1;
	}
	switch (SSL_get_error(stream->ssl, count)) {
	case SSL_ERROR_WANT_READ:
		break;
	case SSL_ERROR_ZERO_RETURN:
		close_stream(stream, "the other side closed the connection");
		break;
	default:
		fail(stream);
	}
	return 0;
}

/* The stream may be freed by its owner in any step. */
static void take(const struct tls_context *context, struct tls_stream *stream)
{
	int r = 1;

	ERR_clear_error();
	while (r > 0 && context->reading == stream) {
		if (stream->phase == TLS_SHAKING)
			r = shake(stream);
		else if (stream->phase == TLS_OPEN &&
			 (stream->in_length || SSL_pending(stream->ssl)))
			r = read_plain(stream);
		else
			break;
	}
}

static void take_received(struct tls_stream *stream, size_t length)
{
	struct tls_context *context = tls_context_ref(stream->context);

	stream->bytes += length;
	stream->in = context->received;
	stream->in_length = length;
	context->reading = stream;
	take(context, stream);
	if (context->reading == stream) {
		stream->in = NULL;
		stream->in_length = 0;
	}
	context->reading = NULL;
	tls_context_unref(context);
}

static void receive(struct tls_stream *stream)
{
	ssize_t count;

	count = recv(stream->fd, stream->context->received, TLS_RECEIVE_BYTES, 0);
	if (count > 0) {
		if (stream->phase != TLS_ENDING)
			take_received(stream, (size_t)count);
	} else if (count == 0) {
		close_stream(stream, stream->phase == TLS_SHAKING
					     ? "the other side closed the connection before the "
					       "handshake was done"
					     : "the other side closed the connection");
	} else if (errno != EAGAIN && errno != EINTR) {
		stream->error = errno;
		fail(stream);
	}
}

static void on_event(void *arg, int fd, uint32_t epoll_events)
{
	struct tls_stream *stream = arg;

	(void)fd;
	if (epoll_events & EPOLLOUT) {
		tls_send_waiting(stream);
		half_close(stream);
		if (stream->phase == TLS_OPEN && !stream->waits_to_write &&
		    stream->events->drained) {
			stream->events->drained(stream->arg);
			return; /* it may be gone; what came in is told again */
		}
	}
	if (!(epoll_events & ~(uint32_t)EPOLLOUT))
		return;
	if (stream->phase == TLS_SHAKING && stream->events->may_shake &&
	    !stream->events->may_shake(stream->arg))
		return;
	receive(stream);
}

/* ---- the door ---- */

static int expect_peer(SSL *ssl, const char *name)
{
	struct in6_addr address;
	bool numeric =
		inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1;

	if (numeric)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1 ? 0 : -EINVAL;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (SSL_set_tlsext_host_name(ssl, name) != 1 || SSL_set1_host(ssl, name) != 1)
		return -EINVAL;
	return 0;
}

static int set_up(struct tls_stream *stream, const struct tls_stream_config *config)
{
	BIO *bio = BIO_new(stream->context->transport);

	stream->ssl = SSL_new(stream->context->ssl);
	if (!bio || !stream->ssl) {
		BIO_free(bio);
		return -ENOMEM;
	}
	BIO_set_data(bio, stream);
	BIO_set_init(bio, 1);
	SSL_set_bio(stream->ssl, bio, bio);
	SSL_set_app_data(stream->ssl, stream);
	if (stream->context->server) {
		SSL_set_accept_state(stream->ssl);
		return 0;
	}
	SSL_set_connect_state(stream->ssl);
	if (!stream->context->shared)
		return expect_peer(stream->ssl, config->peer_name);
	stream->identity = strdup(config->identity);
	return stream->identity ? 0 : -ENOMEM;
}

/* A client speaks first. */
static int say_hello(struct tls_stream *stream)
{
	int r = SSL_do_handshake(stream->ssl);

	if (SSL_get_error(stream->ssl, r) == SSL_ERROR_WANT_READ)
		return 0;
	ERR_clear_error();
	return stream->error ? -stream->error : -EIO;
}

int tls_stream_new(struct loop *loop, struct tls_context *context,
		   const struct tls_stream_config *config, const struct tls_events *events,
		   void *arg, struct tls_stream **out)
{
	struct tls_stream *stream = calloc(1, sizeof(*stream));
	int r;

	if (!stream)
		return -ENOMEM;
	stream->loop = loop;
	stream->context = tls_context_ref(context);
	stream->events = events;
	stream->arg = arg;
	stream->fd = -1;
	stream->out_max = config->out_max;
	ERR_clear_error();
	r = set_up(stream, config);
	if (r >= 0)
		r = loop_fd_add(loop, config->fd, EPOLLIN, on_event, stream);
	if (r >= 0) {
		stream->fd = config->fd;
		r = context->server ? 0 : say_hello(stream);
	}
	if (r < 0) {
		if (stream->fd >= 0)
			loop_fd_remove(loop, stream->fd);
		stream->fd = -1; /* still the caller's */
		tls_stream_free(stream);
		return r;
	}
	*out = stream;
	return 0;
}

void tls_stream_free(struct tls_stream *stream)
{
	if (!stream)
		return;
	if (stream->context->reading == stream)
		stream->context->reading = NULL;
	loop_timer_free(stream->linger);
	if (stream->fd >= 0)
		loop_fd_remove(stream->loop, stream->fd);
	close_descriptor(&stream->fd);
	SSL_free(stream->ssl);
	tls_context_unref(stream->context);
	text_free(&stream->out);
	free(stream->identity);
	free(stream->reason);
	free(stream);
}

int tls_stream_write(struct tls_stream *stream, const void *data, size_t length)
{
	size_t most = length + (length / RECORD_BYTES + 1) * RECORD_OVERHEAD;

	if (stream->phase != TLS_OPEN || stream->error)
		return -EPIPE;
	if (!length)
		return 0;
	if (stream->out.length + most > stream->out_max || length > INT32_MAX)
		return -ENOBUFS;
	ERR_clear_error();
	if (SSL_write(stream->ssl, data, (int)length) != (int)length) {
		ERR_clear_error();
		return -EPIPE;
	}
	return 0;
}

size_t tls_stream_waiting(const struct tls_stream *stream)
{
	return stream->out.length;
}

bool tls_stream_ready(const struct tls_stream *stream)
{
	return stream->phase == TLS_OPEN;
}

bool tls_stream_was_ready(const struct tls_stream *stream)
{
	return SSL_is_init_finished(stream->ssl);
}

bool tls_stream_is_host(const struct tls_stream *stream, const char *host)
{
	X509 *certificate;
	char *name = NULL;
	bool same;

	/* OpenSSL takes a name with a dot in front for all names that end so. */
	if (!*host || *host == '.')
		return false;
	if (stream->context->shared)
		return str_equal(stream->identity, host);
	certificate = SSL_get0_peer_certificate(stream->ssl);
	/* It also takes capitals for small letters: one host would be many by spelling itself
	 * differently. */
	same = certificate &&
	       X509_check_host(certificate, host, 0, X509_CHECK_FLAG_NO_WILDCARDS, &name) == 1 &&
	       str_equal(name, host);
	OPENSSL_free(name);
	return same;
}

/* OpenSSL keeps the certificate for as long as the connection lives and cannot be told otherwise,
 * but its parts can be exchanged: a decoded key alone takes 2 KiB. */
void tls_stream_forget_peer(struct tls_stream *stream)
{
	static const unsigned char any_point[32] = {9};
	X509 *certificate = SSL_get0_peer_certificate(stream->ssl);
	struct tls_context *context = stream->context;

	if (!certificate)
		return;
	if (!context->no_key)
		context->no_key = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, any_point,
							      sizeof(any_point));
	if (context->no_key)
		X509_set_pubkey(certificate, context->no_key);
	while (X509_get_ext_count(certificate) > 0)
		X509_EXTENSION_free(X509_delete_ext(certificate, 0));
	ERR_clear_error();
}

uint64_t tls_stream_bytes(const struct tls_stream *stream)
{
	return stream->bytes;
}
