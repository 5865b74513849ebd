/* SPDX-License-Identifier: Apache-2.0 */
/* MIME multipart archives, as cloud-init takes them. */
#include "base/vec.h"
#include "cloud/private.h"
#include "cloud/userdata.h"

void mime_free(struct mime *mime)
{
	vec_for_each (part, &mime->parts) {
		free(part->headers);
		free(part->content);
	}
	vec_free(&mime->parts);
}

static const char *skip_space(const char *text)
{
	return text + strspn(text, " \t\r\n");
}

bool mime_is_archive(const char *text)
{
	text = skip_space(text);
	return str_starts(text, "MIME-Version:") || str_starts(text, "Content-Type:");
}

static int refuse(char problem[USER_DATA_PROBLEM_SIZE], const char *words)
{
	snprintf(problem, USER_DATA_PROBLEM_SIZE, "the MIME archive %s", words);
	return -EINVAL;
}

/* The text after the empty line that ends the headers at text; NULL: there is none, or a line is no
 * header. */
static const char *headers_end(const char *text)
{
	bool first = true;

	for (; *text; first = false) {
		const char *end = strchrnul(text, '\n');

		if (text == end || (*text == '\r' && text + 1 == end))
			return *end ? end + 1 : end;
		if ((first || (*text != ' ' && *text != '\t')) &&
		    !memchr(text, ':', (size_t)(end - text)))
			return NULL;
		text = *end ? end + 1 : end;
	}
	return NULL;
}

/* The boundary that the headers name; NULL: they name none. */
static char *find_boundary(const char *headers, const char *end)
{
	static const char TYPE[] = "Content-Type:", KEY[] = "boundary=";
	const char *at = headers;
	size_t length;

	while (at && strncasecmp(at, TYPE, sizeof(TYPE) - 1) != 0) {
		at = memchr(at, '\n', (size_t)(end - at));
		at = at && at + 1 < end ? at + 1 : NULL;
	}
	if (!at || strncasecmp(skip_space(at + sizeof(TYPE) - 1), "multipart/", 10) != 0)
		return NULL;
	at = strcasestr(at, KEY);
	if (!at || at >= end)
		return NULL;
	at += sizeof(KEY) - 1;
	length = *at == '"' ? strcspn(at + 1, "\"\r\n") : strcspn(at, "; \t\r\n");
	return length ? strndup(at + (*at == '"'), length) : NULL;
}

/* Without carriage returns, which cloud-init gives on to shells. */
static char *copy(const char *text, size_t length)
{
	struct text out = {0};

	for (size_t i = 0; i < length; i++)
		if (text[i] != '\r')
			text_add_char(&out, text[i]);
	return text_take(&out);
}

static void add_part(struct mime *mime, const char *text, size_t length)
{
	_cleanup_free_ char *whole = copy(text, length);
	const char *content = headers_end(whole);
	struct mime_part *part = vec_push(&mime->parts);
	bool bare = *whole == '\n'; /* no header at all */

	if (bare || !content)
		content = bare ? whole + 1 : whole;
	part->content = strdup(content);
	part->headers =
		strndup(whole, bare || content == whole ? 0 : (size_t)(content - whole) - 1);
}

/* The next line that is the boundary, at text or later; last: it is the one that ends all. */
static const char *find_delimiter(const char *text, const char *boundary, bool *last,
				  const char **after)
{
	size_t length = strlen(boundary);

	for (const char *line = text; *line;) {
		const char *end = strchrnul(line, '\n');

		if (str_starts(line, "--") && strncmp(line + 2, boundary, length) == 0) {
			const char *rest = line + 2 + length;

			*last = str_starts(rest, "--");
			rest += *last ? 2 : 0;
			*after = *end ? end + 1 : end;
			if (rest + strspn(rest, " \t\r") == end)
				return line;
		}
		line = *end ? end + 1 : end;
	}
	return NULL;
}

int mime_read(const char *text, struct mime *mime, char problem[USER_DATA_PROBLEM_SIZE])
{
	_cleanup_free_ char *boundary = NULL;
	const char *body, *at, *next, *after = NULL;
	bool last = false;

	text = skip_space(text);
	body = headers_end(text);
	if (!body)
		return refuse(problem, "has a line among its headers that is none");
	boundary = find_boundary(text, body);
	if (!boundary)
		return refuse(problem,
			      "has no header Content-Type: multipart/...; boundary=\"...\"");
	at = find_delimiter(body, boundary, &last, &after);
	while (at && !last) {
		const char *start = after;

		next = find_delimiter(start, boundary, &last, &after);
		if (next) /* the newline before a boundary belongs to it */
			add_part(mime, start, (size_t)MAX(next - 1 - start, 0));
		at = next;
	}
	if (!at) {
		snprintf(problem, USER_DATA_PROBLEM_SIZE,
			 "the MIME archive does not end: a line --%.100s-- is missing", boundary);
		return -EINVAL;
	}
	return 0;
}

void mime_add(struct mime *mime, const char *type, const char *content)
{
	struct mime_part *part = vec_push(&mime->parts);

	part->headers = str_printf("Content-Type: %s\n", type);
	part->content = strdup(content);
}

/* "//", as Karpenter has it, unless a part has that line in it. */
static void choose_boundary(const struct mime *mime, char out[16])
{
	bool taken = true;

	snprintf(out, 16, "//");
	for (unsigned tries = 1; taken; tries++) {
		_cleanup_free_ char *line = str_printf("--%s", out);

		taken = false;
		vec_for_each (part, &mime->parts)
			taken |= strstr(part->content, line) != NULL;
		if (taken)
			snprintf(out, 16, "//%u", tries);
	}
}

void mime_write(const struct mime *mime, struct text *out)
{
	const char *before = "";
	char boundary[16];

	choose_boundary(mime, boundary);
	text_printf(out, "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"%s\"\n\n",
		    boundary);
	vec_for_each (part, &mime->parts) {
		text_printf(out, "%s--%s\n", before, boundary);
		text_add(out, part->headers);
		text_add_char(out, '\n');
		text_add(out, part->content);
		before = "\n";
	}
	text_printf(out, "\n--%s--\n", boundary);
}
