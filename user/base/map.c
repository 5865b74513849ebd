/* SPDX-License-Identifier: Apache-2.0 */
/* Open addressing with linear probing; removal shifts back what follows, so there are no
 * tombstones. */
#include "base/map.h"

/* The finaliser of MurmurHash3 (public domain): keys are often small counters or aligned
 * addresses. */
static size_t home_of(const struct map *map, uint64_t key)
{
	key ^= key >> 33;
	key *= 0xff51afd7ed558ccdULL;
	key ^= key >> 33;
	key *= 0xc4ceb9fe1a85ec53ULL;
	key ^= key >> 33;
	return (size_t)key & (map->capacity - 1);
}

/* The key's entry, or the empty one where it would stand. There is always an empty one. */
static struct map_entry *find(const struct map *map, uint64_t key)
{
	size_t at = home_of(map, key);

	while (map->entries[at].value && map->entries[at].key != key)
		at = (at + 1) & (map->capacity - 1);
	return &map->entries[at];
}

void map_free(struct map *map)
{
	free(map->entries);
	*map = (struct map){0};
}

void *map_get(const struct map *map, uint64_t key)
{
	return map->capacity ? find(map, key)->value : NULL;
}

static void grow(struct map *map)
{
	struct map old = *map;

	map->capacity = old.capacity ? old.capacity * 2 : 16;
	map->entries = calloc(map->capacity, sizeof(*map->entries));
	if (!map->entries)
		abort();
	for (size_t i = 0; i < old.capacity; i++)
		if (old.entries[i].value)
			*find(map, old.entries[i].key) = old.entries[i];
	free(old.entries);
}

void *map_put(struct map *map, uint64_t key, void *value)
{
	struct map_entry *entry;
	void *before;

	if (map->count + 1 > map->capacity / 4 * 3)
		grow(map);
	entry = find(map, key);
	before = entry->value;
	if (!before)
		map->count++;
	*entry = (struct map_entry){.key = key, .value = value};
	return before;
}

void *map_remove(struct map *map, uint64_t key)
{
	size_t mask = map->capacity - 1, hole, at;
	void *value;

	if (!map->capacity)
		return NULL;
	hole = (size_t)(find(map, key) - map->entries);
	value = map->entries[hole].value;
	if (!value)
		return NULL;
	for (at = (hole + 1) & mask; map->entries[at].value; at = (at + 1) & mask) {
		size_t home = home_of(map, map->entries[at].key);

		/* It may move into the hole only if the hole lies between its home and itself. */
		if (((at - home) & mask) >= ((at - hole) & mask)) {
			map->entries[hole] = map->entries[at];
			hole = at;
		}
	}
	map->entries[hole] = (struct map_entry){0};
	map->count--;
	return value;
}

struct map_entry *map_next(const struct map *map, size_t *at)
{
	while (*at < map->capacity) {
		struct map_entry *entry = &map->entries[(*at)++];

		if (entry->value)
			return entry;
	}
	return NULL;
}
