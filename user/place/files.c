/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <unistd.h>

#include "place/private.h"

ssize_t text_read(int fd, char *text, size_t size)
{
	ssize_t n;

	do {
		n = pread(fd, text, size - 1, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	return n;
}

ssize_t text_read_at(int directory, const char *path, char *text, size_t size)
{
	_cleanup_close_ int fd = openat(directory, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return -errno;
	return text_read(fd, text, size);
}

static bool digits(const char *text, uint64_t *value)
{
	uint64_t v = 0;
	size_t n = 0;

	for (; text[n] >= '0' && text[n] <= '9'; n++) {
		if (v > (UINT64_MAX - 9) / 10)
			return false;
		v = v * 10 + (uint64_t)(text[n] - '0');
	}
	if (n == 0)
		return false;
	*value = v;
	return true;
}

bool text_counter(const char *text, const char *key, uint64_t *value)
{
	size_t length = strlen(key);

	for (const char *at = text; (at = strstr(at, key)); at += length) {
		bool starts = at == text || at[-1] == '\n' || at[-1] == ' ';

		if (starts && (at[length] == ' ' || at[length] == '='))
			return digits(at + length + 1, value);
	}
	return false;
}

void text_clean(char *out, size_t size, const char *from, size_t length)
{
	size_t n = 0;

	for (size_t i = 0; i < length && from[i] && n + 1 < size; i++) {
		unsigned char c = (unsigned char)from[i];

		out[n++] = c < 0x20 || c >= 0x7f ? '?' : (char)c;
	}
	out[n] = '\0';
}

uint64_t saturating_multiply(uint64_t a, uint64_t b)
{
	uint64_t product;

	return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}
