/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans of seeded random pods keep every constraint, held against checks that share nothing with
 * the planner; later pods are added to a plan; nodes are tried to be removed; what has no place is
 * told why.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <cmocka.h>

#include "plan/plan.h"

#define SEEDS 120
#define HOST "kubernetes.io/hostname"
#define GIB 1073741824.0

/* ---- a small world ---- */

static const struct {
	const char *name;
	uint32_t vcpus, memory_gib;
	bool arm64;
	double usd;
} TYPES[] = {
	{"c5.large", 2, 4, false, 0.085},    {"c5.2xlarge", 8, 16, false, 0.34},
	{"c6g.xlarge", 4, 8, true, 0.136},   {"m5.large", 2, 8, false, 0.096},
	{"m5.xlarge", 4, 16, false, 0.192},  {"m5.4xlarge", 16, 64, false, 0.768},
	{"m6g.large", 2, 8, true, 0.077},    {"m6g.2xlarge", 8, 32, true, 0.308},
	{"r5.large", 2, 16, false, 0.126},   {"r5.2xlarge", 8, 64, false, 0.504},
	{"r6g.xlarge", 4, 32, true, 0.2016}, {"t3.medium", 2, 4, false, 0.0416},
};
static const char *const ZONES[] = {"us-east-1a", "us-east-1b", "us-east-1c"};

static uint32_t draw(uint64_t *seed, uint32_t below)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(*seed >> 33) % below;
}

static struct catalog *market(uint64_t seed)
{
	struct instance_type types[ARRAY_SIZE(TYPES)] = {0};
	struct type_zone zones[ARRAY_SIZE(TYPES) * ARRAY_SIZE(ZONES)] = {0};

	for (size_t i = 0; i < ARRAY_SIZE(TYPES); i++) {
		struct instance_type *type = &types[i];

		snprintf(type->name, sizeof(type->name), "%s", TYPES[i].name);
		type->amd64 = !TYPES[i].arm64;
		type->arm64 = TYPES[i].arm64;
		type->current_generation = type->spot = type->on_demand = true;
		type->vcpus = TYPES[i].vcpus;
		type->memory_mib = TYPES[i].memory_gib * 1024ULL;
		type->interfaces = 4;
		type->addresses_per_interface = 15;
		type->usd_per_hour = TYPES[i].usd;
		for (size_t z = 0; z < ARRAY_SIZE(ZONES); z++) {
			struct type_zone *zone = &zones[i * ARRAY_SIZE(ZONES) + z];

			snprintf(zone->type, sizeof(zone->type), "%s", TYPES[i].name);
			snprintf(zone->zone, sizeof(zone->zone), "%s", ZONES[z]);
			zone->spot_usd_per_hour = TYPES[i].usd * (0.3 + draw(&seed, 60) / 100.0);
		}
	}
	return catalog_new(types, ARRAY_SIZE(types), zones, ARRAY_SIZE(zones));
}

#define CLASS                                                                              \
	"---\napiVersion: karpenter.k8s.aws/v1\nkind: EC2NodeClass\nmetadata: {name: c}\n" \
	"spec: {amiSelectorTerms: [{alias: al2023@latest}], role: nodes, "                 \
	"subnetSelectorTerms: [{tags: {a: b}}], securityGroupSelectorTerms: [{tags: {a: b}}]}\n"
#define POOL(name, spec, requirements)                                                          \
	"---\napiVersion: karpenter.sh/v1\nkind: NodePool\nmetadata: {name: " name "}\nspec:\n" \
	"  template: {spec: {nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, "     \
	"name: c}, requirements: [" requirements "]}}\n" spec

static void parse(struct documents *documents, const char *text, bool pods)
{
	struct problems problems = {0};
	int r = pods ? pods_parse(documents, "pods.yaml", text, strlen(text), &problems)
		     : documents_parse(documents, "pools.yaml", text, strlen(text), &problems);

	problems_print(&problems, stderr);
	problems_free(&problems);
	assert_int_equal(r, 0);
}

