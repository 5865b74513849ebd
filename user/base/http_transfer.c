/* SPDX-License-Identifier: Apache-2.0 */
/* A request becomes a libcurl handle. */
#include "base/http_private.h"

#include <ctype.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/socket.h>

#define CONNECT_TIMEOUT_MS 2000
#define TIMEOUT_MS 30000
#define BODY_LIMIT_BYTES ((size_t)64 << 20)
#define HEADERS_LIMIT_BYTES ((size_t)256 << 10)
#define KEEPALIVE_SECONDS 10L /* idle before the first probe */
#define KEEPALIVE_PROBE_SECONDS 3L

#define _cleanup_url_ _cleanup_(url_free)

/* ---- checks ---- */

static bool header_is(const char *header, const char *name)
{
	size_t length = strlen(name);

	return strncasecmp(header, name, length) == 0 && header[length] == ':';
}

static bool has_header(const struct http_request *request, const char *name)
{
	for (const char *const *header = request->headers; header && *header; header++)
		if (header_is(*header, name))
			return true;
	return false;
}

/* A line break in a header would be a second header. */
static bool headers_are_clean(const struct http_request *request)
{
	for (const char *const *header = request->headers; header && *header; header++)
		if (strpbrk(*header, "\r\n") || !strchr(*header, ':') || **header == ':')
			return false;
	return true;
}

/*
 * What libcurl signs wrongly before 8.3.0 is not sent: removed headers stay in SignedHeaders, an
 * own X-Amz-Date goes out twice, queries are not put in canonical order (lib/http_aws_sigv4.c).
 * Content-Type is signed only when it was set here.
 */
static bool can_be_signed(const struct http_request *request)
{
	if (strcmp(request->method, "POST") != 0 || strchr(request->url, '?') ||
	    !has_header(request, "Content-Type") || has_header(request, "X-Amz-Date") ||
	    has_header(request, "Expect"))
		return false;
	for (const char *const *header = request->headers; *header; header++)
		if (!strchr(*header, ':')[1]) /* "Name:" removes */
			return false;
	return true;
}

static bool is_method(const char *method)
{
	if (!method || !*method)
		return false;
	for (; *method; method++)
		if (!isupper((unsigned char)*method))
			return false;
	return true;
}

static void url_free(CURLU **url)
{
	curl_url_cleanup(*url);
}

static int check_url(const char *url)
{
	_cleanup_url_ CURLU *parsed = curl_url();
	char *scheme = NULL;
	bool known;

	if (!parsed)
		return -ENOMEM;
	if (!url || curl_url_set(parsed, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) ||
	    curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0))
		return -EINVAL;
	known = str_equal(scheme, "http") || str_equal(scheme, "https");
	curl_free(scheme);
	return known ? 0 : -EPROTONOSUPPORT;
}

int http_request_check(const struct http_request *request)
{
	if (!is_method(request->method) || !headers_are_clean(request) ||
	    (request->sign && !can_be_signed(request)))
		return -EINVAL;
	if (request->sign && request->sign->session_token &&
	    strpbrk(request->sign->session_token, "\r\n"))
		return -EINVAL;
	return check_url(request->url);
}

/* ---- what libcurl calls ---- */

static size_t take_body(char *data, size_t size, size_t count, void *arg)
{
	struct http_transfer *transfer = arg;
	size_t length = size * count;

	if (length > transfer->body_limit - transfer->body.length) {
		transfer->body_too_large = true;
		return 0;
	}
	text_add_bytes(&transfer->body, data, length);
	return length;
}

