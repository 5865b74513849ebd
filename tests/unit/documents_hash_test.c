/* SPDX-License-Identifier: Apache-2.0 */
/* What makes an instance drift: the numbers change with the fields of Karpenter's hashes and with
 * nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "documents/documents.h"

static struct key_value pairs[] = {{"team", "web"}, {"cost", "42"}};
static struct block_device devices[] = {
	{.device_name = "/dev/xvda", .volume_size_bytes = UINT64_C(20) << 30, .volume_type = "gp3"},
	{.device_name = "/dev/xvdb", .volume_size_bytes = UINT64_C(100) << 30},
};
static struct resource_amount reserved[] = {{"cpu", 0.1}, {"memory", 104857600}};
static struct taint dedicated[] = {{"dedicated", "web", TAINT_NO_SCHEDULE},
				   {"early", "", TAINT_NO_EXECUTE}};

static struct node_class base_class(void)
{
	return (struct node_class){
		.name = "web",
		.family = AMI_AL2023,
		.role = "node",
		.user_data = "#!/bin/sh\n",
		.tags = {{pairs, 2, 0}},
		.block_devices = {devices, 2, 0},
		.associate_public_ip = -1,
		.ip_prefix_count = -1,
		.nested_virtualization = -1,
		.kubelet = {.given = true,
			    .max_pods = 58,
			    .pods_per_core = -1,
			    .eviction_max_pod_grace_period_s = -1,
			    .image_gc_high_threshold_percent = -1,
			    .image_gc_low_threshold_percent = -1,
			    .cpu_cfs_quota = -1,
			    .system_reserved = {{reserved, 2, 0}}},
	};
}

static struct pool base_pool(void)
{
	return (struct pool){
		.name = "web",
		.node_class = "web",
		.labels = {{pairs, 2, 0}},
		.taints = {{dedicated, 1, 0}},
		.startup_taints = {{dedicated + 1, 1, 0}},
		.expire_after_s = 720 * 3600,
		.replicas = -1,
	};
}

static void the_order_of_lists_does_not_count(void **unused)
{
	struct key_value turned_pairs[] = {pairs[1], pairs[0]};
	struct block_device turned_devices[] = {devices[1], devices[0]};
	struct resource_amount turned_reserved[] = {reserved[1], reserved[0]};
	struct node_class one = base_class(), other = base_class();
	struct pool pool = base_pool(), turned = base_pool();

	(void)unused;
	other.tags.list.at = turned_pairs;
	other.block_devices.at = turned_devices;
	other.kubelet.system_reserved.list.at = turned_reserved;
	assert_true(documents_class_hash(&one) == documents_class_hash(&other));
	turned.labels.list.at = turned_pairs;
	assert_true(documents_pool_hash(&pool) == documents_pool_hash(&turned));
}

static void what_karpenter_ignores_is_no_drift(void **unused)
{
	struct node_class one = base_class(), other = base_class();
	struct pool pool = base_pool(), changed = base_pool();
	struct selector_term term = {.id = "subnet-1"};
	struct ami_term image = {.id = "ami-1"};
	struct label_term requirement = {.key = LABEL_ARCH, .op = LABEL_EXISTS};

	(void)unused;
	other.name = "renamed";
	other.ip_prefix_count = 2;
	*vec_push(&other.subnets.list) = term;
	*vec_push(&other.security_groups.list) = term;
	*vec_push(&other.amis) = image;
	assert_true(documents_class_hash(&one) == documents_class_hash(&other));
	changed.name = "renamed";
	changed.weight = 50;
	changed.replicas = 3;
	changed.consolidation = CONSOLIDATE_WHEN_EMPTY;
	changed.consolidate_after_s = 30;
	changed.cpu_limited = true;
	changed.limit_cpus = 100;
	*vec_push(&changed.requirements.list) = requirement;
	assert_true(documents_pool_hash(&pool) == documents_pool_hash(&changed));
	vec_free(&other.subnets.list);
	vec_free(&other.security_groups.list);
	vec_free(&other.amis);
	vec_free(&changed.requirements.list);
}

static void metadata_options_as_karpenter_sets_them_are_the_same_as_none(void **unused)
{
	struct node_class one = base_class(), other = base_class();

	(void)unused;
	other.metadata = (struct metadata_options){"enabled", "disabled", "required", 1};
	assert_true(documents_class_hash(&one) == documents_class_hash(&other));
	other.metadata.http_put_response_hop_limit = 2;
	assert_false(documents_class_hash(&one) == documents_class_hash(&other));
}

#define CHANGES(what)                                                                          \
	do {                                                                                   \
		struct node_class class = base_class();                                        \
		class.what;                                                                    \
		assert_false(documents_class_hash(&class) == documents_class_hash(&original)); \
	} while (0)

static void each_field_of_the_class_that_is_launched_counts(void **unused)
{
	struct node_class original = base_class();
	struct network_interface interface = {0, 0, false};
	__typeof__(original.network_interfaces) interfaces = {&interface, 1, 0};
	struct block_device larger[] = {devices[0], devices[1]};
	struct key_value other_pairs[] = {{"team", "42"}, {"cost", "web"}};

	(void)unused;
	larger[1].volume_size_bytes = UINT64_C(200) << 30;
	CHANGES(family = AMI_BOTTLEROCKET);
	CHANGES(role = "other");
	CHANGES(instance_profile = "other");
	CHANGES(user_data = "#!/bin/bash\n");
	CHANGES(tags.list.count = 1);
	CHANGES(tags.list.at = other_pairs);
	CHANGES(block_devices.count = 1);
	CHANGES(block_devices.at = larger);
	CHANGES(instance_store_raid0 = true);
	CHANGES(associate_public_ip = 0);
	CHANGES(associate_public_ip = 1);
	CHANGES(context = "reserved");
	CHANGES(detailed_monitoring = true);
	CHANGES(metadata.http_tokens = "optional");
	CHANGES(kubelet.max_pods = 59);
	CHANGES(kubelet.cpu_cfs_quota = 0);
	CHANGES(kubelet.system_reserved.list.count = 1);
	CHANGES(kubelet.given = false);
	CHANGES(connection_tracking.tcp_established_s = 350);
	CHANGES(network_interfaces = interfaces);
	CHANGES(nested_virtualization = 1);
	CHANGES(placement_group_id = "pg-1");
	CHANGES(placement_group_name = "pg-1");
}

#undef CHANGES
#define CHANGES(what)                                                                       \
	do {                                                                                \
		struct pool pool = base_pool();                                             \
		pool.what;                                                                  \
		assert_false(documents_pool_hash(&pool) == documents_pool_hash(&original)); \
	} while (0)

static void each_field_of_the_pools_template_counts(void **unused)
{
	struct pool original = base_pool();

	(void)unused;
	CHANGES(node_class = "other");
	CHANGES(labels.list.count = 1);
	CHANGES(annotations.list = original.labels.list);
	CHANGES(taints.list.count = 0);
	CHANGES(taints.list.at = dedicated + 1);
	CHANGES(startup_taints.list.count = 0);
	CHANGES(expire_after_s = DURATION_NEVER);
	CHANGES(termination_grace_given = true);
}

static void the_numbers_stay_over_versions(void **unused)
{
	struct node_class class = base_class();
	struct pool pool = base_pool();

	(void)unused;
	assert_int_equal(documents_class_hash(&class), 0xb36eabc59b92a13);
	assert_int_equal(documents_pool_hash(&pool), 0x3147344dba90bdd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_order_of_lists_does_not_count),
		cmocka_unit_test(what_karpenter_ignores_is_no_drift),
		cmocka_unit_test(metadata_options_as_karpenter_sets_them_are_the_same_as_none),
		cmocka_unit_test(each_field_of_the_class_that_is_launched_counts),
		cmocka_unit_test(each_field_of_the_pools_template_counts),
		cmocka_unit_test(the_numbers_stay_over_versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
