/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/appendlog.h"
#include "base/log.h"
#include "base/text.h"

struct place {
	char directory[64];
	char *path;
	struct text log; /* what was logged */
};

struct seen {
	struct text lines; /* "NUMBER:payload;" */
	unsigned stop_at;
};

static void keep_log(void *arg, enum log_level level, const char *line)
{
	(void)level;
	text_add(arg, line);
	text_add_char(arg, '\n');
}

static int setup(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	*state = place;
	strcpy(place->directory, "/tmp/forerun-test-XXXXXX");
	assert_non_null(mkdtemp(place->directory));
	place->path = str_printf("%s/log", place->directory);
	text_add(&place->log, "");
	log_set_sink(keep_log, &place->log);
	return 0;
}

static int teardown(void **state)
{
	struct place *place = *state;

	log_set_sink(NULL, NULL);
	unlink(place->path);
	rmdir(place->directory);
	free(place->path);
	text_free(&place->log);
	free(place);
	return 0;
}

static int see(void *arg, const char *payload, size_t length, unsigned line)
{
	struct seen *seen = arg;

	if (line == seen->stop_at)
		return -ECANCELED;
	text_printf(&seen->lines, "%u:%.*s;", line, (int)length, payload);
	return 0;
}

static void write_file(const char *path, const char *data, size_t length)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, length), length);
	close(fd);
}

/* Opens the log, adds "more", and returns all that a reader then sees; NULL when opening fails. */
static char *open_and_add(const char *path, int *error)
{
	struct seen before = {0}, after = {0};
	struct appendlog *log;

	text_add(&before.lines, "");
	text_add(&after.lines, "");
	*error = appendlog_open(path, see, &before, &log);
	if (*error < 0) {
		text_free(&before.lines);
		text_free(&after.lines);
		return NULL;
	}
	assert_int_equal(appendlog_append(log, "more", 4, true), 0);
	appendlog_close(log);
	assert_int_equal(appendlog_read(path, see, &after), 0);
	assert_true(str_starts(after.lines.data, before.lines.data));
	text_free(&before.lines);
	return text_take(&after.lines);
}

static void lines_come_back_as_written(void **state)
{
	struct place *place = *state;
	_cleanup_free_ char *text = NULL, *lines = NULL;
	struct appendlog *log;
	int error;

	assert_int_equal(appendlog_open(place->path, NULL, NULL, &log), 0);
	assert_int_equal(appendlog_append(log, "{\"a\":1}", 7, true), 0);
	assert_int_equal(appendlog_append(log, "", 0, false), 0);
	assert_int_equal(appendlog_append(log, "two\nlines", 9, true), -EINVAL);
	assert_int_equal(appendlog_append(log, "nul\0", 4, true), -EINVAL);
	assert_int_equal(appendlog_append(log, "123456789", 9, true), 0);
	appendlog_close(log);
	assert_int_equal(file_read(place->path, 1000, &text, NULL), 0);
	assert_string_equal(text, "561bacaf {\"a\":1}\n00000000 \ncbf43926 123456789\n");
	lines = open_and_add(place->path, &error);
	assert_string_equal(lines, "1:{\"a\":1};2:;3:123456789;4:more;");
}

static void only_one_may_write_and_others_may_read(void **state)
{
	struct place *place = *state;
	struct appendlog *log, *second = NULL;
	struct seen seen = {0};

	assert_int_equal(appendlog_open(place->path, NULL, NULL, &log), 0);
	assert_int_equal(appendlog_append(log, "x", 1, false), 0);
	assert_int_equal(appendlog_open(place->path, NULL, NULL, &second), -EWOULDBLOCK);
	assert_int_equal(appendlog_read(place->path, see, &seen), 0);
	assert_string_equal(seen.lines.data, "1:x;");
	appendlog_close(log);
	assert_int_equal(appendlog_open(place->path, NULL, NULL, &second), 0);
	appendlog_close(second);
	text_free(&seen.lines);
}

static void a_reader_that_refuses_ends_it(void **state)
{
	struct place *place = *state;
	struct appendlog *log;
	struct seen seen = {.stop_at = 2};

	assert_int_equal(appendlog_open(place->path, NULL, NULL, &log), 0);
	assert_int_equal(appendlog_append(log, "a", 1, false), 0);
	assert_int_equal(appendlog_append(log, "b", 1, false), 0);
	assert_int_equal(appendlog_append(log, "c", 1, false), 0);
	appendlog_close(log);
	assert_int_equal(appendlog_read(place->path, see, &seen), -ECANCELED);
	assert_int_equal(appendlog_open(place->path, see, &seen, &log), -ECANCELED);
	assert_string_equal(seen.lines.data, "1:a;1:a;");
	text_free(&seen.lines);
}

static const char *const payloads[] = {"first", "", "third with more in it", "4"};

static char *sample_log(const char *path, size_t ends[4])
{
	struct appendlog *log;
	char *text;
	size_t length;

	assert_int_equal(appendlog_open(path, NULL, NULL, &log), 0);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(appendlog_append(log, payloads[i], strlen(payloads[i]), false), 0);
		ends[i] = (i ? ends[i - 1] : 0) + strlen(payloads[i]) + 10;
	}
	appendlog_close(log);
	assert_int_equal(file_read(path, 1000, &text, &length), 0);
	assert_int_equal(length, ends[3]);
	return text;
}

