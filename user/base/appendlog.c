/* SPDX-License-Identifier: Apache-2.0 */
#include "base/appendlog.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"

#define CRC_DIGITS 8
#define FRAME_BYTES (CRC_DIGITS + 2) /* the sum, the space and the newline */
#define FILE_BYTES_MAX ((size_t)1 << 30)

struct appendlog {
	int fd;
	char *path;
	struct text line; /* kept, so that appending allocates nothing */
	uint64_t bytes;
	bool unsynced, failed;
};

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* Whether the line (without its newline) carries the sum of its payload. */
static bool line_is_whole(const char *line, size_t length)
{
	uint32_t sum = 0;

	if (length < CRC_DIGITS + 1 || line[CRC_DIGITS] != ' ')
		return false;
	for (int i = 0; i < CRC_DIGITS; i++) {
		int value = hex_value(line[i]);

		if (value < 0)
			return false;
		sum = sum << 4 | (uint32_t)value;
	}
	return sum == crc32_of(line + CRC_DIGITS + 1, length - CRC_DIGITS - 1);
}

/* Where a file grew before its data reached the disk, the missing data reads as zeros. */
static bool is_torn(const char *line, const char *end, const char *file_end)
{
	return end + 1 == file_end && memchr(line, '\0', (size_t)(end - line));
}

/* Hands every whole line to fn. What a torn write leaves is only at the very end of the file. *good
 * is where the whole lines end. */
static int read_lines(const char *path, const char *data, size_t length, appendlog_line_fn fn,
		      void *arg, size_t *good)
{
	unsigned number = 0;

	*good = 0;
	while (*good < length) {
		const char *line = data + *good;
		const char *end = memchr(line, '\n', length - *good);
		int r;

		number++;
		if (!end)
			return 0;
		if (!line_is_whole(line, (size_t)(end - line))) {
			if (is_torn(line, end, data + length))
				return 0;
			log_error("%s:%u: the line is damaged: its checksum does not match. What "
				  "was decided there is not known; restore the file from a copy, "
				  "or move it away to start without history",
				  path, number);
			return -EBADMSG;
		}
		r = fn ? fn(arg, line + CRC_DIGITS + 1, (size_t)(end - line) - CRC_DIGITS - 1,
			    number)
		       : 0;
		if (r < 0)
			return r;
		*good = (size_t)(end + 1 - data);
	}
	return 0;
}

static int read_file(const char *path, appendlog_line_fn fn, void *arg, size_t *good, size_t *size)
{
	_cleanup_free_ char *data = NULL;
	int r;

	r = file_read(path, FILE_BYTES_MAX, &data, size);
	if (r < 0)
		return r;
	return read_lines(path, data, *size, fn, arg, good);
}

int appendlog_read(const char *path, appendlog_line_fn fn, void *arg)
{
	size_t good, size;

	return read_file(path, fn, arg, &good, &size);
}

/* A new file is on the disk only when its directory's entry is. */
static int sync_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *parent =
		slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	_cleanup_close_ int fd = -1;

	if (!parent)
		return -ENOMEM;
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

