/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What deciding costs a core: so many services with a policy and hosts each, all of them evaluated
 * in a tick; a frame of one host; an edge. Times are CPU time of this thread, so that neighbours on
 * the machine weigh little. Prints one JSON object.
 *
 *	bench_core [SERVICES [HOSTS [LISTENERS]]]	default 10000 10000 8
 */
#include <math.h>
#include <sys/socket.h>
#include <time.h>

#include "core/core.h"

#define TICKS 20
#define POOLS 100
#define POLICIES_A_FILE 1000
#define METRIC METRIC_ACCEPT_QUEUE_DEPTH

static double cpu_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- documents ---- */

static void add_policy(struct text *yaml, size_t i)
{
	text_printf(
		yaml,
		"---\n"
		"apiVersion: autoscaling/v2\n"
		"kind: HorizontalPodAutoscaler\n"
		"metadata: {name: service-%zu, annotations: {forerun.dev/service: s%zu}}\n"
		"spec:\n"
		"  scaleTargetRef: {apiVersion: karpenter.sh/v1, kind: NodePool, name: pool-%zu}\n"
		"  maxReplicas: 1000\n"
		"  metrics:\n"
		"  - type: External\n"
		"    external:\n"
		"      metric:\n"
		"        name: forerun_accept_queue_depth\n"
		"        selector: {matchLabels: {port: \"80\"}}\n"
		"      target: {type: AverageValue, averageValue: \"10\"}\n"
		"  behavior: {scaleDown: {stabilizationWindowSeconds: 60}}\n",
		i, i, i % POOLS);
}

static void add_pool(struct text *yaml, size_t i)
{
	text_printf(
		yaml,
		"---\n"
		"apiVersion: karpenter.sh/v1\n"
		"kind: NodePool\n"
		"metadata: {name: pool-%zu}\n"
		"spec:\n"
		"  template:\n"
		"    spec:\n"
		"      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: web}\n"
		"      requirements: []\n",
		i);
}

static void parse(struct documents *documents, struct text *yaml, struct problems *problems)
{
	documents_parse(documents, "bench.yaml", yaml->data, yaml->length, problems);
	text_clear(yaml);
}

/* As several files: one may not be larger than a mebibyte. */
static void documents_make(struct documents *documents, size_t services)
{
	_cleanup_text_ struct text yaml = {0};
	struct problems problems = {0};

	for (size_t i = 0; i < services; i++) {
		add_policy(&yaml, i);
		if (i % POLICIES_A_FILE == POLICIES_A_FILE - 1 || i == services - 1)
			parse(documents, &yaml, &problems);
	}
	for (size_t i = 0; i < MIN(POOLS, services); i++)
		add_pool(&yaml, i);
	text_add(&yaml, "---\n"
			"apiVersion: karpenter.k8s.aws/v1\n"
			"kind: EC2NodeClass\n"
			"metadata: {name: web}\n"
			"spec:\n"
			"  amiSelectorTerms: [{id: ami-0123456789abcdef0}]\n"
			"  amiFamily: AL2023\n"
			"  role: web\n"
			"  subnetSelectorTerms: [{id: subnet-0123456789abcdef0}]\n"
			"  securityGroupSelectorTerms: [{id: sg-0123456789abcdef0}]\n");
	parse(documents, &yaml, &problems);
	if (!problems.errors)
		documents_check(documents, &problems);
	problems_print(&problems, stderr);
	if (problems.errors)
		exit(1);
	problems_free(&problems);
}

/* ---- frames ---- */

struct bench {
	struct core *core;
	struct documents documents;
	struct moment now;
	struct indicator *listeners;
	size_t services, hosts, listeners_count;
	uint64_t sequence;
};

static void listeners_make(struct bench *bench)
{
	bench->listeners = calloc(bench->listeners_count, sizeof(*bench->listeners));
	if (!bench->listeners)
		abort();
	for (size_t i = 0; i < bench->listeners_count; i++) {
		struct indicator *listener = &bench->listeners[i];

		for (size_t m = 0; m < METRIC_COUNT; m++)
			for (size_t s = 0; s < STAT_COUNT; s++)
				listener->value[m][s] = NAN;
		listener->id = i + 1;
		listener->family = AF_INET;
		listener->port = (uint16_t)(80 + i);
		listener->owner.kind = OWNER_UNIT;
		listener->owner.cgroup_id = 100 + i;
		strcpy(listener->owner.name, "nginx.service");
		strcpy(listener->owner.unit, "nginx.service");
		listener->diagnosis = DIAGNOSIS_OK;
		listener->responses = 1;
	}
}

static void report(struct bench *bench, size_t host, bool edge, double depth)
{
	struct frame frame = {.kind = edge ? FRAME_EDGE : FRAME_TICK,
			      .sequence = ++bench->sequence,
			      .edge_ns = edge,
			      .host_cpu_cores = 1,
			      .host_cpus = 2,
			      .indicators = bench->listeners,
			      .count = bench->listeners_count};

	snprintf(frame.host, sizeof(frame.host), "host-%zu", host);
	snprintf(frame.instance_id, sizeof(frame.instance_id), "i-%017zx", host);
	snprintf(frame.services, sizeof(frame.services), "s%zu", host % bench->services);
	for (size_t s = 0; s < STAT_COUNT; s++)
		bench->listeners[0].value[METRIC][s] = depth;
	bench->listeners[0].value[METRIC][STAT_TREND] = 0;
	for (size_t i = 0; i < bench->listeners_count; i++)
		bench->listeners[i].time_ns = bench->now.mono_ns;
	core_frame(bench->core, &frame, bench->now);
}

