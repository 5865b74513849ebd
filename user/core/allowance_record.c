/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In the lease's record: what a successor has to count that EC2 may not show it yet. "ahead" has a
 * number for each limit that lanes share; or the key of the one lane that it is all left to; or
 * null, when there was no limit. Of a pool: vCPUs, memory, nodes, and by name what else it limits.
 */
#include <cjson/cJSON.h>
#include <math.h>

#include "core/core_private.h"

#define KEY_DIGITS 16

/* What may have been launched, and by which lanes. */
struct tally {
	double amount;
	uint64_t lane;
	bool any, several;
};

static void tally_add(struct tally *tally, uint64_t lane, double amount)
{
	tally->several |= !lane || (tally->any && tally->lane != lane);
	tally->any = true;
	tally->lane = lane;
	tally->amount += isnan(amount) ? INFINITY : amount;
}

static void tally_launch(struct core *core, struct tally *tallies, const char *pool_name,
			 uint64_t lane, const double amounts[5])
{
	const struct pool_state *pool = pool_find(core, pool_name);

	tally_add(&tallies[SHARED_LAUNCHES], lane, amounts[0]);
	tally_add(&tallies[SHARED_USD], lane, amounts[1]);
	if (!pool)
		return;
	tally_add(&tallies[SHARED_CPUS(pool)], lane, amounts[2]);
	tally_add(&tallies[SHARED_MEMORY(pool)], lane, amounts[3]);
	tally_add(&tallies[SHARED_NODES(pool)], lane, amounts[4]);
}

/* amounts: of each; NULL or NaN: not known. */
static void tally_resources(struct core *core, struct tally *tallies, const char *pool_name,
			    uint64_t lane, double count, const double *amounts)
{
	const struct pool_state *pool = pool_find(core, pool_name);

	if (!pool || !pool->resources_limited)
		return;
	for (size_t i = 0; i < POOL_RESOURCES; i++)
		tally_add(&tallies[SHARED_RESOURCE(pool, i)], lane,
			  count > 0 ? count * (amounts ? amounts[i] : NAN) : 0);
}

static void tally_order(struct core *core, struct tally *tallies, const struct open_order *open)
{
	const struct pool_state *pool = pool_find(core, open->order.pool);
	double worst[POOL_RESOURCES];

	if (!pool)
		return;
	order_resources(pool, open, worst);
	tally_resources(core, tallies, open->order.pool, open->lane->key, order_coming(open),
			worst);
}

static void tally_orders(struct core *core, struct tally *tallies)
{
	vec_for_each (it, &core->orders) {
		double coming = order_coming(*it);
		const double amounts[] = {(*it)->order.count,
					  coming ? coming * (*it)->usd_worst : 0,
					  coming * (*it)->vcpus_worst,
					  coming * (double)(*it)->memory_mib_worst, coming};

		tally_launch(core, tallies, (*it)->order.pool, (*it)->lane->key, amounts);
		tally_order(core, tallies, *it);
	}
}

/* What EC2 shows to this core it may not show to another one yet. */
static void tally_young(struct core *core, struct tally *tallies)
{
	vec_for_each (it, &core->instances) {
		const struct instance *instance = *it;
		const double amounts[] = {0, instance->usd_per_hour, instance->vcpus,
					  (double)instance->memory_mib, 1};
		const struct pool_state *pool;

		if (!instance->lane || instance->sequence <= instance->lane->seen ||
		    !instance_billed(instance))
			continue;
		pool = pool_find(core, instance->pool);
		tally_launch(core, tallies, instance->pool, instance->lane->key, amounts);
		tally_resources(core, tallies, instance->pool, instance->lane->key, 1,
				pool ? pool_resources_of(pool, instance->instance_type) : NULL);
	}
}

static void tally_before(const struct core *core, struct tally *tallies)
{
	for (size_t i = 0; i < core->shared_count; i++) {
		double left = before_left(core, NULL, i);

		if (left > 0)
			tally_add(&tallies[i], core->before[i].lane, left);
	}
}

/* It may launch. */
static void tally_lane(struct core *core, struct tally *tallies, const char *pool_name,
		       const struct lane *lane)
{
	static const double nothing[5];

	tally_launch(core, tallies, pool_name, lane->key, nothing);
	tally_resources(core, tallies, pool_name, lane->key, 0, NULL);
}

static void tally_policies(struct core *core, struct tally *tallies)
{
	for (size_t i = 0; i < core->policies_count; i++)
		if (core->policies[i].pool)
			tally_lane(core, tallies, core->policies[i].policy->pool,
				   core->policies[i].lane);
	for (size_t i = 0; i < core->pools_count; i++) {
		const struct pool_state *pool = &core->pools[i];

		if (pool->warm)
			tally_lane(core, tallies, pool->pool->name, pool->warm->state.lane);
		if (pool->fixed)
			tally_lane(core, tallies, pool->pool->name, pool->fixed->state.lane);
	}
}

