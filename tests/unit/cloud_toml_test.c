/* SPDX-License-Identifier: Apache-2.0 */
/* TOML: what is right is read and written so that it reads the same; what is wrong is refused with
 * its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cloud/toml.h"

/* What is no string, array or table is kept as it is written, so it is compared as text. */
static char *json_of(const cJSON *tree)
{
	return cJSON_PrintUnformatted(tree);
}

static void documents_are_read_and_written(void **unused)
{
	static const struct {
		const char *toml, *json;
	} CASES[] = {
		{"", "{}"},
		{"# only\r\n\n\t # comments", "{}"},
		{"a = 1\nb-_1 = -0x1F # no\n", NULL},
		{"a = 1\n\"b c\" = +1_000\n'd' = 0xFf", "{\"a\":1,\"b c\":+1_000,\"d\":0xFf}"},
		{"a=1.5e-3\nb=inf\nc=-nan\nd=0o17\ne=0b1_0",
		 "{\"a\":1.5e-3,\"b\":inf,\"c\":-nan,\"d\":0o17,\"e\":0b1_0}"},
		{"a=1979-05-27\nb=07:32:00.5\nc=1979-05-27T07:32:00Z\nd=1979-05-27 07:32:00-07:00",
		 "{\"a\":1979-05-27,\"b\":07:32:00.5,\"c\":1979-05-27T07:32:00Z,"
		 "\"d\":1979-05-27 07:32:00-07:00}"},
		{"a = \"x\\t\\u00e9\\U0001F600\\\"\\\\\"",
		 "{\"a\":\"x\\t\xc3\xa9\xf0\x9f\x98\x80\\\"\\\\\"}"},
		{"a = 'c:\\no' # x\nb = ''", "{\"a\":\"c:\\\\no\",\"b\":\"\"}"},
		{"a = \"\"\"\nx\n  y \\\n\n   z\"\"\"\"\"\nb = '''\nq''r'''",
		 "{\"a\":\"x\\n  y z\\\"\\\"\",\"b\":\"q''r\"}"},
		{"a.b.c = true\na.d = false\n", "{\"a\":{\"b\":{\"c\":true},\"d\":false}}"},
		{"[a.b]\nx = 1\n[a]\ny = 2\n[a.\"c.d\"]\n",
		 "{\"a\":{\"b\":{\"x\":1},\"y\":2,\"c.d\":{}}}"},
		{"a = [1, 'b', [ ], [\n2, # two\n]\n, {c.d = 1}]",
		 "{\"a\":[1,\"b\",[],[2],{\"c\":{\"d\":1}}]}"},
		{"a = {}\nb = { c = 1 , \"d\" = {} }", "{\"a\":{},\"b\":{\"c\":1,\"d\":{}}}"},
		{"[[a]]\nx = 1\n[a.b]\ny = 1\n[[a]]\nx = 2\n[[a.c]]\n",
		 "{\"a\":[{\"x\":1,\"b\":{\"y\":1}},{\"x\":2,\"c\":[{}]}]}"},
		{"[a]\nb.c = 1\n[a.b.d]\n", "{\"a\":{\"b\":{\"c\":1,\"d\":{}}}}"},
	};
	char problem[TOML_PROBLEM_SIZE];

	(void)unused;
	for (size_t i = 0; i < sizeof(CASES) / sizeof(*CASES); i++) {
		cJSON *tree = toml_read(CASES[i].toml, strlen(CASES[i].toml), problem), *again;
		_cleanup_text_ struct text written = {0};
		char *json, *json_again;

		if (!CASES[i].json) { /* a sign stands before no prefix */
			assert_null(tree);
			continue;
		}
		if (!tree)
			fail_msg("%s: %s", CASES[i].toml, problem);
		json = json_of(tree);
		assert_string_equal(json, CASES[i].json);
		toml_write(tree, &written);
		again = toml_read(written.length ? written.data : "", written.length, problem);
		if (!again)
			fail_msg("%s: %s", written.data, problem);
		json_again = json_of(again);
		if (!cJSON_Compare(tree, again, true))
			fail_msg("%s became %s", json, json_again);
		free(json);
		free(json_again);
		cJSON_Delete(tree);
		cJSON_Delete(again);
	}
}

