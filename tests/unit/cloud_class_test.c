/* SPDX-License-Identifier: Apache-2.0 */
/* What a class makes of what AWS says: which images and templates it needs, which template an
 * offering is bought with, and which template may go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cloud/private.h"

#define DAY_NS (24 * 3600 * NS_PER_S)

static struct pool pools[] = {{.name = "a", .node_class = "web"},
			      {.name = "b", .node_class = "web"}};
static struct documents documents = {.pools = {pools, 2, 0}};

static struct node_class base_class(void)
{
	return (struct node_class){
		.name = "web",
		.family = AMI_CUSTOM,
		.associate_public_ip = -1,
		.ip_prefix_count = -1,
		.nested_virtualization = -1,
		.metadata = {.http_put_response_hop_limit = 1},
	};
}

static struct cloud base_cloud(void)
{
	return (struct cloud){.documents = &documents,
			      .config = {.name = "default", .template_keep_ns = DAY_NS}};
}

static void add_image(struct resolver *resolver, const char *id, enum image_variant variant,
		      const char *created, bool deprecated)
{
	struct image image = {.variant = variant, .deprecated = deprecated};

	set_text(image.id, id);
	set_text(image.created, created);
	image_add(resolver, &image);
}

/* ---- images ---- */

static void of_each_variant_the_best_image_stays(void **unused)
{
	struct resolver resolver = {0};

	(void)unused;
	add_image(&resolver, "ami-1", IMAGE_STANDARD, "2024-01-01", false);
	add_image(&resolver, "ami-2", IMAGE_STANDARD, "2025-01-01", true);
	add_image(&resolver, "ami-3", IMAGE_NVIDIA, "2023-01-01", true);
	assert_int_equal(resolver.images.count, 2);
	assert_string_equal(resolver.images.at[0].id, "ami-1");
	add_image(&resolver, "ami-4", IMAGE_STANDARD, "2024-01-02", false);
	add_image(&resolver, "ami-5", IMAGE_NVIDIA, "2022-01-01", false);
	assert_string_equal(resolver.images.at[0].id, "ami-4");
	assert_string_equal(resolver.images.at[1].id, "ami-5");
	vec_free(&resolver.images);
}

static void a_variant_is_needed_where_a_pool_takes_such_a_type(void **unused)
{
	static struct instance_type gpu = {.name = "g5.xlarge", .gpus = {.count = 1}};
	static struct instance_type chip = {.name = "inf2.xlarge", .accelerators = {.count = 1}};
	struct offering offerings[] = {{.instance_type = "g5.xlarge", .vcpus = 4, .type = &gpu},
				       {.instance_type = "inf2.xlarge", .vcpus = 4, .type = &chip}};
	char *families[] = {"g5"};
	struct label_term term = {LABEL_INSTANCE_FAMILY, LABEL_IN, families, 1, 0};
	struct node_class class = base_class(), other = base_class();
	struct cloud cloud = base_cloud();
	struct resolver resolver = {.cloud = &cloud, .class = &class};

	(void)unused;
	other.name = "other";
	cloud.catalog.offerings.list.at = offerings;
	cloud.catalog.offerings.list.count = 2;
	pools[0].requirements.list = (__typeof__(pools[0].requirements.list)){&term, 1, 0};
	pools[1].requirements.list = (__typeof__(pools[1].requirements.list)){&term, 1, 0};
	resolver.variants = class_variants(&cloud, &class);
	assert_true(class_needs_image(&resolver, ARCH_AMD64, IMAGE_NVIDIA));
	assert_false(class_needs_image(&resolver, ARCH_ARM64, IMAGE_NVIDIA));
	assert_false(class_needs_image(&resolver, ARCH_AMD64, IMAGE_NEURON));
	assert_true(class_needs_image(&resolver, ARCH_ARM64, IMAGE_STANDARD));
	resolver.variants = class_variants(&cloud, &other);
	assert_false(class_needs_image(&resolver, ARCH_AMD64, IMAGE_NVIDIA));
	pools[0].requirements.list = pools[1].requirements.list =
		(__typeof__(pools[0].requirements.list)){0};
}