/* Whether the path still leads to that file, and not to one that replaced it. */
static bool is_current(int fd, const char *path)
{
	struct stat opened, named;

	return fstat(fd, &opened) == 0 && stat(path, &named) == 0 &&
	       opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

static int open_locked(const char *path)
{
	for (int tries = 0; tries < 10; tries++) {
		_cleanup_close_ int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
		int kept = fd;

		if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
			return -errno;
		if (!is_current(fd, path))
			continue;
		fd = -1;
		return kept;
	}
	return -EWOULDBLOCK;
}

/* Cuts off what a torn write left, so that the next line starts on its own. */
static int cut_tail(int fd, const char *path, size_t good, size_t size)
{
	if (good == size)
		return 0;
	log_warning("%s: cut off the last %zu bytes, a line that was being written when the "
		    "process or the machine stopped",
		    path, size - good);
	if (ftruncate(fd, (off_t)good) < 0 || fdatasync(fd) < 0)
		return -errno;
	return 0;
}

int appendlog_open(const char *path, appendlog_line_fn fn, void *arg, struct appendlog **out)
{
	_cleanup_close_ int fd = open_locked(path);
	struct appendlog *log;
	size_t good, size;
	int r;

	if (fd < 0)
		return fd;
	r = read_file(path, fn, arg, &good, &size);
	if (r < 0)
		return r;
	r = cut_tail(fd, path, good, size);
	if (r < 0)
		return r;
	if (good == 0) {
		r = sync_parent(path);
		if (r < 0)
			return r;
	}
	log = calloc(1, sizeof(*log));
	if (!log)
		return -ENOMEM;
	log->path = strdup(path);
	if (!log->path) {
		free(log);
		return -ENOMEM;
	}
	log->fd = fd;
	log->bytes = good;
	fd = -1;
	*out = log;
	return 0;
}

/* After a failed write or sync nobody knows what the file holds (a failed fdatasync() drops the
 * dirty pages), so only reading it again may tell. */
static int fail(struct appendlog *log, int r)
{
	log->failed = true;
	log_error("%s: could not write: %s. Nothing more is recorded there until a restart",
		  log->path, strerror(-r));
	return r;
}

int appendlog_append(struct appendlog *log, const char *payload, size_t length, bool sync)
{
	ssize_t put;

	if (log->failed)
		return -EIO;
	if (memchr(payload, '\n', length) || memchr(payload, '\0', length))
		return -EINVAL;
	text_clear(&log->line);
	text_printf(&log->line, "%08x ", crc32_of(payload, length));
	text_add_bytes(&log->line, payload, length);
	text_add_char(&log->line, '\n');
	do
		put = write(log->fd, log->line.data, log->line.length);
	while (put < 0 && errno == EINTR);
	if (put < 0)
		return fail(log, -errno);
	if ((size_t)put != log->line.length)
		return fail(log, -ENOSPC);
	log->bytes += log->line.length;
	log->unsynced = true;
	return sync ? appendlog_sync(log) : 0;
}

int appendlog_sync(struct appendlog *log)
{
	if (log->failed)
		return -EIO;
	if (!log->unsynced)
		return 0;
	if (fdatasync(log->fd) < 0)
		return fail(log, -errno);
	log->unsynced = false;
	return 0;
}

uint64_t appendlog_bytes(const struct appendlog *log)
{
	return log->bytes;
}

/* The new file is locked before it has the name, so that nobody comes in between. */
static int replacement_new(const struct appendlog *log, struct appendlog *to)
{
	to->path = str_printf("%s.new", log->path);
	if (!to->path)
		return -ENOMEM;
	to->fd = open(to->path, O_RDWR | O_APPEND | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (to->fd < 0 || flock(to->fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	return 0;
}

static void replacement_drop(struct appendlog *to)
{
	if (to->fd >= 0 && to->path)
		unlink(to->path);
	close_descriptor(&to->fd);
	text_free(&to->line);
	free(to->path);
}

int appendlog_replace(struct appendlog *log, int (*fill)(void *arg, struct appendlog *to),
		      void *arg)
{
	_cleanup_(replacement_drop)
	struct appendlog to = {.fd = -1};
	int r;

	if (log->failed)
		return -EIO;
	r = replacement_new(log, &to);
	if (r >= 0)
		r = fill(arg, &to);
	if (r >= 0)
		r = appendlog_sync(&to);
	if (r < 0)
		return r;
	if (rename(to.path, log->path) < 0)
		return -errno;
	close_descriptor(&log->fd);
	log->fd = to.fd;
	log->bytes = to.bytes;
	log->unsynced = false;
	to.fd = -1;
	r = sync_parent(log->path);
	return r < 0 ? fail(log, r) : 0;
}

void appendlog_close(struct appendlog *log)
{
	if (!log)
		return;
	close_descriptor(&log->fd);
	text_free(&log->line);
	free(log->path);
	free(log);
}
