/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/lab_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cjson/cJSON.h>
#include <cmocka.h>

static const char YAML[] =
	"apiVersion: autoscaling/v2\n"
	"kind: HorizontalPodAutoscaler\n"
	"metadata: {name: web}\n"
	"spec:\n"
	"  scaleTargetRef: {apiVersion: karpenter.sh/v1, kind: NodePool, name: web}\n"
	"  minReplicas: 1\n"
	"  maxReplicas: 10\n"
	"  metrics:\n"
	"  - type: External\n"
	"    external:\n"
	"      metric:\n"
	"        name: forerun_accept_queue_depth\n"
	"        selector: {matchLabels: {port: \"80\"}}\n"
	"      target: {type: AverageValue, averageValue: \"50\"}\n"
	"  - type: External\n"
	"    external:\n"
	"      metric:\n"
	"        name: forerun_requests_per_second\n"
	"        selector: {matchLabels: {port: \"80\", window: 3s}}\n"
	"      target: {type: AverageValue, averageValue: \"80\"}\n"
	"  behavior:\n"
	"    scaleDown: {stabilizationWindowSeconds: 60}\n"
	"---\n"
	"apiVersion: karpenter.sh/v1\n"
	"kind: NodePool\n"
	"metadata: {name: web}\n"
	"spec:\n"
	"  template:\n"
	"    spec:\n"
	"      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: web}\n"
	"      requirements:\n"
	"      - {key: karpenter.k8s.aws/instance-family, operator: In, values: [m7g]}\n"
	"      - {key: topology.kubernetes.io/zone, operator: In, values: [eu-west-1c]}\n"
	"---\n"
	"apiVersion: karpenter.k8s.aws/v1\n"
	"kind: EC2NodeClass\n"
	"metadata: {name: web}\n"
	"spec:\n"
	"  amiSelectorTerms: [{alias: al2023@latest}]\n"
	"  role: web\n"
	"  subnetSelectorTerms: [{tags: {service: web}}]\n"
	"  securityGroupSelectorTerms: [{tags: {service: web}}]\n";

struct fixture {
	struct documents documents;
	struct lab_config config;
	char *printed;
	size_t length;
	char path[64];
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct problems problems = {0};
	int fd;

	documents_parse(&fixture->documents, "lab.yaml", YAML, strlen(YAML), &problems);
	documents_check(&fixture->documents, &problems);
	problems_print(&problems, stderr);
	assert_int_equal(problems.errors, 0);
	problems_free(&problems);
	lab_config_default(&fixture->config);
	fixture->config.documents = &fixture->documents;
	fixture->config.out = open_memstream(&fixture->printed, &fixture->length);
	strcpy(fixture->path, "/tmp/lab_simulate_XXXXXX");
	fd = mkstemp(fixture->path);
	assert_true(fd >= 0);
	close(fd);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	if (fixture->config.out)
		fclose(fixture->config.out);
	free(fixture->printed);
	documents_free(&fixture->documents);
	unlink(fixture->path);
	free(fixture);
	return 0;
}

/* What was printed since the last time. */
static char *printed(struct fixture *fixture)
{
	char *text;

	fclose(fixture->config.out);
	text = fixture->printed;
	fixture->config.out = open_memstream(&fixture->printed, &fixture->length);
	return text;
}

#define STEP "step:at=10s,from=50,to=400,capacity=100"

static void a_step_of_load_buys_what_it_needs(void **state)
{
	struct fixture *fixture = *state;
	struct lab_result result;
	_cleanup_free_ char *text = NULL;

	assert_int_equal(lab_generate(&fixture->config, STEP, 90, &result), 0);
	text = printed(fixture);
	if (getenv("LAB_PRINT"))
		fputs(text, stderr);
	assert_float_equal(result.seconds, 90, 1e-6);
	assert_int_equal(result.samples, 901);
	/* 400 a second at 80 each are 5; the queue that grew meanwhile may ask for more. */
	assert_in_range(result.instances_launched, 4, 9);
	assert_int_equal(result.instances_terminated, 0);
	assert_true(result.usd > 0 && result.instance_hours > 0);
	assert_non_null(strstr(text, "DECIDED"));
	assert_non_null(strstr(text, "needs-capacity"));
	assert_non_null(strstr(text, "m7g."));
	assert_non_null(strstr(text, "eu-west-1c"));
	assert_non_null(strstr(text, "running"));
	assert_non_null(strstr(text, "serves"));
}

