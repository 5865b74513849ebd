/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "core/drain.h"

void core_limits_default(struct core_limits *limits)
{
	*limits = (struct core_limits){
		.launches_per_minute = 20,
		.usd_per_hour = INFINITY,
		.usd_per_day = INFINITY,
		.surge = 100,
		.host_replicas = 10,
		.silent_share = 0.2,
		.visible_within_ns = 300 * NS_PER_S,
		.stale_ns = 3 * NS_PER_S,
		.lead_time_ns = 40 * NS_PER_S,
		.drain_most_ns = 300 * NS_PER_S,
		.drain_blind_ns = 30 * NS_PER_S,
		.no_capacity_ns = 180 * NS_PER_S,
		.serving_after_ns = 20 * NS_PER_S,
	};
}

/* What the tags of an instance that is launched today say of its class and pool. */
static void hashes_of(struct pool_state *pool)
{
	snprintf(pool->pool_hash, sizeof(pool->pool_hash), "%016llx",
		 (unsigned long long)documents_pool_hash(pool->pool));
	if (pool->class)
		snprintf(pool->class_hash, sizeof(pool->class_hash), "%016llx",
			 (unsigned long long)documents_class_hash(pool->class->node_class));
}

static void pools_new(struct core *core)
{
	vec_for_each (node_class, &core->documents->classes)
		core->classes[core->classes_count++].node_class = node_class;
	vec_for_each (pool, &core->documents->pools) {
		struct pool_state *state = &core->pools[core->pools_count++];

		state->pool = pool;
		pool_resources_new(state);
		if (!pool_find(core, pool->name))
			map_put(&core->pools_by_name, hash_text(pool->name), state);
		for (size_t i = 0; i < core->classes_count; i++)
			if (str_equal(core->documents->classes.at[i].name, pool->node_class))
				state->class = &core->classes[i];
		hashes_of(state);
	}
}

static int policy_new(struct core *core, const struct policy *policy)
{
	struct policy_state *state = &core->policies[core->policies_count];
	size_t count = MAX(policy->metrics.count, 1);

	state->policy = policy;
	state->pool = pool_find(core, policy->pool);
	state->lane = lane_of(core, policy->pool, policy->name);
	state->readings = calloc(count, sizeof(*state->readings));
	state->readings_up = calloc(count, sizeof(*state->readings_up));
	state->observations = calloc(count, sizeof(*state->observations));
	state->forecasts = calloc(count, sizeof(*state->forecasts));
	state->result_up.reason = state->result_present.reason = "";
	state->status_old = true;
	core->status[core->policies_count++].policy = policy;
	if (!policy_find(core, policy->name))
		map_put(&core->policies_by_name, hash_text(policy->name), state);
	if (!state->readings || !state->readings_up || !state->observations || !state->forecasts)
		return -ENOMEM;
	return 0;
}

static int policies_new(struct core *core)
{
	vec_for_each (policy, &core->documents->policies)
		if (policy_new(core, policy) < 0)
			return -ENOMEM;
	return services_new(core);
}

static int tables_new(struct core *core)
{
	const struct documents *documents = core->documents;
	size_t policies = MAX(documents->policies.count, 1);

	core->policies = calloc(policies, sizeof(*core->policies));
	core->status = calloc(policies, sizeof(*core->status));
	core->evaluated_ns = calloc(policies, sizeof(*core->evaluated_ns));
	core->dirty = calloc(policies, sizeof(*core->dirty));
	core->pools = calloc(MAX(documents->pools.count, 1), sizeof(*core->pools));
	core->classes = calloc(MAX(documents->classes.count, 1), sizeof(*core->classes));
	if (!core->policies || !core->status || !core->evaluated_ns || !core->dirty ||
	    !core->pools || !core->classes)
		return -ENOMEM;
	pools_new(core);
	wants_new(core);
	return policies_new(core);
}

int core_new(const struct core_config *config, const struct documents *documents,
	     const struct core_effects *effects, struct core **out)
{
	struct core *core = calloc(1, sizeof(*core));
	int r;

	if (!core)
		return -ENOMEM;
	core->config = *config;
	core->documents = documents;
	core->effects = *effects;
	core->leads = !config->standby;
	core->changes = 1;
	if (config->standby)
		brake_everything(core, BRAKE_STANDBY, "another core leads", (struct moment){0});
	core->host_hash = (uint32_t)(hash_text(config->host) ^ (hash_text(config->host) >> 32));
	r = tables_new(core);
	if (r == 0)
		r = allowance_new(core);
	if (r < 0) {
		core_free(core);
		return r;
	}
	*out = core;
	return 0;
}

