/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits that two lanes share, in seeded stories: cores that die with and without their disks, a
 * lease that changes hands, records that were written, or not, or nobody knows, calls that arrive
 * late, answers that are lost, instances that are shown late and to one core before the other. At
 * every launch EC2 is within every limit, and in the end what is left of them is used.
 */
#include "core_site.h"

#define STEPS 120
#define LATE_NS (20 * NS_PER_S) /* a call arrives within that */
#define HIDDEN_S 20 /* and what it launched is shown within that: both within visible_within */

static uint64_t seed;

static uint32_t random_below(uint32_t bound)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 33) % bound;
}

struct late_call {
	struct launch_order order;
	uint64_t until_ns;
	int from;
};

struct story {
	struct site site;
	int leader; /* -1: none */
	VEC(struct late_call) late;
	double web, api; /* depths */
	size_t checked; /* instances of EC2 */
	VEC(uint64_t) launched_ns;
	uint32_t per_minute;
	double usd, cpus, nodes, gpus; /* INFINITY: no limit */
	uint64_t leads, launches;
	char what[64];
};

static struct world *world_of(struct story *story, int i)
{
	return &story->site.cores[i];
}

/* ---- what must hold ---- */

static double price_of(const struct instance_view *view)
{
	if (strcmp(view->instance_type, "c5.xlarge") == 0)
		return 0.07;
	return strcmp(view->zone, "us-east-1a") == 0 ? 0.03 : 0.04;
}

static double cpus_of(const struct instance_view *view)
{
	return strcmp(view->instance_type, "c5.xlarge") == 0 ? 4 : 2;
}

static void check(struct story *story)
{
	const struct world *ec2 = &story->site.ec2;
	double usd = 0, cpus = 0, nodes = 0;
	uint32_t minute = 0;

	if (story->checked == ec2->instances.count)
		return;
	for (; story->checked < ec2->instances.count; story->checked++)
		*vec_push(&story->launched_ns) = ec2->now.mono_ns;
	vec_for_each (at_ns, &story->launched_ns)
		minute += *at_ns + 60 * NS_PER_S > ec2->now.mono_ns;
	vec_for_each (it, &ec2->instances)
		if (it->view.state == INSTANCE_PENDING || it->view.state == INSTANCE_RUNNING) {
			usd += price_of(&it->view);
			cpus += cpus_of(&it->view);
			nodes++;
		}
	if (minute > story->per_minute)
		fail_msg("%s: %u launched in a minute, %u may be", story->what, minute,
			 story->per_minute);
	if (usd > story->usd + 1e-9)
		fail_msg("%s: %g USD an hour, %g may be", story->what, usd, story->usd);
	if (cpus > story->cpus + 1e-9)
		fail_msg("%s: %g vCPUs, %g may be", story->what, cpus, story->cpus);
	/* A type has one GPU for two vCPUs. */
	if (cpus / 2 > story->gpus)
		fail_msg("%s: %g GPUs, %g may be", story->what, cpus / 2, story->gpus);
	if (nodes > story->nodes)
		fail_msg("%s: %g nodes, %g may be", story->what, nodes, story->nodes);
}

/* ---- the lease ---- */

/* Once in a while nobody knows whether it was written, or it was not. */
static void renew(struct story *story, bool for_sure)
{
	_cleanup_text_ struct text record = {0};
	struct world *world;
	uint32_t fate = for_sure ? 0 : random_below(6);

	if (story->leader < 0)
		return;
	world = world_of(story, story->leader);
	core_state_write(world->core, false, &record);
	if (fate != 5) {
		text_clear(&story->site.record);
		text_add(&story->site.record, record.data);
	}
	if (fate < 4)
		core_state_stored(world->core);
}

static void stops(struct story *story)
{
	if (story->leader >= 0)
		core_yield(world_of(story, story->leader)->core, "the lease was lost",
			   story->site.ec2.now);
	story->leader = -1;
}

static void leads(struct story *story, int i)
{
	struct world *world = world_of(story, i);
	char reason[160] = "";

	if (!world->core || story->leader == i)
		return;
	stops(story);
	site_advance(&story->site, NS_PER_S);
	if (core_lead(world->core, ++story->site.epoch,
		      story->site.record.data ? story->site.record.data : "", world->now,
		      reason) < 0)
		fail_msg("%s: %s", story->what, reason);
	story->leader = i;
	story->leads++;
	if (random_below(4))
		renew(story, false);
}