static void pass(struct bench *bench, uint64_t ns)
{
	bench->now.mono_ns += ns;
	bench->now.wall_ns += ns;
}

/* Every host once, spread over that time. */
static double round_of_frames(struct bench *bench, uint64_t ns)
{
	double before = cpu_seconds();

	for (size_t host = 0; host < bench->hosts; host++) {
		pass(bench, ns / bench->hosts);
		report(bench, host, false, 6 + (double)(host % 7));
	}
	return cpu_seconds() - before;
}

/* All policies, whatever they were evaluated on a moment ago. */
static double full_tick(struct bench *bench)
{
	struct core_totals totals, after;
	double before;

	core_totals(bench->core, &totals);
	pass(bench, 1001 * NS_PER_MS);
	before = cpu_seconds();
	core_tick(bench->core, bench->now);
	before = cpu_seconds() - before;
	core_totals(bench->core, &after);
	if (after.evaluations - totals.evaluations != bench->services) {
		fprintf(stderr, "%llu of %zu policies were evaluated\n",
			(unsigned long long)(after.evaluations - totals.evaluations),
			bench->services);
		exit(1);
	}
	return before;
}

static double edges(struct bench *bench, size_t count)
{
	double before = cpu_seconds();

	for (size_t i = 0; i < count; i++) {
		pass(bench, 10 * NS_PER_MS);
		report(bench, (i * 7919) % bench->hosts, true, 25);
	}
	return cpu_seconds() - before;
}

/* ---- the worst ---- */

/* A surge everywhere at once, of which the brakes let a little through: every policy wants more,
 * and is held, on every tick. */
static void surge(struct bench *bench)
{
	static const struct subnet subnet = {"subnet-a", "us-east-1a", 4000};
	static const struct launch_template template = {ARCH_AMD64, CAPACITY_ON_DEMAND, "web",
							"ami-1"};
	static const struct offering offering = {.instance_type = "m5.large",
						 .zone = "us-east-1a",
						 .capacity_type = CAPACITY_ON_DEMAND,
						 .vcpus = 2,
						 .memory_mib = 8192,
						 .usd_per_hour = 0.096};
	const struct class_view class = {.name = "web",
					 .ready = true,
					 .subnets = &subnet,
					 .subnets_count = 1,
					 .templates = &template,
					 .templates_count = 1};
	const struct catalog catalog = {.offerings = &offering, .count = 1};
	const struct fleet_view fleet = {.asked_ns = bench->now.mono_ns};

	core_catalog(bench->core, &catalog);
	core_class(bench->core, &class);
	core_fleet(bench->core, &fleet, bench->now);
	for (int i = 0; i < 3; i++) {
		for (size_t host = 0; host < bench->hosts; host++) {
			pass(bench, NS_PER_S / bench->hosts);
			report(bench, host, false, 25);
		}
		core_tick(bench->core, bench->now);
	}
}

static void no_launch(void *arg, const struct launch_order *order)
{
	(void)arg;
	(void)order;
}

/* ---- the whole ---- */

static size_t number_of(int argc, char **argv, int index, size_t otherwise)
{
	uint64_t value = otherwise;

	if (argc > index && (parse_u64(argv[index], &value) < 0 || !value)) {
		fprintf(stderr, "found \"%s\", expected a number from 1\n", argv[index]);
		exit(1);
	}
	return (size_t)value;
}

static int double_compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static void bench_start(struct bench *bench)
{
	struct core_config config = {.mode = MODE_ACT, .fleet = true, .host = "bench"};
	const struct core_effects effects = {.launch = no_launch};

	core_limits_default(&config.limits);
	bench->now = (struct moment){1000 * NS_PER_S, 1700000000 * NS_PER_S};
	documents_make(&bench->documents, bench->services);
	listeners_make(bench);
	if (core_new(&config, &bench->documents, &effects, &bench->core) < 0)
		abort();
	core_start(bench->core, bench->now);
}

int main(int argc, char **argv)
{
	struct bench bench = {.services = number_of(argc, argv, 1, 10000),
			      .hosts = number_of(argc, argv, 2, 10000),
			      .listeners_count = number_of(argc, argv, 3, 8)};
	double ticks[TICKS], frames, first, per_edge, held;
	size_t edges_sent = 1000;

	bench_start(&bench);
	first = round_of_frames(&bench, NS_PER_S);
	for (int i = 0; i < 4; i++)
		round_of_frames(&bench, NS_PER_S);
	frames = round_of_frames(&bench, NS_PER_S);
	for (size_t i = 0; i < TICKS; i++) {
		ticks[i] = full_tick(&bench);
		round_of_frames(&bench, NS_PER_S);
	}
	per_edge = edges(&bench, edges_sent) / (double)edges_sent;
	surge(&bench);
	held = full_tick(&bench);
	qsort(ticks, TICKS, sizeof(*ticks), double_compare);
	printf("{\"services\":%zu,\"hosts\":%zu,\"listeners\":%zu,\"tick_ms\":%.3f,"
	       "\"tick_ms_worst\":%.3f,\"frame_us\":%.3f,\"first_frame_us\":%.3f,\"edge_us\":%.3f,"
	       "\"held_tick_ms\":%.3f}"
	       "\n",
	       bench.services, bench.hosts, bench.listeners_count, 1e3 * ticks[TICKS / 2],
	       1e3 * ticks[TICKS - 1], 1e6 * frames / (double)bench.hosts,
	       1e6 * first / (double)bench.hosts, 1e6 * per_edge, 1e3 * held);
	core_free(bench.core);
	documents_free(&bench.documents);
	free(bench.listeners);
	return 0;
}
