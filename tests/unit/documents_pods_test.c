/* SPDX-License-Identifier: Apache-2.0 */
/* Pods and workloads as a scheduler sees them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "documents/pods.h"

static void parse(struct documents *documents, const char *text)
{
	struct problems problems = {0};
	int r = pods_parse(documents, "pods.yaml", text, strlen(text), &problems);

	problems_print(&problems, stderr);
	problems_free(&problems);
	assert_int_equal(r, 0);
}

static double asks_for(const struct pod_template *pod, const char *name)
{
	vec_for_each (it, &pod->requests.list)
		if (strcmp(it->name, name) == 0)
			return it->amount;
	return 0;
}

#define POD "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {app: web}}\n"

static void requests_are_added_up_as_the_scheduler_does(void **unused)
{
	struct documents documents = {0};

	(void)unused;
	/* Containers 300m; a sidecar 200m before an init container of 400m: 600m is the most. */
	parse(&documents, POD
	      "spec:\n"
	      "  initContainers:\n"
	      "  - {name: side, restartPolicy: Always, resources: {requests: {cpu: 200m}}}\n"
	      "  - {name: init, resources: {requests: {cpu: 400m, memory: 1Gi}}}\n"
	      "  containers:\n"
	      "  - {name: a, resources: {requests: {cpu: 100m, memory: 100Mi}}}\n"
	      "  - {name: b, resources: {requests: {cpu: 200m}, limits: {memory: 200Mi, cpu: 1}}}\n"
	      "  overhead: {cpu: 50m}\n");
	assert_int_equal(documents.pods.count, 1);
	assert_true(asks_for(documents.pods.at[0], "cpu") == 0.65);
	assert_true(asks_for(documents.pods.at[0], "memory") == 1073741824.0);
	documents_free(&documents);
}

static void sums_are_exact(void **unused)
{
	struct documents documents = {0};

	(void)unused;
	parse(&documents, POD "spec: {containers: [{name: a, resources: {requests: {cpu: 100m}}},"
			      "{name: b, resources: {requests: {cpu: 0.2}}}]}\n");
	assert_true(asks_for(documents.pods.at[0], "cpu") == 0.3);
	documents_free(&documents);
}

static void what_the_pod_itself_asks_for_goes_before_its_containers(void **unused)
{
	struct documents documents = {0};

	(void)unused;
	parse(&documents, POD "spec: {resources: {requests: {cpu: 2}}, containers: [{name: a, "
			      "resources: {requests: {cpu: 500m, memory: 1Gi}}}]}\n");
	assert_true(asks_for(documents.pods.at[0], "cpu") == 2);
	assert_true(asks_for(documents.pods.at[0], "memory") == 1073741824.0);
	documents_free(&documents);
}

#define SPEC "spec: {containers: [{name: a}]}"
#define TEMPLATE "template: {metadata: {labels: {app: web}}, " SPEC "}"

static void every_kind_says_how_many_it_runs(void **unused)
{
	static const struct {
		const char *text;
		enum pod_source source;
		uint32_t replicas;
	} kinds[] = {
		{"{apiVersion: apps/v1, kind: Deployment, metadata: {name: w}, spec: {replicas: "
		 "3, " TEMPLATE "}}",
		 POD_REPLICAS, 3},
		{"{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: w}, spec: {" TEMPLATE
		 "}}",
		 POD_REPLICAS, 1},
		{"{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: w}, spec: {replicas: "
		 "0, " TEMPLATE "}}",
		 POD_REPLICAS, 0},
		{"{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: w}, spec: {" TEMPLATE
		 "}}",
		 POD_DAEMON, 1},
		{"{apiVersion: batch/v1, kind: Job, metadata: {name: w}, spec: {parallelism: 4, "
		 "completions: 2, " TEMPLATE "}}",
		 POD_REPLICAS, 2},
		{"{apiVersion: v1, kind: PodTemplate, metadata: {name: w}, " TEMPLATE "}",
		 POD_TEMPLATE, 1},
		{"{apiVersion: v1, kind: Pod, metadata: {name: w}, " SPEC
		 ", status: {phase: Succeeded}}",
		 POD_SINGLE, 0},
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct documents documents = {0};

		parse(&documents, kinds[i].text);
		assert_int_equal(documents.pods.count, 1);
		assert_int_equal(documents.pods.at[0]->source, kinds[i].source);
		assert_int_equal(documents.pods.at[0]->replicas, kinds[i].replicas);
		documents_free(&documents);
	}
}

