/* SPDX-License-Identifier: Apache-2.0 */
/* Labels and capacities of every instance type against those that Karpenter's own provider for AWS
 * computes: tests/peers/karpenter-types, whose main.go says what a line holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <zlib.h>
#include <cmocka.h>

#include "plan/plan.h"

#define DIRECTORY "tests/peers/karpenter-types/"
#define PREFIX "karpenter.k8s.aws/instance-"

struct peer {
	struct catalog *catalog;
	struct documents documents;
	const struct node_class *class;
	size_t labels, amounts;
};

/* The labels that Karpenter's provider gives a type, one value each. */
static const char *const KEYS[] = {
	"category",
	"family",
	"generation",
	"size",
	"capability-flex",
	"cpu",
	"memory",
	"cpu-manufacturer",
	"cpu-sustained-clock-speed-mhz",
	"ebs-bandwidth",
	"network-bandwidth",
	"local-nvme",
	"hypervisor",
	"gpu-name",
	"gpu-manufacturer",
	"gpu-count",
	"gpu-memory",
	"accelerator-name",
	"accelerator-count",
	"accelerator-manufacturer",
	"encryption-in-transit-supported",
};

static const struct instance_type *type_of(const struct peer *peer, const char *name)
{
	const struct instance_type *type = catalog_type(peer->catalog, name);

	if (!type)
		fail_msg("%s is not in the catalog that ships", name);
	return type;
}

/* Of "key=value key=value": NULL when it is not there. */
static const char *value_in(char **words, const char *key)
{
	size_t length = strlen(key);

	for (; *words; words++)
		if (strncmp(*words, key, length) == 0 && (*words)[length] == '=')
			return *words + length + 1;
	return NULL;
}

static void hold_labels(struct peer *peer, const char *name, char **words)
{
	const struct instance_type *type = type_of(peer, name);
	struct offering offering = {
		.type = type, .vcpus = type->vcpus, .memory_mib = type->memory_mib};
	char key[128], out[128];

	memcpy(offering.instance_type, type->name, sizeof(offering.instance_type));
	for (size_t i = 0; i < ARRAY_SIZE(KEYS); i++) {
		const char *expected = value_in(words, KEYS[i]), *found;

		snprintf(key, sizeof(key), PREFIX "%s", KEYS[i]);
		found = offering_label(&offering, NULL, key, out, sizeof(out));
		if ((expected || found) && !str_equal(expected, found))
			fail_msg("%s: %s is \"%s\", Karpenter says \"%s\"", name, key,
				 found ? found : "(none)", expected ? expected : "(none)");
		peer->labels++;
	}
	for (; *words; words++) {
		size_t i = 0;

		while (i < ARRAY_SIZE(KEYS) && !value_in((char *[]){*words, NULL}, KEYS[i]))
			i++;
		assert_true(i < ARRAY_SIZE(KEYS)); /* no label that the list lacks */
	}
}

static double amount(const struct resources *resources, const char *name)
{
	vec_for_each (found, &resources->list)
		if (strcmp(found->name, name) == 0)
			return found->amount;
	return 0;
}

static void hold_amount(struct peer *peer, const char *type, const char *what,
			const struct resources *resources, const char *name, double expected)
{
	double found = amount(resources, name);

	if (found != expected)
		fail_msg("class %s, %s: %s of %s is %.17g, Karpenter says %.17g", peer->class->name,
			 type, what, name, found, expected);
	peer->amounts++;
}

static void hold_devices(struct peer *peer, const char *type, const struct resources *resources,
			 char **words)
{
	size_t devices = 0;

	vec_for_each (found, &resources->list)
		devices += strchr(found->name, '/') != NULL;
	for (; *words; words++, devices--) {
		char *equals = strchr(*words, '=');

		*equals = '\0';
		hold_amount(peer, type, "capacity", resources, *words, strtod(equals + 1, NULL));
		*equals = '=';
	}
	assert_int_equal(devices, 0);
}