static void the_same_load_gives_the_same_answer(void **state)
{
	struct fixture *fixture = *state;
	struct lab_result first, second;
	_cleanup_free_ char *before = NULL, *after = NULL;

	assert_int_equal(lab_generate(&fixture->config, STEP, 60, &first), 0);
	before = printed(fixture);
	assert_int_equal(lab_generate(&fixture->config, STEP, 60, &second), 0);
	after = printed(fixture);
	assert_string_equal(before, after);
	assert_memory_equal(&first, &second, sizeof(first));
}

/* The simulated second at which the third replica was decided. */
static double third_decided_at(struct fixture *fixture, uint64_t lead_seconds)
{
	_cleanup_free_ char *text = NULL;
	struct lab_result result;
	const char *at;

	fixture->config.limits.lead_time_ns = lead_seconds * NS_PER_S;
	assert_int_equal(lab_generate(&fixture->config,
				      "ramp:at=10s,over=60s,from=50,to=400,capacity=1000", 60,
				      &result),
			 0);
	text = printed(fixture);
	if (lead_seconds > 1)
		assert_non_null(strstr(text, "(forecast)"));
	at = strstr(text, "2 -> 3 replicas (3 wanted)");
	assert_non_null(at);
	while (at > text && at[-1] != '\n')
		at--;
	return strtod(at, NULL);
}

/* A load that rises is met by as much earlier as capacity takes to come. */
static void a_ramp_is_met_ahead_on_the_forecast(void **state)
{
	struct fixture *fixture = *state;
	double ahead = third_decided_at(fixture, 40);
	double behind = third_decided_at(fixture, 1);

	if (!(ahead > 10 && ahead + 5 < behind))
		fail_msg("third replica at %g s with the forecast, at %g s without", ahead, behind);
}

static void a_spike_is_given_back(void **state)
{
	struct fixture *fixture = *state;
	struct lab_result result;

	assert_int_equal(lab_generate(&fixture->config,
				      "spike:at=10s,over=30s,from=20,to=300,capacity=100", 600,
				      &result),
			 0);
	assert_true(result.instances_launched > 0);
	assert_int_equal(result.instances_terminated, result.instances_launched);
	assert_true(result.instance_hours < 600.0 / 3600 * (double)result.instances_launched);
}

static void a_quiet_load_buys_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct lab_result result;

	assert_int_equal(
		lab_generate(&fixture->config, "step:from=50,to=60,capacity=100", 120, &result), 0);
	assert_int_equal(result.instances_launched, 0);
	assert_int_equal(result.decisions, 0);
}

static void json_is_one_object_a_line(void **state)
{
	struct fixture *fixture = *state;
	struct lab_result result;
	_cleanup_free_ char *text = NULL;
	char *rest, *line;
	int lines = 0;

	fixture->config.json = true;
	assert_int_equal(lab_generate(&fixture->config, STEP, 60, &result), 0);
	text = rest = printed(fixture);
	while ((line = strsep(&rest, "\n")) && *line) {
		cJSON *json = cJSON_Parse(line);

		assert_non_null(json);
		assert_non_null(cJSON_GetObjectItem(json, "type"));
		assert_true(cJSON_IsNumber(cJSON_GetObjectItem(json, "seconds")));
		cJSON_Delete(json);
		lines++;
	}
	assert_true(lines > 20);
}

/* ---- recordings ---- */

