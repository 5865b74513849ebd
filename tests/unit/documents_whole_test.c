/* SPDX-License-Identifier: Apache-2.0 */
/* Every field of a NodePool, an EC2NodeClass and forerun's annotations arrives. The documents are
 * those that tests/crd asks the API server of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "documents/documents.h"

#define WHOLE "tests/fuzz/documents_fuzz/whole-"
#define GIB 1073741824.0

static void parse(struct documents *documents, const char *text, size_t length)
{
	struct problems problems = {0};
	int r = documents_parse(documents, "test.yaml", text, length, &problems);

	problems_print(&problems, stderr);
	assert_int_equal(problems.list.count, 0);
	problems_free(&problems);
	assert_int_equal(r, 0);
}

static void parse_file(struct documents *documents, const char *path)
{
	_cleanup_free_ char *text = NULL;
	size_t length = 0;

	assert_int_equal(file_read(path, 1 << 20, &text, &length), 0);
	parse(documents, text, length);
}

static double amount(const struct resources *resources, const char *name)
{
	vec_for_each (it, &resources->list)
		if (strcmp(it->name, name) == 0)
			return it->amount;
	return -1;
}

static const char *threshold(const struct eviction_thresholds *thresholds, const char *signal)
{
	vec_for_each (it, &thresholds->list)
		if (strcmp(it->signal, signal) == 0)
			return it->value;
	return NULL;
}

/* ---- NodePool ---- */

static void check_budgets(const struct pool *pool)
{
	assert_int_equal(pool->budgets.count, 4);
	assert_true(pool->budgets.at[0].percent && pool->budgets.at[0].nodes == 20);
	assert_int_equal(pool->budgets.at[0].reasons, 1U << REASON_EMPTY | 1U << REASON_DRIFTED);
	assert_true(!pool->budgets.at[1].percent && pool->budgets.at[1].nodes == 5);
	assert_int_equal(pool->budgets.at[1].reasons, (1U << DISRUPTION_REASONS) - 1);
	assert_true(pool->budgets.at[2].scheduled && pool->budgets.at[2].nodes == 0);
	assert_int_equal(pool->budgets.at[2].duration_s, 8 * 3600);
	assert_int_equal(pool->budgets.at[2].schedule.hours, 1U << 9);
	/* What a budget does not say is 10 %. */
	assert_true(pool->budgets.at[3].percent && pool->budgets.at[3].nodes == 10);
}

static void check_annotations(const struct pool *pool)
{
	assert_int_equal(pool->warm.size, 3);
	assert_int_equal(pool->warm.state, WARM_HIBERNATED);
	assert_int_equal(pool->warm.refresh_s, 168 * 3600);
	assert_true(pool->spot_share.given);
	assert_true(pool->spot_share.low == 0.7 && pool->spot_share.high == 0.8);
	assert_string_equal(pool->auto_scaling_group, "web");
}

static void a_pool_arrives_whole(void **unused)
{
	struct documents documents = {0};
	const struct label_term *terms;
	const struct pool *pool;

	(void)unused;
	parse_file(&documents, WHOLE "pool.yaml");
	pool = &documents.pools.at[0];
	terms = pool->requirements.list.at;
	/* The label that is a requirement comes first. */
	assert_int_equal(pool->requirements.list.count, 10);
	assert_string_equal(terms[0].key, LABEL_INSTANCE_HYPERVISOR);
	assert_int_equal(terms[1].min_values, 2);
	assert_int_equal(terms[5].op, LABEL_GTE);
	assert_int_equal(terms[6].op, LABEL_LTE);
	assert_string_equal(terms[7].key, "example.com/rack");
	assert_int_equal(pool->annotations.list.count, 1);
	assert_int_equal(pool->taints.list.count, 2);
	assert_string_equal(pool->taints.list.at[0].value, "web");
	assert_int_equal(pool->taints.list.at[1].effect, TAINT_PREFER_NO_SCHEDULE);
	assert_int_equal(pool->startup_taints.list.at[0].effect, TAINT_NO_EXECUTE);
	assert_int_equal(pool->expire_after_s, 168 * 3600 + 1800);
	assert_true(pool->termination_grace_given && pool->termination_grace_s == 1800);
	assert_int_equal(pool->consolidation, CONSOLIDATE_WHEN_EMPTY);
	assert_int_equal(pool->consolidate_after_s, 5400);
	assert_int_equal(pool->weight, 10);
	assert_int_equal(pool->replicas, -1);
	assert_true(amount(&pool->limits, "memory") == 400 * GIB);
	assert_true(amount(&pool->limits, "nodes") == 20);
	assert_true(amount(&pool->limits, "nvidia.com/gpu") == 8);
	check_budgets(pool);
	check_annotations(pool);
	documents_free(&documents);
}

