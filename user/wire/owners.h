/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owners of listeners, packed and shared: thousands of hosts run the same units, and struct owner
 * has 560 bytes of which most are empty. The cgroup's id, which is another one on every host, is
 * kept apart.
 */
#ifndef FORERUN_WIRE_OWNERS_H
#define FORERUN_WIRE_OWNERS_H

#include "base/map.h"
#include "place/place.h"
#include "wire/item.h"

#define OWNER_TEXTS 7

struct packed_owner {
	uint64_t key;
	uint32_t references;
	uint16_t length; /* of bytes */
	uint16_t end[OWNER_TEXTS]; /* where each text ends in bytes */
	uint8_t kind;
	bool shared;
	char bytes[];
};

struct owners {
	struct map by_key;
	size_t bytes; /* of memory */
};

void owners_free(struct owners *owners); /* all references must be gone */
/* A reference to the packed owner; out of memory aborts the process. */
struct packed_owner *owners_pack(struct owners *owners, const struct owner *owner);
/* The same from its items on the wire; the cgroup's id is set when it is among them. -EBADMSG. */
int owners_read(struct owners *owners, struct part part, struct packed_owner **out,
		uint64_t *cgroup_id, char reason[REASON_SIZE]);
void owners_write(const struct packed_owner *packed, uint64_t cgroup_id, struct text *out);
void owners_unref(struct owners *owners, struct packed_owner *packed);
/* All members but cgroup_id; of a text only what its end is needed for is written. */
void owners_unpack(const struct packed_owner *packed, struct owner *out);
bool owners_same(const struct packed_owner *packed, const struct owner *owner);

#endif
