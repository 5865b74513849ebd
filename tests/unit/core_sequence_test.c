/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several cores and one EC2: whoever leads, whatever was lost (a disk, a reply, the lease and its
 * record) and however late a call arrives, EC2 never has more than is wanted, and in the end it has
 * that, and the leader knows every instance.
 */
#include "core_world.h"

#define CORES 2

static uint64_t seed;

static uint32_t random_below(uint32_t bound)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 33) % bound;
}

/* What one run of the test may do. */
struct story {
	bool lease; /* a lease says who leads; else one core does, without any record */
	bool overlap; /* a leader may not have noticed that it is none any more */
	bool lose_disks;
	bool lose_records;
	uint32_t warm; /* size of the pool's warm pool */
	uint64_t late_ns; /* a call that its core has given up arrives within that; 0: never */
};

struct late_call {
	struct launch_order order;
	uint64_t until_ns;
};

struct cluster {
	const struct story *story;
	struct world ec2; /* its core is never made */
	struct world cores[CORES];
	bool leads[CORES];
	int leader; /* by the lease; -1: none */
	uint64_t epoch;
	struct text record;
	VEC(struct late_call) late;
	uint32_t wanted; /* instances */
	char what[64];
};

/* ---- time and demand ---- */

static void cluster_advance(struct cluster *cluster, uint64_t ns)
{
	world_advance(&cluster->ec2, ns);
	for (int i = 0; i < CORES; i++) {
		world_sync(&cluster->cores[i]);
		cluster->cores[i].now = cluster->ec2.now;
	}
}

static void cluster_demand(struct cluster *cluster, uint32_t instances)
{
	cluster->wanted = MAX(cluster->wanted, instances);
	for (int i = 0; i < CORES; i++)
		world_queue(&cluster->cores[i], 10.0 * (cluster->wanted + 1) - 5);
}

/* What runs and is a policy's: what a warm pool prepares is none. */
static uint32_t replicas(const struct cluster *cluster)
{
	uint32_t count = 0;

	vec_for_each (it, &cluster->ec2.instances)
		count += (it->view.state == INSTANCE_PENDING ||
			  it->view.state == INSTANCE_RUNNING) &&
			 strcmp(it->view.policy, "web") == 0;
	return count;
}

static uint32_t at_rest(const struct cluster *cluster)
{
	uint32_t count = 0;

	vec_for_each (it, &cluster->ec2.instances)
		count += it->view.state == INSTANCE_STOPPED;
	return count;
}

static void assert_never_more(struct cluster *cluster)
{
	if (replicas(cluster) > cluster->wanted)
		fail_msg("%s: EC2 has %u replicas, never more than %u were wanted", cluster->what,
			 replicas(cluster), cluster->wanted);
	if (at_rest(cluster) > cluster->story->warm + cluster->wanted)
		fail_msg("%s: %u instances are at rest", cluster->what, at_rest(cluster));
}

/* ---- the lease ---- */

static void lease_renew(struct cluster *cluster)
{
	if (cluster->leader < 0 || !cluster->cores[cluster->leader].core)
		return;
	world_record(&cluster->cores[cluster->leader], &cluster->record);
	assert_true(cluster->record.length < 300000);
}

static void core_stops(struct cluster *cluster, int i)
{
	if (!cluster->leads[i])
		return;
	cluster->leads[i] = false;
	core_yield(cluster->cores[i].core, "the lease was lost", cluster->ec2.now);
}

static void lease_goes_to(struct cluster *cluster, int i)
{
	char reason[160];

	if (!cluster->cores[i].core || cluster->leader == i)
		return;
	if (cluster->leader >= 0 && !(cluster->story->overlap && random_below(3) == 0))
		core_stops(cluster, cluster->leader);
	core_stops(cluster, i); /* one that had not noticed */
	cluster->leader = i;
	cluster->epoch++;
	if (cluster->story->lose_records && random_below(3) == 0)
		text_clear(&cluster->record);
	if (core_lead(cluster->cores[i].core, cluster->epoch,
		      cluster->record.data ? cluster->record.data : "", cluster->ec2.now,
		      reason) < 0)
		fail_msg("%s: %s", cluster->what, reason);
	cluster->leads[i] = true;
	lease_renew(cluster);
}

