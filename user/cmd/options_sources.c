/* SPDX-License-Identifier: Apache-2.0 */
/* Options from the environment and from the options file. */
#include <ctype.h>
#include <unistd.h>

#include "cmd/cmd.h"

#define OPTIONS_FILE_LIMIT (1U << 20)
#define VARIABLE_PREFIX "FORERUN_"

void option_variable(const char *name, char *out, size_t size)
{
	size_t at = (size_t)snprintf(out, size, VARIABLE_PREFIX "%s", name);

	for (size_t i = 0; i < MIN(at, size); i++)
		out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

/* A misspelt variable would be passed over in silence. */
static void warn_of_unknown_variables(void)
{
	for (char **variable = environ; *variable; variable++) {
		_cleanup_free_ char *name = strndup(*variable, strcspn(*variable, "="));
		const char *nearest;
		bool known = false;

		if (!name || !str_starts(name, VARIABLE_PREFIX))
			continue;
		for (size_t i = 0; i < option_specs_count && !known; i++) {
			char of_option[64];

			option_variable(option_specs[i].name, of_option, sizeof(of_option));
			known = str_equal(name, of_option);
		}
		if (known)
			continue;
		for (char *c = name; *c; c++)
			*c = *c == '_' ? '-' : (char)tolower((unsigned char)*c);
		nearest = option_nearest(name + strlen(VARIABLE_PREFIX), ~0U);
		if (nearest)
			log_warning("environment: %.*s is no option of forerun, it has no effect; "
				    "is --%s meant?",
				    (int)strcspn(*variable, "="), *variable, nearest);
	}
}

int options_from_environment(struct options *options, struct problems *problems)
{
	for (size_t i = 0; i < option_specs_count; i++) {
		const struct option_spec *spec = &option_specs[i];
		char variable[64];
		const char *value;

		option_variable(spec->name, variable, sizeof(variable));
		value = getenv(variable);
		if (value && (spec->commands & options->command->bit) && !spec->only_flag)
			option_set(options, spec, value, variable, "", problems);
	}
	warn_of_unknown_variables();
	return problems->errors ? -EINVAL : 0;
}

static void refuse_key(const struct yaml_node *node, struct problems *problems)
{
	const char *nearest = option_nearest(node->key, ~0U);

	if (option_find(node->key, ~0U))
		problem_at_key(problems, node, "%s cannot be set in the options file", node->key);
	else if (nearest)
		problem_at_key(problems, node, "no such option \"%s\"; did you mean \"%s\"?",
			       node->key, nearest);
	else
		problem_at_key(problems, node, "no such option \"%s\"", node->key);
}

/* The row that this command takes, else one of another: the file serves them all. */
static const struct option_spec *spec_in_file(const struct options *options, const char *key)
{
	const struct option_spec *spec = option_find(key, options->command->bit);

	if (spec && !spec->only_flag)
		return spec;
	for (size_t i = 0; i < option_specs_count; i++)
		if (str_equal(option_specs[i].name, key) && !option_specs[i].only_flag)
			return &option_specs[i];
	return NULL;
}

static void set_from_node(struct options *options, const struct yaml_node *node,
			  struct problems *problems)
{
	const struct option_spec *spec = spec_in_file(options, node->key);
	_cleanup_free_ char *where = NULL, *prefix = NULL;
	struct options other = {.command = options->command};

	if (!spec || str_equal(node->key, "options-file")) {
		refuse_key(node, problems);
		return;
	}
	if (node->kind != YAML_SCALAR) {
		problem_at(problems, node, "%s: found %s, expected %s", node->key,
			   yaml_kind_text(node), spec->argument ? spec->argument : "true or false");
		return;
	}
	where = str_printf("%s:%u:%u", node->file, node->line, node->column);
	prefix = str_printf("%s: ", node->key);
	if (!where || !prefix)
		return;
	option_set(spec->commands & options->command->bit ? options : &other, spec, node->scalar,
		   where, prefix, problems);
	options_free(&other);
}

static void set_from_documents(struct options *options, const struct yaml_file *file,
			       struct problems *problems)
{
	if (file->count > 1)
		problem_at(problems, file->documents[1],
			   "found a second document, expected one with options");
	else if (file->count && file->documents[0]->kind != YAML_MAPPING)
		problem_at(problems, file->documents[0],
			   "found %s, expected options such as \"mode: observe\"",
			   yaml_kind_text(file->documents[0]));
	else if (file->count)
		yaml_for_each (node, file->documents[0])
			set_from_node(options, node, problems);
}

int options_from_file(struct options *options, const char *path, bool must_exist,
		      struct problems *problems)
{
	_cleanup_free_ char *text = NULL;
	struct yaml_file file = {0};
	size_t length;
	int r = file_read(path, OPTIONS_FILE_LIMIT, &text, &length);

	if (r == -ENOENT && !must_exist)
		return 0;
	if (r < 0) {
		problem_add(problems, path, "cannot read the options file: %s", strerror(-r));
		return r;
	}
	r = yaml_parse(path, text, length, &file, problems);
	if (r == 0)
		set_from_documents(options, &file, problems);
	yaml_file_free(&file);
	return problems->errors ? -EINVAL : 0;
}