static void add_workload(struct text *out, uint64_t *seed, unsigned number)
{
	static const char *const CPU[] = {"100m", "250m", "500m", "1", "2500m"};
	static const char *const MEMORY[] = {"128Mi", "512Mi", "1Gi", "3Gi", "6Gi"};

	text_printf(out,
		    "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: w%u}\nspec:\n"
		    "  replicas: %u\n  template:\n    metadata: {labels: {app: w%u}}\n    spec:\n"
		    "      containers: [{name: a, resources: {requests: {cpu: %s, memory: %s}}}]\n",
		    number, 1 + draw(seed, 25), number, CPU[draw(seed, 5)], MEMORY[draw(seed, 5)]);
	switch (draw(seed, 9)) {
	case 0:
		text_printf(out,
			    "      topologySpreadConstraints: [{maxSkew: %u, topologyKey: %s, "
			    "whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: "
			    "w%u}}}]\n",
			    1 + draw(seed, 2), LABEL_ZONE, number);
		break;
	case 1:
		text_printf(out,
			    "      topologySpreadConstraints: [{maxSkew: %u, topologyKey: %s, "
			    "whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: "
			    "w%u}}}]\n",
			    1 + draw(seed, 2), HOST, number);
		break;
	case 2:
	case 3:
		text_printf(out,
			    "      affinity: {podAntiAffinity: "
			    "{requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: %s, "
			    "labelSelector: {matchLabels: {app: w%u}}}]}}\n",
			    HOST, draw(seed, 2) ? number : draw(seed, number + 1));
		break;
	case 4:
		text_printf(out,
			    "      affinity: {podAffinity: "
			    "{requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: %s, "
			    "labelSelector: {matchLabels: {app: w%u}}}]}}\n",
			    LABEL_ZONE, draw(seed, 2) ? number : draw(seed, number + 1));
		break;
	case 5:
		text_printf(out, "      nodeSelector: {%s: %s}\n", LABEL_ARCH,
			    draw(seed, 2) ? "arm64" : "amd64");
		break;
	case 6:
		text_printf(out, "      nodeSelector: {%s: %s}\n", LABEL_CAPACITY_TYPE,
			    draw(seed, 2) ? "spot" : "on-demand");
		break;
	default:
		break;
	}
}

struct world {
	struct documents documents, pods;
	struct catalog *catalog;
	struct planner *planner;
	struct plan_view view;
};

static void world_free(struct world *world)
{
	planner_free(world->planner);
	documents_free(&world->pods);
	documents_free(&world->documents);
	catalog_free(world->catalog);
}

static void world_of(struct world *world, const char *pools, const char *pods)
{
	struct planner_config config;

	*world = (struct world){.catalog = market(7)};
	parse(&world->documents, pools, false);
	parse(&world->pods, pods, true);
	planner_config_default(&config);
	assert_int_equal(planner_new(&config, &world->documents, world->catalog, &world->planner),
			 0);
	vec_for_each (pod, &world->pods.pods)
		assert_int_equal(planner_add_pods(world->planner, *pod), 0);
	assert_int_equal(planner_solve(world->planner), 0);
	planner_view(world->planner, &world->view);
}

/* ---- the checks ---- */

static double amount_of(const struct resources *resources, const char *name)
{
	vec_for_each (it, &resources->list)
		if (strcmp(it->name, name) == 0)
			return it->amount;
	return 0;
}

static double sum_of(const struct plan_node *node, const char *name)
{
	double sum = 0;

	vec_for_each (pod, &node->pods)
		sum += amount_of(&pod->template_->requests, name);
	return sum;
}

