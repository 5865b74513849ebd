/* SPDX-License-Identifier: Apache-2.0 */
/* What is right in a document arrives whole; what is wrong is held by documents_bad_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>

#include "documents/documents.h"

#define EXAMPLES "deploy/examples/standalone/"

static void parse(struct documents *documents, const char *text)
{
	struct problems problems = {0};
	int r = documents_parse(documents, "test.yaml", text, strlen(text), &problems);

	problems_print(&problems, stderr);
	problems_free(&problems);
	assert_int_equal(r, 0);
}

static void parse_file(struct documents *documents, const char *path)
{
	struct problems problems = {0};
	_cleanup_free_ char *text = NULL;
	size_t length = 0;
	int r;

	assert_int_equal(file_read(path, 1 << 20, &text, &length), 0);
	r = documents_parse(documents, path, text, length, &problems);
	problems_print(&problems, stderr);
	problems_free(&problems);
	assert_int_equal(r, 0);
}

#define POLICY_HEAD                                                                         \
	"apiVersion: autoscaling/v2\n"                                                      \
	"kind: HorizontalPodAutoscaler\n"                                                   \
	"metadata: {name: web}\n"                                                           \
	"spec:\n"                                                                           \
	"  scaleTargetRef: {apiVersion: karpenter.sh/v1, kind: NodePool, name: web-pool}\n" \
	"  maxReplicas: 10\n"

/* ---- the example ---- */

static void the_example_is_right_and_complete(void **unused)
{
	struct documents documents = {0};
	struct problems problems = {0};
	const struct policy *policy;

	(void)unused;
	parse_file(&documents, EXAMPLES "policy.yaml");
	parse_file(&documents, EXAMPLES "pool.yaml");
	parse_file(&documents, EXAMPLES "class.yaml");
	assert_int_equal(documents_check(&documents, &problems), 0);
	problems_print(&problems, stderr);
	assert_int_equal(problems.list.count, 0);
	policy = &documents.policies.at[0];
	assert_string_equal(policy->pool, "web");
	assert_int_equal(policy->metrics.count, 2);
	assert_int_equal(policy->metrics.at[0].metric, METRIC_ACCEPT_QUEUE_DEPTH);
	assert_int_equal(policy->metrics.at[0].statistic, STAT_FAST_PEAK);
	assert_int_equal(policy->metrics.at[0].selector.list.count, 1);
	assert_string_equal(policy->metrics.at[0].selector.list.at[0].key, "port");
	assert_int_equal(policy->up.stabilization_s, 0);
	assert_int_equal(policy->down.stabilization_s, 300);
	assert_non_null(documents_pool(&documents, "web"));
	assert_non_null(documents_class(&documents, "web"));
	assert_null(documents_pool(&documents, "other"));
	documents_free(&documents);
}

/* ---- HorizontalPodAutoscaler ---- */

static void what_a_policy_leaves_out_has_upstreams_defaults(void **unused)
{
	struct documents documents = {0};
	const struct policy *policy;

	(void)unused;
	parse(&documents, POLICY_HEAD);
	policy = &documents.policies.at[0];
	assert_int_equal(policy->min_replicas, 1);
	assert_int_equal(policy->max_replicas, 10);
	assert_false(policy->behavior);
	assert_int_equal(policy->metrics.count, 1);
	assert_int_equal(policy->metrics.at[0].source, SOURCE_RESOURCE_CPU);
	assert_int_equal(policy->metrics.at[0].target_type, TARGET_UTILIZATION);
	assert_true(policy->metrics.at[0].target == 80);
	assert_int_equal(policy->up.stabilization_s, 0);
	assert_int_equal(policy->up.policies.count, 2);
	assert_int_equal(policy->up.policies.at[0].type, SCALING_PODS);
	assert_int_equal(policy->up.policies.at[0].value, 4);
	assert_int_equal(policy->up.policies.at[0].period_s, 15);
	assert_int_equal(policy->down.stabilization_s, 300);
	assert_int_equal(policy->down.policies.count, 1);
	assert_int_equal(policy->down.policies.at[0].value, 100);
	assert_true(policy->down.tolerance == 0.1);
	assert_int_equal(policy->origin.line, 1);
	assert_int_equal(policy->pool_line, 5);
	documents_free(&documents);
}

