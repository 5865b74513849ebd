/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Topologies wider than a host (zones, capacity types, any label of types): each pod that they
 * matter to is bound to a domain before anything is packed, one after the other, so that every rule
 * holds at the moment when the pod is bound. What is packed then has rules on hosts alone.
 */
#include <math.h>

#include "plan/pack.h"

/* ---- domains ---- */

static uint32_t domain_of(struct topology_key *key, const char *value, bool add)
{
	for (uint32_t i = 0; i < key->values.count; i++)
		if (strcmp(key->values.at[i], value) == 0)
			return i;
	if (!add)
		return UINT32_MAX;
	*vec_push(&key->values) = strdup(value);
	return (uint32_t)key->values.count - 1;
}

static void domains_of_types(struct planner *planner, struct topology_key *key)
{
	for (size_t p = 0; p < planner->pools_count; p++)
		for (size_t i = 0; i < planner->catalog->count; i++) {
			const struct offering *offering = &planner->catalog->offerings[i];
			const struct pool_table *pool = &planner->pools[p];
			char text[128];
			const char *value;

			if (!offering->type ||
			    !types_has(pool->types,
				       (size_t)(offering->type - planner->catalog->types)))
				continue;
			value = offering_label(offering, pool->pool, key->name, text, sizeof(text));
			if (value)
				domain_of(key, value, true);
		}
}

void key_domains(struct planner *planner, struct topology_key *key)
{
	char text[128];

	if (key->kind == KEY_ZONE)
		for (size_t z = 0; z < planner->zones_count; z++)
			domain_of(key, planner->zones[z], true);
	else if (key->kind == KEY_CAPACITY_TYPE)
		for (unsigned c = 0; c < CAPACITY_TYPES; c++)
			domain_of(key, capacity_type_text((enum capacity_type)c), true);
	else if (key->kind == KEY_OF_TYPE)
		domains_of_types(planner, key);
	if (key->kind != KEY_HOST)
		vec_for_each (it, &planner->existing) {
			const char *value =
				existing_label(planner, *it, key->name, text, sizeof(text));

			if (value)
				domain_of(key, value, true);
		}
}

static struct shape *domain_shape(struct planner *planner, const struct shape *shape,
				  const struct topology_key *key, uint32_t domain)
{
	_cleanup_free_ uint64_t *types = malloc((planner->words + 1) * sizeof(*types));
	uint64_t zones = shape->zones;
	uint32_t capacity_types = shape->capacity_types;
	struct label_term term = {
		.key = key->name, .op = LABEL_IN, .values = &key->values.at[domain], .count = 1};

	if (!types)
		abort();
	memcpy(types, shape->types, planner->words * sizeof(*types));
	if (!narrow_by_term(planner, &planner->pools[shape->pool], &term, &zones, &capacity_types,
			    types))
		return NULL;
	return shape_intern(planner, shape->pool, zones, capacity_types, types);
}

/* ---- one class ---- */

/* What binding a class needs to know of one topology. */
struct choice {
	uint32_t key;
	size_t domains;
	bool *possible; /* the class itself could run there */
	double *usd; /* of a pod of it there, at the best fit */
};

struct binder {
	struct planner *planner;
	struct pod_class *class;
	struct choice choices[KEYS_MAX];
	size_t count;
	uint32_t chosen[KEYS_MAX];
	size_t first_item; /* of the class */
};

static void note_key(struct binder *binder, uint32_t counter)
{
	uint32_t key = binder->planner->counters.at[counter]->key;

	for (size_t i = 0; i < binder->count; i++)
		if (binder->choices[i].key == key)
			return;
	if (binder->count < KEYS_MAX)
		binder->choices[binder->count++].key = key;
}

/* The least that one pod of the class costs in the shape, of a node that is full of it. */
static double usd_of_pod(struct planner *planner, const struct pod_class *class,
			 struct shape *shape)
{
	const struct pool_table *pool = &planner->pools[shape->pool];
	double best = INFINITY;

