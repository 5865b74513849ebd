/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/yaml.h"

static int parse(const char *text, size_t length, struct yaml_file *file, struct problems *problems)
{
	*file = (struct yaml_file){0};
	*problems = (struct problems){0};
	return yaml_parse("f.yaml", text, length, file, problems);
}

static void nodes_know_what_they_are_and_where(void **state)
{
	static const char text[] = "# comment\n"
				   "name: web\n"
				   "empty:\n"
				   "tilde: ~\n"
				   "quoted: \"12\"\n"
				   "plain: 12\n"
				   "list:\n"
				   "  - a\n"
				   "  - {x: 1, y: [2, 3]}\n"
				   "none: ''\n"
				   "block: |\n"
				   "  two\n"
				   "  lines\n"
				   "typed: !!str 7\n";
	struct yaml_file file;
	struct problems problems;
	const struct yaml_node *root, *list, *node;
	int children = 0;

	(void)state;
	assert_int_equal(parse(text, sizeof(text) - 1, &file, &problems), 0);
	assert_int_equal(file.count, 1);
	assert_string_equal(file.name, "f.yaml");
	root = file.documents[0];
	assert_int_equal(root->kind, YAML_MAPPING);
	assert_int_equal(root->count, 9);
	node = yaml_get(root, "name");
	assert_string_equal(node->scalar, "web");
	assert_int_equal(node->line, 2);
	assert_int_equal(node->column, 7);
	assert_int_equal(node->key_line, 2);
	assert_int_equal(node->key_column, 1);
	assert_string_equal(node->file, "f.yaml");
	assert_string_equal(yaml_kind_text(node), "a string");
	assert_int_equal(yaml_get(root, "empty")->kind, YAML_NULL);
	assert_int_equal(yaml_get(root, "tilde")->kind, YAML_NULL);
	assert_true(yaml_get(root, "quoted")->quoted);
	assert_string_equal(yaml_kind_text(yaml_get(root, "quoted")), "a string");
	assert_string_equal(yaml_kind_text(yaml_get(root, "plain")), "a number");
	assert_int_equal(yaml_get(root, "none")->kind, YAML_SCALAR);
	assert_string_equal(yaml_get(root, "none")->scalar, "");
	assert_string_equal(yaml_get(root, "block")->scalar, "two\nlines\n");
	assert_true(yaml_get(root, "typed")->quoted);
	list = yaml_get(root, "list");
	assert_string_equal(yaml_kind_text(list), "a list");
	assert_int_equal(list->count, 2);
	assert_null(list->children[0]->key);
	assert_string_equal(yaml_get(yaml_get(list->children[1], "y"), "z") ? "" : "none", "none");
	assert_string_equal(yaml_get(list->children[1], "y")->children[1]->scalar, "3");
	assert_int_equal(yaml_get(list->children[1], "y")->line, 9);
	assert_int_equal(yaml_get(list->children[1], "y")->column, 15);
	yaml_for_each (child, root) {
		assert_non_null(child->key);
		children++;
	}
	assert_int_equal(children, 9);
	assert_null(yaml_get(root, "other"));
	assert_null(yaml_get(NULL, "x"));
	assert_string_equal(yaml_kind_text(NULL), "nothing");
	yaml_file_free(&file);
	problems_free(&problems);
}

static void empty_documents_are_left_out(void **state)
{
	static const char text[] = "---\n---\na: 1\n---\n# nothing\n---\n~\n---\n- b\n...\n";
	struct yaml_file file;
	struct problems problems;

	(void)state;
	assert_int_equal(parse(text, sizeof(text) - 1, &file, &problems), 0);
	assert_int_equal(file.count, 2);
	assert_int_equal(file.documents[1]->kind, YAML_SEQUENCE);
	yaml_file_free(&file);
	assert_int_equal(parse("", 0, &file, &problems), 0);
	assert_int_equal(file.count, 0);
	yaml_file_free(&file);
	assert_int_equal(parse("\xef\xbb\xbf"
			       "a: \xc3\xa4",
			       8, &file, &problems),
			 0);
	assert_string_equal(yaml_get(file.documents[0], "a")->scalar, "\xc3\xa4");
	yaml_file_free(&file);
	problems_free(&problems);
}

