/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <fcntl.h>
#include <libgen.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reads to the end of the file whatever stat() says of its size: in /proc that is 0. */
static int read_all(int fd, size_t limit, char **text, size_t *length)
{
	_cleanup_free_ char *buffer = NULL;
	size_t have = 0, room = 0;

	for (;;) {
		ssize_t got;

		if (have + 1 >= room) {
			char *grown;

			room = room ? room * 2 : 4096;
			grown = realloc(buffer, room);
			if (!grown)
				return -ENOMEM;
			buffer = grown;
		}
		got = read(fd, buffer + have, room - have - 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		have += (size_t)got;
		if (have > limit)
			return -EFBIG;
	}
	buffer[have] = '\0';
	*text = TAKE(buffer);
	if (length)
		*length = have;
	return 0;
}

int file_read(const char *path, size_t limit, char **text, size_t *length)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return read_all(fd, limit, text, length);
}

static int write_all(int fd, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t put = write(fd, data, length);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		data += put;
		length -= (size_t)put;
	}
	return 0;
}

static int fill_temporary(const char *temporary, int fd, const void *data, size_t length,
			  unsigned mode, const char *path)
{
	int r;

	if (fchmod(fd, mode) < 0)
		return -errno;
	r = write_all(fd, data, length);
	if (r < 0)
		return r;
	if (fsync(fd) < 0 || rename(temporary, path) < 0)
		return -errno;
	return 0;
}

/* The new name is on the disk only when its directory is. */
static int sync_directory_of(const char *path)
{
	_cleanup_free_ char *copy = strdup(path);
	_cleanup_close_ int fd = -1;

	if (!copy)
		return -ENOMEM;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

int file_write_atomic(const char *path, const void *data, size_t length, unsigned mode)
{
	_cleanup_free_ char *temporary = str_printf("%s.XXXXXX", path);
	_cleanup_close_ int fd = -1;
	int r;

	if (!temporary)
		return -ENOMEM;
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fill_temporary(temporary, fd, data, length, mode, path);
	if (r < 0) {
		unlink(temporary);
		return r;
	}
	return sync_directory_of(path);
}