static void behavior_keeps_defaults_for_what_it_does_not_say(void **unused)
{
	struct documents documents = {0};
	const struct policy *policy;

	(void)unused;
	parse(&documents,
	      POLICY_HEAD "  behavior:\n"
			  "    scaleUp: {selectPolicy: Min, tolerance: 50m}\n"
			  "    scaleDown:\n"
			  "      stabilizationWindowSeconds: 60\n"
			  "      policies: [{type: Pods, value: 1, periodSeconds: 1800}]\n");
	policy = &documents.policies.at[0];
	assert_true(policy->behavior);
	assert_int_equal(policy->up.select, SELECT_MIN);
	assert_true(policy->up.tolerance == 0.05);
	assert_int_equal(policy->up.policies.count, 2);
	assert_int_equal(policy->down.select, SELECT_MAX);
	assert_int_equal(policy->down.stabilization_s, 60);
	assert_int_equal(policy->down.policies.count, 1);
	assert_int_equal(policy->down.policies.at[0].period_s, 1800);
	documents_free(&documents);
}

static void every_kind_of_metric_arrives_whole(void **unused)
{
	struct documents documents = {0};
	const struct policy_metric *metric;

	(void)unused;
	parse(&documents, POLICY_HEAD
	      "  minReplicas: 0\n"
	      "  metrics:\n"
	      "  - type: External\n"
	      "    external:\n"
	      "      metric:\n"
	      "        name: forerun_requests_per_second\n"
	      "        selector:\n"
	      "          matchLabels: {window: 3s, statistic: p99, unit: nginx.service}\n"
	      "          matchExpressions:\n"
	      "          - {key: port, operator: NotIn, values: [\"22\", \"9910\"]}\n"
	      "          - {key: container_id, operator: DoesNotExist}\n"
	      "      target: {type: Value, value: 1k}\n"
	      "  - type: Resource\n"
	      "    resource: {name: cpu, target: {type: AverageValue, averageValue: 750m}}\n"
	      "  - type: ContainerResource\n"
	      "    containerResource:\n"
	      "      name: cpu\n"
	      "      container: nginx.service\n"
	      "      target: {type: Utilization, averageUtilization: 65}\n");
	assert_int_equal(documents.policies.at[0].min_replicas, 0);
	metric = documents.policies.at[0].metrics.at;
	assert_int_equal(metric[0].source, SOURCE_EXTERNAL);
	assert_int_equal(metric[0].metric, METRIC_REQUESTS_PER_SECOND);
	assert_int_equal(metric[0].statistic, STAT_SLOW_P99);
	assert_int_equal(metric[0].target_type, TARGET_VALUE);
	assert_true(metric[0].target == 1000);
	assert_int_equal(metric[0].selector.list.count, 3);
	assert_int_equal(metric[0].selector.list.at[1].op, LABEL_NOT_IN);
	assert_int_equal(metric[0].selector.list.at[1].count, 2);
	assert_int_equal(metric[0].selector.list.at[2].op, LABEL_DOES_NOT_EXIST);
	assert_int_equal(metric[1].target_type, TARGET_AVERAGE_VALUE);
	assert_true(metric[1].target == 0.75);
	assert_int_equal(metric[2].source, SOURCE_CONTAINER_CPU);
	assert_string_equal(metric[2].container, "nginx.service");
	documents_free(&documents);
}

/* The field that is given decides, as upstream; a person is told that the type says otherwise. */
static void a_target_whose_type_says_another_field_is_warned_of(void **unused)
{
	static const char TEXT[] = POLICY_HEAD "  metrics:\n"
					       "  - type: External\n"
					       "    external:\n"
					       "      metric: {name: forerun_accept_queue_depth}\n"
					       "      target: {type: AverageValue, value: 10}\n";
	struct documents documents = {0};
	struct problems problems = {0};

	(void)unused;
	assert_int_equal(documents_parse(&documents, "p.yaml", TEXT, strlen(TEXT), &problems), 0);
	assert_int_equal(problems.errors, 0);
	assert_int_equal(problems.list.count, 1);
	assert_string_equal(problems.list.at[0].where, "p.yaml:11:22");
	assert_int_equal(documents.policies.at[0].metrics.at[0].target_type, TARGET_VALUE);
	problems_free(&problems);
	documents_free(&documents);
}

/* ---- NodePool and EC2NodeClass ---- */

