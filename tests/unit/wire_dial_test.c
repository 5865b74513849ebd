/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

#include "base/listen.h"
#include "wire/dial.h"

#define WITHIN_NS (5 * NS_PER_S)

struct call {
	struct loop *loop;
	struct dial *dial;
	unsigned calls;
	int fd;
	char reason[128];
};

static int setup(void **state)
{
	struct call *call = calloc(1, sizeof(*call));

	*state = call;
	call->fd = -1;
	return loop_new(&call->loop);
}

static int teardown(void **state)
{
	struct call *call = *state;

	dial_free(call->dial);
	close_descriptor(&call->fd);
	loop_free(call->loop);
	free(call);
	return 0;
}

static void on_done(void *arg, int fd, const char *reason)
{
	struct call *call = arg;

	call->calls++;
	call->fd = fd;
	snprintf(call->reason, sizeof(call->reason), "%s", reason ? reason : "");
}

static void dial(struct call *call, const char *host, uint16_t port)
{
	uint64_t end_ns = time_mono_ns() + WITHIN_NS;

	assert_int_equal(dial_new(call->loop, host, port, on_done, call, &call->dial), 0);
	assert_int_equal(call->calls, 0); /* never from inside dial_new() */
	while (!call->calls && time_mono_ns() < end_ns)
		assert_int_equal(loop_round(call->loop, 20), 0);
	assert_int_equal(call->calls, 1);
	assert_int_equal(loop_round(call->loop, 0), 0);
	assert_int_equal(call->calls, 1);
}

static int listen_on(const char *address, uint16_t *port)
{
	int fd = listen_at(address, 4, port);

	assert_true(fd >= 0);
	return fd;
}

static void who_listens_is_reached_by_address_and_by_name(void **state)
{
	static const char *const hosts[] = {"127.0.0.1", "localhost"};

	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		struct call *call = *state;
		uint16_t port;
		_cleanup_close_ int fd = listen_on("127.0.0.1:0", &port);
		_cleanup_close_ int accepted = -1;

		dial(call, hosts[i], port);
		assert_true(call->fd >= 0);
		accepted = accept(fd, NULL, NULL);
		assert_true(accepted >= 0);
		assert_int_equal(send(call->fd, "x", 1, 0), 1);
		teardown(state);
		setup(state);
	}
}

static void nobody_there_is_said_so(void **state)
{
	struct call *call = *state;
	uint16_t port;
	int fd = listen_on("127.0.0.1:0", &port);

	close(fd);
	dial(call, "127.0.0.1", port);
	assert_int_equal(call->fd, -1);
	assert_string_equal(call->reason, "Connection refused");
}

/* The thread that looks the name up outlives the dial and must not touch it. */
static void a_dial_is_given_up_while_its_name_is_looked_up(void **state)
{
	struct call *call = *state;

	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(dial_new(call->loop, "localhost", 1, on_done, call, &call->dial),
				 0);
		dial_free(TAKE(call->dial));
	}
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(loop_round(call->loop, 10), 0);
	assert_int_equal(call->calls, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_listens_is_reached_by_address_and_by_name,
						setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_there_is_said_so, setup, teardown),
		cmocka_unit_test_setup_teardown(a_dial_is_given_up_while_its_name_is_looked_up,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