static void check_offerings(const struct plan_node *node)
{
	assert_true(node->offerings.count > 0);
	assert_true(node->types <= PLAN_TYPES_MAX);
	assert_true(node->offerings.at[0]->usd_per_hour == node->usd_per_hour);
	vec_for_each (it, &node->offerings) {
		struct node_capacity capacity = {0};
		char text[128];

		assert_true(offering_matches(*it, node->pool));
		node_capacity((*it)->type, node->node_class, 0.075, &capacity);
		assert_true(sum_of(node, "cpu") <= amount_of(&capacity.allocatable, "cpu") + 1e-9);
		assert_true(sum_of(node, "memory") <= amount_of(&capacity.allocatable, "memory"));
		assert_true((double)node->pods.count <= amount_of(&capacity.allocatable, "pods"));
		node_capacity_free(&capacity);
		vec_for_each (pod, &node->pods)
			vec_for_each (label, &pod->template_->node_selector.list)
				assert_string_equal(label->value,
						    offering_label(*it, node->pool, label->key,
								   text, sizeof(text)));
	}
}

static uint32_t selected(const struct plan_node *node, const struct pod_affinity_term *term)
{
	uint32_t count = 0;

	vec_for_each (pod, &node->pods)
		count += pod_affinity_selects(term, "default", pod->template_);
	return count;
}

static void check_hosts(const struct plan_node *node)
{
	vec_for_each (pod, &node->pods) {
		const struct pod_template *t = pod->template_;

		vec_for_each (term, &t->anti_affinity.list)
			assert_true(selected(node, term) ==
				    (uint32_t)pod_affinity_selects(term, "default", t));
		vec_for_each (spread, &t->spread) {
			int32_t count = 0;

			if (strcmp(spread->topology_key, HOST) != 0)
				continue;
			vec_for_each (other, &node->pods)
				count += pod_selector_matches(&spread->selector,
							      &other->template_->labels);
			assert_true(count <= spread->max_skew);
		}
	}
}

/* The one zone that the node may be in. */
static size_t zone_of(const struct plan_node *node)
{
	size_t zone = 0;

	vec_for_each (it, &node->offerings)
		assert_string_equal((*it)->zone, node->offerings.at[0]->zone);
	while (strcmp(ZONES[zone], node->offerings.at[0]->zone) != 0)
		zone++;
	return zone;
}

static void count_zones(const struct plan_view *view, const struct pod_selector *selector,
			int32_t counts[ARRAY_SIZE(ZONES)])
{
	for (size_t i = 0; i < view->nodes_count; i++)
		vec_for_each (pod, &view->nodes[i]->pods)
			if (pod_selector_matches(selector, &pod->template_->labels))
				counts[zone_of(view->nodes[i])]++;
}

static void check_zones(const struct plan_view *view, const struct plan_node *node)
{
	vec_for_each (pod, &node->pods) {
		vec_for_each (spread, &pod->template_->spread) {
			int32_t counts[ARRAY_SIZE(ZONES)] = {0};

			if (strcmp(spread->topology_key, LABEL_ZONE) != 0)
				continue;
			count_zones(view, &spread->selector, counts);
			for (size_t i = 0; i < ARRAY_SIZE(ZONES); i++)
				for (size_t j = 0; j < ARRAY_SIZE(ZONES); j++)
					assert_true(counts[i] - counts[j] <= spread->max_skew);
		}
		vec_for_each (term, &pod->template_->affinity.list) {
			int32_t counts[ARRAY_SIZE(ZONES)] = {0};

			count_zones(view, &term->selector, counts);
			assert_true(counts[zone_of(node)] > 0);
		}
	}
}

static void check_each_once(const struct world *world)
{
	uint64_t wanted = 0, seen = 0;

	vec_for_each (it, &world->pods.pods) {
		_cleanup_free_ uint8_t *times = calloc((*it)->replicas + 1, 1);

		wanted += (*it)->replicas;
		for (size_t i = 0; i < world->view.nodes_count; i++)
			vec_for_each (pod, &world->view.nodes[i]->pods)
				if (pod->template_ == *it)
					times[pod->index]++;
		for (size_t i = 0; i < world->view.failures_count; i++)
			if (world->view.failures[i].pod.template_ == *it)
				times[world->view.failures[i].pod.index]++;
		for (uint32_t i = 0; i < (*it)->replicas; i++) {
			assert_int_equal(times[i], 1);
			seen++;
		}
	}
	assert_int_equal(seen, wanted);
}

