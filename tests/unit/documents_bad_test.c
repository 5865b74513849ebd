/* SPDX-License-Identifier: Apache-2.0 */
/* Each tests/bad/NAME.yaml is refused with exactly the lines of tests/bad/NAME.expected. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <dirent.h>

#include "documents/documents.h"

#define DIRECTORY "tests/bad/"
#define FILES_AT_LEAST 40
#define BYTES_MAX (1 << 20)

static int is_document(const struct dirent *entry)
{
	return str_ends(entry->d_name, ".yaml");
}

/* What a person would be told, as problems_print() writes it. */
static char *told(const char *name, const char *text, size_t length, size_t *errors)
{
	struct documents documents = {0};
	struct problems problems = {0};
	char *lines = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&lines, &size);

	if (documents_parse(&documents, name, text, length, &problems) == 0)
		documents_check(&documents, &problems);
	problems_print(&problems, out);
	fclose(out);
	*errors = problems.errors;
	problems_free(&problems);
	documents_free(&documents);
	return lines;
}

static bool is_told_as_expected(const char *name)
{
	_cleanup_free_ char *path = str_printf(DIRECTORY "%s", name);
	_cleanup_free_ char *expected_path =
		str_printf(DIRECTORY "%.*s.expected", (int)(strlen(name) - strlen(".yaml")), name);
	_cleanup_free_ char *text = NULL, *expected = NULL, *got = NULL;
	size_t length = 0, errors = 0;

	if (file_read(path, BYTES_MAX, &text, &length) < 0 ||
	    file_read(expected_path, BYTES_MAX, &expected, NULL) < 0) {
		print_error("%s: it or its .expected cannot be read\n", name);
		return false;
	}
	got = told(name, text, length, &errors);
	if (errors && strcmp(got, expected) == 0)
		return true;
	print_error("%s: expected\n%sgot\n%s\n", name, expected, got);
	return false;
}

static void every_wrong_file_is_refused_with_its_message(void **unused)
{
	struct dirent **entries = NULL;
	int count = scandir(DIRECTORY, &entries, is_document, alphasort);
	size_t failed = 0;

	(void)unused;
	for (int i = 0; i < count; i++) {
		failed += !is_told_as_expected(entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	assert_int_equal(failed, 0);
	assert_true(count >= FILES_AT_LEAST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_wrong_file_is_refused_with_its_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
