/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A NodePool that is bought through an Auto Scaling group. The group keeps one number, and every
 * order says what it is to be: all members that there are and what is wanted more. So an order that
 * is asked for twice, or by two cores, is what it is once, and the group never has more than is
 * wanted. What it launches is found as its members; which of them are an order's is the order in
 * which they are seen. docs/exactly-once.md has the argument.
 */
#include "core/drain.h"

static const char *group_of(const struct core *core, const char *pool_name)
{
	const struct pool_state *pool = pool_find((struct core *)core, pool_name);

	return pool ? pool->pool->auto_scaling_group : NULL;
}

/* Those that its number counts: one that forerun terminates is taken off it in the same call. */
static bool is_member(const struct instance *instance)
{
	return instance->grouped && !instance->terminating && instance_billed(instance);
}

static uint32_t members(const struct lane *lane)
{
	uint32_t count = 0;

	vec_for_each (it, &lane->instances)
		count += is_member(*it);
	return count;
}

static void fill(const struct core *core, struct launch_order *order, const struct lane *lane)
{
	const char *group = group_of(core, order->pool);

	if (!group)
		return;
	set_text(order->group, group);
	order->desired = members(lane) + order->count;
}

void group_order_fill(const struct core *core, struct open_order *open, const struct lane *lane)
{
	fill(core, &open->order, lane);
}

void group_dry_run_fill(const struct core *core, const struct policy_state *policy,
			struct launch_order *order)
{
	fill(core, order, policy->lane);
}

uint32_t group_order_coming(const struct open_order *open)
{
	uint32_t known = members(open->lane);

	return MIN(open->order.count, open->order.desired - MIN(open->order.desired, known));
}

bool group_order_late(const struct core *core, const struct open_order *open, uint64_t asked_ns)
{
	return *open->order.group && asked_ns > open->made_ns + visible_within(core);
}

bool group_is_new(const struct instance *instance)
{
	return is_member(instance) && !*instance->decision;
}

void group_claim(struct core *core, const struct open_order *open, struct instance *instance,
		 uint64_t sent_ns)
{
	set_text(instance->decision, open->order.decision);
	set_text(instance->token, open->order.token);
	set_text(instance->pool, open->order.pool);
	set_text(instance->policy, open->order.policy);
	instance->sequence = open->order.sequence;
	instance->epoch = open->order.epoch;
	instance->source = SOURCE_GROUP;
	instance->grouped = true;
	instance->sent_ns = sent_ns;
	instance_place(core, instance);
	instance_describe(core, instance);
}

bool group_grows(const struct instance *instance)
{
	if (!instance->grouped || !instance->lane)
		return false;
	vec_for_each (open, &instance->lane->orders)
		if (*(*open)->order.group)
			return true;
	return false;
}

bool group_shrinks(const struct core *core, const struct lane *lane)
{
	vec_for_each (open, &core->retirements)
		vec_for_each (it, &(*open)->order.instances) {
			const struct instance *instance = instance_find(core, it->id);

			if (*(*open)->order.group && instance && instance->lane == lane)
				return true;
		}
	return false;
}

/* All of one call are of one kind (is_ready()). It is kept with the call: asked for again after a
 * restart, it is not known yet whose members they are. */
void group_of_retirement(const struct core *core, struct open_retirement *open)
{
	open->order.group[0] = '\0';
	vec_for_each (it, &open->order.instances) {
		const struct instance *instance = instance_find(core, it->id);
		const char *group =
			instance && instance->grouped ? group_of(core, instance->pool) : NULL;

		if (group)
			set_text(open->order.group, group);
	}
}