static void what_is_wrong_is_refused_with_its_line(void **unused)
{
	static const struct {
		const char *toml, *problem;
	} CASES[] = {
		{"a", "line 1: expected = after a"},
		{"\na = \n", "line 2: expected a value"},
		{"a = b", "line 1: b is no value; strings stand in quotes"},
		{"a = 1 b = 2", "line 1: expected the end of the line"},
		{"a = 1\na = 2", "line 2: a is said twice"},
		{"a = 1\na.b = 2", "line 2: a is said twice"},
		{"a.b = 1\n[a]\n", "line 2: a is said twice"},
		{"[a]\n[a]\n", "line 2: a is said twice"},
		{"[a.b]\n[a]\nb.c = 1", "line 3: b is said twice"},
		{"a = {}\n[a.b]", "line 2: a is said twice"},
		{"a = {}\na.b = 1", "line 2: a is said twice"},
		{"a = []\n[[a]]", "line 2: a is said twice"},
		{"[[a]]\n[a]", "line 2: a is said twice"},
		{"a = {b = 1, b = 2}", "line 1: b is said twice"},
		{"a = {b = 1,\nc = 2}", "line 1: expected a key"},
		{"a = {b = 1", "line 1: expected , or } in an inline table"},
		{"a = [1 2]", "line 1: expected , or ] in an array"},
		{"a = [,]", "line 1: expected a value"},
		{"a = [\n1,", "line 2: an array does not end"},
		{"[a", "line 1: expected ] at the end of a header"},
		{"[[a]\n", "line 1: expected ]] at the end of a header"},
		{"a = \"x", "line 1: a string does not end"},
		{"a = \"x\ny\"", "line 1: the string does not end on its line"},
		{"a = \"\\q\"", "line 1: unknown escape \\q"},
		{"a = \"\\ud800\"", "line 1: U+D800 is no character that can stand in a string"},
		{"a = \"\\u0000\"", "line 1: U+0000 is no character that can stand in a string"},
		{"a = \"\\u12\"", "line 1: \\u takes 4 hexadecimal digits"},
		{"a = 01", "line 1: 01 is no value; strings stand in quotes"},
		{"a = 1__0", "line 1: 1__0 is no value; strings stand in quotes"},
		{"a = 1.", "line 1: 1. is no value; strings stand in quotes"},
		{"= 1", "line 1: expected a key"},
		{"a..b = 1", "line 1: expected a key"},
		{"a = \"\x01\"", "line 1: a control character stands in a string"},
		{"# \x01", "line 1: a control character stands in a comment"},
	};
	char problem[TOML_PROBLEM_SIZE];

	(void)unused;
	for (size_t i = 0; i < sizeof(CASES) / sizeof(*CASES); i++) {
		assert_null(toml_read(CASES[i].toml, strlen(CASES[i].toml), problem));
		assert_string_equal(problem, CASES[i].problem);
	}
}

static void depth_is_bounded(void **unused)
{
	char problem[TOML_PROBLEM_SIZE], deep[512] = "a = ";

	(void)unused;
	memset(deep + 4, '[', 400);
	assert_null(toml_read(deep, strlen(deep), problem));
	assert_string_equal(problem, "line 1: more than 32 values within each other");
	memset(deep, 'a', 500);
	for (size_t i = 1; i < 500; i += 2)
		deep[i] = '.';
	assert_null(toml_read(deep, 500, problem));
	assert_string_equal(problem, "line 1: a key of more than 32 parts");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents_are_read_and_written),
		cmocka_unit_test(what_is_wrong_is_refused_with_its_line),
		cmocka_unit_test(depth_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
