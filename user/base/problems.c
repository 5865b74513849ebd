/* SPDX-License-Identifier: Apache-2.0 */
#include "base/yaml.h"

static _printf_(4, 0) void add(struct problems *problems, char *where, bool warning,
			       const char *format, va_list args)
{
	struct problem *problem = vec_push(&problems->list);

	problem->where = where;
	problem->warning = warning;
	if (vasprintf(&problem->text, format, args) < 0)
		abort();
	if (!warning)
		problems->errors++;
}

static char *place(const char *file, unsigned line, unsigned column)
{
	char *where = str_printf("%s:%u:%u", file, line, column);

	if (!where)
		abort();
	return where;
}

void problem_add(struct problems *problems, const char *where, const char *format, ...)
{
	char *copy = strdup(where);
	va_list args;

	if (!copy)
		abort();
	va_start(args, format);
	add(problems, copy, false, format, args);
	va_end(args);
}

void problem_at(struct problems *problems, const struct yaml_node *node, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(problems, place(node->file, node->line, node->column), false, format, args);
	va_end(args);
}

void problem_at_key(struct problems *problems, const struct yaml_node *node, const char *format,
		    ...)
{
	va_list args;
	char *where = node->key ? place(node->file, node->key_line, node->key_column)
				: place(node->file, node->line, node->column);

	va_start(args, format);
	add(problems, where, false, format, args);
	va_end(args);
}

void warning_at(struct problems *problems, const struct yaml_node *node, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(problems, place(node->file, node->line, node->column), true, format, args);
	va_end(args);
}

void problems_move(struct problems *to, struct problems *from)
{
	vec_for_each (problem, &from->list)
		*vec_push(&to->list) = *problem;
	to->errors += from->errors;
	vec_free(&from->list);
	from->errors = 0;
}

void problems_free(struct problems *problems)
{
	vec_for_each (problem, &problems->list) {
		free(problem->where);
		free(problem->text);
	}
	vec_free(&problems->list);
	problems->errors = 0;
}

void problems_print(const struct problems *problems, FILE *file)
{
	vec_for_each (problem, &problems->list)
		fprintf(file, "%s: %s%s\n", problem->where, problem->warning ? "warning: " : "",
			problem->text);
}
