/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes with pods for the tests of what is given back: documents and pods from their texts, types
 * and prices from the catalog that is shipped, the planner as the world.
 */
#ifndef PLAN_DISRUPT_H
#define PLAN_DISRUPT_H

// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <math.h>

#include "plan/disrupt.h"

#define NOW_NS (1768824000ULL * NS_PER_S) /* Monday, 2026-01-19 12:00 UTC */
#define SPOT_SHARE 0.4

/* Defaults: pool "a", zone a, on demand, launched a day ago, ready. */
struct node_row {
	const char *name, *type, *zone, *pool;
	enum capacity_type capacity_type;
	uint64_t age_s, quiet_s, drifted_s; /* ago; 0: a day, a day, not drifted */
	const char *blocked, *pods_blocked;
	bool foreign, starting, not_ready, leaving, ended, no_price;
};

struct pod_row {
	const char *node, *name;
	const char *cpu, *memory;
	const char *metadata, *spec; /* more of them, as flow */
};

struct pool_row {
	const char *name, *disruption, *requirements;
	const char *spec, *template_; /* more fields, as flow */
};

struct scenario {
	const char *name;
	struct pool_row pools[3];
	struct node_row nodes[12];
	struct pod_row pods[16];
	bool spot_to_spot, estimate;
	double overlap_s;
	const char *commands; /* in order */
	const char *held;
};

struct case_world {
	struct documents documents;
	struct problems problems;
	struct planner *planner;
	struct disrupt_packed *packed;
	const struct pool *pools[3];
	struct disrupt_node nodes[12];
	size_t count;
	struct disrupt_input input;
	struct disrupt_plan plan;
};

/* ---- the catalog ---- */

static const struct catalog *shared_catalog;

static const char *const TYPES[] = {
	"m5.large",    "m5.xlarge", "m5.2xlarge", "c5.large",	"c5.xlarge",  "c5.2xlarge",
	"r5.large",    "r5.xlarge", "m6i.large",  "m6i.xlarge", "c6i.large",  "c6i.xlarge",
	"c6i.2xlarge", "m6a.large", "m6a.xlarge", "c6a.large",	"c6a.xlarge", "m7i.large",
	"m7i.xlarge",  "c7i.large", "c7i.xlarge", "m7a.large",	"c7a.large",  "c7a.xlarge",
	"r6i.large",   "r6a.large",
};

/* One type in two zones; spot costs two fifths. */
static inline int catalog_setup(void **state)
{
	struct catalog *all = catalog_shipped(), *some;
	struct instance_type types[ARRAY_SIZE(TYPES)];
	struct type_zone zones[2 * ARRAY_SIZE(TYPES)];

	(void)state;
	memset(zones, 0, sizeof(zones));
	for (size_t i = 0; i < ARRAY_SIZE(TYPES); i++) {
		const struct instance_type *type = catalog_type(all, TYPES[i]);

		assert_non_null(type);
		types[i] = *type;
		for (size_t z = 0; z < 2; z++) {
			struct type_zone *zone = &zones[2 * i + z];

			snprintf(zone->type, sizeof(zone->type), "%s", TYPES[i]);
			snprintf(zone->zone, sizeof(zone->zone), "us-east-1%c", (char)('a' + z));
			zone->spot_usd_per_hour = SPOT_SHARE * type->usd_per_hour;
		}
	}
	some = catalog_new(types, ARRAY_SIZE(types), zones, ARRAY_SIZE(zones));
	catalog_free(all);
	shared_catalog = some;
	return some ? 0 : -1;
}

static inline int catalog_teardown(void **state)
{
	(void)state;
	catalog_free((struct catalog *)shared_catalog);
	return 0;
}

static inline const struct offering *offering_of(const char *type, const char *zone,
						 enum capacity_type capacity_type)
{
	for (size_t i = 0; i < shared_catalog->count; i++) {
		const struct offering *offering = &shared_catalog->offerings[i];

		if (strcmp(offering->instance_type, type) == 0 &&
		    strcmp(offering->zone, zone) == 0 && offering->capacity_type == capacity_type)
			return offering;
	}
	fail_msg("no offering %s %s", type, zone);
	return NULL;
}

/* ---- documents ---- */

#define OR(text, other) ((text) ? (text) : (other))

