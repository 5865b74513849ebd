/* SPDX-License-Identifier: Apache-2.0 */
/* A plan as a person reads it: like nodes in one line, what they may become, why not the cheaper
 * ones, and what has no place. */
#include <math.h>

#include "base/map.h"
#include "cmd/plan.h"

#define TYPES_SHOWN 3
#define FAILURES_SHOWN 20
#define GROUPS_SHOWN 40
#define LEFT_OUT_SHOWN 2

/* Nodes of one pool with the same cheapest type and the same number of types. */
struct group {
	const struct plan_node *first;
	const struct plan_node *fullest;
	size_t nodes, pods;
	bool zones; /* in more than one */
	double usd;
};

struct groups {
	VEC(struct group) list;
};

static const struct offering *cheapest_of(const struct plan_node *node)
{
	return node->offerings.count ? node->offerings.at[0] : NULL;
}

static bool is_alike(const struct plan_node *a, const struct plan_node *b)
{
	const struct offering *x = cheapest_of(a), *y = cheapest_of(b);

	return a->pool == b->pool && a->types == b->types && x && y && x->type == y->type &&
	       x->capacity_type == y->capacity_type;
}

static uint64_t hash_of(const struct plan_node *node)
{
	const struct offering *cheapest = cheapest_of(node);
	uint64_t parts[4] = {(uintptr_t)node->pool, node->types,
			     cheapest ? (uintptr_t)cheapest->type : 0,
			     cheapest ? (uint64_t)cheapest->capacity_type : 0};

	return hash_bytes(parts, sizeof(parts));
}

static void add_to_groups(struct groups *groups, struct map *by_hash, const struct plan_node *node)
{
	uint64_t hash = hash_of(node);
	uintptr_t at = (uintptr_t)map_get(by_hash, hash);
	struct group *group = at ? &groups->list.at[at - 1] : NULL;

	if (!group || !is_alike(group->first, node)) {
		group = vec_push(&groups->list);
		group->first = group->fullest = node;
		map_put(by_hash, hash, (void *)(uintptr_t)groups->list.count);
	}
	if (cheapest_of(node) &&
	    strcmp(cheapest_of(node)->zone, cheapest_of(group->first)->zone) != 0)
		group->zones = true;
	group->nodes++;
	group->pods += node->pods.count;
	group->usd += node->usd_per_hour;
	if (node->pods.count > group->fullest->pods.count)
		group->fullest = node;
}

static int by_usd(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	if (x->usd != y->usd)
		return x->usd > y->usd ? -1 : 1;
	return strcmp(x->first->pool->name, y->first->pool->name);
}

static void collect(const struct plan_view *view, struct groups *groups)
{
	struct map by_hash = {0};

	for (size_t i = 0; i < view->nodes_count; i++)
		if (!view->nodes[i]->existing)
			add_to_groups(groups, &by_hash, view->nodes[i]);
	map_free(&by_hash);
	if (groups->list.count)
		qsort(groups->list.at, groups->list.count, sizeof(*groups->list.at), by_usd);
}

/* ---- one group ---- */

static void put_types(const struct plan_node *node, FILE *out)
{
	char shown[TYPES_SHOWN][sizeof(((struct offering *)0)->instance_type)];
	size_t count = 0;

	for (size_t i = 0; i < node->offerings.count && count < TYPES_SHOWN; i++) {
		const char *type = node->offerings.at[i]->instance_type;
		bool seen = false;

		for (size_t j = 0; j < count; j++)
			seen |= strcmp(shown[j], type) == 0;
		if (seen)
			continue;
		fprintf(out, "%s%s", count ? ", " : "", type);
		snprintf(shown[count++], sizeof(shown[0]), "%s", type);
	}
	if (node->types > count)
		fprintf(out, " and %zu more", node->types - count);
}

static double amount_of(const struct resources *resources, const char *name)
{
	vec_for_each (it, &resources->list)
		if (strcmp(it->name, name) == 0)
			return it->amount;
	return 0;
}

static void put_amount(FILE *out, const char *name, double amount)
{
	if (strcmp(name, "memory") == 0 || strcmp(name, "ephemeral-storage") == 0)
		fprintf(out, "%.1f GiB of %s", amount / (1024.0 * 1024 * 1024), name);
	else
		fprintf(out, "%.4g %s", amount, name);
}

/* What of the node's load the type cannot carry; false: it could. */
static bool put_lack(const struct plan_node *node, const struct instance_type *type, FILE *out)
{
	struct planner_config config;
	struct node_capacity capacity = {0};
	bool lacks = false;

	planner_config_default(&config);
	node_capacity(type, node->node_class, config.vm_memory_overhead_percent, &capacity);
	vec_for_each (it, &node->requests.list) {
		double has = amount_of(&capacity.allocatable, it->name);

		if (it->amount <= has * (1 + 1e-12))
			continue;
		fprintf(out, "%s gives ", type->name);
		put_amount(out, it->name, has);
		fputs(", asked for are ", out);
		put_amount(out, it->name, it->amount);
		lacks = true;
		break;
	}
	node_capacity_free(&capacity);
	return lacks;
}