/* ---- cores that die ---- */

/* Its calls under way are lost, or arrive when nobody waits for the answer. */
static void calls_become_late(struct cluster *cluster, struct world *world)
{
	vec_for_each (order, &world->called) {
		struct late_call *late;

		if (!cluster->story->late_ns || random_below(2))
			continue;
		late = vec_push(&cluster->late);
		order_copy(&late->order, order);
		late->until_ns = world->now.mono_ns + cluster->story->late_ns;
	}
}

/* Whoever would have tagged what it starts is dead. */
static void late_start(struct cluster *cluster, const struct launch_order *order)
{
	struct launch_result result = {0};

	cluster->ec2.fault = (struct fault){.untagged = true, .start_most = UINT32_MAX};
	ec2_start(&cluster->ec2, order, &result);
	launch_result_free(&result);
}

static void late_call_arrives(struct cluster *cluster, size_t at)
{
	struct late_call late = cluster->late.at[at];

	vec_remove(&cluster->late, at);
	if (late.order.starts.count)
		late_start(cluster, &late.order);
	else
		ec2_create_fleet(&cluster->ec2, &late.order);
	launch_order_free(&late.order);
}

static void late_calls_due(struct cluster *cluster)
{
	for (size_t i = cluster->late.count; i-- > 0;)
		if (cluster->late.at[i].until_ns <= cluster->ec2.now.mono_ns)
			late_call_arrives(cluster, i);
}

/* The lines after the first so many are lost. */
static void disk_keeps(struct world *world, size_t lines)
{
	while (world->journal.count > lines) {
		free(world->journal.at[--world->journal.count]);
		world->synced.count--;
	}
	world->durable = MIN(world->durable, lines);
}

/* What was not synced is lost with the machine, or with luck only a part of it. */
static void power_cut(struct world *world)
{
	size_t unsure = world->journal.count - world->durable;

	disk_keeps(world, world->durable + random_below((uint32_t)unsure + 1));
}

static void core_dies(struct cluster *cluster, int i)
{
	struct world *world = &cluster->cores[i];

	if (!world->core)
		return;
	calls_become_late(cluster, world);
	if (random_below(3) == 0)
		world_rewrite(world);
	world_crash(world);
	cluster->leads[i] = false;
	if (cluster->leader == i)
		cluster->leader = -1;
	if (random_below(2))
		power_cut(world);
	if (cluster->story->lose_disks && random_below(2))
		disk_keeps(world, 0);
}

static void core_begins(struct cluster *cluster, int i)
{
	if (cluster->cores[i].core || (!cluster->story->lease && i > 0))
		return;
	world_restart(&cluster->cores[i]);
	if (cluster->story->lease)
		return;
	cluster->leader = i;
	cluster->leads[i] = true;
}

/* ---- steps ---- */

static void random_fault(struct world *world)
{
	world->fault = (struct fault){.at_most = UINT32_MAX, .start_most = UINT32_MAX};
	switch (random_below(9)) {
	case 0:
		world->fault.lose_before = true;
		break;
	case 1:
	case 2:
		world->fault.lose_after = true;
		break;
	case 3:
		world->fault.throttle = true;
		break;
	case 4:
		world->fault.at_most = random_below(3);
		break;
	case 5:
		world->fault.no_capacity = true;
		world->fault.start_most = random_below(2);
		break;
	case 6:
		world->fault.untagged = true;
		world->fault.refuse = random_below(3) == 0;
		break;
	default:
		break;
	}
}

static void one_answer(struct cluster *cluster, int i)
{
	struct world *world = &cluster->cores[i];

	if (!world->core)
		return;
	world->visible_after_ns = random_below(90) * NS_PER_S;
	cluster->ec2.start_shown_after_ns = random_below(90) * NS_PER_S;
	random_fault(world);
	world_answer(world);
	if (random_below(2))
		world_answer_stop(world, random_below(3) ? 0 : -EAGAIN);
	cluster_advance(cluster, 2 * NS_PER_MS);
	if (i == cluster->leader && random_below(4))
		lease_renew(cluster);
}

