/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Target groups of ELB. An instance is to be in all of its policy's as soon as it can answer, and
 * out of them when it goes; both calls may be made any number of times. Nothing is deregistered
 * before its tag says so.
 */
#include "core/drain.h"

#define TARGETS_PER_CALL 100
#define HEALTH_EVERY_NS (5 * NS_PER_S)
#define TRIES_TOLD 3

static const struct policy *policy_of(const struct core *core, const struct instance *instance)
{
	const struct policy_state *policy = policy_find((struct core *)core, instance->policy);

	return policy && core->effects.targets && policy->policy->target_groups.count
		       ? policy->policy
		       : NULL;
}

/* It is looked at in the next tick. */
void route_look(struct core *core, struct instance *instance)
{
	const struct policy *policy = instance->routed ? NULL : policy_of(core, instance);

	if (!policy || instance->gone)
		return;
	while (instance->targets.count < policy->target_groups.count)
		*vec_push(&instance->targets) =
			(struct target){.state = instance->registered ? TARGET_IN : TARGET_UNKNOWN};
	instance->routed = true;
	*vec_push(&core->routed) = instance;
}

void route_forget(struct core *core, const struct instance *instance)
{
	for (size_t i = 0; instance->routed && i < core->routed.count; i++)
		if (core->routed.at[i] == instance) {
			vec_remove(&core->routed, i);
			return;
		}
}

void routes_start(struct core *core)
{
	vec_for_each (it, &core->instances)
		if (!(*it)->registered || (*it)->drain)
			route_look(core, *it);
}

enum target_state route_state(const struct core *core, const struct instance *instance,
			      uint64_t *since_ns)
{
	const struct policy *policy = policy_of(core, instance);
	enum target_state least = TARGET_UNUSED;

	if (policy && instance->targets.count < policy->target_groups.count)
		return TARGET_UNKNOWN;
	vec_for_each (target, &instance->targets) {
		least = MIN(least, target->state);
		*since_ns = MAX(*since_ns, target->changed_ns);
	}
	return policy ? least : TARGET_UNUSED;
}

/* ---- what is to be done ---- */

enum wish { WISH_NONE, WISH_IN, WISH_OUT };

/* Where its agents tell, an instance can answer once it listens; else once it runs. */
static bool can_answer(struct core *core, const struct instance *instance)
{
	const struct pool_state *pool = pool_find(core, instance->pool);

	return instance->state == INSTANCE_RUNNING &&
	       (instance->serving || instance->listens || !pool || !pool->agents_known);
}

static enum wish wish_of(struct core *core, const struct instance *instance)
{
	const struct drain *drain = instance->drain;

	if (instance->gone || instance->terminating)
		return WISH_NONE;
	if (drain && drain->state != DRAIN_REPLACING)
		return drain->marked == MARK_DONE ? WISH_OUT : WISH_NONE;
	return can_answer(core, instance) ? WISH_IN : WISH_NONE;
}

static bool is_as_wished(const struct target *target, enum wish wish)
{
	if (wish == WISH_IN)
		return target->state == TARGET_IN;
	return wish == WISH_NONE || target->state >= TARGET_OUT;
}

static bool is_due(const struct target *target, enum wish wish, struct moment now)
{
	return !target->call && target->retry_ns <= now.mono_ns && !is_as_wished(target, wish);
}

static struct target *target_of(struct core *core, struct instance *instance, const char *group)
{
	const struct policy *policy = policy_of(core, instance);

	for (size_t g = 0; policy && g < policy->target_groups.count; g++)
		if (g < instance->targets.count && strcmp(policy->target_groups.at[g], group) == 0)
			return &instance->targets.at[g];
	return NULL;
}

static uint64_t call_begin(struct core *core, struct target_order *order)
{
	struct target_call *call = vec_push(&core->target_calls);

	order->number = ++core->calls;
	call->number = order->number;
	call->action = order->action;
	call->group = order->group;
	return order->number;
}

/* All that this group has to be told in this way. */
static void tell_group(struct core *core, const char *group, enum wish wish, struct moment now)
{
	struct target_order order = {
		.action = wish == WISH_IN ? TARGETS_REGISTER : TARGETS_DEREGISTER, .group = group};
	uint64_t number = call_begin(core, &order);

	vec_for_each (it, &core->routed) {
		struct target *target = target_of(core, *it, group);

		if (!target || wish_of(core, *it) != wish || !is_due(target, wish, now) ||
		    order.instances.count >= TARGETS_PER_CALL)
			continue;
		target->call = number;
		target->tries++;
		set_text(vec_push(&order.instances)->id, (*it)->id);
	}
	core->effects.targets(core->effects.arg, &order);
	vec_free(&order.instances);
}

/* Whether something of it is left to be done. */
static bool tell(struct core *core, struct instance *instance, struct moment now)
{
	const struct policy *policy = policy_of(core, instance);
	enum wish wish = wish_of(core, instance);
	bool left = false;

	for (size_t g = 0; policy && g < instance->targets.count; g++) {
		const struct target *target = &instance->targets.at[g];

		if (is_due(target, wish, now))
			tell_group(core, policy->target_groups.at[g], wish, now);
		left |= target->call || !is_as_wished(target, wish);
	}
	return left || (instance->drain && wish == WISH_NONE && !instance->terminating);
}

/* ---- whether a group is done with those that go ---- */

