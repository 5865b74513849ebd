/* SPDX-License-Identifier: Apache-2.0 */
/* The BIO between OpenSSL and the socket. OpenSSL never waits: what came with one recv() is handed
 * to it, and what the socket does not take is kept. So a record costs one system call. */
#include "base/tls_private.h"

#include <sys/epoll.h>
#include <sys/socket.h>

static void watch(struct tls_stream *stream)
{
	bool wanted = stream->out.length > 0;

	if (wanted == stream->waits_to_write)
		return;
	stream->waits_to_write = wanted;
	loop_fd_modify(stream->loop, stream->fd, EPOLLIN | (wanted ? EPOLLOUT : 0));
}

/* Bytes taken by the socket: 0 when it is full, negative when it is broken. */
static ssize_t push(struct tls_stream *stream, const void *data, size_t length)
{
	ssize_t sent = send(stream->fd, data, length, MSG_NOSIGNAL);

	if (sent >= 0) {
		stream->bytes += (uint64_t)sent;
		return sent;
	}
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	stream->error = errno;
	return -errno;
}

/* Always takes all: what the socket does not take now waits in stream->out. Who writes has looked
 * at its bound before. */
static int transport_write(BIO *bio, const char *data, int length)
{
	struct tls_stream *stream = BIO_get_data(bio);
	ssize_t sent = 0;

	/* Only OpenSSL itself, answering the other side's wishes for new keys, can come to this. */
	if (!stream->error && stream->out.length > stream->out_max)
		stream->error = ENOBUFS;
	if (stream->error)
		return -1;
	if (!stream->out.length)
		sent = push(stream, data, (size_t)length);
	if (sent < 0)
		return -1;
	if (sent < length) {
		text_add_bytes(&stream->out, data + sent, (size_t)(length - sent));
		watch(stream);
	}
	return length;
}

static int transport_read(BIO *bio, char *data, int length)
{
	struct tls_stream *stream = BIO_get_data(bio);
	size_t taken = MIN((size_t)length, stream->in_length);

	BIO_clear_retry_flags(bio);
	if (!taken) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(data, stream->in, taken);
	stream->in += taken;
	stream->in_length -= taken;
	return (int)taken;
}

static long transport_control(BIO *bio, int command, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH;
}

BIO_METHOD *tls_transport_new(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "forerun");

	if (!method)
		return NULL;
	BIO_meth_set_read(method, transport_read);
	BIO_meth_set_write(method, transport_write);
	BIO_meth_set_ctrl(method, transport_control);
	return method;
}

void tls_send_waiting(struct tls_stream *stream)
{
	struct text *out = &stream->out;
	ssize_t sent = out->length ? push(stream, out->data, out->length) : 0;

	if (sent > 0) {
		out->length -= (size_t)sent;
		memmove(out->data, out->data + sent, out->length);
	}
	if (!out->length || sent < 0)
		text_free(out);
	watch(stream);
}