static void one_round(struct cluster *cluster, int i)
{
	struct world *world = &cluster->cores[i];

	if (!world->core)
		return;
	world_send(world, FRAME_TICK);
	core_tick(world->core, world->now);
}

static void rounds(struct cluster *cluster, uint32_t count)
{
	while (count--) {
		cluster_advance(cluster, 100 * NS_PER_MS);
		late_calls_due(cluster);
		for (int i = 0; i < CORES; i++)
			one_round(cluster, i);
	}
}

static void describe(struct cluster *cluster, int i)
{
	if (cluster->cores[i].core)
		world_describe(&cluster->cores[i]);
}

static void random_step(struct cluster *cluster)
{
	int i = (int)random_below(CORES);

	switch (random_below(12)) {
	case 0:
		cluster_demand(cluster, random_below(9));
		break;
	case 1:
	case 2:
		describe(cluster, i);
		break;
	case 3:
	case 4:
	case 5:
		one_answer(cluster, i);
		break;
	case 6:
		if (random_below(2))
			core_dies(cluster, i);
		break;
	case 7:
		core_begins(cluster, i);
		break;
	case 8:
		if (cluster->story->lease && (cluster->leader < 0 || random_below(3) == 0))
			lease_goes_to(cluster, i);
		break;
	case 9:
		if (cluster->late.count)
			late_call_arrives(cluster, random_below((uint32_t)cluster->late.count));
		break;
	case 10:
		cluster_advance(cluster, random_below(60) * NS_PER_S);
		late_calls_due(cluster);
		break;
	default:
		rounds(cluster, random_below(20));
		break;
	}
	assert_never_more(cluster);
}

/* Faults are over: one core leads and everything is answered and shown. */
static void settle(struct cluster *cluster)
{
	int i = (int)random_below(CORES);

	if (!cluster->story->lease)
		i = 0;
	core_begins(cluster, i);
	if (cluster->story->lease)
		lease_goes_to(cluster, i);
	for (int n = 0; n < 260; n++) {
		struct world *world = &cluster->cores[i];

		world->fault = (struct fault){.at_most = UINT32_MAX, .start_most = UINT32_MAX};
		while (world_answer(world) || world_answer_stop(world, 0) ||
		       world_answer_terminate(world, 0))
			;
		describe(cluster, i);
		if (cluster->story->lease)
			lease_renew(cluster);
		cluster_advance(cluster, 5 * NS_PER_S);
		late_calls_due(cluster);
		rounds(cluster, 3);
		assert_never_more(cluster);
	}
}

static void assert_all_known(struct cluster *cluster)
{
	const struct policy_status *status = world_policy(&cluster->cores[cluster->leader]);

	if (replicas(cluster) != cluster->wanted)
		fail_msg("%s: EC2 has %u replicas, %u are wanted (%s)", cluster->what,
			 replicas(cluster), cluster->wanted, status->held);
	if (at_rest(cluster) != cluster->story->warm || ec2_alive(&cluster->ec2) != cluster->wanted)
		fail_msg("%s: %u at rest of %u, %u run", cluster->what, at_rest(cluster),
			 cluster->story->warm, ec2_alive(&cluster->ec2));
	if (status->replicas != 1 + (int32_t)cluster->wanted)
		fail_msg("%s: the leader counts %d instances of %u", cluster->what,
			 status->replicas - 1, cluster->wanted);
}

/* ---- life ---- */

/* Without tolerance: each instance more that is wanted counts. */
static void documents_text(struct text *out)
{
	const char *at = strstr(WORLD_YAML, "scaleUp: {") + strlen("scaleUp: {");

	text_add_bytes(out, WORLD_YAML, (size_t)(at - WORLD_YAML));
	text_add(out, "tolerance: 0, ");
	text_add(out, at);
}

