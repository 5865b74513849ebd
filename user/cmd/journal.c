/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/journal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/appendlog.h"
#include "base/log.h"

/* What is over and long ago is left out when the file is read at a start, and when it has grown. */
#define SHORTEN_AT_START_BYTES (1U << 20)
#define SHORTEN_BYTES (8U << 20)

struct journal {
	struct core *core;
	const char *state_dir;
	struct appendlog *log;
	struct loop_timer *sync_timer;
	uint64_t shorten_bytes; /* when it is so large */
};

static void say_failed(const struct journal *journal, int error)
{
	log_error("cannot write the journal in %s: %s; nothing is launched or terminated from here "
		  "on: make room there and restart forerun",
		  journal->state_dir, strerror(-error));
}

static int on_line(void *arg, const char *payload, size_t length, unsigned line)
{
	struct journal *journal = arg;
	char reason[160] = "";
	int r = core_replay(journal->core, payload, length, reason);

	if (r < 0)
		log_error("%s/journal:%u: %s; move the file away only if no instance of forerun "
			  "runs",
			  journal->state_dir, line, reason);
	return r;
}

static int put_line(void *arg, const char *json, size_t length)
{
	return appendlog_append(arg, json, length, false);
}

static int fill(void *arg, struct appendlog *to)
{
	struct journal *journal = arg;

	return core_journal_rewrite(journal->core, put_line, to, time_now());
}

/* Without room for the short one the long one goes on, until it is twice as large. */
static void shorten(struct journal *journal)
{
	int r = appendlog_replace(journal->log, fill, journal);
	uint64_t bytes = appendlog_bytes(journal->log);

	if (r < 0)
		log_warning("cannot shorten the journal in %s: %s", journal->state_dir,
			    strerror(-r));
	journal->shorten_bytes = MAX(SHORTEN_BYTES, 2 * bytes);
}

static void on_sync(void *arg, uint64_t now_ns)
{
	struct journal *journal = arg;
	int r = appendlog_sync(journal->log);

	(void)now_ns;
	if (r < 0) {
		say_failed(journal, r);
		core_journal_failed(journal->core, r);
	} else if (appendlog_bytes(journal->log) > journal->shorten_bytes) {
		shorten(journal);
	}
}

static int make_state_dir(const char *path)
{
	if (mkdir(path, 0750) == 0 || errno == EEXIST)
		return 0;
	log_error("cannot make the state directory %s: %s; give another one with --state-dir", path,
		  strerror(errno));
	return -errno;
}

static int open_log(struct journal *journal)
{
	_cleanup_free_ char *path = str_printf("%s/journal", journal->state_dir);
	int r;

	if (!path)
		return -ENOMEM;
	r = appendlog_open(path, on_line, journal, &journal->log);
	if (r == -EWOULDBLOCK)
		log_error("another forerun uses the state directory %s: stop it, or give this one "
			  "its own with --state-dir",
			  journal->state_dir);
	else if (r < 0)
		log_error("cannot open the journal %s: %s", path, strerror(-r));
	return r;
}

int journal_open(struct loop *loop, const char *state_dir, struct core *core, struct journal **out)
{
	struct journal *journal = calloc(1, sizeof(*journal));
	int r;

	if (!journal)
		return -ENOMEM;
	journal->core = core;
	journal->state_dir = state_dir;
	r = make_state_dir(state_dir);
	if (r >= 0)
		r = loop_timer_new(loop, on_sync, journal, &journal->sync_timer);
	if (r >= 0)
		r = open_log(journal);
	if (r < 0) {
		journal_close(journal);
		return r;
	}
	journal->shorten_bytes = SHORTEN_BYTES;
	if (appendlog_bytes(journal->log) > SHORTEN_AT_START_BYTES)
		shorten(journal);
	*out = journal;
	return 0;
}

int journal_write(struct journal *journal, const char *json, size_t length, bool sync)
{
	int r = appendlog_append(journal->log, json, length, false);

	if (r < 0)
		say_failed(journal, r);
	else if (sync)
		loop_timer_at(journal->sync_timer, 0);
	return r;
}

void journal_close(struct journal *journal)
{
	if (!journal)
		return;
	if (journal->log)
		appendlog_sync(journal->log);
	if (journal->sync_timer)
		loop_timer_free(journal->sync_timer);
	appendlog_close(journal->log);
	free(journal);
}
