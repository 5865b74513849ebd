/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>

#include <cmocka.h>

#include <cjson/cJSON.h>

#include "export/export.h"

static void numbers_are_the_shortest_that_read_back_the_same(void **state)
{
	static const struct {
		double value;
		const char *text;
	} cases[] = {
		{0, "0"},
		{0.1, "0.1"},
		{1.0 / 3, "0.3333333333333333"},
		{1e6, "1000000"},
		{1e300, "1e+300"},
		{1234567, "1234567"},
		{4026531840.0, "4026531840"},
		{-2.5, "-2.5"},
		{NAN, "null"},
		{INFINITY, "null"},
		{0.000128, "0.000128"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct text out = {0};

		export_json_number(&out, cases[i].value);
		assert_string_equal(out.data, cases[i].text);
		if (isfinite(cases[i].value))
			assert_true(strtod(out.data, NULL) == cases[i].value);
		text_free(&out);
	}
}

static struct indicator *one_listener(void)
{
	struct indicator *indicator = calloc(1, sizeof(*indicator));

	assert_non_null(indicator);
	indicator->family = AF_INET;
	indicator->port = 443;
	indicator->sockets = 2;
	indicator->queue_limit = 511;
	indicator->time_ns = NS_PER_S / 2;
	indicator->owner.kind = OWNER_POD;
	snprintf(indicator->owner.name, sizeof(indicator->owner.name), "quote\"and\\slash\x1b[2J");
	snprintf(indicator->reason, sizeof(indicator->reason), "a \"reason\"");
	indicator->diagnosis = DIAGNOSIS_APP_STALLED;
	indicator->capacity_per_second = NAN;
	indicator->requests = 12345678901234ULL;
	for (int m = 0; m < METRIC_COUNT; m++)
		for (int s = 0; s < STAT_COUNT; s++)
			indicator->value[m][s] = NAN;
	indicator->value[METRIC_ACCEPT_QUEUE_DEPTH][STAT_LAST] = 3;
	indicator->value[METRIC_ACCEPT_QUEUE_DEPTH][STAT_FAST_PEAK] = 9;
	return indicator;
}

static void signals_are_json_and_hold_what_is_known_and_nothing_else(void **state)
{
	struct indicator *indicator = one_listener();
	struct text out = {0};
	cJSON *root, *listener, *metrics, *depth;

	(void)state;
	export_json_signals(&out, indicator, 1, false, (struct moment){NS_PER_S, 0});
	root = cJSON_Parse(out.data);
	assert_non_null(root);
	assert_string_equal(cJSON_GetObjectItem(root, "time")->valuestring,
			    "1970-01-01T00:00:00.000Z");
	listener = cJSON_GetArrayItem(cJSON_GetObjectItem(root, "listeners"), 0);
	assert_string_equal(cJSON_GetObjectItem(listener, "diagnosis")->valuestring, "app-stalled");
	assert_string_equal(cJSON_GetObjectItem(listener, "reason")->valuestring, "a \"reason\"");
	assert_true(cJSON_GetObjectItem(listener, "age_seconds")->valuedouble == 0.5);
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(listener, "capacity_per_second")));
	metrics = cJSON_GetObjectItem(listener, "metrics");
	assert_int_equal(cJSON_GetArraySize(metrics), 1);
	depth = cJSON_GetObjectItem(metrics, "forerun_accept_queue_depth");
	assert_int_equal(cJSON_GetArraySize(depth), 2);
	assert_true(cJSON_GetObjectItem(depth, "last")->valuedouble == 3);
	assert_true(cJSON_GetObjectItem(depth, "fast_peak")->valuedouble == 9);
	assert_true(cJSON_GetObjectItem(cJSON_GetObjectItem(listener, "counters"), "requests")
			    ->valuedouble == 12345678901234.0);
	assert_string_equal(
		cJSON_GetObjectItem(cJSON_GetObjectItem(listener, "labels"), "owner")->valuestring,
		"quote\"and\\slash\x1b[2J");
	cJSON_Delete(root);
	text_free(&out);
	free(indicator);
}

static void protocols_and_how_sure_the_counts_are(void **state)
{
	struct indicator *indicator = one_listener();
	struct text out = {0};

	(void)state;
	indicator->protocols[FORERUN_PROTOCOL_HTTP1] = 7;
	indicator->protocols[FORERUN_PROTOCOL_HTTP2] = 2;
	export_json_signals(&out, indicator, 1, false, (struct moment){NS_PER_S, 0});
	assert_non_null(strstr(out.data, "\"protocols\":{\"http1\":7,\"http2\":2,\"tls\":0,"
					 "\"other\":0,\"upgraded\":0}"));
	assert_non_null(strstr(out.data, "\"quality\":{\"requests\":\"exact\"}"));
	text_clear(&out);
	indicator->protocols[FORERUN_PROTOCOL_TLS] = 1; /* HTTP/2 may be inside */
	export_json_signals(&out, indicator, 1, false, (struct moment){NS_PER_S, 0});
	assert_non_null(strstr(out.data, "\"quality\":{\"requests\":\"lower bound\"}"));
	text_clear(&out);
	indicator->protocols[FORERUN_PROTOCOL_TLS] = 0;
	indicator->lower_bounds = 1;
	export_json_signals(&out, indicator, 1, false, (struct moment){NS_PER_S, 0});
	assert_non_null(strstr(out.data, "\"quality\":{\"requests\":\"lower bound\"}"));
	text_free(&out);
	free(indicator);
}

static void response_buckets_come_when_asked_for(void **state)
{
	struct indicator *indicator = one_listener();
	struct text out = {0};

	(void)state;
	indicator->response_buckets[1] = 3; /* 1 to 1.125 us */
	indicator->response_buckets[PROBE_BUCKETS - 1] = 1;
	export_json_signals(&out, indicator, 1, true, (struct moment){NS_PER_S, 0});
	assert_non_null(strstr(out.data, "\"response_buckets\":[[1.125e-06,3],[null,1]]"));
	text_free(&out);
	free(indicator);
}

static void no_listener_is_an_empty_list(void **state)
{
	struct text out = {0};

	(void)state;
	export_json_signals(&out, NULL, 0, false, (struct moment){0, 0});
	assert_string_equal(out.data, "{\"time\":\"1970-01-01T00:00:00.000Z\",\"listeners\":[]}");
	text_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_the_shortest_that_read_back_the_same),
		cmocka_unit_test(signals_are_json_and_hold_what_is_known_and_nothing_else),
		cmocka_unit_test(protocols_and_how_sure_the_counts_are),
		cmocka_unit_test(response_buckets_come_when_asked_for),
		cmocka_unit_test(no_listener_is_an_empty_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
