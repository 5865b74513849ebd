/* SPDX-License-Identifier: Apache-2.0 */
/* `forerun top` without a terminal: what it shows at a size, after keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text.h"
#include "export/export.h"

struct page {
	struct text text;
	unsigned width, rows, selected;
};

static void put(void *arg, unsigned row, enum top_style style, const char *text)
{
	struct page *page = arg;
	unsigned columns = 0;

	for (const char *c = text; *c; c++)
		columns += ((unsigned char)*c & 0xc0) != 0x80;
	assert_true(columns <= page->width);
	assert_true(row >= page->rows);
	page->rows = row + 1;
	if (style == TOP_SELECTED)
		page->selected++;
	text_printf(&page->text, "%s\n", text);
}

/* The page as one text; the caller frees. */
static char *page_of(struct top *top, unsigned width, unsigned height)
{
	struct page page = {.width = width};

	top_draw(top, width, height, put, &page);
	assert_true(page.rows <= height);
	assert_true(page.selected <= 1);
	return text_take(&page.text);
}

static void add_listener(struct text *json, const char *address, const char *owner, double requests,
			 const char *diagnosis)
{
	text_printf(
		json,
		"%s{\"listener\":\"%s\",\"sockets\":1,\"queue_limit\":511,\"diagnosis\":\"%s\","
		"\"reason\":\"a sentence about it\",\"labels\":{\"netns\":\"4026531840\","
		"\"owner\":\"%s\",\"port\":\"80\"},\"metrics\":{\"forerun_requests_per_second\":"
		"{\"last\":%g,\"fast\":%g},\"forerun_accept_queue_depth\":{\"last\":3,"
		"\"slow_peak\":7}},\"response_buckets\":[[0.000512,10],[0.001,30],[null,1]]}",
		json->length ? "," : "", address, diagnosis, owner, requests, requests);
}

static void feed(struct top *top, struct text *listeners)
{
	_cleanup_text_ struct text json = {0};
	char reason[128];

	text_printf(&json, "{\"time\":\"2026-11-24T06:00:00.000Z\",\"listeners\":[%s]}",
		    listeners->length ? listeners->data : "");
	assert_int_equal(top_feed(top, json.data, reason), 0);
	text_free(listeners);
}

static void feed_three(struct top *top)
{
	struct text listeners = {0};

	add_listener(&listeners, "10.0.0.1:80", "nginx.service", 100, "ok");
	add_listener(&listeners, "10.0.0.1:81", "api.service", 300, "needs-capacity");
	add_listener(&listeners, "10.0.0.1:82", "db.service", 200, "idle");
	feed(top, &listeners);
}

/* Whether first stands before second, both on the page. */
static bool before(const char *page, const char *first, const char *second)
{
	const char *a = strstr(page, first), *b = strstr(page, second);

	assert_non_null(a);
	assert_non_null(b);
	return a < b;
}

static void test_the_busiest_stands_first_until_another_order_is_chosen(void **state)
{
	struct top *top = top_new("here", false);
	char *page;

	(void)state;
	feed_three(top);
	page = page_of(top, 120, 24);
	assert_true(before(page, "10.0.0.1:81", "10.0.0.1:82"));
	assert_true(before(page, "10.0.0.1:82", "10.0.0.1:80"));
	assert_non_null(strstr(page, "REQ/Sv"));
	free(page);
	assert_true(top_press(top, 'r'));
	page = page_of(top, 120, 24);
	assert_true(before(page, "10.0.0.1:80", "10.0.0.1:81"));
	assert_non_null(strstr(page, "REQ/S^"));
	free(page);
	top_free(top);
}

static void test_what_is_not_ok_is_marked_without_colour(void **state)
{
	struct top *top = top_new("here", false);
	char *page;

	(void)state;
	feed_three(top);
	page = page_of(top, 120, 24);
	assert_non_null(strstr(page, ">!10.0.0.1:81"));
	assert_non_null(strstr(page, "\n  10.0.0.1:80"));
	assert_non_null(strstr(page, "3 listeners, 1 to look at"));
	free(page);
	top_free(top);
}

