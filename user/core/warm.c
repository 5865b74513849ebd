/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The warm pool of a NodePool: instances that were prepared by a first boot and rest, stopped or
 * hibernated, until a policy wants one. They are bought like any other, stopped when they are
 * prepared, kept at the size that was asked for, and replaced when they have drifted or are old.
 * None of them is a replica before an order has started it and its tags say whose it is.
 */
#include <math.h>

#include "core/core_private.h"

#define STOP_ANSWER_NS (120 * NS_PER_S)
#define START_AGAIN_NS (60 * NS_PER_S)

bool instance_warm(const struct instance *instance)
{
	return instance->lane && is_warm_name(instance->policy);
}

/* What is launched today has other numbers. */
bool instance_drifted(const struct pool_state *pool, const struct instance *instance)
{
	return (*instance->class_hash && *pool->class_hash &&
		strcmp(instance->class_hash, pool->class_hash) != 0) ||
	       (*instance->pool_hash && *pool->pool_hash &&
		strcmp(instance->pool_hash, pool->pool_hash) != 0);
}

static bool is_old(const struct pool_state *pool, const struct instance *instance,
		   struct moment now)
{
	uint64_t refresh_s = pool->pool->warm.refresh_s;

	return refresh_s != DURATION_NEVER && refresh_s && instance->launched_wall_ns &&
	       now.wall_ns / NS_PER_S > instance->launched_wall_ns / NS_PER_S + refresh_s;
}

static bool rests(const struct instance *instance)
{
	return instance->state == INSTANCE_STOPPED && !instance->gone && !instance->terminating &&
	       !instance->claimed;
}

/* Runs, is nobody's, and is not about to stop. */
static bool is_room(const struct instance *instance)
{
	return instance->state == INSTANCE_RUNNING && instance_warm(instance) && !instance->gone &&
	       !instance->terminating && !instance->claimed && !instance->stop_ns &&
	       instance->seen && !instance->missing_ns;
}

/* Whether StartInstances could make it that policy's now. */
bool instance_startable(const struct core *core, const struct policy_state *policy,
			const struct instance *instance, struct moment now)
{
	const struct pool_state *pool = policy->pool;

	if ((policy->want && policy->want == pool->warm) || !(rests(instance) || is_room(instance)))
		return false;
	/* A one-time spot instance cannot be started again. */
	if (rests(instance) && instance->capacity_type == CAPACITY_SPOT)
		return false;
	if (instance->start_failed_ns && now.mono_ns < instance->start_failed_ns + START_AGAIN_NS)
		return false;
	if (instance->missing_ns || instance_drifted(pool, instance))
		return false;
	vec_for_each (entry, &core->no_capacity)
		if (rests(instance) && no_capacity_covers(entry, instance->instance_type,
							  instance->zone, instance->capacity_type))
			return false;
	return policy_fits(policy, instance);
}

/* ---- prepared, and stopped ---- */

static bool is_prepared(const struct core *core, const struct pool_state *pool,
			const struct instance *instance, struct moment now)
{
	uint64_t after_ns = core->config.limits.serving_after_ns;

	if (instance->prepared || instance->connected_ns)
		return true;
	return instance->running_ns &&
	       now.mono_ns >= instance->running_ns + (pool->agents_known ? 3 : 1) * after_ns;
}

static void stop_ask(struct core *core, const struct pool_state *pool, struct instance *instance,
		     struct moment now)
{
	struct stop_order order = {.hibernate = pool->pool->warm.state == WARM_HIBERNATED};

	set_text(order.id, instance->id);
	instance->stop_ns = now.mono_ns;
	instance->stop_retry_ns = now.mono_ns + STOP_ANSWER_NS;
	instance->stop_tries++;
	if (core->effects.stop)
		core->effects.stop(core->effects.arg, &order);
}

static void prepared(struct core *core, const struct pool_state *pool, struct instance *instance,
		     struct moment now)
{
	if (!instance->prepared) {
		instance->prepared = true;
		policy_served(core, instance->policy);
		journal_instance(core, instance, "prepared", now);
		instance_step(core, instance, now,
			      pool->pool->warm.state == WARM_HIBERNATED
				      ? "is prepared: hibernated until it is wanted"
				      : "is prepared: stopped until it is wanted");
	}
	stop_ask(core, pool, instance, now);
}