static void check(const struct world *world)
{
	check_each_once(world);
	for (size_t i = 0; i < world->view.nodes_count; i++) {
		check_offerings(world->view.nodes[i]);
		check_hosts(world->view.nodes[i]);
		check_zones(&world->view, world->view.nodes[i]);
	}
}

#define TWO_POOLS                                                                          \
	POOL("a", "",                                                                      \
	     "{key: karpenter.sh/capacity-type, operator: In, values: [spot, on-demand]}") \
	POOL("b", "", "{key: karpenter.sh/capacity-type, operator: In, values: [on-demand]}") CLASS

static void random_plans_keep_every_constraint(void **unused)
{
	(void)unused;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		_cleanup_text_ struct text pods = {0};
		uint64_t state = seed * 977;
		unsigned workloads = 1 + draw(&state, 8);
		struct world world;

		for (unsigned i = 0; i < workloads; i++)
			add_workload(&pods, &state, i);
		world_of(&world, TWO_POOLS, pods.data);
		check(&world);
		world_free(&world);
	}
}

/* ---- limits and values ---- */

#define WEB(replicas, more)                                                                    \
	"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  "              \
	"replicas: " replicas "\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n" \
	"      containers: [{name: a, resources: {requests: {cpu: 900m, memory: "              \
	"1Gi}}}]\n" more

static void whatever_nodes_become_the_limits_hold(void **unused)
{
	struct world world;
	double cpus = 0;

	(void)unused;
	world_of(&world, POOL("a", "  limits: {cpu: 30}\n", "") CLASS, WEB("40", ""));
	for (size_t i = 0; i < world.view.nodes_count; i++) {
		uint32_t most = 0;

		vec_for_each (it, &world.view.nodes[i]->offerings)
			most = MAX(most, (*it)->vcpus);
		cpus += most;
	}
	assert_true(cpus <= 30);
	assert_true(world.view.failures_count > 0 && world.view.failures_count < 40);
	assert_non_null(strstr(world.view.failures[0].why, "limits leave too little"));
	world_free(&world);
}

static void so_many_families_stay_possible(void **unused)
{
	struct world world;

	(void)unused;
	world_of(&world,
		 POOL("a", "",
		      "{key: karpenter.k8s.aws/instance-family, operator: Exists, minValues: 4}")
			 CLASS,
		 WEB("30", ""));
	assert_int_equal(world.view.failures_count, 0);
	for (size_t i = 0; i < world.view.nodes_count; i++) {
		const char *families[16];
		size_t count = 0;

		vec_for_each (it, &world.view.nodes[i]->offerings) {
			size_t length = strcspn((*it)->instance_type, "."), j = 0;

			while (j < count && strncmp(families[j], (*it)->instance_type, length) != 0)
				j++;
			if (j == count && count < ARRAY_SIZE(families))
				families[count++] = (*it)->instance_type;
		}
		assert_true(count >= 4);
	}
	world_free(&world);
}

/* ---- why not ---- */

static void why(const char *pools, const char *more, const char *expected)
{
	struct world world;

	world_of(&world, pools, more);
	assert_int_equal(world.view.failures_count, 1);
	assert_string_equal(world.view.failures[0].why, expected);
	world_free(&world);
}

#define ANY POOL("general", "", "")
#define ONE(spec) "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {" spec "}\n"
#define SMALL "containers: [{name: a}]"

