/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each pod that a wider topology matters to is bound to a domain before anything is packed, one
 * after the other, so that every rule holds at the moment when the pod is bound. What is packed
 * then has rules on hosts alone.
 */
#include <math.h>

#include "plan/pack.h"

static size_t key_of_rule(const struct binder *binder, const struct rule *rule)
{
	uint32_t key = binder->planner->counters.at[rule->counter]->key;
	size_t k = 0;

	while (k < binder->keys_count && binder->keys[k] != key)
		k++;
	return k;
}

/* The least count of the domains that take part; with fewer of them than minDomains it is none. */
static uint32_t least_count(const struct binder *binder, const struct rule *rule)
{
	const struct counter *counter = binder->planner->counters.at[rule->counter];
	size_t k = key_of_rule(binder, rule);
	uint32_t least = UINT32_MAX;
	int32_t domains = 0;

	for (uint32_t d = 0; d < binder->planner->keys.at[counter->key].values.count; d++)
		if (binder->eligible[k][d]) {
			domains++;
			least = MIN(least, count_in(counter, d));
		}
	return domains < rule->min_domains || least == UINT32_MAX ? 0 : least;
}

static bool rule_lets(const struct binder *binder, size_t index, const struct spot *spot)
{
	const struct rule *rule = &binder->class->domains.at[index];
	const struct counter *counter = binder->planner->counters.at[rule->counter];
	size_t k = key_of_rule(binder, rule);
	uint32_t count;

	if (k == binder->keys_count)
		return true;
	count = count_in(counter, spot->domains[k]);
	switch (rule->kind) {
	case RULE_SPREAD:
		return count + rule->self <= binder->least[index] + (uint32_t)rule->max_skew;
	case RULE_ANTI:
		return count == 0;
	case RULE_AFFINITY:
		return count || (rule->self && !counter->total);
	}
	return false;
}

static bool all_let(const struct binder *binder, const struct spot *spot)
{
	for (size_t i = 0; i < binder->class->domains.count; i++)
		if (!rule_lets(binder, i, spot))
			return false;
	return true;
}

/* Where the class has no rule of its own, it keeps even what others count. */
static double crowd(const struct binder *binder, const struct spot *spot)
{
	double count = 0;

	vec_for_each (it, &binder->class->domain_adds) {
		const struct counter *counter = binder->planner->counters.at[*it];

		for (size_t k = 0; k < binder->keys_count; k++)
			if (binder->keys[k] == counter->key && counter->spread)
				count += count_in(counter, spot->domains[k]);
	}
	return count;
}

static bool is_preferred(const struct spot *a, double a_crowd, const struct spot *b, double b_crowd)
{
	if (a->lost != b->lost)
		return a->lost < b->lost;
	return a_crowd != b_crowd ? a_crowd < b_crowd : a->usd < b->usd;
}

/* The cheapest spot that the rules let; one where only a node that is there could take it counts as
 * cheap: it costs nothing, if there is room. */
static struct spot *choose(struct binder *binder)
{
	struct spot *best = NULL;
	double least = INFINITY;

	for (size_t i = 0; i < binder->class->domains.count; i++)
		if (binder->class->domains.at[i].kind == RULE_SPREAD)
			binder->least[i] = least_count(binder, &binder->class->domains.at[i]);
	vec_for_each (spot, &binder->spots) {
		double score = binder->class->domains.count ? 0 : crowd(binder, spot);

		if (spot->bound >= spot->most ||
		    (best && !is_preferred(spot, score, best, least)) || !all_let(binder, spot))
			continue;
		best = spot;
		least = score;
	}
	return best;
}

static void existing_domains(const struct binder *binder, const struct existing *existing,
			     struct spot *out)
{
	char text[128];

	for (size_t k = 0; k < binder->keys_count; k++) {
		struct topology_key *key = &binder->planner->keys.at[binder->keys[k]];
		const char *value =
			existing_label(binder->planner, existing, key->name, text, sizeof(text));

		out->domains[k] = value ? domain_of(key, value, true) : UINT32_MAX;
	}
}

/* ---- items ---- */

static struct binding *binding_of(struct binder *binder, const struct spot *spot)
{
	struct planner *planner = binder->planner;
	struct binding *binding;

	vec_for_each (it, &binder->class->bindings)
		if ((*it)->alternative == spot->alternative &&
		    (*it)->domains_count == binder->keys_count &&
		    memcmp((*it)->keys, binder->keys, binder->keys_count * sizeof(uint32_t)) == 0 &&
		    memcmp((*it)->domains, spot->domains, binder->keys_count * sizeof(uint32_t)) ==
			    0)
			return *it;
	binding = calloc(1, sizeof(*binding));
	if (!binding)
		abort();
	*vec_push(&binder->class->bindings) = binding;
	binding->class = binder->class;
	binding->alternative = spot->alternative;
	binding->domains_count = binder->keys_count;
	memcpy(binding->keys, binder->keys, sizeof(binding->keys));
	memcpy(binding->domains, spot->domains, sizeof(binding->domains));
	binding->shapes = calloc(planner->pools_count + 1, sizeof(struct shape *));
	if (!binding->shapes)
		abort();
	for (size_t p = 0; p < planner->pools_count && spot->alternative != UINT32_MAX; p++)
		binding->shapes[p] = spot_shape(binder, spot, p);
	return binding;
}

static struct item *item_of(struct binder *binder, struct spot *spot)
{
	struct planner *planner = binder->planner;
	struct item *item;