static void what_a_pool_leaves_out_has_karpenters_defaults(void **unused)
{
	static const char TEXT[] =
		"apiVersion: karpenter.sh/v1\nkind: NodePool\nmetadata: {name: web}\n"
		"spec:\n  template:\n    spec:\n"
		"      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: web}\n"
		"      requirements: [{key: beta.kubernetes.io/arch, operator: In, values: "
		"[arm64]}]\n";
	struct documents documents = {0};
	const struct pool *pool;

	(void)unused;
	parse(&documents, TEXT, strlen(TEXT));
	pool = &documents.pools.at[0];
	assert_string_equal(pool->requirements.list.at[0].key, LABEL_ARCH);
	assert_int_equal(pool->expire_after_s, 720 * 3600);
	assert_false(pool->termination_grace_given);
	assert_int_equal(pool->consolidation, CONSOLIDATE_WHEN_EMPTY_OR_UNDERUTILIZED);
	assert_int_equal(pool->consolidate_after_s, 0);
	assert_false(pool->budgets_given);
	assert_int_equal(pool->budgets.count, 1);
	assert_true(pool->budgets.at[0].percent && pool->budgets.at[0].nodes == 10);
	assert_int_equal(pool->warm.size, 0);
	assert_false(pool->spot_share.given);
	documents_free(&documents);
}

static void a_pool_of_fixed_size_arrives(void **unused)
{
	struct documents documents = {0};

	(void)unused;
	parse_file(&documents, WHOLE "static-pool.yaml");
	assert_int_equal(documents.pools.at[0].replicas, 3);
	assert_int_equal(documents.pools.at[0].weight, 0);
	documents_free(&documents);
}

/* ---- EC2NodeClass ---- */

static void check_terms(const struct node_class *node_class)
{
	assert_int_equal(node_class->amis.count, 4);
	assert_string_equal(node_class->amis.at[1].owner, "self");
	assert_int_equal(node_class->amis.at[2].tags.list.count, 2);
	assert_string_equal(node_class->amis.at[3].ssm_parameter, "/images/web");
	assert_string_equal(node_class->security_groups.list.at[1].name, "web");
	assert_int_equal(node_class->reservations.count, 3);
	assert_string_equal(node_class->reservations.at[1].owner_id, "123456789012");
	assert_string_equal(node_class->reservations.at[2].instance_match_criteria, "targeted");
}

static void check_kubelet(const struct kubelet *kubelet)
{
	assert_true(kubelet->given);
	assert_string_equal(kubelet->cluster_dns.at[0], "10.0.0.10");
	assert_int_equal(kubelet->max_pods, 50);
	assert_int_equal(kubelet->pods_per_core, 4);
	assert_int_equal(kubelet->cpu_cfs_quota, 1);
	assert_true(amount(&kubelet->system_reserved, "cpu") == 0.1);
	assert_true(amount(&kubelet->system_reserved, "pid") == 1000);
	assert_true(amount(&kubelet->kube_reserved, "memory") == GIB);
	assert_string_equal(threshold(&kubelet->eviction_hard, "memory.available"), "5%");
	assert_string_equal(threshold(&kubelet->eviction_soft, "memory.available"), "500Mi");
	assert_string_equal(threshold(&kubelet->eviction_soft_grace_period, "memory.available"),
			    "1m");
	assert_int_equal(kubelet->eviction_max_pod_grace_period_s, 60);
	assert_int_equal(kubelet->image_gc_high_threshold_percent, 85);
	assert_int_equal(kubelet->image_gc_low_threshold_percent, 80);
}