/* libcurl bounds one header, before 8.3.0 not all of them together. */
static size_t take_header(char *data, size_t size, size_t count, void *arg)
{
	struct http_transfer *transfer = arg;

	/* A status line begins the headers (again, after a 1xx), an empty line ends them. Trailers
	 * come here too. */
	if (size * count >= 5 && memcmp(data, "HTTP/", 5) == 0)
		transfer->headers_ended = false;
	else if (size * count <= 2 && (*data == '\r' || *data == '\n'))
		transfer->headers_ended = true;
	transfer->header_bytes += size * count;
	if (transfer->header_bytes > HEADERS_LIMIT_BYTES) {
		transfer->headers_too_large = true;
		return 0;
	}
	return size * count;
}

static void written(struct http_transfer *transfer)
{
	transfer->request_sent = true;
	transfer->sent_ns = time_mono_ns();
}

static void headers_written(struct http_transfer *transfer, const char *data, size_t length)
{
	if (transfer->headers_sent) { /* another attempt */
		transfer->headers_sent = false;
		transfer->sent = 0;
		memset(transfer->last_sent, 0, sizeof(transfer->last_sent));
	}
	if (length >= 8 && memcmp(data, "CONNECT ", 8) == 0)
		return; /* to a proxy: not the request yet */
	for (size_t i = length > 4 ? length - 4 : 0; i < length; i++) {
		memmove(transfer->last_sent, transfer->last_sent + 1, 3);
		transfer->last_sent[3] = data[i];
	}
	if (memcmp(transfer->last_sent, "\r\n\r\n", 4) != 0)
		return;
	transfer->headers_sent = true;
	if (transfer->to_send == 0)
		written(transfer);
}

/* libcurl reports here what it has just written, each piece after its send(). */
static int take_trace(CURL *easy, curl_infotype type, char *data, size_t length, void *arg)
{
	struct http_transfer *transfer = arg;

	(void)easy;
	if (type == CURLINFO_HEADER_OUT) {
		headers_written(transfer, data, length);
	} else if (type == CURLINFO_DATA_OUT) {
		transfer->sent += length;
		if (transfer->sent >= transfer->to_send)
			written(transfer);
	}
	return 0;
}

/* A program that is run for credentials inherits no connection. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	(void)arg;
	(void)purpose;
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* In the moment before the request is written, on each connection anew. */
static int before_request(void *arg, char *peer_address, char *own_address, int peer_port,
			  int own_port)
{
	struct http_transfer *transfer = arg;

	(void)peer_address;
	(void)own_address;
	(void)peer_port;
	(void)own_port;
	transfer->forbidden = !transfer->may_write(transfer->may_write_arg);
	return transfer->forbidden ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* A peer that is gone is noticed within seconds: while the connection is idle by the probes, and
 * while something was written and not acknowledged by the user timeout (tcp(7)). */
static int set_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	static const int PROBES = 3;
	static const unsigned TIMEOUT_MS_UNACKNOWLEDGED = 10000;

	(void)arg;
	(void)purpose;
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &PROBES, sizeof(PROBES));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &TIMEOUT_MS_UNACKNOWLEDGED,
		   sizeof(TIMEOUT_MS_UNACKNOWLEDGED));
	return CURL_SOCKOPT_OK;
}

/* ---- options ---- */

static int add_header(struct http_transfer *transfer, const char *header)
{
	struct curl_slist *longer = curl_slist_append(transfer->headers, header);

	if (!longer)
		return -ENOMEM;
	transfer->headers = longer;
	return 0;
}

static int set_headers(struct http_transfer *transfer, const struct http_request *request)
{
	_cleanup_free_ char *token = NULL;
	int r = 0;

	for (const char *const *header = request->headers; header && *header && r >= 0; header++)
		r = add_header(transfer, *header);
	if (r >= 0 && request->sign && request->sign->session_token) {
		token = str_printf("X-Amz-Security-Token: %s", request->sign->session_token);
		r = token ? add_header(transfer, token) : -ENOMEM;
	}
	/* A method that may carry a body says so when there is none (RFC 9110, section 8.6); for
	 * POST libcurl does it. */
	if (r >= 0 && !request->body_length &&
	    (str_equal(request->method, "PUT") || str_equal(request->method, "PATCH")))
		r = add_header(transfer, "Content-Length: 0");
	curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers);
	return r;
}

