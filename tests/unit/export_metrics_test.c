/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "export/export.h"

static void indicator_init(struct indicator *indicator, uint16_t port)
{
	memset(indicator, 0, sizeof(*indicator));
	indicator->id = indicator->slot = port;
	indicator->netns = 4026531840U;
	indicator->family = AF_INET;
	indicator->port = port;
	indicator->sockets = 1;
	indicator->owner.kind = OWNER_UNIT;
	snprintf(indicator->owner.name, sizeof(indicator->owner.name), "nginx.service");
	indicator->capacity_per_second = NAN;
	for (int m = 0; m < METRIC_COUNT; m++)
		for (int s = 0; s < STAT_COUNT; s++)
			indicator->value[m][s] = NAN;
}

static char *signals_text(enum export_dialect dialect, const struct indicator *indicators,
			  size_t count)
{
	struct text out = {0};
	struct export_metrics metrics = {&out, dialect};
	struct probe_health health = {.listeners = (uint32_t)count, .listeners_max = 1024};

	export_metrics_signals(&metrics, indicators, count, &health, NS_PER_S);
	export_metrics_end(&metrics);
	return text_take(&out);
}

static void assert_has(const char *text, const char *line)
{
	if (!strstr(text, line))
		fail_msg("not found: %s\nin:\n%s", line, text);
}

static void a_counter_is_total_in_both_dialects_where_each_wants_it(void **state)
{
	const char *labels[] = {"policy", "web", NULL};

	(void)state;
	for (int dialect = EXPORT_PROMETHEUS; dialect <= EXPORT_OPENMETRICS; dialect++) {
		struct text out = {0};
		struct export_metrics metrics = {&out, (enum export_dialect)dialect};

		export_metrics_family(&metrics, "busy_seconds", "counter", "seconds", "Time.");
		export_metrics_value(&metrics, "busy_seconds", "counter", 1.5, labels);
		export_metrics_end(&metrics);
		assert_string_equal(out.data, dialect == EXPORT_PROMETHEUS
						      ? "# HELP busy_seconds_total Time.\n"
							"# TYPE busy_seconds_total counter\n"
							"busy_seconds_total{policy=\"web\"} 1.5\n"
						      : "# HELP busy_seconds Time.\n"
							"# TYPE busy_seconds counter\n"
							"# UNIT busy_seconds seconds\n"
							"busy_seconds_total{policy=\"web\"} 1.5\n"
							"# EOF\n");
		text_free(&out);
	}
}

static void label_values_are_escaped(void **state)
{
	const char *labels[] = {"name", "a\"b\\c\nd", NULL};
	struct text out = {0};
	struct export_metrics metrics = {&out, EXPORT_PROMETHEUS};

	(void)state;
	export_metrics_value(&metrics, "x", "gauge", 1, labels);
	assert_string_equal(out.data, "x{name=\"a\\\"b\\\\c\\nd\"} 1\n");
	text_free(&out);
}

static void what_is_not_known_is_left_out(void **state)
{
	struct indicator indicator;
	char *text;

	(void)state;
	indicator_init(&indicator, 80);
	indicator.value[METRIC_ACCEPT_QUEUE_DEPTH][STAT_FAST] = 7;
	text = signals_text(EXPORT_PROMETHEUS, &indicator, 1);
	assert_has(text, "\nforerun_accept_queue_depth{address=\"0.0.0.0\",port=\"80\",");
	assert_null(strstr(text, "\nforerun_cpu_cores{"));
	assert_null(strstr(text, "NaN"));
	assert_null(strstr(text, "nan"));
	free(text);
}

static void openmetrics_is_chosen_only_where_it_is_named(void **state)
{
	(void)state;
	assert_int_equal(export_dialect_of(NULL), EXPORT_PROMETHEUS);
	assert_int_equal(export_dialect_of("*/*"), EXPORT_PROMETHEUS);
	assert_int_equal(export_dialect_of("text/plain;version=0.0.4"), EXPORT_PROMETHEUS);
	assert_int_equal(export_dialect_of("application/openmetrics-text;version=1.0.0,*/*;q=0.1"),
			 EXPORT_OPENMETRICS);
}