/* ---- templates ---- */

static void templates_are_for_each_capacity_type_and_each_reservation(void **unused)
{
	struct node_class class = base_class();
	struct cloud cloud = base_cloud();
	struct resolver resolver = {.cloud = &cloud, .class = &class};
	struct capacity_reservation *reservation = vec_push(&resolver.reservations);

	(void)unused;
	set_text(reservation->id, "cr-1");
	add_image(&resolver, "ami-1", IMAGE_ANY, "", false);
	templates_list(&resolver);
	assert_int_equal(resolver.wanted.count, 3);
	assert_string_equal(resolver.wanted.at[2].reservation, "cr-1");
	assert_int_equal(resolver.wanted.at[2].capacity_type, CAPACITY_RESERVED);
	class.family = AMI_AL2023;
	cloud.cluster.name = "shop";
	templates_list(&resolver);
	assert_int_equal(resolver.wanted.count, 6);
	assert_string_equal(resolver.wanted.at[0].pool, "a");
	assert_string_equal(resolver.wanted.at[1].pool, "b");
	vec_free(&resolver.reservations);
	vec_free(&resolver.images);
	vec_free(&resolver.wanted);
}

static void an_offering_is_bought_with_the_template_that_suits_it(void **unused)
{
	static const struct launch_template TEMPLATES[] = {
		{.name = "standard", .variant = IMAGE_STANDARD},
		{.name = "nvidia-b", .variant = IMAGE_NVIDIA, .pool = "b"},
		{.name = "nvidia-a", .variant = IMAGE_NVIDIA, .pool = "a"},
		{.name = "arm", .architecture = ARCH_ARM64},
		{.name = "spot", .capacity_type = CAPACITY_SPOT},
		{.name = "into-2", .capacity_type = CAPACITY_RESERVED, .reservation = "cr-2"},
		{.name = "into-1", .capacity_type = CAPACITY_RESERVED, .reservation = "cr-1"},
	};
	static struct instance_type gpu = {.gpus = {.count = 1}}, plain,
				    chip = {.accelerators = {.count = 1}};
	static const struct {
		struct offering offering;
		const char *pool, *reservation, *expected;
	} CASES[] = {
		{{.type = &plain}, "a", "", "standard"},
		{{.type = NULL}, "a", "", "standard"},
		{{.type = &gpu}, "a", "", "nvidia-a"},
		{{.type = &gpu}, "b", "", "nvidia-b"},
		{{.type = &gpu}, "c", "", NULL},
		{{.type = &chip}, "a", "", NULL},
		{{.architecture = ARCH_ARM64, .type = &gpu}, "a", "", "arm"},
		{{.capacity_type = CAPACITY_SPOT}, "a", "", "spot"},
		{{.capacity_type = CAPACITY_RESERVED}, "a", "cr-1", "into-1"},
		{{.capacity_type = CAPACITY_RESERVED}, "a", "cr-3", NULL},
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		const struct launch_template *found =
			launch_template_for(TEMPLATES, ARRAY_SIZE(TEMPLATES), &CASES[i].offering,
					    CASES[i].pool, CASES[i].reservation);

		assert_int_equal(found != NULL, CASES[i].expected != NULL);
		if (found)
			assert_string_equal(found->name, CASES[i].expected);
	}
}