static void free_lists(struct core *core)
{
	vec_for_each (it, &core->records)
		record_free(*it);
	while (core->drains.count)
		drain_free(core, core->drains.at[core->drains.count - 1]);
	vec_for_each (it, &core->instances) {
		vec_free(&(*it)->targets);
		free(*it);
	}
	vec_for_each (it, &core->orders)
		open_order_free(*it);
	vec_for_each (it, &core->retirements)
		open_retirement_free(*it);
	vec_for_each (it, &core->subnets)
		free(*it);
	vec_free(&core->records);
	vec_free(&core->instances);
	vec_free(&core->orders);
	vec_free(&core->retirements);
	vec_free(&core->drains);
	vec_free(&core->unmarks);
	vec_free(&core->routed);
	vec_free(&core->target_calls);
	vec_free(&core->no_capacity);
	vec_free(&core->launches);
	vec_for_each (it, &core->lanes)
		lane_free(*it);
	vec_free(&core->starting);
	vec_free(&core->lanes);
	map_free(&core->records_by_id);
	vec_free(&core->subnets);
	vec_free(&core->quotas);
	vec_free(&core->pauses);
	map_free(&core->subnets_by_id);
	map_free(&core->policies_by_name);
	map_free(&core->pools_by_name);
	map_free(&core->instances_by_id);
	map_free(&core->lanes_by_key);
}

static void policy_free(struct policy_state *policy)
{
	for (size_t i = 0; policy->forecasts && i < policy->policy->metrics.count; i++)
		vec_free(&policy->forecasts[i].points);
	for (int t = 0; t < CAPACITY_TYPES; t++)
		vec_free(&policy->offers[t].list);
	vec_free(&policy->fits);
	hpa_state_free(&policy->up);
	hpa_state_free(&policy->down);
	free(policy->readings);
	free(policy->readings_up);
	free(policy->observations);
	free(policy->forecasts);
}

void core_free(struct core *core)
{
	if (!core)
		return;
	for (size_t i = 0; i < core->policies_count; i++)
		policy_free(&core->policies[i]);
	wants_free(core);
	for (size_t i = 0; i < core->pools_count; i++) {
		vec_free(&core->pools[i].offerings);
		vec_free(&core->pools[i].types);
		vec_free(&core->pools[i].values);
		vec_free(&core->pools[i].leads);
		for (int t = 0; t < CAPACITY_TYPES; t++)
			vec_free(&core->pools[i].offers[t].list);
	}
	for (size_t i = 0; i < core->classes_count; i++) {
		vec_free(&core->classes[i].subnets);
		vec_free(&core->classes[i].templates);
		vec_free(&core->classes[i].reservations);
	}
	free_lists(core);
	allowance_free(core);
	services_free(core);
	giving_free(core);
	free(core->policies);
	free(core->status);
	free(core->evaluated_ns);
	free(core->dirty);
	free(core->pools);
	free(core->classes);
	text_free(&core->line);
	free(core);
}

/* Every door that is handed a moment. */
static void moment_is(struct core *core, struct moment now)
{
	core->now_ns = MAX(core->now_ns, now.mono_ns);
	core->now_wall_ns = now.wall_ns;
}

void core_start(struct core *core, struct moment now)
{
	moment_is(core, now);
	core->started = true;
	core->starts_from_ns = now.mono_ns;
	instances_start(core, now);
	lanes_start(core, now);
	orders_start(core, now);
	retirements_start(core, now);
	drains_start(core, now);
	for (size_t i = core->records.count; i-- > 0;)
		record_close_if_done(core, core->records.at[i], now);
	counts_old(core);
}

/* What is on demand can be reserved, too: that is paid for, whoever uses it. */
static void offering_take(struct pool_state *pool, const struct offering *offering)
{
	const struct node_class *node_class = pool->class ? pool->class->node_class : NULL;
	struct offering reserved = *offering;

	if (offering_matches(offering, pool->pool))
		*vec_push(&pool->offerings) = *offering;
	reserved.capacity_type = CAPACITY_RESERVED;
	reserved.usd_per_hour = 0;
	if (offering->capacity_type == CAPACITY_ON_DEMAND && node_class &&
	    node_class->reservations.count && offering_matches(&reserved, pool->pool))
		*vec_push(&pool->offerings) = reserved;
}

