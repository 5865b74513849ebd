/* SPDX-License-Identifier: Apache-2.0 */
/* What EC2 sells: as JSON, as offerings, and the catalog that is in the binary. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <cmocka.h>

#include "plan/catalog.h"

#define HEAD "{\"v\":2,\"region\":\"us-east-1\",\"fetched_wall_us\":5,\n"
#define TYPE(name, more)                                                         \
	"{\"name\":\"" name                                                      \
	"\",\"arch\":[\"amd64\"],\"vcpus\":2,\"memory_mib\":8192,\"spot\":true," \
	"\"on_demand\":true" more "}"

static struct catalog *read_good(const char *text, struct problems *problems)
{
	struct catalog *catalog = NULL;
	int r = catalog_read("c.json", text, strlen(text), &catalog, problems);

	if (r < 0)
		problems_print(problems, stderr);
	assert_int_equal(r, 0);
	return catalog;
}

static void what_ships_is_whole(void **unused)
{
	struct catalog *catalog = catalog_shipped();
	size_t assumed = 0, spot = 0;

	(void)unused;
	assert_true(catalog->snapshot);
	assert_string_equal(catalog->region, "us-east-1");
	assert_true(catalog->fetched_wall_ns > 1767225600 * NS_PER_S);
	assert_true(catalog->types_count > 1200);
	assert_true(catalog->zones_count > 5000);
	for (size_t i = 0; i < catalog->count; i++) {
		const struct offering *offering = &catalog->offerings[i];

		spot += offering->capacity_type == CAPACITY_SPOT;
		assumed += offering->price_assumed;
		assert_ptr_equal(offering->type, catalog_type(catalog, offering->instance_type));
		assert_true(isnan(offering->usd_per_hour) || offering->usd_per_hour > 0);
	}
	assert_int_equal(assumed, spot);
	assert_true(spot > 5000);
	catalog_free(catalog);
}

static void a_type_that_ships_is_as_ec2_describes_it(void **unused)
{
	struct catalog *catalog = catalog_shipped();
	const struct instance_type *type = catalog_type(catalog, "g4dn.xlarge");

	(void)unused;
	assert_non_null(type);
	assert_true(type->amd64 && !type->arm64 && type->spot && type->on_demand);
	assert_int_equal(type->vcpus, 4);
	assert_int_equal(type->memory_mib, 16384);
	assert_int_equal(type->interfaces, 3);
	assert_int_equal(type->addresses_per_interface, 10);
	assert_int_equal(type->local_nvme_gb, 125);
	assert_int_equal(type->gpus.count, 1);
	assert_string_equal(type->gpus.name, "t4");
	assert_true(type->usd_per_hour == 0.526);
	assert_null(catalog_type(catalog, "m5.nothing"));
	assert_null(catalog_type(catalog, "a name that is longer than any type's name is"));
	catalog_free(catalog);
}

static void what_was_written_reads_back_the_same(void **unused)
{
	struct catalog *catalog = catalog_shipped(), *again;
	struct text first = {0}, second = {0};
	struct problems problems = {0};

	(void)unused;
	catalog_write(catalog, &first);
	again = read_good(first.data, &problems);
	assert_int_equal(problems.list.count, 0);
	catalog_write(again, &second);
	assert_string_equal(first.data, second.data);
	assert_int_equal(again->count, catalog->count);
	text_free(&first);
	text_free(&second);
	catalog_free(catalog);
	catalog_free(again);
}

static void a_spot_price_that_is_not_known_is_taken_as_on_demand(void **unused)
{
	struct problems problems = {0};
	struct catalog *catalog = read_good(
		HEAD
		"\"types\":[" TYPE("m5.large",
				   ",\"usd_per_hour\":0.096") "],\"zones\":["
							      "[\"m5.large\",\"us-east-1b\",null],["
							      "\"m5.large\",\"us-east-1a\",0.04]]}",
		&problems);

	(void)unused;
	assert_int_equal(catalog->count, 4);
	assert_string_equal(catalog->offerings[0].zone, "us-east-1a");
	assert_int_equal(catalog->offerings[0].capacity_type, CAPACITY_ON_DEMAND);
	assert_true(catalog->offerings[0].usd_per_hour == 0.096);
	assert_true(catalog->offerings[1].usd_per_hour == 0.04);
	assert_false(catalog->offerings[1].price_assumed);
	assert_int_equal(catalog->offerings[3].capacity_type, CAPACITY_SPOT);
	assert_true(catalog->offerings[3].usd_per_hour == 0.096);
	assert_true(catalog->offerings[3].price_assumed);
	assert_int_equal(catalog->fetched_wall_ns, 5000);
	catalog_free(catalog);
}

static void a_zone_has_its_id_in_the_label_and_in_the_copy(void **unused)
{
	static const char text[] = HEAD "\"zone_ids\":{\"z-a\":\"use1-az4\"},\n\"types\":[" TYPE(
		"m5.large", "") "],\"zones\":[[\"m5.large\",\"z-a\",null],[\"m5.large\","
				"\"z-b\",null]]}";
	struct problems problems = {0};
	struct catalog *catalog = read_good(text, &problems);
	_cleanup_text_ struct text again = {0};
	char out[64];

	(void)unused;
	assert_int_equal(catalog->count, 4);
	assert_string_equal(
		offering_label(&catalog->offerings[0], NULL, LABEL_ZONE_ID, out, sizeof(out)),
		"use1-az4");
	assert_null(offering_label(&catalog->offerings[2], NULL, LABEL_ZONE_ID, out, sizeof(out)));
	catalog_write(catalog, &again);
	assert_non_null(strstr(again.data, "\n\"zone_ids\":{\"z-a\":\"use1-az4\"},\n"));
	catalog_free(catalog);
}

static void what_makes_no_sense_is_left_out_and_said(void **unused)
{
	static const char text[] = HEAD "\"types\":[" TYPE("a.x", ",\"usd_per_hour\":0") ",\n" TYPE(
		"b.x",
		",\"usd_per_hour\":-1") ",\n" TYPE("c.x",
						   ",\"interfaces\":70000") ",\n{\"name\":\"d.x\","
									    "\"arch\":[\"amd64\"],"
									    "\"vcpus\":0,\"memory_"
									    "mib\":1},\n"
									    "{\"arch\":[\"amd64\"]}"
									    ",\n" TYPE(
										    "a.x",
										    "") "],"
											"\"zones\":"
											"[[\"a.x\","
											"\"z\",0],["
											"\"no."
											"such\","
											"\"z\",1],["
											"\"a.x\"],"
											"7]}";
	struct problems problems = {0};
	struct catalog *catalog = read_good(text, &problems);
	struct text said = {0};

	(void)unused;
	vec_for_each (problem, &problems.list)
		text_printf(&said, "%s%s: %s\n", problem->warning ? "" : "! ", problem->where,
			    problem->text);
	assert_string_equal(
		said.data,
		"c.json:2:10: a.x: its price is no number above 0; it is taken as not known\n"
		"c.json:3:1: b.x: its price is no number above 0; it is taken as not known\n"
		"c.json:4:1: c.x: \"interfaces\" is missing or cannot be; it is left out\n"
		"c.json:5:1: d.x: \"vcpus\" is missing or cannot be; it is left out\n"
		"c.json:6:1: an instance type: \"name\" is missing or cannot be; it is left out\n"
		"c.json:7:100: a.x: its price is no number above 0; it is taken as not known\n"
		"c.json:7:132: a zone: not [type, zone, price]; it is left out\n"
		"c.json:7:140: a zone: not [type, zone, price]; it is left out\n"
		"c.json:7:143: instance types named twice: 1; one of each counts\n"
		"c.json:7:143: zones of unknown types or named twice: 1; left out\n");
	assert_int_equal(catalog->types_count, 2);
	assert_true(isnan(catalog->types[1].usd_per_hour));
	assert_int_equal(catalog->zones_count, 1);
	text_free(&said);
	problems_free(&problems);
	catalog_free(catalog);
}

static void a_catalog_without_types_offers_nothing(void **unused)
{
	struct problems problems = {0};
	struct catalog *catalog = read_good(HEAD "\"types\":[],\"zones\":[]}", &problems);

	(void)unused;
	assert_int_equal(catalog->types_count + catalog->zones_count + catalog->count, 0);
	catalog_free(catalog);
}

static void a_damaged_or_old_catalog_is_refused(void **unused)
{
	static const struct {
		const char *text;
		int error;
		const char *where, *words;
	} CASES[] = {
		{"", -EBADMSG, "c.json:1:1", "\"{\" is expected"},
		{"{\"version\":1,\"for\":\"x\"}", -ESTALE, "c.json:1:13", "of another version"},
		{"{\"v\":3}", -ESTALE, "c.json:1:7", "reads version 2"},
		{"{\"region\":\"x\"}", -ESTALE, "c.json:1:15", "of another version"},
		{"{\"v\":2}", -EBADMSG, "c.json:1:8", "\"region\" is expected"},
		{"{\"v\":2,\"region\":7}", -EBADMSG, "c.json:1:18", "another value"},
		{HEAD "\"types\":{}}", -EBADMSG, "c.json:2:9", "a list of instance types"},
		{HEAD "\"types\":[{\"name\"", -EBADMSG, "c.json:2:10", "JSON is expected"},
		{HEAD "\"types\":[" TYPE("a.x", "") "\n", -EBADMSG, "c.json:3:1", "\",\" or \"]\""},
		{HEAD "\"types\":[]", -EBADMSG, "c.json:2:11", "\",\" or \"}\""},
		{HEAD "\"zone_ids\":[]}", -EBADMSG, "c.json:2:14", "another value"},
		{HEAD "\"zone_ids\":{\"z\":1}}", -EBADMSG, "c.json:2:19", "another value"},
		{HEAD "types:[]}", -EBADMSG, "c.json:2:1", "a key in quotes"},
		{"{\"v\":2,\"region\":\"\xc3\xa4\"}", -EBADMSG, "c.json:1:21", "another value"},
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct problems problems = {0};
		struct catalog *catalog = NULL;

		assert_int_equal(catalog_read("c.json", CASES[i].text, strlen(CASES[i].text),
					      &catalog, &problems),
				 CASES[i].error);
		assert_null(catalog);
		assert_int_equal(problems.errors, 1);
		assert_string_equal(problems.list.at[0].where, CASES[i].where);
		assert_non_null(strstr(problems.list.at[0].text, CASES[i].words));
		problems_free(&problems);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_ships_is_whole),
		cmocka_unit_test(a_type_that_ships_is_as_ec2_describes_it),
		cmocka_unit_test(what_was_written_reads_back_the_same),
		cmocka_unit_test(a_spot_price_that_is_not_known_is_taken_as_on_demand),
		cmocka_unit_test(a_zone_has_its_id_in_the_label_and_in_the_copy),
		cmocka_unit_test(what_makes_no_sense_is_left_out_and_said),
		cmocka_unit_test(a_catalog_without_types_offers_nothing),
		cmocka_unit_test(a_damaged_or_old_catalog_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
