/* SPDX-License-Identifier: Apache-2.0 */
/* The client against a peer that does on a raw socket what the test tells it, on the same loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/http.h"
#include "base/text.h"
#include "base/vec.h"

#define OK_REPLY "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Id: a\r\nx-id: b\r\n\r\nok"

/* What the peer does with the n-th request that it has read whole. */
struct step {
	const char *reply; /* NULL: none */
	size_t reply_length; /* 0: strlen() */
	bool then_close, then_reset;
};

struct world {
	struct loop *loop;
	struct http_client *client;
	int listener;
	uint16_t port;
	int fd; /* the connection that is open, -1 */
	int connections, requests;
	bool deaf; /* the peer does not read */
	const struct step *steps;
	size_t step_count;
	struct text incoming; /* on that connection */
	struct text last_request;

	int answers;
	int error, status;
	char *body, *text, *id;
	bool request_sent, reused;
	uint64_t started_ns, sent_ns, done_ns;
	struct http_transfer *to_cancel;
	bool free_client, send_again;
};

/* ---- the peer ---- */

static void peer_close(struct world *world)
{
	if (world->fd < 0)
		return;
	loop_fd_remove(world->loop, world->fd);
	close(world->fd);
	world->fd = -1;
	text_clear(&world->incoming);
}

static size_t whole_request(const struct text *incoming)
{
	const char *end = incoming->data ? strstr(incoming->data, "\r\n\r\n") : NULL, *length;
	size_t size;

	if (!end)
		return 0;
	size = (size_t)(end + 4 - incoming->data);
	length = strcasestr(incoming->data, "\r\nContent-Length: ");
	if (length && length < end)
		size += strtoul(length + 18, NULL, 10);
	return size <= incoming->length ? size : 0;
}

static void take_step(struct world *world)
{
	const struct step *step;
	struct linger reset = {.l_onoff = 1};

	assert_true((size_t)world->requests < world->step_count);
	step = &world->steps[world->requests++];
	if (step->reply) {
		size_t length = step->reply_length ? step->reply_length : strlen(step->reply);

		assert_int_equal(send(world->fd, step->reply, length, MSG_NOSIGNAL), length);
	}
	if (step->then_reset)
		setsockopt(world->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (step->then_close || step->then_reset)
		peer_close(world);
}

static void on_peer_data(void *arg, int fd, uint32_t events)
{
	struct world *world = arg;
	char buffer[65536];
	ssize_t got;
	size_t size;

	(void)events;
	got = recv(fd, buffer, sizeof(buffer), 0);
	if (got <= 0) {
		peer_close(world);
		return;
	}
	text_add_bytes(&world->incoming, buffer, (size_t)got);
	size = whole_request(&world->incoming);
	if (!size)
		return;
	text_clear(&world->last_request);
	text_add_bytes(&world->last_request, world->incoming.data, size);
	text_clear(&world->incoming);
	take_step(world);
}

static void on_peer_accept(void *arg, int fd, uint32_t events)
{
	struct world *world = arg;

	(void)events;
	peer_close(world);
	world->fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
	assert_true(world->fd >= 0);
	world->connections++;
	assert_int_equal(
		loop_fd_add(world->loop, world->fd, world->deaf ? 0 : EPOLLIN, on_peer_data, world),
		0);
}

static void stop_listening(struct world *world)
{
	if (world->listener < 0)
		return;
	loop_fd_remove(world->loop, world->listener);
	close(world->listener);
	world->listener = -1;
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);

	*state = world;
	world->fd = -1;
	assert_int_equal(loop_new(&world->loop), 0);
	assert_int_equal(http_client_new(world->loop, &world->client), 0);
	world->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(world->listener, (struct sockaddr *)&address, length), 0);
	assert_int_equal(listen(world->listener, 16), 0);
	getsockname(world->listener, (struct sockaddr *)&address, &length);
	world->port = ntohs(address.sin_port);
	assert_int_equal(loop_fd_add(world->loop, world->listener, EPOLLIN, on_peer_accept, world),
			 0);
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	http_client_free(world->client);
	peer_close(world);
	stop_listening(world);
	loop_free(world->loop);
	text_free(&world->incoming);
	text_free(&world->last_request);
	free(world->body);
	free(world->text);
	free(world->id);
	free(world);
	return 0;
}

