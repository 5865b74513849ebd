/* SPDX-License-Identifier: Apache-2.0 */
#include "base/vec.h"

void *vec_grow(void *at, size_t *capacity, size_t wanted, size_t size)
{
	size_t room = *capacity;
	void *grown;

	if (wanted <= room)
		return at;
	if (room < 8)
		room = 8;
	while (room < wanted)
		room *= 2;
	grown = reallocarray(at, room, size);
	if (!grown)
		abort();
	*capacity = room;
	return grown;
}
