/* SPDX-License-Identifier: Apache-2.0 */
/* The server and the client, against each other on one loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/http.h"
#include "base/text.h"

struct pair {
	struct loop *loop;
	struct http_client *client;
	struct http_server *server;
	int answers;
	int status, error;
	char *body, *type, *text;
	bool reused;
	uint64_t started_ns, sent_ns, done_ns;
};

static void answer(void *arg, const struct http_query *query, struct http_reply *reply)
{
	const char *name = http_query_argument(query, "name");
	const char *header = http_query_header(query, "X-Test");
	struct text text = {0};

	(void)arg;
	if (strcmp(query->path, "/missing") == 0)
		reply->status = 404;
	text_printf(&text, "%s %s name=%s header=%s", query->method, query->path, name ? name : "-",
		    header ? header : "-");
	reply->body_length = text.length;
	reply->body = text_take(&text);
	reply->content_type = "application/test";
}

static void done(void *arg, const struct http_response *response)
{
	struct pair *pair = arg;
	const char *type = http_response_header(response, "content-type");

	free(pair->body);
	free(pair->type);
	free(pair->text);
	pair->answers++;
	pair->status = response->status;
	pair->error = response->error;
	pair->body = strdup(response->body);
	pair->type = type ? strdup(type) : NULL;
	pair->text = strdup(response->error_text);
	pair->reused = response->reused_connection;
	pair->started_ns = response->started_ns;
	pair->sent_ns = response->sent_ns;
	pair->done_ns = response->done_ns;
}

static int setup(void **state)
{
	struct pair *pair = calloc(1, sizeof(*pair));

	*state = pair;
	assert_int_equal(loop_new(&pair->loop), 0);
	assert_int_equal(http_client_new(pair->loop, &pair->client), 0);
	assert_int_equal(http_server_new(pair->loop, "127.0.0.1:0", answer, NULL, &pair->server),
			 0);
	return 0;
}

static int teardown(void **state)
{
	struct pair *pair = *state;

	http_client_free(pair->client);
	http_server_free(pair->server);
	loop_free(pair->loop);
	free(pair->body);
	free(pair->type);
	free(pair->text);
	free(pair);
	return 0;
}

static void wait_for(struct pair *pair, int answers)
{
	for (int i = 0; i < 400 && pair->answers < answers; i++)
		assert_int_equal(loop_round(pair->loop, 50), 0);
	assert_int_equal(pair->answers, answers);
}

static void ask(struct pair *pair, const char *method, const char *path, const char *const *headers,
		const char *body)
{
	_cleanup_free_ char *url =
		str_printf("http://127.0.0.1:%u%s", http_server_port(pair->server), path);
	struct http_request request = {.method = method,
				       .url = url,
				       .headers = headers,
				       .body = body,
				       .body_length = body ? strlen(body) : 0};
	int before = pair->answers;

	assert_int_equal(http_send(pair->client, &request, done, pair, NULL), 0);
	assert_int_equal(pair->answers, before); /* never from inside http_send() */
	wait_for(pair, before + 1);
}

static void arguments_headers_and_status_pass_through(void **state)
{
	static const char *const headers[] = {"X-Test: yes", NULL};
	struct pair *pair = *state;

	ask(pair, "GET", "/a%20b?name=x%26y", headers, NULL);
	assert_int_equal(pair->error, 0);
	assert_int_equal(pair->status, 200);
	assert_string_equal(pair->body, "GET /a b name=x&y header=yes");
	assert_string_equal(pair->type, "application/test");
	assert_true(pair->started_ns <= pair->sent_ns && pair->sent_ns <= pair->done_ns);
	assert_false(pair->reused);
	ask(pair, "GET", "/missing", NULL, NULL);
	assert_int_equal(pair->status, 404);
	assert_true(pair->reused);
}

static void head_has_no_body_and_other_methods_are_refused(void **state)
{
	static const char *const methods[] = {"POST", "PUT", "DELETE", "PATCH", "OPTIONS"};
	struct pair *pair = *state;

	ask(pair, "HEAD", "/", NULL, NULL);
	assert_int_equal(pair->error, 0);
	assert_int_equal(pair->status, 200);
	assert_string_equal(pair->body, "");
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		ask(pair, methods[i], "/", NULL, i % 2 ? "a body" : NULL);
		assert_int_equal(pair->error, 0);
		assert_int_equal(pair->status, 405);
	}
}

/* From 127.0.0.host, so that a test can be many clients. */
static int connect_from(unsigned host, uint16_t port)
{
	struct sockaddr_in source = {.sin_family = AF_INET,
				     .sin_addr.s_addr = htonl((127U << 24) + host)};
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&source, sizeof(source)), 0);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		assert_int_equal(errno, EINPROGRESS);
	return fd;
}