/* ---- asking ---- */

static struct http_request plain(const char *url)
{
	return (struct http_request){.method = "GET", .url = url, .timeout_ms = 5000};
}

static void done(void *arg, const struct http_response *response)
{
	struct world *world = arg;
	const char *id = http_response_header(response, "X-ID");

	free(world->body);
	free(world->text);
	free(world->id);
	world->answers++;
	world->error = response->error;
	world->status = response->status;
	world->body = strdup(response->body);
	world->text = strdup(response->error_text);
	world->id = id ? strdup(id) : NULL;
	world->request_sent = response->request_sent;
	world->reused = response->reused_connection;
	world->started_ns = response->started_ns;
	world->sent_ns = response->sent_ns;
	world->done_ns = response->done_ns;
	if (world->to_cancel)
		http_cancel(TAKE(world->to_cancel));
	if (world->send_again) {
		_cleanup_free_ char *url = str_printf("http://127.0.0.1:%u/again", world->port);
		struct http_request request = plain(url);

		world->send_again = false;
		assert_int_equal(http_send(world->client, &request, done, world, NULL), 0);
	}
	if (world->free_client) {
		http_client_free(world->client);
		world->client = NULL;
	}
}

static void play(struct world *world, const struct step *steps, size_t count)
{
	world->steps = steps;
	world->step_count = count;
	world->requests = 0;
}

static void wait_answers(struct world *world, int answers)
{
	for (int i = 0; i < 1000 && world->answers < answers; i++)
		assert_int_equal(loop_round(world->loop, 20), 0);
	assert_int_equal(world->answers, answers);
}

static void send_request(struct world *world, struct http_request request,
			 struct http_transfer **out)
{
	_cleanup_free_ char *url = str_printf("http://127.0.0.1:%u/", world->port);
	int before = world->answers;

	if (!request.url)
		request.url = url;
	assert_int_equal(http_send(world->client, &request, done, world, out), 0);
	assert_int_equal(world->answers, before);
}

static void ask(struct world *world, struct http_request request)
{
	int before = world->answers;

	send_request(world, request, NULL);
	wait_answers(world, before + 1);
}

/* "%u" in the expected text is the peer's port. */
static void assert_text(struct world *world, const char *format)
{
	struct text expected = {0};
	const char *at = strstr(format, "%u");

	text_add_bytes(&expected, format, (size_t)(at - format));
	text_printf(&expected, "%u%s", world->port, at + 2);
	assert_string_equal(world->text, expected.data);
	text_free(&expected);
}

/* ---- what goes well ---- */

static void the_last_of_equal_headers_is_returned_in_any_case(void **state)
{
	static const struct step steps[] = {{OK_REPLY}};
	struct world *world = *state;

	play(world, steps, 1);
	ask(world, plain(NULL));
	assert_int_equal(world->error, 0);
	assert_string_equal(world->text, "");
	assert_int_equal(world->status, 200);
	assert_string_equal(world->body, "ok");
	assert_string_equal(world->id, "b");
	assert_true(world->request_sent);
	assert_true(world->started_ns <= world->sent_ns && world->sent_ns <= world->done_ns);
	assert_non_null(strstr(world->last_request.data, "\r\nUser-Agent: forerun/"));
}

