/* SPDX-License-Identifier: Apache-2.0 */
/* What only all documents together can say: references between them, and names taken twice. */
#include "core/documents_read.h"

static void problem_of(struct problems *problems, const struct origin *origin, unsigned line,
		       unsigned column, const char *text)
{
	_cleanup_free_ char *where = str_printf("%s:%u:%u", origin->file, line, column);

	problem_add(problems, where, "%s", text);
}

static void warning_of(struct problems *problems, const struct origin *origin, const char *text)
{
	struct yaml_node node = {
		.file = origin->file, .line = origin->line, .column = origin->column};

	warning_at(problems, &node, "%s", text);
}

static void taken_twice(struct problems *problems, const char *kind, const char *name,
			const struct origin *first, const struct origin *second)
{
	_cleanup_free_ char *text = str_printf(
		"found a second %s \"%s\", expected each name once; the first is at %s:%u:%u", kind,
		name, first->file, first->line, first->column);

	problem_of(problems, second, second->line, second->column, text);
}

/* Each document against those before it. */
#define CHECK_NAMES(problems, kind, list)                                                  \
	for (size_t i = 0; i < (list)->count; i++)                                         \
		for (size_t j = 0; j < i; j++)                                             \
			if (str_equal((list)->at[i].name, (list)->at[j].name)) {           \
				taken_twice(problems, kind, (list)->at[i].name,            \
					    &(list)->at[j].origin, &(list)->at[i].origin); \
				break;                                                     \
			}

static void no_such(struct problems *problems, const struct origin *origin, unsigned line,
		    unsigned column, const char *kind, const char *name, const char *const *names,
		    size_t count)
{
	_cleanup_free_ char *all = names_text(names, count), *text = NULL;
	const char *near = nearest_name(name, names, count);

	if (near)
		text = str_printf("found no %s \"%s\"; did you mean %s?", kind, name, near);
	else if (count)
		text = str_printf("found no %s \"%s\", expected %s", kind, name, all);
	else
		text = str_printf("found no %s \"%s\": no file has a document of that kind", kind,
				  name);
	problem_of(problems, origin, line, column, text);
}

static void check_policy(const struct documents *documents, size_t index, struct problems *problems)
{
	const struct policy *policy = &documents->policies.at[index];

	if (!documents_pool(documents, policy->pool)) {
		_cleanup_free_ const char **names =
			calloc(documents->pools.count + 1, sizeof(*names));

		for (size_t i = 0; i < documents->pools.count; i++)
			names[i] = documents->pools.at[i].name;
		no_such(problems, &policy->origin, policy->pool_line, policy->pool_column,
			"NodePool", policy->pool, names, documents->pools.count);
	}
	for (size_t i = 0; i < index; i++) {
		const struct policy *other = &documents->policies.at[i];
		_cleanup_free_ char *text = NULL;

		if (!str_equal(other->pool, policy->pool))
			continue;
		text = str_printf("NodePool \"%s\" is scaled by HorizontalPodAutoscaler \"%s\" "
				  "already, expected one for each",
				  policy->pool, other->name);
		problem_of(problems, &policy->origin, policy->pool_line, policy->pool_column, text);
		break;
	}
}

static void check_pool(const struct documents *documents, const struct pool *pool,
		       struct problems *problems)
{
	bool used = false;

	if (!documents_class(documents, pool->node_class)) {
		_cleanup_free_ const char **names =
			calloc(documents->classes.count + 1, sizeof(*names));

		for (size_t i = 0; i < documents->classes.count; i++)
			names[i] = documents->classes.at[i].name;
		no_such(problems, &pool->origin, pool->node_class_line, pool->node_class_column,
			"EC2NodeClass", pool->node_class, names, documents->classes.count);
	}
	vec_for_each (policy, &documents->policies)
		used |= str_equal(policy->pool, pool->name);
	if (!used) {
		_cleanup_free_ char *text = str_printf(
			"no HorizontalPodAutoscaler scales NodePool \"%s\": nothing will "
			"be launched for it",
			pool->name);

		warning_of(problems, &pool->origin, text);
	}
}

int documents_check(const struct documents *documents, struct problems *problems)
{
	size_t before = problems->errors;

	CHECK_NAMES(problems, "HorizontalPodAutoscaler", &documents->policies)
	CHECK_NAMES(problems, "NodePool", &documents->pools)
	CHECK_NAMES(problems, "EC2NodeClass", &documents->classes)
	for (size_t i = 0; i < documents->policies.count; i++)
		check_policy(documents, i, problems);
	vec_for_each (pool, &documents->pools)
		check_pool(documents, pool, problems);
	return problems->errors > before ? -EINVAL : 0;
}