/* The dearest offering of the pool below the price, of another type than the last. */
static const struct offering *next_below(const struct catalog *catalog, const struct pool *pool,
					 double usd, const char *last)
{
	const struct offering *next = NULL;

	for (size_t i = 0; i < catalog->count; i++) {
		const struct offering *it = &catalog->offerings[i];

		if (it->type && it->usd_per_hour < usd &&
		    (!next || it->usd_per_hour > next->usd_per_hour) &&
		    strcmp(it->instance_type, last) != 0 && offering_matches(it, pool))
			next = it;
	}
	return next;
}

/* What is a little cheaper, and what rules it out. */
static void put_left_out(const struct catalog *catalog, const struct plan_node *node, FILE *out)
{
	const char *last = "";
	double usd = node->usd_per_hour;

	for (size_t shown = 0; shown < LEFT_OUT_SHOWN; shown++) {
		const struct offering *next = next_below(catalog, node->pool, usd, last);

		if (!next) {
			if (shown)
				fputc('\n', out);
			return;
		}
		fprintf(out, "%s%.4f ",
			shown ? "; " : "       why not cheaper: ", next->usd_per_hour);
		if (!put_lack(node, next->type, out))
			fprintf(out, "%s in %s: what its pods ask of nodes or of each other",
				next->instance_type, next->zone);
		last = next->instance_type;
		usd = next->usd_per_hour;
	}
	fputc('\n', out);
}

static void put_group(const struct catalog *catalog, const struct group *group, FILE *out)
{
	const struct plan_node *node = group->first;
	const struct offering *cheapest = node->offerings.count ? node->offerings.at[0] : NULL;

	fprintf(out, "%5zu  %-16s %6zu  %10.4f  ", group->nodes, node->pool->name, group->pods,
		group->usd);
	if (cheapest)
		fprintf(out, "%-16s %-10s %-13s ", cheapest->instance_type,
			capacity_type_text(cheapest->capacity_type),
			group->zones ? "several zones" : cheapest->zone);
	put_types(node, out);
	fputc('\n', out);
	put_left_out(catalog, group->fullest, out);
}

/* ---- the whole ---- */

static void put_failures(const struct plan_view *view, FILE *out)
{
	size_t lines = 0;

	for (size_t i = 0; i < view->failures_count;) {
		const struct plan_failure *failure = &view->failures[i];
		_cleanup_text_ struct text name = {0};
		size_t same = 1;

		while (i + same < view->failures_count &&
		       view->failures[i + same].pod.template_ == failure->pod.template_)
			same++;
		plan_pod_name(&failure->pod, &name);
		if (lines++ == FAILURES_SHOWN) {
			fprintf(out, "and %zu more pods without a place; --output json lists all\n",
				view->failures_count - i);
			return;
		}
		fprintf(out, "no place: %s", name.data);
		if (same > 1)
			fprintf(out, " and %zu more of it", same - 1);
		fprintf(out, ": %s\n", failure->why);
		i += same;
	}
}

static void put_existing(const struct plan_view *view, FILE *out)
{
	size_t nodes = 0, pods = 0;

	for (size_t i = 0; i < view->nodes_count; i++)
		if (view->nodes[i]->existing && view->nodes[i]->new_pods) {
			nodes++;
			pods += view->nodes[i]->new_pods;
		}
	if (nodes)
		fprintf(out, "%zu pods go onto %zu nodes that exist\n", pods, nodes);
}

/* What one lost node takes with it. */
static void put_risk(const struct plan_view *view, FILE *out)
{
	size_t most = 0, pods = 0;

	for (size_t i = 0; i < view->nodes_count; i++) {
		pods += view->nodes[i]->pods.count;
		most = MAX(most, view->nodes[i]->pods.count);
	}
	if (pods)
		fprintf(out, "the fullest node has %zu of the %zu pods: %.0f %% go with it\n", most,
			pods, 100.0 * (double)most / (double)pods);
}

static void put_source(const struct catalog *catalog, FILE *out)
{
	char when[TIME_TEXT_SIZE];

	time_format(catalog->fetched_wall_ns, when);
	fprintf(out, "prices: %s, %s of %.10s%s\n", catalog->region,
		catalog->snapshot ? "the snapshot that forerun ships," : "fetched", when,
		catalog->snapshot ? "; --refresh fetches those of your account" : "");
}

void plan_print_table(const struct plan_input *input, const struct plan_view *view, double seconds,
		      FILE *out)
{
	struct groups groups = {0};
	size_t placed = 0, nodes = 0, shown = 0;

	collect(view, &groups);
	for (size_t i = 0; i < view->nodes_count; i++) {
		placed += view->nodes[i]->new_pods;
		nodes += !view->nodes[i]->existing;
	}
	put_existing(view, out);
	if (groups.list.count)
		fprintf(out, "%5s  %-16s %6s  %10s  %-16s %-10s %-13s %s\n", "NODES", "POOL",
			"PODS", "USD/HOUR", "CHEAPEST", "", "", "MAY BE");
	vec_for_each (group, &groups.list) {
		if (shown++ == GROUPS_SHOWN) {
			fprintf(out, "and %zu more lines; --output json lists every node\n",
				groups.list.count - GROUPS_SHOWN);
			break;
		}
		put_group(input->catalog, group, out);
	}
	put_failures(view, out);
	fprintf(out, "%zu of %zu pods, %zu new node%s, %.4f USD an hour, planned in %.1f ms\n",
		placed, placed + view->failures_count, nodes, nodes == 1 ? "" : "s",
		view->usd_per_hour, seconds * 1000);
	put_risk(view, out);
	put_source(input->catalog, out);
	vec_free(&groups.list);
}