static void a_pool_arrives_whole(void **unused)
{
	struct documents documents = {0};
	const struct pool *pool;

	(void)unused;
	parse(&documents,
	      "apiVersion: karpenter.sh/v1\n"
	      "kind: NodePool\n"
	      "metadata: {name: p}\n"
	      "spec:\n"
	      "  weight: 10\n"
	      "  limits: {cpu: \"100\", memory: 1000Gi}\n"
	      "  template:\n"
	      "    metadata: {labels: {team: shop, topology.kubernetes.io/zone: eu-west-1a}}\n"
	      "    spec:\n"
	      "      expireAfter: Never\n"
	      "      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: c}\n"
	      "      requirements:\n"
	      "      - {key: karpenter.k8s.aws/instance-cpu, operator: Gt, values: [\"3\"]}\n"
	      "      - {key: node.kubernetes.io/instance-type, operator: Exists}\n"
	      "      - {key: kubernetes.io/os, operator: In, values: [linux]}\n");
	pool = &documents.pools.at[0];
	assert_string_equal(pool->node_class, "c");
	assert_int_equal(pool->weight, 10);
	assert_true(pool->cpu_limited && pool->memory_limited);
	assert_true(pool->limit_cpus == 100);
	assert_true(pool->limit_memory_bytes == 1000.0 * 1073741824);
	assert_int_equal(pool->labels.list.count, 2);
	/* A label with a requirement's key is a requirement, as in Karpenter. */
	assert_int_equal(pool->requirements.list.count, 4);
	assert_string_equal(pool->requirements.list.at[0].key, LABEL_ZONE);
	assert_string_equal(pool->requirements.list.at[0].values[0], "eu-west-1a");
	assert_int_equal(pool->requirements.list.at[1].op, LABEL_GT);
	assert_int_equal(pool->requirements.list.at[2].op, LABEL_EXISTS);
	assert_int_equal(pool->requirements.list.at[2].count, 0);
	documents_free(&documents);
}

static void a_class_arrives_whole(void **unused)
{
	struct documents documents = {0};
	const struct node_class *node_class;

	(void)unused;
	parse(&documents,
	      "apiVersion: karpenter.k8s.aws/v1\n"
	      "kind: EC2NodeClass\n"
	      "metadata: {name: c}\n"
	      "spec:\n"
	      "  amiFamily: Custom\n"
	      "  amiSelectorTerms: [{id: ami-0123}, {id: ami-4567}]\n"
	      "  instanceProfile: shop\n"
	      "  subnetSelectorTerms: [{id: subnet-1}, {tags: {Name: \"*\"}}]\n"
	      "  securityGroupSelectorTerms: [{id: sg-1}, {name: web}, {tags: {a: b, c: d}}]\n"
	      "  userData: \"#!/bin/sh\\n\"\n"
	      "  tags: {team: shop}\n"
	      "  blockDeviceMappings:\n"
	      "  - deviceName: /dev/xvda\n"
	      "    ebs: {volumeSize: 1T, volumeType: gp3, iops: 4000, throughput: 200, encrypted: "
	      "false}\n"
	      "  metadataOptions: {httpTokens: optional, httpPutResponseHopLimit: 2}\n");
	node_class = &documents.classes.at[0];
	assert_int_equal(node_class->family, AMI_CUSTOM);
	assert_int_equal(node_class->amis.count, 2);
	assert_null(node_class->amis.at[0].alias);
	assert_string_equal(node_class->amis.at[1].id, "ami-4567");
	assert_string_equal(node_class->instance_profile, "shop");
	assert_null(node_class->role);
	assert_string_equal(node_class->subnets.list.at[0].id, "subnet-1");
	assert_string_equal(node_class->subnets.list.at[1].tags.list.at[0].value, "*");
	assert_string_equal(node_class->security_groups.list.at[1].name, "web");
	assert_int_equal(node_class->security_groups.list.at[2].tags.list.count, 2);
	assert_string_equal(node_class->user_data, "#!/bin/sh\n");
	assert_int_equal(node_class->block_devices.at[0].volume_size_bytes, 1000000000000);
	assert_true(node_class->block_devices.at[0].encrypted_set);
	assert_false(node_class->block_devices.at[0].encrypted);
	assert_false(node_class->block_devices.at[0].delete_on_termination_set);
	assert_string_equal(node_class->metadata.http_tokens, "optional");
	assert_null(node_class->metadata.http_endpoint);
	assert_int_equal(node_class->metadata.http_put_response_hop_limit, 2);
	documents_free(&documents);
}

/* ---- files ---- */

static void what_kubectl_prints_of_an_object_is_accepted(void **unused)
{
	struct documents documents = {0};

	(void)unused;
	parse(&documents,
	      "apiVersion: v1\n"
	      "kind: List\n"
	      "metadata: {resourceVersion: \"\"}\n"
	      "items:\n"
	      "- apiVersion: autoscaling/v2\n"
	      "  kind: HorizontalPodAutoscaler\n"
	      "  metadata:\n"
	      "    name: web\n"
	      "    namespace: shop\n"
	      "    uid: 0b0e3e1c-0000-4000-8000-000000000000\n"
	      "    generation: 3\n"
	      "    creationTimestamp: \"2026-11-01T00:00:00Z\"\n"
	      "    annotations: {kubectl.kubernetes.io/last-applied-configuration: \"{}\"}\n"
	      "    managedFields: [{manager: kubectl, operation: Update}]\n"
	      "  spec:\n"
	      "    scaleTargetRef: {apiVersion: karpenter.sh/v1, kind: NodePool, name: w}\n"
	      "    maxReplicas: 2\n"
	      "  status: {currentReplicas: 1, desiredReplicas: 1, conditions: []}\n");
	assert_int_equal(documents.policies.count, 1);
	assert_int_equal(documents.policies.at[0].origin.line, 5);
	documents_free(&documents);
}

