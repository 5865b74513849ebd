/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a YAML tree into structs as strictly as the API server does: a cursor that knows its path
 * for messages, and tables of the fields that a mapping may have. Private to the room.
 *
 * Every reader reports what is wrong and returns false; an absent node (NULL or null) is false
 * without a report, because the table of the mapping above says which fields are required.
 */
#ifndef FORERUN_DOCUMENTS_READ_H
#define FORERUN_DOCUMENTS_READ_H

#include "documents/documents.h"

/* A place in the document. Cursors live on the stack, each pointing to the one above it. */
struct cursor {
	const struct cursor *above;
	const struct yaml_node *node; /* NULL: not there */
	const char *name; /* NULL: an item of a list */
	size_t index;
	struct problems *problems;
};

enum field_rule {
	FIELD_OPTIONAL,
	FIELD_REQUIRED,
	FIELD_LATER, /* in the real schema, not honoured yet: refused by name */
};

struct field {
	const char *name;
	enum field_rule rule;
	const char *expected; /* of FIELD_REQUIRED: "a whole number from 1" */
};

/* The path as in "spec.metrics[0].external"; "the document" at the top. Never NULL. */
char *cursor_path(const struct cursor *cursor);
struct cursor cursor_field(const struct cursor *above, const char *name);
struct cursor cursor_item(const struct cursor *above, size_t index);
bool cursor_present(const struct cursor *cursor);

/* "path: found X, expected Y", at the cursor's node. */
void cursor_expected(const struct cursor *cursor, const char *format, ...) _printf_(2, 3);
/* "path: text", at the cursor's node. */
void cursor_refuse(const struct cursor *cursor, const char *format, ...) _printf_(2, 3);
/* "not supported yet: path", at the key. */
void cursor_refuse_later(const struct cursor *cursor);
/* What a node holds, for messages: the string "a", the number 3, a list, ... Never NULL. */
char *found_text(const struct yaml_node *node);
/* The nearest of the names when it is near enough to be a slip of the finger, else NULL. */
const char *nearest_name(const char *text, const char *const *names, size_t count);
/* "a, b or c". Never NULL. */
char *names_text(const char *const *names, size_t count);

/* A mapping with just these fields, the required ones present. True when it is a mapping. */
bool read_mapping(const struct cursor *cursor, const struct field *fields, size_t count);
bool read_list(const struct cursor *cursor, size_t most);
/* What an unquoted scalar is in YAML 1.1, whose numbers may be written 0x1f, 017 or 1_000. */
#define INT64_END 9223372036854775808.0
bool scalar_is_bool(const char *text);
bool scalar_number(const char *text, double *out);
bool scalar_is_string(const struct yaml_node *node);

/* A string that is not empty. The caller owns *out. */
bool read_string(const struct cursor *cursor, char **out);
bool read_string_or_empty(const struct cursor *cursor, char **out);
/* An extended regular expression (POSIX) as the definitions of Karpenter have them. */
bool text_matches(const char *text, const char *pattern);
bool read_matching(const struct cursor *cursor, const char *pattern, const char *expected,
		   char **out);
/* "1h30m" in seconds, or Never. One that no clock counts to is the longest that is not Never. */
bool read_duration(const struct cursor *cursor, bool never, uint64_t *seconds);
uint64_t duration_seconds(const char *text); /* of a text of that form */
/* 5.0 is a whole number, as in JSON. */
bool read_integer(const struct cursor *cursor, int64_t low, int64_t high, int64_t *out);
bool read_bool(const struct cursor *cursor, bool *out);
bool read_quantity(const struct cursor *cursor, double *out);
/* One of the names; its index. */
bool read_enum(const struct cursor *cursor, const char *const *names, size_t count, size_t *out);
/* Likewise where only the first names are honoured, and are all that messages offer. */
bool read_enum_of(const struct cursor *cursor, const char *const *names, size_t count,
		  size_t honoured, size_t *out);
/* What is right in it arrives, also when something else is not. */
bool read_string_map(const struct cursor *cursor, struct key_values *out);
bool read_string_list(const struct cursor *cursor, char ***out, size_t *count);

/* Kubernetes names (apimachinery, util/validation): true when right; otherwise reported. */
bool check_subdomain(const struct cursor *cursor, const char *text);
bool check_label_key(const struct cursor *cursor, const char *text);
bool check_label_value(const struct cursor *cursor, const char *text);
bool is_dns_label(const char *text);

/* Names of policies, pools and classes travel in fixed fields and in tags of EC2. */
#define DOCUMENT_NAME_MAX 63
/* metadata, as kubectl prints it: the name; all else is checked for form. */
bool read_metadata(const struct cursor *document, char **name);

/* Where each of a pool's requirements stands. */
struct placed_terms {
	VEC(const struct yaml_node *) list;
};
/* Reports the requirements on one label that leave nothing. */
void check_contradictions(struct problems *problems, const struct label_terms *terms,
			  const struct placed_terms *placed);

void label_terms_free(struct label_terms *terms);
void key_values_free(struct key_values *values);

/* One document each. What is wrong with it is in problems; the struct is to be freed either way. */
void read_policy(const struct cursor *document, struct policy *policy);
void read_behavior(const struct cursor *behavior, struct policy *policy);
void read_pool(const struct cursor *document, struct pool *pool);
void read_node_class(const struct cursor *document, struct node_class *node_class);
void read_requirements(const struct cursor *template, struct pool *pool);
void read_disruption(const struct cursor *spec, struct pool *pool);
void read_pool_annotations(const struct cursor *document, struct pool *pool);
void read_policy_annotations(const struct cursor *document, struct policy *policy);
void read_term_tags(const struct cursor *at, struct key_values *tags);
void read_images(const struct cursor *spec, struct node_class *node_class);
void read_selectors(const struct cursor *spec, struct node_class *node_class);
void read_kubelet(const struct cursor *spec, struct node_class *node_class);
void read_network(const struct cursor *spec, struct node_class *node_class);
void read_block_devices(const struct cursor *spec, struct node_class *node_class);

#endif