static void listener_make(struct recorded *one, uint64_t i)
{
	struct listener_sample *listener = &one->listeners.at[0];

	listener->id = 0x100000007;
	listener->slot = 7;
	listener->generation = 1;
	listener->family = AF_INET6;
	listener->port = 80;
	listener->address[15] = 1;
	listener->sockets = 1;
	listener->queue_depth = listener->queue_worst_depth = listener->queue_peak =
		i > 20 ? 300 : 0;
	listener->queue_limit = listener->queue_worst_limit = 511;
	listener->requests = i * 20;
	listener->responses = i * 20 - (i > 20 ? 5 : 0);
	listener->established = listener->syns = i * 20 + listener->queue_depth;
	listener->accepted = i * 20;
	listener->in_flight = i > 20 ? 5 : 0;
	listener->response_ns = i * 20 * NS_PER_MS;
	strcpy(listener->comm, "nginx");
	one->buckets[80] = i * 20;
}

static void recorded_make(struct recorded *one, uint64_t i)
{
	recorded_clear(one);
	vec_push(&one->listeners);
	vec_push(&one->owners);
	vec_push(&one->placed);
	one->buckets = vec_grow(one->buckets, &one->buckets_capacity, PROBE_BUCKETS,
				sizeof(*one->buckets));
	memset(one->buckets, 0, PROBE_BUCKETS * sizeof(*one->buckets));
	listener_make(one, i);
	one->owners.at[0].kind = OWNER_UNIT;
	one->owners.at[0].cgroup_id = 42;
	strcpy(one->owners.at[0].name, "nginx \"web\".service");
	one->placed.at[0].usage = (struct usage){.time_ns = 1000 * NS_PER_S + i * 100 * NS_PER_MS,
						 .cpu_known = true,
						 .cpu_ns = i * 95 * NS_PER_MS};
	one->host = one->placed.at[0].usage;
	one->host.cpu_limit_known = true;
	one->host.cpu_limit_cores = 1;
	one->sample.time_ns = 1000 * NS_PER_S + i * 100 * NS_PER_MS;
	recorded_link(one);
}

static void what_is_recorded_is_read_back(void **state)
{
	struct fixture *fixture = *state;
	struct recorded written = {0}, read = {0};
	_cleanup_free_ char *line = NULL;
	size_t length = 0;
	char reason[160];
	FILE *file = open_memstream(&line, &length);

	(void)fixture;
	recorded_make(&written, 33);
	assert_int_equal(lab_record(file, &written.sample, written.placed.at, &written.host), 0);
	fclose(file);
	if (recorded_parse(line, length, &read, reason) < 0)
		fail_msg("%s", reason);
	assert_true(read.sample.time_ns == written.sample.time_ns);
	assert_int_equal(read.sample.count, 1);
	assert_memory_equal(&read.host, &written.host, sizeof(read.host));
	assert_memory_equal(&read.placed.at[0].usage, &written.placed.at[0].usage,
			    sizeof(struct usage));
	assert_memory_equal(&read.owners.at[0], &written.owners.at[0], sizeof(struct owner));
	assert_memory_equal(read.buckets, written.buckets, PROBE_BUCKETS * sizeof(uint64_t));
	read.listeners.at[0].response_buckets = written.listeners.at[0].response_buckets;
	assert_memory_equal(&read.listeners.at[0], &written.listeners.at[0],
			    sizeof(struct listener_sample));
	recorded_free(&written);
	recorded_free(&read);
}

static void record_to(const char *path, uint64_t samples, const char *last)
{
	struct recorded one = {0};
	FILE *file = fopen(path, "w");

	for (uint64_t i = 1; i <= samples; i++) {
		recorded_make(&one, i);
		assert_int_equal(lab_record(file, &one.sample, one.placed.at, &one.host), 0);
	}
	fputs(last, file);
	fclose(file);
	recorded_free(&one);
}

static void a_recording_is_replayed(void **state)
{
	struct fixture *fixture = *state;
	struct lab_result result;
	_cleanup_free_ char *text = NULL;

	record_to(fixture->path, 100, "");
	assert_int_equal(lab_replay(&fixture->config, fixture->path, &result), 0);
	text = printed(fixture);
	assert_int_equal(result.samples, 100);
	assert_float_equal(result.seconds, 9.9, 1e-6);
	assert_true(result.instances_launched > 0);
	assert_non_null(strstr(text, "[::1]:80"));
}

