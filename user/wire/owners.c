/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/owners.h"

enum { TAG_KIND = 1, TAG_CGROUP_ID = 2, TAG_TEXT = 3 /* and the six after it */ };

#define TEXT_OF(member_)                                                              \
	{                                                                             \
		offsetof(struct owner, member_), sizeof(((struct owner *)0)->member_) \
	}

static const struct {
	size_t offset, size;
} texts[OWNER_TEXTS] = {
	TEXT_OF(name),	  TEXT_OF(unit),	TEXT_OF(container_id), TEXT_OF(pod_uid),
	TEXT_OF(process), TEXT_OF(cgroup_path), TEXT_OF(socket_path),
};

static size_t memory_of(const struct packed_owner *packed)
{
	return sizeof(*packed) + packed->length;
}

/* One with the same content that is there already, or a new one. */
static struct packed_owner *share(struct owners *owners, unsigned kind,
				  const struct part part[OWNER_TEXTS])
{
	struct packed_owner about = {.kind = (uint8_t)kind}, *packed, *other;
	char bytes[sizeof(struct owner)];

	for (size_t i = 0; i < OWNER_TEXTS; i++) {
		if (part[i].length)
			memcpy(bytes + about.length, part[i].at, part[i].length);
		about.length += (uint16_t)part[i].length;
		about.end[i] = about.length;
	}
	about.key =
		hash_bytes(bytes, about.length) ^ hash_bytes(about.end, sizeof(about.end)) ^ kind;
	other = map_get(&owners->by_key, about.key);
	if (other && other->kind == about.kind &&
	    memcmp(other->end, about.end, sizeof(about.end)) == 0 &&
	    memcmp(other->bytes, bytes, about.length) == 0) {
		other->references++;
		return other;
	}
	packed = malloc(memory_of(&about));
	if (!packed)
		abort();
	about.references = 1;
	about.shared = !other; /* of two with one key only the first can be found */
	*packed = about;
	memcpy(packed->bytes, bytes, about.length);
	owners->bytes += memory_of(packed);
	if (packed->shared)
		map_put(&owners->by_key, packed->key, packed);
	return packed;
}

void owners_free(struct owners *owners)
{
	map_free(&owners->by_key);
}

void owners_unref(struct owners *owners, struct packed_owner *packed)
{
	if (!packed || --packed->references)
		return;
	owners->bytes -= memory_of(packed);
	if (packed->shared)
		map_remove(&owners->by_key, packed->key);
	free(packed);
}

struct packed_owner *owners_pack(struct owners *owners, const struct owner *owner)
{
	struct part part[OWNER_TEXTS];

	for (size_t i = 0; i < OWNER_TEXTS; i++) {
		part[i].at = (const uint8_t *)owner + texts[i].offset;
		part[i].length = strnlen((const char *)part[i].at, texts[i].size - 1);
	}
	return share(owners, owner->kind, part);
}

void owners_unpack(const struct packed_owner *packed, struct owner *out)
{
	uint16_t from = 0;

	out->kind = (enum owner_kind)packed->kind;
	for (size_t i = 0; i < OWNER_TEXTS; i++) {
		char *text = (char *)out + texts[i].offset;
		size_t length = packed->end[i] - from;

		memcpy(text, packed->bytes + from, length);
		text[length] = '\0';
		from = packed->end[i];
	}
}

bool owners_same(const struct packed_owner *packed, const struct owner *owner)
{
	uint16_t from = 0;

	if (packed->kind != owner->kind)
		return false;
	for (size_t i = 0; i < OWNER_TEXTS; i++) {
		const char *text = (const char *)owner + texts[i].offset;
		size_t length = packed->end[i] - from;

		if (memcmp(text, packed->bytes + from, length) != 0 ||
		    (length < texts[i].size - 1 && text[length]))
			return false;
		from = packed->end[i];
	}
	return true;
}

/* ---- on the wire ---- */

void owners_write(const struct packed_owner *packed, uint64_t cgroup_id, struct text *out)
{
	uint16_t from = 0;

	item_add_number(out, TAG_KIND, packed->kind);
	item_add_number(out, TAG_CGROUP_ID, cgroup_id);
	for (size_t i = 0; i < OWNER_TEXTS; i++) {
		size_t length = packed->end[i] - from;

		if (length)
			item_add_bytes(out, (uint8_t)(TAG_TEXT + i), packed->bytes + from, length);
		from = packed->end[i];
	}
}

static int read_item(const struct item *item, struct part part[OWNER_TEXTS], uint64_t *kind,
		     uint64_t *cgroup_id, char reason[REASON_SIZE])
{
	size_t i = (size_t)item->tag - TAG_TEXT;

	if (item->tag == TAG_KIND && item->type == ITEM_NUMBER) {
		*kind = item->number;
	} else if (item->tag == TAG_CGROUP_ID && item->type == ITEM_NUMBER) {
		*cgroup_id = item->number;
	} else if (item->tag >= TAG_TEXT && i < OWNER_TEXTS) {
		if (item->type != ITEM_BYTES || item->bytes.length >= texts[i].size ||
		    memchr(item->bytes.at, '\0', item->bytes.length)) {
			snprintf(reason, REASON_SIZE, "owner: item %u is no text of less than %zu",
				 item->tag, texts[i].size);
			return -EBADMSG;
		}
		part[i] = item->bytes;
	}
	return 0;
}

int owners_read(struct owners *owners, struct part part, struct packed_owner **out,
		uint64_t *cgroup_id, char reason[REASON_SIZE])
{
	struct part read[OWNER_TEXTS] = {0};
	uint64_t kind = OWNER_UNKNOWN;
	struct item item;
	int r;

	while ((r = item_next(&part, &item, reason)) > 0) {
		r = read_item(&item, read, &kind, cgroup_id, reason);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	/* A kind that only a newer version knows is nobody's here. */
	*out = share(owners, kind <= OWNER_POD ? (unsigned)kind : OWNER_UNKNOWN, read);
	return 0;
}
