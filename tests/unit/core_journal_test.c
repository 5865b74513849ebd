/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exactly once: whatever line of the journal was the last to reach the disk, and whatever became of
 * the calls, afterwards EC2 has what was decided, no more and no less.
 */
#include "core_world.h"

static uint64_t seed;

static uint32_t random_below(uint32_t bound)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 33) % bound;
}

static void journal_cut(struct world *world, size_t lines)
{
	while (world->journal.count > lines) {
		free(world->journal.at[world->journal.count - 1]);
		world->journal.count--;
		world->synced.count--;
	}
}

/* Lets everything come to its end: answers, retries, views. */
static void settle(struct world *world)
{
	world->fault = (struct fault){.at_most = UINT32_MAX};
	for (int i = 0; i < 40; i++) {
		while (world_answer(world))
			;
		while (world_answer_terminate(world, 0))
			;
		world_advance(world, 5 * NS_PER_S);
		core_tick(world->core, world->now);
		while (world_answer(world))
			;
		world_describe(world);
	}
}

/* What the decisions say was launched, and not terminated since, is what EC2 has. */
static void assert_exact(struct world *world, const char *what)
{
	const struct decision *decision;
	uint32_t launched = 0;
	int32_t current;

	for (size_t i = 0; (decision = core_decision(world->core, i)); i++) {
		if (decision->kind != DECISION_SCALE_UP)
			continue;
		launched += decision->launched;
		if (!decision->closed)
			fail_msg("%s: decision %s is still open", what, decision->id);
		if ((int32_t)(decision->launched + decision->failed) !=
		    decision->replicas_decided - decision->replicas_before)
			fail_msg("%s: %s: %u launched and %u failed of %d", what, decision->id,
				 decision->launched, decision->failed,
				 decision->replicas_decided - decision->replicas_before);
	}
	if (launched != world->instances.count)
		fail_msg("%s: EC2 launched %zu, decided and launched were %u", what,
			 world->instances.count, launched);
	if (world->mismatches)
		fail_msg("%s: a token came with other parameters", what);
	/* Told of the present, it lets go what it does not need, and counts the same. */
	world_run(world, 300 * NS_PER_MS);
	assert_int_equal(world->called.count, 0);
	while (world_answer_terminate(world, 0))
		;
	world_describe(world);
	world_run(world, 100 * NS_PER_MS);
	current = world_policy(world)->replicas;
	if (current != 1 + (int32_t)ec2_alive(world))
		fail_msg("%s: the core counts %d replicas, EC2 has %u", what, current - 1,
			 ec2_alive(world));
}

/* One story with everything in it: partial, no capacity, a second decision, a scale-down. */
static void story(struct world *world)
{
	world_new(world);
	world_queue(world, 35);
	world_run(world, 100 * NS_PER_MS);
	world->fault.at_most = 2;
	world_answer(world);
	world->fault.at_most = UINT32_MAX;
	world_answer(world);
	world_run(world, NS_PER_S);
	world_describe(world);
	world_queue(world, 55);
	world_run(world, 100 * NS_PER_MS);
	world->fault.no_capacity = true;
	world_answer(world);
	world->fault.no_capacity = false;
	world_answer(world);
	for (int i = 0; i < 60; i++) {
		world_run(world, NS_PER_S);
		world_describe(world);
	}
	world_queue(world, 0);
	world_run(world, 70 * NS_PER_S);
	while (world_answer_terminate(world, 0))
		;
	world_describe(world);
}

static void the_story_is_what_it_should_be(void **state)
{
	struct world world;

	(void)state;
	story(&world);
	assert_int_equal(world.instances.count, 5);
	assert_int_equal(ec2_alive(&world), 0);
	assert_int_equal(world.terminate_calls, 1);
	settle(&world);
	assert_exact(&world, "the story");
	world_free(&world);
}

static bool line_orders(const char *line, const char *token)
{
	char field[96];

	snprintf(field, sizeof(field), "\"token\":\"%s\"", token);
	return strstr(line, "\"t\":\"order\"") && strstr(line, field);
}

/* EC2 has nothing of what was ordered behind the last line; the order of the last line itself may
 * have been called or not. */