/* Sends bytes as they are and returns what the server said before it closed or fell silent. */
static char *say_raw(struct pair *pair, const char *bytes, size_t length)
{
	int fd = connect_from(1, http_server_port(pair->server));
	struct text heard = {0};
	size_t sent = 0;

	for (int quiet = 0; quiet < 20;) {
		char buffer[4096];
		ssize_t put = 0, got;

		loop_round(pair->loop, 10);
		if (sent < length)
			put = send(fd, bytes + sent, length - sent, MSG_NOSIGNAL);
		sent += put > 0 ? (size_t)put : 0;
		got = recv(fd, buffer, sizeof(buffer), 0);
		if (got > 0)
			text_add_bytes(&heard, buffer, (size_t)got);
		if (got == 0 || (got < 0 && errno != EAGAIN))
			break;
		quiet = put > 0 || got > 0 ? 0 : quiet + 1;
	}
	close(fd);
	return text_take(&heard);
}

static void headers_without_end_are_refused(void **state)
{
	struct pair *pair = *state;
	struct text request = {0};
	_cleanup_free_ char *heard = NULL;

	text_add(&request, "GET / HTTP/1.1\r\nHost: x\r\n");
	for (int i = 0; i < 10000; i++)
		text_printf(&request, "X-Header-%d: %d\r\n", i, i);
	heard = say_raw(pair, request.data, request.length);
	assert_true(*heard == '\0' || strncmp(heard, "HTTP/1.1 431", 12) == 0 ||
		    strncmp(heard, "HTTP/1.1 413", 12) == 0);
	text_free(&request);
	ask(pair, "GET", "/still", NULL, NULL);
	assert_int_equal(pair->status, 200);
}

static void garbage_is_refused_and_the_server_stays(void **state)
{
	static const char garbage[] = "\x16\x03\x01\x02\x00\x01\x00\x00\r\n\r\n\x00\xff\xfe";
	struct pair *pair = *state;
	_cleanup_free_ char *heard = say_raw(pair, garbage, sizeof(garbage) - 1);

	assert_true(strncmp(heard, "HTTP/1.1 200", 12) != 0);
	ask(pair, "GET", "/still", NULL, NULL);
	assert_int_equal(pair->status, 200);
}

static void a_get_with_a_body_is_answered_as_without(void **state)
{
	struct pair *pair = *state;
	static const char request[] =
		"GET /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nConnection: close\r\n\r\nabcde";
	_cleanup_free_ char *heard = say_raw(pair, request, sizeof(request) - 1);

	assert_int_equal(strncmp(heard, "HTTP/1.1 200", 12), 0);
	assert_non_null(strstr(heard, "GET /x name=- header=-"));
}

/* Opens so many connections and says nothing on them; returns how many the server left open. */
static int hold_open(struct pair *pair, unsigned hosts, unsigned each, int *fds)
{
	int open = 0;

	for (unsigned i = 0; i < hosts * each; i++) {
		fds[i] = connect_from(2 + i / each, http_server_port(pair->server));
		loop_round(pair->loop, 1);
	}
	for (int i = 0; i < 20; i++)
		loop_round(pair->loop, 5);
	for (unsigned i = 0; i < hosts * each; i++) {
		char byte;

		open += recv(fds[i], &byte, 1, 0) < 0 && errno == EAGAIN;
	}
	return open;
}

static void silent_connections_of_one_client_leave_room_for_others(void **state)
{
	struct pair *pair = *state;
	int fds[100];

	assert_int_equal(hold_open(pair, 1, 100, fds), 32);
	ask(pair, "GET", "/still", NULL, NULL);
	assert_int_equal(pair->status, 200);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

static void who_waits_at_the_limit_is_served_when_others_leave(void **state)
{
	struct pair *pair = *state;
	int fds[160];

	hold_open(pair, 8, 20, fds);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	ask(pair, "GET", "/still", NULL, NULL);
	assert_string_equal(pair->text, "");
	assert_int_equal(pair->status, 200);
}

static void addresses_are_bound_as_written(void **state)
{
	static const char *const good[] = {"127.0.0.1:0", "[::1]:0", "localhost:0", ":0"};
	static const char *const bad[] = {"",	   "127.0.0.1", "::1:80",	 "127.0.0.1:65536",
					  "a.b:1", ":-1",	"127.0.0.1: 80", "[::1]"};
	struct pair *pair = *state;
	struct http_server *server = NULL;
	_cleanup_free_ char *taken = str_printf("127.0.0.1:%u", http_server_port(pair->server));

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(http_server_new(pair->loop, good[i], answer, NULL, &server), 0);
		assert_int_not_equal(http_server_port(server), 0);
		http_server_free(server);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(http_server_new(pair->loop, bad[i], answer, NULL, &server),
				 -EINVAL);
	assert_int_equal(http_server_new(pair->loop, taken, answer, NULL, &server), -EADDRINUSE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(arguments_headers_and_status_pass_through, setup,
						teardown),
		cmocka_unit_test_setup_teardown(head_has_no_body_and_other_methods_are_refused,
						setup, teardown),
		cmocka_unit_test_setup_teardown(headers_without_end_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(garbage_is_refused_and_the_server_stays, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_get_with_a_body_is_answered_as_without, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			silent_connections_of_one_client_leave_room_for_others, setup, teardown),
		cmocka_unit_test_setup_teardown(who_waits_at_the_limit_is_served_when_others_leave,
						setup, teardown),
		cmocka_unit_test_setup_teardown(addresses_are_bound_as_written, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
