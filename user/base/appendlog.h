/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An append-only file of lines that survives kill -9 and power loss: each line is
 * "CRC32-in-8-hex-digits SPACE payload NEWLINE", written with one write() and followed by
 * fdatasync() where asked. A torn last line (no newline, or zeros where the data did not reach the
 * disk) is cut off when the file is opened; any other damaged line is an error that names the file
 * and the line, for then history would be missing.
 */
#ifndef FORERUN_BASE_APPENDLOG_H
#define FORERUN_BASE_APPENDLOG_H

#include "base/base.h"

struct appendlog;

typedef int (*appendlog_line_fn)(void *arg, const char *payload, size_t length, unsigned line);

/* Opens or creates the file, takes an exclusive lock (-EWOULDBLOCK: another process has it), reads
 * every payload to fn (a negative return of fn ends it with that), and stands ready to append. */
int appendlog_open(const char *path, appendlog_line_fn fn, void *arg, struct appendlog **out);
/* Reads without lock or change; a torn last line is passed over. */
int appendlog_read(const char *path, appendlog_line_fn fn, void *arg);
/* The payload must hold no newline and no NUL (-EINVAL). With sync it is on the disk when this
 * returns 0. After an error nothing more is accepted until the file is reopened. */
int appendlog_append(struct appendlog *log, const char *payload, size_t length, bool sync);
/* All lines so far are on the disk when it returns 0; costs nothing when they were before. */
int appendlog_sync(struct appendlog *log);
uint64_t appendlog_bytes(const struct appendlog *log); /* the size of the file */
/* Puts the lines that fill appends to a new file in the place of all that there are, at once: a
 * reader, or a start after a crash, sees the old or the new. When fill or the disk fails the old
 * one stays, and goes on. */
int appendlog_replace(struct appendlog *log, int (*fill)(void *arg, struct appendlog *to),
		      void *arg);
void appendlog_close(struct appendlog *log);

#endif
