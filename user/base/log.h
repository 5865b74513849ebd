/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: one line an event, to standard error, as "time level message" on a terminal and
 * journal-style "<N>message" where JOURNAL_STREAM says that systemd reads it. Say what was being
 * done, to what, why it failed, and what to do about it.
 */
#ifndef FORERUN_BASE_LOG_H
#define FORERUN_BASE_LOG_H

#include "base/base.h"

enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7
};

void log_set_level(enum log_level most);
/* "error", "warning", "info", "debug"; -EINVAL for anything else. */
int log_level_parse(const char *text, enum log_level *level);
/* Lines go to this function instead of standard error (the live table shows them below itself);
 * NULL: back. */
void log_set_sink(void (*sink)(void *arg, enum log_level level, const char *line), void *arg);
void log_write(enum log_level level, const char *format, ...) _printf_(2, 3);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