static void a_warm_connection_carries_the_request_before_http_send_returns(void **state)
{
	static const struct step steps[] = {{OK_REPLY}, {OK_REPLY}};
	struct world *world = *state;
	struct http_request request = {.method = "POST", .body = "a=b", .body_length = 3};
	struct pollfd readable;
	char buffer[4096];
	ssize_t got;

	play(world, steps, 2);
	ask(world, request);
	assert_false(world->reused);
	send_request(world, request, NULL);
	readable = (struct pollfd){.fd = world->fd, .events = POLLIN};
	assert_int_equal(poll(&readable, 1, 0), 1);
	got = recv(world->fd, buffer, sizeof(buffer), MSG_PEEK);
	assert_true(got > 3 && memcmp(buffer + got - 3, "a=b", 3) == 0);
	wait_answers(world, 2);
	assert_int_equal(world->error, 0);
	assert_true(world->reused);
	assert_int_equal(world->connections, 1);
	assert_true(world->sent_ns > 0);
}

static void a_fresh_connection_is_not_a_kept_one(void **state)
{
	static const struct step steps[] = {{OK_REPLY}, {OK_REPLY}};
	struct world *world = *state;

	play(world, steps, 2);
	ask(world, plain(NULL));
	ask(world, (struct http_request){.method = "GET", .fresh_connection = true});
	assert_false(world->reused);
	assert_int_equal(world->connections, 2);
}

static void no_connection_is_left_to_programs_that_are_run(void **state)
{
	static const struct step steps[] = {{OK_REPLY}};
	struct world *world = *state;
	int found = 0;

	play(world, steps, 1);
	ask(world, plain(NULL));
	for (int fd = 3; fd < 256; fd++) {
		struct sockaddr_in peer = {0};
		socklen_t length = sizeof(peer);

		if (getpeername(fd, (struct sockaddr *)&peer, &length) < 0 ||
		    ntohs(peer.sin_port) != world->port)
			continue;
		found++;
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	}
	assert_int_equal(found, 1);
}

static void methods_and_bodies_arrive_as_given(void **state)
{
	static const struct {
		const char *method, *body, *begins, *has;
	} cases[] = {
		{"GET", NULL, "GET / HTTP/1.1\r\n", "\r\n\r\n"},
		{"POST", "x=1", "POST / HTTP/1.1\r\n", "Content-Length: 3\r\n\r\nx=1"},
		{"POST", NULL, "POST / HTTP/1.1\r\n", "Content-Length: 0\r\n"},
		{"PUT", NULL, "PUT / HTTP/1.1\r\n", "Content-Length: 0\r\n"},
		{"PUT", "{}", "PUT / HTTP/1.1\r\n", "Content-Length: 2\r\n"},
		{"PATCH", "[]", "PATCH / HTTP/1.1\r\n", "\r\n\r\n[]"},
		{"DELETE", NULL, "DELETE / HTTP/1.1\r\n", "\r\n\r\n"},
	};
	static const char *const headers[] = {"Content-Type: application/json", NULL};
	static const struct step steps[] = {{OK_REPLY}};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		play(world, steps, 1);
		ask(world, (struct http_request){
				   .method = cases[i].method,
				   .headers = headers,
				   .body = cases[i].body,
				   .body_length = cases[i].body ? strlen(cases[i].body) : 0});
		assert_int_equal(world->error, 0);
		assert_true(str_starts(world->last_request.data, cases[i].begins));
		assert_non_null(strstr(world->last_request.data, cases[i].has));
		assert_non_null(
			strstr(world->last_request.data, "\r\nContent-Type: application/json\r\n"));
	}
}

static void a_large_body_arrives_whole(void **state)
{
	static const struct step steps[] = {{OK_REPLY}};
	struct world *world = *state;
	size_t size = 600000;
	_cleanup_free_ char *body = malloc(size);

	for (size_t i = 0; i < size; i++)
		body[i] = (char)('a' + i % 26);
	play(world, steps, 1);
	ask(world, (struct http_request){.method = "POST", .body = body, .body_length = size});
	assert_int_equal(world->error, 0);
	assert_true(world->request_sent);
	assert_memory_equal(world->last_request.data + world->last_request.length - size, body,
			    size);
}

