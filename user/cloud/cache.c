/* SPDX-License-Identifier: Apache-2.0 */
/* Catalog and prices on disk, for starts while the API is away and for starts that follow each
 * other. */
#include "cloud/private.h"

#include <cjson/cJSON.h>

#define CACHE_BYTES_MAX ((size_t)32 << 20)
#define CACHE_VERSION 1

static char *cache_file(const struct cloud *cloud)
{
	return cloud->config.cache_path ? str_printf("%s/catalog.json", cloud->config.cache_path)
					: NULL;
}

/* Requirements that ask for other types make it useless. */
static uint64_t patterns_hash(const struct cloud *cloud)
{
	_cleanup_text_ struct text joined = {0};
	struct patterns patterns = {0};

	text_add(&joined, cloud->identity.region);
	catalog_patterns(cloud->documents, &patterns);
	vec_for_each (pattern, &patterns.list)
		text_printf(&joined, " %s", *pattern);
	patterns_free(&patterns);
	return hash_text(joined.data);
}

/* ---- writing ---- */

static void add_price(struct text *out, double usd)
{
	if (isnan(usd))
		text_add(out, "null");
	else
		text_printf(out, "%.17g", usd);
}

static void add_types(const struct catalog_state *state, struct text *out)
{
	const char *comma = "";

	text_add(out, "\"types\":[");
	vec_for_each (type, &state->types) {
		text_printf(out, "%s\n[", comma);
		text_add_json(out, type->name);
		text_printf(out, ",%d,%d,%d,%u,%llu,", type->amd64, type->arm64, type->bare_metal,
			    type->vcpus, (unsigned long long)type->memory_mib);
		add_price(out, type->usd_per_hour);
		text_add_char(out, ']');
		comma = ",";
	}
	text_add(out, "],\n");
}

static void add_zones(const struct catalog_state *state, struct text *out)
{
	const char *comma = "";

	text_add(out, "\"zones\":[");
	vec_for_each (zone, &state->zones) {
		text_printf(out, "%s\n[", comma);
		text_add_json(out, zone->type);
		text_add_char(out, ',');
		text_add_json(out, zone->zone);
		text_add_char(out, ',');
		add_price(out, zone->spot_usd_per_hour);
		text_add_char(out, ']');
		comma = ",";
	}
	text_add(out, "]");
}

void catalog_save(struct cloud *cloud)
{
	struct catalog_state *state = &cloud->catalog;
	_cleanup_free_ char *path = cache_file(cloud);
	_cleanup_text_ struct text out = {0};
	char fetched[TIME_TEXT_SIZE], priced[TIME_TEXT_SIZE];
	int r;

	if (!path || !state->fetched_wall_ns)
		return;
	time_format(state->fetched_wall_ns, fetched);
	time_format(state->priced_wall_ns, priced);
	text_printf(&out, "{\"version\":%d,\"for\":\"%016llx\",\"fetched\":\"%s\",", CACHE_VERSION,
		    (unsigned long long)patterns_hash(cloud), fetched);
	if (state->priced_wall_ns)
		text_printf(&out, "\"priced\":\"%s\",\n", priced);
	add_types(state, &out);
	add_zones(state, &out);
	text_add(&out, "}\n");
	r = file_write_atomic(path, out.data, out.length, 0640);
	if (r < 0)
		log_warning("cannot write the catalog's copy %s: %s", path, strerror(-r));
}

/* ---- reading ---- */

static double number_at(const cJSON *array, int index)
{
	const cJSON *item = cJSON_GetArrayItem(array, index);

	return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static uint64_t count_at(const cJSON *array, int index)
{
	double value = number_at(array, index);

	return value >= 0 && value <= 1e12 ? (uint64_t)value : 0;
}

static void read_lists(const cJSON *root, struct catalog_state *state)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(root, "types")) {
		const char *name = cJSON_GetStringValue(cJSON_GetArrayItem(item, 0));
		struct type_info *type;

		if (!name)
			continue;
		type = vec_push(&state->types);
		set_text(type->name, name);
		type->amd64 = count_at(item, 1);
		type->arm64 = count_at(item, 2);
		type->bare_metal = count_at(item, 3);
		type->vcpus = (uint32_t)count_at(item, 4);
		type->memory_mib = count_at(item, 5);
		type->usd_per_hour = number_at(item, 6);
	}
	cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(root, "zones")) {
		const char *type = cJSON_GetStringValue(cJSON_GetArrayItem(item, 0));
		const char *name = cJSON_GetStringValue(cJSON_GetArrayItem(item, 1));
		struct type_zone *zone;

		if (!type || !name)
			continue;
		zone = vec_push(&state->zones);
		set_text(zone->type, type);
		set_text(zone->zone, name);
		zone->spot_usd_per_hour = number_at(item, 2);
	}
}

static bool read_head(const struct cloud *cloud, const cJSON *root, struct catalog_state *state)
{
	const cJSON *version = cJSON_GetObjectItemCaseSensitive(root, "version");
	const char *mark = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, "for"));
	const char *fetched =
		cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, "fetched"));
	const char *priced = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, "priced"));
	char expected[20];

	snprintf(expected, sizeof(expected), "%016llx", (unsigned long long)patterns_hash(cloud));
	if (!cJSON_IsNumber(version) || version->valueint != CACHE_VERSION ||
	    !str_equal(mark, expected) || !fetched ||
	    time_parse(fetched, &state->fetched_wall_ns) < 0)
		return false;
	if (priced)
		time_parse(priced, &state->priced_wall_ns);
	return true;
}

void catalog_load(struct cloud *cloud)
{
	struct catalog_state *state = &cloud->catalog;
	_cleanup_free_ char *path = cache_file(cloud), *text = NULL;
	uint64_t wall_ns = time_wall_ns();
	size_t length = 0;
	cJSON *root;
	int r;

	if (!path)
		return;
	r = file_read(path, CACHE_BYTES_MAX, &text, &length);
	if (r < 0) {
		if (r != -ENOENT)
			log_warning("cannot read the catalog's copy %s: %s", path, strerror(-r));
		return;
	}
	root = cJSON_ParseWithLength(text, length);
	if (root && read_head(cloud, root, state)) {
		read_lists(root, state);
		catalog_publish(cloud);
		log_info("catalog: %zu types from %s, %.1f h old", state->types.count, path,
			 (double)(wall_ns - MIN(wall_ns, state->fetched_wall_ns)) / 3600e9);
	}
	cJSON_Delete(root);
}
