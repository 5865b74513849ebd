/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/signal_stream.h"

static void test_every_metric_has_a_name_that_is_parsed_back(void **state)
{
	enum metric parsed;

	(void)state;
	for (int m = 0; m < METRIC_COUNT; m++) {
		const char *name = signal_metric_name((enum metric)m);

		assert_true(str_starts(name, "forerun_"));
		assert_true(signal_metric_help((enum metric)m)[0] != '\0');
		assert_int_equal(signal_metric_parse(name, &parsed), 0);
		assert_int_equal(parsed, m);
	}
	assert_int_equal(signal_metric_parse("forerun_nothing", &parsed), -EINVAL);
	assert_int_equal(signal_metric_parse("", &parsed), -EINVAL);
}

static void test_windows_and_statistics_name_the_statistic(void **state)
{
	static const struct {
		const char *window, *statistic;
		int r;
		enum statistic expected;
	} cases[] = {
		{NULL, NULL, 0, STAT_FAST},	    {"300ms", NULL, 0, STAT_FAST},
		{"300ms", "mean", 0, STAT_FAST},    {"300ms", "peak", 0, STAT_FAST_PEAK},
		{NULL, "peak", 0, STAT_FAST_PEAK},  {NULL, "mean", 0, STAT_FAST},
		{NULL, "last", 0, STAT_LAST},	    {"100ms", NULL, 0, STAT_LAST},
		{"100ms", "last", 0, STAT_LAST},    {"3s", NULL, 0, STAT_SLOW},
		{"3s", "mean", 0, STAT_SLOW},	    {"3s", "peak", 0, STAT_SLOW_PEAK},
		{"3s", "p50", 0, STAT_SLOW_P50},    {"3s", "p90", 0, STAT_SLOW_P90},
		{"3s", "p99", 0, STAT_SLOW_P99},    {"300ms", "p99", -EINVAL, STAT_LAST},
		{NULL, "p99", -EINVAL, STAT_LAST},  {"100ms", "peak", -EINVAL, STAT_LAST},
		{"3s", "last", -EINVAL, STAT_LAST}, {"1s", "mean", -EINVAL, STAT_LAST},
		{"3s", "p95", -EINVAL, STAT_LAST},  {"", "", -EINVAL, STAT_LAST},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		enum statistic statistic = STAT_COUNT;

		assert_int_equal(
			signal_statistic_parse(cases[i].window, cases[i].statistic, &statistic),
			cases[i].r);
		if (cases[i].r == 0)
			assert_int_equal(statistic, cases[i].expected);
	}
}

static void label(const struct indicator *i, const char *name, const char *expected)
{
	char value[128];

	assert_int_equal(indicator_label(i, name, value, sizeof(value)), 0);
	assert_string_equal(value, expected);
}

static void test_labels_select_listeners(void **state)
{
	struct indicator i = {
		.family = AF_INET,
		.port = 443,
		.netns = 4026531840,
		.address = {10, 0, 0, 1},
		.owner = {.kind = OWNER_POD,
			  .name = "pod",
			  .unit = "u.service",
			  .container_id = "abc",
			  .pod_uid = "uid",
			  .process = "nginx"},
	};
	char value[128], address[ADDRESS_TEXT_SIZE];

	(void)state;
	label(&i, "address", "10.0.0.1");
	label(&i, "port", "443");
	label(&i, "netns", "4026531840");
	label(&i, "owner_kind", "pod");
	label(&i, "owner", "pod");
	label(&i, "unit", "u.service");
	label(&i, "container_id", "abc");
	label(&i, "pod_uid", "uid");
	label(&i, "process", "nginx");
	assert_int_equal(indicator_label(&i, "colour", value, sizeof(value)), -ENOENT);
	assert_int_equal(indicator_label(&i, "process", value, 3), 0);
	assert_string_equal(value, "ng");
	indicator_address(&i, address);
	assert_string_equal(address, "10.0.0.1:443");
	i.family = AF_INET6;
	memset(i.address, 0, sizeof(i.address));
	indicator_address(&i, address);
	assert_string_equal(address, "[::]:443");
	label(&i, "address", "::");
	memset(i.address, 0xff, sizeof(i.address));
	i.port = 65535;
	indicator_address(&i, address);
	assert_string_equal(address, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

static void test_unix_sockets_are_named_by_their_path(void **state)
{
	struct indicator i = {.family = AF_UNIX, .address = {57, 48}, .owner.socket_path = "@app"};
	char value[128], address[ADDRESS_TEXT_SIZE];

	(void)state;
	label(&i, "address", "unix:@app");
	label(&i, "port", "0");
	indicator_address(&i, address);
	assert_string_equal(address, "unix:@app");
	memset(i.owner.socket_path, 'x', sizeof(i.owner.socket_path) - 1);
	indicator_address(&i, address);
	assert_int_equal(strlen(address), strlen("unix:") + sizeof(i.owner.socket_path) - 1);
	i.owner.socket_path[0] = '\0';
	assert_int_equal(indicator_label(&i, "address", value, sizeof(value)), 0);
	assert_string_equal(value, "unix:[12345]");
}

static void test_every_diagnosis_has_a_name(void **state)
{
	(void)state;
	assert_string_equal(signal_diagnosis_text(DIAGNOSIS_IDLE), "idle");
	assert_string_equal(signal_diagnosis_text(DIAGNOSIS_OK), "ok");
	assert_string_equal(signal_diagnosis_text(DIAGNOSIS_NEEDS_CAPACITY), "needs-capacity");
	assert_string_equal(signal_diagnosis_text(DIAGNOSIS_APP_STALLED), "app-stalled");
	assert_string_equal(signal_diagnosis_text(DIAGNOSIS_BACKLOG_TOO_SMALL),
			    "backlog-too-small");
	assert_string_equal(signal_diagnosis_text(DIAGNOSIS_ATTACK_OR_SCAN), "attack-or-scan");
	assert_string_equal(signal_diagnosis_text(DIAGNOSIS_COUNT), "unknown");
}

static void test_a_configuration_that_makes_no_sense_is_refused(void **state)
{
	struct signal_config config;
	struct signal *signal;

	(void)state;
	signal_config_default(&config);
	config.fast_ns = 0;
	assert_int_equal(signal_new(&config, &signal), -EINVAL);
	signal_config_default(&config);
	config.slow_ns = config.fast_ns - 1;
	assert_int_equal(signal_new(&config, &signal), -EINVAL);
	signal_config_default(&config);
	config.stall_ns = 0;
	assert_int_equal(signal_new(&config, &signal), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_metric_has_a_name_that_is_parsed_back),
		cmocka_unit_test(test_windows_and_statistics_name_the_statistic),
		cmocka_unit_test(test_labels_select_listeners),
		cmocka_unit_test(test_unix_sockets_are_named_by_their_path),
		cmocka_unit_test(test_every_diagnosis_has_a_name),
		cmocka_unit_test(test_a_configuration_that_makes_no_sense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
