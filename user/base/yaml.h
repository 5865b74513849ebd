/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML as a tree that knows where each node stood, and the list of what is wrong with a file.
 *
 * Read with libyaml. Anchors and aliases are refused (a small file could grow without bound), and
 * so are duplicate keys, files over 1 MiB, nesting over 64 levels.
 */
#ifndef FORERUN_BASE_YAML_H
#define FORERUN_BASE_YAML_H

#include "base/vec.h"
#include "base/text.h"

enum yaml_kind { YAML_NULL, YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

struct yaml_node {
	enum yaml_kind kind;
	bool quoted; /* a scalar in quotes is a string whatever it looks like */
	const char *file;
	unsigned line, column; /* from 1 */
	char *key; /* in a mapping: its key; else NULL */
	unsigned key_line, key_column;
	char *scalar;
	struct yaml_node **children; /* of a sequence, or the values of a mapping in their order */
	size_t count;
};

struct yaml_file {
	char *name;
	struct yaml_node **documents; /* empty documents are left out */
	size_t count;
};

/* What is wrong: every problem has its place, what was found and what is expected. */
struct problem {
	char *where; /* "pool.yaml:12:5", or a flag "--mode", or an environment variable */
	char *text;
	bool warning;
};

struct problems {
	VEC(struct problem) list;
	size_t errors; /* without the warnings */
};

#define yaml_for_each(child, node)                                                      \
	for (size_t child##_at = 0; (node) && child##_at < (node)->count; child##_at++) \
		for (struct yaml_node *child = (node)->children[child##_at]; child; child = NULL)

/* name is what messages call the file. Syntax errors go to problems and give -EINVAL. */
int yaml_parse(const char *name, const char *text, size_t length, struct yaml_file *out,
	       struct problems *problems);
/* Likewise of at most so many bytes. */
int yaml_parse_up_to(size_t most, const char *name, const char *text, size_t length,
		     struct yaml_file *out, struct problems *problems);
void yaml_file_free(struct yaml_file *file);

/* One object of JSON, fast. Each item of its list "items" is handed over as soon as it is read
 * (index from 0) and is gone afterwards; then the object itself (index SIZE_MAX) with that list
 * empty. name must outlive what the function keeps. False: it is not JSON, or has a key twice or is
 * nested too deep; yaml_parse() says where. Items may have been handed over before that. */
typedef void (*yaml_item_fn)(void *arg, const struct yaml_node *node, size_t index);
bool yaml_parse_json(const char *name, const char *text, size_t length, yaml_item_fn on_item,
		     void *arg);

/* The value under that key, NULL if it is not there (or node is NULL or no mapping). */
struct yaml_node *yaml_get(const struct yaml_node *node, const char *key);
/* "a string", "a number", "a list", "a mapping", "nothing": for messages. */
const char *yaml_kind_text(const struct yaml_node *node);

void problem_add(struct problems *problems, const char *where, const char *format, ...)
	_printf_(3, 4);
void problem_at(struct problems *problems, const struct yaml_node *node, const char *format, ...)
	_printf_(3, 4);
void problem_at_key(struct problems *problems, const struct yaml_node *node, const char *format,
		    ...) _printf_(3, 4);
void warning_at(struct problems *problems, const struct yaml_node *node, const char *format, ...)
	_printf_(3, 4);
/* All of `from` goes behind those of `to`. */
void problems_move(struct problems *to, struct problems *from);
void problems_free(struct problems *problems);
/* One line each, "where: text", in the order they were found. */
void problems_print(const struct problems *problems, FILE *file);

#endif
