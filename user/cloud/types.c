/* SPDX-License-Identifier: Apache-2.0 */
/* Instance types and the zones that offer them, as far as some pool could buy them. */
#include "cloud/private.h"

#define PATTERNS_MAX 150 /* EC2 takes 200 values of a filter */

/* ---- which types to ask for ---- */

void patterns_free(struct patterns *patterns)
{
	vec_for_each (pattern, &patterns->list)
		free(*pattern);
	vec_free(&patterns->list);
}

static void add_pattern(struct patterns *patterns, const char *value, const char *suffix)
{
	_cleanup_free_ char *pattern = str_printf("%s%s", value, suffix);

	vec_for_each (known, &patterns->list)
		if (strcmp(*known, pattern) == 0)
			return;
	*vec_push(&patterns->list) = TAKE(pattern);
}

static bool pool_patterns(const struct pool *pool, struct patterns *out)
{
	static const struct {
		const char *label, *suffix;
	} KEYS[] = {{LABEL_INSTANCE_TYPE, ""},
		    {LABEL_INSTANCE_FAMILY, ".*"},
		    {LABEL_INSTANCE_CATEGORY, "*"}};

	for (size_t i = 0; i < ARRAY_SIZE(KEYS); i++)
		vec_for_each (term, &pool->requirements.list) {
			if (term->op != LABEL_IN || strcmp(term->key, KEYS[i].label) != 0)
				continue;
			for (size_t v = 0; v < term->count; v++)
				add_pattern(out, term->values[v], KEYS[i].suffix);
			return true;
		}
	return false;
}

void catalog_patterns(const struct documents *documents, struct patterns *out)
{
	bool bounded = true;

	vec_for_each (pool, &documents->pools)
		bounded &= pool_patterns(pool, out);
	if (!bounded || out->list.count > PATTERNS_MAX)
		patterns_free(out);
}

static void add_patterns(struct cloud *cloud, struct text *query)
{
	struct patterns patterns = {0};
	size_t count = 0;

	if (cloud->catalog.everything)
		return;
	catalog_patterns(cloud->documents, &patterns);
	if (patterns.list.count)
		form_add(query, "instance-type", "Filter.1.Name");
	vec_for_each (pattern, &patterns.list)
		form_add(query, *pattern, "Filter.1.Value.%zu", ++count);
	patterns_free(&patterns);
}

/* Only DescribeInstanceTypes documents wildcards. Where the types are too many to be named, all
 * are asked for, and what no pool could buy is dropped when it comes. */
static void add_names(const struct instance_type *types, size_t count, struct text *query)
{
	if (count == 0 || count > PATTERNS_MAX)
		return;
	form_add(query, "instance-type", "Filter.1.Name");
	for (size_t i = 0; i < count; i++)
		form_add(query, types[i].name, "Filter.1.Value.%zu", i + 1);
}

void catalog_add_filter(struct cloud *cloud, struct text *query)
{
	add_names(cloud->catalog.types.at, cloud->catalog.types.count, query);
}

/* ---- order ---- */

static int compare_types(const void *a, const void *b)
{
	return strcmp(((const struct instance_type *)a)->name,
		      ((const struct instance_type *)b)->name);
}

static int compare_zones(const void *a, const void *b)
{
	const struct type_zone *left = a, *right = b;
	int order = strcmp(left->type, right->type);

	return order ? order : strcmp(left->zone, right->zone);
}

struct instance_type *catalog_find(struct catalog_state *state, const char *name)
{
	struct instance_type key = {0};

	if (!state->types.count)
		return NULL;
	set_text(key.name, name);
	return bsearch(&key, state->types.at, state->types.count, sizeof(key), compare_types);
}

struct type_zone *catalog_zone(struct catalog_state *state, const struct type_zone *key)
{
	if (!state->zones.count)
		return NULL;
	return bsearch(key, state->zones.at, state->zones.count, sizeof(*key), compare_zones);
}

/* ---- the end ---- */

static void fetch_failed(struct cloud *cloud, const char *what, const struct answer *answer)
{
	struct catalog_state *state = &cloud->catalog;
	char words[512];

	answer_text(answer, words);
	if (strncmp(state->problem, words, 64) != 0)
		log_error("EC2 refused %s: %s%s", what, words,
			  state->types.count ? "; the catalog from before is used on" : "");
	set_text(state->problem, words);
	state->fetching = false;
	loop_timer_at(state->timer,
		      time_mono_ns() + 5 * NS_PER_S +
			      backoff_ns(state->failures++, 5 * NS_PER_S, 300 * NS_PER_S));
	refresh_ended(cloud, &state->refresh.types, words);
	if (state->done)
		state->done(state->done_arg);
}

/* EC2's API does not tell how many branch interfaces a type has, and says of bandwidths what its
 * pages say otherwise: what ships knows. */
static void add_what_ships(struct catalog_state *state)
{
	struct catalog *shipped = catalog_shipped();

	vec_for_each (type, &state->new_types) {
		const struct instance_type *known = catalog_type(shipped, type->name);

		if (!known)
			continue;
		type->pod_eni = known->pod_eni;
		type->network_mbps = known->network_mbps;
	}
	catalog_free(shipped);
}

/* What was priced before keeps its price until the new ones come, and a zone its id where it was
 * not told. */