static void test_a_filter_leaves_what_contains_it(void **state)
{
	struct top *top = top_new("here", false);
	char *page;

	(void)state;
	feed_three(top);
	for (const char *c = "/DB"; *c; c++)
		assert_true(top_press(top, *c));
	page = page_of(top, 120, 24);
	assert_non_null(strstr(page, "db.service"));
	assert_null(strstr(page, "nginx.service"));
	assert_non_null(strstr(page, "filter: DB_  (1 shown)"));
	free(page);
	/* q is a letter while a filter is typed, and Esc drops it. */
	assert_true(top_press(top, 'q'));
	assert_true(top_press(top, TOP_KEY_ESCAPE));
	page = page_of(top, 120, 24);
	assert_non_null(strstr(page, "nginx.service"));
	free(page);
	assert_false(top_press(top, 'q'));
	top_free(top);
}

static void test_details_show_words_and_histogram(void **state)
{
	struct top *top = top_new("here", false);
	char *page;

	(void)state;
	feed_three(top);
	assert_true(top_press(top, TOP_KEY_HOME));
	assert_true(top_press(top, TOP_KEY_ENTER));
	page = page_of(top, 80, 24);
	assert_non_null(strstr(page, "needs-capacity"));
	assert_non_null(strstr(page, "a sentence about it"));
	assert_non_null(strstr(page, "41 responses"));
	assert_non_null(strstr(page, "< 512us   24.4 %"));
	assert_non_null(strstr(page, "< 1.0ms   73.2 %"));
	assert_non_null(strstr(page, "  longer     2.4 %"));
	free(page);
	top_free(top);
}

static void test_the_choice_stays_with_its_listener(void **state)
{
	struct top *top = top_new("here", false);
	struct text listeners = {0};
	char *page;

	(void)state;
	feed_three(top);
	assert_true(top_press(top, TOP_KEY_HOME));
	assert_true(top_press(top, TOP_KEY_DOWN)); /* :82 */
	add_listener(&listeners, "10.0.0.1:82", "db.service", 1, "idle");
	add_listener(&listeners, "10.0.0.1:80", "nginx.service", 500, "ok");
	feed(top, &listeners);
	page = page_of(top, 120, 24);
	assert_true(before(page, "10.0.0.1:80", "10.0.0.1:82"));
	assert_non_null(strstr(page, "> 10.0.0.1:82"));
	assert_null(strstr(page, "10.0.0.1:81"));
	free(page);
	top_free(top);
}

static void test_every_size_is_kept(void **state)
{
	struct top *top = top_new("a source with a long name that does not end soon", true);

	(void)state;
	for (int n = 0; n < 300; n++)
		feed_three(top);
	for (int mode = 0; mode < 4; mode++) {
		for (unsigned width = 1; width < 200; width += 7)
			for (unsigned height = 1; height < 60; height += 5)
				free(page_of(top, width, height));
		top_press(top, mode == 0 ? TOP_KEY_ENTER : mode == 1 ? '?' : '/');
	}
	top_free(top);
}

static void test_names_cannot_reach_the_terminal(void **state)
{
	struct top *top = top_new("here", true);
	struct text listeners = {0};
	char *page;

	(void)state;
	add_listener(&listeners, "10.0.0.1:80", "\\u001b[2Jevil\\u0007", 1, "ok");
	feed(top, &listeners);
	page = page_of(top, 120, 24);
	for (const char *c = page; *c; c++)
		assert_true((unsigned char)*c >= 0x20 || *c == '\n');
	assert_non_null(strstr(page, "?[2Jevil?"));
	free(page);
	top_free(top);
}

static void test_what_is_no_answer_changes_nothing(void **state)
{
	struct top *top = top_new("here", false);
	char reason[128], *page;

	(void)state;
	feed_three(top);
	assert_int_equal(top_feed(top, "<html>", reason), -EBADMSG);
	assert_int_equal(top_feed(top, "{\"listeners\":{}}", reason), -EBADMSG);
	assert_string_equal(reason, "the answer is no list of listeners: is it forerun?");
	top_problem(top, reason);
	page = page_of(top, 120, 24);
	assert_non_null(strstr(page, "! the answer is no list"));
	assert_non_null(strstr(page, "nginx.service"));
	free(page);
	top_free(top);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_busiest_stands_first_until_another_order_is_chosen),
		cmocka_unit_test(test_what_is_not_ok_is_marked_without_colour),
		cmocka_unit_test(test_a_filter_leaves_what_contains_it),
		cmocka_unit_test(test_details_show_words_and_histogram),
		cmocka_unit_test(test_the_choice_stays_with_its_listener),
		cmocka_unit_test(test_every_size_is_kept),
		cmocka_unit_test(test_names_cannot_reach_the_terminal),
		cmocka_unit_test(test_what_is_no_answer_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
