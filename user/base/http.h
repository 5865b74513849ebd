/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP client (libcurl's multi interface) and server (libmicrohttpd), both driven by the process's
 * event loop. */
#ifndef FORERUN_BASE_HTTP_H
#define FORERUN_BASE_HTTP_H

#include "base/loop.h"

/* ---- client ---- */

struct http_client;
struct http_transfer;

/* AWS Signature Version 4, made by libcurl. session_token may be NULL. */
struct http_sigv4 {
	const char *region, *service;
	const char *access_key, *secret_key, *session_token;
};

/* All pointers are only read during http_send(); it copies what it keeps. */
struct http_request {
	const char *method; /* "GET", "POST", "PUT", ... */
	const char *url;
	const char *const *headers; /* "Name: value", ended by NULL; may be NULL */
	const char *body;
	size_t body_length;
	const struct http_sigv4 *sign; /* NULL: not signed */
	uint32_t connect_timeout_ms; /* 0: 2,000 */
	uint32_t timeout_ms; /* whole transfer; 0: 30,000 */
	const char *ca_file; /* NULL: the system's */
	size_t body_limit; /* of the response, 0: 64 MiB */
	bool no_proxy; /* link-local services (IMDS, container credentials) ignore http_proxy */
	bool fresh_connection; /* never reuse one */
	/* Asked each time in the moment in which the request would be written, also when libcurl
	 * writes it again because a kept connection turned out to be dead; false: it is not
	 * written, and the transfer ends with -ECANCELED. NULL: always. It calls nothing here. */
	bool (*may_write)(void *arg);
	void *may_write_arg;
};

struct http_response {
	int error; /* 0, or a negative errno when no whole response came */
	const char *error_text; /* a person's words for it; "" when error is 0 */
	bool request_sent; /* whether the last byte of the request had been written: if not, it
			      cannot have had an effect */
	bool reused_connection;
	int status;
	const char *body; /* NUL-terminated, valid during the callback */
	size_t body_length;
	uint64_t started_ns, sent_ns,
		done_ns; /* sent: last byte of the request written; 0 if never. CLOCK_MONOTONIC */
	const struct http_transfer *transfer; /* for http_response_header() */
};

typedef void (*http_done_fn)(void *arg, const struct http_response *response);

int http_client_new(struct loop *loop, struct http_client **out);
/* Cancels what is under way, without calling back. */
void http_client_free(struct http_client *client);
/* Starts at once (what can be written is written before it returns) and calls back exactly once,
 * from the loop, never from inside http_send(), unless cancelled. out may be NULL. */
int http_send(struct http_client *client, const struct http_request *request, http_done_fn done,
	      void *arg, struct http_transfer **out);
void http_cancel(struct http_transfer *transfer);
/* What the peer's TCP says of the connection of a running transfer. */
struct http_flight {
	uint32_t unacknowledged; /* packets that were sent and may be lost */
	uint64_t acknowledged_bytes; /* since the connection was made */
	uint64_t round_trip_ns; /* smoothed */
};
/* -ENOTCONN: not connected yet, or over. */
int http_flight(const struct http_transfer *transfer, struct http_flight *out);
/* The last value of that response header (name without colon, any case), NULL if there is none. */
const char *http_response_header(const struct http_response *response, const char *name);

/* ---- server ---- */

struct http_server;

struct http_query {
	const char *method;
	const char *path; /* decoded, without the query */
	void *connection; /* for http_query_argument() and http_query_header() */
};

/* The handler fills it. body is handed over (malloc'ed; may be NULL). */
struct http_reply {
	int status; /* 200 unless set */
	const char *content_type;
	char *body;
	size_t body_length;
};

typedef void (*http_handler_fn)(void *arg, const struct http_query *query,
				struct http_reply *reply);

/* address: "127.0.0.1:9910", "[::1]:9910", "localhost:9910", ":9910" (all addresses); -EINVAL when
 * it is none of these. Only GET and HEAD are taken; others get 405. -EADDRINUSE and the like come
 * back as they are; the caller says it. */
int http_server_new(struct loop *loop, const char *address, http_handler_fn handler, void *arg,
		    struct http_server **out);
void http_server_free(struct http_server *server);
uint16_t http_server_port(const struct http_server *server); /* the real one when 0 was asked for */
const char *http_query_argument(const struct http_query *query, const char *name);
const char *http_query_header(const struct http_query *query, const char *name);

#endif
