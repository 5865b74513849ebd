/* SPDX-License-Identifier: Apache-2.0 */
/* The shared files ~/.aws/config and ~/.aws/credentials, as botocore reads them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cloud/ini.h"

static const char *value(const struct ini *ini, const char *section, const char *key)
{
	const struct ini_entry *entry = ini_get(ini, section, key);

	return entry ? entry->value : NULL;
}

static void parse(const char *text, struct ini *ini)
{
	char problem[128];

	assert_int_equal(ini_parse(text, strlen(text), ini, problem), 0);
	assert_string_equal(problem, "");
}

static void sections_and_settings(void **state)
{
	_cleanup_(ini_free)
	struct ini ini = {0};

	(void)state;
	parse("\xef\xbb\xbf# comment\n[default]\nRegion = eu-west-1\r\nkey:a=b # kept\n\n; other\n"
	      "[profile  web]\nempty =\n[profile \"with space\"]\nx=1\n[default]\nregion=us-east-1",
	      &ini);
	assert_string_equal(value(&ini, "default", "region"), "us-east-1");
	assert_string_equal(value(&ini, "default", "key"), "a=b # kept");
	assert_string_equal(value(&ini, "profile web", "empty"), "");
	assert_string_equal(value(&ini, "profile with space", "x"), "1");
	assert_null(value(&ini, "default", "x"));
	assert_true(ini_has(&ini, "profile web"));
	assert_false(ini_has(&ini, "web"));
	assert_int_equal(ini_get(&ini, "profile with space", "x")->line, 10);
}

static void nested_settings_and_continuations(void **state)
{
	_cleanup_(ini_free)
	struct ini ini = {0};

	(void)state;
	parse("[services x]\nec2 =\n  endpoint_url = http://a\n\n  other = b\nssm "
	      "=\n\tendpoint_url: c\n"
	      "long = one\n  two\n",
	      &ini);
	assert_string_equal(value(&ini, "services x", "ec2.endpoint_url"), "http://a");
	assert_string_equal(value(&ini, "services x", "ec2.other"), "b");
	assert_string_equal(value(&ini, "services x", "ssm.endpoint_url"), "c");
	assert_string_equal(value(&ini, "services x", "long"), "one\ntwo");
}

static void what_is_neither_is_refused_with_its_line(void **state)
{
	static const struct {
		const char *text, *problem;
	} CASES[] = {
		{"[default\n", "line 1: found [ without ]"},
		{"key = value\n", "line 1: found a setting before any [section]"},
		{"[a]\n\nwords\n", "line 3: expected key = value"},
		{"[a]\n= value\n", "line 2: expected key = value"},
		{"[a]\n  lost\n", "line 2: found an indented line below nothing"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		_cleanup_(ini_free)
		struct ini ini = {0};
		char problem[128];

		assert_int_equal(ini_parse(CASES[i].text, strlen(CASES[i].text), &ini, problem),
				 -EINVAL);
		assert_string_equal(problem, CASES[i].problem);
	}
}

static void a_nul_byte_is_refused(void **state)
{
	_cleanup_(ini_free)
	struct ini ini = {0};
	char problem[128];

	(void)state;
	assert_int_equal(ini_parse("[a]\nb=\0c\n", 9, &ini, problem), -EINVAL);
	assert_string_equal(problem, "line 2: found a NUL byte");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sections_and_settings),
		cmocka_unit_test(nested_settings_and_continuations),
		cmocka_unit_test(what_is_neither_is_refused_with_its_line),
		cmocka_unit_test(a_nul_byte_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