static void what_has_no_place_is_told_why(void **unused)
{
	(void)unused;
	why(ANY CLASS, ONE("containers: [{name: a, resources: {requests: {memory: 900Gi}}}]"),
	    "NodePool general: asks for 900 GiB of memory, the largest type that its requirements "
	    "leave has 58.23 GiB of memory to give (r5.2xlarge)");
	why(ANY CLASS, ONE(SMALL ", nodeSelector: {kubernetes.io/arch: s390x}"),
	    "NodePool general: the pod's nodeSelector wants kubernetes.io/arch=s390x, which "
	    "nothing "
	    "has that its requirements leave");
	why(ANY CLASS,
	    ONE("containers: [{name: a, resources: {requests: {example.com/dongle: 1}}}]"),
	    "no type and no node has example.com/dongle");
	why("---\napiVersion: karpenter.sh/v1\nkind: NodePool\nmetadata: {name: gpu}\nspec:\n"
	    "  template: {spec: {nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, "
	    "name: c}, requirements: [], taints: [{key: gpu, value: \"true\", effect: "
	    "NoSchedule}]}}\n" CLASS,
	    ONE(SMALL), "NodePool gpu: its taint gpu=true:NoSchedule is not tolerated");
}

/* ---- later pods ---- */

static double usd_of(const char *pods, size_t *placed)
{
	struct world world;
	double usd;

	world_of(&world, TWO_POOLS, pods);
	usd = world.view.usd_per_hour;
	*placed = 0;
	for (size_t i = 0; i < world.view.nodes_count; i++)
		*placed += world.view.nodes[i]->pods.count;
	world_free(&world);
	return usd;
}

#define DEARER_AT_MOST 1.5 /* what comes pod by pod, against all at once: docs/capacity.md */

static void later_pods_are_added_as_well_as_from_scratch(void **unused)
{
	(void)unused;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		_cleanup_text_ struct text first = {0}, all = {0};
		uint64_t state = seed * 31, again;
		struct documents later = {0};
		struct world world;
		size_t placed = 0, from_scratch = 0;
		double usd;

		for (unsigned i = 0; i < 5; i++)
			add_workload(&first, &state, i);
		text_add(&all, first.data);
		again = state;
		add_workload(&all, &again, 5);
		usd = usd_of(all.data, &from_scratch);
		world_of(&world, TWO_POOLS, first.data);
		parse(&later, all.data, true);
		assert_int_equal(planner_add_pods(world.planner, later.pods.at[5]), 0);
		assert_int_equal(planner_solve(world.planner), 0);
		planner_view(world.planner, &world.view);
		*vec_push(&world.pods.pods) = later.pods.at[5];
		later.pods.count = 5;
		check(&world);
		for (size_t i = 0; i < world.view.nodes_count; i++)
			placed += world.view.nodes[i]->pods.count;
		assert_int_equal(placed, from_scratch);
		assert_true(world.view.usd_per_hour <= usd * DEARER_AT_MOST);
		world_free(&world);
		documents_free(&later);
	}
}

/* ---- nodes that end ---- */

static void add_node(struct world *world, const char *name, const char *type, const char *zone)
{
	struct plan_existing node = {.name = name, .pool = "a", .usd_per_hour = 0.1};

	for (size_t i = 0; i < world->catalog->count; i++) {
		const struct offering *it = &world->catalog->offerings[i];

		if (strcmp(it->instance_type, type) == 0 && strcmp(it->zone, zone) == 0 &&
		    it->capacity_type == CAPACITY_ON_DEMAND)
			node.offering = it;
	}
	assert_non_null(node.offering);
	assert_int_equal(planner_add_existing(world->planner, &node), 0);
}

#define ON(name, node, cpu)                                                                  \
	"---\napiVersion: v1\nkind: Pod\nmetadata: {name: " name ", labels: {app: web}}\n"   \
	"spec: {nodeName: " node ", containers: [{name: a, resources: {requests: {cpu: " cpu \
	"}}}]}\n"