static void a_file_cut_at_any_byte_keeps_its_whole_lines(void **state)
{
	struct place *place = *state;
	size_t ends[4];
	_cleanup_free_ char *whole = sample_log(place->path, ends);

	for (size_t cut = 0; cut <= ends[3]; cut++) {
		_cleanup_free_ char *lines = NULL;
		struct text expected = {0};
		unsigned count = 0;
		int error;

		text_clear(&place->log);
		for (; count < 4 && ends[count] <= cut; count++)
			text_printf(&expected, "%u:%s;", count + 1, payloads[count]);
		text_printf(&expected, "%u:more;", count + 1);
		write_file(place->path, whole, cut);
		lines = open_and_add(place->path, &error);
		assert_non_null(lines);
		assert_string_equal(lines, expected.data);
		/* What was cut off is said. */
		assert_int_equal(strstr(place->log.data, "cut off the last") != NULL,
				 cut != (count ? ends[count - 1] : 0));
		text_free(&expected);
	}
}

static void any_flipped_bit_is_found(void **state)
{
	struct place *place = *state;
	size_t ends[4];
	_cleanup_free_ char *whole = sample_log(place->path, ends);

	for (size_t bit = 0; bit < ends[3] * 8; bit++) {
		_cleanup_free_ char *lines = NULL, *said = NULL;
		size_t at = bit / 8;
		bool looks_torn;
		int error;

		text_clear(&place->log);
		whole[at] = (char)(whole[at] ^ (1 << bit % 8));
		write_file(place->path, whole, ends[3]);
		/* Without its newline, or with a NUL, the last line could be one half written. */
		looks_torn = at >= ends[2] && (at == ends[3] - 1 || !whole[at]);
		whole[at] = (char)(whole[at] ^ (1 << bit % 8));
		lines = open_and_add(place->path, &error);
		if (looks_torn) {
			assert_string_equal(lines, "1:first;2:;3:third with more in it;4:more;");
			continue;
		}
		assert_int_equal(error, -EBADMSG);
		said = str_printf("%s:%u: the line is damaged", place->path,
				  1U + (at >= ends[0]) + (at >= ends[1]) + (at >= ends[2]));
		assert_non_null(strstr(place->log.data, said));
	}
}

/* The file may not grow beyond a limit, as on a full disk: part of a line may be written. */
static void fill_up(const char *path)
{
	struct rlimit limit = {.rlim_cur = 25, .rlim_max = 25};
	struct appendlog *log;

	signal(SIGXFSZ, SIG_IGN);
	if (appendlog_open(path, NULL, NULL, &log) < 0 ||
	    appendlog_append(log, "fits", 4, true) < 0)
		_exit(1);
	setrlimit(RLIMIT_FSIZE, &limit);
	if (appendlog_append(log, "does not fit", 12, true) >= 0)
		_exit(2);
	limit.rlim_cur = RLIM_INFINITY;
	if (appendlog_append(log, "x", 1, true) != -EIO)
		_exit(3);
	_exit(0);
}

static void after_a_failed_write_nothing_is_accepted_until_reopened(void **state)
{
	struct place *place = *state;
	_cleanup_free_ char *lines = NULL;
	int status, error;
	pid_t child = fork();

	if (child == 0)
		fill_up(place->path);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	lines = open_and_add(place->path, &error);
	assert_string_equal(lines, "1:fits;2:more;");
}

static void append_until_killed(const char *path, int ready)
{
	struct appendlog *log;

	if (appendlog_open(path, NULL, NULL, &log) < 0)
		_exit(1);
	for (unsigned i = 0;; i++) {
		char payload[256];
		int length = snprintf(payload, sizeof(payload), "%u %0*u", i, (int)(i % 200), i);

		if (appendlog_append(log, payload, (size_t)length, false) < 0 ||
		    write(ready, "", 1) < 0)
			_exit(2);
	}
}

static int count_line(void *arg, const char *payload, size_t length, unsigned line)
{
	(void)length;
	assert_int_equal(strtoul(payload, NULL, 10), line - 1);
	(*(unsigned *)arg)++;
	return 0;
}

static void kill_9_loses_no_line_that_was_accepted(void **state)
{
	struct place *place = *state;

	for (int round = 0; round < 10; round++) {
		unsigned accepted = 0, found = 0;
		struct appendlog *log;
		int fds[2];
		char byte;
		pid_t child;

		unlink(place->path);
		assert_int_equal(pipe(fds), 0);
		child = fork();
		if (child == 0)
			append_until_killed(place->path, fds[1]);
		close(fds[1]);
		for (; accepted < 50U * (unsigned)(round + 1) && read(fds[0], &byte, 1) == 1;
		     accepted++)
			;
		kill(child, SIGKILL);
		while (read(fds[0], &byte, 1) == 1)
			accepted++;
		waitpid(child, NULL, 0);
		close(fds[0]);
		assert_int_equal(appendlog_open(place->path, count_line, &found, &log), 0);
		appendlog_close(log);
		assert_true(found >= accepted && found <= accepted + 1);
	}
}