/* ---- how much is promised ---- */

static const struct pool_state *pool_of(const struct core *core, size_t shared)
{
	return &core->pools[(shared - SHARED_OF_ALL) / SHARED_OF_POOL];
}

static double limit_of(const struct core *core, size_t shared)
{
	const struct core_limits *limits = &core->config.limits;
	const struct pool_state *state;
	const struct pool *pool;

	if (shared == SHARED_LAUNCHES)
		return limits->launches_per_minute;
	if (shared == SHARED_USD)
		return MIN(limits->usd_per_hour, limits->usd_per_day);
	state = pool_of(core, shared);
	pool = state->pool;
	if (shared == SHARED_NODES(state))
		return limit_of_nodes(pool);
	if (shared >= SHARED_RESOURCE(state, 0))
		return state->resource_limits[shared - SHARED_RESOURCE(state, 0)];
	if (shared == SHARED_CPUS(state))
		return pool->cpu_limited ? pool->limit_cpus : INFINITY;
	return pool->memory_limited ? pool->limit_memory_bytes / (1 << 20) : INFINITY;
}

static double used_of(struct core *core, size_t shared)
{
	const struct pool_state *pool;

	if (shared == SHARED_LAUNCHES)
		return launches_in_last_minute(core, core->now_ns);
	if (shared == SHARED_USD)
		return core->usd_running + core->usd_coming;
	pool = pool_of(core, shared);
	if (shared == SHARED_NODES(pool))
		return pool->usage.nodes;
	if (shared >= SHARED_RESOURCE(pool, 0))
		return pool->usage.resources[shared - SHARED_RESOURCE(pool, 0)];
	return shared == SHARED_CPUS(pool) ? pool->usage.cpus : pool->usage.memory_mib;
}

static double room_of(struct core *core, size_t shared)
{
	double used = used_of(core, shared) + before_left(core, NULL, shared);
	double room = limit_of(core, shared) - used;
	double spent = spend_last_day(&core->spend, core->spend.wall_ns);

	if (shared == SHARED_USD)
		room = MIN(core->config.limits.usd_per_hour - used,
			   core->config.limits.usd_per_day - spent - used);
	return MAX(room, 0);
}

static bool is_whole(const struct core *core, size_t shared)
{
	return shared == SHARED_LAUNCHES ||
	       (shared >= SHARED_OF_ALL && shared == SHARED_NODES(pool_of(core, shared)));
}

/* Half of what is left is for a successor, as long as nobody asks for more. */
static double promise_of(struct core *core, size_t shared, const struct tally *tally)
{
	double room, half, wanted = core->wanted[shared];

	core->wanted[shared] = 0;
	if (!tally->any)
		return 0;
	if (!tally->several || isinf(tally->amount) || isinf(limit_of(core, shared)))
		return INFINITY;
	room = room_of(core, shared);
	half = is_whole(core, shared) ? ceil(room / 2) : room / 2;
	return MIN(room, MAX(half, wanted));
}

/* ---- writing ---- */

static void share_write(const struct tally *tally, double promised, struct text *out)
{
	double amount = tally->amount + promised;

	if (!isinf(amount))
		text_printf(out, "%.17g", amount);
	else if (tally->several)
		text_add(out, "null");
	else
		text_printf(out, "\"%016llx\"", (unsigned long long)tally->lane);
}

static void resources_write(const struct pool_state *pool, const struct tally *tallies,
			    const double *promised, size_t first, struct text *out)
{
	const char *separator = ",{";

	for (size_t i = 0; i < POOL_RESOURCES; i++) {
		if (isinf(pool->resource_limits[i]))
			continue;
		text_add(out, separator);
		text_add_json(out, pool_resource_text(i));
		text_add_char(out, ':');
		share_write(&tallies[first + i], promised[first + i], out);
		separator = ",";
	}
	if (pool->resources_limited)
		text_add_char(out, '}');
}

static void pools_write(const struct core *core, const struct tally *tallies,
			const double *promised, struct text *out)
{
	bool first = true;

	for (size_t i = 0; i < core->pools_count; i++) {
		const struct pool_state *pool = &core->pools[i];
		size_t cpus = SHARED_CPUS(pool);

		if (!tallies[cpus].any)
			continue;
		if (!first)
			text_add_char(out, ',');
		first = false;
		text_add_json(out, pool->pool->name);
		text_add(out, ":[");
		for (size_t j = cpus; j <= SHARED_NODES(pool); j++) {
			if (j > cpus)
				text_add_char(out, ',');
			share_write(&tallies[j], promised[j], out);
		}
		resources_write(pool, tallies, promised, SHARED_RESOURCE(pool, 0), out);
		text_add_char(out, ']');
	}
}