static void set_method(struct http_transfer *transfer, const struct http_request *request)
{
	CURL *easy = transfer->easy;

	if (str_equal(request->method, "HEAD")) {
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
		return;
	}
	if (str_equal(request->method, "POST") || request->body_length) {
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
				 (curl_off_t)request->body_length);
		curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS,
				 request->body_length ? request->body : "");
		transfer->to_send = request->body_length;
	}
	if (!str_equal(request->method, "POST") &&
	    (request->body_length || !str_equal(request->method, "GET")))
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static int set_signature(CURL *easy, const struct http_sigv4 *sign)
{
	_cleanup_free_ char *scope = str_printf("aws:amz:%s:%s", sign->region, sign->service);

	if (!scope)
		return -ENOMEM;
	curl_easy_setopt(easy, CURLOPT_AWS_SIGV4, scope);
	curl_easy_setopt(easy, CURLOPT_USERNAME, sign->access_key);
	curl_easy_setopt(easy, CURLOPT_PASSWORD, sign->secret_key);
	return 0;
}

static void set_callbacks(struct http_transfer *transfer)
{
	CURL *easy = transfer->easy;

	curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->curl_text);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_VERBOSE, 1L); /* the trace is called only then */
	curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, take_trace);
	curl_easy_setopt(easy, CURLOPT_DEBUGDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, set_socket);
	if (transfer->may_write) {
		curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, before_request);
		curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
	}
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, http_socket_close);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, transfer->client);
}

static void set_connection(struct http_transfer *transfer, const struct http_request *request)
{
	CURL *easy = transfer->easy;

	transfer->connect_timeout_ms =
		request->connect_timeout_ms ? request->connect_timeout_ms : CONNECT_TIMEOUT_MS;
	transfer->timeout_ms = request->timeout_ms ? request->timeout_ms : TIMEOUT_MS;
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)transfer->connect_timeout_ms);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)transfer->timeout_ms);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* do not wait for a resolver thread */
	curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_SECONDS);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_PROBE_SECONDS);
	curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, request->fresh_connection ? 1L : 0L);
	if (request->no_proxy)
		curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	if (request->ca_file)
		curl_easy_setopt(easy, CURLOPT_CAINFO, request->ca_file);
}

/* "host:port" of the URL, as messages say it; no user, no password. */
static char *peer_of(const char *url)
{
	_cleanup_url_ CURLU *parsed = curl_url();
	char *host = NULL, *port = NULL, *peer = NULL;

	if (parsed && !curl_url_set(parsed, CURLUPART_URL, url, 0) &&
	    !curl_url_get(parsed, CURLUPART_HOST, &host, 0) &&
	    !curl_url_get(parsed, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT))
		peer = str_printf("%s:%s", host, port);
	curl_free(host);
	curl_free(port);
	return peer;
}

int http_transfer_prepare(struct http_transfer *transfer, const struct http_request *request)
{
	int r;

	transfer->easy = curl_easy_init();
	transfer->peer = peer_of(request->url);
	if (!transfer->easy || !transfer->peer)
		return -ENOMEM;
	transfer->body_limit = request->body_limit ? request->body_limit : BODY_LIMIT_BYTES;
	transfer->may_write = request->may_write;
	transfer->may_write_arg = request->may_write_arg;
	if (curl_easy_setopt(transfer->easy, CURLOPT_URL, request->url) != CURLE_OK)
		return -ENOMEM;
	curl_easy_setopt(transfer->easy, CURLOPT_USERAGENT, "forerun/" FORERUN_VERSION);
	set_connection(transfer, request);
	set_callbacks(transfer);
	set_method(transfer, request);
	r = set_headers(transfer, request);
	if (r >= 0 && request->sign)
		r = set_signature(transfer->easy, request->sign);
	return r;
}
