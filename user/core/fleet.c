/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What there is: the instances that the journal and EC2's answers name, held against what
 * DescribeInstances shows. That view lags behind: what was just launched may be missing from it for
 * minutes and still counts.
 */
#include <math.h>

#include "core/drain.h"

#define GONE_KEPT_NS (600 * NS_PER_S)

struct instance *instance_find(const struct core *core, const char *id)
{
	return map_get(&core->instances_by_id, hash_text(id));
}

struct instance *instance_add(struct core *core, const char *id)
{
	struct instance *instance = calloc(1, sizeof(*instance));

	if (!instance)
		return NULL;
	set_text(instance->id, id);
	instance->usd_per_hour = NAN;
	*vec_push(&core->instances) = instance;
	*vec_push(&core->starting) = instance;
	map_put(&core->instances_by_id, hash_text(id), instance);
	counts_old(core);
	return instance;
}

/* The lane's list is unordered: the last takes the place of the one that leaves. */
static void instance_leave(struct instance *instance)
{
	struct lane *lane = instance->lane;

	for (size_t i = 0; lane && i < lane->instances.count; i++)
		if (lane->instances.at[i] == instance) {
			lane->instances.at[i] = lane->instances.at[--lane->instances.count];
			break;
		}
	instance->lane = NULL;
}

/* Into the lane that its pool and policy name. */
void instance_place(struct core *core, struct instance *instance)
{
	struct lane *lane = lane_of(core, instance->pool, instance->policy);

	if (instance->lane == lane)
		return;
	instance_leave(instance);
	instance->lane = lane;
	*vec_push(&lane->instances) = instance;
}

/* Is a replica, now or soon. */
bool instance_live(const struct instance *instance)
{
	return !instance->gone && !instance->terminating &&
	       (instance->state == INSTANCE_PENDING || instance->state == INSTANCE_RUNNING);
}

/* Costs money, and counts towards the pool's limits. */
bool instance_billed(const struct instance *instance)
{
	return !instance->gone &&
	       (instance->state == INSTANCE_PENDING || instance->state == INSTANCE_RUNNING);
}

/* Of a lane: what runs or starts, and what is on its way; and of these, what serves. */
void lane_count(const struct lane *lane, int32_t *current, int32_t *ready)
{
	*current = *ready = 0;
	vec_for_each (it, &lane->instances) {
		if (!instance_live(*it) || instance_leaves(*it))
			continue;
		++*current;
		*ready += (*it)->serving;
	}
	vec_for_each (it, &lane->orders)
		*current += (int32_t)order_coming(*it);
	*current += (int32_t)lane->waiting;
}

/* current: what runs or starts, what is on its way, and the base: this host, unless it is an
 * instance of the pool itself; in a fleet the hosts of the service that are none of the policy's
 * instances. ready: of these, what serves. What leaves is neither: its replacement is. */
void replicas_count(struct core *core, struct policy_state *policy, int32_t *current,
		    int32_t *ready)
{
	const struct lane *lane = policy->lane;
	bool self = false;

	*current = *ready = 0;
	vec_for_each (it, &lane->instances) {
		bool is_self = *core->config.instance_id &&
			       strcmp((*it)->id, core->config.instance_id) == 0;

		if (!instance_live(*it) || instance_leaves(*it))
			continue;
		self |= is_self;
		++*current;
		*ready += (*it)->serving || is_self;
	}
	if (core->config.fleet) {
		hosts_count(core, policy);
		*current += policy->hosts;
		*ready += policy->hosts;
	} else if (!self) {
		++*current;
		++*ready;
	}
	vec_for_each (it, &lane->orders)
		*current += (int32_t)order_coming(*it);
	*current += (int32_t)lane->waiting;
}

/* ---- state changes ---- */

void instance_step(struct core *core, const struct instance *instance, struct moment now,
		   const char *what)
{
	struct record *record = record_find(core, instance->decision);

	if (!record)
		return;
	record_step(core, record, now, "%s (%s, %s) %s", instance->id, instance->instance_type,
		    instance->zone, what);
	record_close_if_done(core, record, now);
	record_changed(core, record);
}