static bool asks_health(const struct drain *drain, const char *group, struct core *core)
{
	const struct target *target = target_of(core, drain->instance, group);

	return drain->state == DRAIN_DRAINING && target && target->state == TARGET_OUT;
}

static void ask_group(struct core *core, const char *group)
{
	struct target_order order = {.action = TARGETS_HEALTH, .group = group};

	vec_for_each (call, &core->target_calls)
		if (call->action == TARGETS_HEALTH && strcmp(call->group, group) == 0)
			return;
	vec_for_each (it, &core->drains)
		if (asks_health(*it, group, core) && order.instances.count < TARGETS_PER_CALL)
			set_text(vec_push(&order.instances)->id, (*it)->instance->id);
	call_begin(core, &order);
	core->effects.targets(core->effects.arg, &order);
	vec_free(&order.instances);
}

static void ask_health(struct core *core, struct moment now)
{
	if (now.mono_ns < core->health_ns)
		return;
	core->health_ns = now.mono_ns + HEALTH_EVERY_NS;
	for (size_t i = 0; i < core->drains.count; i++) {
		const struct drain *drain = core->drains.at[i];
		const struct policy *policy = policy_of(core, drain->instance);

		for (size_t g = 0; policy && g < policy->target_groups.count; g++)
			if (asks_health(drain, policy->target_groups.at[g], core))
				ask_group(core, policy->target_groups.at[g]);
	}
}

uint64_t routes_tick(struct core *core, struct moment now)
{
	size_t kept = 0, count = core->routed.count;

	if (!count && !core->drains.count)
		return UINT64_MAX;
	for (size_t i = 0; i < count; i++) {
		struct instance *instance = core->routed.at[i];

		if (tell(core, instance, now))
			core->routed.at[kept++] = instance;
		else
			instance->routed = false;
	}
	core->routed.count = kept;
	if (core->drains.count)
		ask_health(core, now);
	return kept ? now.mono_ns + NS_PER_S / 5 : UINT64_MAX;
}

/* ---- answers ---- */

static bool failed(const struct instance *instance, const struct target_result *result)
{
	vec_for_each (id, &result->failed)
		if (strcmp(id->id, instance->id) == 0)
			return true;
	return result->error && !result->failed.count;
}

static void told(struct core *core, struct instance *instance, struct target *target,
		 const struct target_call *call, const struct target_result *result,
		 struct moment now)
{
	bool in = call->action == TARGETS_REGISTER;
	char text[CLOUD_TEXT_SIZE];

	target->call = 0;
	if (failed(instance, result) && !(result->group_gone && !in)) {
		target->retry_ns = now.mono_ns + backoff_after(instance->id, target->tries);
		if (target->tries > TRIES_TOLD)
			return;
		snprintf(text, sizeof(text), "%s target group %.80s failed: %.40s: %.80s",
			 in ? "registering with" : "deregistering from", call->group,
			 *result->error_code ? result->error_code : "no answer",
			 result->error_text);
		instance_step(core, instance, now, text);
		return;
	}
	target->tries = 0;
	target->changed_ns = now.mono_ns;
	target->state = in ? TARGET_IN : result->group_gone ? TARGET_UNUSED : TARGET_OUT;
	snprintf(text, sizeof(text), "%s target group %.160s",
		 in		      ? "registered with"
		 : result->group_gone ? "there is no more"
				      : "deregistered from",
		 call->group);
	if (instance->drain)
		record_step(core, record_find(core, instance->drain->decision), now, "%s %s",
			    instance->id, text);
	else
		instance_step(core, instance, now, text);
}

/* Written down when it is whole: a restart does not register again what somebody took out. */
static void note_registered(struct core *core, struct instance *instance, struct moment now)
{
	bool all = true;

	vec_for_each (target, &instance->targets)
		all &= target->state == TARGET_IN;
	if (all == instance->registered)
		return;
	instance->registered = all;
	if (all)
		journal_instance(core, instance, "registered", now);
}

static void health(struct core *core, const struct target_call *call,
		   const struct target_result *result, struct moment now)
{
	if (result->error && !result->group_gone)
		return;
	vec_for_each (it, &core->drains) {
		struct target *target = target_of(core, (*it)->instance, call->group);
		bool unused = result->group_gone;

		vec_for_each (id, &result->unused)
			unused |= strcmp(id->id, (*it)->instance->id) == 0;
		if (!unused || !target || target->state != TARGET_OUT)
			continue;
		target->state = TARGET_UNUSED;
		target->changed_ns = now.mono_ns;
	}
}

static bool call_end(struct core *core, uint64_t number, struct target_call *out)
{
	for (size_t i = 0; i < core->target_calls.count; i++)
		if (core->target_calls.at[i].number == number) {
			*out = core->target_calls.at[i];
			vec_remove(&core->target_calls, i);
			return true;
		}
	return false;
}

void core_targets(struct core *core, const struct target_result *result, struct moment now)
{
	struct target_call call;

	if (!call_end(core, result->number, &call))
		return;
	if (call.action == TARGETS_HEALTH) {
		health(core, &call, result, now);
		return;
	}
	vec_for_each (it, &core->routed) {
		struct target *target = target_of(core, *it, call.group);

		if (!target || target->call != result->number)
			continue;
		told(core, *it, target, &call, result, now);
		note_registered(core, *it, now);
	}
}