static void ec2_forget_after(struct world *world, bool last_reached)
{
	size_t lines = world->journal.count - (world->journal.count && !last_reached);

	for (size_t i = world->tokens.count; i-- > 0;) {
		struct ec2_token *token = &world->tokens.at[i];
		bool asked = false;

		for (size_t l = 0; l < lines; l++)
			asked |= line_orders(world->journal.at[l], token->token);
		if (asked)
			continue;
		for (size_t n = world->instances.count; n-- > 0;)
			if (strcmp(world->instances.at[n].view.token, token->token) == 0)
				vec_remove(&world->instances, n);
		launch_result_free(&token->result);
		vec_remove(&world->tokens, i);
	}
}

/* The process dies with any number of lines written, and starts again with the world as it was
 * then: a call after its line may or may not have reached EC2. */
static void a_crash_after_any_line_leaves_what_was_decided(void **state)
{
	struct world whole;
	size_t lines;

	(void)state;
	story(&whole);
	lines = whole.journal.count;
	world_free(&whole);
	assert_true(lines > 30);
	for (size_t cut = 0; cut <= lines; cut++) {
		for (int reached = 0; reached < 2; reached++) {
			struct world world;
			char what[64];

			story(&world);
			journal_cut(&world, cut);
			snprintf(what, sizeof(what), "cut after line %zu of %zu", cut, lines);
			ec2_forget_after(&world, reached);
			world_crash(&world);
			world_restart(&world);
			world_queue(&world, 0);
			settle(&world);
			assert_exact(&world, what);
			world_free(&world);
		}
	}
}

static void random_fault(struct world *world)
{
	world->fault = (struct fault){.at_most = UINT32_MAX};
	switch (random_below(9)) {
	case 0:
		world->fault.lose_before = true;
		break;
	case 1:
		world->fault.lose_after = true;
		break;
	case 2:
		world->fault.unknown_state = true;
		break;
	case 3:
		world->fault.throttle = true;
		break;
	case 4:
		world->fault.at_most = random_below(3);
		break;
	case 5:
		world->fault.no_capacity = true;
		break;
	case 6:
		world->fault.refuse = random_below(3) == 0;
		break;
	default:
		break;
	}
}

/* Calls that were under way may have their effect all the same. */
static void some_calls_arrive(struct world *world)
{
	vec_for_each (order, &world->called)
		if (random_below(2))
			ec2_create_fleet(world, order);
}

static void random_step(struct world *world)
{
	switch (random_below(10)) {
	case 0:
		world_queue(world, random_below(80));
		break;
	case 1:
	case 2:
		world_describe(world);
		break;
	case 3:
	case 4:
	case 5:
		random_fault(world);
		world_answer(world);
		break;
	case 6:
		world_answer_terminate(world, random_below(2) ? 0 : -EAGAIN);
		break;
	case 7:
		if (random_below(3) == 0) {
			random_fault(world);
			some_calls_arrive(world);
			if (random_below(2))
				world_rewrite(world);
			world_crash(world);
			world_advance(world, random_below(20) * NS_PER_S);
			world_restart(world);
		}
		break;
	default:
		world_run(world, random_below(20) * 100 * NS_PER_MS);
		break;
	}
}

static void no_schedule_of_faults_and_crashes_launches_twice(void **state)
{
	uint64_t launched = 0;

	(void)state;
	for (uint64_t run = 1; run <= 1500; run++) {
		struct world world;
		char what[48];

		seed = run * 0x9e3779b97f4a7c15ULL;
		snprintf(what, sizeof(what), "seed %llu", (unsigned long long)run);
		world_init(&world, WORLD_YAML, WORLD_POOL);
		world.config.limits.launches_per_minute = 1000;
		world.visible_after_ns = random_below(60) * NS_PER_S;
		world.boot_ns = random_below(40) * NS_PER_S;
		world_start(&world);
		world_run(&world, 300 * NS_PER_MS);
		for (int i = 0; i < 60; i++)
			random_step(&world);
		world_queue(&world, 0);
		settle(&world);
		assert_exact(&world, what);
		launched += world.instances.count;
		world_free(&world);
	}
	assert_true(launched > 1500);
}

static void everything_told(struct world *world, struct text *out)
{
	const struct decision *decision;
	struct core_totals totals;
	struct core_times times;

	core_totals(world->core, &totals);
	core_times(world->core, world->now, &times);
	text_printf(out, "%llu decisions, %llu launched, %llu terminated, lead %.9f of %llu, ",
		    (unsigned long long)totals.decisions,
		    (unsigned long long)totals.instances_launched,
		    (unsigned long long)totals.terminations, totals.lead_time_seconds,
		    (unsigned long long)totals.lead_times_learned);
	text_printf(out, "served %llu in %.9f, %llu interrupted, %.9f usd\n",
		    (unsigned long long)times.served, times.latency_p95,
		    (unsigned long long)times.spot_interruptions, times.usd_before_serving);
	for (size_t i = 0; (decision = core_decision(world->core, i)); i++)
		decision_json(decision, out);
	core_state_write(world->core, false, out);
}

