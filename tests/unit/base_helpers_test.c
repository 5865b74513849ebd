/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "base/vec.h"

static void whole_numbers_are_digits_and_nothing_else(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t value;
	} cases[] = {
		{"0", 0, 0},
		{"007", 0, 7},
		{"18446744073709551615", 0, UINT64_MAX},
		{"18446744073709551616", -ERANGE, 0},
		{"99999999999999999999999", -ERANGE, 0},
		{"99999999999999999999999x", -EINVAL, 0},
		{"", -EINVAL, 0},
		{" 1", -EINVAL, 0},
		{"1 ", -EINVAL, 0},
		{"+1", -EINVAL, 0},
		{"-1", -EINVAL, 0},
		{"0x10", -EINVAL, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t value = 0;

		assert_int_equal(parse_u64(cases[i].text, &value), cases[i].r);
		assert_int_equal(value, cases[i].value);
	}
}

static void decimal_numbers_are_plain_decimals(void **state)
{
	static const char *const bad[] = {"",	   ".",	 "-",  "1.2.3", "nan", "inf",
					  "0x1p3", " 1", "1 ", "1e",	"e5",  "1,5"};
	double value;

	(void)state;
	assert_int_equal(parse_double("1.5", &value), 0);
	assert_true(value == 1.5);
	assert_int_equal(parse_double("-.5e2", &value), 0);
	assert_true(value == -50);
	assert_int_equal(parse_double("+7.", &value), 0);
	assert_true(value == 7);
	assert_int_equal(parse_double("1e999", &value), -ERANGE);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse_double(bad[i], &value), -EINVAL);
}

static void durations_are_as_go_writes_them(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t ns;
	} cases[] = {
		{"0", 0, 0},
		{"0s", 0, 0},
		{"100ms", 0, 100 * NS_PER_MS},
		{"3s", 0, 3 * NS_PER_S},
		{"1h30m", 0, 5400 * NS_PER_S},
		{"1.5h", 0, 5400 * NS_PER_S},
		{"1m30.5s", 0, 90500 * NS_PER_MS},
		{".5s", 0, NS_PER_S / 2},
		{"7ns", 0, 7},
		{"2us", 0, 2000},
		{"2\xc2\xb5s", 0, 2000},
		{"2\xce\xbcs", 0, 2000},
		{"0.1s", 0, 100 * NS_PER_MS},
		{"0.123456789s", 0, 123456789},
		{"6000000h", -ERANGE, 0},
		{"99999999999999999999s", -ERANGE, 0},
		{"18446744073709551615ns1s", -ERANGE, 0},
		{"", -EINVAL, 0},
		{"5", -EINVAL, 0},
		{"s", -EINVAL, 0},
		{".s", -EINVAL, 0},
		{"-1s", -EINVAL, 0},
		{"1 s", -EINVAL, 0},
		{"1d", -EINVAL, 0},
		{"1s2", -EINVAL, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t ns = 0;

		assert_int_equal(parse_duration_ns(cases[i].text, &ns), cases[i].r);
		assert_int_equal(ns, cases[i].ns);
	}
}

static void times_are_rfc_3339(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t ns;
	} cases[] = {
		{"1970-01-01T00:00:00Z", 0, 0},
		{"2026-11-23T00:00:00.000Z", 0, 1795392000 * NS_PER_S},
		{"2026-11-23T01:30:00+01:30", 0, 1795392000 * NS_PER_S},
		{"2026-11-22T22:00:00-02:00", 0, 1795392000 * NS_PER_S},
		{"2026-11-23t00:00:00.123456789z", 0, 1795392000 * NS_PER_S + 123456789},
		{"2026-11-23T00:00:00.1234567891234Z", 0, 1795392000 * NS_PER_S + 123456789},
		{"2024-02-29T00:00:00Z", 0, 1709164800 * NS_PER_S},
		{"2016-12-31T23:59:60Z", 0, 1483228800 * NS_PER_S},
		{"2023-02-29T00:00:00Z", -EINVAL, 0},
		{"2026-13-01T00:00:00Z", -EINVAL, 0},
		{"2026-00-01T00:00:00Z", -EINVAL, 0},
		{"2026-04-31T00:00:00Z", -EINVAL, 0},
		{"2026-01-01T24:00:00Z", -EINVAL, 0},
		{"2026-01-01T00:00:00", -EINVAL, 0},
		{"2026-01-01T00:00:00.Z", -EINVAL, 0},
		{"2026-01-01T00:00:00Zx", -EINVAL, 0},
		{"2026-01-01T00:00:00+1:00", -EINVAL, 0},
		{"2026-1-1T00:00:00Z", -EINVAL, 0},
		{"2026-01-01", -EINVAL, 0},
		{"", -EINVAL, 0},
		{"1969-12-31T23:59:59Z", -ERANGE, 0},
		{"9999-12-31T23:59:59Z", -ERANGE, 0},
	};
	char text[TIME_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t ns = 0;

		assert_int_equal(time_parse(cases[i].text, &ns), cases[i].r);
		assert_int_equal(ns, cases[i].ns);
	}
	time_format(1795392000 * NS_PER_S + 7 * NS_PER_MS + 999999, text);
	assert_string_equal(text, "2026-11-23T00:00:00.007Z");
}

