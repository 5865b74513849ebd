/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which types a node keeps: those that carry its load, the cheapest first, as many as one request
 * takes. A pool may ask that so many different values of a label stay among them (minValues), and
 * that all of its nodes together stay within its limits whatever they become.
 */
#include "plan/pack.h"

#define NO_VALUE UINT16_MAX

static uint16_t value_index(struct min_values *min, const char *value)
{
	for (size_t i = 0; i < min->names.count; i++)
		if (strcmp(min->names.at[i], value) == 0)
			return (uint16_t)i;
	*vec_push(&min->names) = strdup(value);
	return (uint16_t)(min->names.count - 1);
}

static void read_values(const struct planner *planner, const struct pool_table *pool,
			struct min_values *min)
{
	const struct catalog *catalog = planner->catalog;
	char text[128];

	for (size_t t = 0; t < catalog->types_count; t++)
		min->of_type[t] = NO_VALUE;
	for (size_t i = 0; i < catalog->count; i++) {
		const struct offering *offering = &catalog->offerings[i];
		size_t t = offering->type ? (size_t)(offering->type - catalog->types) : SIZE_MAX;
		const char *value;

		if (t == SIZE_MAX || min->of_type[t] != NO_VALUE || !types_has(pool->types, t))
			continue;
		value = offering_label(offering, pool->pool, min->key, text, sizeof(text));
		if (value)
			min->of_type[t] = value_index(min, value);
	}
}

void min_values_read(struct planner *planner, struct pool_table *pool)
{
	vec_for_each (term, &pool->pool->requirements.list) {
		struct min_values *min;

		if (!term->min_values)
			continue;
		planner->pools_with_values = true;
		min = vec_push(&pool->min_values);
		min->key = term->key;
		min->least = term->min_values;
		min->of_zone = strcmp(term->key, LABEL_ZONE) == 0;
		min->of_capacity_type = strcmp(term->key, LABEL_CAPACITY_TYPE) == 0;
		min->of_type = calloc(planner->catalog->types_count + 1, sizeof(*min->of_type));
		if (!min->of_type)
			abort();
		read_values(planner, pool, min);
	}
}

void min_values_free(struct pool_table *pool)
{
	vec_for_each (min, &pool->min_values) {
		vec_for_each (name, &min->names)
			free(*name);
		vec_free(&min->names);
		free(min->of_type);
	}
	vec_free(&pool->min_values);
}

/* Zones, or capacity types, that have an offering of the types. */
static uint32_t places_of(const struct planner *planner, const struct shape *shape,
			  const uint16_t *types, size_t count, bool zones)
{
	uint64_t seen = 0;

	for (size_t i = 0; i < count; i++)
		for (size_t z = 0; z < planner->zones_count; z++)
			for (size_t c = 0; c < CAPACITY_TYPES; c++)
				if ((shape->zones >> z & 1) && (shape->capacity_types >> c & 1) &&
				    offering_usd(planner, types[i], z, c) <= NO_PRICE)
					seen |= 1ULL << (zones ? z : c);
	return (uint32_t)__builtin_popcountll(seen);
}

static uint32_t values_of(const struct min_values *min, const uint16_t *types, size_t count)
{
	uint32_t different = 0;

	for (size_t i = 0; i < count; i++) {
		uint16_t value = min->of_type[types[i]];
		bool seen = value == NO_VALUE;

		for (size_t j = 0; j < i && !seen; j++)
			seen = min->of_type[types[j]] == value;
		different += !seen;
	}
	return different;
}

static bool values_kept(const struct planner *planner, const struct shape *shape,
			const uint16_t *types, size_t count)
{
	const struct pool_table *pool = &planner->pools[shape->pool];

	vec_for_each (min, &pool->min_values) {
		uint32_t has = min->of_zone || min->of_capacity_type
				       ? places_of(planner, shape, types, count, min->of_zone)
				       : values_of(min, types, count);

		if (has < min->least)
			return false;
	}
	return true;
}

static bool within(const struct planner *planner, const struct amounts *a, const struct amounts *b)
{
	for (size_t r = 0; r < planner->resources; r++)
		if (a->of[r] > b->of[r])
			return false;
	return true;
}

size_t types_left(const struct planner *planner, const struct shape *shape,
		  const struct amounts *load, const struct amounts *most, uint16_t *out)
{
	const struct pool_table *pool = &planner->pools[shape->pool];
	size_t count = 0;

	for (size_t i = 0; i < shape->count && count < PLAN_TYPES_MAX; i++) {
		uint16_t type = shape->by_price[i].type;

		if (within(planner, load, &pool->free[type]) &&
		    (!most || within(planner, &pool->whole[type], most)))
			out[count++] = type;
	}
	return count;
}

bool keeps_values(const struct planner *planner, const struct shape *shape,
		  const struct amounts *load, const struct amounts *most)
{
	uint16_t types[PLAN_TYPES_MAX];

	if (!planner->pools[shape->pool].min_values.count)
		return true;
	return values_kept(planner, shape, types, types_left(planner, shape, load, most, types));
}

/* ---- limits ---- */

/* The least that the limit must have room for: the cheapest types that keep the values that the
 * pool asks for, the largest of them. */
bool bin_hold(const struct planner *planner, const struct bin *bin, struct amounts *out)
{
	const struct pool_table *pool = &planner->pools[bin->shape->pool];
	uint16_t types[PLAN_TYPES_MAX];
	size_t count = types_left(planner, bin->shape, &bin->load, NULL, types), kept = 1;

	if (!pool->min_values.count) {
		*out = pool->whole[bin->type];
		return true;
	}
	while (kept < count && !values_kept(planner, bin->shape, types, kept))
		kept++;
	*out = (struct amounts){0};
	for (size_t i = 0; i < kept && i < count; i++)
		for (size_t r = 0; r < planner->resources; r++)
			out->of[r] = MAX(out->of[r], pool->whole[types[i]].of[r]);
	return count && values_kept(planner, bin->shape, types, kept);
}

bool limit_allows(const struct planner *planner, const struct pool_table *pool,
		  const struct amounts *more, const struct amounts *instead_of)
{
	for (size_t r = 0; r < planner->resources; r++)
		if (pool->limit.of[r] != INT64_MAX &&
		    pool->used.of[r] - (instead_of ? instead_of->of[r] : 0) + more->of[r] >
			    pool->limit.of[r])
			return false;
	return true;
}

/* What a node may become at most: what it holds, and an equal share of what the limit has left. */
void bin_most(const struct planner *planner, const struct bin *bin, int64_t nodes,
	      struct amounts *out)
{
	const struct pool_table *pool = &planner->pools[bin->shape->pool];

	for (size_t r = 0; r < planner->resources; r++) {
		out->of[r] = INT64_MAX;
		if (pool->limit.of[r] != INT64_MAX)
			out->of[r] = bin->held.of[r] +
				     MAX(0, pool->limit.of[r] - pool->used.of[r]) / nodes;
	}
}
