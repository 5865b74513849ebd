/* SPDX-License-Identifier: Apache-2.0 */
/* A hash map from a 64-bit key to a pointer, open addressing. It owns neither. Out of memory aborts
 * the process. */
#ifndef FORERUN_BASE_MAP_H
#define FORERUN_BASE_MAP_H

#include "base/base.h"

struct map_entry {
	uint64_t key;
	void *value; /* NULL: empty */
};

struct map {
	struct map_entry *entries;
	size_t capacity; /* a power of two or 0 */
	size_t count;
};

void map_free(struct map *map);
void *map_get(const struct map *map, uint64_t key);
/* value must not be NULL; returns the value that was there before. */
void *map_put(struct map *map, uint64_t key, void *value);
void *map_remove(struct map *map, uint64_t key);
/* for (size_t at = 0; (entry = map_next(map, &at));): in no order; the map must not change
 * meanwhile. */
struct map_entry *map_next(const struct map *map, size_t *at);

#endif