static void a_redirect_is_not_followed(void **state)
{
	static const struct step steps[] = {
		{"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"}};
	struct world *world = *state;

	play(world, steps, 1);
	ask(world, plain(NULL));
	assert_int_equal(world->error, 0);
	assert_int_equal(world->status, 302);
	assert_int_equal(world->requests, 1);
}

static void a_signed_request_names_what_it_signs(void **state)
{
	static const struct step steps[] = {{OK_REPLY}};
	static const struct http_sigv4 sign = {.region = "eu-central-1",
					       .service = "ec2",
					       .access_key = "AKIDEXAMPLE",
					       .secret_key = "secret",
					       .session_token = "the/token=="};
	static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded",
					      NULL};
	struct world *world = *state;

	play(world, steps, 1);
	ask(world, (struct http_request){.method = "POST",
					 .headers = headers,
					 .body = "Action=X",
					 .body_length = 8,
					 .sign = &sign});
	assert_int_equal(world->error, 0);
	assert_non_null(strstr(world->last_request.data,
			       "Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"));
	assert_non_null(strstr(world->last_request.data, "/eu-central-1/ec2/aws4_request"));
	assert_non_null(strstr(world->last_request.data,
			       "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token"));
	assert_non_null(strstr(world->last_request.data, "X-Amz-Security-Token: the/token==\r\n"));
	assert_null(strstr(world->last_request.data, "secret"));
}

static void a_name_is_resolved_without_blocking_the_loop(void **state)
{
	static const struct step steps[] = {{OK_REPLY}};
	struct world *world = *state;
	_cleanup_free_ char *url = str_printf("http://localhost:%u/", world->port);

	play(world, steps, 1);
	ask(world, plain(url));
	assert_string_equal(world->text, "");
	assert_string_equal(world->body, "ok");
}

static void a_proxy_of_the_environment_is_used_unless_told_otherwise(void **state)
{
	static const struct step steps[] = {{OK_REPLY}};
	static const char url[] = "http://127.0.0.2:1/x";
	struct world *world = *state;
	_cleanup_free_ char *proxy = str_printf("http://127.0.0.1:%u", world->port);

	setenv("http_proxy", proxy, 1);
	play(world, steps, 1);
	ask(world, plain(url));
	assert_int_equal(world->error, 0);
	assert_true(str_starts(world->last_request.data, "GET http://127.0.0.2:1/x HTTP/1.1\r\n"));
	ask(world, (struct http_request){.method = "GET", .url = url, .no_proxy = true});
	assert_string_equal(world->text, "could not connect to 127.0.0.2:1: connection refused");
	unsetenv("http_proxy");
}

static void several_at_once_all_come_back(void **state)
{
	static const struct step steps[] = {{NULL}};
	struct world *world = *state;
	struct http_transfer *waiting;

	play(world, steps, 1);
	send_request(world, plain(NULL), &waiting);
	for (int i = 0; i < 20 && world->requests == 0; i++)
		loop_round(world->loop, 20);
	stop_listening(world);
	for (int i = 0; i < 20; i++)
		send_request(world, plain(NULL), NULL);
	wait_answers(world, 20);
	assert_int_equal(world->error, -ECONNREFUSED);
	http_cancel(waiting);
	assert_int_equal(world->answers, 20);
}

/* ---- what goes wrong ---- */

static void a_refused_connection_is_said_and_nothing_was_sent(void **state)
{
	struct world *world = *state;

	stop_listening(world);
	ask(world, (struct http_request){.method = "POST", .body = "x", .body_length = 1});
	assert_int_equal(world->error, -ECONNREFUSED);
	assert_text(world, "could not connect to 127.0.0.1:%u: connection refused");
	assert_false(world->request_sent);
	assert_int_equal(world->sent_ns, 0);
}