static void nothing_of_a_file_with_a_mistake_is_taken(void **unused)
{
	static const char TEXT[] = POLICY_HEAD "---\n" POLICY_HEAD "  maxReplica: 3\n";
	struct documents documents = {0};
	struct problems problems = {0};

	(void)unused;
	assert_int_equal(documents_parse(&documents, "a", TEXT, strlen(TEXT), &problems), -EINVAL);
	assert_int_equal(documents.policies.count, 0);
	problems_free(&problems);
	documents_free(&documents);
}

static void a_pool_that_no_policy_scales_is_warned_of(void **unused)
{
	struct documents documents = {0};
	struct problems problems = {0};

	(void)unused;
	parse_file(&documents, EXAMPLES "pool.yaml");
	parse_file(&documents, EXAMPLES "class.yaml");
	assert_int_equal(documents_check(&documents, &problems), 0);
	assert_int_equal(problems.list.count, 1);
	assert_true(problems.list.at[0].warning);
	problems_free(&problems);
	documents_free(&documents);
}

/* ---- labels ---- */

static bool matches(enum label_operator op, const char *wanted, const char *value)
{
	char *values[] = {(char *)wanted};
	struct label_term term = {.op = op, .values = values, .count = wanted ? 1 : 0};

	return label_term_matches(&term, value);
}

static void label_terms_match_as_kubernetes_says(void **unused)
{
	(void)unused;
	assert_true(matches(LABEL_IN, "a", "a"));
	assert_false(matches(LABEL_IN, "a", "b"));
	assert_false(matches(LABEL_IN, "a", NULL));
	assert_true(matches(LABEL_NOT_IN, "a", "b"));
	assert_true(matches(LABEL_NOT_IN, "a", NULL));
	assert_false(matches(LABEL_NOT_IN, "a", "a"));
	assert_true(matches(LABEL_EXISTS, NULL, ""));
	assert_false(matches(LABEL_EXISTS, NULL, NULL));
	assert_true(matches(LABEL_DOES_NOT_EXIST, NULL, NULL));
	assert_false(matches(LABEL_DOES_NOT_EXIST, NULL, "x"));
	assert_true(matches(LABEL_GT, "9", "10"));
	assert_false(matches(LABEL_GT, "10", "10"));
	assert_true(matches(LABEL_LT, "10", "9"));
	assert_false(matches(LABEL_LT, "10", "10"));
	assert_false(matches(LABEL_GT, "1", "large"));
	assert_false(matches(LABEL_LT, "1", ""));
	assert_false(matches(LABEL_LT, "1", NULL));
}

/* The names that selectors may use are those that indicators have. */
static void every_label_of_an_indicator_may_be_selected(void **unused)
{
	static const char *const LABELS[] = {"address",	     "port",	"netns",
					     "owner_kind",   "owner",	"unit",
					     "container_id", "pod_uid", "process"};
	struct indicator indicator = {0};
	char value[256];

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(LABELS); i++) {
		_cleanup_free_ char *text =
			str_printf(POLICY_HEAD "  metrics:\n"
					       "  - type: External\n"
					       "    external:\n"
					       "      metric:\n"
					       "        name: forerun_accept_queue_depth\n"
					       "        selector: {matchLabels: {%s: \"1\"}}\n"
					       "      target: {type: Value, value: 1}\n",
				   LABELS[i]);
		struct documents documents = {0};

		assert_int_equal(indicator_label(&indicator, LABELS[i], value, sizeof(value)), 0);
		parse(&documents, text);
		documents_free(&documents);
	}
	assert_int_equal(indicator_label(&indicator, "window", value, sizeof(value)), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_is_right_and_complete),
		cmocka_unit_test(what_a_policy_leaves_out_has_upstreams_defaults),
		cmocka_unit_test(behavior_keeps_defaults_for_what_it_does_not_say),
		cmocka_unit_test(every_kind_of_metric_arrives_whole),
		cmocka_unit_test(a_target_whose_type_says_another_field_is_warned_of),
		cmocka_unit_test(a_pool_arrives_whole),
		cmocka_unit_test(a_class_arrives_whole),
		cmocka_unit_test(what_kubectl_prints_of_an_object_is_accepted),
		cmocka_unit_test(nothing_of_a_file_with_a_mistake_is_taken),
		cmocka_unit_test(a_pool_that_no_policy_scales_is_warned_of),
		cmocka_unit_test(label_terms_match_as_kubernetes_says),
		cmocka_unit_test(every_label_of_an_indicator_may_be_selected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
