/* SPDX-License-Identifier: Apache-2.0 */
/* Catalog and prices on disk, for starts while the API is away and for starts that follow each
 * other. */
#include "cloud/private.h"

#define CACHE_BYTES_MAX ((size_t)32 << 20)

static char *cache_file(const struct cloud *cloud)
{
	return cloud->config.cache_path ? str_printf("%s/catalog.json", cloud->config.cache_path)
					: NULL;
}

/* Requirements that ask for other types make it useless. */
void catalog_filter(const struct cloud *cloud, char out[20])
{
	_cleanup_text_ struct text joined = {0};
	struct patterns patterns = {0};

	text_add(&joined, cloud->identity.region);
	catalog_patterns(cloud->documents, &patterns);
	vec_for_each (pattern, &patterns.list)
		text_printf(&joined, " %s", *pattern);
	patterns_free(&patterns);
	snprintf(out, 20, "%016llx", (unsigned long long)hash_text(joined.data));
}

void catalog_save(struct cloud *cloud)
{
	_cleanup_free_ char *path = cache_file(cloud);
	_cleanup_text_ struct text out = {0};
	struct catalog view;
	int r;

	if (!path || !cloud->catalog.fetched_wall_ns)
		return;
	catalog_view(cloud, &view);
	catalog_write(&view, &out);
	r = file_write_atomic(path, out.data, out.length, 0640);
	if (r < 0)
		log_warning("cannot write the catalog's copy %s: %s", path, strerror(-r));
}

static void take(struct catalog_state *state, const struct catalog *catalog)
{
	for (size_t i = 0; i < catalog->types_count; i++)
		*vec_push(&state->types) = catalog->types[i];
	for (size_t i = 0; i < catalog->zones_count; i++)
		*vec_push(&state->zones) = catalog->zones[i];
	state->fetched_wall_ns = catalog->fetched_wall_ns;
	state->priced_wall_ns = catalog->priced_wall_ns;
	state->spot_wall_ns = catalog->spot_wall_ns;
	state->everything = !*catalog->filter;
}

/* Of this region, and of these pools or of everything. */
static bool serves(const struct cloud *cloud, const struct catalog *catalog, const char *path)
{
	char filter[20];

	catalog_filter(cloud, filter);
	if (strcmp(catalog->region, cloud->identity.region) != 0)
		log_info("the catalog's copy %s is of %s: fetching that of %s", path,
			 catalog->region, cloud->identity.region);
	else if (*catalog->filter && strcmp(catalog->filter, filter) != 0)
		log_info("the catalog's copy %s holds the types of other NodePools: fetching anew",
			 path);
	else
		return catalog->fetched_wall_ns && catalog->types_count;
	return false;
}

/* What cannot be used is fetched anew, and said. */
void catalog_load(struct cloud *cloud)
{
	struct catalog_state *state = &cloud->catalog;
	_cleanup_free_ char *path = cache_file(cloud), *text = NULL;
	uint64_t wall_ns = time_wall_ns();
	struct problems problems = {0};
	struct catalog *catalog = NULL;
	size_t length = 0;
	int r;

	if (!path)
		return;
	r = file_read(path, CACHE_BYTES_MAX, &text, &length);
	if (r < 0 && r != -ENOENT)
		log_warning("cannot read the catalog's copy %s: %s", path, strerror(-r));
	if (r < 0)
		return;
	r = catalog_read(path, text, length, &catalog, &problems);
	vec_for_each (problem, &problems.list)
		log_warning("%s: %s", problem->where, problem->text);
	problems_free(&problems);
	if (r >= 0 && serves(cloud, catalog, path)) {
		take(state, catalog);
		catalog_publish(cloud);
		log_info("catalog: %zu types from %s, %.1f h old", state->types.count, path,
			 (double)(wall_ns - MIN(wall_ns, state->fetched_wall_ns)) / 3600e9);
	}
	catalog_free(catalog);
}