static void a_host_that_does_not_answer_times_out_and_nothing_was_sent(void **state)
{
	struct world *world = *state;
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(world->port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fds[8];

	/* With its accept queue full the kernel lets further SYNs pass unanswered. */
	loop_fd_remove(world->loop, world->listener);
	assert_int_equal(listen(world->listener, 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(fds[i], (struct sockaddr *)&address, sizeof(address));
	}
	ask(world, (struct http_request){.method = "GET", .connect_timeout_ms = 100});
	assert_int_equal(world->error, -ETIMEDOUT);
	assert_text(world, "could not connect to 127.0.0.1:%u within 100 ms");
	assert_false(world->request_sent);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

static void a_peer_that_closes_or_resets_after_the_request_may_have_acted(void **state)
{
	static const struct step closes[] = {{.then_close = true}},
				 resets[] = {{.then_reset = true}};
	struct world *world = *state;
	struct http_request request = {.method = "POST", .body = "x", .body_length = 1};

	play(world, closes, 1);
	ask(world, request);
	assert_int_equal(world->error, -ECONNRESET);
	assert_text(world, "127.0.0.1:%u closed the connection without an answer");
	assert_true(world->request_sent);
	play(world, resets, 1);
	ask(world, request);
	assert_int_equal(world->error, -ECONNRESET);
	assert_true(world->request_sent);
	assert_true(world->sent_ns > 0);
}

static void a_kept_connection_that_dies_makes_libcurl_send_again(void **state)
{
	static const struct step steps[] = {{OK_REPLY}, {.then_close = true}, {OK_REPLY}};
	struct world *world = *state;
	struct http_request request = {.method = "POST", .body = "x=1", .body_length = 3};

	play(world, steps, 3);
	ask(world, request);
	ask(world, request);
	assert_int_equal(world->error, 0);
	assert_int_equal(world->requests, 3);
	assert_int_equal(world->connections, 2);
	assert_true(world->request_sent);
	assert_true(str_ends(world->last_request.data, "x=1"));
}

static void a_request_written_once_stays_sent_when_sending_again_fails(void **state)
{
	static const struct step steps[] = {{OK_REPLY}, {.then_close = true}};
	struct world *world = *state;
	struct http_request request = {.method = "POST", .body = "x=1", .body_length = 3};

	play(world, steps, 2);
	ask(world, request);
	stop_listening(world);
	ask(world, request);
	assert_int_equal(world->error, -ECONNREFUSED);
	assert_int_equal(world->requests, 2);
	assert_true(world->request_sent);
}

struct permission {
	int asked, given; /* how often it may be written */
};

static bool may_write(void *arg)
{
	struct permission *permission = arg;

	return permission->asked++ < permission->given;
}

static void what_may_not_be_written_is_not(void **state)
{
	static const struct step steps[] = {{OK_REPLY}};
	struct world *world = *state;
	struct permission none = {0, 0};
	struct http_request request = {.method = "POST",
				       .body = "x=1",
				       .body_length = 3,
				       .may_write = may_write,
				       .may_write_arg = &none};

	play(world, steps, 1);
	ask(world, request);
	assert_int_equal(world->error, -ECANCELED);
	assert_text(world, "the request to 127.0.0.1:%u is not allowed any more");
	assert_false(world->request_sent);
	assert_int_equal(world->requests, 0);
	assert_int_equal(none.asked, 1);
}

static void what_libcurl_would_write_again_is_asked_for_again(void **state)
{
	static const struct step steps[] = {{OK_REPLY}, {.then_close = true}};
	struct world *world = *state;
	struct permission once = {0, 1};
	struct http_request request = {.method = "POST", .body = "x=1", .body_length = 3};

	play(world, steps, 2);
	ask(world, request);
	request.may_write = may_write;
	request.may_write_arg = &once;
	ask(world, request);
	assert_int_equal(world->error, -ECANCELED);
	assert_true(world->request_sent); /* by the first attempt, which may have had its effect */
	assert_int_equal(world->requests, 2);
	assert_int_equal(once.asked, 2);
}

static void what_the_peer_did_not_acknowledge_is_known(void **state)
{
	static const struct step steps[] = {{OK_REPLY}, {NULL}};
	struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog deaf = {.len = 1, .filter = &nothing};
	struct http_request request = {.method = "POST", .body = "x=1", .body_length = 3};
	struct http_transfer *transfer = NULL;
	struct world *world = *state;
	struct http_flight flight;

	play(world, steps, 2);
	ask(world, request);
	/* The kernel drops what arrives on the kept connection, as a path that is gone does. */
	assert_int_equal(setsockopt(world->fd, SOL_SOCKET, SO_ATTACH_FILTER, &deaf, sizeof(deaf)),
			 0);
	send_request(world, request, &transfer);
	assert_int_equal(http_flight(transfer, &flight), 0);
	assert_true(flight.unacknowledged > 0 && flight.acknowledged_bytes > 0);
	assert_true(flight.round_trip_ns > 0 && flight.round_trip_ns < NS_PER_S);
	for (int i = 0; i < 5; i++)
		loop_round(world->loop, 20);
	assert_int_equal(http_flight(transfer, &flight), 0);
	assert_true(flight.unacknowledged > 0);
	/* A fresh one is acknowledged at once, although it is not answered. */
	http_cancel(transfer);
	request.fresh_connection = true;
	send_request(world, request, &transfer);
	for (int i = 0; i < 100 && world->requests < 2; i++)
		loop_round(world->loop, 20);
	assert_int_equal(http_flight(transfer, &flight), 0);
	assert_true(flight.unacknowledged == 0 && flight.acknowledged_bytes > 0);
	http_cancel(transfer);
}

static void a_kept_connection_closed_meanwhile_is_not_used(void **state)
{
	static const struct step steps[] = {{OK_REPLY}, {OK_REPLY}};
	struct world *world = *state;
	struct http_request request = {.method = "POST", .body = "x=1", .body_length = 3};

	play(world, steps, 2);
	ask(world, request);
	peer_close(world);
	ask(world, request);
	assert_int_equal(world->error, 0);
	assert_int_equal(world->requests, 2);
	assert_false(world->reused);
}

static void no_answer_in_time_is_said_and_may_have_acted(void **state)
{
	static const struct step steps[] = {{NULL}};
	struct world *world = *state;

	play(world, steps, 1);
	ask(world, (struct http_request){
			   .method = "POST", .body = "x", .body_length = 1, .timeout_ms = 150});
	assert_int_equal(world->error, -ETIMEDOUT);
	assert_text(world, "127.0.0.1:%u did not answer within 150 ms");
	assert_true(world->request_sent);
}

static void a_body_that_was_not_read_whole_was_not_sent(void **state)
{
	struct world *world = *state;
	size_t size = 32 << 20;
	_cleanup_free_ char *body = calloc(1, size);

	world->deaf = true;
	ask(world,
	    (struct http_request){
		    .method = "POST", .body = body, .body_length = size, .timeout_ms = 1500});
	assert_int_equal(world->error, -ETIMEDOUT);
	assert_false(world->request_sent);
	assert_int_equal(world->sent_ns, 0);
}

static void answers_that_are_not_http_are_refused(void **state)
{
	static const struct {
		struct step step;
		int error;
	} cases[] = {
		{{"garbage\r\n\r\n", .then_close = true}, -EPROTO},
		{{"\0\0\0\0\0\0", 6, .then_close = true}, -EPROTO},
		{{"HTTP/9.9 200 OK\r\n\r\n", .then_close = true}, -EPROTO},
		{{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", .then_close = true},
		 -ECONNRESET},
		{{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
		  .then_close = true},
		 -ECONNRESET},
		{{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab",
		  .then_close = true},
		 -ECONNRESET},
		{{"HTTP/1.1 200 OK\r\nContent-Le", .then_close = true}, -ECONNRESET},
	};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		play(world, &cases[i].step, 1);
		ask(world, plain(NULL));
		if (world->error != cases[i].error)
			print_error("case %zu: %d %s\n", i, world->error, world->text);
		assert_int_equal(world->error, cases[i].error);
		assert_string_not_equal(world->text, "");
		assert_true(world->request_sent);
	}
}

static void too_much_is_refused(void **state)
{
	static const struct step declared[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n01234567890", .then_close = true}};
	static const struct step undeclared[] = {
		{"HTTP/1.1 200 OK\r\n\r\n01234567890", .then_close = true}};
	static const struct step fits[] = {
		{"HTTP/1.1 200 OK\r\n\r\n0123456789", .then_close = true}};
	struct world *world = *state;
	struct http_request request = {.method = "GET", .body_limit = 10};

	play(world, declared, 1);
	ask(world, request);
	assert_int_equal(world->error, -EFBIG);
	assert_text(world, "the answer of 127.0.0.1:%u is larger than 10 bytes");
	play(world, undeclared, 1);
	ask(world, request);
	assert_int_equal(world->error, -EFBIG);
	play(world, fits, 1);
	ask(world, request);
	assert_int_equal(world->error, 0);
	assert_string_equal(world->body, "0123456789");
}

static void chunks_and_trailers_and_interim_answers_are_read(void **state)
{
	static const struct step steps[] = {
		{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
		 "\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Id: trailer\r\n\r\n"}};
	struct world *world = *state;

	play(world, steps, 1);
	ask(world, plain(NULL));
	assert_int_equal(world->error, 0);
	assert_int_equal(world->status, 200);
	assert_string_equal(world->body, "abcde");
}

static void headers_without_end_are_refused(void **state)
{
	struct text reply = {0};
	struct world *world = *state;
	struct step step = {0};
	int size = 4 << 20;

	text_add(&reply, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 12000; i++)
		text_printf(&reply, "X-Header-%d: some value or other\r\n", i);
	step = (struct step){reply.data, reply.length, .then_close = true};
	setsockopt(world->listener, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	play(world, &step, 1);
	ask(world, plain(NULL));
	assert_int_equal(world->error, -EFBIG);
	assert_text(world, "the answer of 127.0.0.1:%u has too many headers");
	text_free(&reply);
}

static void what_cannot_be_sent_is_refused_at_once(void **state)
{
	static const struct http_sigv4 sign = {"r", "s", "a", "k", NULL};
	static const struct http_sigv4 bad_token = {"r", "s", "a", "k", "t\r\nX: y"};
	static const char *const injected[] = {"X: y\r\nZ: w", NULL}, *const nameless[] = {"x",
											   NULL};
	static const char *const typed[] = {"Content-Type: a/b", NULL};
	static const char *const dated[] = {"Content-Type: a/b", "X-Amz-Date: x", NULL};
	static const char *const removed[] = {"Content-Type: a/b", "Accept:", NULL};
	const struct {
		struct http_request request;
		int error;
	} cases[] = {
		{{.method = "GET", .url = "ftp://127.0.0.1/"}, -EPROTONOSUPPORT},
		{{.method = "GET", .url = "file:///etc/passwd"}, -EPROTONOSUPPORT},
		{{.method = "GET", .url = "http://"}, -EINVAL},
		{{.method = "GET", .url = NULL}, -EINVAL},
		{{.method = "get it", .url = "http://127.0.0.1/"}, -EINVAL},
		{{.method = "", .url = "http://127.0.0.1/"}, -EINVAL},
		{{.method = "GET", .url = "http://127.0.0.1/", .headers = injected}, -EINVAL},
		{{.method = "GET", .url = "http://127.0.0.1/", .headers = nameless}, -EINVAL},
		{{.method = "GET", .url = "http://127.0.0.1/", .headers = typed, .sign = &sign},
		 -EINVAL},
		{{.method = "POST", .url = "http://127.0.0.1/", .sign = &sign}, -EINVAL},
		{{.method = "POST", .url = "http://127.0.0.1/", .headers = dated, .sign = &sign},
		 -EINVAL},
		{{.method = "POST", .url = "http://127.0.0.1/", .headers = removed, .sign = &sign},
		 -EINVAL},
		{{.method = "POST",
		  .url = "http://127.0.0.1/",
		  .headers = typed,
		  .sign = &bad_token},
		 -EINVAL},
	};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(http_send(world->client, &cases[i].request, done, world, NULL),
				 cases[i].error);
	assert_int_equal(world->answers, 0);
}

/* ---- cancelling ---- */

static void a_cancelled_transfer_does_not_call_back(void **state)
{
	static const struct step steps[] = {{NULL}, {OK_REPLY}};
	struct world *world = *state;
	struct http_transfer *transfer;

	play(world, steps, 2);
	send_request(world, plain(NULL), &transfer);
	for (int i = 0; i < 20 && world->requests == 0; i++)
		loop_round(world->loop, 20);
	http_cancel(transfer);
	ask(world, plain(NULL));
	assert_int_equal(world->answers, 1);
	assert_string_equal(world->body, "ok");
}

static void a_callback_may_cancel_send_and_free(void **state)
{
	static const struct step steps[] = {{OK_REPLY}, {OK_REPLY}, {OK_REPLY}};
	struct world *world = *state;

	play(world, steps, 3);
	world->send_again = true;
	send_request(world, plain(NULL), NULL);
	wait_answers(world, 2);
	assert_true(str_starts(world->last_request.data, "GET /again "));

	/* Itself: that is over already. Another that waits: it never calls back. */
	send_request(world, plain(NULL), &world->to_cancel);
	wait_answers(world, 3);
	stop_listening(world);
	peer_close(world);
	send_request(world, plain(NULL), NULL);
	send_request(world, plain(NULL), &world->to_cancel);
	world->free_client = true;
	wait_answers(world, 4);
	for (int i = 0; i < 5; i++)
		loop_round(world->loop, 5);
	assert_int_equal(world->answers, 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_last_of_equal_headers_is_returned_in_any_case),
		TEST(a_warm_connection_carries_the_request_before_http_send_returns),
		TEST(a_fresh_connection_is_not_a_kept_one),
		TEST(no_connection_is_left_to_programs_that_are_run),
		TEST(methods_and_bodies_arrive_as_given),
		TEST(a_large_body_arrives_whole),
		TEST(a_redirect_is_not_followed),
		TEST(a_signed_request_names_what_it_signs),
		TEST(a_name_is_resolved_without_blocking_the_loop),
		TEST(a_proxy_of_the_environment_is_used_unless_told_otherwise),
		TEST(several_at_once_all_come_back),
		TEST(a_refused_connection_is_said_and_nothing_was_sent),
		TEST(a_host_that_does_not_answer_times_out_and_nothing_was_sent),
		TEST(a_peer_that_closes_or_resets_after_the_request_may_have_acted),
		TEST(a_kept_connection_that_dies_makes_libcurl_send_again),
		TEST(a_request_written_once_stays_sent_when_sending_again_fails),
		TEST(what_may_not_be_written_is_not),
		TEST(what_libcurl_would_write_again_is_asked_for_again),
		TEST(what_the_peer_did_not_acknowledge_is_known),
		TEST(a_kept_connection_closed_meanwhile_is_not_used),
		TEST(no_answer_in_time_is_said_and_may_have_acted),
		TEST(a_body_that_was_not_read_whole_was_not_sent),
		TEST(answers_that_are_not_http_are_refused),
		TEST(too_much_is_refused),
		TEST(chunks_and_trailers_and_interim_answers_are_read),
		TEST(headers_without_end_are_refused),
		TEST(what_cannot_be_sent_is_refused_at_once),
		TEST(a_cancelled_transfer_does_not_call_back),
		TEST(a_callback_may_cancel_send_and_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