void instance_gone(struct core *core, struct instance *instance, struct moment now, const char *why)
{
	if (instance->gone)
		return;
	instance->gone = true;
	counts_old(core);
	instance->gone_ns = now.mono_ns;
	account_gone(core, instance, now.wall_ns);
	journal_instance(core, instance, instance->vanished ? "vanished" : "gone", now);
	instance_step(core, instance, now, why);
	drain_gone(core, instance, now);
}

void instance_serves(struct core *core, struct instance *instance, enum serving_proof proof,
		     struct moment now)
{
	char way[CLOUD_TEXT_SIZE];

	instance->serving = true;
	route_look(core, instance);
	policy_served(core, instance->policy);
	journal_instance(core, instance, "serving", now);
	instance_way_over(core, instance, proof, now, way);
	instance_step(core, instance, now, way);
}

/* Those that serve or are gone leave the list of what starts. */
static void starting_trim(struct core *core)
{
	size_t kept = 0;

	for (size_t i = 0; i < core->starting.count; i++)
		if (!core->starting.at[i]->serving && !core->starting.at[i]->gone)
			core->starting.at[kept++] = core->starting.at[i];
	core->starting.count = kept;
}

/* What no agent tells of is taken to serve when its time has come. Returns when the next one will.
 */
uint64_t instances_tick(struct core *core, struct moment now)
{
	uint64_t next_ns = UINT64_MAX;

	for (size_t i = core->starting.count; i-- > 0;) {
		struct instance *instance = core->starting.at[i];
		uint64_t at_ns =
			instance_warm(instance) ? UINT64_MAX : instance_serves_at(core, instance);

		if (!instance->serving && !instance->gone && at_ns <= now.mono_ns)
			instance_serves(core, instance, instance_clock_proof(core, instance), now);
		if (instance->serving || instance->gone)
			core->starting.at[i] = core->starting.at[--core->starting.count];
		else
			next_ns = MIN(next_ns, at_ns);
	}
	return next_ns;
}

/* What ends before it serves, and not by forerun (an image that does not start, a volume key that
 * may not be used), would be launched again and again: a pause first, longer each time until one
 * serves. Those that end together are one occasion. */
static void ended_early(struct core *core, const struct instance *instance, struct moment now)
{
	const struct policy_state *policy = policy_find(core, instance->policy);
	char why[CLOUD_TEXT_SIZE];

	if (!policy || now.mono_ns < policy->backoff_ns)
		return;
	snprintf(why, sizeof(why), "%s (%s, %s) was terminated before it served", instance->id,
		 instance->instance_type, instance->zone);
	policy_backoff(core, instance->policy, why, now);
}

void instance_is(struct core *core, struct instance *instance, enum instance_state state,
		 struct moment now)
{
	instance->state = state;
	counts_old(core);
	switch (state) {
	case INSTANCE_RUNNING:
		instance->running_ns = now.mono_ns;
		instance->running_wall_ns = now.wall_ns;
		journal_instance(core, instance, "running", now);
		instance_step(core, instance, now, "running");
		route_look(core, instance);
		break;
	case INSTANCE_SHUTTING_DOWN:
	case INSTANCE_TERMINATED:
		if (!instance->terminating && !instance->serving && !instance->drain)
			ended_early(core, instance, now);
		instance_gone(core, instance, now,
			      instance->terminating ? "terminated"
						    : "terminated, not by forerun (spot "
						      "interruption, or someone else)");
		break;
	default:
		instance_step(core, instance, now, instance_state_text(state));
	}
}

/* Whose it is, as its tags say. */
static void tags_take(struct core *core, struct instance *instance,
		      const struct instance_view *view)
{
	set_text(instance->decision, view->decision);
	set_text(instance->token, view->token);
	set_text(instance->pool, view->pool);
	set_text(instance->policy, view->policy);
	set_text(instance->class_hash, view->class_hash);
	set_text(instance->pool_hash, view->pool_hash);
	instance_place(core, instance);
	lane_of_token(core, view->token, &instance->sequence);
	instance->epoch = view->epoch;
}