static void look_at_instance(struct core *core, const struct pool_state *pool,
			     struct instance *instance, struct moment now)
{
	bool running = instance->state == INSTANCE_RUNNING && instance->seen;

	if (instance->state == INSTANCE_STOPPED && instance->stop_ns) {
		instance->stop_ns = 0;
		instance->stop_tries = 0;
	}
	if (!running || instance->gone || instance->terminating || instance->claimed)
		return;
	if (instance->stop_ns ? now.mono_ns >= instance->stop_retry_ns
			      : is_prepared(core, pool, instance, now))
		prepared(core, pool, instance, now);
}

void core_stopped(struct core *core, const struct stop_result *result, struct moment now)
{
	struct instance *instance = instance_find(core, result->id);
	struct pool_state *pool = instance ? pool_find(core, instance->pool) : NULL;

	if (!instance || !instance->stop_ns || !pool || !pool->warm)
		return;
	pool->warm->problem[0] = '\0';
	if (!result->error)
		return;
	instance->stop_retry_ns =
		now.mono_ns + 5 * backoff_after(instance->id, instance->stop_tries);
	snprintf(pool->warm->problem, sizeof(pool->warm->problem),
		 "%s cannot be stopped: %s: %.110s", instance->id, result->error_code,
		 result->error_text);
	if (instance->stop_tries <= 2)
		instance_step(core, instance, now, pool->warm->problem);
}

/* ---- the size ---- */

struct warm_count {
	int32_t fresh; /* at rest or being prepared, or ordered */
	uint32_t ready; /* at rest, not drifted */
	struct instance *outdated, *surplus; /* the oldest */
	bool drifted; /* that it has, and is not only old */
};

static bool older(const struct instance *a, const struct instance *b)
{
	return !b || a->launched_wall_ns < b->launched_wall_ns ||
	       (a->launched_wall_ns == b->launched_wall_ns && strcmp(a->id, b->id) < 0);
}

static void count_warm(const struct pool_state *pool, struct moment now, struct warm_count *count)
{
	const struct lane *lane = pool->warm->state.lane;

	*count = (struct warm_count){.fresh = (int32_t)lane->waiting};
	vec_for_each (it, &lane->orders)
		count->fresh += (int32_t)order_coming(*it);
	vec_for_each (it, &lane->instances) {
		struct instance *instance = *it;
		bool drifted = instance_drifted(pool, instance);

		if (instance->gone || instance->terminating || instance->claimed)
			continue;
		if (drifted || is_old(pool, instance, now)) {
			if (older(instance, count->outdated))
				count->outdated = instance;
			continue;
		}
		count->fresh++;
		count->ready += rests(instance);
		if (rests(instance) && older(instance, count->surplus))
			count->surplus = instance;
	}
}

/* A launch that a policy waits for goes before one that prepares. */
static bool somebody_waits(const struct core *core)
{
	for (size_t i = 0; i < core->policies_count; i++)
		if (core->policies[i].lane->waiting || core->policies[i].lane->orders.count ||
		    (core->policies[i].brakes & (1U << BRAKE_LAUNCHES_PER_MINUTE)))
			return true;
	return false;
}

void warm_look(struct core *core, struct pool_state *pool, const struct evaluation *e)
{
	int32_t size = (int32_t)MIN(pool->pool->warm.size, (uint32_t)INT32_MAX);
	struct lane *lane = pool->warm->state.lane;
	struct warm_count count;

	if (may_call(core) && core->fleet_known)
		for (size_t i = 0; i < lane->instances.count; i++)
			look_at_instance(core, pool, lane->instances.at[i], e->now);
	count_warm(pool, e->now, &count);
	e->policy->current = count.fresh;
	e->policy->replicas_ready = (int32_t)count.ready;
	e->policy->result_present.desired = size;
	if (count.fresh < size) {
		if (somebody_waits(core))
			set_text(e->policy->held, "launches that policies wait for go first");
		else
			want_more(core, e, count.fresh, size);
	}
	if (!may_call(core) || !core->fleet_known || !may_act(core, e, false))
		return;
	/* What replaces it rests already, or it is one too many. */
	if (count.outdated && count.outdated->seen && (int32_t)count.ready >= size)
		want_fewer(core, e, 1, &count.outdated);
	else if (count.fresh > size && count.surplus && !lane->orders.count)
		want_fewer(core, e, 1, &count.surplus);
}

