/* SPDX-License-Identifier: Apache-2.0 */
/* A string that grows. Start with {0}; text_free() or hand over with text_take(). Out of memory
 * aborts the process. */
#ifndef FORERUN_BASE_TEXT_H
#define FORERUN_BASE_TEXT_H

#include "base/base.h"

struct text {
	char *data; /* NUL-terminated once something was added; NULL before */
	size_t length;
	size_t capacity;
};

#define _cleanup_text_ _cleanup_(text_free)

void text_free(struct text *text);
void text_clear(struct text *text); /* keeps the memory */
void text_add(struct text *text, const char *string);
void text_add_bytes(struct text *text, const void *data, size_t length);
void text_add_char(struct text *text, char c);
void text_printf(struct text *text, const char *format, ...) _printf_(2, 3);
/* As a JSON string with its quotes, or as application/x-www-form-urlencoded in quote_plus form
 * (A-Za-z0-9_.-~ kept, space is +). */
void text_add_json(struct text *text, const char *string);
void text_add_form(struct text *text, const char *string);
char *text_take(struct text *text); /* never NULL; the caller frees */

#endif