static void the_name_follows_from_the_content(void **unused)
{
	struct node_class class = base_class();
	struct cloud cloud = base_cloud();
	struct resolver resolver = {.cloud = &cloud, .class = &class};
	struct launch_template one = {.image_id = "ami-1"}, other = {.image_id = "ami-1"};
	_cleanup_text_ struct text first = {0}, second = {0}, third = {0};
	char problem[CLOUD_TEXT_SIZE];

	(void)unused;
	assert_int_equal(template_request(&resolver, &one, false, &first, problem), 0);
	assert_int_equal(template_request(&resolver, &other, false, &second, problem), 0);
	assert_string_equal(first.data, second.data);
	assert_string_equal(one.name, other.name);
	assert_true(str_starts(one.name, "forerun-web-amd64-on-demand-"));
	class.detailed_monitoring = true;
	assert_int_equal(template_request(&resolver, &other, false, &third, problem), 0);
	assert_string_not_equal(one.name, other.name);
}

static void bottlerocket_before_1_46_is_told_its_directories(void **unused)
{
	struct ami_term by_alias = {.alias = "bottlerocket@latest"};
	struct ami_term by_name = {.name = "bottlerocket-aws-k8s-1.33-x86_64-v1.46.0-*"};
	struct node_class class = base_class();

	(void)unused;
	assert_true(bottlerocket_binds_by_name(&class, ""));
	assert_true(bottlerocket_binds_by_name(
		&class, "bottlerocket-aws-k8s-1.33-x86_64-v1.45.9-431fe75a"));
	assert_false(bottlerocket_binds_by_name(
		&class, "bottlerocket-aws-k8s-1.33-x86_64-v1.46.0-431fe75a"));
	assert_true(bottlerocket_binds_by_name(&class, "web-v1.50.0"));
	class.amis.at = &by_alias;
	class.amis.count = 1;
	assert_false(bottlerocket_binds_by_name(&class, ""));
	by_alias.alias = "bottlerocket@v1.40.0";
	assert_true(bottlerocket_binds_by_name(&class, ""));
	by_alias.alias = "bottlerocket@v2.0.0";
	assert_false(bottlerocket_binds_by_name(&class, ""));
	class.amis.at = &by_name;
	assert_false(bottlerocket_binds_by_name(&class, ""));
}

/* ---- of no use ---- */

static void only_what_is_ours_and_old_and_unused_may_go(void **unused)
{
	struct resolver class = {0};
	struct cloud cloud = base_cloud();
	struct instance_view instance = {.state = INSTANCE_STOPPED, .launch_template_id = "lt-2"};
	struct launch_template current = {.name = "forerun-now"};
	struct old_template old = {"lt-1", "forerun-old", 100 * DAY_NS};
	uint64_t now_ns = 101 * DAY_NS;

	(void)unused;
	cloud.classes = &class;
	cloud.classes_count = 1;
	*vec_push(&class.view_templates) = current;
	*vec_push(&cloud.fleet.view) = instance;
	assert_true(template_is_old(&cloud, &old, now_ns));
	assert_false(template_is_old(&cloud, &old, now_ns - 1));
	old.created_wall_ns = 0;
	assert_false(template_is_old(&cloud, &old, now_ns));
	old.created_wall_ns = 100 * DAY_NS;
	set_text(old.id, "lt-2");
	assert_false(template_is_old(&cloud, &old, now_ns));
	cloud.fleet.view.at[0].state = INSTANCE_TERMINATED;
	assert_true(template_is_old(&cloud, &old, now_ns));
	set_text(old.name, "forerun-now");
	assert_false(template_is_old(&cloud, &old, now_ns));
	set_text(old.name, "else");
	assert_false(template_is_old(&cloud, &old, now_ns));
	vec_free(&class.view_templates);
	vec_free(&cloud.fleet.view);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_each_variant_the_best_image_stays),
		cmocka_unit_test(a_variant_is_needed_where_a_pool_takes_such_a_type),
		cmocka_unit_test(templates_are_for_each_capacity_type_and_each_reservation),
		cmocka_unit_test(an_offering_is_bought_with_the_template_that_suits_it),
		cmocka_unit_test(the_name_follows_from_the_content),
		cmocka_unit_test(bottlerocket_before_1_46_is_told_its_directories),
		cmocka_unit_test(only_what_is_ours_and_old_and_unused_may_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