static void cluster_new(struct cluster *cluster, const struct story *story, uint64_t run)
{
	_cleanup_text_ struct text policy = {0};

	documents_text(&policy);
	memset(cluster, 0, sizeof(*cluster));
	cluster->story = story;
	cluster->leader = -1;
	snprintf(cluster->what, sizeof(cluster->what), "seed %llu", (unsigned long long)run);
	seed = run * 0x9e3779b97f4a7c15ULL;
	world_init(&cluster->ec2, WORLD_YAML, WORLD_POOL);
	for (int i = 0; i < CORES; i++) {
		struct world *world = &cluster->cores[i];

		world_init(world, policy.data, WORLD_POOL);
		world->shares = &cluster->ec2;
		world->documents.pools.at[0].warm =
			(struct warm_pool){.size = story->warm, .refresh_s = DURATION_NEVER};
		world->config.standby = story->lease;
		world->config.limits.launches_per_minute = 1000;
		snprintf(world->config.host, sizeof(world->config.host), "core-%d", i);
		core_begins(cluster, i);
	}
}

static void cluster_free(struct cluster *cluster)
{
	vec_for_each (late, &cluster->late)
		launch_order_free(&late->order);
	vec_free(&cluster->late);
	for (int i = 0; i < CORES; i++)
		world_free(&cluster->cores[i]);
	world_free(&cluster->ec2);
	text_free(&cluster->record);
}

static void play(const struct story *story, uint64_t from, uint64_t runs)
{
	uint64_t launched = 0;

	for (uint64_t run = from; run < from + runs; run++) {
		struct cluster cluster;

		cluster_new(&cluster, story, run);
		for (int i = 0; i < 80; i++)
			random_step(&cluster);
		cluster_demand(&cluster, 1 + random_below(8));
		settle(&cluster);
		assert_all_known(&cluster);
		launched += cluster.wanted;
		cluster_free(&cluster);
	}
	assert_true(launched > 2 * runs);
}

static void a_power_cut_after_the_call_launches_nothing_twice(void **state)
{
	const struct story story = {.late_ns = 3600 * NS_PER_S};

	(void)state;
	play(&story, 1, 150);
}

static void one_core_on_an_empty_disk_launches_nothing_twice(void **state)
{
	const struct story story = {.lose_disks = true, .late_ns = 60 * NS_PER_S};

	(void)state;
	play(&story, 1, 150);
}

static void a_successor_with_the_record_launches_nothing_twice(void **state)
{
	const struct story story = {.lease = true, .lose_disks = true, .late_ns = 3600 * NS_PER_S};

	(void)state;
	play(&story, 1001, 150);
}

static void a_successor_without_a_record_launches_nothing_twice(void **state)
{
	const struct story story = {
		.lease = true, .lose_disks = true, .lose_records = true, .late_ns = 60 * NS_PER_S};

	(void)state;
	play(&story, 2001, 150);
}

static void a_leader_that_is_none_any_more_launches_nothing_twice(void **state)
{
	const struct story story = {
		.lease = true, .overlap = true, .lose_disks = true, .late_ns = 3600 * NS_PER_S};

	(void)state;
	play(&story, 3001, 150);
}

static void starts_from_a_warm_pool_are_made_once(void **state)
{
	const struct story story = {.lease = true,
				    .overlap = true,
				    .lose_disks = true,
				    .late_ns = 3600 * NS_PER_S,
				    .warm = 3};

	(void)state;
	play(&story, 1, 100);
}

static void one_core_and_its_disk_start_once(void **state)
{
	const struct story story = {.lose_disks = true, .late_ns = 60 * NS_PER_S, .warm = 3};

	(void)state;
	play(&story, 1, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_from_a_warm_pool_are_made_once),
		cmocka_unit_test(one_core_and_its_disk_start_once),
		cmocka_unit_test(a_power_cut_after_the_call_launches_nothing_twice),
		cmocka_unit_test(one_core_on_an_empty_disk_launches_nothing_twice),
		cmocka_unit_test(a_successor_with_the_record_launches_nothing_twice),
		cmocka_unit_test(a_successor_without_a_record_launches_nothing_twice),
		cmocka_unit_test(a_leader_that_is_none_any_more_launches_nothing_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
