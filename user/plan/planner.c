/* SPDX-License-Identifier: Apache-2.0 */
/* The planner's door: what is added, and the order in which a plan is made. */
#include <math.h>

#include "plan/pack.h"

void planner_config_default(struct planner_config *config)
{
	*config = (struct planner_config){
		.vm_memory_overhead_percent = 0.075, .loss_weight = 0.02, .start_weight = 0.02};
}

int planner_new(const struct planner_config *config, const struct documents *documents,
		const struct catalog *catalog, struct planner **out)
{
	struct planner *planner = calloc(1, sizeof(*planner));
	int r;

	if (!planner)
		return -ENOMEM;
	planner->config = *config;
	planner->documents = documents;
	planner->catalog = catalog;
	r = table_build(planner);
	if (r < 0) {
		planner_free(planner);
		return r;
	}
	*out = planner;
	return 0;
}

void planner_free(struct planner *planner)
{
	if (!planner)
		return;
	view_clear(planner);
	vec_free(&planner->items);
	bins_free(planner);
	pod_classes_free(planner);
	rules_free(planner);
	shapes_free(planner);
	table_free(planner);
	vec_free(&planner->daemons);
	vec_free(&planner->doubts);
	free(planner);
}

/* ---- nodes that exist ---- */

static uint32_t pool_of_name(const struct planner *planner, const char *name)
{
	for (uint32_t p = 0; name && p < planner->pools_count; p++)
		if (strcmp(planner->pools[p].pool->name, name) == 0)
			return p;
	return UINT32_MAX;
}

static void free_of(const struct planner *planner, struct existing *existing)
{
	const struct plan_existing *given = &existing->given;
	const struct catalog *catalog = planner->catalog;
	struct node_capacity capacity = {0};
	size_t type = given->offering && given->offering->type
			      ? (size_t)(given->offering->type - catalog->types)
			      : SIZE_MAX;

	if (given->allocatable) {
		amounts_of(planner, given->allocatable, &existing->free);
	} else if (type != SIZE_MAX) {
		node_capacity(given->offering->type,
			      existing->pool == UINT32_MAX
				      ? NULL
				      : planner->pools[existing->pool].node_class,
			      planner->config.vm_memory_overhead_percent, &capacity);
		amounts_of(planner, &capacity.allocatable, &existing->free);
		node_capacity_free(&capacity);
	}
}

/* Nodes that exist count towards the limits of their pool by what they have. */
static void use_limit(struct planner *planner, const struct existing *existing)
{
	const struct plan_existing *given = &existing->given;
	struct pool_table *pool;
	struct amounts has = existing->free;

	if (existing->pool == UINT32_MAX)
		return;
	pool = &planner->pools[existing->pool];
	if (given->capacity) {
		amounts_of(planner, given->capacity, &has);
	} else if (given->offering && given->offering->type) {
		struct node_capacity capacity = {0};

		node_capacity(given->offering->type, pool->node_class,
			      planner->config.vm_memory_overhead_percent, &capacity);
		amounts_of(planner, &capacity.capacity, &has);
		node_capacity_free(&capacity);
	}
	pool->nodes_used++;
	for (size_t r = 0; r < planner->resources; r++)
		pool->used.of[r] += has.of[r];
}

int planner_add_existing(struct planner *planner, const struct plan_existing *node)
{
	struct existing *existing = calloc(1, sizeof(*existing));
	struct bin *bin = calloc(1, sizeof(*bin));

	if (!existing || !bin) {
		free(existing);
		free(bin);
		return -ENOMEM;
	}
	existing->given = *node;
	existing->name = strdup(node->name);
	existing->given.name = existing->name;
	existing->pool = pool_of_name(planner, node->pool);
	free_of(planner, existing);
	use_limit(planner, existing);
	bin->existing = existing;
	existing->bin = bin;
	existing->index = (uint32_t)planner->existing.count;
	bin->type = NO_TYPE;
	bin->usd = node->usd_per_hour;
	*vec_push(&planner->existing) = existing;
	*vec_push(&planner->bins) = bin;
	return 0;
}

static struct bin *bin_of_name(const struct planner *planner, const char *name)
{
	vec_for_each (it, &planner->bins)
		if ((*it)->existing && strcmp((*it)->existing->name, name) == 0)
			return *it;
	return NULL;
}

/* ---- pods ---- */

static int add_bound(struct planner *planner, const struct pod_template *pods)
{
	struct bin *bin = bin_of_name(planner, pods->node_name);
	struct pod_class *class = NULL;
	struct binding *binding;
	int r;

	if (!bin)
		return -ENOENT;
	r = class_of(planner, pods, 0, &class);
	if (r < 0)
		return r;
	binding = binding_at(planner, class, bin->existing);
	for (uint32_t i = 0; i < pods->replicas; i++)
		*vec_push(&((struct existing *)bin->existing)->bound) = (struct plan_pod){pods, i};
	bin_add(planner, bin, binding, pods->replicas);
	vec_for_each (slot, &bin->slots)
		if (slot->binding == binding)
			slot->bound += pods->replicas;
	if (pods->of_daemon_set)
		for (size_t i = 0; i < planner->resources; i++)
			((struct existing *)bin->existing)->there.of[i] +=
				class->need.of[i] * pods->replicas;
	count_domains(planner, class, bin->existing, pods->replicas);
	return 0;
}