void core_catalog(struct core *core, const struct catalog *catalog)
{
	for (size_t p = 0; p < core->pools_count; p++) {
		struct pool_state *pool = &core->pools[p];

		vec_clear(&pool->offerings);
		for (size_t i = 0; i < catalog->count; i++)
			offering_take(pool, &catalog->offerings[i]);
		values_rebuild(pool);
		pool_resources_rebuild(pool, catalog);
	}
	quotas_see(core, catalog);
	vec_for_each (it, &core->instances)
		instance_describe(core, *it);
	vec_for_each (it, &core->orders)
		order_worst(core, *it);
	counts_old(core);
	fits_rebuild(core);
	offers_rebuild_all(core);
}

void core_class(struct core *core, const struct class_view *view)
{
	for (size_t i = 0; i < core->classes_count; i++) {
		struct class_state *class = &core->classes[i];

		if (!str_equal(class->node_class->name, view->name))
			continue;
		class->known = true;
		class->ready = view->ready;
		set_text(class->problem, view->problem);
		class->groups_hash = view->groups_hash;
		vec_clear(&class->subnets);
		vec_clear(&class->templates);
		vec_clear(&class->reservations);
		for (size_t r = 0; r < view->reservations_count; r++)
			*vec_push(&class->reservations) = view->reservations[r];
		for (size_t s = 0; s < view->subnets_count; s++)
			*vec_push(&class->subnets) = view->subnets[s];
		for (size_t t = 0; t < view->templates_count; t++)
			*vec_push(&class->templates) = view->templates[t];
	}
	subnets_see(core, view);
	counts_old(core);
	offers_rebuild_all(core);
}

uint64_t core_frame(struct core *core, const struct frame *frame, struct moment now)
{
	bool edge = frame->kind == FRAME_EDGE;
	uint64_t edge_ns = edge ? frame->edge_ns : 0;
	struct host_view *host;

	moment_is(core, now);
	core->totals.edges += edge;
	if (core->config.fleet) {
		instance_heard(core, frame, now);
		/* Of another host's clock only ages are taken: the edge is the newest in it. */
		edge_ns = edge ? now.mono_ns - MIN(now.mono_ns, frame->age_ns) : 0;
	}
	notices_take(core, frame, now);
	host = host_take(core, frame, now);
	if (!host)
		return UINT64_MAX;
	frame_take(core, host, frame);
	/* What waits on a host that goes is no reason to buy. */
	edge &= !host_is_leaving(core, host);
	return evaluate_frame(core, host, edge, edge_ns, now);
}

uint64_t core_tick(struct core *core, struct moment now)
{
	uint64_t next_ns;

	moment_is(core, now);
	if (no_capacity_decay(core, now.mono_ns))
		offers_rebuild_all(core);
	next_ns = instances_tick(core, now);
	if (core->started) {
		next_ns = MIN(next_ns, orders_tick(core, now));
		next_ns = MIN(next_ns, retirements_tick(core, now));
		next_ns = MIN(next_ns, drains_tick(core, now));
		next_ns = MIN(next_ns, give_back_tick(core, now));
		next_ns = MIN(next_ns, routes_tick(core, now));
	}
	hosts_forget(core, now);
	spend_tick(core, now);
	brakes_tick(core, now);
	next_ns = MIN(next_ns, evaluate_due(core, now));
	next_ns = MIN(next_ns, wants_tick(core, now));
	return MAX(next_ns, now.mono_ns + NS_PER_MS);
}

void core_totals(const struct core *core, struct core_totals *out)
{
	*out = core->totals;
	out->usd_per_hour = 0;
	vec_for_each (it, &core->instances) {
		if (!instance_billed(*it))
			continue;
		out->instances_pending += (*it)->state == INSTANCE_PENDING;
		out->instances_running += (*it)->state == INSTANCE_RUNNING;
		if (!isnan((*it)->usd_per_hour))
			out->usd_per_hour += (*it)->usd_per_hour;
	}
	out->hosts = core->config.fleet ? (uint32_t)core->hosts.count : 0;
	out->hosts_silent = 0;
	for (size_t i = 0; i < out->hosts; i++)
		out->hosts_silent += host_silent(core, core->hosts.at[i], core->now_ns);
	out->usd_last_day = spend_last_day(&core->spend, core->spend.wall_ns);
	out->lead_time_seconds =
		lead_time_seconds(core, core->pools_count ? &core->pools[0] : NULL);
}

const struct decision *core_decision(const struct core *core, size_t index)
{
	if (index >= core->records.count)
		return NULL;
	return &core->records.at[core->records.count - 1 - index]->decision;
}

const struct decision *core_decision_by_id(const struct core *core, const char *id)
{
	struct record *record = record_find(core, id);

	return record ? &record->decision : NULL;
}
