/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <sys/stat.h>
#include <unistd.h>

/* The one thing in the process that is not handed around: every function may have something to
 * say. */
static struct {
	enum log_level most;
	void (*sink)(void *arg, enum log_level level, const char *line);
	void *sink_arg;
} log_state = {.most = LOG_LEVEL_INFO};

static const struct {
	const char *name;
	enum log_level level;
} level_names[] = {{"error", LOG_LEVEL_ERROR},
		   {"warning", LOG_LEVEL_WARNING},
		   {"info", LOG_LEVEL_INFO},
		   {"debug", LOG_LEVEL_DEBUG}};

void log_set_level(enum log_level most)
{
	log_state.most = most;
}

int log_level_parse(const char *text, enum log_level *level)
{
	for (size_t i = 0; i < ARRAY_SIZE(level_names); i++)
		if (str_equal(text, level_names[i].name)) {
			*level = level_names[i].level;
			return 0;
		}
	return -EINVAL;
}

void log_set_sink(void (*sink)(void *arg, enum log_level level, const char *line), void *arg)
{
	log_state.sink = sink;
	log_state.sink_arg = arg;
}

static const char *level_name(enum log_level level)
{
	for (size_t i = 0; i < ARRAY_SIZE(level_names); i++)
		if (level_names[i].level == level)
			return level_names[i].name;
	return "info";
}

/* JOURNAL_STREAM is "device:inode" of the stream that systemd connected; it is inherited by
 * children whose standard error goes elsewhere, so it is compared (systemd.exec(5)). */
static bool to_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void log_write(enum log_level level, const char *format, ...)
{
	_cleanup_free_ char *line = NULL;
	char now[TIME_TEXT_SIZE];
	va_list args;
	int length;

	if (level > log_state.most)
		return;
	va_start(args, format);
	length = vasprintf(&line, format, args);
	va_end(args);
	if (length < 0) {
		line = NULL;
		return;
	}
	/* What came from outside may not forge a second line or drive the terminal. */
	for (char *at = line; *at; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			*at = ' ';
	if (log_state.sink) {
		log_state.sink(log_state.sink_arg, level, line);
	} else if (to_journal()) {
		fprintf(stderr, "<%d>%s\n", (int)level, line);
	} else {
		time_format(time_wall_ns(), now);
		fprintf(stderr, "%s %s %s\n", now, level_name(level), line);
	}
}
