/* SPDX-License-Identifier: Apache-2.0 */
/* The ids of the zones: the same place in every account, where names are each account's own. */
#include "cloud/private.h"

static void on_zone_id_element(void *arg, const char *path, const char *text)
{
	struct catalog_state *state = arg;
	struct zone_id *zone = &state->zone_id;

	if (strcmp(path, "availabilityZoneInfo/item/zoneName") == 0) {
		set_text(zone->zone, text);
	} else if (strcmp(path, "availabilityZoneInfo/item/zoneId") == 0) {
		set_text(zone->id, text);
	} else if (strcmp(path, "availabilityZoneInfo/item") == 0) {
		if (*zone->zone && *zone->id)
			*vec_push(&state->zone_ids) = *zone;
		*zone = (struct zone_id){0};
	}
}

/* Everything but the label topology.k8s.aws/zone-id goes without them. */
static void on_zone_ids(void *arg, const struct answer *answer)
{
	struct catalog_state *state = arg;
	char words[512];

	if (answer->error)
		log_warning("no ids of zones, so no topology.k8s.aws/zone-id: "
			    "DescribeAvailabilityZones: %s",
			    answer_text(answer, words));
	catalog_fetch_zones(state->cloud);
}

void catalog_fetch_zone_ids(struct cloud *cloud)
{
	struct catalog_state *state = &cloud->catalog;
	_cleanup_text_ struct text query = {0};

	vec_clear(&state->zone_ids);
	state->zone_id = (struct zone_id){0};
	form_begin(&query, "DescribeAvailabilityZones");
	describe_send(cloud, &(struct describe_request){
				     .query = query.data,
				     .flags = state->flags,
				     .on_element = on_zone_id_element,
				     .done = on_zone_ids,
				     .arg = state,
			     });
}

void catalog_take_zone_ids(struct catalog_state *state)
{
	vec_for_each (zone, &state->new_zones)
		vec_for_each (known, &state->zone_ids)
			if (strcmp(known->zone, zone->zone) == 0)
				set_text(zone->zone_id, known->id);
}