/* ---- calls ---- */

static void takes_effect(struct story *story, size_t at)
{
	struct late_call late = story->late.at[at];
	struct world *ec2 = &story->site.ec2;

	vec_remove(&story->late, at);
	ec2->visible_after_ns = random_below(HIDDEN_S) * NS_PER_S;
	ec2->fault = (struct fault){.at_most = random_below(4) ? UINT32_MAX : random_below(3)};
	ec2_create_fleet(ec2, &late.order);
	check(story);
	launch_order_free(&late.order);
}

static void late_due(struct story *story)
{
	for (size_t i = story->late.count; i-- > 0;)
		if (story->late.at[i].until_ns <= story->site.ec2.now.mono_ns)
			takes_effect(story, i);
}

static void become_late(struct story *story, int i)
{
	struct world *world = world_of(story, i);

	vec_for_each (order, &world->called) {
		struct late_call *late;

		if (random_below(3) == 0)
			continue;
		late = vec_push(&story->late);
		order_copy(&late->order, order);
		late->until_ns = world->now.mono_ns + random_below(20) * LATE_NS / 20;
	}
}

static void random_fault(struct world *world)
{
	world->fault = (struct fault){.at_most = UINT32_MAX};
	switch (random_below(8)) {
	case 0:
		world->fault.lose_before = true;
		break;
	case 1:
		world->fault.lose_after = true;
		break;
	case 2:
		world->fault.throttle = true;
		break;
	case 3:
		world->fault.at_most = random_below(3);
		break;
	case 4:
		world->fault.no_capacity = random_below(2);
		break;
	default:
		break;
	}
}

static void one_answer(struct story *story, int i, bool faults)
{
	struct world *world = world_of(story, i);

	if (!world->core || !world->called.count)
		return;
	world->fault = (struct fault){.at_most = UINT32_MAX};
	if (faults)
		random_fault(world);
	world->visible_after_ns = random_below(HIDDEN_S) * NS_PER_S;
	story->site.ec2.now = world->now;
	world_answer(world);
	check(story);
	world->now = story->site.ec2.now;
	site_advance(&story->site, NS_PER_MS);
}

/* ---- cores ---- */

static void core_dies(struct story *story, int i)
{
	struct world *world = world_of(story, i);

	if (!world->core)
		return;
	become_late(story, i);
	if (random_below(4) == 0)
		world_rewrite(world);
	if (random_below(2))
		dies(&story->site, i);
	else
		world_crash(world);
	if (story->leader == i)
		story->leader = -1;
}

static void core_begins(struct story *story, int i)
{
	if (!world_of(story, i)->core)
		world_restart(world_of(story, i));
}

static void describe(struct story *story, int i)
{
	struct world *world = world_of(story, i);

	if (!world->core)
		return;
	world_describe(world);
	while (world->terminating.count)
		world_answer_terminate(world, 0);
}

/* Spot takes one back. */
static void reclaim(struct story *story)
{
	struct world *ec2 = &story->site.ec2;

	if (ec2->instances.count)
		ec2->instances.at[random_below((uint32_t)ec2->instances.count)].view.state =
			INSTANCE_TERMINATED;
}

static void runs(struct story *story, uint32_t tenths)
{
	while (tenths--) {
		say(&story->site, story->web, story->api, 100 * NS_PER_MS);
		late_due(story);
	}
}

/* ---- stories ---- */

static void random_step(struct story *story)
{
	int i = (int)random_below(CORES);

	switch (random_below(16)) {
	case 0:
		*(random_below(2) ? &story->web : &story->api) = 5 + 10 * random_below(12);
		break;
	case 1:
	case 2:
		describe(story, i);
		break;
	case 3:
	case 4:
	case 5:
		one_answer(story, i, true);
		break;
	case 6:
		if (random_below(2))
			core_dies(story, i);
		break;
	case 7:
		core_begins(story, i);
		break;
	case 8:
		if (story->leader < 0 || random_below(3) == 0)
			leads(story, i);
		break;
	case 9:
		reclaim(story);
		break;
	case 10:
	case 11:
	case 12:
		renew(story, false);
		break;
	case 13:
		site_advance(&story->site, random_below(20) * NS_PER_S);
		late_due(story);
		break;
	default:
		runs(story, random_below(10));
		break;
	}
}