static void check_devices(const struct node_class *node_class)
{
	const struct block_device *root = &node_class->block_devices.at[0];

	assert_int_equal(node_class->block_devices.count, 2);
	assert_true(root->root_volume && root->volume_size_bytes == UINT64_C(100) << 30);
	assert_true(root->iops == 4000 && root->throughput == 250);
	assert_string_equal(root->kms_key_id, "alias/web");
	assert_string_equal(node_class->block_devices.at[1].snapshot_id, "snap-1");
	assert_int_equal(node_class->block_devices.at[1].volume_initialization_rate, 200);
}

static void a_class_arrives_whole(void **unused)
{
	struct documents documents = {0};
	const struct node_class *node_class;

	(void)unused;
	parse_file(&documents, WHOLE "class.yaml");
	node_class = &documents.classes.at[0];
	check_terms(node_class);
	check_kubelet(&node_class->kubelet);
	check_devices(node_class);
	assert_string_equal(node_class->metadata.http_tokens, "optional");
	assert_int_equal(node_class->metadata.http_put_response_hop_limit, 2);
	assert_true(node_class->instance_store_raid0 && node_class->detailed_monitoring);
	assert_int_equal(node_class->associate_public_ip, 1);
	assert_int_equal(node_class->ip_prefix_count, 2);
	assert_string_equal(node_class->context, "a-context");
	assert_int_equal(node_class->connection_tracking.tcp_established_s, 350);
	assert_int_equal(node_class->connection_tracking.udp_stream_s, 120);
	assert_int_equal(node_class->connection_tracking.udp_s, 45);
	assert_int_equal(node_class->nested_virtualization, 1);
	assert_int_equal(node_class->network_interfaces.count, 2);
	assert_true(node_class->network_interfaces.at[1].efa_only);
	assert_string_equal(node_class->placement_group_name, "web");
	documents_free(&documents);
}

/* ---- HorizontalPodAutoscaler ---- */

static void annotations_of_a_policy_arrive(void **unused)
{
	static const char TEXT[] =
		"apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata:\n"
		"  name: web\n  annotations:\n    forerun.dev/service: shop\n"
		"    forerun.dev/replica: shop-pod\n    forerun.dev/capacity-type: on-demand\n"
		"    forerun.dev/target-groups: "
		"\"arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/a/01, "
		"arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/b/02\"\n"
		"spec:\n  maxReplicas: 3\n"
		"  scaleTargetRef: {apiVersion: karpenter.sh/v1, kind: NodePool, name: web}\n";
	struct documents documents = {0};
	const struct policy *policy;

	(void)unused;
	parse(&documents, TEXT, strlen(TEXT));
	policy = &documents.policies.at[0];
	assert_string_equal(policy->service, "shop");
	assert_string_equal(policy->replica, "shop-pod");
	assert_true(policy->on_demand);
	assert_int_equal(policy->target_groups.count, 2);
	assert_true(str_ends(policy->target_groups.at[1], "targetgroup/b/02"));
	documents_free(&documents);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pool_arrives_whole),
		cmocka_unit_test(what_a_pool_leaves_out_has_karpenters_defaults),
		cmocka_unit_test(a_pool_of_fixed_size_arrives),
		cmocka_unit_test(a_class_arrives_whole),
		cmocka_unit_test(annotations_of_a_policy_arrive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
