/* SPDX-License-Identifier: Apache-2.0 */
/* The four kinds of strings of TOML. */
#include "cloud/toml_private.h"

static void add_utf8(struct text *out, uint32_t code)
{
	if (code < 0x80) {
		text_add_char(out, (char)code);
		return;
	}
	if (code < 0x800) {
		text_add_char(out, (char)(0xc0 | code >> 6));
	} else {
		if (code < 0x10000) {
			text_add_char(out, (char)(0xe0 | code >> 12));
		} else {
			text_add_char(out, (char)(0xf0 | code >> 18));
			text_add_char(out, (char)(0x80 | (code >> 12 & 63)));
		}
		text_add_char(out, (char)(0x80 | (code >> 6 & 63)));
	}
	text_add_char(out, (char)(0x80 | (code & 63)));
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* \uXXXX and \UXXXXXXXX: a scalar value, and not NUL, which ends strings here. */
static bool read_code(struct toml_reader *reader, unsigned digits, struct text *out)
{
	uint32_t code = 0;

	for (unsigned i = 0; i < digits; i++) {
		int digit = reader->at < reader->end ? hex_digit(*reader->at) : -1;

		if (digit < 0)
			return toml_refuse(reader, "\\%c takes %u hexadecimal digits",
					   digits == 4 ? 'u' : 'U', digits);
		code = code << 4 | (uint32_t)digit;
		reader->at++;
	}
	if (!code || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return toml_refuse(reader, "U+%04X is no character that can stand in a string",
				   code);
	add_utf8(out, code);
	return true;
}

/* A backslash at the end of a line takes everything up to the next character away. */
static bool read_line_end(struct toml_reader *reader)
{
	const char *at = reader->at;

	while (at < reader->end && (*at == ' ' || *at == '\t' || *at == '\r'))
		at++;
	if (at == reader->end || *at != '\n')
		return toml_refuse(reader, "unknown escape \\%c", *reader->at);
	for (; at < reader->end && strchr(" \t\r\n", *at); at++)
		reader->line += *at == '\n';
	reader->at = at;
	return true;
}

static bool read_escape(struct toml_reader *reader, bool multiline, struct text *out)
{
	static const char NAMES[] = "btnfr\"\\", CODES[] = "\b\t\n\f\r\"\\";
	char c = reader->at < reader->end ? *reader->at : '\0';
	const char *found = c ? strchr(NAMES, c) : NULL;

	if (found) {
		text_add_char(out, CODES[found - NAMES]);
		reader->at++;
		return true;
	}
	if (c == 'u' || c == 'U') {
		reader->at++;
		return read_code(reader, c == 'u' ? 4 : 8, out);
	}
	if (multiline && c && strchr(" \t\r\n", c))
		return read_line_end(reader);
	return toml_refuse(reader, "unknown escape \\%c", c ? c : ' ');
}

/* Whether the string ends here; up to two quotes may stand before those that end it. */
static bool at_end(struct toml_reader *reader, char quote, bool multiline, struct text *out)
{
	size_t quotes = 0;

	while (reader->at + quotes < reader->end && reader->at[quotes] == quote && quotes < 5)
		quotes++;
	if (!multiline && quotes) {
		reader->at++;
		return true;
	}
	if (quotes < 3)
		return false;
	for (size_t i = 3; i < quotes; i++)
		text_add_char(out, quote);
	reader->at += quotes;
	return true;
}

static bool read_character(struct toml_reader *reader, char quote, bool multiline, struct text *out)
{
	unsigned char c = (unsigned char)*reader->at;

	if (c == '\\' && quote == '"') {
		reader->at++;
		return read_escape(reader, multiline, out);
	}
	if (c == '\n' && !multiline)
		return toml_refuse(reader, "the string does not end on its line");
	if (c == '\r' && reader->at + 1 < reader->end && reader->at[1] == '\n' && multiline) {
		reader->at++;
		return true;
	}
	if ((c < 0x20 && c != '\t' && c != '\n') || c == 0x7f)
		return toml_refuse(reader, "a control character stands in a string");
	reader->line += c == '\n';
	text_add_char(out, (char)c);
	reader->at++;
	return true;
}

char *toml_read_string(struct toml_reader *reader, bool single)
{
	_cleanup_text_ struct text out = {0};
	char quote = *reader->at;
	bool multiline = !single && reader->end - reader->at >= 3 && reader->at[1] == quote &&
			 reader->at[2] == quote;

	reader->at += multiline ? 3 : 1;
	if (multiline && reader->at < reader->end && *reader->at == '\r')
		reader->at++;
	if (multiline && reader->at < reader->end && *reader->at == '\n') {
		reader->at++;
		reader->line++;
	}
	while (reader->at < reader->end) {
		if (at_end(reader, quote, multiline, &out))
			return text_take(&out);
		if (!read_character(reader, quote, multiline, &out))
			return NULL;
	}
	toml_refuse(reader, "a string does not end");
	return NULL;
}