	shape_front(planner, shape);
	for (size_t i = 0; i < shape->front_count; i++) {
		double pods = INFINITY;

		for (size_t r = 0; r < planner->resources; r++)
			if (class->need.of[r])
				pods = fmin(pods,
					    floor((double)pool->free[shape->front[i].type].of[r] /
						  (double)class->need.of[r]));
		if (pods >= 1)
			best = fmin(best, shape->front[i].usd / pods);
	}
	return best;
}

static bool stands_in(const struct planner *planner, const struct existing *existing,
		      const struct topology_key *key, uint32_t domain)
{
	char text[128];

	return str_equal(existing_label(planner, existing, key->name, text, sizeof(text)),
			 key->values.at[domain]);
}

static void look_at_domain(struct binder *binder, struct choice *choice, uint32_t domain)
{
	struct planner *planner = binder->planner;
	const struct topology_key *key = &planner->keys.at[choice->key];

	choice->usd[domain] = INFINITY;
	for (size_t p = 0; p < planner->pools_count; p++) {
		struct shape *shape = binder->class->shapes[p];

		shape = shape ? domain_shape(planner, shape, key, domain) : NULL;
		if (!shape)
			continue;
		choice->possible[domain] = true;
		choice->usd[domain] =
			fmin(choice->usd[domain], usd_of_pod(planner, binder->class, shape));
	}
	vec_for_each (it, &planner->existing)
		if (!choice->possible[domain] && !(*it)->given.closed &&
		    stands_in(planner, *it, key, domain) &&
		    existing_takes(planner, *it, binder->class))
			choice->possible[domain] = true;
}

static void look_at(struct binder *binder, struct choice *choice)
{
	choice->domains = binder->planner->keys.at[choice->key].values.count;
	choice->possible = calloc(choice->domains + 1, sizeof(*choice->possible));
	choice->usd = calloc(choice->domains + 1, sizeof(*choice->usd));
	if (!choice->possible || !choice->usd)
		abort();
	for (uint32_t d = 0; d < choice->domains; d++)
		look_at_domain(binder, choice, d);
}

static uint32_t count_in(struct counter *counter, uint32_t domain)
{
	return domain < counter->counts.count ? counter->counts.at[domain] : 0;
}

static void count_add(struct counter *counter, uint32_t domain, uint32_t count)
{
	while (counter->counts.count <= domain)
		*vec_push(&counter->counts) = 0;
	counter->counts.at[domain] += count;
	counter->total += count;
}

/* The least count of the domains that take part; with fewer of them than minDomains it is none. */
static uint32_t least_count(const struct choice *choice, const struct rule *rule,
			    struct counter *counter)
{
	uint32_t least = UINT32_MAX;
	int32_t domains = 0;

	for (uint32_t d = 0; d < choice->domains; d++)
		if (choice->possible[d]) {
			domains++;
			least = MIN(least, count_in(counter, d));
		}
	return domains < rule->min_domains || least == UINT32_MAX ? 0 : least;
}

static bool rule_lets(const struct binder *binder, const struct choice *choice,
		      const struct rule *rule, uint32_t domain)
{
	struct counter *counter = binder->planner->counters.at[rule->counter];
	uint32_t count = count_in(counter, domain);

	switch (rule->kind) {
	case RULE_SPREAD:
		return count + rule->self <=
		       least_count(choice, rule, counter) + (uint32_t)rule->max_skew;
	case RULE_ANTI:
		return count == 0;
	case RULE_AFFINITY:
		return count || (rule->self && !counter->total);
	}
	return false;
}

/* Where the class has no rule of its own, it keeps even what others count. */
static double crowd(const struct binder *binder, uint32_t key, uint32_t domain)
{
	double count = 0;

	vec_for_each (it, &binder->class->domain_adds) {
		struct counter *counter = binder->planner->counters.at[*it];

		if (counter->key == key && !counter->owners)
			count += count_in(counter, domain);
	}
	return count;
}