/* One of a warm pool is a policy's since it was last seen: another core started it, or this one
 * has no answer yet. Never back: a picture may be old. */
static void tags_see(struct core *core, struct instance *instance, const struct instance_view *view,
		     struct moment now)
{
	const struct pool_state *pool = pool_find(core, instance->pool);

	if (!instance_warm(instance) || is_warm_name(view->policy) || !*view->policy)
		return;
	instance_started(core, instance, pool ? source_of_start(pool, instance) : SOURCE_STOPPED,
			 now);
	tags_take(core, instance, view);
	journal_claimed(core, instance, now);
}

static void learn_instance(struct core *core, const struct instance_view *view, struct moment now)
{
	struct instance *instance = instance_add(core, view->id);

	if (!instance)
		return;
	set_text(instance->instance_type, view->instance_type);
	set_text(instance->zone, view->zone);
	tags_take(core, instance, view);
	instance->capacity_type = view->capacity_type;
	instance->launched_wall_ns = view->launched_wall_ns;
	instance->known_ns = now.mono_ns;
	instance->known_wall_ns = now.wall_ns;
	instance_describe(core, instance);
	/* After a restart: perhaps one that is being terminated. */
	vec_for_each (it, &core->retirements)
		retirement_mark(core, *it, true);
}

void starting_again(struct core *core, struct instance *instance)
{
	vec_for_each (it, &core->starting)
		if (*it == instance)
			return;
	*vec_push(&core->starting) = instance;
}

/* It had only been left out of the pictures, and runs: it counts and costs as before. */
static void instance_back(struct core *core, struct instance *instance, struct moment now)
{
	account_back(core, instance);
	instance->gone = instance->vanished = false;
	instance->seen = true;
	counts_old(core);
	if (!instance->serving)
		starting_again(core, instance);
	journal_instance(core, instance, "back", now);
	instance_step(core, instance, now, "is shown again");
}

static void see_instance(struct core *core, const struct instance_view *view, uint64_t asked_ns,
			 struct moment now)
{
	struct instance *instance = instance_find(core, view->id);
	bool over = view->state == INSTANCE_SHUTTING_DOWN || view->state == INSTANCE_TERMINATED;
	struct lane *lane;
	uint64_t n;

	if (!view->owned)
		return;
	lane = lane_of_token(core, view->token, &n);
	if (lane)
		lane_shown(lane, n, view->launch_count, now);
	if (!instance) {
		launches_see(core, view, now);
		/* One that is over matters only to an order whose end is not known. */
		if (over && !order_find(core, view->token))
			return;
		learn_instance(core, view, now);
		instance = instance_find(core, view->id);
		if (!instance)
			return;
	}
	instance->view = core->views;
	instance->grouped = view->grouped;
	instance->missing_ns = 0;
	if (instance->vanished && !over)
		instance_back(core, instance, now);
	if (instance->gone)
		return;
	if (view->launched_wall_ns)
		instance->launched_wall_ns = view->launched_wall_ns;
	instance->capacity_type = view->capacity_type;
	if (*view->class_hash)
		set_text(instance->class_hash, view->class_hash);
	if (*view->pool_hash)
		set_text(instance->pool_hash, view->pool_hash);
	set_text(instance->image_id, view->image_id);
	set_text(instance->subnet_id, view->subnet_id);
	instance->groups_hash = view->groups_hash;
	instance->reserved = *view->reservation_id;
	tags_see(core, instance, view, now);
	if (start_not_shown(core, instance, view, asked_ns))
		return;
	if (!instance->seen) {
		instance->seen = true;
		if (view->state == INSTANCE_PENDING)
			instance_step(core, instance, now, "pending");
	}
	/* A view may be older than what is known: nothing runs and then is pending again. */
	if (view->state != instance->state && view->state != INSTANCE_PENDING)
		instance_is(core, instance, view->state, now);
	if (!instance->gone)
		drain_seen(core, instance, view, now);
}