static void removal_world(struct world *world, const char *pods)
{
	struct planner_config config;

	*world = (struct world){.catalog = market(7)};
	parse(&world->documents, TWO_POOLS, false);
	parse(&world->pods, pods, true);
	planner_config_default(&config);
	assert_int_equal(planner_new(&config, &world->documents, world->catalog, &world->planner),
			 0);
	add_node(world, "n0", "m5.large", ZONES[0]);
	add_node(world, "n1", "m5.xlarge", ZONES[1]);
	add_node(world, "n2", "m5.large", ZONES[2]);
	vec_for_each (pod, &world->pods.pods)
		assert_int_equal(planner_add_pods(world->planner, *pod), 0);
}

static void pods_of_a_node_that_ends_go_where_there_is_room(void **unused)
{
	struct plan_removal removal;
	struct world world;
	uint32_t both[] = {0, 1};

	(void)unused;
	removal_world(&world, ON("p0", "n0", "1") ON("p1", "n1", "1") ON("p2", "n2", "1500m"));
	for (int again = 0; again < 2; again++) {
		assert_int_equal(planner_try_remove(world.planner, &both[0], 1, &removal), 0);
		assert_int_equal(removal.homeless, 0);
		assert_int_equal(removal.nodes.count, 0);
		assert_int_equal(removal.onto.count, 1);
		assert_int_equal(removal.onto.at[0], 1);
		plan_removal_free(&removal);
	}
	assert_int_equal(planner_try_remove(world.planner, both, 2, &removal), 0);
	assert_int_equal(removal.homeless, 0);
	assert_int_equal(removal.nodes.count, 1);
	assert_true(removal.nodes.at[0].offerings.count > 0);
	plan_removal_free(&removal);
	world_free(&world);
}

static void what_is_accepted_is_what_the_next_question_is_about(void **unused)
{
	struct plan_removal removal;
	struct world world;
	uint32_t n0 = 0, n1 = 1;

	(void)unused;
	removal_world(&world, ON("p0", "n0", "1500m") ON("p1", "n1", "2") ON("p2", "n2", "1500m"));
	assert_int_equal(planner_remove(world.planner, &n0, 1), 0);
	assert_int_equal(planner_try_remove(world.planner, &n1, 1, &removal), 0);
	assert_int_equal(removal.onto.count, 0);
	assert_int_equal(removal.nodes.count, 1);
	plan_removal_free(&removal);
	assert_int_equal(planner_try_remove(world.planner, &(uint32_t){9}, 1, &removal), -EINVAL);
	world_free(&world);
}

/* ---- one replica ---- */

static void a_replica_fits_what_can_carry_it(void **unused)
{
	struct world world;
	char text[192] = "";
	size_t fit = 0;

	(void)unused;
	world_of(&world, TWO_POOLS, WEB("1", "      nodeSelector: {kubernetes.io/arch: arm64}\n"));
	for (size_t i = 0; i < world.catalog->count; i++) {
		const struct offering *it = &world.catalog->offerings[i];
		bool fits = plan_fits(world.pods.pods.at[0], &world.documents.pools.at[0],
				      &world.documents.classes.at[0], it, NULL, text, sizeof(text));

		assert_int_equal(fits, it->architecture == ARCH_ARM64);
		fit += fits;
	}
	assert_true(fit > 0);
	assert_string_equal(text, "the pod wants a node with kubernetes.io/arch=arm64");
	world_free(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_plans_keep_every_constraint),
		cmocka_unit_test(whatever_nodes_become_the_limits_hold),
		cmocka_unit_test(so_many_families_stay_possible),
		cmocka_unit_test(what_has_no_place_is_told_why),
		cmocka_unit_test(later_pods_are_added_as_well_as_from_scratch),
		cmocka_unit_test(pods_of_a_node_that_ends_go_where_there_is_room),
		cmocka_unit_test(what_is_accepted_is_what_the_next_question_is_about),
		cmocka_unit_test(a_replica_fits_what_can_carry_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
