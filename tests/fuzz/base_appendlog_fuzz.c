/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a log file. The first byte of the input chooses how the rest becomes one: as it is,
 * or as payloads under correct checksums (which a fuzzer would not find), damaged at one place.
 */
#include "base/appendlog.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"

static void silence(void *arg, enum log_level level, const char *line)
{
	(void)arg;
	(void)level;
	(void)line;
}

static int count_line(void *arg, const char *payload, size_t length, unsigned line)
{
	unsigned *count = arg;

	if (line != ++*count || memchr(payload, '\n', length))
		abort();
	return 0;
}

static void add_framed(struct text *file, const char *data, size_t size)
{
	while (size > 0) {
		const char *end = memchr(data, '\n', size);
		size_t length = end ? (size_t)(end - data) : size;

		text_printf(file, "%08x ", crc32_of(data, length));
		text_add_bytes(file, data, length);
		text_add_char(file, '\n');
		data += MIN(length + 1, size);
		size -= MIN(length + 1, size);
	}
}

static void write_file(const char *path, const struct text *file)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, file->data, file->length) != (ssize_t)file->length)
		abort();
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned read_lines = 0, opened_lines = 0, again_lines = 0;
	char path[64];
	struct text file = {0};
	struct appendlog *log;
	int read, opened;

	if (size < 2)
		return 0;
	log_set_sink(silence, NULL);
	snprintf(path, sizeof(path), "/dev/shm/forerun-fuzz-%d", getpid());
	text_add(&file, "");
	if (data[0] & 1)
		add_framed(&file, (const char *)data + 2, size - 2);
	else
		text_add_bytes(&file, data + 2, size - 2);
	if (data[0] & 2 && file.length)
		file.data[data[1] % file.length] ^= (char)(1 + data[0] / 4 % 255);
	write_file(path, &file);
	read = appendlog_read(path, count_line, &read_lines);
	opened = appendlog_open(path, count_line, &opened_lines, &log);
	if (read != opened || read_lines != opened_lines)
		abort();
	if (opened >= 0) {
		if (appendlog_append(log, "more", 4, false) < 0)
			abort();
		appendlog_close(log);
		if (appendlog_read(path, count_line, &again_lines) < 0 ||
		    again_lines != opened_lines + 1)
			abort();
	}
	unlink(path);
	text_free(&file);
	return 0;
}
