/* SPDX-License-Identifier: Apache-2.0 */
/* What label terms, taints and tolerations leave of a pool. */
#include "plan/pack.h"

/* Whether a label says something of the zone, of the capacity type, or (with the pool's own labels)
 * of the type. */
static bool of_zone(const char *key)
{
	return strcmp(key, LABEL_ZONE) == 0 || strcmp(key, "topology.k8s.aws/zone-id") == 0 ||
	       strcmp(key, "topology.kubernetes.io/region") == 0;
}

/* A node gets the value that the pool requires where its labels do not say one. */
static const char *pool_value(const struct pool *pool, const char *key)
{
	vec_for_each (term, &pool->requirements.list)
		if (term->op == LABEL_IN && term->count == 1 && str_equal(term->key, key))
			return term->values[0];
	return NULL;
}

static bool matches(const struct pool_table *pool, const struct label_term *term,
		    const struct offering *offering)
{
	char text[128];
	const char *value = offering_label(offering, pool->pool, term->key, text, sizeof(text));

	return label_term_matches(term, value ? value : pool_value(pool->pool, term->key));
}

/* Any offering of the type, zone or capacity type that stands for all of them. */
static const struct offering *example(const struct planner *planner, size_t type)
{
	size_t each = planner->zones_count * CAPACITY_TYPES;

	for (size_t i = 0; i < each; i++)
		if (planner->offer[type * each + i] >= 0)
			return &planner->catalog->offerings[planner->offer[type * each + i]];
	return NULL;
}

static const struct offering *example_of_zone(const struct planner *planner, size_t zone)
{
	for (size_t t = 0; t < planner->catalog->types_count; t++)
		for (size_t c = 0; c < CAPACITY_TYPES; c++) {
			int32_t index =
				planner->offer[(t * planner->zones_count + zone) * CAPACITY_TYPES +
					       c];

			if (index >= 0)
				return &planner->catalog->offerings[index];
		}
	return NULL;
}

static void narrow_zones(const struct planner *planner, const struct pool_table *pool,
			 const struct label_term *term, uint64_t *zones)
{
	for (size_t z = 0; z < planner->zones_count; z++) {
		const struct offering *offering = example_of_zone(planner, z);

		if ((*zones >> z & 1) && (!offering || !matches(pool, term, offering)))
			*zones &= ~(1ULL << z);
	}
}

static void narrow_types(const struct planner *planner, const struct pool_table *pool,
			 const struct label_term *term, uint64_t *types)
{
	for (size_t t = 0; t < planner->catalog->types_count; t++) {
		const struct offering *offering;

		if (!types_has(types, t))
			continue;
		offering = example(planner, t);
		if (!offering || !matches(pool, term, offering))
			types[t / 64] &= ~(1ULL << (t % 64));
	}
}

bool narrow_by_term(const struct planner *planner, const struct pool_table *pool,
		    const struct label_term *term, uint64_t *zones, uint32_t *capacity_types,
		    uint64_t *types)
{
	if (of_zone(term->key)) {
		narrow_zones(planner, pool, term, zones);
		return *zones;
	}
	if (strcmp(term->key, LABEL_CAPACITY_TYPE) == 0) {
		for (unsigned c = 0; c < CAPACITY_TYPES; c++)
			if (!label_term_matches(term, capacity_type_text((enum capacity_type)c)))
				*capacity_types &= ~(1U << c);
		return *capacity_types;
	}
	narrow_types(planner, pool, term, types);
	for (size_t w = 0; w < planner->words; w++)
		if (types[w])
			return true;
	return false;
}

bool pool_tolerated(const struct pool *pool, const struct pod_template *pod, bool soft_too)
{
	vec_for_each (taint, &pool->taints.list)
		if ((soft_too || taint->effect != TAINT_PREFER_NO_SCHEDULE) &&
		    !pod_tolerates(pod, taint))
			return false;
	return true;
}

static bool narrow_by_terms(const struct planner *planner, const struct pool_table *pool,
			    const struct label_terms *terms, uint64_t *zones,
			    uint32_t *capacity_types, uint64_t *types)
{
	vec_for_each (term, &terms->list)
		if (!narrow_by_term(planner, pool, term, zones, capacity_types, types))
			return false;
	return true;
}

/* The preferred term that is held to: the heaviest of those that are not given up. */
static const struct node_term *preferred(const struct pod_template *pod, uint32_t given_up)
{
	const struct node_term *best = NULL;

	if (given_up >= pod->node_preferred.count)
		return NULL;
	/* The heaviest are given up first; of equal ones the first. */
	for (size_t rank = 0; rank <= given_up; rank++) {
		const struct node_term *next = NULL;

		vec_for_each (term, &pod->node_preferred) {
			if (best && (term->weight > best->weight ||
				     (term->weight == best->weight && term <= best)))
				continue;
			if (!next || term->weight > next->weight)
				next = term;
		}
		best = next;
	}
	return best;
}

struct shape *shape_by_terms(struct planner *planner, uint32_t p, const struct pod_class *class,
			     uint32_t alternative)
{
	const struct pool_table *pool = &planner->pools[p];
	const struct pod_template *pod = class->pod;
	const struct node_term *prefers = preferred(pod, class->given_up.node_preferred);
	_cleanup_free_ uint64_t *types = NULL;
	uint64_t zones = pool->zones;
	uint32_t capacity_types = pool->capacity_types;

	if (!pod->node_selector.list.count && !pod->node_required.count && !prefers)
		return pool->all;
	types = calloc(planner->words + 1, sizeof(*types));
	if (!types)
		abort();
	memcpy(types, pool->types, planner->words * sizeof(*types));
	vec_for_each (label, &pod->node_selector.list) {
		struct label_term term = {
			.key = label->key, .op = LABEL_IN, .values = &label->value, .count = 1};

		if (!narrow_by_term(planner, pool, &term, &zones, &capacity_types, types))
			return NULL;
	}
	if (alternative < pod->node_required.count &&
	    !narrow_by_terms(planner, pool, &pod->node_required.at[alternative].labels, &zones,
			     &capacity_types, types))
		return NULL;
	if (prefers &&
	    !narrow_by_terms(planner, pool, &prefers->labels, &zones, &capacity_types, types))
		return NULL;
	return shape_intern(planner, p, zones, capacity_types, types);
}
