/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a start costs a core: a journal of so many decisions, each with a launch that served and
 * ended, is replayed; then one that holds so many instances, and EC2 shows them all. Times are CPU
 * time of this thread. Prints one JSON object.
 *
 *	bench_replay [DECISIONS [INSTANCES]]	default 100000 10000
 */
#include <math.h>
#include <time.h>

#include "core/core.h"

#define EPOCH_US 1700000000000000ULL
#define A_MINUTE_US 60000000ULL

static const char DOCUMENTS[] =
	"apiVersion: autoscaling/v2\n"
	"kind: HorizontalPodAutoscaler\n"
	"metadata: {name: web}\n"
	"spec:\n"
	"  scaleTargetRef: {apiVersion: karpenter.sh/v1, kind: NodePool, name: web}\n"
	"  maxReplicas: 20000\n"
	"---\n"
	"apiVersion: karpenter.sh/v1\n"
	"kind: NodePool\n"
	"metadata: {name: web}\n"
	"spec: {template: {spec: {nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, "
	"name: web}, requirements: []}}}\n"
	"---\n"
	"apiVersion: karpenter.k8s.aws/v1\n"
	"kind: EC2NodeClass\n"
	"metadata: {name: web}\n"
	"spec:\n"
	"  amiSelectorTerms: [{id: ami-0123456789abcdef0}]\n"
	"  amiFamily: AL2023\n"
	"  role: web\n"
	"  subnetSelectorTerms: [{id: subnet-0123456789abcdef0}]\n"
	"  securityGroupSelectorTerms: [{id: sg-0123456789abcdef0}]\n";

#define BATCH 1000 /* lines, between two looks at the clock */

struct bench {
	struct documents documents;
	struct core *core;
	struct text line;
	VEC(char *) batch;
	uint64_t lines, bytes;
	double seconds; /* in core_replay() alone */
};

static double cpu_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void replay_batch(struct bench *bench)
{
	char reason[160];
	double from = cpu_seconds();

	vec_for_each (line, &bench->batch)
		if (core_replay(bench->core, *line, strlen(*line), reason) < 0) {
			fprintf(stderr, "%s: %s\n", reason, *line);
			exit(1);
		}
	bench->seconds += cpu_seconds() - from;
	vec_for_each (line, &bench->batch)
		free(*line);
	vec_clear(&bench->batch);
}

static void replay(struct bench *bench)
{
	bench->lines++;
	bench->bytes += bench->line.length;
	*vec_push(&bench->batch) = text_take(&bench->line);
	if (bench->batch.count == BATCH)
		replay_batch(bench);
}

static void begin(struct bench *bench, const char *kind, uint64_t at_us)
{
	text_printf(&bench->line, "{\"v\":1,\"t\":\"%s\",\"wall_us\":%llu", kind,
		    (unsigned long long)at_us);
}

static void decision_line(struct bench *bench, size_t i, uint64_t at_us)
{
	begin(bench, "decision", at_us);
	text_printf(&bench->line,
		    ",\"id\":\"fr-552c59e7-%zx-1\",\"kind\":\"scale-up\",\"mode\":\"act\","
		    "\"policy\":\"web\",\"pool\":\"web\",\"mono_us\":%llu,\"edge_us\":0,"
		    "\"before\":1,\"wanted\":2,\"decided\":2,\"count\":1,\"epoch\":0,"
		    "\"signals\":\"forerun_accept_queue_depth: 35, forecast 41.2, 1 matching, "
		    "oldest 0.4 ms\\n  0.0.0.0:80 (nginx.service): 35, 0.4 ms old, "
		    "needs-capacity: 35 wait, the CPU is busy\","
		    "\"arithmetic\":\"forerun_accept_queue_depth: ceil(35 / 10) = 4\\nhighest of "
		    "1: 4\\nscaleUp window 0 s: 4\\nwithin 1 and 10: 4\","
		    "\"limits\":\"minReplicas 1, maxReplicas 10: DesiredWithinRange\\nlaunches "
		    "per minute: 0 of 20 used, 1 wanted: not bound\\nusd per hour: no limit (0.03 "
		    "now)\"}",
		    i, (unsigned long long)(at_us - EPOCH_US));
	replay(bench);
}

static void order_line(struct bench *bench, size_t i, uint64_t at_us)
{
	begin(bench, "order", at_us);
	text_printf(&bench->line,
		    ",\"decision\":\"fr-552c59e7-%zx-1\",\"token\":\"fr-7e2ee84a9c9256ba-%zu\","
		    "\"pool\":\"web\",\"policy\":\"web\",\"capacity_type\":\"spot\",\"attempt\":1,"
		    "\"count\":1,\"failed\":0,\"sequence\":%zu,\"epoch\":0,\"overrides\":[",
		    i, i, i);
	for (int o = 0; o < 4; o++)
		text_printf(&bench->line,
			    "%s[\"m5.large\",\"subnet-0123456789abcdef%d\",\"us-east-1a\","
			    "\"forerun-web-4f1c2a\",-1,0.0312,2,8192]",
			    o ? "," : "", o);
	text_add(&bench->line, "],\"tags\":[[\"Name\",\"forerun/web\"],[\"forerun.dev/owner\","
			       "\"default\"],[\"forerun.dev/policy\",\"web\"]]}");
	replay(bench);
}

