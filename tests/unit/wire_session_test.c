/* SPDX-License-Identifier: Apache-2.0 */
#include "wire_sides.h"

/* ---- tests ---- */

static void what_is_sent_arrives_whole(void **state)
{
	struct side *side = *state;

	connect_both(side);
	assert_int_equal(side->joins, 1);
	assert_string_equal(side->host, "web-1");
	assert_int_equal(side->interests, 1);
	send_frame(side, FRAME_TICK, LISTENERS, 7);
	run_until(side, &side->frames, 1);
	assert_int_equal(side->last.count, LISTENERS);
	assert_string_equal(side->last.host, "web-1");
	assert_string_equal(side->last.instance_id, "i-0123456789abcdef0");
	assert_string_equal(side->last.services, "api,web");
	assert_true(side->seen[0].value[METRIC_ACCEPT_QUEUE_DEPTH][STAT_LAST] == 7);
	assert_true(side->seen[2].value[METRIC_CPU_CORES][STAT_TREND] ==
		    METRIC_CPU_CORES * 10 + STAT_TREND + 2 / 3.0);
	assert_string_equal(side->seen[1].owner.name, "web-1.service");

	send_frame(side, FRAME_EDGE, LISTENERS - 1, 9);
	run_until(side, &side->frames, 2);
	assert_int_equal(side->last.kind, FRAME_EDGE);
	assert_int_equal(side->last.count, LISTENERS - 1);
	assert_true(side->seen[0].value[METRIC_ACCEPT_QUEUE_DEPTH][STAT_LAST] == 9);
	assert_true(side->last.edge_ns <= time_mono_ns());
	assert_true(side->last.edge_ns >= time_mono_ns() - NS_PER_S);
}

static void an_agent_that_is_asked_sends(void **state)
{
	struct side *side = *state;

	connect_both(side);
	wire_server_poll(side->server);
	run_until(side, &side->polls, 1);
}

static void certificates_let_in_as_a_key_does(void **state)
{
	struct side *side = *state;

	use_certificates(side, "127.0.0.1", "web-1");
	connect_both(side);
	send_frame(side, FRAME_TICK, LISTENERS, 1);
	run_until(side, &side->frames, 1);
	assert_string_equal(side->last.host, "web-1");
}

static void a_host_speaks_for_itself_alone(void **state)
{
	struct side *side = *state;

	use_certificates(side, "127.0.0.1", "web-2");
	start_server(side);
	start_agent(side);
	run_until(side, &side->losses, 1);
	assert_string_equal(side->lost, "its certificate or key is not for host web-1");
	assert_int_equal(side->joins, 0);
}

static void a_core_under_another_name_is_not_spoken_to(void **state)
{
	struct side *side = *state;

	use_certificates(side, "core.example", "web-1");
	start_server(side);
	start_agent(side);
	run_until(side, &side->losses, 1);
	assert_string_equal(side->lost, "the other side's certificate is refused: IP address "
					"mismatch");
	assert_int_equal(side->joins, 0);
}

static void what_is_of_interest_changes_while_connected(void **state)
{
	struct side *side = *state;
	struct wire_interest interest = {.statistics[METRIC_ACCEPT_QUEUE_DEPTH] = 1 << STAT_LAST};

	connect_both(side);
	send_frame(side, FRAME_TICK, LISTENERS, 7);
	run_until(side, &side->frames, 1);
	wire_server_interest(side->server, &interest);
	run_until(side, &side->interests, 2);
	send_frame(side, FRAME_TICK, LISTENERS, 8);
	run_until(side, &side->frames, 2);
	assert_true(side->seen[0].value[METRIC_ACCEPT_QUEUE_DEPTH][STAT_LAST] == 8);
	assert_true(isnan(side->seen[0].value[METRIC_CPU_CORES][STAT_LAST]));
	interest.statistics[METRIC_CPU_CORES] = 1 << STAT_LAST;
	wire_server_interest(side->server, &interest);
	run_until(side, &side->interests, 3);
	send_frame(side, FRAME_TICK, LISTENERS, 9);
	run_until(side, &side->frames, 3);
	assert_true(side->seen[0].value[METRIC_ACCEPT_QUEUE_DEPTH][STAT_LAST] == 9);
	assert_true(side->seen[0].value[METRIC_CPU_CORES][STAT_LAST] == METRIC_CPU_CORES * 10);
}