static void a_list_of_json_is_read_as_the_same_yaml(void **unused)
{
	struct documents json = {0}, yaml = {0};

	(void)unused;
	parse(&json, "{\"items\": [{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": "
		     "{\"name\": \"\\u0061\"}, \"spec\": {\"containers\": [{\"name\": \"x\"}]}}, "
		     "{\"apiVersion\": \"v1\", \"kind\": \"Service\"}],\n"
		     "\"kind\": \"List\", \"apiVersion\": \"v1\"}");
	assert_int_equal(json.pods.count, 1);
	assert_string_equal(json.pods.at[0]->name, "a");
	parse(&yaml, "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: "
		     "{name: a}, " SPEC "}\n- {apiVersion: v1, kind: Service}\n");
	assert_int_equal(yaml.pods.count, 1);
	assert_string_equal(yaml.pods.at[0]->name, "a");
	documents_free(&json);
	documents_free(&yaml);
}

static void problems_of_json_have_their_place(void **unused)
{
	static const char text[] =
		"{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"a\"},\n"
		" \"spec\": {\"containers\": [{\"name\": \"x\",\n"
		"  \"resources\": {\"requests\": {\"cpu\": \"1,5\"}}}]}}";
	struct documents documents = {0};
	struct problems problems = {0};

	(void)unused;
	assert_int_equal(pods_parse(&documents, "p.json", text, strlen(text), &problems), -EINVAL);
	assert_int_equal(problems.list.count, 1);
	assert_string_equal(problems.list.at[0].where, "p.json:3:37");
	problems_free(&problems);
	documents_free(&documents);
}

static void tolerations_cover_taints_as_in_kubernetes(void **unused)
{
	static const struct taint taint = {"gpu", "true", TAINT_NO_SCHEDULE};
	static const struct {
		const char *toleration;
		bool covers;
	} cases[] = {
		{"{key: gpu, value: \"true\", effect: NoSchedule}", true},
		{"{key: gpu, value: \"true\"}", true},
		{"{key: gpu, operator: Exists}", true},
		{"{operator: Exists}", true},
		{"{key: gpu, value: \"false\"}", false},
		{"{key: gpu, operator: Exists, effect: NoExecute}", false},
		{"{key: other, operator: Exists}", false},
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text =
			str_printf(POD "spec: {tolerations: [%s], containers: [{name: a}]}\n",
				   cases[i].toleration);
		struct documents documents = {0};

		parse(&documents, text);
		assert_int_equal(pod_tolerates(documents.pods.at[0], &taint), cases[i].covers);
		documents_free(&documents);
	}
}

static void keys_of_labels_become_part_of_the_selector(void **unused)
{
	struct documents documents = {0};
	const struct pod_template *pod;

	(void)unused;
	parse(&documents, POD "spec:\n  containers: [{name: a}]\n  topologySpreadConstraints:\n"
			      "  - {maxSkew: 2, topologyKey: z, whenUnsatisfiable: DoNotSchedule, "
			      "labelSelector: {}, matchLabelKeys: [app, none]}\n");
	pod = documents.pods.at[0];
	assert_int_equal(pod->spread.at[0].selector.labels.list.count, 1);
	assert_string_equal(pod->spread.at[0].selector.labels.list.at[0].values[0], "web");
	assert_int_equal(pod->spread.at[0].max_skew, 2);
	documents_free(&documents);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_added_up_as_the_scheduler_does),
		cmocka_unit_test(sums_are_exact),
		cmocka_unit_test(what_the_pod_itself_asks_for_goes_before_its_containers),
		cmocka_unit_test(every_kind_says_how_many_it_runs),
		cmocka_unit_test(a_list_of_json_is_read_as_the_same_yaml),
		cmocka_unit_test(problems_of_json_have_their_place),
		cmocka_unit_test(tolerations_cover_taints_as_in_kubernetes),
		cmocka_unit_test(keys_of_labels_become_part_of_the_selector),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