static bool has_rule(const struct binder *binder, uint32_t key)
{
	vec_for_each (rule, &binder->class->domains)
		if (binder->planner->counters.at[rule->counter]->key == key)
			return true;
	return false;
}

static bool choose(struct binder *binder, struct choice *choice, uint32_t *out)
{
	double best = INFINITY;
	bool found = false, ruled = has_rule(binder, choice->key);

	for (uint32_t d = 0; d < choice->domains; d++) {
		bool let = choice->possible[d];
		double score = ruled ? choice->usd[d] : crowd(binder, choice->key, d);

		vec_for_each (rule, &binder->class->domains)
			if (let && binder->planner->counters.at[rule->counter]->key == choice->key)
				let = rule_lets(binder, choice, rule, d);
		if (!let || (found && score >= best))
			continue;
		best = score;
		*out = d;
		found = true;
	}
	return found;
}

/* ---- items ---- */

static struct item *item_of(struct binder *binder)
{
	struct planner *planner = binder->planner;
	struct item *item;

	for (size_t i = binder->first_item; i < planner->items.count; i++)
		if (memcmp(planner->items.at[i].domains, binder->chosen,
			   binder->count * sizeof(uint32_t)) == 0)
			return &planner->items.at[i];
	item = vec_push(&planner->items);
	item->class = binder->class;
	item->domains_count = binder->count;
	item->shapes = calloc(planner->pools_count + 1, sizeof(struct shape *));
	if (!item->shapes)
		abort();
	for (size_t i = 0; i < binder->count; i++) {
		item->keys[i] = binder->choices[i].key;
		item->domains[i] = binder->chosen[i];
	}
	for (size_t p = 0; p < planner->pools_count; p++) {
		struct shape *shape = binder->class->shapes[p];

		for (size_t i = 0; shape && i < binder->count; i++)
			shape = domain_shape(planner, shape,
					     &planner->keys.at[binder->choices[i].key],
					     binder->chosen[i]);
		item->shapes[p] = shape;
	}
	return item;
}

static void count_item(struct planner *planner, const struct item *item, uint32_t count)
{
	vec_for_each (it, &item->class->domain_adds) {
		struct counter *counter = planner->counters.at[*it];

		for (size_t i = 0; i < item->domains_count; i++)
			if (item->keys[i] == counter->key)
				count_add(counter, item->domains[i], count);
	}
}

static bool bind_pod(struct binder *binder)
{
	struct item *item;

	for (size_t i = 0; i < binder->count; i++)
		if (!choose(binder, &binder->choices[i], &binder->chosen[i]))
			return false;
	item = item_of(binder);
	item->count++;
	count_item(binder->planner, item, 1);
	return true;
}

void unbind(struct planner *planner, struct item *item)
{
	count_item(planner, item, -item->count);
	item->class->taken -= item->count;
	item->count = 0;
}

/* Whether any was bound. */
static bool bind_class(struct planner *planner, struct pod_class *class)
{
	struct binder binder = {
		.planner = planner, .class = class, .first_item = planner->items.count};
	size_t before = class->taken;

	if (class->taken == class->pods.count)
		return false;
	vec_for_each (rule, &class->domains)
		note_key(&binder, rule->counter);
	vec_for_each (it, &class->domain_adds)
		note_key(&binder, *it);
	for (size_t i = 0; i < binder.count; i++)
		look_at(&binder, &binder.choices[i]);
	while (class->taken < class->pods.count && bind_pod(&binder))
		class->taken++;
	for (size_t i = 0; i < binder.count; i++) {
		free(binder.choices[i].possible);
		free(binder.choices[i].usd);
	}
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

void count_domains(struct planner *planner, const struct pod_class *class,
		   const struct existing *existing, uint32_t count)
{
	char text[128];

	vec_for_each (it, &class->domain_adds) {
		struct counter *counter = planner->counters.at[*it];
		struct topology_key *key = &planner->keys.at[counter->key];
		const char *value =
			existing_label(planner, existing, key->name, text, sizeof(text));

		if (value)
			count_add(counter, domain_of(key, value, true), count);
	}
}