static char said[512];
static void remember(void *arg, enum log_level level, const char *line)
{
	(void)arg;
	(void)level;
	snprintf(said, sizeof(said), "%s", line);
}

static void a_damaged_recording_names_its_line(void **state)
{
	static const struct {
		const char *last, *says;
	} rows[] = {
		{"nonsense\n", ":4: expected a JSON object"},
		{"{\"v\":1,\"listeners\":[]}\n", ":4: expected a \"time_ns\""},
		{"{\"v\":1,\"time_ns\":5,\"listeners\":[]}\n",
		 ":4: found a time_ns that is not later"},
		{"{\"v\":1,\"time_ns\":2e12,\"listeners\":[{}]}\n", ":4: listener 0: found id"},
		{"{\"v\":1,\"time_ns\":2e12,\"listeners\":[{\"id\":\"1\"}]}\n",
		 "hexadecimal digits"},
		{"{\"v\":2,\"time_ns\":2e12,\"listeners\":[]}\n", ":4: expected a JSON object"},
	};
	struct fixture *fixture = *state;
	struct lab_result result;

	log_set_sink(remember, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		record_to(fixture->path, 3, rows[i].last);
		assert_int_equal(lab_replay(&fixture->config, fixture->path, &result),
				 -EBADMSG + (i == 2 ? EBADMSG - EINVAL : 0));
		if (!strstr(said, rows[i].says) || !strstr(said, fixture->path))
			fail_msg("\"%s\" does not say \"%s\"", said, rows[i].says);
	}
	record_to(fixture->path, 0, "");
	assert_int_equal(lab_replay(&fixture->config, fixture->path, &result), -ENODATA);
	assert_int_equal(lab_replay(&fixture->config, "/nowhere/at/all", &result), -ENOENT);
	log_set_sink(NULL, NULL);
}

static void a_shape_that_is_none_is_refused(void **state)
{
	static const char *const shapes[] = {
		"",	     "triangle:at=1s",	"step:at=1",	  "step:at",
		"step:to=x", "step:capacity=0", "step:color=red", "step:from=-1",
	};
	struct fixture *fixture = *state;
	struct lab_result result;

	log_set_sink(remember, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		said[0] = '\0';
		assert_int_equal(lab_generate(&fixture->config, shapes[i], 10, &result), -EINVAL);
		assert_non_null(strstr(said, "expected"));
	}
	assert_int_equal(lab_generate(&fixture->config, STEP, -1, &result), -EINVAL);
	log_set_sink(NULL, NULL);
}

static void shapes_have_the_rates_they_say(void **state)
{
	struct shape shape;
	char reason[200];

	(void)state;
	assert_int_equal(shape_parse("ramp:at=10s,over=10s,from=10,to=30", &shape, reason), 0);
	assert_float_equal(shape_rate(&shape, 5), 10, 1e-9);
	assert_float_equal(shape_rate(&shape, 15), 20, 1e-9);
	assert_float_equal(shape_rate(&shape, 100), 30, 1e-9);
	assert_int_equal(shape_parse("wave:at=0s,over=10s,from=10,to=30", &shape, reason), 0);
	assert_float_equal(shape_rate(&shape, 5), 30, 1e-9);
	assert_float_equal(shape_rate(&shape, 10), 10, 1e-9);
	assert_int_equal(shape_parse("spike:at=1s,over=2s,from=1,to=9", &shape, reason), 0);
	assert_float_equal(shape_rate(&shape, 2.9), 9, 1e-9);
	assert_float_equal(shape_rate(&shape, 3.1), 1, 1e-9);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_step_of_load_buys_what_it_needs),
		TEST(the_same_load_gives_the_same_answer),
		TEST(a_ramp_is_met_ahead_on_the_forecast),
		TEST(a_spike_is_given_back),
		TEST(a_quiet_load_buys_nothing),
		TEST(json_is_one_object_a_line),
		TEST(what_is_recorded_is_read_back),
		TEST(a_recording_is_replayed),
		TEST(a_damaged_recording_names_its_line),
		TEST(a_shape_that_is_none_is_refused),
		TEST(shapes_have_the_rates_they_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
