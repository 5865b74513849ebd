/* SPDX-License-Identifier: Apache-2.0 */
/* What only all documents together can say: references between them, and names taken twice. */
#include "base/map.h"
#include "documents/pods.h"
#include "documents/read.h"

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
#define CHECK_NAMES(problems, kind, list)                                             \
	do {                                                                          \
		struct map names = {0};                                               \
		vec_for_each (it, list) {                                             \
			__typeof__(it) first = map_get(&names, hash_text(it->name));  \
			if (first && str_equal(first->name, it->name))                \
				taken_twice(problems, kind, it->name, &first->origin, \
					    &it->origin);                             \
			else                                                          \
				map_put(&names, hash_text(it->name), it);             \
		}                                                                     \
		map_free(&names);                                                     \
	} while (0)

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

/* What one replica asks for is said by a pod among the documents. */
static void check_replica(const struct documents *documents, const struct policy *policy,
			  struct problems *problems)
{
	_cleanup_free_ const char **names = calloc(documents->pods.count + 1, sizeof(*names));

	for (size_t i = 0; i < documents->pods.count; i++) {
		names[i] = documents->pods.at[i]->name;
		if (str_equal(names[i], policy->replica))
			return;
	}
	if (policy->replica)
		no_such(problems, &policy->origin, policy->origin.line, policy->origin.column,
			"Pod, PodTemplate or workload", policy->replica, names,
			documents->pods.count);
}

/* Who scales which pool, so that thousands of policies are looked at once each. */
struct scaled {
	struct map pools; /* hash of the pool -> its first policy */
	struct map services; /* hash of pool and service -> their first policy */
};

static uint64_t hash_of_two(const char *first, const char *second)
{
	return hash_text(first) * 31 + hash_text(second);
}

/* The policy before it that this one may not share its pool with; NULL: it may. */
static const struct policy *rival_of(const struct scaled *scaled, const struct policy *policy)
{
	const struct policy *first = map_get(&scaled->pools, hash_text(policy->pool));

	if (!first || !policy->service_given || !first->service_given)
		return first;
	return map_get(&scaled->services, hash_of_two(policy->pool, policy->service));
}

static void note_scaled(struct scaled *scaled, struct policy *policy)
{
	if (!map_get(&scaled->pools, hash_text(policy->pool)))
		map_put(&scaled->pools, hash_text(policy->pool), policy);
	map_put(&scaled->services, hash_of_two(policy->pool, policy->service ?: policy->name),
		policy);
}

static void check_pool_of(const struct documents *documents, const struct policy *policy,
			  struct problems *problems)
{
	_cleanup_free_ const char **names = calloc(documents->pools.count + 1, sizeof(*names));

	for (size_t i = 0; i < documents->pools.count; i++)
		names[i] = documents->pools.at[i].name;
	no_such(problems, &policy->origin, policy->pool_line, policy->pool_column, "NodePool",
		policy->pool, names, documents->pools.count);
}

/* Two policies share a pool only when each says which service it scales. */
static void check_policy(struct policy *policy, struct scaled *scaled, struct problems *problems)
{
	const struct policy *rival = rival_of(scaled, policy);
	_cleanup_free_ char *text = NULL;

	note_scaled(scaled, policy);
	if (!rival)
		return;
	text = str_printf("NodePool \"%s\" is scaled by HorizontalPodAutoscaler \"%s\" already, "
			  "expected one for each%s",
			  policy->pool, rival->name,
			  policy->service_given || rival->service_given
				  ? ", or another forerun.dev/service at every one of them"
				  : "");
	problem_of(problems, &policy->origin, policy->pool_line, policy->pool_column, text);
}

static void check_policies(const struct documents *documents, struct problems *problems)
{
	struct scaled scaled = {0};
	struct map pools = {0};

	vec_for_each (pool, &documents->pools)
		map_put(&pools, hash_text(pool->name), pool);
	vec_for_each (policy, &documents->policies) {
		const struct pool *pool = map_get(&pools, hash_text(policy->pool));

		if (!pool || !str_equal(pool->name, policy->pool))
			check_pool_of(documents, policy, problems);
		check_policy(policy, &scaled, problems);
		check_replica(documents, policy, problems);
	}
	map_free(&pools);
	map_free(&scaled.pools);
	map_free(&scaled.services);
}

