/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <ctype.h>
#include <unistd.h>
#include <zlib.h>

void free_pointer(void *pointer_to_pointer)
{
	free(*(void **)pointer_to_pointer);
}

void close_descriptor(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

void close_file(FILE **file)
{
	int saved = errno;

	if (*file)
		fclose(*file);
	errno = saved;
}

char *str_printf(const char *format, ...)
{
	char *text = NULL;
	va_list args;
	int length;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	return length < 0 ? NULL : text;
}

bool str_starts(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *text, const char *suffix)
{
	size_t length = strlen(text), tail = strlen(suffix);

	return length >= tail && memcmp(text + length - tail, suffix, tail) == 0;
}

size_t utf8_length(const char *text, size_t length)
{
	const unsigned char *at = (const unsigned char *)text;
	unsigned low = 0x80, high = 0xbf;
	size_t bytes;

	if (length == 0)
		return 0;
	if (at[0] < 0x80)
		return 1;
	if (at[0] < 0xc2 || at[0] > 0xf4)
		return 0;
	bytes = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
	if (at[0] == 0xe0)
		low = 0xa0; /* below it would be overlong */
	else if (at[0] == 0xed)
		high = 0x9f; /* above it are the surrogates */
	else if (at[0] == 0xf0)
		low = 0x90;
	else if (at[0] == 0xf4)
		high = 0x8f; /* up to U+10FFFF */
	if (bytes > length)
		return 0;
	for (size_t i = 1; i < bytes; i++, low = 0x80, high = 0xbf)
		if (at[i] < low || at[i] > high)
			return 0;
	return bytes;
}

int parse_u64(const char *text, uint64_t *value)
{
	uint64_t sum = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(sum, 10, &sum) ||
		    __builtin_add_overflow(sum, (uint64_t)(*text - '0'), &sum)) {
			/* Only a number that is too large, if digits are all that follows. */
			return text[strspn(text, "0123456789")] ? -EINVAL : -ERANGE;
		}
	}
	*value = sum;
	return 0;
}

/* Whether the text is [+-]digits[.digits][e[+-]digits] with at least one digit before the exponent:
 * strtod() would also take blanks, hexadecimal, "inf" and "nan". */
static bool is_decimal(const char *text)
{
	size_t whole, fraction = 0;

	text += *text == '+' || *text == '-';
	whole = strspn(text, "0123456789");
	text += whole;
	if (*text == '.') {
		fraction = strspn(++text, "0123456789");
		text += fraction;
	}
	if (whole + fraction == 0)
		return false;
	if (*text == 'e' || *text == 'E') {
		text++;
		text += *text == '+' || *text == '-';
		if (!isdigit((unsigned char)*text))
			return false;
		text += strspn(text, "0123456789");
	}
	return *text == '\0';
}

int parse_double(const char *text, double *value)
{
	double parsed;

	if (!is_decimal(text))
		return -EINVAL;
	parsed = strtod(text, NULL);
	if (__builtin_isinf(parsed))
		return -ERANGE;
	*value = parsed;
	return 0;
}

uint32_t crc32_of(const void *data, size_t length)
{
	return (uint32_t)crc32_z(0, data, length);
}

uint64_t hash_bytes(const void *data, size_t length)
{
	const unsigned char *bytes = data;
	uint64_t hash = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3ULL;
	return hash;
}

uint64_t hash_text(const char *text)
{
	return hash_bytes(text, strlen(text));
}