static void result_line(struct bench *bench, size_t i, uint64_t at_us)
{
	begin(bench, "result", at_us);
	text_printf(&bench->line,
		    ",\"token\":\"fr-7e2ee84a9c9256ba-%zu\",\"outcome\":\"done\","
		    "\"throttled\":false,\"request_id\":\"11111111-2222-3333-4444-555555555555\","
		    "\"fleet_id\":\"fleet-1\",\"error_code\":\"\",\"error_text\":\"\","
		    "\"instances\":[[\"i-%017zx\",\"m5.large\",\"us-east-1a\"]],\"failures\":[]}",
		    i, i);
	replay(bench);
}

static void step_line(struct bench *bench, size_t i, uint64_t at_us, const char *text)
{
	begin(bench, "step", at_us);
	text_printf(&bench->line,
		    ",\"decision\":\"fr-552c59e7-%zx-1\",\"mono_us\":%llu,\"text\":\"%s\"}", i,
		    (unsigned long long)(at_us - EPOCH_US), text);
	replay(bench);
}

static void instance_line(struct bench *bench, size_t i, uint64_t at_us, const char *state)
{
	begin(bench, "instance", at_us);
	text_printf(&bench->line, ",\"id\":\"i-%017zx\",\"state\":\"%s\"}", i, state);
	replay(bench);
}

static void closed_line(struct bench *bench, size_t i, uint64_t at_us)
{
	begin(bench, "closed", at_us);
	text_printf(&bench->line,
		    ",\"decision\":\"fr-552c59e7-%zx-1\",\"launched\":1,\"failed\":0}", i);
	replay(bench);
}

/* ends: it was terminated an hour later. */
static void one_decision(struct bench *bench, size_t i, bool ends)
{
	uint64_t at_us = EPOCH_US + i * A_MINUTE_US;

	decision_line(bench, i, at_us);
	order_line(bench, i, at_us);
	step_line(bench, i, at_us, "CreateFleet on the wire: 1 spot, 4 overrides");
	result_line(bench, i, at_us + 900000);
	step_line(bench, i, at_us + 900000, "EC2 answered done: 1 launched");
	instance_line(bench, i, at_us + 20000000, "running");
	step_line(bench, i, at_us + 20000000, "i-0 (m5.large, us-east-1a) running");
	instance_line(bench, i, at_us + 40000000, "serving");
	closed_line(bench, i, at_us + 40000000);
	if (ends && i > 60)
		instance_line(bench, i - 60, at_us, "gone");
}

static void core_make(struct bench *bench)
{
	const struct core_effects effects = {0};
	struct core_config config = {.mode = MODE_OBSERVE, .owner = "default"};

	core_limits_default(&config.limits);
	if (core_new(&config, &bench->documents, &effects, &bench->core) < 0)
		exit(1);
}

static double reconcile(struct bench *bench, size_t instances)
{
	struct moment now = {1000000 * NS_PER_S,
			     (EPOCH_US + (instances + 10) * A_MINUTE_US) * NS_PER_US};
	struct instance_view *views = calloc(instances + 1, sizeof(*views));
	struct fleet_view view = {views, instances, now.mono_ns + 1};
	double from;

	if (!views)
		exit(1);
	for (size_t i = 1; i <= instances; i++) {
		struct instance_view *at = &views[i - 1];

		snprintf(at->id, sizeof(at->id), "i-%017zx", i);
		snprintf(at->decision, sizeof(at->decision), "fr-552c59e7-%zx-1", i);
		snprintf(at->token, sizeof(at->token), "fr-7e2ee84a9c9256ba-%zu", i);
		snprintf(at->instance_type, sizeof(at->instance_type), "m5.large");
		snprintf(at->pool, sizeof(at->pool), "web");
		snprintf(at->policy, sizeof(at->policy), "web");
		at->state = INSTANCE_RUNNING;
		at->owned = true;
	}
	core_start(bench->core, now);
	from = cpu_seconds();
	core_fleet(bench->core, &view, now);
	from = cpu_seconds() - from;
	free(views);
	return from;
}

int main(int argc, char **argv)
{
	size_t decisions = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
	size_t instances = argc > 2 ? strtoul(argv[2], NULL, 10) : 10000;
	struct problems problems = {0};
	struct bench bench = {0};
	double replayed, shown, adopted;

	documents_parse(&bench.documents, "bench.yaml", DOCUMENTS, strlen(DOCUMENTS), &problems);
	core_make(&bench);
	for (size_t i = 1; i <= decisions; i++)
		one_decision(&bench, i, true);
	replay_batch(&bench);
	replayed = bench.seconds;
	printf("{\"decisions\":%zu,\"lines\":%llu,\"bytes\":%llu,\"replay_cpu_seconds\":%.3f",
	       decisions, (unsigned long long)bench.lines, (unsigned long long)bench.bytes,
	       replayed);
	core_free(bench.core);
	core_make(&bench);
	for (size_t i = 1; i <= instances; i++)
		one_decision(&bench, i, false);
	replay_batch(&bench);
	shown = reconcile(&bench, instances);
	core_free(bench.core);
	core_make(&bench);
	adopted = reconcile(&bench, instances);
	printf(",\"instances\":%zu,\"known_cpu_ms\":%.3f,\"adopted_cpu_ms\":%.3f}\n", instances,
	       1e3 * shown, 1e3 * adopted);
	core_free(bench.core);
	documents_free(&bench.documents);
	text_free(&bench.line);
	vec_free(&bench.batch);
	return 0;
}