static void check_pool(const struct documents *documents, const struct pool *pool, bool used,
		       struct problems *problems)
{
	if (!documents_class(documents, pool->node_class)) {
		_cleanup_free_ const char **names =
			calloc(documents->classes.count + 1, sizeof(*names));

		for (size_t i = 0; i < documents->classes.count; i++)
			names[i] = documents->classes.at[i].name;
		no_such(problems, &pool->origin, pool->node_class_line, pool->node_class_column,
			"EC2NodeClass", pool->node_class, names, documents->classes.count);
	}
	/* A pool of fixed size stands by itself. */
	if (!used && pool->replicas < 0) {
		_cleanup_free_ char *text = str_printf(
			"no HorizontalPodAutoscaler scales NodePool \"%s\": nothing will "
			"be launched for it",
			pool->name);

		warning_of(problems, &pool->origin, text);
	}
}

/* Documents of Windows are right, and Karpenter launches them: here they end, at their class. */
static void check_windows(const struct node_class *node_class, const struct pool *pool,
			  struct problems *problems)
{
	_cleanup_free_ char *text = NULL;

	if (!node_class || node_class->family < AMI_WINDOWS2019)
		return;
	text = str_printf("not supported: images of family %s, which NodePool \"%s\" asks for: "
			  "forerun launches Linux only",
			  ami_family_text(node_class->family), pool->name);
	problem_of(problems, &node_class->origin, node_class->origin.line,
		   node_class->origin.column, text);
}

/* An Auto Scaling group has one number, and its members do not say whose they are: it is one
 * NodePool's and one policy's. */
static void check_group_policies(const struct documents *documents, const struct pool *pool,
				 struct problems *problems)
{
	const struct policy *first = NULL;

	vec_for_each (policy, &documents->policies) {
		_cleanup_free_ char *text = NULL;

		if (!str_equal(policy->pool, pool->name))
			continue;
		if (first) {
			text = str_printf(
				"NodePool \"%s\" is bought through an Auto Scaling group "
				"and is scaled by HorizontalPodAutoscaler \"%s\" already, "
				"expected one alone",
				pool->name, first->name);
			problem_of(problems, &policy->origin, policy->pool_line,
				   policy->pool_column, text);
		}
		first = first ?: policy;
	}
}

static void check_group(const struct documents *documents, const struct pool *pool,
			struct problems *problems)
{
	const char *beside = pool->warm.size	      ? "forerun.dev/warm-pool"
			     : pool->spot_share.given ? "forerun.dev/spot-share"
			     : pool->replicas >= 0    ? "spec.replicas"
						      : NULL;
	_cleanup_free_ char *text = NULL;

	if (!pool->auto_scaling_group)
		return;
	check_group_policies(documents, pool, problems);
	vec_for_each (other, &documents->pools) {
		if (other == pool)
			break;
		if (str_equal(other->auto_scaling_group, pool->auto_scaling_group))
			text = str_printf("Auto Scaling group \"%s\" is NodePool \"%s\"'s already, "
					  "expected one for each",
					  pool->auto_scaling_group, other->name);
	}
	if (!text && beside)
		text = str_printf("%s beside forerun.dev/auto-scaling-group: that is the group's "
				  "own business, expected one of the two",
				  beside);
	if (text)
		problem_of(problems, &pool->origin, pool->origin.line, pool->origin.column, text);
}

static void check_pools(const struct documents *documents, struct problems *problems)
{
	struct map used = {0};

	vec_for_each (policy, &documents->policies)
		map_put(&used, hash_text(policy->pool), policy);
	vec_for_each (pool, &documents->pools) {
		check_pool(documents, pool, map_get(&used, hash_text(pool->name)) != NULL,
			   problems);
		check_windows(documents_class(documents, pool->node_class), pool, problems);
		check_group(documents, pool, problems);
	}
	map_free(&used);
}

int documents_check(const struct documents *documents, struct problems *problems)
{
	size_t before = problems->errors;

	CHECK_NAMES(problems, "HorizontalPodAutoscaler", &documents->policies);
	CHECK_NAMES(problems, "NodePool", &documents->pools);
	CHECK_NAMES(problems, "EC2NodeClass", &documents->classes);
	check_policies(documents, problems);
	check_pools(documents, problems);
	return problems->errors > before ? -EINVAL : 0;
}