/* last: this leader launches nothing any more. */
void allowance_write(struct core *core, bool last, struct text *out)
{
	_cleanup_free_ struct tally *tallies = calloc(core->shared_count, sizeof(*tallies));
	double *promised = core->promises[PROMISE_NEWEST].left;

	if (!tallies)
		abort();
	counts_refresh(core);
	promise_begin(core);
	tally_orders(core, tallies);
	tally_young(core, tallies);
	tally_before(core, tallies);
	last |= core->config.mode != MODE_ACT;
	if (!last)
		tally_policies(core, tallies);
	for (size_t i = 0; i < core->shared_count; i++)
		promised[i] = last ? 0 : promise_of(core, i, &tallies[i]);
	text_add(out, "{\"launches\":");
	share_write(&tallies[SHARED_LAUNCHES], promised[SHARED_LAUNCHES], out);
	text_add(out, ",\"usd\":");
	share_write(&tallies[SHARED_USD], promised[SHARED_USD], out);
	text_add(out, ",\"pools\":{");
	pools_write(core, tallies, promised, out);
	text_add(out, "}}");
}

/* ---- reading ---- */

static int share_read(const cJSON *item, struct share *out)
{
	const char *key = cJSON_GetStringValue(item);

	*out = (struct share){0};
	if (!item)
		return 0;
	if (cJSON_IsNumber(item) && item->valuedouble >= 0 && isfinite(item->valuedouble)) {
		out->amount = item->valuedouble;
		return 0;
	}
	out->amount = INFINITY;
	if (cJSON_IsNull(item))
		return 0;
	if (!key || strlen(key) != KEY_DIGITS || strspn(key, "0123456789abcdef") != KEY_DIGITS)
		return -EBADMSG;
	out->lane = strtoull(key, NULL, 16);
	return 0;
}

static int share_take(struct core *core, const cJSON *item, size_t shared, bool apply)
{
	struct share share;

	if (share_read(item, &share) < 0)
		return -EBADMSG;
	if (apply) {
		core->before[shared] = share;
		core->has_before |= share.amount > 0;
	}
	return 0;
}

/* Of a leader that did not limit it, it may be without end. */
static int resources_take(struct core *core, const struct pool_state *pool, const cJSON *of_pool,
			  bool apply)
{
	const cJSON *resources = cJSON_GetArrayItem(of_pool, 3);
	int r = 0;

	if (resources && !cJSON_IsObject(resources))
		return -EBADMSG;
	for (size_t i = 0; i < POOL_RESOURCES && r == 0; i++) {
		const char *name = pool_resource_text(i);
		const cJSON *item = cJSON_GetObjectItemCaseSensitive(resources, name);
		size_t shared = SHARED_RESOURCE(pool, i);
		bool silent = of_pool && !item && !isinf(pool->resource_limits[i]);

		r = share_take(core, item, shared, apply);
		if (apply && silent) {
			core->before[shared].amount = INFINITY;
			core->has_before = true;
		}
	}
	return r;
}

/* A record of a version that did not promise anything has none. */
int allowance_read(struct core *core, const struct cJSON *ahead, bool apply)
{
	const cJSON *pools = cJSON_GetObjectItemCaseSensitive(ahead, "pools");
	int r = 0;

	if ((ahead && !cJSON_IsObject(ahead)) || (pools && !cJSON_IsObject(pools)))
		return -EBADMSG;
	if (share_take(core, cJSON_GetObjectItemCaseSensitive(ahead, "launches"), SHARED_LAUNCHES,
		       apply) < 0 ||
	    share_take(core, cJSON_GetObjectItemCaseSensitive(ahead, "usd"), SHARED_USD, apply) < 0)
		return -EBADMSG;
	for (size_t i = 0; i < core->pools_count && r == 0; i++) {
		const struct pool_state *pool = &core->pools[i];
		const cJSON *item = cJSON_GetObjectItemCaseSensitive(pools, pool->pool->name);

		if (item && !cJSON_IsArray(item))
			return -EBADMSG;
		for (int j = 0; j < 3 && r == 0; j++)
			r = share_take(core, cJSON_GetArrayItem(item, j),
				       SHARED_CPUS(pool) + (size_t)j, apply);
		if (r == 0)
			r = resources_take(core, pool, item, apply);
	}
	return r;
}