/* Every fine bucket gets one response in its middle; each bound must then count exactly the buckets
 * that end at or below it. */
static void the_histogram_counts_exactly_what_lies_below_each_bound(void **state)
{
	struct indicator indicator;
	char *text, *at;
	unsigned bounds = 0;

	(void)state;
	indicator_init(&indicator, 80);
	for (size_t i = 0; i < PROBE_BUCKETS; i++)
		indicator.response_buckets[i] = 1;
	indicator.responses = PROBE_BUCKETS;
	indicator.response_ns = 3 * NS_PER_S / 2;
	text = signals_text(EXPORT_OPENMETRICS, &indicator, 1);
	for (at = text; (at = strstr(at, "le=\"")); bounds++) {
		double bound = strtod(at + 4, &at), expected = 0;

		for (size_t i = 0; i < PROBE_BUCKETS; i++) {
			uint64_t low, high;

			probe_bucket_bounds(i, &low, &high);
			if (isinf(bound) || (double)high <= bound * 1e9 * (1 + 1e-12))
				expected++;
		}
		assert_memory_equal(at, "\"} ", 3);
		assert_true(strtod(at + 3, NULL) == expected);
	}
	assert_int_equal(bounds, 19);
	assert_has(text, "forerun_response_time_seconds_sum{");
	assert_has(strstr(text, "forerun_response_time_seconds_sum{"), "} 1.5\n");
	free(text);
}

static void a_histogram_is_cumulative_and_ends_in_all(void **state)
{
	static const double bounds[] = {0.5, 15};
	static const uint64_t counts[] = {2, 3, 1};
	const char *labels[] = {"stage", "running", NULL};
	struct text out = {0};
	struct export_metrics metrics = {&out, EXPORT_PROMETHEUS};

	(void)state;
	export_metrics_histogram(&metrics, "x_seconds", bounds, 2, counts, 31.5, labels);
	assert_string_equal(out.data, "x_seconds_bucket{stage=\"running\",le=\"0.5\"} 2\n"
				      "x_seconds_bucket{stage=\"running\",le=\"15\"} 5\n"
				      "x_seconds_bucket{stage=\"running\",le=\"+Inf\"} 6\n"
				      "x_seconds_sum{stage=\"running\"} 31.5\n"
				      "x_seconds_count{stage=\"running\"} 6\n");
	text_free(&out);
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A scraper refuses a page in which two lines name the same series. */
static void no_series_appears_twice(void **state)
{
	struct indicator indicators[3];
	char *lines[4096], *text, *line, *rest;
	size_t count = 0;

	(void)state;
	for (uint16_t i = 0; i < 3; i++) {
		indicator_init(&indicators[i], (uint16_t)(80 + i / 2));
		indicators[i].netns += i; /* the same port in two namespaces */
		indicators[i].responses = indicators[i].response_buckets[100] = 1;
		for (int m = 0; m < METRIC_COUNT; m++)
			for (int s = 0; s < STAT_COUNT; s++)
				indicators[i].value[m][s] = 0.25;
	}
	text = signals_text(EXPORT_PROMETHEUS, indicators, 3);
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		assert_true(count < ARRAY_SIZE(lines));
		if (strrchr(line, '}'))
			strrchr(line, '}')[1] = '\0';
		else if (line[0] != '#')
			strchr(line, ' ')[0] = '\0';
		lines[count++] = line;
	}
	qsort(lines, count, sizeof(*lines), compare_lines);
	for (size_t i = 1; i < count; i++)
		assert_string_not_equal(lines[i - 1], lines[i]);
	assert_true(count > 3 * METRIC_COUNT);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_counter_is_total_in_both_dialects_where_each_wants_it),
		cmocka_unit_test(label_values_are_escaped),
		cmocka_unit_test(what_is_not_known_is_left_out),
		cmocka_unit_test(openmetrics_is_chosen_only_where_it_is_named),
		cmocka_unit_test(the_histogram_counts_exactly_what_lies_below_each_bound),
		cmocka_unit_test(a_histogram_is_cumulative_and_ends_in_all),
		cmocka_unit_test(no_series_appears_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
