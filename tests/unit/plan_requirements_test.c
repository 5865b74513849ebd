/* SPDX-License-Identifier: Apache-2.0 */
/* Which of EC2's offerings the requirements of a NodePool, as a document, leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "plan/catalog.h"

static const char HEAD[] =
	"apiVersion: karpenter.sh/v1\nkind: NodePool\nmetadata: {name: web}\n"
	"spec:\n  template:\n    metadata: {labels: {team: web}}\n    spec:\n"
	"      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: web}\n"
	"      requirements:\n";

static struct catalog *catalog;

/* How many of the offerings are left by one requirement, written in flow style. */
static size_t left_of(const struct offering *offerings, size_t count, const char *requirement)
{
	_cleanup_free_ char *text = str_printf("%s        - {%s}\n", HEAD, requirement);
	struct documents documents = {0};
	struct problems problems = {0};
	size_t left = 0;

	if (documents_parse(&documents, "test.yaml", text, strlen(text), &problems) < 0)
		problems_print(&problems, stderr);
	assert_int_equal(documents.pools.count, 1);
	for (size_t i = 0; i < count; i++)
		left += offering_matches(&offerings[i], &documents.pools.at[0]);
	documents_free(&documents);
	problems_free(&problems);
	return left;
}

/* Of the shipped catalog. */
static size_t left_by(const char *requirement)
{
	return left_of(catalog->offerings, catalog->count, requirement);
}

static void a_label_of_ones_own_leaves_every_offering(void **unused)
{
	size_t all = left_by("key: kubernetes.io/os, operator: In, values: [linux]");

	(void)unused;
	assert_true(all > 5000);
	assert_int_equal(left_by("key: example.com/rack, operator: In, values: [a, b]"), all);
	assert_int_equal(left_by("key: example.com/rack, operator: Exists"), all);
	assert_int_equal(left_by("key: example.com/rack, operator: DoesNotExist"), all);
	assert_int_equal(left_by("key: example.com/rack, operator: Gt, values: [\"3\"]"), all);
	/* But one that the pool's nodes have must agree. */
	assert_int_equal(left_by("key: team, operator: In, values: [web]"), all);
	assert_int_equal(left_by("key: team, operator: In, values: [shop]"), 0);
}

#define RESERVATION "key: karpenter.k8s.aws/capacity-reservation-"

static void a_reservation_is_chosen_by_its_labels_once_it_is_known(void **unused)
{
	struct offering of[4] = {{.capacity_type = CAPACITY_ON_DEMAND}};

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(of); i++) {
		of[i].vcpus = 2;
		if (i)
			of[i].capacity_type = CAPACITY_RESERVED;
	}
	memcpy(of[1].reservation, "cr-1", sizeof("cr-1"));
	memcpy(of[2].reservation, "cr-2", sizeof("cr-2"));
	of[1].reservation_kind = RESERVATION_INTERRUPTIBLE;
	of[2].reservation_kind = RESERVATION_CAPACITY_BLOCK;
	/* The last one may become any. */
	assert_int_equal(left_of(of, 4, RESERVATION "id, operator: In, values: [cr-1]"), 2);
	assert_int_equal(left_of(of, 4, RESERVATION "type, operator: In, values: [default]"), 2);
	assert_int_equal(left_of(of, 4, RESERVATION "type, operator: Exists"), 3);
	assert_int_equal(
		left_of(of, 4, RESERVATION "interruptible, operator: NotIn, values: [\"true\"]"),
		3);
	assert_int_equal(left_of(of, 4, RESERVATION "id, operator: DoesNotExist"), 2);
	assert_int_equal(left_by(RESERVATION "id, operator: Exists"), 0);
}

static void a_label_of_instances_leaves_those_that_have_it(void **unused)
{
	size_t all = left_by("key: kubernetes.io/os, operator: In, values: [linux]");
	size_t with = left_by("key: karpenter.k8s.aws/instance-gpu-count, operator: Exists");
	size_t without =
		left_by("key: karpenter.k8s.aws/instance-gpu-count, operator: DoesNotExist");

	(void)unused;
	assert_true(with > 0 && without > with);
	assert_int_equal(with + without, all);
	assert_int_equal(left_by("key: node.kubernetes.io/windows-build, operator: Exists"), 0);
}

static void bounds_with_and_without_their_number_differ_by_it(void **unused)
{
	size_t four = left_by("key: karpenter.k8s.aws/instance-cpu, operator: In, values: [\"4\"]");

	(void)unused;
	assert_true(four > 0);
	assert_int_equal(
		left_by("key: karpenter.k8s.aws/instance-cpu, operator: Gte, values: [\"4\"]") -
			left_by("key: karpenter.k8s.aws/instance-cpu, operator: Gt, values: "
				"[\"4\"]"),
		four);
	assert_int_equal(
		left_by("key: karpenter.k8s.aws/instance-cpu, operator: Lte, values: [\"4\"]") -
			left_by("key: karpenter.k8s.aws/instance-cpu, operator: Lt, values: "
				"[\"4\"]"),
		four);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_label_of_ones_own_leaves_every_offering),
		cmocka_unit_test(a_reservation_is_chosen_by_its_labels_once_it_is_known),
		cmocka_unit_test(a_label_of_instances_leaves_those_that_have_it),
		cmocka_unit_test(bounds_with_and_without_their_number_differ_by_it),
	};
	int r;

	catalog = catalog_shipped();
	r = cmocka_run_group_tests(tests, NULL, NULL);
	catalog_free(catalog);
	return r;
}
