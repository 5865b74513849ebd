/* SPDX-License-Identifier: Apache-2.0 */
/* What may be bought for whom: the replica's own needs, on demand for those who ask for it, spot as
 * a kept share, a limit on nodes. */
#include "core_world.h"

#include "core/core_private.h"

static uint64_t seed = 0x9e3779b97f4a7c15ULL;

static uint32_t random_below(uint32_t bound)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 33) % bound;
}

static uint32_t alive(const struct world *world, enum capacity_type type)
{
	uint32_t count = 0;

	vec_for_each (it, &world->instances)
		count += it->view.capacity_type == type &&
			 (it->view.state == INSTANCE_PENDING || it->view.state == INSTANCE_RUNNING);
	return count;
}

static void seconds(struct world *world, uint32_t count)
{
	while (count--) {
		world_run(world, NS_PER_S);
		while (world_answer(world) || world_answer_terminate(world, 0))
			;
		world_describe(world);
	}
}

static const char POD[] = "apiVersion: v1\n"
			  "kind: Pod\n"
			  "metadata: {name: big}\n"
			  "spec:\n"
			  "  nodeSelector: {node.kubernetes.io/instance-type: c5.xlarge}\n"
			  "  containers:\n"
			  "  - name: web\n"
			  "    resources: {requests: {cpu: \"3\"}}\n"
			  "---\n";

static void a_replica_is_bought_only_what_it_fits_on(void **state)
{
	_cleanup_text_ struct text pool = {0};
	struct world world;

	(void)state;
	text_add(&pool, POD);
	text_add(&pool, WORLD_POOL);
	world_init(&world, WORLD_YAML, pool.data);
	world.documents.policies.at[0].replica = strdup("big");
	world_start(&world);
	world_queue(&world, 15);
	seconds(&world, 2);
	assert_int_equal(world.instances.count, 1);
	assert_string_equal(world.instances.at[0].view.instance_type, "c5.xlarge");
	world_free(&world);
}

static void a_replica_that_fits_nowhere_says_why(void **state)
{
	_cleanup_text_ struct text pool = {0};
	struct world world;
	char *at;

	(void)state;
	text_add(&pool, POD);
	at = strstr(pool.data, "c5.xlarge");
	memcpy(at, "c5.nothin", 9);
	text_add(&pool, WORLD_POOL);
	world_init(&world, WORLD_YAML, pool.data);
	world.documents.policies.at[0].replica = strdup("big");
	world_start(&world);
	world_queue(&world, 15);
	seconds(&world, 2);
	assert_int_equal(world.instances.count, 0);
	assert_non_null(strstr(world_policy(&world)->held, "nothing to buy for a replica (big)"));
	world_free(&world);
}

static void who_asks_for_it_gets_on_demand(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	world.documents.policies.at[0].on_demand = true;
	world_start(&world);
	world_queue(&world, 35);
	seconds(&world, 2);
	assert_int_equal(alive(&world, CAPACITY_ON_DEMAND), 3);
	assert_int_equal(alive(&world, CAPACITY_SPOT), 0);
	world_free(&world);
}

static void nodes_are_limited(void **state)
{
	struct resource_amount *limit;
	struct world world;

	(void)state;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	limit = vec_push(&world.documents.pools.at[0].limits.list);
	*limit = (struct resource_amount){strdup("nodes"), 2};
	world_start(&world);
	world_queue(&world, 95);
	seconds(&world, 30);
	assert_int_equal(ec2_alive(&world), 2);
	assert_non_null(strstr(world_policy(&world)->held, "limits nodes to 2"));
	world_free(&world);
}

static void reserved_class(struct world *world, uint32_t available)
{
	static const struct subnet subnets[] = {{"subnet-a", "us-east-1a", 200}};
	static const struct launch_template templates[] = {
		{.architecture = ARCH_AMD64, .capacity_type = CAPACITY_SPOT, .name = "spot"},
		{.architecture = ARCH_AMD64,
		 .capacity_type = CAPACITY_RESERVED,
		 .name = "reserved",
		 .reservation = "cr-1"}};
	const struct capacity_reservation reservations[] = {{.id = "cr-1",
							     .instance_type = "m5.large",
							     .zone = "us-east-1a",
							     .available = available}};
	const struct class_view view = {.name = "web",
					.ready = true,
					.subnets = subnets,
					.subnets_count = 1,
					.templates = templates,
					.templates_count = 2,
					.reservations = reservations,
					.reservations_count = 1};

	core_class(world->core, &view);
}

static void what_is_reserved_is_used_first(void **state)
{
	_cleanup_text_ struct text pool = {0};
	struct world world;
	char *at;

	(void)state;
	text_add(&pool, WORLD_POOL);
	at = strstr(pool.data, "values: [on-demand, spot]");
	memcpy(at, "values: [reserved , spot]", strlen("values: [reserved , spot]"));
	world_init(&world, WORLD_YAML, pool.data);
	vec_push(&world.documents.classes.at[0].reservations)->id = strdup("cr-1");
	world_start(&world);
	reserved_class(&world, 2);
	world_run(&world, NS_PER_S);
	world_queue(&world, 45);
	world_run(&world, 100 * NS_PER_MS);
	assert_int_equal(world.called.count, 1);
	assert_int_equal(world.called.at[0].capacity_type, CAPACITY_RESERVED);
	assert_int_equal(world.called.at[0].count, 2);
	assert_string_equal(world.called.at[0].overrides.at[0].launch_template, "reserved");
	world_answer(&world);
	/* The rest at once, in the same decision. */
	assert_int_equal(world.called.count, 1);
	assert_int_equal(world.called.at[0].capacity_type, CAPACITY_SPOT);
	assert_int_equal(world.called.at[0].count, 2);
	seconds(&world, 1);
	assert_int_equal(ec2_alive(&world), 4);
	assert_int_equal(core_decision(world.core, 0)->sources[SOURCE_RESERVED].count, 2);
	world_free(&world);
}

