/* SPDX-License-Identifier: Apache-2.0 */
/* What a core bears, and who has to go when it is more. */
#include "wire_sides.h"

static void a_core_takes_so_many_connections_and_no_more(void **state)
{
	struct side *side = *state;
	struct wire_agent *first;

	side->server_config.connections_max = 1;
	connect_both(side);
	first = TAKE(side->agent);
	side->agent_config.host = "web-2";
	start_agent(side);
	run_until(side, &side->losses, 1);
	assert_string_equal(side->lost, "the core has as many connections as it takes");
	assert_int_equal(side->leaves, 0);
	wire_agent_free(first);
}

static void a_core_keeps_so_much_of_its_agents_and_no_more(void **state)
{
	struct side *side = *state;

	side->server_config.memory_max = 4096;
	connect_both(side);
	send_frame(side, FRAME_TICK, LISTENERS, 1);
	run_until(side, &side->losses, 1);
	assert_string_equal(side->lost, "the core keeps as much of its agents as it may");
	assert_string_equal(side->left, side->lost);
	assert_int_equal(side->frames, 0);
}

/* Nobody crowds out the others by saying much. */
static void who_has_the_most_makes_room(void **state)
{
	struct side *side = *state;
	struct wire_agent *first;

	side->server_config.memory_max = 7000;
	connect_both(side);
	send_frame(side, FRAME_TICK, LISTENERS, 1);
	run_until(side, &side->frames, 1);
	first = TAKE(side->agent);
	side->agent_config.host = "web-2";
	start_agent(side);
	run_until(side, &side->connected, 2);
	snprintf(side->host, sizeof(side->host), "web-1"); /* of whom leaving is expected */
	send_frame(side, FRAME_TICK, 2, 1);
	run_until(side, &side->leaves, 1);
	assert_string_equal(side->left, "the core keeps as much of its agents as it may");
	run_until(side, &side->frames, 2);
	assert_string_equal(side->last.host, "web-2");
	wire_agent_free(first);
}

static void a_flood_of_frames_ends_its_connection(void **state)
{
	struct side *side = *state;

	side->server_config.frames_per_second_max = 2;
	connect_both(side);
	for (unsigned i = 0; i < 30; i++)
		send_frame(side, FRAME_TICK, 1, i);
	run_until(side, &side->losses, 1);
	assert_string_equal(side->lost, "the agent says too much");
	assert_string_equal(side->left, side->lost);
	assert_in_range(side->frames, 15, 22); /* 20 at once, the hello counts */
}

/* Pings keep what is idle alive, on both sides. */
static void silence_that_both_keep_is_none(void **state)
{
	struct side *side = *state;
	uint64_t end_ns = time_mono_ns() + 500 * NS_PER_MS;

	side->server_config.silent_after_ns = 150 * NS_PER_MS;
	connect_both(side);
	while (time_mono_ns() < end_ns)
		assert_int_equal(loop_round(side->loop, 10), 0);
	assert_int_equal(side->losses + side->leaves, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_core_takes_so_many_connections_and_no_more, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_core_keeps_so_much_of_its_agents_and_no_more,
						setup, teardown),
		cmocka_unit_test_setup_teardown(who_has_the_most_makes_room, setup, teardown),
		cmocka_unit_test_setup_teardown(a_flood_of_frames_ends_its_connection, setup,
						teardown),
		cmocka_unit_test_setup_teardown(silence_that_both_keep_is_none, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