static void utf8_is_well_formed_or_nothing(void **state)
{
	static const struct {
		const char *text;
		size_t length;
	} cases[] = {
		{"a", 1},
		{"\xc3\xa4", 2},
		{"\xe2\x82\xac", 3},
		{"\xf0\x9f\x98\x80", 4},
		{"\xf4\x8f\xbf\xbf", 4},
		{"\xf4\x90\x80\x80", 0}, /* above U+10FFFF */
		{"\xed\xa0\x80", 0}, /* surrogate */
		{"\xc0\x80", 0}, /* overlong */
		{"\xe0\x9f\xbf", 0},
		{"\xf0\x8f\xbf\xbf", 0},
		{"\x80", 0},
		{"\xff", 0},
		{"\xe2\x82", 0}, /* cut short */
		{"\xc3(", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(utf8_length(cases[i].text, strlen(cases[i].text)),
				 cases[i].length);
	assert_int_equal(utf8_length("", 0), 0);
	assert_int_equal(utf8_length("\xe2\x82\xac", 2), 0);
}

static void text_is_quoted_for_json_and_forms(void **state)
{
	struct text text = {0};
	_cleanup_free_ char *taken = NULL;

	(void)state;
	text_add_json(&text, "a\"b\\c\n\x01\x7f/\xc3\xa4\xff\xe2\x82z");
	assert_string_equal(text.data, "\"a\\\"b\\\\c\\n\\u0001\\u007f/\xc3\xa4\xef\xbf\xbd"
				       "\xef\xbf\xbd\xef\xbf\xbdz\"");
	text_clear(&text);
	assert_string_equal(text.data, "");
	text_add_form(&text, "aZ9_.-~ /+&=\xc3\xa4");
	assert_string_equal(text.data, "aZ9_.-~+%2F%2B%26%3D%C3%A4");
	text_clear(&text);
	for (int i = 0; i < 1000; i++)
		text_printf(&text, "%d,", i);
	assert_int_equal(text.length, 10 * 2 + 90 * 3 + 900 * 4);
	taken = text_take(&text);
	assert_true(str_starts(taken, "0,1,2,") && str_ends(taken, ",999,"));
	free(taken);
	taken = text_take(&text);
	assert_string_equal(taken, "");
}

static void a_vector_grows_and_closes_gaps(void **state)
{
	VEC(int) numbers = {0};
	int sum = 0;

	(void)state;
	for (int i = 0; i < 1000; i++)
		*vec_push(&numbers) = i;
	vec_remove(&numbers, 0);
	vec_remove(&numbers, 998);
	vec_remove(&numbers, 500);
	assert_int_equal(numbers.count, 997);
	assert_int_equal(numbers.at[500], 502);
	vec_for_each (number, &numbers)
		sum += *number;
	assert_int_equal(sum, 999 * 1000 / 2 - 999 - 501);
	vec_clear(&numbers);
	assert_int_equal(numbers.count, 0);
	vec_free(&numbers);
}

/* Against an array that holds the same. */
static void a_map_holds_what_was_put_and_not_removed(void **state)
{
	static char values[512];
	bool held[512] = {0};
	struct map map = {0};
	unsigned seed = 3;
	size_t count = 0, seen = 0, at = 0;
	struct map_entry *entry;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		unsigned key;

		seed = seed * 1103515245 + 12345;
		key = seed >> 16 & 511;
		if (seed >> 28 & 1) {
			assert_ptr_equal(map_put(&map, key, &values[key]),
					 held[key] ? &values[key] : NULL);
			count += !held[key];
			held[key] = true;
		} else {
			assert_ptr_equal(map_remove(&map, key), held[key] ? &values[key] : NULL);
			count -= held[key];
			held[key] = false;
		}
		assert_int_equal(map.count, count);
	}
	for (unsigned key = 0; key < 512; key++)
		assert_ptr_equal(map_get(&map, key), held[key] ? &values[key] : NULL);
	while ((entry = map_next(&map, &at))) {
		assert_true(held[entry->key]);
		seen++;
	}
	assert_int_equal(seen, count);
	map_free(&map);
	assert_null(map_get(&map, 1));
	assert_null(map_remove(&map, 1));
}

static void sums_are_the_published_ones(void **state)
{
	(void)state;
	assert_int_equal(crc32_of("123456789", 9), 0xcbf43926);
	assert_int_equal(crc32_of("", 0), 0);
	assert_int_equal(hash_text(""), 0xcbf29ce484222325ULL);
	assert_int_equal(hash_text("a"), 0xaf63dc4c8601ec8cULL);
	assert_int_equal(hash_text("foobar"), 0x85944171f73967e8ULL);
}

static int entries_in(const char *directory)
{
	DIR *dir = opendir(directory);
	int count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 2;
}

static void a_file_is_replaced_whole_or_not_at_all(void **state)
{
	char directory[] = "/tmp/forerun-test-XXXXXX";
	_cleanup_free_ char *path = NULL, *text = NULL, *inside = NULL;
	size_t length;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(directory));
	path = str_printf("%s/file", directory);
	inside = str_printf("%s/file/inside", directory);
	assert_int_equal(file_write_atomic(path, "one", 3, 0640), 0);
	assert_int_equal(file_write_atomic(path, "second", 6, 0600), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(file_write_atomic(inside, "x", 1, 0600), -ENOTDIR);
	assert_int_equal(file_read(path, 6, &text, &length), 0);
	assert_int_equal(length, 6);
	assert_string_equal(text, "second");
	assert_int_equal(file_read(path, 5, &text, NULL), -EFBIG);
	assert_int_equal(file_read(inside, 5, &text, NULL), -ENOTDIR);
	assert_int_equal(entries_in(directory), 1);
	/* A directory in the way: the temporary file goes away again. */
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(file_write_atomic(path, "x", 1, 0600), -EISDIR);
	assert_int_equal(entries_in(directory), 1);
	rmdir(path);
	rmdir(directory);
}

static void a_file_without_a_size_is_read_to_its_end(void **state)
{
	_cleanup_free_ char *text = NULL;
	size_t length;

	(void)state;
	assert_int_equal(file_read("/proc/self/status", 1 << 20, &text, &length), 0);
	assert_true(length > 100 && str_starts(text, "Name:"));
}

static void keep_line(void *arg, enum log_level level, const char *line)
{
	text_printf(arg, "%d:%s|", (int)level, line);
}

static void a_log_line_is_one_line_and_levels_are_kept(void **state)
{
	struct text lines = {0};
	enum log_level level;

	(void)state;
	log_set_sink(keep_line, &lines);
	log_info("a\nb\x1b[31m%s", "c\r");
	log_debug("not shown");
	log_set_level(LOG_LEVEL_ERROR);
	log_warning("not shown");
	log_error("shown");
	assert_string_equal(lines.data, "6:a b [31mc |3:shown|");
	log_set_sink(NULL, NULL);
	log_set_level(LOG_LEVEL_INFO);
	assert_int_equal(log_level_parse("warning", &level), 0);
	assert_int_equal(level, LOG_LEVEL_WARNING);
	assert_int_equal(log_level_parse("loud", &level), -EINVAL);
	text_free(&lines);
}

/* What a child writes with standard error in that file, and JOURNAL_STREAM naming that very file or
 * another. */
static void log_in_child(const char *path, bool journal)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	char stream[64];
	struct stat st;

	dup2(fd, STDERR_FILENO);
	fstat(fd, &st);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino + !journal);
	setenv("JOURNAL_STREAM", stream, 1);
	log_warning("disk %s", "full");
	_exit(0);
}

