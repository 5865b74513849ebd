/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "documents/documents.h"

static void quantities_are_read_as_kubernetes_does(void **unused)
{
	static const struct {
		const char *text;
		double value;
	} GOOD[] = {
		{"0", 0},
		{"10", 10},
		{"+10", 10},
		{"-10", -10},
		{"007", 7},
		{"1.5", 1.5},
		{".5", 0.5},
		{"5.", 5},
		{"100m", 0.1},
		{"500m", 0.5},
		{"1500m", 1.5},
		{"3u", 3e-6},
		{"7n", 7e-9},
		{"1k", 1e3},
		{"2M", 2e6},
		{"3G", 3e9},
		{"4T", 4e12},
		{"5P", 5e15},
		{"6E", 6e18},
		{"1Ki", 1024},
		{"1Mi", 1048576},
		{"16Gi", 17179869184},
		{"1.5Gi", 1610612736},
		{"1Ti", 1099511627776},
		{"1Pi", 1125899906842624},
		{"1Ei", 1152921504606846976.0},
		{"2e3", 2000},
		{"2E3", 2000},
		{"2e+3", 2000},
		{"2e-3", 0.002},
		{"1.5e1", 15},
		{"-1.5Gi", -1610612736},
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(GOOD); i++) {
		double value = -1;

		if (quantity_parse(GOOD[i].text, &value) != 0 || value != GOOD[i].value)
			fail_msg("%s gave %.17g", GOOD[i].text, value);
	}
}

static void what_is_no_quantity_is_refused(void **unused)
{
	static const char *const BAD[] = {
		"",	"m",   "Gi",	   ".",	    "+",       "-",	" 1",  "1 ",
		"1 Gi", "1gi", "1GI",	   "1Kib",  "1K",      "1ki",	"1i",  "1mi",
		"1e",	"1e+", "1e1.5",	   "0x10",  "1,5",     "1.2.3", "--1", "ten",
		"NaN",	"inf", "Infinity", "1e999", "1e99999", "5%",	"1m5", "1\n",
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(BAD); i++) {
		double value = -1;

		if (quantity_parse(BAD[i], &value) != -EINVAL || value != -1)
			fail_msg("\"%s\" gave %.17g", BAD[i], value);
	}
	assert_int_equal(quantity_parse(NULL, NULL), -EINVAL);
}

static void a_text_without_end_is_no_quantity(void **unused)
{
	char text[4096];
	double value = -1;

	(void)unused;
	memset(text, '9', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(quantity_parse(text, &value), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quantities_are_read_as_kubernetes_does),
		cmocka_unit_test(what_is_no_quantity_is_refused),
		cmocka_unit_test(a_text_without_end_is_no_quantity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