static int fill_two(void *arg, struct appendlog *to)
{
	int r = appendlog_append(to, "short one", 9, false);

	(void)arg;
	return r < 0 ? r : appendlog_append(to, "short two", 9, false);
}

static int fill_fails(void *arg, struct appendlog *to)
{
	int r = fill_two(arg, to);

	return r < 0 ? r : -ENOSPC;
}

static void a_short_form_takes_the_place_of_all_lines(void **state)
{
	struct place *place = *state;
	struct seen seen = {0};
	struct appendlog *log, *other;
	uint64_t bytes;

	assert_int_equal(appendlog_open(place->path, NULL, NULL, &log), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(appendlog_append(log, "long", 4, false), 0);
	bytes = appendlog_bytes(log);
	assert_int_equal(bytes, 100 * (8 + 1 + 4 + 1));
	assert_int_equal(appendlog_replace(log, fill_two, NULL), 0);
	assert_true(appendlog_bytes(log) < bytes);
	/* It is locked as the old one was, and goes on. */
	assert_int_equal(appendlog_open(place->path, NULL, NULL, &other), -EWOULDBLOCK);
	assert_int_equal(appendlog_append(log, "after", 5, false), 0);
	assert_int_equal(appendlog_sync(log), 0);
	appendlog_close(log);
	assert_int_equal(appendlog_read(place->path, see, &seen), 0);
	assert_string_equal(seen.lines.data, "1:short one;2:short two;3:after;");
	text_free(&seen.lines);
}

static void a_short_form_that_fails_leaves_the_long_one(void **state)
{
	struct place *place = *state;
	struct seen seen = {0};
	struct appendlog *log;
	_cleanup_free_ char *beside = str_printf("%s.new", place->path);

	assert_int_equal(appendlog_open(place->path, NULL, NULL, &log), 0);
	assert_int_equal(appendlog_append(log, "long", 4, true), 0);
	assert_int_equal(appendlog_replace(log, fill_fails, NULL), -ENOSPC);
	assert_int_equal(access(beside, F_OK), -1);
	assert_int_equal(appendlog_append(log, "after", 5, true), 0);
	appendlog_close(log);
	assert_int_equal(appendlog_read(place->path, see, &seen), 0);
	assert_string_equal(seen.lines.data, "1:long;2:after;");
	text_free(&seen.lines);
}

static void replace_until_killed(const char *path, int begun)
{
	struct appendlog *log;

	if (appendlog_open(path, NULL, NULL, &log) < 0)
		_exit(1);
	for (;;) {
		if (appendlog_replace(log, fill_two, NULL) < 0 || write(begun, "", 1) != 1)
			_exit(1);
		appendlog_append(log, "long", 4, false);
		appendlog_append(log, "long", 4, false);
	}
}

static int count_any(void *arg, const char *payload, size_t length, unsigned line)
{
	(void)payload;
	(void)length;
	*(unsigned *)arg = line;
	return 0;
}

/* The old whole or the new whole, and a next process can go on. */
static void kill_9_while_it_is_replaced_leaves_one_of_both(void **state)
{
	struct place *place = *state;
	_cleanup_free_ char *beside = str_printf("%s.new", place->path);

	for (int round = 0; round < 20; round++) {
		unsigned found = 0;
		struct appendlog *log;
		char byte;
		int fds[2];
		pid_t child;

		assert_int_equal(pipe(fds), 0);
		child = fork();
		if (child == 0)
			replace_until_killed(place->path, fds[1]);
		close(fds[1]);
		assert_int_equal(read(fds[0], &byte, 1), 1);
		usleep(500U * (unsigned)round);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		close(fds[0]);
		assert_int_equal(appendlog_open(place->path, count_any, &found, &log), 0);
		assert_in_range(found, 2, 4);
		appendlog_close(log);
	}
	unlink(beside);
}

static void what_cannot_be_opened_is_an_error(void **state)
{
	struct place *place = *state;
	struct appendlog *log;
	_cleanup_free_ char *missing = str_printf("%s/no/log", place->directory);

	assert_int_equal(appendlog_open(missing, NULL, NULL, &log), -ENOENT);
	assert_int_equal(appendlog_open(place->directory, NULL, NULL, &log), -EISDIR);
	assert_int_equal(appendlog_read(place->path, NULL, NULL), -ENOENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lines_come_back_as_written),
		TEST(only_one_may_write_and_others_may_read),
		TEST(a_reader_that_refuses_ends_it),
		TEST(a_file_cut_at_any_byte_keeps_its_whole_lines),
		TEST(any_flipped_bit_is_found),
		TEST(after_a_failed_write_nothing_is_accepted_until_reopened),
		TEST(kill_9_loses_no_line_that_was_accepted),
		TEST(a_short_form_takes_the_place_of_all_lines),
		TEST(a_short_form_that_fails_leaves_the_long_one),
		TEST(kill_9_while_it_is_replaced_leaves_one_of_both),
		TEST(what_cannot_be_opened_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
