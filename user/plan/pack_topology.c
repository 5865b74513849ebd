/* SPDX-License-Identifier: Apache-2.0 */
/* Topologies wider than a host (zones, capacity types, any label of types): their domains, what a
 * shape leaves in one, and how many pods stand where. */
#include <math.h>

#include "plan/pack.h"

uint32_t domain_of(struct topology_key *key, const char *value, bool add)
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

/* Stands for "nothing" in the map of what shapes leave in domains. */
static struct shape NOTHING;

static struct shape *make_domain_shape(struct planner *planner, const struct shape *shape,
				       const struct topology_key *key, uint32_t domain)
{
	_cleanup_free_ uint64_t *types = calloc(planner->words + 1, sizeof(*types));
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

struct shape *domain_shape(struct planner *planner, const struct shape *shape, uint32_t key,
			   uint32_t domain)
{
	uint64_t at = (uint64_t)shape->id << 36 | (uint64_t)key << 28 | domain;
	struct shape *out = map_get(&planner->domain_shapes, at);

	if (!out) {
		out = make_domain_shape(planner, shape, &planner->keys.at[key], domain);
		map_put(&planner->domain_shapes, at, out ? out : &NOTHING);
	}
	return out == &NOTHING ? NULL : out;
}

/* ---- counts ---- */

uint32_t count_in(const struct counter *counter, uint32_t domain)
{
	return domain < counter->counts.count ? counter->counts.at[domain] : 0;
}

void count_add(struct counter *counter, uint32_t domain, uint32_t count)
{
	while (counter->counts.count <= domain)
		*vec_push(&counter->counts) = 0;
	counter->counts.at[domain] += count;
	counter->total += count;
}

static uint32_t bind_bin(struct planner *planner, struct bin *bin, uint32_t key)
{
	size_t domains = planner->keys.at[key].values.count;
	uint32_t best = UINT32_MAX;
	double least = INFINITY;

	for (uint32_t d = 0; d < domains; d++) {
		const struct shape *shape = domain_shape(planner, bin->shape, key, d);

		if (shape && shape->usd[bin->type] < least) {
			least = shape->usd[bin->type];
			best = d;
		}
	}
	if (best == UINT32_MAX)
		return best;
	bin->pin = domain_shape(planner, bin->pin ? bin->pin : planner->pools[bin->shape->pool].all,
				key, best);
	bin_settle(planner, bin);
	return best;
}

void count_bin_domain(struct planner *planner, struct bin *bin, struct counter *counter,
		      uint32_t count)
{
	struct topology_key *key = &planner->keys.at[counter->key];
	uint32_t domain = UINT32_MAX;
	char text[128];
	const char *value;

	if (bin->existing) {
		value = existing_label(planner, bin->existing, key->name, text, sizeof(text));
		domain = value ? domain_of(key, value, true) : UINT32_MAX;
	} else {
		domain = bind_bin(planner, bin, counter->key);
	}
	if (domain != UINT32_MAX)
		count_add(counter, domain, count);
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
