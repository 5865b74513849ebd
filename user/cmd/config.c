/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration directory: which files, ${VAR}, and the documents in them. */
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <unistd.h>

#include "cmd/cmd.h"

#define FILE_LIMIT (1U << 20)

static int is_document(const struct dirent *entry)
{
	return entry->d_name[0] != '.' &&
	       (str_ends(entry->d_name, ".yaml") || str_ends(entry->d_name, ".yml"));
}

/* The place of an offset in text, for messages. */
static void place_of(const char *text, size_t offset, unsigned *line, unsigned *column)
{
	*line = *column = 1;
	for (size_t i = 0; i < offset; i++) {
		if (text[i] == '\n') {
			++*line;
			*column = 1;
		} else {
			++*column;
		}
	}
}

/* The length of a "${NAME}" at text, 0 where there is none. */
static size_t reference_length(const char *text)
{
	size_t at = 2;

	if (text[0] != '$' || text[1] != '{' ||
	    !(isalpha((unsigned char)text[2]) || text[2] == '_'))
		return 0;
	while (isalnum((unsigned char)text[at]) || text[at] == '_')
		at++;
	return text[at] == '}' ? at + 1 : 0;
}

static void refuse_reference(const char *path, const char *text, size_t at, const char *name,
			     bool expand_env, struct problems *problems)
{
	_cleanup_free_ char *where = NULL;
	unsigned line, column;

	place_of(text, at, &line, &column);
	where = str_printf("%s:%u:%u", path, line, column);
	if (expand_env)
		problem_add(problems, where,
			    "found ${%s}, and no variable %s in the environment: set it", name,
			    name);
	else
		problem_add(problems, where,
			    "found ${%s}, expected its value: write the value, or give "
			    "--expand-env to take it from the environment",
			    name);
}

/* Values go in as they are; a newline would let a variable add lines to the document. */
static void expand_one(const char *path, const char *text, size_t at, size_t length,
		       bool expand_env, struct text *out, struct problems *problems)
{
	_cleanup_free_ char *name = strndup(text + at + 2, length - 3);
	const char *value = name ? getenv(name) : NULL;

	if (!expand_env || !value) {
		refuse_reference(path, text, at, name, expand_env, problems);
	} else if (strpbrk(value, "\n\r")) {
		_cleanup_free_ char *where = NULL;
		unsigned line, column;

		place_of(text, at, &line, &column);
		where = str_printf("%s:%u:%u", path, line, column);
		problem_add(problems, where,
			    "found ${%s} with a line break in its value, expected one line", name);
	} else {
		text_add(out, value);
	}
}

/* userData is a script and has ${VAR} of its own: there "$${VAR}" stands for a plain "${VAR}". */
static void expand(const char *path, const char *text, bool expand_env, struct text *out,
		   struct problems *problems)
{
	for (size_t at = 0; text[at];) {
		size_t length = reference_length(text + at);

		if (text[at] == '$' && reference_length(text + at + 1)) {
			length = reference_length(text + at + 1);
			text_add_bytes(out, text + at + 1, length);
			at += length + 1;
		} else if (length) {
			expand_one(path, text, at, length, expand_env, out, problems);
			at += length;
		} else {
			text_add_char(out, text[at++]);
		}
	}
}

static void read_one(const char *path, bool expand_env, struct documents *documents,
		     struct problems *problems)
{
	_cleanup_free_ char *raw = NULL;
	_cleanup_text_ struct text text = {0};
	size_t errors = problems->errors, length;
	int r = file_read(path, FILE_LIMIT, &raw, &length);

	if (r < 0) {
		problem_add(problems, path, "cannot read it: %s", strerror(-r));
		return;
	}
	if (strlen(raw) == length) {
		expand(path, raw, expand_env, &text, problems);
		if (problems->errors > errors)
			return;
	} else {
		text_add_bytes(&text, raw, length); /* the parser says where the NUL is */
	}
	documents_parse(documents, path, text.data ? text.data : "", text.length, problems);
}

int config_read(const char *directory, const char *where, bool expand_env,
		struct documents *documents, struct problems *problems)
{
	struct dirent **entries = NULL;
	int count = scandir(directory, &entries, is_document, alphasort);

	if (count < 0) {
		problem_add(problems, where,
			    "cannot read the directory %s: %s; expected a directory with *.yaml "
			    "files",
			    directory, strerror(errno));
		return -EINVAL;
	}
	for (int i = 0; i < count; i++) {
		_cleanup_free_ char *path = str_printf("%s/%s", directory, entries[i]->d_name);

		if (path)
			read_one(path, expand_env, documents, problems);
		free(entries[i]);
	}
	free(entries);
	if (!count)
		problem_add(problems, where,
			    "found no *.yaml or *.yml file in %s, expected policies, pools and "
			    "classes there",
			    directory);
	if (!problems->errors)
		documents_check(documents, problems);
	return problems->errors ? -EINVAL : 0;
}

void limits_from_options(const struct options *options, struct core_limits *limits)
{
	core_limits_default(limits);
	limits->launches_per_minute = (uint32_t)options->launches_per_minute;
	limits->usd_per_hour = options->usd_per_hour;
	limits->usd_per_day = options->usd_per_day;
	limits->surge = (uint32_t)options->surge;
	limits->host_replicas = (double)options->host_replicas;
	limits->silent_share = options->silent_share;
	limits->visible_within_ns = options->visible_within_ns;
	limits->stale_ns = options->stale_ns;
	limits->lead_time_ns = options->lead_time_ns;
	limits->serving_after_ns = options->serving_after_ns;
	limits->drain_most_ns = options->drain_most_ns;
	limits->drain_blind_ns = options->drain_blind_ns;
}

bool name_valid(const char *name, size_t most)
{
	size_t length = strlen(name);

	if (!length || length > most || !isalnum((unsigned char)name[0]) ||
	    !isalnum((unsigned char)name[length - 1]))
		return false;
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i]))
			return false;
	return !strstr(name, "..");
}

bool name_or_address_valid(const char *text)
{
	unsigned char address[16];

	return inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1 ||
	       name_valid(text, 253);
}

void host_name(char *out, size_t size)
{
	if (gethostname(out, size) < 0)
		snprintf(out, size, "localhost");
	out[size - 1] = '\0';
}
