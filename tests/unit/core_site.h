/* SPDX-License-Identifier: Apache-2.0 */
/* A site for the core: two cores with a lease and its record, two services on one NodePool, one
 * EC2. */
#ifndef CORE_SITE_H
#define CORE_SITE_H

#include "core_fleet.h"

#define CORES 2

struct site {
	struct world ec2; /* its core is never made */
	struct world cores[CORES];
	struct text record; /* in the lease */
	uint64_t epoch;
};

static inline void site_new(struct site *site, const char *pool, const struct core_limits *limits)
{
	memset(site, 0, sizeof(*site));
	world_init(&site->ec2, TWO_YAML, pool);
	for (int i = 0; i < CORES; i++) {
		struct world *world = &site->cores[i];

		fleet_init(world, TWO_YAML);
		documents_free(&world->documents);
		memset(&world->documents, 0, sizeof(world->documents));
		world_documents(world, TWO_YAML, pool);
		world->shares = &site->ec2;
		world->config.standby = true;
		world->config.limits = *limits;
		snprintf(world->config.host, sizeof(world->config.host), "core-%d", i);
		world_start(world);
	}
}

static inline void site_free(struct site *site)
{
	for (int i = 0; i < CORES; i++)
		world_free(&site->cores[i]);
	world_free(&site->ec2);
	text_free(&site->record);
}

static inline void site_advance(struct site *site, uint64_t ns)
{
	world_advance(&site->ec2, ns);
	for (int i = 0; i < CORES; i++) {
		world_sync(&site->cores[i]);
		site->cores[i].now = site->ec2.now;
	}
}

/* One host of each service says that, to both cores. */
static inline void say(struct site *site, double web, double api, uint64_t ns)
{
	for (uint64_t at = 0; at < ns; at += 100 * NS_PER_MS) {
		site_advance(site, 100 * NS_PER_MS);
		for (int i = 0; i < CORES; i++) {
			struct world *world = &site->cores[i];

			if (!world->core)
				continue;
			report(world, "web-1", "web", web);
			report(world, "api-1", "api", api);
			core_tick(world->core, world->now);
		}
	}
}

/* It leads, with a record of its own in the lease, and knows what runs. */
static inline void lead(struct site *site, int i)
{
	struct world *world = &site->cores[i];

	world_lead(world, ++site->epoch, site->record.data ? site->record.data : "");
	world_record(world, &site->record);
	site_advance(site, NS_PER_MS);
	world_describe(world);
	say(site, 5, 5, 5 * NS_PER_S);
}

static inline void dies(struct site *site, int i)
{
	world_crash(&site->cores[i]);
	vec_for_each (line, &site->cores[i].journal)
		free(*line);
	vec_clear(&site->cores[i].journal);
	vec_clear(&site->cores[i].synced);
}

static inline uint32_t answered(struct site *site, int i)
{
	answer_all(&site->cores[i]);
	return ec2_alive(&site->ec2);
}

static inline struct core_limits limits_of(void)
{
	struct core_limits limits;

	core_limits_default(&limits);
	limits.host_replicas = INFINITY;
	limits.surge = limits.launches_per_minute = 1000;
	limits.visible_within_ns = 60 * NS_PER_S;
	return limits;
}

#endif
