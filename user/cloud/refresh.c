/* SPDX-License-Identifier: Apache-2.0 */
/* The whole catalog of the region once, whatever the NodePools ask for. */
#include "cloud/private.h"

static void finish(struct cloud *cloud)
{
	struct catalog_state *state = &cloud->catalog;
	struct catalog *catalog = NULL, view;

	if (state->fetched_wall_ns && !*state->problem) {
		catalog_view(cloud, &view);
		catalog = catalog_new(view.types, view.types_count, view.zones, view.zones_count);
		memcpy(catalog->region, view.region, sizeof(catalog->region));
		catalog->fetched_wall_ns = view.fetched_wall_ns;
		catalog->priced_wall_ns = view.priced_wall_ns;
		catalog->spot_wall_ns = view.spot_wall_ns;
		catalog_save(cloud);
	}
	TAKE(state->refresh.done)
	(state->refresh.arg, catalog, *state->refresh.problem ? state->refresh.problem : NULL);
}

void refresh_ended(struct cloud *cloud, bool *part, const char *problem)
{
	struct catalog_state *state = &cloud->catalog;

	if (!state->refresh.done || !*part)
		return;
	*part = false;
	if (problem && !*state->refresh.problem)
		set_text(state->refresh.problem, problem);
	if (problem && part == &state->refresh.types)
		state->refresh.prices = state->refresh.spot = false;
	if (!state->refresh.types && !state->refresh.prices && !state->refresh.spot)
		finish(cloud);
}

void cloud_refresh_catalog(struct cloud *cloud,
			   void (*done)(void *arg, struct catalog *catalog, const char *problem),
			   void *arg)
{
	struct catalog_state *state = &cloud->catalog;

	state->everything = true;
	state->flags = CALL_RETRY_LITTLE;
	state->refresh.done = done;
	state->refresh.arg = arg;
	state->refresh.types = state->refresh.prices = state->refresh.spot = true;
	state->refresh.problem[0] = '\0';
	catalog_fetch_types(cloud);
}
