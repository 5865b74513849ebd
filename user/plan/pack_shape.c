/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of what a node may still become, each kept once, with its types by price. */
#include <math.h>

#include "plan/pack.h"

static uint64_t hash_of(const struct planner *planner, uint32_t pool, uint64_t zones,
			uint32_t capacity_types, const uint64_t *types)
{
	uint64_t head[3] = {pool, zones, capacity_types};

	return hash_bytes(head, sizeof(head)) * 31 +
	       hash_bytes(types, planner->words * sizeof(*types));
}

static bool is_same(const struct planner *planner, const struct shape *shape, uint32_t pool,
		    uint64_t zones, uint32_t capacity_types, const uint64_t *types)
{
	return shape->pool == pool && shape->zones == zones &&
	       shape->capacity_types == capacity_types &&
	       memcmp(shape->types, types, planner->words * sizeof(*types)) == 0;
}

static double cheapest_offering(const struct planner *planner, size_t type, uint64_t zones,
				uint32_t capacity_types)
{
	double usd = INFINITY;

	for (size_t z = 0; z < planner->zones_count; z++)
		for (size_t c = 0; (zones >> z & 1) && c < CAPACITY_TYPES; c++)
			if (capacity_types >> c & 1)
				usd = fmin(usd, offering_usd(planner, type, z, c));
	return usd;
}

static int by_price(const void *a, const void *b)
{
	const struct priced_type *x = a, *y = b;

	if (x->usd != y->usd)
		return x->usd < y->usd ? -1 : 1;
	return (x->type > y->type) - (x->type < y->type);
}

static bool exceeds(const struct planner *planner, const struct amounts *a, const struct amounts *b)
{
	for (size_t r = 0; r < planner->resources; r++)
		if (a->of[r] < b->of[r])
			return false;
	return true;
}

/* What a pool's limit counts is part of what makes a type better. */
static void make_front(const struct planner *planner, struct shape *shape)
{
	const struct pool_table *pool = &planner->pools[shape->pool];

	shape->front_count = 0;
	shape->front = calloc(shape->count + 1, sizeof(*shape->front));
	if (!shape->front)
		abort();
	for (size_t i = 0; i < shape->count; i++) {
		uint16_t type = shape->by_price[i].type;
		bool exceeded = false;

		for (size_t j = 0; j < shape->front_count && !exceeded; j++) {
			uint16_t other = shape->front[j].type;

			exceeded = exceeds(planner, &pool->free[other], &pool->free[type]) &&
				   (!pool->limited ||
				    exceeds(planner, &pool->whole[type], &pool->whole[other]));
		}
		if (!exceeded)
			shape->front[shape->front_count++] = shape->by_price[i];
	}
}

static void make_prices(const struct planner *planner, struct shape *shape)
{
	shape->by_price = calloc(planner->catalog->types_count + 1, sizeof(*shape->by_price));
	shape->usd = calloc(planner->catalog->types_count + 1, sizeof(*shape->usd));
	if (!shape->by_price || !shape->usd)
		abort();
	for (size_t t = 0; t < planner->catalog->types_count; t++) {
		double usd;

		shape->usd[t] = INFINITY;
		if (!types_has(shape->types, t))
			continue;
		usd = cheapest_offering(planner, t, shape->zones, shape->capacity_types);
		shape->usd[t] = (float)usd;
		if (usd <= NO_PRICE)
			shape->by_price[shape->count++] = (struct priced_type){usd, (uint16_t)t};
	}
	qsort(shape->by_price, shape->count, sizeof(*shape->by_price), by_price);
}

/* Types without an offering in the zones and capacity types fall away, so that two ways to the same
 * set meet in one. */
static void drop_unoffered(const struct planner *planner, uint64_t zones, uint32_t capacity_types,
			   uint64_t *types)
{
	for (size_t t = 0; t < planner->catalog->types_count; t++)
		if (types_has(types, t) &&
		    !(cheapest_offering(planner, t, zones, capacity_types) <= NO_PRICE))
			types[t / 64] &= ~(1ULL << (t % 64));
}