/* ---- what it is launched from ---- */

static const struct launch_template *twin_of(const struct class_state *class, const char *name)
{
	const struct launch_template *base = NULL;

	vec_for_each (it, &class->templates)
		if (strcmp(it->name, name) == 0)
			base = it;
	vec_for_each (it, &class->templates)
		if (base && it->hibernates && it->architecture == base->architecture &&
		    strcmp(it->image_id, base->image_id) == 0 && strcmp(it->pool, base->pool) == 0)
			return it;
	return NULL;
}

/* What is to hibernate says so at its launch: its templates have twins that do. */
void warm_templates(struct core *core, struct launch_order *order)
{
	const struct pool_state *pool = pool_find(core, order->pool);

	if (!is_warm_name(order->policy) || !pool || !pool->class ||
	    pool->pool->warm.state != WARM_HIBERNATED)
		return;
	vec_for_each (override, &order->overrides) {
		const struct launch_template *twin =
			twin_of(pool->class, override->launch_template);

		if (twin)
			set_text(override->launch_template, twin->name);
	}
}

/* ---- for people ---- */

/* Karpenter's default where a class gives no volumes. */
#define ROOT_GIB 20

static double volume_gib(const struct pool_state *pool)
{
	double sum = 0;

	if (pool->class && pool->class->node_class)
		vec_for_each (device, &pool->class->node_class->block_devices)
			sum += ceil((double)device->volume_size_bytes / (1 << 30));
	return sum > 0 ? sum : ROOT_GIB;
}

void warm_view(const struct pool_state *pool, struct moment now, struct warm_view *view)
{
	const struct policy_state *state = &pool->warm->state;

	*view = (struct warm_view){.size = pool->pool->warm.size,
				   .held = *pool->warm->problem ? pool->warm->problem : state->held,
				   .preparing = state->lane->waiting};
	vec_for_each (it, &state->lane->orders)
		view->preparing += order_coming(*it);
	vec_for_each (it, &state->lane->instances) {
		const struct instance *instance = *it;

		if (instance->gone || instance->terminating || instance->claimed)
			continue;
		if (instance->launched_wall_ns &&
		    (!view->oldest_wall_ns || instance->launched_wall_ns < view->oldest_wall_ns))
			view->oldest_wall_ns = instance->launched_wall_ns;
		view->volume_gib += rests(instance) ? volume_gib(pool) : 0;
		if (instance_drifted(pool, instance))
			view->drifted++;
		else if (is_old(pool, instance, now))
			view->old++;
		else if (rests(instance))
			view->ready++;
		else
			view->preparing++;
	}
}

/* ---- claims: what an order starts ---- */

void order_claims(struct core *core, const struct open_order *open, bool claims)
{
	vec_for_each (it, &open->order.starts) {
		struct instance *instance = instance_find(core, it->id);

		if (instance)
			instance->claimed = claims;
	}
}

/* It was started for an order: from now on it is a replica of its policy, and on its way again. */
void instance_started(struct core *core, struct instance *instance, enum launch_source source,
		      struct moment now)
{
	instance->source = source;
	instance->stop_ns = instance->start_failed_ns = 0;
	instance->stop_tries = 0;
	instance->serving = false;
	instance->serving_ns = 0;
	instance->known_ns = now.mono_ns;
	instance->known_wall_ns = instance->launched_wall_ns = now.wall_ns;
	if (instance->state != INSTANCE_RUNNING) {
		instance->state = INSTANCE_PENDING;
		instance->running_ns = instance->running_wall_ns = 0;
		instance->connected_ns = 0;
		instance->started_ns = MAX(now.mono_ns, 1);
		instance->started_wall_ns = now.wall_ns;
	}
	starting_again(core, instance);
	counts_old(core);
}

/* EC2 may show it at rest for a while yet. */
bool start_not_shown(const struct core *core, struct instance *instance,
		     const struct instance_view *view, uint64_t asked_ns)
{
	if (!instance->started_ns)
		return false;
	if ((view->state == INSTANCE_STOPPED || view->state == INSTANCE_STOPPING) &&
	    asked_ns <= instance->started_ns + visible_within(core))
		return true;
	instance->started_ns = instance->started_wall_ns = 0;
	return false;
}
