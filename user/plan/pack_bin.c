/* SPDX-License-Identifier: Apache-2.0 */
/* What is on a node, and what the rules on hosts let onto it. */
#include "plan/pack.h"

bool class_adds(const struct pod_class *class, uint32_t counter)
{
	vec_for_each (it, &class->host_adds)
		if (*it == counter)
			return true;
	vec_for_each (it, &class->domain_adds)
		if (*it == counter)
			return true;
	return false;
}

uint32_t bin_counted(const struct bin *bin, uint32_t counter)
{
	vec_for_each (it, &bin->counts)
		if (it->counter == counter)
			return it->count;
	return 0;
}

void bin_count(struct planner *planner, struct bin *bin, uint32_t counter, uint32_t count)
{
	planner->counters.at[counter]->total += count;
	vec_for_each (it, &bin->counts)
		if (it->counter == counter) {
			it->count += count;
			return;
		}
	*vec_push(&bin->counts) = (struct host_count){counter, count};
}

static uint32_t rule_room(const struct planner *planner, const struct bin *bin,
			  const struct rule *rule, uint32_t most)
{
	uint32_t count = bin_counted(bin, rule->counter), skew = (uint32_t)rule->max_skew;

	switch (rule->kind) {
	case RULE_SPREAD:
		/* A new node can always be had, so the least that any has is none. */
		if (count + rule->self > skew)
			return 0;
		return rule->self ? MIN(most, skew - count) : most;
	case RULE_ANTI:
		if (count)
			return 0;
		return rule->self ? MIN(most, 1U) : most;
	case RULE_AFFINITY:
		if (count || (rule->self && !planner->counters.at[rule->counter]->total))
			return most;
		return 0;
	}
	return 0;
}

uint32_t bin_room(const struct planner *planner, const struct bin *bin,
		  const struct pod_class *class, uint32_t most)
{
	vec_for_each (rule, &class->hosts) {
		most = rule_room(planner, bin, rule, most);
		if (!most)
			return 0;
	}
	return most;
}

bool follows(const struct pod_class *class)
{
	vec_for_each (rule, &class->hosts)
		if (rule->kind == RULE_AFFINITY)
			return true;
	return false;
}

bool starts_company(const struct planner *planner, const struct bin *bin,
		    const struct pod_class *class)
{
	vec_for_each (rule, &class->hosts)
		if (rule->kind == RULE_AFFINITY && rule->self && !bin_counted(bin, rule->counter) &&
		    !planner->counters.at[rule->counter]->total)
			return true;
	return false;
}

void bin_add(struct planner *planner, struct bin *bin, struct binding *binding, uint32_t count)
{
	const struct pod_class *class = binding->class;
	struct slot *slot = NULL;

	for (size_t r = 0; r < planner->resources; r++)
		bin->load.of[r] += class->need.of[r] * count;
	bin->pods += count;
	vec_for_each (it, &class->host_adds)
		bin_count(planner, bin, *it, count);
	vec_for_each (it, &bin->slots)
		if (it->binding == binding)
			slot = it;
	if (!slot) {
		slot = vec_push(&bin->slots);
		slot->binding = binding;
	}
	slot->count += count;
}

void bin_remove(struct planner *planner, struct bin *bin, struct binding *binding, uint32_t count)
{
	const struct pod_class *class = binding->class;

	for (size_t r = 0; r < planner->resources; r++)
		bin->load.of[r] -= class->need.of[r] * count;
	bin->pods -= count;
	vec_for_each (it, &class->host_adds)
		bin_count(planner, bin, *it, -count);
	for (size_t i = 0; i < bin->slots.count; i++) {
		struct slot *slot = &bin->slots.at[i];

		if (slot->binding != binding)
			continue;
		slot->count -= count;
		if (!slot->count)
			vec_remove(&bin->slots, i);
		return;
	}
}

struct bin *bin_new(struct planner *planner, struct shape *shape)
{
	struct bin *bin = calloc(1, sizeof(*bin));

	if (!bin)
		abort();
	bin->shape = shape;
	bin->type = NO_TYPE;
	*vec_push(&planner->bins) = bin;
	return bin;
}

void bin_free(struct bin *bin)
{
	vec_free(&bin->slots);
	vec_free(&bin->counts);
	free(bin);
}

void bins_free(struct planner *planner)
{
	vec_for_each (it, &planner->bins)
		bin_free(*it);
	vec_free(&planner->bins);
	vec_for_each (it, &planner->existing) {
		vec_free(&(*it)->bound);
		free((*it)->name);
		free(*it);
	}
	vec_free(&planner->existing);
}

/* ---- nodes that exist ---- */

const char *existing_label(const struct planner *planner, const struct existing *existing,
			   const char *key, char *out, size_t size)
{
	const struct pool *pool =
		existing->pool == UINT32_MAX ? NULL : planner->pools[existing->pool].pool;

	if (existing->given.labels) {
		const char *value = key_values_get(existing->given.labels, key);

		if (value)
			return value;
	}
	if (strcmp(key, "kubernetes.io/hostname") == 0)
		return existing->name;
	if (existing->given.labels || !existing->given.offering)
		return NULL;
	return offering_label(existing->given.offering, pool, key, out, size);
}

static bool terms_hold(const struct planner *planner, const struct existing *existing,
		       const struct label_terms *terms)
{
	char text[128];

	vec_for_each (term, &terms->list)
		if (!label_term_matches(
			    term, existing_label(planner, existing, term->key, text, sizeof(text))))
			return false;
	return true;
}

static bool tolerated(const struct planner *planner, const struct existing *existing,
		      const struct pod_class *class)
{
	if (existing->given.taints) {
		vec_for_each (taint, &existing->given.taints->list)
			if (taint->effect != TAINT_PREFER_NO_SCHEDULE &&
			    !pod_tolerates(class->pod, taint))
				return false;
		return true;
	}
	return existing->pool == UINT32_MAX ||
	       pool_tolerated(planner->pools[existing->pool].pool, class->pod, false);
}

bool existing_takes(const struct planner *planner, const struct existing *existing,
		    const struct pod_class *class)
{
	const struct pod_template *pod = class->pod;
	char text[128];
	bool any = !pod->node_required.count;

	if (!tolerated(planner, existing, class))
		return false;
	vec_for_each (label, &pod->node_selector.list)
		if (!str_equal(label->value,
			       existing_label(planner, existing, label->key, text, sizeof(text))))
			return false;
	vec_for_each (term, &pod->node_required)
		any = any || terms_hold(planner, existing, &term->labels);
	return any;
}

bool binding_on_existing(const struct planner *planner, const struct existing *existing,
			 const struct binding *binding)
{
	char text[128];

	for (size_t i = 0; i < binding->domains_count; i++) {
		const struct topology_key *key = &planner->keys.at[binding->keys[i]];

		if (!str_equal(key->values.at[binding->domains[i]],
			       existing_label(planner, existing, key->name, text, sizeof(text))))
			return false;
	}
	return existing_takes(planner, existing, binding->class);
}