static inline void add_pool(struct text *yaml, const struct pool_row *row)
{
	text_printf(
		yaml,
		"---\n{apiVersion: karpenter.sh/v1, kind: NodePool, metadata: {name: %s}, spec: "
		"{%s%s disruption: {%s}, template: {spec: {%s%s nodeClassRef: {group: "
		"karpenter.k8s.aws, kind: EC2NodeClass, name: c}, requirements: [%s]}}}}\n",
		row->name, OR(row->spec, ""), row->spec ? "," : "",
		OR(row->disruption, "consolidateAfter: 0s, budgets: [{nodes: \"100%\"}]"),
		OR(row->template_, ""), row->template_ ? "," : "",
		OR(row->requirements,
		   "{key: karpenter.sh/capacity-type, operator: In, values: [on-demand]}"));
}

static inline void add_pod(struct text *yaml, const struct pod_row *row, size_t n)
{
	text_printf(
		yaml,
		"---\n{apiVersion: v1, kind: Pod, metadata: {name: %s%zu, namespace: default%s%s},"
		" spec: {nodeName: %s, %s%s containers: [{name: c, resources: {requests: {cpu: "
		"%s, memory: %s}}}]}}\n",
		OR(row->name, "p"), n, row->metadata ? ", " : "", OR(row->metadata, ""), row->node,
		OR(row->spec, ""), row->spec ? "," : "", OR(row->cpu, "500m"),
		OR(row->memory, "512Mi"));
}

static inline void read_documents(struct case_world *world, const struct scenario *s)
{
	_cleanup_(text_free)
	struct text yaml = {0}, pods = {0};
	size_t n = 0;

	text_add(&yaml,
		 "apiVersion: karpenter.k8s.aws/v1\nkind: EC2NodeClass\nmetadata: {name: c}\n"
		 "spec:\n  amiSelectorTerms: [{alias: al2023@latest}]\n  role: r\n"
		 "  subnetSelectorTerms: [{tags: {a: b}}]\n"
		 "  securityGroupSelectorTerms: [{tags: {a: b}}]\n");
	if (!s->pools[0].name)
		add_pool(&yaml, &(struct pool_row){.name = "a"});
	for (size_t p = 0; p < ARRAY_SIZE(s->pools) && s->pools[p].name; p++)
		add_pool(&yaml, &s->pools[p]);
	for (; n < ARRAY_SIZE(s->pods) && s->pods[n].node; n++)
		add_pod(&pods, &s->pods[n], n);
	if (documents_parse(&world->documents, "test", yaml.data, yaml.length, &world->problems) <
	    0)
		fail_msg("%s: %s", s->name, world->problems.list.at[0].text);
	if (n &&
	    pods_parse(&world->documents, "pods", pods.data, pods.length, &world->problems) < 0)
		fail_msg("%s: %s", s->name, world->problems.list.at[0].text);
	text_free(&pods);
}

static inline uint64_t ago(uint64_t seconds)
{
	return NOW_NS - (seconds ? seconds : 86400) * NS_PER_S;
}

static inline uint32_t pool_index(const struct case_world *world, const char *name)
{
	for (uint32_t p = 0; p < world->documents.pools.count; p++)
		if (strcmp(world->pools[p]->name, name) == 0)
			return p;
	return DISRUPT_NO_POOL;
}

static inline void read_node(struct case_world *world, const struct node_row *row)
{
	const struct offering *offering =
		offering_of(row->type, OR(row->zone, "us-east-1a"), row->capacity_type);
	struct disrupt_node *node = &world->nodes[world->count++];
	const struct plan_existing existing = {.name = row->name,
					       .pool = OR(row->pool, "a"),
					       .offering = offering,
					       .usd_per_hour = offering->usd_per_hour};

	*node = (struct disrupt_node){
		.name = row->name,
		.pool = pool_index(world, OR(row->pool, "a")),
		.offering = offering,
		.usd_per_hour = row->no_price ? NAN : offering->usd_per_hour,
		.launched_wall_ns = ago(row->age_s),
		.quiet_wall_ns = ago(row->quiet_s),
		.drifted = row->drifted_s ? "image ami-1, today it would be ami-2" : NULL,
		.drifted_wall_ns = row->drifted_s ? ago(row->drifted_s) : 0,
		.blocked = row->blocked,
		.pods_blocked = row->pods_blocked,
		.ours = !row->foreign,
		.initialized = !row->starting,
		.ready = !row->not_ready,
		.leaving = row->leaving,
		.ended = row->ended,
	};
	assert_int_equal(planner_add_existing(world->planner, &existing), 0);
}

