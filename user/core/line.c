/* SPDX-License-Identifier: Apache-2.0 */
#include "core/core_private.h"

/* Appends one line; what does not fit is cut and ends in "...", never half said without a sign. */
void line_add(char *out, size_t size, const char *format, ...)
{
	va_list arguments;
	size_t length = strlen(out);
	int added;

	if (length && length + 1 < size) {
		out[length++] = '\n';
		out[length] = '\0';
	}
	va_start(arguments, format);
	added = vsnprintf(out + length, size - length, format, arguments);
	va_end(arguments);
	if (added >= 0 && (size_t)added >= size - length && size > 4)
		memcpy(out + size - 4, "...", 4);
}

/* As snprintf with "%s", without its price: on the way of every frame. */
void text_copy(char *out, size_t size, const char *from)
{
	size_t length = strnlen(from, size - 1);

	memcpy(out, from, length);
	out[length] = '\0';
}
