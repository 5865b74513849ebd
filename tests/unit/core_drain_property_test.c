/* SPDX-License-Identifier: Apache-2.0 */
/* Stories of instances that go, drawn from a seed: chosen for any reason, called back, interrupted,
 * refused; the core dies with and without its disk. Whatever happens, nothing is terminated that a
 * target group still sends to, and in the end the policy has what it wants. */
#include "core_drain.h"

#define STORIES 25
#define STEPS 40

static uint64_t seed;

static uint32_t random_below(uint32_t below)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(seed >> 33) % below;
}

/* Asked in the moment of the call, before anybody answers. */
static void nothing_answers_that_is_terminated(const struct drain_world *at)
{
	vec_for_each (order, &at->world.terminating)
		vec_for_each (instance, &order->instances)
			if (group_has(at, instance->id))
				fail_msg("story seed %llx: %s of %s", (unsigned long long)seed,
					 instance->id, order->decision);
}

static void a_second(struct drain_world *at)
{
	struct world *world = &at->world;

	for (int i = 0; i < 10; i++) {
		world_advance(world, 100 * NS_PER_MS);
		for (size_t n = 0; n < world->instances.count; n++)
			if (world->instances.at[n].view.state == INSTANCE_RUNNING)
				drain_report(at, n, 0);
		core_tick(world->core, world->now);
		nothing_answers_that_is_terminated(at);
		while (world_answer(world) || world_answer_terminate(world, 0) ||
		       drain_answer_mark(at) || drain_answer_targets(at))
			nothing_answers_that_is_terminated(at);
	}
	world_describe(world);
}

static struct instance *anyone(struct drain_world *at)
{
	uint32_t n = random_below((uint32_t)at->world.instances.count);

	return instance_find(at->world.core, id_of(at, n));
}

static void choose(struct drain_world *at)
{
	const struct retire_request request = {
		.reason = (enum retire_reason)random_below(RETIRE_TAGGED),
		.replacing = (enum replacing)random_below(3),
		.why = "a story wants it"};
	struct instance *instance = anyone(at);

	if (instance && !instance->gone)
		retire_begin(at->world.core, instance, &request, at->world.now);
}

static void interrupt(struct drain_world *at)
{
	struct notice notice = {.kind = (enum notice_kind)(1 + random_below(3))};
	struct instance *instance = anyone(at);

	if (notice.kind != NOTICE_REBALANCE)
		notice.when_wall_ms = at->world.now.wall_ns / NS_PER_MS + 120000;
	if (instance)
		core_notice(at->world.core, instance->id, &notice, NOTICE_BY_QUEUE, at->world.now);
}

static void call_back(struct drain_world *at)
{
	struct instance *instance = anyone(at);

	if (instance && !instance->gone)
		retire_cancel(at->world.core, instance, "a story wants it", at->world.now);
}

static void refuse_to_terminate(struct drain_world *at)
{
	nothing_answers_that_is_terminated(at);
	world_answer_terminate(&at->world, random_below(2) ? -EINVAL : -EAGAIN);
}

static void step(struct drain_world *at)
{
	world_advance(&at->world, 20 * NS_PER_MS);
	switch (random_below(12)) {
	case 0:
	case 1:
	case 2:
		choose(at);
		break;
	case 3:
		interrupt(at);
		break;
	case 4:
		call_back(at);
		break;
	case 5:
		refuse_to_terminate(at);
		break;
	case 6:
		drain_restart(at, true);
		break;
	case 7:
		world_rewrite(&at->world);
		drain_restart(at, true);
		break;
	case 8:
		drain_restart(at, false);
		break;
	case 9:
		at->mark_error = random_below(3) ? 0 : -EAGAIN;
		break;
	default:
		for (size_t i = 0; i < ARRAY_SIZE(at->connections); i++)
			at->connections[i] = random_below(3);
	}
	for (uint32_t seconds = random_below(8); seconds; seconds--)
		a_second(at);
}

static void whatever_happens_the_policy_has_what_it_wants(void **state)
{
	(void)state;
	for (unsigned story = 1; story <= STORIES; story++) {
		struct drain_world at;
		struct core_drains drains;

		seed = story;
		drain_new_world(&at, GROUP);
		for (int i = 0; i < STEPS; i++)
			step(&at);
		at.mark_error = 0;
		memset(at.connections, 0, sizeof(at.connections));
		for (int i = 0; i < 900; i++)
			a_second(&at);
		core_drains(at.world.core, &drains);
		if (ec2_alive(&at.world) != 3 || at.registered.count != 3 || drains.draining ||
		    drains.replacing)
			fail_msg("story %u: %u instances, %zu registered, %u drain, %u are "
				 "replaced",
				 story, ec2_alive(&at.world), at.registered.count, drains.draining,
				 drains.replacing);
		vec_for_each (it, &at.world.instances)
			assert_int_equal(group_has(&at, it->view.id),
					 it->view.state == INSTANCE_RUNNING);
		drain_free_world(&at);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_happens_the_policy_has_what_it_wants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