static void instance_vanished(struct core *core, struct instance *instance, struct moment now,
			      const char *why)
{
	instance->vanished = true;
	instance_gone(core, instance, now, why);
}

/* Not shown: too new to be seen, an old picture, or gone. */
static void miss_instance(struct core *core, struct instance *instance, uint64_t asked_ns,
			  struct moment now)
{
	if (!instance->seen) {
		if (asked_ns > instance->known_ns + visible_within(core))
			instance_vanished(core, instance, now,
					  "never turned up: EC2 does not show it");
		return;
	}
	if (!instance->missing_ns)
		instance->missing_ns = MAX(asked_ns, 1);
	else if (asked_ns >= instance->missing_ns + MISSING_FOR_NS)
		instance_vanished(core, instance, now, "vanished: EC2 does not show it any more");
}

static bool order_is_open(const struct instance *instance)
{
	vec_for_each (it, &instance->lane->orders)
		if (order_is_of(*it, instance))
			return true;
	return false;
}

static bool may_forget(const struct instance *instance, uint64_t gone_ns, uint64_t now_ns)
{
	return instance->gone && now_ns >= gone_ns + GONE_KEPT_NS && !order_is_open(instance);
}

static void instance_forget(struct core *core, struct instance *instance)
{
	map_remove(&core->instances_by_id, hash_text(instance->id));
	instance_leave(instance);
	vec_free(&instance->targets);
	free(instance);
}

static void instances_forget(struct core *core, uint64_t now_ns)
{
	size_t kept = 0;

	starting_trim(core);
	for (size_t i = 0; i < core->instances.count; i++) {
		struct instance *instance = core->instances.at[i];

		if (may_forget(instance, instance->gone_ns, now_ns))
			instance_forget(core, instance);
		else
			core->instances.at[kept++] = instance;
	}
	core->instances.count = kept;
}

/* Those that ended long before the line that is being replayed; looked for now and then. */
void instances_replay_forget(struct core *core, uint64_t wall_ns)
{
	size_t kept = 0;

	if (++core->replayed_gone % 1024)
		return;
	starting_trim(core);
	for (size_t i = 0; i < core->instances.count; i++) {
		struct instance *instance = core->instances.at[i];

		if (may_forget(instance, instance->gone_wall_ns, wall_ns))
			instance_forget(core, instance);
		else
			core->instances.at[kept++] = instance;
	}
	core->instances.count = kept;
}

void core_fleet(struct core *core, const struct fleet_view *view, struct moment now)
{
	core->views++;
	/* A picture from before the lead may lack what the leader before launched. */
	core->fleet_known |= view->asked_ns >= core->lead_ns;
	for (size_t i = 0; i < view->count; i++)
		see_instance(core, &view->instances[i], view->asked_ns, now);
	for (size_t i = 0; i < core->instances.count; i++) {
		struct instance *instance = core->instances.at[i];

		if (!instance->gone && instance->view != core->views)
			miss_instance(core, instance, view->asked_ns, now);
	}
	hosts_see(core, view);
	pause_by_tags(core, view, now);
	orders_settle(core, view->asked_ns, now);
	lanes_shown(core, view->asked_ns, now);
	before_ends(core, view->asked_ns);
	starts_seen(core, view->asked_ns);
	instances_tick(core, now);
	spend_tick(core, now);
	instances_forget(core, now.mono_ns);
}

/* After a restart: the journal's wall times as moments of this start's clock. */
void instances_start(struct core *core, struct moment now)
{
	core->starting.count = 0;
	vec_for_each (it, &core->instances) {
		struct instance *instance = *it;

		instance->known_ns = mono_of(instance->known_wall_ns, now);
		if (instance->running_wall_ns)
			instance->running_ns = mono_of(instance->running_wall_ns, now);
		if (instance->started_wall_ns)
			instance->started_ns = mono_of(instance->started_wall_ns, now);
		if (instance->gone)
			instance->gone_ns = now.mono_ns;
		if (!instance->gone && !instance->serving)
			*vec_push(&core->starting) = instance;
		instance_describe(core, instance);
	}
}