static void systemd_gets_the_level_and_others_the_time(void **state)
{
	char path[] = "/tmp/forerun-test-XXXXXX";

	(void)state;
	close(mkstemp(path));
	for (int journal = 0; journal < 2; journal++) {
		_cleanup_free_ char *text = NULL;
		pid_t child = fork();
		uint64_t ns;

		if (child == 0)
			log_in_child(path, journal);
		waitpid(child, NULL, 0);
		assert_int_equal(file_read(path, 1000, &text, NULL), 0);
		if (journal) {
			assert_string_equal(text, "<4>disk full\n");
			continue;
		}
		assert_string_equal(text + 24, " warning disk full\n");
		text[24] = '\0';
		assert_int_equal(time_parse(text, &ns), 0);
	}
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_numbers_are_digits_and_nothing_else),
		cmocka_unit_test(decimal_numbers_are_plain_decimals),
		cmocka_unit_test(durations_are_as_go_writes_them),
		cmocka_unit_test(times_are_rfc_3339),
		cmocka_unit_test(utf8_is_well_formed_or_nothing),
		cmocka_unit_test(text_is_quoted_for_json_and_forms),
		cmocka_unit_test(a_vector_grows_and_closes_gaps),
		cmocka_unit_test(a_map_holds_what_was_put_and_not_removed),
		cmocka_unit_test(sums_are_the_published_ones),
		cmocka_unit_test(a_file_is_replaced_whole_or_not_at_all),
		cmocka_unit_test(a_file_without_a_size_is_read_to_its_end),
		cmocka_unit_test(systemd_gets_the_level_and_others_the_time),
		cmocka_unit_test(a_log_line_is_one_line_and_levels_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
