/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing array of any type: struct { T *at; size_t count, capacity; }. Out of memory aborts the
 *process.
 *
 *	VEC(struct item) items = {0};
 *	*vec_push(&items) = (struct item){...};
 *	vec_for_each (it, &items) use(it);
 *	vec_free(&items);
 */
#ifndef FORERUN_BASE_VEC_H
#define FORERUN_BASE_VEC_H

#include "base/base.h"

#define VEC(type)                       \
	struct {                        \
		type *at;               \
		size_t count, capacity; \
	}

void *vec_grow(void *at, size_t *capacity, size_t wanted, size_t size);

/* Room for one more, zeroed; its address. */
#define vec_push(vec)                                                                             \
	((vec)->at = vec_grow((vec)->at, &(vec)->capacity, (vec)->count + 1, sizeof(*(vec)->at)), \
	 memset(&(vec)->at[(vec)->count], 0, sizeof(*(vec)->at)), &(vec)->at[(vec)->count++])
#define vec_clear(vec) ((void)((vec)->count = 0))
#define vec_free(vec)                               \
	do {                                        \
		free((vec)->at);                    \
		(vec)->at = NULL;                   \
		(vec)->count = (vec)->capacity = 0; \
	} while (0)
#define vec_remove(vec, index)                                             \
	do {                                                               \
		size_t index_ = (index);                                   \
		memmove(&(vec)->at[index_], &(vec)->at[index_ + 1],        \
			((vec)->count - index_ - 1) * sizeof(*(vec)->at)); \
		(vec)->count--;                                            \
	} while (0)
#define vec_for_each(it, vec) \
	for (__typeof__((vec)->at[0]) *it = (vec)->at; it && it < (vec)->at + (vec)->count; it++)

#endif
