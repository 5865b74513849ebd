/* SPDX-License-Identifier: Apache-2.0 */
/* What EC2 sells, on its way into a catalog: catalog.c, types.c, types_read.c, zone_ids.c,
 * prices.c, spot.c, cache.c. Included by cloud/private.h. */
#ifndef FORERUN_CLOUD_CATALOG_PRIVATE_H
#define FORERUN_CLOUD_CATALOG_PRIVATE_H

#include "cloud/cloud.h"

#include "base/text.h"
#include "base/vec.h"

struct cloud;

#define TYPES_EVERY_NS (12 * 3600 * NS_PER_S) /* types, zones and prices on demand */
#define NETWORK_CARDS_MAX 32

/* One type of DescribeInstanceTypes being read: what stands there before it is known what
 * counts.
 */
struct type_reader {
	struct instance_type type;
	uint32_t card_interfaces[NETWORK_CARDS_MAX], cards, default_card;
	double card_gbps; /* baseline of all cards */
	bool nvme_unsupported, ebs_optimized;
	struct accelerator device; /* being read */
	uint32_t device_cores;
	struct accelerator inference; /* counts where there is no Neuron device */
	uint32_t gpu_kinds, neuron_kinds, inference_kinds;
};
/* An element below instanceTypeSet/item (types_read.c). */
void type_element(struct type_reader *reader, const char *path, const char *text);
/* At the item's end; false: not a type that Linux nodes are made of. The reader is as new. */
bool type_end(struct type_reader *reader, struct instance_type *out);

/* NodePools with the same requirements and labels: the first of them. */
struct pool_kind {
	const struct pool *pool;
	uint64_t hash;
};

struct catalog_state {
	struct cloud *cloud;
	VEC(struct pool_kind) kinds;
	VEC(struct instance_type) types;
	VEC(struct type_zone) zones;
	uint64_t fetched_wall_ns; /* types and zones; 0: never */
	uint64_t priced_wall_ns, spot_wall_ns; /* on demand, on spot; 0: never */
	struct offerings offerings; /* what was published last */
	VEC(struct vcpu_quota) quotas;
	struct catalog view;
	/* while fetching */
	VEC(struct instance_type) new_types;
	VEC(struct type_zone) new_zones;
	struct type_reader type;
	struct type_zone zone;
	VEC(struct zone_id) zone_ids;
	struct zone_id zone_id;
	uint64_t zone_since_ns; /* since when that is its price */
	VEC(uint64_t) spot_since_ns; /* of each of zones, while prices come */
	size_t price_at;
	char *price_token;
	bool price_by_type, fetching, pricing, spot_asking;
	bool everything; /* not only what pools could buy */
	unsigned flags;
	char problem[CLOUD_TEXT_SIZE];
	uint32_t failures;
	void (*done)(void *arg); /* of the types, once; for the check */
	void *done_arg;
	struct loop_timer *timer, *spot_timer, *price_timer;
	struct {
		void (*done)(void *arg, struct catalog *catalog, const char *problem);
		void *arg;
		bool types, prices, spot; /* under way */
		char problem[CLOUD_TEXT_SIZE];
	} refresh;
};

int catalog_init(struct cloud *cloud);
void catalog_close(struct cloud *cloud);
void catalog_start(struct cloud *cloud);
void catalog_fetch_types(struct cloud *cloud); /* types, then the ids of zones, then zones */
void catalog_fetch_zone_ids(struct cloud *cloud);
void catalog_take_zone_ids(struct catalog_state *state); /* into the new zones */
void catalog_fetch_zones(struct cloud *cloud);
void catalog_fetch_prices(struct cloud *cloud);
void catalog_fetch_spot(struct cloud *cloud);
void catalog_publish(struct cloud *cloud);
void catalog_prune(struct cloud *cloud); /* what no pool could buy is not kept */
void catalog_view(const struct cloud *cloud, struct catalog *out); /* without offerings */
/* Names what the pools ask for. */
void catalog_filter(const struct cloud *cloud, char out[20]);
uint64_t catalog_due_ns(uint64_t every_ns); /* from now, up to a tenth sooner */
/* A part of cloud_refresh_catalog() ended; problem: how it failed, NULL. */
void refresh_ended(struct cloud *cloud, bool *part, const char *problem);
void catalog_load(struct cloud *cloud);
void catalog_save(struct cloud *cloud);
/* Of the same type and zone as key. */
struct type_zone *catalog_zone(struct catalog_state *state, const struct type_zone *key);
void catalog_add_filter(struct cloud *cloud, struct text *query); /* the types that are known */
struct instance_type *catalog_find(struct catalog_state *state, const char *name);
/* Wildcards ("c7g.*") that cover every type which some pool could buy; none: all types. Ownership
 * passes. */
struct patterns {
	VEC(char *) list;
};
void catalog_patterns(const struct documents *documents, struct patterns *out);
void patterns_free(struct patterns *patterns);
bool documents_want_spot(const struct documents *documents);
/* One page of Pricing's GetProducts: calls fn for each on-demand price; token gets NextToken or
 * NULL. -EBADMSG when it is none. */
int prices_parse(const char *body, size_t length,
		 void (*fn)(void *arg, const char *type, double usd_per_hour), void *arg,
		 char **token);

#endif
