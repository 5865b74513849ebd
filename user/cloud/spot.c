/* SPDX-License-Identifier: Apache-2.0 */
/* Spot prices from EC2's history. */
#include <time.h>

#include "cloud/private.h"

#define SPOT_EVERY_NS (600 * NS_PER_S)

/* Of several prices of a type in a zone the newest counts. */
static void take_spot(struct catalog_state *state)
{
	struct type_zone *found = catalog_zone(state, &state->zone);
	size_t at;

	if (!found || !(state->zone.spot_usd_per_hour > 0))
		return;
	while (state->spot_since_ns.count < state->zones.count)
		(void)vec_push(&state->spot_since_ns);
	at = (size_t)(found - state->zones.at);
	if (state->zone_since_ns < state->spot_since_ns.at[at])
		return;
	state->spot_since_ns.at[at] = state->zone_since_ns;
	found->spot_usd_per_hour = state->zone.spot_usd_per_hour;
}

static void on_spot_element(void *arg, const char *path, const char *text)
{
	struct catalog_state *state = arg;
	double usd = NAN;

	if (strcmp(path, "spotPriceHistorySet/item/instanceType") == 0) {
		set_text(state->zone.type, text);
	} else if (strcmp(path, "spotPriceHistorySet/item/availabilityZone") == 0) {
		set_text(state->zone.zone, text);
	} else if (strcmp(path, "spotPriceHistorySet/item/spotPrice") == 0) {
		if (parse_double(text, &usd) == 0 && isfinite(usd) && usd > 0)
			state->zone.spot_usd_per_hour = usd;
	} else if (strcmp(path, "spotPriceHistorySet/item/timestamp") == 0) {
		if (time_parse(text, &state->zone_since_ns) < 0)
			state->zone_since_ns = 0;
	} else if (strcmp(path, "spotPriceHistorySet/item") == 0) {
		take_spot(state);
		state->zone = (struct type_zone){0};
		state->zone_since_ns = 0;
	}
}

static void on_spot(void *arg, const struct answer *answer)
{
	struct catalog_state *state = arg;
	struct cloud *cloud = state->cloud;
	char words[512];

	state->spot_asking = false;
	if (answer->error)
		log_warning("no spot prices: DescribeSpotPriceHistory: %s",
			    answer_text(answer, words));
	else
		state->spot_wall_ns = time_wall_ns();
	vec_free(&state->spot_since_ns);
	catalog_publish(cloud);
	if (!answer->error)
		catalog_save(cloud);
	loop_timer_at(state->spot_timer, catalog_due_ns(SPOT_EVERY_NS));
	refresh_ended(cloud, &state->refresh.spot, answer->error ? words : NULL);
}

/* StartTime = EndTime = now: the last change before it, which is the price now. */
void catalog_fetch_spot(struct cloud *cloud)
{
	struct catalog_state *state = &cloud->catalog;
	_cleanup_text_ struct text query = {0};
	time_t now = (time_t)(time_wall_ns() / NS_PER_S);
	char when[32];
	struct tm utc;

	loop_timer_at(state->spot_timer, time_mono_ns() + SPOT_EVERY_NS);
	if (state->spot_asking || state->fetching || !state->zones.count ||
	    (!state->everything && !documents_want_spot(cloud->documents)))
		return;
	state->spot_asking = true;
	state->zone = (struct type_zone){0};
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
	form_begin(&query, "DescribeSpotPriceHistory");
	form_add(&query, when, "StartTime");
	form_add(&query, when, "EndTime");
	form_add(&query, "Linux/UNIX", "ProductDescription.1");
	form_add(&query, "Linux/UNIX (Amazon VPC)", "ProductDescription.2");
	catalog_add_filter(cloud, &query);
	form_add(&query, "500", "MaxResults");
	describe_send(cloud, &(struct describe_request){
				     .query = query.data,
				     .flags = state->flags,
				     .on_element = on_spot_element,
				     .done = on_spot,
				     .arg = state,
			     });
}
