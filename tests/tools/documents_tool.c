/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What forerun says of documents, for tests: documents_tool FILE... prints a JSON object a line,
 * {"file", "errors": [...], "warnings": [...]}, each file by itself and without the references
 * between them; with --check first, all files together and their references too.
 */
#include "base/text.h"
#include "documents/documents.h"

#define BYTES_MAX (1 << 20)

static void print_list(struct text *out, const char *name, const struct problems *problems,
		       bool warnings)
{
	bool first = true;

	text_printf(out, ", \"%s\": [", name);
	vec_for_each (problem, &problems->list) {
		_cleanup_free_ char *line = str_printf("%s: %s", problem->where, problem->text);

		if (problem->warning != warnings)
			continue;
		if (!first)
			text_add(out, ", ");
		text_add_json(out, line);
		first = false;
	}
	text_add_char(out, ']');
}

static void print(const char *file, const struct problems *problems)
{
	_cleanup_text_ struct text out = {0};

	text_add(&out, "{\"file\": ");
	text_add_json(&out, file);
	print_list(&out, "errors", problems, false);
	print_list(&out, "warnings", problems, true);
	text_add_char(&out, '}');
	puts(out.data);
}

static int parse(const char *file, struct documents *documents, struct problems *problems)
{
	_cleanup_free_ char *text = NULL;
	size_t length = 0;
	int r = file_read(file, BYTES_MAX, &text, &length);

	if (r < 0)
		return r;
	documents_parse(documents, file, text, length, problems);
	return 0;
}

static int each(char **files)
{
	for (; *files; files++) {
		struct documents documents = {0};
		struct problems problems = {0};
		int r = parse(*files, &documents, &problems);

		if (r == 0)
			print(*files, &problems);
		documents_free(&documents);
		problems_free(&problems);
		if (r < 0)
			return r;
	}
	return 0;
}

static int together(char **files)
{
	struct documents documents = {0};
	struct problems problems = {0};
	int r = 0;

	for (; *files && r == 0; files++)
		r = parse(*files, &documents, &problems);
	if (r == 0) {
		documents_check(&documents, &problems);
		print("", &problems);
	}
	documents_free(&documents);
	problems_free(&problems);
	return r;
}

int main(int argc, char **argv)
{
	bool check = argc > 1 && strcmp(argv[1], "--check") == 0;
	int r = check ? together(argv + 2) : each(argv + 1);

	if (r < 0)
		fprintf(stderr, "documents_tool: %s\n", strerror(-r));
	return r < 0;
}