/* A core that read the short journal knows what one that read the long one does. */
static void the_short_journal_says_what_the_long_one_did(void **state)
{
	_cleanup_text_ struct text of_long = {0}, of_short = {0};
	struct world world;
	size_t lines;

	(void)state;
	story(&world);
	world_crash(&world);
	world_core(&world);
	world_replay(&world);
	everything_told(&world, &of_long);
	lines = world.journal.count;
	world_rewrite(&world);
	assert_true(world.journal.count < lines);
	world_crash(&world);
	world_core(&world);
	world_replay(&world);
	everything_told(&world, &of_short);
	assert_string_equal(of_long.data, of_short.data);
	world_free(&world);
}

static void nothing_is_launched_when_the_journal_fails(void **state)
{
	struct world world;

	(void)state;
	for (size_t more = 0; more < 2; more++) {
		world_new(&world);
		world.journal_fails_at = world.journal.count + more;
		world_queue(&world, 35);
		world_run(&world, 5 * NS_PER_S);
		assert_int_equal(world.launch_calls, 0);
		assert_non_null(strstr(world_policy(&world)->held, "journal"));
		world_free(&world);
	}
}

/* Nor asked again: the core that cannot remember stops acting. */
static void a_failed_journal_stops_retries(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world_queue(&world, 35);
	world_run(&world, 100 * NS_PER_MS);
	world.journal_fails_at = world.journal.count;
	world.fault.lose_before = true;
	world_answer(&world);
	world_run(&world, 60 * NS_PER_S);
	assert_int_equal(world.launch_calls, 1);
	world_free(&world);
}

static void the_same_order_is_asked_for_after_a_restart(void **state)
{
	struct world world;
	uint64_t print;

	(void)state;
	world_new(&world);
	world_queue(&world, 35);
	world_run(&world, 100 * NS_PER_MS);
	print = order_print(&world.called.at[0]);
	world_crash(&world);
	world_advance(&world, 10 * NS_PER_S);
	world_restart(&world);
	assert_int_equal(world.called.count, 1);
	assert_true(order_print(&world.called.at[0]) == print);
	world_free(&world);
}

static void an_order_of_a_policy_that_was_removed_is_not_asked_for_again(void **state)
{
	_cleanup_text_ struct text renamed = {0};
	struct world world;

	(void)state;
	world_new(&world);
	world_queue(&world, 35);
	world_run(&world, 100 * NS_PER_MS);
	world.fault.lose_before = true;
	world_answer(&world);
	world_crash(&world);
	documents_free(&world.documents);
	text_add_bytes(&renamed, WORLD_YAML,
		       (size_t)(strstr(WORLD_YAML, "name: web") - WORLD_YAML));
	text_add(&renamed, "name: other");
	text_add(&renamed, strstr(WORLD_YAML, "name: web") + strlen("name: web"));
	world_documents(&world, renamed.data, WORLD_POOL);
	world_queue(&world, 0);
	world_restart(&world);
	for (int i = 0; i < 400; i++) {
		world_run(&world, NS_PER_S);
		world_describe(&world);
	}
	assert_int_equal(world.called.count, 0);
	assert_int_equal(world.instances.count, 0);
	assert_true(world_decision(&world, 0)->closed);
	assert_int_equal(world_policy(&world)->replicas, 1);
	world_free(&world);
}

/* EC2 may have forgotten the token of an order from yesterday: then its tags are looked for. */
static void an_old_order_is_not_asked_for_again(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world_queue(&world, 35);
	world_run(&world, 100 * NS_PER_MS);
	world.fault.lose_after = true;
	world_answer(&world);
	world_crash(&world);
	world_advance(&world, 13 * 3600 * NS_PER_S);
	world_queue(&world, 0);
	world_restart(&world);
	assert_int_equal(world.called.count, 0);
	world_describe(&world);
	assert_int_equal(world_decision(&world, 0)->launched, 3);
	world_run(&world, NS_PER_S);
	assert_int_equal(world_policy(&world)->replicas, 4);
	world_free(&world);
}