/* ---- the share ---- */

static void the_share_is_the_arithmetic_of_the_whole_pool(void **state)
{
	const struct spot_share share = {true, 0.7, 0.8};

	(void)state;
	assert_int_equal(spot_of(&share, 0, 0, 10), 8);
	assert_int_equal(spot_of(&share, 10, 8, 10), 8);
	assert_int_equal(spot_of(&share, 10, 10, 10), 6);
	assert_int_equal(spot_of(&share, 10, 0, 10), 10);
	assert_int_equal(spot_of(&share, 20, 20, 2), 0);
	/* One cannot be 75 %: the nearest to the middle. */
	assert_int_equal(spot_of(&share, 0, 0, 1), 1);
	assert_int_equal(spot_of(&share, 1, 1, 1), 1);
	assert_int_equal(spot_of(&share, 2, 2, 1), 0);
}

static void share_world(struct world *world)
{
	world_init(world, WORLD_YAML, WORLD_POOL);
	world->documents.policies.at[0].max_replicas = 1000;
	world->documents.policies.at[0].up.tolerance = 0;
	world->documents.pools.at[0].spot_share = (struct spot_share){true, 0.7, 0.8};
	world->config.limits.launches_per_minute = 1000;
	world_start(world);
	seconds(world, 1);
}

/* Within the band, or as near as whole instances can be. */
static void assert_share(const struct world *world)
{
	double spot = alive(world, CAPACITY_SPOT), all = ec2_alive(world);

	if (spot < floor(0.7 * all) || spot > ceil(0.8 * all))
		fail_msg("%g of %g are spot", spot, all);
}

static void one_decision_becomes_spot_and_on_demand(void **state)
{
	struct world world;

	(void)state;
	share_world(&world);
	world_queue(&world, 105);
	seconds(&world, 2);
	assert_int_equal(ec2_alive(&world), 10);
	assert_int_equal(alive(&world, CAPACITY_SPOT), 8);
	assert_int_equal(core_decision(world.core, 0)->launched, 10);
	assert_int_equal(core_decision(world.core, 0)->failed, 0);
	world_free(&world);
}

static void without_spot_it_is_on_demand_and_comes_back_later(void **state)
{
	struct world world;

	(void)state;
	share_world(&world);
	/* Every pool of spot fails, one after the other. */
	world_queue(&world, 45);
	world_run(&world, 100 * NS_PER_MS);
	while (world.called.count) {
		world.fault.no_capacity = world.called.at[0].capacity_type == CAPACITY_SPOT;
		world_answer(&world);
	}
	world.fault.no_capacity = false;
	seconds(&world, 2);
	assert_int_equal(alive(&world, CAPACITY_ON_DEMAND), 4);
	seconds(&world, 200);
	world_queue(&world, 165);
	seconds(&world, 3);
	assert_int_equal(ec2_alive(&world), 16);
	assert_int_equal(alive(&world, CAPACITY_SPOT), 12);
	world_free(&world);
}

/* Over launches of any size and losses of any instance, and after each launch. */
static void the_share_is_kept_over_the_life_of_the_pool(void **state)
{
	(void)state;
	for (int run = 0; run < 20; run++) {
		struct world world;
		uint32_t wanted = 0;

		share_world(&world);
		for (int step = 0; step < 25; step++) {
			uint32_t lost = 0, before = ec2_alive(&world);

			vec_for_each (it, &world.instances)
				if (it->view.state == INSTANCE_RUNNING && random_below(8) == 0 &&
				    lost < before / 8) {
					it->view.state = INSTANCE_TERMINATED;
					lost++;
				}
			wanted += lost + random_below(12);
			wanted = MIN(wanted, 120);
			world_queue(&world, 10.0 * (wanted + 1) - 5);
			seconds(&world, 55);
			if (ec2_alive(&world) > before + 2 * lost)
				assert_share(&world);
		}
		assert_int_equal(ec2_alive(&world), wanted);
		world_free(&world);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_replica_is_bought_only_what_it_fits_on),
		cmocka_unit_test(a_replica_that_fits_nowhere_says_why),
		cmocka_unit_test(who_asks_for_it_gets_on_demand),
		cmocka_unit_test(nodes_are_limited),
		cmocka_unit_test(what_is_reserved_is_used_first),
		cmocka_unit_test(the_share_is_the_arithmetic_of_the_whole_pool),
		cmocka_unit_test(one_decision_becomes_spot_and_on_demand),
		cmocka_unit_test(without_spot_it_is_on_demand_and_comes_back_later),
		cmocka_unit_test(the_share_is_kept_over_the_life_of_the_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
