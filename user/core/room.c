/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much room every limit leaves for instances of one offer. EC2 may take any override of a call
 * for all of its instances, so an offer stays in a call only when it has room for all of them.
 */
#include <math.h>

#include "core/core_private.h"

/* ---- subnets ---- */

struct subnet_state *subnet_find(const struct core *core, const char *id)
{
	struct subnet_state *subnet = map_get(&core->subnets_by_id, hash_text(id));

	return subnet && strcmp(subnet->id, id) == 0 ? subnet : NULL;
}

/* Free addresses as EC2 counted them just now: what was launched before is in them. */
void subnets_see(struct core *core, const struct class_view *view)
{
	for (size_t i = 0; i < view->subnets_count; i++) {
		const struct subnet *seen = &view->subnets[i];
		struct subnet_state *subnet = subnet_find(core, seen->id);

		if (!subnet) {
			subnet = calloc(1, sizeof(*subnet));
			if (!subnet)
				abort();
			set_text(subnet->id, seen->id);
			*vec_push(&core->subnets) = subnet;
			map_put(&core->subnets_by_id, hash_text(subnet->id), subnet);
		}
		subnet->free_addresses = seen->free_addresses;
		subnet->seen_ns = core->now_ns;
	}
}

/* ---- quotas ---- */

static bool in_list(const char *list, const char *word, size_t length)
{
	for (const char *at = list; *at;) {
		size_t part = strcspn(at, ",");

		if (part == length && strncmp(at, word, length) == 0)
			return true;
		at += part + (at[part] == ',');
	}
	return false;
}

/* The quota that counts this type, by the letters that its name begins with: "m5.large" is of m. */
struct quota_state *quota_find(struct core *core, const char *instance_type,
			       enum capacity_type type)
{
	size_t letters = strspn(instance_type, "abcdefghijklmnopqrstuvwxyz");

	vec_for_each (it, &core->quotas)
		if (it->quota.capacity_type == type &&
		    in_list(it->quota.categories, instance_type, letters))
			return it;
	return NULL;
}

void quotas_see(struct core *core, const struct catalog *catalog)
{
	vec_clear(&core->quotas);
	for (size_t i = 0; i < catalog->quotas_count; i++)
		vec_push(&core->quotas)->quota = catalog->quotas[i];
}

/* ---- room ---- */

static double times(double room, double each)
{
	/* Within rounding, so that ten of 0.1 are one. */
	return each > 0 ? floor(room / each + 1e-9) : INFINITY;
}

static double times_usd(double room, double each)
{
	if (isinf(room))
		return INFINITY;
	return isnan(each) ? 0 : times(room, each);
}

static double left_of(uint32_t all, uint32_t taken)
{
	return all - MIN(all, taken);
}

/* More than the limit may be in use, when it was lowered: then nothing is added, of any type. */
static double times_resources(const struct offer *offer, const struct room *room, uint32_t kinds)
{
	double most = INFINITY;

	for (size_t i = 0; i < POOL_RESOURCES; i++) {
		if (!(kinds & ROOM_RESOURCES << i) || isinf(room->resources[i]))
			continue;
		if (!offer->resources || room->resources[i] < 0)
			return 0;
		most = MIN(most, times(room->resources[i], offer->resources[i]));
	}
	return most;
}

/* How many instances of this offer the limits of that kind leave room for. */
uint32_t offer_room(const struct offer *offer, const struct room *room, uint32_t kinds)
{
	const struct launch_override *override = &offer->override;
	double most = UINT32_MAX;

	if (kinds & ROOM_USD_HOUR)
		most = MIN(most, times_usd(room->usd_hour, override->usd_per_hour));
	if (kinds & ROOM_USD_DAY)
		most = MIN(most, times_usd(room->usd_day, override->usd_per_hour));
	if (kinds & ROOM_CPU)
		most = MIN(most, times(room->cpus, override->vcpus));
	if (kinds & ROOM_MEMORY)
		most = MIN(most, times(room->memory_mib, (double) override->memory_mib));
	if (offer->reserved)
		most = MIN(most, offer->reserved);
	if (kinds & ROOM_NODES)
		most = MIN(most, room->nodes);
	most = MIN(most, times_resources(offer, room, kinds));
	if ((kinds & ROOM_SUBNET) && offer->subnet)
		most = MIN(most, left_of(offer->subnet->free_addresses, offer->subnet->taken));
	if ((kinds & ROOM_QUOTA) && offer->quota)
		most = MIN(most, times(offer->quota->quota.vcpus - offer->quota->vcpus_used,
				       override->vcpus));
	return most > 0 ? (uint32_t)most : 0;
}