static void what_is_wrong_is_said_with_its_place(void **state)
{
	static const struct {
		const char *text, *where, *says;
	} cases[] = {
		{"a: &x 1\nb: *x\n", "f.yaml:1:4", "anchors and aliases (\"x\")"},
		{"a: *x\n", "f.yaml:1:4", "anchors and aliases (\"x\")"},
		{"a: &x [1]\n", "f.yaml:1:4", "anchors and aliases"},
		{"&x {a: 1}\n", "f.yaml:1:1", "anchors and aliases"},
		{"&x a: 1\n", "f.yaml:1:1", "anchors and aliases"},
		{"a: 1\nb: 2\na: 3\n", "f.yaml:3:1",
		 "duplicate key \"a\": it stands already in line 1"},
		{"x: {a: 1, \"a\": 2}\n", "f.yaml:1:11", "duplicate key"},
		{"a: [1, 2\n", "f.yaml:2:1", "not valid YAML: did not find expected ',' or ']'"},
		{"a: 1\n b: 2\n", "f.yaml:2:3", "not valid YAML"},
		{"a: \"x\n", "f.yaml:2:1", "found unexpected end of stream"},
		{"\ta: 1\n", "f.yaml:1:1", "not valid YAML"},
		{"a: !!binary eA==\n", "f.yaml:1:4", "the tag \"tag:yaml.org,2002:binary\""},
		{"a: !own {x: 1}\n", "f.yaml:1:4", "the tag \"!own\""},
		{"[a]: 1\n", "f.yaml:1:1", "a key must be a plain word"},
		{"? {a: 1}\n: 1\n", "f.yaml:1:3", "a key must be a plain word"},
		{": 1\n", "f.yaml:1:1", "not valid YAML"},
		{"~: 1\n", "f.yaml:1:1", "a key is missing"},
		{"ok: \xc3\xa4\nb\xc3\xa4: \xff\n", "f.yaml:2:5", "not UTF-8: byte 0xff"},
		{"a: \xed\xa0\x80\n", "f.yaml:1:4", "not UTF-8"},
		{"a: b\x01\n", "f.yaml:1:5", "a control character is not allowed"},
		{"a: \x1b[31m\n", "f.yaml:1:4", "a control character is not allowed"},
		{"a: \xc2\x80\n", "f.yaml:1:4", "a control character is not allowed"},
		{"a: \"b\\0c\"\n", "f.yaml:1:4", "a NUL character is not allowed"},
		{"\xff\xfe"
		 "a",
		 "f.yaml:1:1", "not UTF-8"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct yaml_file file;
		struct problems problems;

		assert_int_equal(parse(cases[i].text, strlen(cases[i].text), &file, &problems),
				 -EINVAL);
		assert_int_equal(problems.errors, 1);
		if (!strstr(problems.list.at[0].text, cases[i].says))
			print_error("case %zu: %s: %s\n", i, problems.list.at[0].where,
				    problems.list.at[0].text);
		assert_non_null(strstr(problems.list.at[0].text, cases[i].says));
		assert_string_equal(problems.list.at[0].where, cases[i].where);
		assert_int_equal(file.count, 0);
		problems_free(&problems);
	}
}

static void a_nul_byte_in_the_file_is_refused(void **state)
{
	struct yaml_file file;
	struct problems problems;

	(void)state;
	assert_int_equal(parse("a: 1\0b", 6, &file, &problems), -EINVAL);
	assert_string_equal(problems.list.at[0].where, "f.yaml:1:5");
	problems_free(&problems);
}

static void size_and_depth_are_bounded(void **state)
{
	struct text text = {0};
	struct yaml_file file;
	struct problems problems;

	(void)state;
	for (int i = 0; i < 64; i++)
		text_add_char(&text, '[');
	for (int i = 0; i < 64; i++)
		text_add_char(&text, ']');
	assert_int_equal(parse(text.data, text.length, &file, &problems), 0);
	yaml_file_free(&file);
	text_clear(&text);
	for (int i = 0; i < 65; i++)
		text_add_char(&text, '[');
	assert_int_equal(parse(text.data, text.length, &file, &problems), -EINVAL);
	assert_string_equal(problems.list.at[0].where, "f.yaml:1:65");
	assert_non_null(strstr(problems.list.at[0].text, "nested more than 64 levels"));
	problems_free(&problems);
	text_clear(&text);
	while (text.length < 1 << 20)
		text_add(&text, "# 0123456789 0\n\n");
	assert_int_equal(text.length, 1 << 20);
	assert_int_equal(parse(text.data, text.length, &file, &problems), 0);
	yaml_file_free(&file);
	text_add_char(&text, '\n');
	assert_int_equal(parse(text.data, text.length, &file, &problems), -EINVAL);
	assert_non_null(strstr(problems.list.at[0].text, "larger than 1048576 bytes"));
	problems_free(&problems);
	text_free(&text);
}

/* Quadratic search for duplicates would take minutes here. */
static void many_keys_are_no_burden(void **state)
{
	struct text text = {0};
	struct yaml_file file;
	struct problems problems;

	(void)state;
	for (int i = 0; i < 100000; i++)
		text_printf(&text, "k%d: \n", i);
	assert_int_equal(parse(text.data, text.length, &file, &problems), 0);
	assert_int_equal(file.documents[0]->count, 100000);
	yaml_file_free(&file);
	text_add(&text, "k77: \n");
	assert_int_equal(parse(text.data, text.length, &file, &problems), -EINVAL);
	assert_string_equal(problems.list.at[0].where, "f.yaml:100001:1");
	problems_free(&problems);
	text_free(&text);
}

static void problems_print_one_line_each(void **state)
{
	struct problems problems = {0};
	struct yaml_node node = {.file = "p.yaml",
				 .line = 3,
				 .column = 9,
				 .key = (char *)"k",
				 .key_line = 3,
				 .key_column = 5};
	char *printed = NULL;
	size_t length;
	FILE *stream = open_memstream(&printed, &length);

	(void)state;
	problem_add(&problems, "--mode", "found %s", "x");
	problem_at(&problems, &node, "value");
	problem_at_key(&problems, &node, "key");
	warning_at(&problems, &node, "careful");
	assert_int_equal(problems.errors, 3);
	problems_print(&problems, stream);
	fclose(stream);
	assert_string_equal(printed, "--mode: found x\np.yaml:3:9: value\np.yaml:3:5: key\n"
				     "p.yaml:3:9: warning: careful\n");
	free(printed);
	problems_free(&problems);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_know_what_they_are_and_where),
		cmocka_unit_test(empty_documents_are_left_out),
		cmocka_unit_test(what_is_wrong_is_said_with_its_place),
		cmocka_unit_test(a_nul_byte_in_the_file_is_refused),
		cmocka_unit_test(size_and_depth_are_bounded),
		cmocka_unit_test(many_keys_are_no_burden),
		cmocka_unit_test(problems_print_one_line_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