int planner_add_pods(struct planner *planner, const struct pod_template *pods)
{
	struct pod_class *class = NULL;
	int r;

	if (pods->source == POD_TEMPLATE)
		return 0;
	if (pods->source == POD_DAEMON) {
		*vec_push(&planner->daemons) = pods;
		return 0;
	}
	if (pods->node_name)
		return add_bound(planner, pods);
	table_daemons(planner);
	r = class_of(planner, pods,
		     planner->config.ignore_preferences ? relaxations(planner, pods) : 0, &class);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < pods->replicas; i++)
		*vec_push(&class->pods) = (struct plan_pod){pods, i};
	return 0;
}

/* ---- the plan ---- */

static void drop_items(struct planner *planner)
{
	vec_for_each (item, &planner->items)
		unbind(planner, item);
	vec_clear(&planner->items);
	sizes_free(planner);
}

/* What found no place gives up one wish more. Whether any had one. */
static bool relax(struct planner *planner)
{
	size_t count = planner->classes.count;
	bool any = false;

	for (size_t i = 0; i < count; i++) {
		struct pod_class *class = planner->classes.at[i], *next = NULL;

		if (class->taken == class->pods.count ||
		    class->relaxed >= relaxations(planner, class->pod) ||
		    class_of(planner, class->pod, class->relaxed + 1, &next) < 0)
			continue;
		any = true;
		while (class->pods.count > class->taken)
			*vec_push(&next->pods) = class->pods.at[--class->pods.count];
	}
	return any;
}

#define FEW_PODS 16 /* that are added to a plan without a look at all of it */

/* Whether a domain was found to have less room than was thought, or to count where it was thought
 * not to: then all has to be planned again. */
static bool plan_round(struct planner *planner, int starts)
{
	bool again;

	planner->waiting = 0;
	vec_for_each (class, &planner->classes)
		planner->waiting += (*class)->pods.count - (*class)->taken;
	bind_classes(planner);
	if (planner->bins.count > planner->existing.count && planner->waiting <= FEW_PODS) {
		grow_nodes(planner);
	} else {
		sizes_make(planner);
		price_resources(planner);
		fill_standing(planner);
		place_items(planner);
	}
	again = note_filled(planner, starts);
	again |= note_stood(planner);
	drop_items(planner);
	return again;
}

/* Takes what is planned off the bin; what ran there before stays. */
static void clear_bin(struct planner *planner, struct bin *bin)
{
	for (size_t i = bin->slots.count; i-- > 0;) {
		struct slot slot = bin->slots.at[i];
		uint32_t planned = slot.count - slot.bound;

		if (!planned)
			continue;
		slot.binding->class->taken -= planned;
		bin_remove(planner, bin, slot.binding, planned);
	}
}

/* Domains count what stands on nodes that exist. */
static void count_anew(struct planner *planner)
{
	vec_for_each (it, &planner->counters) {
		if (planner->keys.at[(*it)->key].kind == KEY_HOST)
			continue;
		vec_clear(&(*it)->counts);
		(*it)->total = 0;
	}
	vec_for_each (it, &planner->bins)
		vec_for_each (slot, &(*it)->slots)
			count_domains(planner, slot->binding->class, (*it)->existing, slot->count);
}

static void start_anew(struct planner *planner)
{
	size_t kept = 0;

	vec_for_each (it, &planner->bins) {
		clear_bin(planner, *it);
		if ((*it)->existing) {
			planner->bins.at[kept++] = *it;
			continue;
		}
		bin_release(planner, *it);
		bin_free(*it);
	}
	planner->bins.count = kept;
	vec_for_each (class, &planner->classes)
		(*class)->doubted = false;
	vec_clear(&planner->doubts);
	count_anew(planner);
}

#define STARTS_MAX 48

int planner_solve(struct planner *planner)
{
	int starts = 0;

	planner->viewed = false; /* cleared when there is a new one: a pod more shall be quick */
	table_daemons(planner);
	for (;;) {
		if (plan_round(planner, starts) && starts++ < STARTS_MAX)
			start_anew(planner);
		else if (!relax(planner))
			return 0;
	}
}

void planner_view(struct planner *planner, struct plan_view *out)
{
	if (!planner->viewed)
		view_build(planner);
	*out = (struct plan_view){
		.nodes = (const struct plan_node *const *)planner->nodes.at,
		.nodes_count = planner->nodes.count,
		.failures = planner->failures.at,
		.failures_count = planner->failures.count,
		.usd_per_hour = planner->usd,
	};
}