/* Everything works again, and much more is wanted than may be. */
static void settle(struct story *story)
{
	int i = (int)random_below(CORES);

	core_begins(story, i);
	leads(story, i);
	story->web = story->api = 500;
	for (int n = 0; n < 60; n++) {
		renew(story, true);
		runs(story, 5);
		while (world_of(story, i)->called.count)
			one_answer(story, i, false);
		site_advance(&story->site, 10 * NS_PER_S);
		late_due(story);
		describe(story, i);
	}
}

static void limits_are_used(struct story *story)
{
	double usd = 0, cpus = 0;

	vec_for_each (it, &story->site.ec2.instances)
		if (it->view.state == INSTANCE_PENDING || it->view.state == INSTANCE_RUNNING) {
			usd += price_of(&it->view);
			cpus += cpus_of(&it->view);
		}
	/* 10 minutes, of which what was promised before takes at most two. */
	if (usd + 0.07 < story->usd && cpus + 4 < story->cpus && cpus / 2 + 2 < story->gpus &&
	    ec2_alive(&story->site.ec2) < story->nodes &&
	    ec2_alive(&story->site.ec2) < 6 * story->per_minute)
		fail_msg("%s: %g of %g USD, %g of %g vCPUs, %u a minute: %s, %s", story->what, usd,
			 story->usd, cpus, story->cpus, story->per_minute,
			 status_of(world_of(story, story->leader), WEB)->held,
			 status_of(world_of(story, story->leader), API)->held);
}

static void story_new(struct story *story, uint64_t run)
{
	_cleanup_text_ struct text pool = {0};
	struct core_limits limits = limits_of();

	memset(story, 0, sizeof(*story));
	seed = run * 0x9e3779b97f4a7c15ULL;
	snprintf(story->what, sizeof(story->what), "seed %llu", (unsigned long long)run);
	story->leader = -1;
	story->usd = random_below(3) ? INFINITY : 0.05 * (1 + random_below(12));
	story->cpus = random_below(3) ? INFINITY : 2 * (1 + random_below(16));
	story->per_minute = random_below(2) ? 12 : 2 + random_below(9);
	story->nodes = random_below(3) ? INFINITY : 1 + random_below(16);
	story->gpus = random_below(3) ? INFINITY : 1 + random_below(16);
	story->web = story->api = 5;
	limits.launches_per_minute = story->per_minute;
	limits.usd_per_hour = story->usd;
	text_add_bytes(&pool, WORLD_POOL, (size_t)(strstr(WORLD_POOL, "  template:") - WORLD_POOL));
	if (!isinf(story->cpus) || !isinf(story->nodes) || !isinf(story->gpus))
		text_add(&pool, "  limits:\n");
	if (!isinf(story->cpus))
		text_printf(&pool, "    cpu: %g\n", story->cpus);
	if (!isinf(story->gpus))
		text_printf(&pool, "    nvidia.com/gpu: %g\n", story->gpus);
	if (!isinf(story->nodes))
		text_printf(&pool, "    nodes: %g\n", story->nodes);
	text_add(&pool, strstr(WORLD_POOL, "  template:"));
	site_new(&story->site, pool.data, &limits);
	for (int i = 0; i < CORES; i++)
		story->site.cores[i].now = story->site.ec2.now;
}

static void story_free(struct story *story)
{
	vec_for_each (late, &story->late)
		launch_order_free(&late->order);
	vec_free(&story->late);
	vec_free(&story->launched_ns);
	site_free(&story->site);
}

static void no_limit_is_passed_over_any_change_of_leaders(void **state)
{
	const char *first = getenv("FIRST"), *count = getenv("COUNT");
	uint64_t from = first ? strtoull(first, NULL, 10) : 1;
	uint64_t runs_count = count ? strtoull(count, NULL, 10) : 300;
	uint64_t launched = 0, led = 0;

	(void)state;
	for (uint64_t run = from; run < from + runs_count; run++) {
		struct story story;

		story_new(&story, run);
		for (int i = 0; i < STEPS; i++)
			random_step(&story);
		settle(&story);
		limits_are_used(&story);
		launched += story.site.ec2.instances.count;
		led += story.leads;
		story_free(&story);
	}
	assert_true(launched > 5 * runs_count && led > 2 * runs_count);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_limit_is_passed_over_any_change_of_leaders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