static void keep_what_is_known(struct catalog_state *state)
{
	vec_for_each (type, &state->new_types) {
		const struct instance_type *old = catalog_find(state, type->name);

		type->usd_per_hour = old ? old->usd_per_hour : NAN;
	}
	vec_for_each (zone, &state->new_zones) {
		const struct type_zone *old = catalog_zone(state, zone);

		zone->spot_usd_per_hour = old ? old->spot_usd_per_hour : NAN;
		if (old && !*zone->zone_id)
			set_text(zone->zone_id, old->zone_id);
	}
}

/* Zones of types that no Linux node is made of (mac2.metal). */
static void drop_strangers(struct catalog_state *state)
{
	size_t kept = 0;

	vec_for_each (zone, &state->zones)
		if (catalog_find(state, zone->type))
			state->zones.at[kept++] = *zone;
	state->zones.count = kept;
}

static void take_new(struct cloud *cloud)
{
	struct catalog_state *state = &cloud->catalog;

	if (state->new_types.count)
		qsort(state->new_types.at, state->new_types.count, sizeof(struct instance_type),
		      compare_types);
	if (state->new_zones.count)
		qsort(state->new_zones.at, state->new_zones.count, sizeof(struct type_zone),
		      compare_zones);
	add_what_ships(state);
	catalog_take_zone_ids(state);
	keep_what_is_known(state);
	vec_free(&state->types);
	vec_free(&state->zones);
	memcpy(&state->types, &state->new_types, sizeof(state->types));
	memcpy(&state->zones, &state->new_zones, sizeof(state->zones));
	memset(&state->new_types, 0, sizeof(state->new_types));
	memset(&state->new_zones, 0, sizeof(state->new_zones));
	vec_clear(&state->spot_since_ns);
	drop_strangers(state);
	if (!state->everything)
		catalog_prune(cloud);
	state->fetched_wall_ns = time_wall_ns();
	state->problem[0] = '\0';
	state->failures = 0;
	state->fetching = false;
}

/* ---- zones ---- */

static void on_zone_element(void *arg, const char *path, const char *text)
{
	struct catalog_state *state = arg;

	if (strcmp(path, "instanceTypeOfferingSet/item/instanceType") == 0) {
		set_text(state->zone.type, text);
	} else if (strcmp(path, "instanceTypeOfferingSet/item/location") == 0) {
		set_text(state->zone.zone, text);
	} else if (strcmp(path, "instanceTypeOfferingSet/item") == 0) {
		if (*state->zone.type && *state->zone.zone)
			*vec_push(&state->new_zones) = state->zone;
		state->zone = (struct type_zone){0};
	}
}

static void on_zones(void *arg, const struct answer *answer)
{
	struct catalog_state *state = arg;
	struct cloud *cloud = state->cloud;

	if (answer->error) {
		fetch_failed(cloud, "DescribeInstanceTypeOfferings", answer);
		return;
	}
	take_new(cloud);
	catalog_publish(cloud);
	if (state->done) {
		state->done(state->done_arg);
		return;
	}
	catalog_save(cloud);
	loop_timer_at(state->timer, catalog_due_ns(TYPES_EVERY_NS));
	catalog_fetch_prices(cloud);
	catalog_fetch_spot(cloud);
	if (!state->zones.count)
		state->refresh.prices = state->refresh.spot = false;
	refresh_ended(cloud, &state->refresh.types,
		      state->zones.count ? NULL : "EC2 offers no instance type there");
}

void catalog_fetch_zones(struct cloud *cloud)
{
	struct catalog_state *state = &cloud->catalog;
	_cleanup_text_ struct text query = {0};

	vec_clear(&state->new_zones);
	state->zone = (struct type_zone){0};
	form_begin(&query, "DescribeInstanceTypeOfferings");
	form_add(&query, "availability-zone", "LocationType");
	add_names(state->new_types.at, state->new_types.count, &query);
	form_add(&query, "500", "MaxResults");
	describe_send(cloud, &(struct describe_request){
				     .query = query.data,
				     .flags = state->flags,
				     .on_element = on_zone_element,
				     .done = on_zones,
				     .arg = state,
			     });
}

/* ---- types ---- */

static void on_type_element(void *arg, const char *path, const char *text)
{
	static const char prefix[] = "instanceTypeSet/item";
	struct catalog_state *state = arg;
	struct instance_type type;

	if (!str_starts(path, prefix))
		return;
	path += sizeof(prefix) - 1;
	if (*path)
		type_element(&state->type, path, text);
	else if (type_end(&state->type, &type))
		*vec_push(&state->new_types) = type;
}

static void on_types(void *arg, const struct answer *answer)
{
	struct catalog_state *state = arg;

	if (answer->error)
		fetch_failed(state->cloud, "DescribeInstanceTypes", answer);
	else
		catalog_fetch_zone_ids(state->cloud);
}

/* Small pages: reading one holds up the loop for less than a launch would notice. */
void catalog_fetch_types(struct cloud *cloud)
{
	struct catalog_state *state = &cloud->catalog;
	_cleanup_text_ struct text query = {0};

	if (state->fetching)
		return;
	state->fetching = true;
	vec_clear(&state->new_types);
	state->type = (struct type_reader){0};
	form_begin(&query, "DescribeInstanceTypes");
	add_patterns(cloud, &query);
	form_add(&query, "50", "MaxResults");
	describe_send(cloud, &(struct describe_request){
				     .query = query.data,
				     .flags = state->flags,
				     .on_element = on_type_element,
				     .done = on_types,
				     .arg = state,
			     });
}
