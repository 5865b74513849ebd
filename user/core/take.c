/* SPDX-License-Identifier: Apache-2.0 */
/* An instance becomes known by what EC2 answered: launched for an order, or started for it. */
#include "core/core_private.h"

static const char *tag_of(const struct launch_order *order, const char *key)
{
	vec_for_each (tag, &order->tags.list)
		if (strcmp(tag->key, key) == 0)
			return tag->value;
	return "";
}

static const struct launch_override *override_of(const struct launch_order *order,
						 const struct launched_instance *launched)
{
	vec_for_each (override, &order->overrides)
		if (strcmp(override->instance_type, launched->instance_type) == 0 &&
		    (!*launched->zone || strcmp(override->zone, launched->zone) == 0))
			return override;
	return NULL;
}

/* The same instance as another policy's: a view may have told of it before the answer. */
static void take_started(struct core *core, const struct open_order *open,
			 struct instance *instance, uint64_t sent_ns, struct moment now)
{
	const struct pool_state *pool = pool_find(core, open->order.pool);
	bool told = order_is_of(open, instance);

	if (!told)
		instance_started(core, instance,
				 pool ? source_of_start(pool, instance) : SOURCE_STOPPED, now);
	set_text(instance->decision, open->order.decision);
	set_text(instance->token, open->order.token);
	set_text(instance->pool, open->order.pool);
	set_text(instance->policy, open->order.policy);
	instance->sequence = open->order.sequence;
	instance->epoch = open->order.epoch;
	instance->sent_ns = sent_ns;
	instance_place(core, instance);
	instance_describe(core, instance);
}

void take_instance(struct core *core, const struct open_order *open,
		   const struct launched_instance *launched, uint64_t sent_ns, struct moment now)
{
	const struct launch_override *override = override_of(&open->order, launched);
	struct instance *instance = instance_find(core, launched->id);

	if (!instance)
		instance = instance_add(core, launched->id);
	if (!instance)
		return;
	if (!instance->known_ns) {
		instance->known_ns = now.mono_ns;
		instance->known_wall_ns = now.wall_ns;
	}
	if (!instance->launched_wall_ns)
		instance->launched_wall_ns = now.wall_ns;
	if (*open->order.group) {
		group_claim(core, open, instance, sent_ns);
		return;
	}
	if (open->order.starts.count) {
		take_started(core, open, instance, sent_ns, now);
		return;
	}
	set_text(instance->instance_type, launched->instance_type);
	set_text(instance->zone, *launched->zone ? launched->zone : override ? override->zone : "");
	set_text(instance->decision, open->order.decision);
	set_text(instance->token, open->order.token);
	set_text(instance->pool, open->order.pool);
	set_text(instance->policy, open->order.policy);
	instance->sequence = open->order.sequence;
	instance->epoch = open->order.epoch;
	instance_place(core, instance);
	instance->capacity_type = open->order.capacity_type;
	instance->source = source_of_fleet(open->order.capacity_type);
	set_text(instance->class_hash, tag_of(&open->order, "forerun.dev/class-hash"));
	set_text(instance->pool_hash, tag_of(&open->order, "forerun.dev/pool-hash"));
	instance->sent_ns = sent_ns;
	if (override) {
		instance->usd_per_hour = override->usd_per_hour;
		instance->vcpus = override->vcpus;
		instance->memory_mib = override->memory_mib;
		instance->subnet = subnet_find(core, override->subnet_id);
	}
	instance_describe(core, instance);
}
