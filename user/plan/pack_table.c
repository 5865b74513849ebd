/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog and the pools as tables: what a node of each type has to give in each pool. */
#include <math.h>

#include "plan/pack.h"

#define AMOUNT_MAX 1e14 /* more than any type has, and sums of it stay within 63 bits */

static const char *const KNOWN[] = {
	[CPU] = "cpu",
	[MEMORY] = "memory",
	[PODS] = "pods",
	[EPHEMERAL_STORAGE] = "ephemeral-storage",
};

int resource_index(const struct planner *planner, const char *name)
{
	for (size_t i = 0; i < planner->resources; i++)
		if (strcmp(planner->resource_names[i], name) == 0)
			return (int)i;
	return -1;
}

bool amounts_of(const struct planner *planner, const struct resources *resources,
		struct amounts *out)
{
	bool all = true;

	*out = (struct amounts){0};
	vec_for_each (it, &resources->list) {
		int index = resource_index(planner, it->name);

		if (index >= 0)
			out->of[index] = llround(CLAMP(it->amount, -AMOUNT_MAX, AMOUNT_MAX) * 1000);
		else if (it->amount > 0)
			all = false;
	}
	return all;
}

static void note_resource(struct planner *planner, const char *name)
{
	if (planner->resources < RESOURCES_MAX && resource_index(planner, name) < 0)
		planner->resource_names[planner->resources++] = name;
}

double offering_usd(const struct planner *planner, size_t type, size_t zone, size_t capacity_type)
{
	int32_t index = planner->offer[(type * planner->zones_count + zone) * CAPACITY_TYPES +
				       capacity_type];
	double usd;

	if (index < 0)
		return INFINITY;
	usd = planner->catalog->offerings[index].usd_per_hour;
	return usd >= 0 ? usd : NO_PRICE;
}

/* ---- offerings ---- */

