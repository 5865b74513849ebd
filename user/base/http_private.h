/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the HTTP client and server share: http_client.c drives libcurl on the loop,
 * http_transfer.c makes a request of a handle, http_result.c says what became of it; http_server.c
 * drives libmicrohttpd. */
#ifndef FORERUN_BASE_HTTP_PRIVATE_H
#define FORERUN_BASE_HTTP_PRIVATE_H

#include <curl/curl.h>

#include "base/http.h"
#include "base/text.h"

enum transfer_state {
	TRANSFER_NEW,
	TRANSFER_RUNNING,
	TRANSFER_FINISHED, /* waits for its callback */
	TRANSFER_DELIVERED, /* in its callback */
};

struct http_transfer {
	struct http_transfer *next;
	struct http_client *client;
	enum transfer_state state;
	CURL *easy;
	struct curl_slist *headers;
	http_done_fn done;
	void *arg;
	char *peer; /* "host:port", for messages */
	uint32_t connect_timeout_ms, timeout_ms;
	bool (*may_write)(void *arg);
	void *may_write_arg;
	bool forbidden; /* by may_write */
	int fd; /* that libcurl waits for on its behalf; -1: none */

	struct text body; /* of the response */
	size_t body_limit, header_bytes;
	bool body_too_large, headers_too_large, headers_ended;

	/* Of the attempt that is being written: libcurl starts over when a kept connection turns
	 * out to be dead. */
	size_t to_send, sent;
	char last_sent[4]; /* the end of what was written of the headers */
	bool headers_sent;

	bool request_sent; /* in any attempt */
	uint64_t started_ns, sent_ns, done_ns;
	CURLcode result;
	char curl_text[CURL_ERROR_SIZE];
	char error_text[512];
};

struct http_client {
	struct loop *loop;
	CURLM *multi;
	struct loop_timer *timer; /* libcurl's */
	struct loop_timer *finished_timer; /* for what ended inside http_send() */
	struct http_transfer *transfers;
	bool delivering, dying;
};

/* CURLOPT_CLOSESOCKETFUNCTION; arg is the client. */
int http_socket_close(void *arg, curl_socket_t fd);
/* -EINVAL: not a request that can be sent; -EPROTONOSUPPORT: neither http nor https. */
int http_request_check(const struct http_request *request);
int http_transfer_prepare(struct http_transfer *transfer, const struct http_request *request);
/* What the finished transfer brought; texts stay the transfer's. */
void http_transfer_result(struct http_transfer *transfer, struct http_response *out);

#endif
