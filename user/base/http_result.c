/* SPDX-License-Identifier: Apache-2.0 */
/* What became of a transfer, and a person's words for it. */
#include "base/http_private.h"

static _printf_(3, 4) int say(struct http_transfer *transfer, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(transfer->error_text, sizeof(transfer->error_text), format, args);
	va_end(args);
	return error;
}

static const char *curl_words(const struct http_transfer *transfer)
{
	return transfer->curl_text[0] ? transfer->curl_text : curl_easy_strerror(transfer->result);
}

static int say_connect(struct http_transfer *transfer)
{
	_cleanup_free_ char *words = NULL;
	long os_errno = 0;

	curl_easy_getinfo(transfer->easy, CURLINFO_OS_ERRNO, &os_errno);
	if (!os_errno)
		return say(transfer, -ECONNREFUSED, "could not connect to %s: %s", transfer->peer,
			   curl_words(transfer));
	words = strdup(strerror((int)os_errno));
	if (words && words[0] >= 'A' && words[0] <= 'Z')
		words[0] = (char)(words[0] - 'A' + 'a');
	return say(transfer, (int)-os_errno, "could not connect to %s: %s", transfer->peer,
		   words ? words : "");
}

static int say_timeout(struct http_transfer *transfer)
{
	curl_off_t connected_us = 0;

	curl_easy_getinfo(transfer->easy, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
	if (!connected_us && !transfer->headers_sent)
		return say(transfer, -ETIMEDOUT, "could not connect to %s within %u ms",
			   transfer->peer, MIN(transfer->connect_timeout_ms, transfer->timeout_ms));
	return say(transfer, -ETIMEDOUT, "%s did not answer within %u ms", transfer->peer,
		   transfer->timeout_ms);
}

static int say_limit(struct http_transfer *transfer)
{
	if (transfer->body_too_large)
		return say(transfer, -EFBIG, "the answer of %s is larger than %zu bytes",
			   transfer->peer, transfer->body_limit);
	return say(transfer, -EFBIG, "the answer of %s has too many headers", transfer->peer);
}

static int say_tls(struct http_transfer *transfer)
{
	if (transfer->result == CURLE_PEER_FAILED_VERIFICATION)
		return say(transfer, -EKEYREJECTED, "the certificate of %s is not trusted: %s",
			   transfer->peer, curl_words(transfer));
	if (transfer->result == CURLE_SSL_CACERT_BADFILE)
		return say(transfer, -EINVAL, "could not read the CA certificates for %s: %s",
			   transfer->peer, curl_words(transfer));
	return say(transfer, -EPROTO, "TLS with %s failed: %s", transfer->peer,
		   curl_words(transfer));
}

static int say_error(struct http_transfer *transfer)
{
	if (transfer->forbidden)
		return say(transfer, -ECANCELED, "the request to %s is not allowed any more",
			   transfer->peer);
	if (transfer->body_too_large || transfer->headers_too_large)
		return say_limit(transfer);
	switch (transfer->result) {
	case CURLE_COULDNT_CONNECT:
		return say_connect(transfer);
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return say(transfer, -EHOSTUNREACH, "could not find the address of %s: %s",
			   transfer->peer, curl_words(transfer));
	case CURLE_OPERATION_TIMEDOUT:
		return say_timeout(transfer);
	case CURLE_GOT_NOTHING:
		return say(transfer, -ECONNRESET, "%s closed the connection without an answer",
			   transfer->peer);
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
		return say(transfer, -ECONNRESET, "the connection to %s broke: %s", transfer->peer,
			   curl_words(transfer));
	case CURLE_PARTIAL_FILE:
		return say(transfer, -ECONNRESET,
			   "%s closed the connection in the middle of its answer", transfer->peer);
	case CURLE_UNSUPPORTED_PROTOCOL: /* "HTTP/0.9": the answer does not begin as HTTP does */
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_BAD_CONTENT_ENCODING:
		return say(transfer, -EPROTO, "what %s answered is not HTTP: %s", transfer->peer,
			   curl_words(transfer));
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CERTPROBLEM:
		return say_tls(transfer);
	case CURLE_OUT_OF_MEMORY:
		return say(transfer, -ENOMEM, "out of memory");
	default:
		return say(transfer, -EIO, "the request to %s failed: %s", transfer->peer,
			   curl_words(transfer));
	}
}

void http_transfer_result(struct http_transfer *transfer, struct http_response *out)
{
	long status = 0, connects = 1;

	/* libcurl takes a connection that is closed among the headers for the end of them. */
	if (transfer->result == CURLE_OK && !transfer->headers_ended)
		transfer->result = CURLE_PARTIAL_FILE;
	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(transfer->easy, CURLINFO_NUM_CONNECTS, &connects);
	text_add_bytes(&transfer->body, NULL, 0); /* "" rather than NULL */
	*out = (struct http_response){
		.error = transfer->result == CURLE_OK ? 0 : say_error(transfer),
		.error_text = transfer->error_text,
		.request_sent = transfer->request_sent,
		.reused_connection = connects == 0,
		.status = (int)status,
		.body = transfer->body.data,
		.body_length = transfer->body.length,
		.started_ns = transfer->started_ns,
		.sent_ns = transfer->sent_ns,
		.done_ns = transfer->done_ns,
		.transfer = transfer,
	};
}

const char *http_response_header(const struct http_response *response, const char *name)
{
	struct curl_header *header;

	if (!response->transfer ||
	    curl_easy_header(response->transfer->easy, name, 0, CURLH_HEADER, -1, &header))
		return NULL;
	if (header->amount > 1 && curl_easy_header(response->transfer->easy, name,
						   header->amount - 1, CURLH_HEADER, -1, &header))
		return NULL;
	return header->value;
}
