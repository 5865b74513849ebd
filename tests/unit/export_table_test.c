/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "export/export.h"

#define LISTENERS 40

struct fixture {
	struct indicator indicators[LISTENERS];
	struct table_policy policies[9];
	struct table_decision decisions[5];
	const char *log[8];
	struct table table;
};

static void fill_listeners(struct fixture *fixture)
{
	for (uint32_t i = 0; i < LISTENERS; i++) {
		struct indicator *indicator = &fixture->indicators[i];

		indicator->slot = i;
		indicator->sockets = 1;
		indicator->family = i % 2 ? AF_INET6 : AF_INET;
		memset(indicator->address, i % 3 ? 0 : 0xfe, sizeof(indicator->address));
		indicator->port = (uint16_t)(30000 + i);
		indicator->diagnosis = DIAGNOSIS_OK;
		memset(indicator->owner.name, 'n', sizeof(indicator->owner.name) - 1);
		for (int m = 0; m < METRIC_COUNT; m++)
			for (int s = 0; s < STAT_COUNT; s++)
				indicator->value[m][s] = i % 5 ? 123456789.0 * i : NAN;
	}
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	if (!fixture)
		return -1;
	fill_listeners(fixture);
	for (size_t i = 0; i < ARRAY_SIZE(fixture->policies); i++)
		snprintf(fixture->policies[i].name, sizeof(fixture->policies[i].name), "policy-%zu",
			 i);
	for (size_t i = 0; i < ARRAY_SIZE(fixture->decisions); i++)
		snprintf(fixture->decisions[i].id, sizeof(fixture->decisions[i].id), "d-%zu", i);
	for (size_t i = 0; i < ARRAY_SIZE(fixture->log); i++)
		fixture->log[i] = i == 7 ? "the newest line" : "an older line";
	fixture->table = (struct table){.title = "forerun",
					.hint = "http://127.0.0.1:9910/metrics",
					.indicators = fixture->indicators,
					.count = LISTENERS,
					.policies = fixture->policies,
					.policies_count = ARRAY_SIZE(fixture->policies),
					.decisions = fixture->decisions,
					.decisions_count = ARRAY_SIZE(fixture->decisions),
					.log_lines = fixture->log,
					.log_count = ARRAY_SIZE(fixture->log),
					.width = 120,
					.height = 30};
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void it_is_never_wider_or_higher_than_the_screen(void **state)
{
	static const struct table_notice notices[5] = {{"five hosts are silent", true}};
	struct fixture *fixture = *state;

	fixture->table.notices = notices;
	fixture->table.notices_count = ARRAY_SIZE(notices);
	for (unsigned width = 1; width < 220; width += 3)
		for (unsigned height = 0; height < 80; height++) {
			struct text out = {0};
			unsigned lines = 0;

			fixture->table.width = width;
			fixture->table.height = height;
			export_table(&out, &fixture->table);
			for (const char *line = out.data; line && *line; lines++) {
				size_t length = strcspn(line, "\n");

				assert_true(length <= width);
				assert_int_equal(line[length], '\n');
				line += length + 1;
			}
			assert_true(lines <= height);
			if (height > 40)
				assert_true(lines > 20);
			text_free(&out);
		}
}

static void names_cannot_move_the_cursor(void **state)
{
	struct fixture *fixture = *state;
	struct text out = {0};

	snprintf(fixture->indicators[0].owner.name, sizeof(fixture->indicators[0].owner.name),
		 "\033[2Jevil\r\b\x9b");
	fixture->log[7] = "log \033]0;title\007 line";
	fixture->policies[0].name[0] = '\t';
	export_table(&out, &fixture->table);
	for (size_t i = 0; i < out.length; i++)
		assert_true(out.data[i] == '\n' || (out.data[i] >= 0x20 && out.data[i] < 0x7f));
	assert_non_null(strstr(out.data, "evil"));
	text_free(&out);
}

static void what_needs_somebody_comes_first_with_its_reason(void **state)
{
	struct fixture *fixture = *state;
	struct indicator *urgent = &fixture->indicators[LISTENERS - 2];
	struct text out = {0};
	const char *row, *calm;

	urgent->diagnosis = DIAGNOSIS_NEEDS_CAPACITY;
	snprintf(urgent->reason, sizeof(urgent->reason), "the queue grows by 40 a second");
	export_table(&out, &fixture->table);
	row = strstr(out.data, ":30038");
	calm = strstr(out.data, ":30000");
	assert_non_null(row);
	assert_non_null(calm);
	assert_true(row < calm);
	assert_non_null(strstr(out.data, "needs-capacity: the queue grows by 40 a second"));
	assert_non_null(strstr(out.data, "the newest line"));
	assert_non_null(strstr(out.data, "more (all of them"));
	text_free(&out);
}

static void a_listener_that_is_gone_is_no_row(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_text_ struct text out = {0};

	for (uint32_t i = 0; i < LISTENERS; i++) {
		fixture->indicators[i].sockets = 0;
		fixture->indicators[i].value[METRIC_OPEN_CONNECTIONS][STAT_LAST] = i == 7;
	}
	export_table(&out, &fixture->table);
	assert_null(strstr(out.data, "30006"));
	assert_non_null(strstr(out.data, "30007"));
}

static void in_80_columns_there_are_owner_queue_and_the_whole_note(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_text_ struct text out = {0};
	const char *head;

	fixture->table.width = 80;
	fixture->table.height = 24;
	fixture->table.policies_count = 1;
	snprintf(fixture->policies[0].note, sizeof(fixture->policies[0].note),
		 "no fresh signal: no listener matches");
	export_table(&out, &fixture->table);
	head = strstr(out.data, "LISTENER");
	assert_non_null(head);
	assert_non_null(strstr(head, "OWNER"));
	assert_non_null(strstr(head, "QUEUE  PEAK  REQ/S   P99 DIAGNOSIS"));
	assert_non_null(strstr(out.data, "\n  no fresh signal: no listener matches\n"));
	assert_non_null(strstr(out.data, "forerun\nhttp://127.0.0.1:9910/metrics\n"));
}

static void a_core_shows_its_hosts_and_brakes_instead_of_listeners(void **state)
{
	static const struct table_notice notices[] = {
		{"1000 hosts report, 3 are silent", false},
		{"brake usd-per-hour: web wants 3 more\n", true}};
	struct fixture *fixture = *state;
	_cleanup_text_ struct text out = {0};

	fixture->table.no_listeners = true;
	fixture->table.count = 0;
	fixture->table.notices = notices;
	fixture->table.notices_count = ARRAY_SIZE(notices);
	export_table(&out, &fixture->table);
	assert_non_null(strstr(out.data, "\n1000 hosts report, 3 are silent\nbrake usd-per-hour: "
					 "web wants 3 more?\n"));
	assert_null(strstr(out.data, "LISTENER"));
	for (size_t i = 0; i < ARRAY_SIZE(fixture->policies); i++)
		assert_non_null(strstr(out.data, fixture->policies[i].name));
}

static void without_policies_it_says_so(void **state)
{
	struct fixture *fixture = *state;
	struct text out = {0};

	fixture->table.policies_count = 0;
	export_table(&out, &fixture->table);
	assert_non_null(strstr(out.data, "no policies: signals only"));
	text_free(&out);
}

static void colours_appear_only_where_they_are_asked_for(void **state)
{
	struct fixture *fixture = *state;
	struct text plain = {0}, coloured = {0};

	export_table(&plain, &fixture->table);
	fixture->table.color = true;
	export_table(&coloured, &fixture->table);
	assert_null(strchr(plain.data, '\033'));
	assert_non_null(strchr(coloured.data, '\033'));
	text_free(&plain);
	text_free(&coloured);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_is_never_wider_or_higher_than_the_screen),
		TEST(names_cannot_move_the_cursor),
		TEST(a_listener_that_is_gone_is_no_row),
		TEST(what_needs_somebody_comes_first_with_its_reason),
		TEST(in_80_columns_there_are_owner_queue_and_the_whole_note),
		TEST(a_core_shows_its_hosts_and_brakes_instead_of_listeners),
		TEST(without_policies_it_says_so),
		TEST(colours_appear_only_where_they_are_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