/* The same without a restart: AWS was out of reach for a day. */
static void an_order_that_grows_old_is_not_asked_for_again(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world_queue(&world, 35);
	world_run(&world, 100 * NS_PER_MS);
	world.fault.lose_after = true;
	world_answer(&world);
	world.fault = (struct fault){.lose_before = true, .at_most = UINT32_MAX};
	for (int i = 0; i < 25 * 60; i++) {
		world_run(&world, NS_PER_S);
		world_advance(&world, 59 * NS_PER_S);
		while (world_answer(&world))
			;
	}
	/* EC2 knows the token no more, and can be reached again. */
	vec_for_each (token, &world.tokens)
		launch_result_free(&token->result);
	vec_clear(&world.tokens);
	world.fault = (struct fault){.at_most = UINT32_MAX};
	for (int i = 0; i < 60; i++) {
		world_run(&world, NS_PER_S);
		while (world_answer(&world))
			;
		world_describe(&world);
	}
	assert_int_equal(world.instances.count, 3);
	assert_int_equal(world_policy(&world)->replicas, 4);
	world_free(&world);
}

static void ids_are_never_given_twice(void **state)
{
	struct world world;
	char first[48];

	(void)state;
	world_new(&world);
	world_queue(&world, 35);
	world_run(&world, 100 * NS_PER_MS);
	memcpy(first, world_decision(&world, 0)->id, sizeof(first));
	assert_true(strlen(first) <= 40 && str_starts(first, "fr-"));
	assert_int_equal(strspn(first, "abcdefghijklmnopqrstuvwxyz0123456789-"), strlen(first));
	while (world_answer(&world))
		;
	world_crash(&world);
	world.now.wall_ns -= 3600 * NS_PER_S; /* a clock that was set back */
	world_restart(&world);
	world_describe(&world);
	world_queue(&world, 55);
	world_run(&world, 2 * NS_PER_S);
	assert_string_not_equal(world_decision(&world, 0)->id, first);
	assert_true(world.launch_calls == 2);
	world_free(&world);
}

static void a_journal_that_makes_no_sense_is_refused(void **state)
{
	static const char *const lines[] = {
		"",
		"[]",
		"{\"v\":1",
		"{\"v\":2,\"t\":\"decision\"}",
		"{\"v\":1}",
		"{\"v\":1,\"t\":\"nonsense\"}",
		"{\"v\":1,\"t\":\"decision\",\"id\":\"\"}",
		"{\"v\":1,\"t\":\"decision\",\"id\":\"fr-1\",\"kind\":\"sideways\"}",
		"{\"v\":1,\"t\":\"order\",\"decision\":\"fr-1\",\"token\":\"fr-1\"}",
		"{\"v\":1,\"t\":\"result\",\"token\":\"fr-1\"}",
		"{\"v\":1,\"t\":\"terminate\",\"decision\":\"fr-1\"}",
		"{\"v\":1,\"t\":\"lane\",\"key\":\"123\"}",
		"{\"v\":1,\"t\":\"known\",\"id\":\"\"}",
		"{\"v\":1,\"t\":\"record\",\"decision\":\"fr-1\"}",
	};
	struct world world;
	char reason[160];

	(void)state;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	world_core(&world);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		assert_int_equal(core_replay(world.core, lines[i], strlen(lines[i]), reason),
				 -EBADMSG);
		assert_true(strlen(reason) > 0);
	}
	world_free(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_story_is_what_it_should_be),
		cmocka_unit_test(a_crash_after_any_line_leaves_what_was_decided),
		cmocka_unit_test(no_schedule_of_faults_and_crashes_launches_twice),
		cmocka_unit_test(the_short_journal_says_what_the_long_one_did),
		cmocka_unit_test(nothing_is_launched_when_the_journal_fails),
		cmocka_unit_test(a_failed_journal_stops_retries),
		cmocka_unit_test(the_same_order_is_asked_for_after_a_restart),
		cmocka_unit_test(an_order_of_a_policy_that_was_removed_is_not_asked_for_again),
		cmocka_unit_test(an_old_order_is_not_asked_for_again),
		cmocka_unit_test(an_order_that_grows_old_is_not_asked_for_again),
		cmocka_unit_test(ids_are_never_given_twice),
		cmocka_unit_test(a_journal_that_makes_no_sense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