static void hold_amounts(struct peer *peer, const char *type, char **words)
{
	bool other = strcmp(peer->class->name, "settings") == 0;
	struct node_capacity found;
	double expected[7];

	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		expected[i] = strtod(words[i], NULL);
	if (other) /* test/vm-memory-overhead-percent and test/reserved-enis of the class */
		node_capacity_reserving(type_of(peer, type), peer->class, 0.03, 1, &found);
	else
		node_capacity(type_of(peer, type), peer->class, 0.075, &found);
	hold_amount(peer, type, "capacity", &found.capacity, "cpu", expected[0] / 1000);
	hold_amount(peer, type, "capacity", &found.capacity, "memory", expected[1]);
	hold_amount(peer, type, "capacity", &found.capacity, "ephemeral-storage", expected[2]);
	hold_amount(peer, type, "capacity", &found.capacity, "pods", expected[3]);
	hold_amount(peer, type, "allocatable", &found.allocatable, "cpu", expected[4] / 1000);
	hold_amount(peer, type, "allocatable", &found.allocatable, "memory", expected[5]);
	hold_amount(peer, type, "allocatable", &found.allocatable, "ephemeral-storage",
		    expected[6]);
	hold_amount(peer, type, "allocatable", &found.allocatable, "pods", expected[3]);
	hold_devices(peer, type, &found.capacity, words + 7);
	hold_devices(peer, type, &found.allocatable, words + 7);
	node_capacity_free(&found);
}

static void hold_line(struct peer *peer, char *line)
{
	char *words[64], *rest = NULL;
	size_t count = 0;

	for (char *word = strtok_r(line, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
		assert_true(count + 1 < ARRAY_SIZE(words));
		words[count++] = word;
	}
	words[count] = NULL;
	assert_true(count >= 2);
	if (strcmp(words[0], "label") == 0) {
		hold_labels(peer, words[1], words + 2);
	} else if (strcmp(words[0], "class") == 0) {
		peer->class = documents_class(&peer->documents, words[1]);
		assert_non_null(peer->class);
	} else {
		assert_true(count >= 8);
		hold_amounts(peer, words[0], words + 1);
	}
}

static void read_classes(struct peer *peer)
{
	struct problems problems = {0};
	_cleanup_free_ char *text = NULL;
	size_t length = 0;

	assert_int_equal(file_read(DIRECTORY "classes.yaml", 1 << 20, &text, &length), 0);
	documents_parse(&peer->documents, "classes.yaml", text, length, &problems);
	problems_print(&problems, stderr);
	assert_int_equal(problems.errors, 0);
	problems_free(&problems);
}

static void labels_and_capacities_are_those_of_karpenter(void **unused)
{
	struct peer peer = {.catalog = catalog_shipped()};
	gzFile file = gzopen(DIRECTORY "types.txt.gz", "rb");
	char line[1024];

	(void)unused;
	read_classes(&peer);
	assert_non_null(file);
	while (gzgets(file, line, sizeof(line)))
		hold_line(&peer, line);
	gzclose(file);
	print_message("%zu labels and %zu amounts are the same\n", peer.labels, peer.amounts);
	assert_int_equal(peer.labels, ARRAY_SIZE(KEYS) * peer.catalog->types_count);
	assert_true(peer.amounts >= 8 * peer.documents.classes.count * peer.catalog->types_count);
	documents_free(&peer.documents);
	catalog_free(peer.catalog);
}

static void without_a_class_a_node_is_amazon_linux_2023(void **unused)
{
	struct catalog *catalog = catalog_shipped();
	struct node_capacity capacity;

	(void)unused;
	node_capacity(catalog_type(catalog, "m5.large"), NULL, 0.075, &capacity);
	assert_true(amount(&capacity.capacity, "pods") == 29);
	assert_true(amount(&capacity.allocatable, "cpu") == 1.93);
	assert_true(amount(&capacity.capacity, "ephemeral-storage") == 20 * 1073741824.0);
	node_capacity_free(&capacity);
	catalog_free(catalog);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(labels_and_capacities_are_those_of_karpenter),
		cmocka_unit_test(without_a_class_a_node_is_amazon_linux_2023),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
