/* SPDX-License-Identifier: Apache-2.0 */
/* `forerun core pause` and `forerun core resume`: in the lock table for all of its cores, or as a
 * file for the one with this state directory. */
#include <unistd.h>

#include "cmd/run.h"

#define ANSWER_WAIT_NS (20 * NS_PER_S)
#define REASON_MOST 200

struct asking {
	bool done;
	int error;
	char text[CLOUD_TEXT_SIZE];
};

static bool is_pause(const struct options *options)
{
	return options->command->bit == COMMAND_CORE_PAUSE;
}

static const char *reason_of(const struct options *options)
{
	return options->reason ? options->reason : "forerun core pause";
}

static void tell(const struct options *options, const char *where)
{
	if (is_pause(options))
		printf("paused in %s: nothing is launched or terminated until forerun core "
		       "resume\n",
		       where);
	else
		printf("resumed: no pause in %s any more\n", where);
}

/* ---- the file ---- */

static int set_file(const struct options *options)
{
	_cleanup_free_ char *path = pause_path(options);
	_cleanup_free_ char *line = str_printf("%s\n", reason_of(options));
	int r;

	if (!path || !line)
		return EXIT_FAILED;
	if (is_pause(options))
		r = file_write_atomic(path, line, strlen(line), 0644);
	else
		r = unlink(path) < 0 && errno != ENOENT ? -errno : 0;
	if (r < 0) {
		fprintf(stderr,
			"cannot %s %s: %s; give the state directory of the core with --state-dir, "
			"or --lock-table\n",
			is_pause(options) ? "write" : "remove", path, strerror(-r));
		return EXIT_FAILED;
	}
	tell(options, path);
	return EXIT_DONE;
}

/* ---- the table ---- */

static void on_done(void *arg, int error, const char *text)
{
	struct asking *asking = arg;

	asking->done = true;
	asking->error = error;
	snprintf(asking->text, sizeof(asking->text), "%s", text ? text : "");
}

static int ask(struct loop *loop, struct cloud *cloud, const struct options *options,
	       struct asking *asking)
{
	struct lease_config config = {
		.table = options->lock_table, .name = options->name, .holder = ""};
	uint64_t until_ns = time_mono_ns() + ANSWER_WAIT_NS;

	lease_pause(cloud, &config, is_pause(options) ? reason_of(options) : NULL, on_done, asking);
	while (!asking->done && time_mono_ns() < until_ns) {
		int r = loop_round(loop, 100);

		if (r < 0)
			return r;
	}
	return asking->done ? asking->error : -ETIMEDOUT;
}

static int set_table(const struct options *options)
{
	struct documents documents = {0};
	struct cloud_events events = cloud_events_none();
	struct cloud_config config;
	struct http_client *http = NULL;
	struct asking asking = {0};
	struct cloud *cloud = NULL;
	struct loop *loop = NULL;
	int r = loop_new(&loop);

	if (r == 0)
		r = http_client_new(loop, &http);
	cloud_config_default(&config);
	config.region = options->region;
	config.name = options->name;
	if (r == 0)
		r = cloud_new(loop, http, &config, &documents, &events, &cloud);
	if (r == 0)
		r = ask(loop, cloud, options, &asking);
	cloud_free(cloud);
	http_client_free(http);
	loop_free(loop);
	if (r < 0) {
		fprintf(stderr, "cannot write to the table %s: %s\n", options->lock_table,
			asking.text[0] ? asking.text : strerror(-r));
		return EXIT_FAILED;
	}
	tell(options, options->lock_table);
	return EXIT_DONE;
}

int command_core_pause(struct options *options)
{
	_cleanup_(problems_free)
	struct problems problems = {0};

	lock_table_check(options, &problems);
	/* A core's options file may well have both. */
	if (options->lock_table && str_equal(option_where(options, "pause-file"), "--pause-file"))
		problem_add(&problems, option_where(options, "pause-file"),
			    "found together with --lock-table, expected one of them");
	if (options->reason &&
	    (strlen(options->reason) > REASON_MOST || strpbrk(options->reason, "\r\n")))
		problem_add(&problems, "--reason", "expected one line of at most %d characters",
			    REASON_MOST);
	problems_print(&problems, stderr);
	if (problems.errors)
		return EXIT_USAGE;
	return options->lock_table ? set_table(options) : set_file(options);
}