static void who_is_not_admitted_learns_why(void **state)
{
	struct side *side = *state;
	struct wire_server_status status;

	side->admit = -EACCES;
	start_server(side);
	start_agent(side);
	run_until(side, &side->losses, 2);
	assert_string_equal(side->lost, "not this one");
	assert_int_equal(side->joins + side->leaves + side->connected, 0);
	wire_server_status(side->server, &status);
	assert_true(status.refused >= 2);
	assert_int_equal(status.handshakes_failed, 0);
}

static void who_stops_says_so(void **state)
{
	struct side *side = *state;

	connect_both(side);
	wire_agent_free(TAKE(side->agent));
	run_until(side, &side->leaves, 1);
	assert_string_equal(side->left, "the agent stops");
	start_agent(side);
	run_until(side, &side->connected, 2);
	wire_server_free(TAKE(side->server));
	run_until(side, &side->losses, 1);
	assert_string_equal(side->lost, "the core stops");
}

/* Frames that nobody takes: the newest is sent when somebody does, and an edge is not lost. */
static void what_was_missed_is_the_newest_and_an_edge(void **state)
{
	struct side *side = *state;
	struct wire_agent_status status;

	side->sends_when_connected = true;
	start_server(side);
	start_agent(side);
	send_frame(side, FRAME_TICK, LISTENERS, 1);
	send_frame(side, FRAME_EDGE, LISTENERS, 2);
	run_until(side, &side->frames, 1);
	assert_int_equal(side->last.kind, FRAME_EDGE);
	assert_true(side->seen[0].value[METRIC_ACCEPT_QUEUE_DEPTH][STAT_LAST] == 3);
	assert_true(side->last.edge_ns <= time_mono_ns() - NS_PER_MS); /* it waited */
	send_frame(side, FRAME_TICK, LISTENERS, 4);
	run_until(side, &side->frames, 2);
	assert_int_equal(side->last.kind, FRAME_TICK);
	wire_agent_status(side->agent, &status);
	assert_int_equal(status.replaced, 2);
	assert_int_equal(status.frames, 2);
	assert_int_equal(status.edges, 1);
}

static void bad_keys_are_named(void **state)
{
	struct side *side = *state;
	char reason[WIRE_REASON_SIZE];
	const struct wire_agent_events nothing = {0};

	side->agent_config.address = "127.0.0.1";
	write_text(side->shared_key, "00ff");
	assert_int_equal(
		wire_agent_new(side->loop, &side->agent_config, &nothing, &side->agent, reason),
		-EINVAL);
	assert_non_null(strstr(reason, "/shared: one line of 64 hex digits is expected"));
	side->agent_config.auth.shared_key_file = NULL;
	assert_int_equal(
		wire_agent_new(side->loop, &side->agent_config, &nothing, &side->agent, reason),
		-EINVAL);
	side->agent_config.auth.ca_file = side->agent_config.auth.certificate_file =
		side->agent_config.auth.key_file = "/nowhere";
	assert_int_equal(
		wire_agent_new(side->loop, &side->agent_config, &nothing, &side->agent, reason),
		-ENOENT);
	assert_string_equal(reason, "cannot read the CA's certificate /nowhere: No such file or "
				    "directory");
	side->agent_config.address = "[::1";
	assert_int_equal(
		wire_agent_new(side->loop, &side->agent_config, &nothing, &side->agent, reason),
		-EINVAL);
	assert_string_equal(reason, "[::1 is no address of a core: HOST or HOST:PORT");
	side->agent = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_sent_arrives_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(an_agent_that_is_asked_sends, setup, teardown),
		cmocka_unit_test_setup_teardown(certificates_let_in_as_a_key_does, setup, teardown),
		cmocka_unit_test_setup_teardown(a_host_speaks_for_itself_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(a_core_under_another_name_is_not_spoken_to, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_is_of_interest_changes_while_connected, setup,
						teardown),
		cmocka_unit_test_setup_teardown(who_is_not_admitted_learns_why, setup, teardown),
		cmocka_unit_test_setup_teardown(who_stops_says_so, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_missed_is_the_newest_and_an_edge, setup,
						teardown),
		cmocka_unit_test_setup_teardown(bad_keys_are_named, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