static struct shape *shape_new(struct planner *planner, uint32_t pool, uint64_t zones,
			       uint32_t capacity_types, uint64_t *types)
{
	struct shape *shape = calloc(1, sizeof(*shape));

	if (!shape)
		abort();
	*shape = (struct shape){.id = (uint32_t)planner->shapes.count,
				.pool = pool,
				.zones = zones,
				.capacity_types = capacity_types,
				.types = types};
	make_prices(planner, shape);
	*vec_push(&planner->shapes) = shape;
	return shape;
}

struct shape *shape_intern(struct planner *planner, uint32_t pool, uint64_t zones,
			   uint32_t capacity_types, const uint64_t *types)
{
	uint64_t *own = calloc(planner->words + 1, sizeof(*own)), hash;
	struct shape *shape;

	if (!own)
		abort();
	memcpy(own, types, planner->words * sizeof(*own));
	drop_unoffered(planner, zones, capacity_types, own);
	hash = hash_of(planner, pool, zones, capacity_types, own);
	while ((shape = map_get(&planner->shapes_by_hash, hash)) &&
	       !is_same(planner, shape, pool, zones, capacity_types, own))
		hash++;
	if (!shape) {
		shape = shape_new(planner, pool, zones, capacity_types, own);
		map_put(&planner->shapes_by_hash, hash, shape);
	} else {
		free(own);
	}
	return shape->count ? shape : NULL;
}

/* Stands for "nothing in common" in the map of meets. */
static struct shape NOTHING;

struct shape *shape_meet(struct planner *planner, const struct shape *a, const struct shape *b)
{
	uint64_t key;
	struct shape *shape;
	_cleanup_free_ uint64_t *types = NULL;

	if (a == b || a->pool != b->pool)
		return a == b ? (struct shape *)a : NULL;
	key = ((uint64_t)MIN(a->id, b->id) << 32) | MAX(a->id, b->id);
	shape = map_get(&planner->meets, key);
	if (shape)
		return shape == &NOTHING ? NULL : shape;
	types = calloc(planner->words + 1, sizeof(*types));
	if (!types)
		abort();
	for (size_t w = 0; w < planner->words; w++)
		types[w] = a->types[w] & b->types[w];
	if ((a->zones & b->zones) && (a->capacity_types & b->capacity_types))
		shape = shape_intern(planner, a->pool, a->zones & b->zones,
				     a->capacity_types & b->capacity_types, types);
	map_put(&planner->meets, key, shape ? shape : &NOTHING);
	return shape;
}

void shape_front(const struct planner *planner, struct shape *shape)
{
	if (!shape->front)
		make_front(planner, shape);
}

void shapes_forget_fronts(struct planner *planner)
{
	vec_for_each (it, &planner->shapes) {
		free((*it)->front);
		(*it)->front = NULL;
	}
}

uint16_t shape_cheapest(const struct planner *planner, struct shape *shape,
			const struct amounts *load, const struct amounts *instead_of, double *usd)
{
	const struct pool_table *pool = &planner->pools[shape->pool];

	shape_front(planner, shape);
	if (!keeps_values(planner, shape, load, NULL))
		return NO_TYPE;
	for (size_t i = 0; i < shape->front_count; i++) {
		uint16_t type = shape->front[i].type;

		if (!exceeds(planner, &pool->free[type], load))
			continue;
		if (pool->limited && !limit_allows(planner, pool, &pool->whole[type], instead_of))
			continue;
		*usd = shape->front[i].usd;
		return type;
	}
	return NO_TYPE;
}

void shapes_free(struct planner *planner)
{
	vec_for_each (it, &planner->shapes) {
		free((*it)->types);
		free((*it)->by_price);
		free((*it)->front);
		free((*it)->usd);
		free(*it);
	}
	vec_free(&planner->shapes);
	map_free(&planner->shapes_by_hash);
	map_free(&planner->meets);
	map_free(&planner->domain_shapes);
}
