/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <ctype.h>

void text_free(struct text *text)
{
	free(text->data);
	*text = (struct text){0};
}

void text_clear(struct text *text)
{
	text->length = 0;
	if (text->data)
		text->data[0] = '\0';
}

/* Room for so many more bytes and the NUL. */
static void reserve(struct text *text, size_t more)
{
	size_t room = text->capacity ? text->capacity : 64, wanted;
	char *grown;

	if (__builtin_add_overflow(text->length, more, &wanted) ||
	    __builtin_add_overflow(wanted, 1, &wanted) || wanted > SIZE_MAX / 2)
		abort();
	if (text->data && wanted <= text->capacity)
		return;
	while (room < wanted)
		room *= 2;
	grown = realloc(text->data, room);
	if (!grown)
		abort();
	text->data = grown;
	text->capacity = room;
}

void text_add_bytes(struct text *text, const void *data, size_t length)
{
	reserve(text, length);
	if (length)
		memcpy(text->data + text->length, data, length);
	text->length += length;
	text->data[text->length] = '\0';
}

void text_add(struct text *text, const char *string)
{
	text_add_bytes(text, string, strlen(string));
}

void text_add_char(struct text *text, char c)
{
	text_add_bytes(text, &c, 1);
}

void text_printf(struct text *text, const char *format, ...)
{
	va_list args, again;
	int length;

	va_start(args, format);
	va_copy(again, args);
	length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (length < 0)
		abort();
	reserve(text, (size_t)length);
	vsnprintf(text->data + text->length, (size_t)length + 1, format, again);
	va_end(again);
	text->length += (size_t)length;
}

static void add_json_char(struct text *text, unsigned char c)
{
	static const char short_form[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
					  ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\'};

	if (c < sizeof(short_form) && short_form[c]) {
		text_add_char(text, '\\');
		text_add_char(text, short_form[c]);
	} else if (c < 0x20 || c == 0x7f) {
		text_printf(text, "\\u%04x", c);
	} else {
		text_add_char(text, (char)c);
	}
}

void text_add_json(struct text *text, const char *string)
{
	const char *at = string, *end = string + strlen(string);

	text_add_char(text, '"');
	while (at < end) {
		size_t length = utf8_length(at, (size_t)(end - at));

		if (length == 1) {
			add_json_char(text, (unsigned char)*at);
		} else if (length == 0) {
			/* What is no UTF-8 would make the whole document invalid. */
			text_add(text, "\xef\xbf\xbd");
			length = 1;
		} else {
			text_add_bytes(text, at, length);
		}
		at += length;
	}
	text_add_char(text, '"');
}

void text_add_form(struct text *text, const char *string)
{
	for (const unsigned char *at = (const unsigned char *)string; *at; at++) {
		if ((*at < 0x80 && isalnum(*at)) || strchr("_.-~", *at))
			text_add_char(text, (char)*at);
		else if (*at == ' ')
			text_add_char(text, '+');
		else
			text_printf(text, "%%%02X", *at);
	}
}

char *text_take(struct text *text)
{
	char *data;

	if (!text->data)
		text_add_bytes(text, NULL, 0);
	data = TAKE(text->data);
	*text = (struct text){0};
	return data;
}
