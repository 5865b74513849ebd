/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one search for nodes to give back costs, over 1,000 nodes and every type of the shipped
 * catalog: where much can be saved and the default budget ends it, and where nothing can be saved,
 * so that all nodes are asked about. CPU time. Prints one JSON object.
 *
 *	bench_disrupt
 */
#include <math.h>
#include <time.h>

#include "plan/disrupt.h"

#define NODES 1000
#define RUNS 5
#define CPU_OF_A_POD 0.5
#define WALL_NS (1800000000ULL * NS_PER_S)

static const char DOCUMENTS[] =
	"apiVersion: karpenter.k8s.aws/v1\n"
	"kind: EC2NodeClass\n"
	"metadata: {name: bench}\n"
	"spec:\n"
	"  amiSelectorTerms: [{alias: al2023@latest}]\n"
	"  role: bench\n"
	"  subnetSelectorTerms: [{id: subnet-0123}]\n"
	"  securityGroupSelectorTerms: [{id: sg-0123}]\n"
	"---\n"
	"apiVersion: karpenter.sh/v1\n"
	"kind: NodePool\n"
	"metadata: {name: bench}\n"
	"spec:\n"
	"  template:\n"
	"    spec:\n"
	"      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: bench}\n"
	"      requirements:\n"
	"      - {key: karpenter.k8s.aws/instance-category, operator: In, values: [c, m, r]}\n"
	"      - {key: karpenter.sh/capacity-type, operator: In, values: [on-demand]}\n";

static const char POD[] = "apiVersion: v1\n"
			  "kind: Pod\n"
			  "metadata: {name: pod}\n"
			  "spec:\n"
			  "  containers:\n"
			  "  - {name: main, resources: {requests: {cpu: 500m, memory: 1Gi}}}\n";

static double milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

static void parse(int (*read)(struct documents *, const char *, const char *, size_t,
			      struct problems *),
		  const char *text, struct documents *documents)
{
	struct problems problems = {0};

	read(documents, "bench", text, strlen(text), &problems);
	problems_print(&problems, stderr);
	if (problems.errors)
		exit(1);
	problems_free(&problems);
}

struct world {
	struct documents documents, pods;
	struct catalog *catalog;
	VEC(const struct offering *) offerings; /* of 2 to 16 cores, that the pool may buy */
	struct plan_existing existing[NODES];
	struct pod_template here[NODES]; /* what runs on each */
	struct disrupt_node nodes[NODES];
	char names[NODES][16];
};

static void world_offerings(struct world *world)
{
	for (size_t i = 0; i < world->catalog->count; i++) {
		const struct offering *offering = &world->catalog->offerings[i];

		if (offering->vcpus >= 2 && offering->vcpus <= 16 &&
		    !isnan(offering->usd_per_hour) &&
		    offering_matches(offering, &world->documents.pools.at[0]))
			*vec_push(&world->offerings) = offering;
	}
}

/* share: of each node's processor that its pods ask for; usd: of what its type costs, is paid. */
static void world_fill(struct world *world, double share, double usd)
{
	for (size_t i = 0; i < NODES; i++) {
		/* A prime spreads the nodes over families, sizes and zones. */
		const struct offering *offering =
			world->offerings.at[i * 7919 % world->offerings.count];
		double pods = share * (offering->vcpus - 0.1) / CPU_OF_A_POD;

		snprintf(world->names[i], sizeof(world->names[i]), "node-%zu", i);
		world->existing[i] =
			(struct plan_existing){.name = world->names[i],
					       .pool = "bench",
					       .offering = offering,
					       .usd_per_hour = usd * offering->usd_per_hour};
		world->here[i] = *world->pods.pods.at[0];
		world->here[i].source = POD_REPLICAS;
		world->here[i].node_name = world->names[i];
		world->here[i].replicas = MAX((uint32_t)pods, 1);
		world->nodes[i] = (struct disrupt_node){
			.name = world->names[i],
			.offering = offering,
			.usd_per_hour = usd * offering->usd_per_hour,
			.launched_wall_ns = WALL_NS - 3600 * NS_PER_S,
			.eviction_cost = world->here[i].replicas,
			.ours = true,
			.initialized = true,
			.ready = true,
		};
	}
}

static struct planner *world_plan(struct world *world)
{
	struct planner_config config;
	struct planner *planner;

	planner_config_default(&config);
	if (planner_new(&config, &world->documents, world->catalog, &planner) < 0)
		abort();
	for (size_t i = 0; i < NODES; i++)
		if (planner_add_existing(planner, &world->existing[i]) < 0)
			abort();
	for (size_t i = 0; i < NODES; i++)
		if (planner_add_pods(planner, &world->here[i]) < 0)
			abort();
	if (planner_solve(planner) < 0)
		abort();
	return planner;
}

static int double_compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static void search(struct world *world, const char *name)
{
	const struct pool *pool = &world->documents.pools.at[0];
	double times[RUNS], saved = 0;
	size_t questions = 0, commands = 0;

	for (size_t run = 0; run < RUNS; run++) {
		struct planner *planner = world_plan(world);
		struct disrupt_input input = {.pools = &pool,
					      .pools_count = 1,
					      .nodes = world->nodes,
					      .nodes_count = NODES,
					      .wall_ns = WALL_NS};
		struct disrupt_packed *packed;
		struct disrupt_plan plan;
		double began;

		disrupt_config_default(&input.config);
		if (disrupt_packed_new(planner, world->nodes, NODES, &packed) < 0)
			abort();
		input.world = disrupt_packed_world(packed);
		began = milliseconds();
		if (disrupt_search(&input, &plan) < 0)
			abort();
		times[run] = milliseconds() - began;
		questions = plan.simulations;
		commands = plan.commands.count;
		saved = plan.pools[0].usd_saved;
		disrupt_plan_free(&plan);
		disrupt_packed_free(packed);
		planner_free(planner);
	}
	qsort(times, RUNS, sizeof(*times), double_compare);
	printf("\"%s\":{\"ms\":%.2f,\"ms_worst\":%.2f,\"questions\":%zu,\"commands\":%zu,"
	       "\"usd_saved\":%.4f}",
	       name, times[RUNS / 2], times[RUNS - 1], questions, commands, saved);
}

int main(void)
{
	static struct world world;

	parse(documents_parse, DOCUMENTS, &world.documents);
	parse(pods_parse, POD, &world.pods);
	world.catalog = catalog_shipped();
	if (!world.catalog)
		return 1;
	world_offerings(&world);
	printf("{\"nodes\":%d,", NODES);
	world_fill(&world, 0.3, 1);
	search(&world, "half_empty");
	printf(",");
	world_fill(&world, 1, 0.1);
	search(&world, "full_and_cheap");
	printf("}\n");
	vec_free(&world.offerings);
	documents_free(&world.documents);
	documents_free(&world.pods);
	catalog_free(world.catalog);
	return 0;
}