static inline void place_pods(struct case_world *world)
{
	vec_for_each (it, &world->documents.pods) {
		assert_int_equal(planner_add_pods(world->planner, *it), 0);
		for (size_t n = 0; n < world->count; n++)
			if (strcmp(world->nodes[n].name, (*it)->node_name) == 0)
				world->nodes[n].eviction_cost += MAX(disrupt_eviction_cost(*it), 0);
	}
}

static inline void case_new(struct case_world *world, const struct scenario *s)
{
	struct planner_config config;

	memset(world, 0, sizeof(*world));
	read_documents(world, s);
	for (size_t p = 0; p < world->documents.pools.count; p++)
		world->pools[p] = &world->documents.pools.at[p];
	planner_config_default(&config);
	assert_int_equal(planner_new(&config, &world->documents, shared_catalog, &world->planner),
			 0);
	for (size_t n = 0; n < ARRAY_SIZE(s->nodes) && s->nodes[n].name; n++)
		read_node(world, &s->nodes[n]);
	place_pods(world);
	assert_int_equal(
		disrupt_packed_new(world->planner, world->nodes, world->count, &world->packed), 0);
	world->input = (struct disrupt_input){.pools = world->pools,
					      .pools_count = world->documents.pools.count,
					      .nodes = world->nodes,
					      .nodes_count = world->count,
					      .world = disrupt_packed_world(world->packed),
					      .wall_ns = NOW_NS};
	disrupt_config_default(&world->input.config);
	world->input.config.spot_to_spot = s->spot_to_spot;
	world->input.config.estimate = s->estimate;
	world->input.config.overlap_s = s->overlap_s;
	assert_int_equal(disrupt_search(&world->input, &world->plan), 0);
}

static inline void case_free(struct case_world *world)
{
	disrupt_plan_free(&world->plan);
	disrupt_packed_free(world->packed);
	planner_free(world->planner);
	documents_free(&world->documents);
	problems_free(&world->problems);
}

/* ---- what is expected ---- */

/* "drifted b => a:m5.large/on-demand; empty c d" */
static inline void commands_text(const struct case_world *world, struct text *out)
{
	vec_for_each (command, &world->plan.commands) {
		text_printf(out, "%s%s", out->length ? "; " : "",
			    disrupt_reason_text(command->reason));
		vec_for_each (node, &command->nodes)
			text_printf(out, " %s", world->nodes[*node].name);
		vec_for_each (to, &command->replacements) {
			text_printf(out, " => %s", to->pool->name);
			if (to->list.count)
				text_printf(out, ":%s/%s", to->list.at[0]->instance_type,
					    capacity_type_text(to->list.at[0]->capacity_type));
		}
	}
}

static inline void held_text(const struct case_world *world, struct text *out)
{
	vec_for_each (held, &world->plan.held)
		text_printf(out, "%s%s %s %s", out->length ? "; " : "",
			    world->nodes[held->node].name, disrupt_reason_text(held->reason),
			    disrupt_hold_text(held->by));
}

/* What holds for every plan. */
static inline void check_plan(const struct case_world *world, const struct scenario *s)
{
	vec_for_each (command, &world->plan.commands) {
		assert_true(command->nodes.count > 0);
		assert_true(*command->why);
		if (command->reason != DISRUPT_UNDERUTILIZED)
			continue;
		assert_true(command->usd_saved > 0);
		vec_for_each (to, &command->replacements) {
			assert_true(to->list.count > 0);
			vec_for_each (offering, &to->list)
				if (!((*offering)->usd_per_hour < command->usd_before))
					fail_msg("%s: %s is not cheaper", s->name,
						 (*offering)->instance_type);
		}
	}
	vec_for_each (held, &world->plan.held)
		assert_true(*held->why);
}

static inline void run_scenario(const struct scenario *s)
{
	_cleanup_(text_free)
	struct text commands = {0}, held = {0};
	struct case_world world;

	case_new(&world, s);
	commands_text(&world, &commands);
	held_text(&world, &held);
	check_plan(&world, s);
	if (strcmp(OR(commands.data, ""), OR(s->commands, "")) != 0)
		fail_msg("%s:\n found    \"%s\"\n expected \"%s\"", s->name, OR(commands.data, ""),
			 OR(s->commands, ""));
	if (s->held && strcmp(OR(held.data, ""), s->held) != 0)
		fail_msg("%s: held:\n found    \"%s\"\n expected \"%s\"", s->name,
			 OR(held.data, ""), s->held);
	text_free(&held);
	case_free(&world);
}

static inline void run_scenarios(const struct scenario *scenarios, size_t count)
{
	for (size_t i = 0; i < count; i++)
		run_scenario(&scenarios[i]);
}

#endif