	if (spot->item != SIZE_MAX)
		return &planner->items.at[spot->item];
	spot->item = planner->items.count;
	item = vec_push(&planner->items);
	item->class = binder->class;
	item->binding = binding_of(binder, spot);
	return item;
}

void count_binding(struct planner *planner, const struct binding *binding, int32_t count)
{
	vec_for_each (it, &binding->class->domain_adds) {
		struct counter *counter = planner->counters.at[*it];

		for (size_t i = 0; i < binding->domains_count; i++)
			if (binding->keys[i] == counter->key && binding->domains[i] != UINT32_MAX)
				count_add(counter, binding->domains[i], (uint32_t)count);
	}
}

void unbind(struct planner *planner, struct item *item)
{
	count_binding(planner, item->binding, -(int32_t)item->count);
	item->class->taken -= item->count;
	item->count = 0;
}

static void bind_pods(struct binder *binder)
{
	struct pod_class *class = binder->class;
	struct spot *spot;

	while (class->taken < class->pods.count && (spot = choose(binder))) {
		struct item *item = item_of(binder, spot);
		/* Without topologies the choice is the same for all. */
		uint32_t count = binder->keys_count
					 ? 1
					 : MIN((uint32_t)(class->pods.count - class->taken),
					       spot->most - spot->bound);

		spot->bound += count;
		item->count += count;
		item->bound += count;
		class->taken += count;
		count_binding(binder->planner, item->binding, (int32_t)count);
	}
}

struct binding *binder_choose(struct binder *binder)
{
	struct spot *spot = choose(binder);

	return spot ? binding_of(binder, spot) : NULL;
}

bool binder_lets(struct binder *binder, const struct existing *existing)
{
	struct spot spot = {.alternative = UINT32_MAX};

	if (!binder->keys_count)
		return true;
	existing_domains(binder, existing, &spot);
	for (size_t i = 0; i < binder->class->domains.count; i++) {
		const struct rule *rule = &binder->class->domains.at[i];

		if (rule->kind == RULE_SPREAD)
			binder->least[i] = least_count(binder, rule);
		if (spot.domains[key_of_rule(binder, rule)] == UINT32_MAX)
			return false;
	}
	return all_let(binder, &spot);
}

/* Whether any was bound. */
static bool bind_class(struct planner *planner, struct pod_class *class)
{
	struct binder binder;
	size_t before = class->taken;

	if (class->taken == class->pods.count || class->impossible)
		return false;
	binder_start(&binder, planner, class);
	bind_pods(&binder);
	if (class->taken > before)
		binder_doubt(&binder);
	binder_end(&binder);
	return class->taken > before;
}

static bool has_kind(const struct pod_class *class, enum rule_kind kind)
{
	vec_for_each (rule, &class->domains)
		if (rule->kind == kind && !rule->owners)
			return true;
	return false;
}

/* Who keeps others away comes first, then who spreads, then who only counts for others, and who
 * follows others last, until nobody finds anyone to follow. */
void bind_classes(struct planner *planner)
{
	bool more = true;

	vec_for_each (class, &planner->classes)
		if (has_kind(*class, RULE_ANTI) && !has_kind(*class, RULE_AFFINITY))
			bind_class(planner, *class);
	vec_for_each (class, &planner->classes)
		if (has_kind(*class, RULE_SPREAD) && !has_kind(*class, RULE_AFFINITY))
			bind_class(planner, *class);
	vec_for_each (class, &planner->classes)
		if (!has_kind(*class, RULE_AFFINITY))
			bind_class(planner, *class);
	while (more) {
		more = false;
		vec_for_each (class, &planner->classes)
			more |= bind_class(planner, *class);
	}
}

struct binding *binding_at(struct planner *planner, struct pod_class *class,
			   const struct existing *existing)
{
	struct binder binder = {.planner = planner, .class = class};
	struct spot spot = {.alternative = UINT32_MAX};

	vec_for_each (rule, &class->domains)
		binder_key(&binder, rule->counter);
	vec_for_each (it, &class->domain_adds)
		binder_key(&binder, *it);
	existing_domains(&binder, existing, &spot);
	return binding_of(&binder, &spot);
}

#define ONE_BY_ONE 20 /* starts */

/* Fewer and fewer the longer it takes, so that it ends. */
static uint32_t room_found(const struct item *item, int starts)
{
	uint32_t found = item->bound - item->count;

	return starts < ONE_BY_ONE + 8 ? found : starts < ONE_BY_ONE + 16 ? found / 2 : 0;
}

/* One class at a time for a while: what it gives up may be room for the others. */
bool note_filled(struct planner *planner, int starts)
{
	const struct pod_class *noted = NULL;

	vec_for_each (item, &planner->items) {
		struct pod_class *class = item->class;
		struct filled *filled = NULL;

		if (!item->count || has_kind(class, RULE_AFFINITY) ||
		    (!item->binding->domains_count && class->alternatives < 2) ||
		    (starts < ONE_BY_ONE && noted && class != noted))
			continue;
		vec_for_each (it, &class->filled)
			if (it->binding == item->binding)
				filled = it;
		if (!filled) {
			filled = vec_push(&class->filled);
			*filled = (struct filled){item->binding, UINT32_MAX};
		}
		filled->most = MIN(filled->most, room_found(item, starts));
		noted = class;
	}
	return noted != NULL;
}