static int zone_index(struct planner *planner, const char *zone)
{
	for (size_t i = planner->zones_count; i-- > 0;)
		if (strcmp(planner->zones[i], zone) == 0)
			return (int)i;
	if (planner->zones_count == ZONES_MAX)
		return -1;
	snprintf(planner->zones[planner->zones_count], sizeof(planner->zones[0]), "%s", zone);
	return (int)planner->zones_count++;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Zones in the order of their names, whatever the order of the catalog. */
static void collect_zones(struct planner *planner)
{
	for (size_t i = 0; i < planner->catalog->count; i++)
		zone_index(planner, planner->catalog->offerings[i].zone);
	qsort(planner->zones, planner->zones_count, sizeof(planner->zones[0]), by_name);
}

static int index_offerings(struct planner *planner)
{
	const struct catalog *catalog = planner->catalog;
	size_t size;

	collect_zones(planner);
	size = catalog->types_count * planner->zones_count * CAPACITY_TYPES;
	planner->words = (catalog->types_count + 63) / 64;
	planner->offer = calloc(size + 1, sizeof(*planner->offer));
	if (!planner->offer)
		return -ENOMEM;
	for (size_t i = 0; i < size; i++)
		planner->offer[i] = -1;
	for (size_t i = 0; i < catalog->count; i++) {
		const struct offering *offering = &catalog->offerings[i];
		int zone = zone_index(planner, offering->zone);

		if (!offering->type || zone < 0 || offering->capacity_type >= CAPACITY_TYPES)
			continue;
		size = (size_t)(offering->type - catalog->types);
		planner->offer[(size * planner->zones_count + (size_t)zone) * CAPACITY_TYPES +
			       offering->capacity_type] = (int32_t)i;
	}
	return 0;
}

/* ---- pools ---- */

static void narrow_pool(struct planner *planner, struct pool_table *table)
{
	const struct catalog *catalog = planner->catalog;

	table->zones =
		planner->zones_count == ZONES_MAX ? ~0ULL : (1ULL << planner->zones_count) - 1;
	table->capacity_types = (1U << CAPACITY_TYPES) - 1;
	for (size_t i = 0; i < catalog->types_count; i++)
		if (catalog->types[i].vcpus)
			table->types[i / 64] |= 1ULL << (i % 64);
	vec_for_each (term, &table->pool->requirements.list) {
		if (!narrow_by_term(planner, table, term, &table->zones, &table->capacity_types,
				    table->types))
			memset(table->types, 0, planner->words * sizeof(uint64_t));
	}
}

/* Only of types that the pool may have: the others are never asked for. */
static void read_capacities(struct planner *planner, struct pool_table *table)
{
	for (size_t i = 0; i < planner->catalog->types_count; i++) {
		struct node_capacity capacity = {0};

		if (!types_has(table->types, i))
			continue;
		node_capacity(&planner->catalog->types[i], table->node_class,
			      planner->config.vm_memory_overhead_percent, &capacity);
		amounts_of(planner, &capacity.allocatable, &table->free[i]);
		amounts_of(planner, &capacity.capacity, &table->whole[i]);
		node_capacity_free(&capacity);
		for (size_t r = 0; r < planner->resources; r++)
			planner->sold[r] |= table->free[i].of[r] > 0;
	}
}

static void read_limits(struct planner *planner, struct pool_table *table)
{
	table->nodes_limit = INT64_MAX;
	for (size_t i = 0; i < RESOURCES_MAX; i++)
		table->limit.of[i] = INT64_MAX;
	vec_for_each (it, &table->pool->limits.list) {
		int index = resource_index(planner, it->name);

		table->limited = true;
		if (strcmp(it->name, "nodes") == 0)
			table->nodes_limit = (int64_t)it->amount;
		else if (index >= 0)
			table->limit.of[index] = llround(CLAMP(it->amount, 0, 9e15) * 1000);
	}
	if (table->pool->cpu_limited)
		table->limit.of[CPU] = llround(table->pool->limit_cpus * 1000);
	if (table->pool->memory_limited)
		table->limit.of[MEMORY] =
			llround(CLAMP(table->pool->limit_memory_bytes, 0, 9e15) * 1000);
	table->limited |= table->pool->cpu_limited || table->pool->memory_limited;
	planner->limited |= table->limited;
}

/* The heaviest first; of equal ones by name, so that the order of files says nothing. */
static int by_weight(const void *a, const void *b)
{
	const struct pool_table *x = a, *y = b;

	if (x->weight != y->weight)
		return x->weight > y->weight ? -1 : 1;
	return strcmp(x->pool->name, y->pool->name);
}

static void collect_resources(struct planner *planner)
{
	for (size_t i = 0; i < ARRAY_SIZE(KNOWN); i++)
		note_resource(planner, KNOWN[i]);
	for (size_t i = 0; i < planner->catalog->types_count; i++) {
		const struct instance_type *type = &planner->catalog->types[i];
		struct node_capacity capacity = {0};

		if (!type->gpus.count && !type->accelerators.count && !type->neuron_devices &&
		    !type->efa_interfaces && !type->pod_eni)
			continue;
		node_capacity(type, planner->pools_count ? planner->pools[0].node_class : NULL,
			      planner->config.vm_memory_overhead_percent, &capacity);
		vec_for_each (it, &capacity.capacity.list)
			if (resource_index(planner, it->name) < 0 &&
			    planner->resources < RESOURCES_MAX)
				planner->resource_names[planner->resources++] = strdup(it->name);
		node_capacity_free(&capacity);
	}
}

static int build_pool(struct planner *planner, struct pool_table *table)
{
	size_t types = planner->catalog->types_count + 1;

	table->types = calloc(planner->words + 1, sizeof(*table->types));
	table->free = calloc(types, sizeof(*table->free));
	table->whole = calloc(types, sizeof(*table->whole));
	table->daemons = calloc(types, sizeof(*table->daemons));
	if (!table->types || !table->free || !table->whole || !table->daemons)
		return -ENOMEM;
	narrow_pool(planner, table);
	read_capacities(planner, table);
	min_values_read(planner, table);
	read_limits(planner, table);
	return 0;
}

int table_build(struct planner *planner)
{
	const struct documents *documents = planner->documents;
	int r = index_offerings(planner);

	planner->pools = calloc(documents->pools.count + 1, sizeof(*planner->pools));
	if (!planner->pools)
		return -ENOMEM;
	vec_for_each (pool, &documents->pools)
		planner->pools[planner->pools_count++] = (struct pool_table){
			.pool = pool,
			.weight = pool->weight,
			.node_class = documents_class(documents, pool->node_class),
		};
	qsort(planner->pools, planner->pools_count, sizeof(*planner->pools), by_weight);
	collect_resources(planner);
	for (size_t i = 0; r == 0 && i < planner->pools_count; i++)
		r = build_pool(planner, &planner->pools[i]);
	for (uint32_t i = 0; r == 0 && i < planner->pools_count; i++) {
		struct pool_table *table = &planner->pools[i];

		/* Static capacity is there already: no node of it is opened for a pod. */
		if (table->pool->replicas >= 0)
			memset(table->types, 0, planner->words * sizeof(*table->types));
		table->all =
			shape_intern(planner, i, table->zones, table->capacity_types, table->types);
	}
	return r;
}

void table_free(struct planner *planner)
{
	for (size_t i = 0; i < planner->pools_count; i++) {
		min_values_free(&planner->pools[i]);
		free(planner->pools[i].types);
		free(planner->pools[i].free);
		free(planner->pools[i].whole);
		free(planner->pools[i].daemons);
	}
	for (size_t i = FIRST_EXTENDED; i < planner->resources; i++)
		free((char *)planner->resource_names[i]);
	free(planner->pools);
	free(planner->offer);
}

/* ---- DaemonSets ---- */

/* On every node of the type that it may run on: in whichever zone it may, it counts. */
static void add_daemon(struct planner *planner, struct pod_class *class)
{
	for (size_t p = 0; p < planner->pools_count; p++) {
		struct pool_table *table = &planner->pools[p];

		for (size_t t = 0; t < planner->catalog->types_count; t++) {
			bool runs = false;

			for (uint32_t a = 0; a < class->alternatives && !runs; a++) {
				const struct shape *shape =
					class->shapes[a * planner->pools_count + p];

				runs = shape && types_has(shape->types, t);
			}
			for (size_t r = 0; runs && r < planner->resources; r++) {
				table->daemons[t].of[r] += class->need.of[r];
				table->free[t].of[r] -= class->need.of[r];
			}
		}
	}
}

static void expect_daemon(struct planner *planner, const struct pod_class *class)
{
	vec_for_each (it, &planner->existing)
		if (existing_takes(planner, *it, class))
			for (size_t r = 0; r < planner->resources; r++)
				(*it)->expected.of[r] += class->need.of[r];
}

void table_daemons(struct planner *planner)
{
	vec_for_each (pod, &planner->daemons) {
		struct pod_class *class = NULL;

		if (class_of(planner, *pod, relaxations(planner, *pod), &class) == 0)
			add_daemon(planner, class);
		if (class)
			expect_daemon(planner, class);
	}
	if (planner->daemons.count)
		shapes_forget_fronts(planner);
	vec_clear(&planner->daemons);
}
