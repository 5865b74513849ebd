/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What to give back: every ten seconds all instances are looked at as nodes (plan/disrupt.h). A
 * replica of a policy is a whole instance here: it is under-used when its pool sells the same
 * replica cheaper, and empty when nobody wants it any more and its own signals show nothing open.
 * How many replicas there are is the policies' business.
 */
#include <math.h>

#include "core/give.h"

#define LOOK_EVERY_NS (10 * NS_PER_S)

static const char DO_NOT_DISRUPT[] = "karpenter.sh/do-not-disrupt";
/* It launches from a template, at prices and by rules of its own. */
static const char GROUP_DECIDES[] =
	"what its Auto Scaling group launches and replaces is the group's own business";

/* ---- offerings ---- */

static uint64_t place_of(const char *type, const char *zone, enum capacity_type capacity_type)
{
	return hash_text(type) * 31 + hash_text(zone) * 7 + (uint64_t)capacity_type;
}

static const struct offering *offering_at(const struct look *look, const struct pool_state *pool,
					  const char *type, const char *zone,
					  enum capacity_type capacity_type)
{
	const struct offering *offering = map_get(&look->places[pool - look->core->pools],
						  place_of(type, zone, capacity_type));

	return offering && strcmp(offering->instance_type, type) == 0 &&
			       strcmp(offering->zone, zone) == 0
		       ? offering
		       : NULL;
}

static void note_places(struct look *look)
{
	for (size_t p = 0; p < look->core->pools_count; p++) {
		const struct pool_state *pool = &look->core->pools[p];

		look->pools[p] = pool->pool;
		for (size_t i = 0; i < pool->offerings.count; i++) {
			struct offering *offering = &pool->offerings.at[i];

			map_put(&look->places[p],
				place_of(offering->instance_type, offering->zone,
					 offering->capacity_type),
				offering);
		}
	}
}

static int by_price(const void *a, const void *b)
{
	const struct offering *x = *(const struct offering *const *)a;
	const struct offering *y = *(const struct offering *const *)b;
	double p = isnan(x->usd_per_hour) ? INFINITY : x->usd_per_hour;
	double q = isnan(y->usd_per_hour) ? INFINITY : y->usd_per_hour;

	if (p != q)
		return p < q ? -1 : 1;
	return (x > y) - (x < y);
}

/* What is still bought for a replica of the policy, the cheapest first; of all capacity types. */
struct offering_list {
	VEC(const struct offering *) list;
};

static void offerings_for(const struct look *look, const struct policy_state *policy,
			  struct offering_list *out)
{
	for (int t = CAPACITY_ON_DEMAND; t < CAPACITY_TYPES; t++) {
		if (t == CAPACITY_SPOT && policy->policy->on_demand)
			continue;
		vec_for_each (offer, &policy_offers(policy, (enum capacity_type)t)->list) {
			const struct offering *offering =
				offering_at(look, policy->pool, offer->override.instance_type,
					    offer->override.zone, (enum capacity_type)t);

			if (offering)
				*vec_push(&out->list) = offering;
		}
	}
	if (out->list.count)
		qsort(out->list.at, out->list.count, sizeof(*out->list.at), by_price);
}

/* ---- instances as nodes ---- */

struct policy_state *give_policy(const struct look *look, const struct instance *instance)
{
	struct policy_state *policy = policy_find(look->core, instance->policy);

	return policy && policy->pool && strcmp(policy->policy->pool, instance->pool) == 0 ? policy
											   : NULL;
}

static bool counts(const struct instance *instance)
{
	return !instance->gone && instance->seen && !is_warm_name(instance->policy) &&
	       (instance->state == INSTANCE_RUNNING || instance->state == INSTANCE_PENDING);
}

static const char *keep_text(struct look *look, const char *text)
{
	return *vec_push(&look->texts) = strdup(text);
}

/* Of the NodePool and EC2NodeClass as they are today. */
static bool has_drifted(const struct instance *instance, const struct pool_state *pool,
			const struct offering *offering, char why[DISRUPT_TEXT_SIZE])
{
	const struct class_state *class = pool->class;
	_cleanup_free_ const char **subnets =
		calloc(class->subnets.count + 1, sizeof(const char *));
	const struct launch_template *template =
		offering ? launch_template_for(class->templates.at, class->templates.count,
					       offering, pool->pool->name, "")
			 : NULL;
	const char *image = template ? template->image_id : NULL;
	const struct disrupt_launched launched = {instance->class_hash,	 instance->pool_hash,
						  instance->image_id,	 instance->subnet_id,
						  instance->groups_hash, NULL};
	const struct disrupt_wanted wanted = {
		pool->pool, pool->class_hash,  pool->pool_hash,	     &image,
		subnets,    template ? 1U : 0, class->subnets.count, class->groups_hash};

	if (!subnets)
		return false;
	for (size_t i = 0; i < class->subnets.count; i++)
		subnets[i] = class->subnets.at[i].id;
	if (disrupt_drifted(&launched, &wanted, why))
		return true;
	if (offering || instance->reserved || !pool->offerings.count || !*instance->instance_type)
		return false;
	snprintf(why, DISRUPT_TEXT_SIZE, "NodePool %s does not allow %s in %s on %s any more",
		 pool->pool->name, instance->instance_type, instance->zone,
		 capacity_type_text(instance->capacity_type));
	return true;
}

static void see_drift(struct look *look, struct instance *instance, const struct pool_state *pool,
		      struct disrupt_node *node)
{
	char why[DISRUPT_TEXT_SIZE];

	if (!pool->class || !pool->class->ready ||
	    !has_drifted(instance, pool, node->offering, why)) {
		instance->drifted_wall_ns = 0;
		return;
	}
	if (!instance->drifted_wall_ns)
		instance->drifted_wall_ns = look->now.wall_ns;
	node->drifted = keep_text(look, why);
	node->drifted_wall_ns = instance->drifted_wall_ns;
}

static bool says_true(const struct key_values *annotations)
{
	return str_equal(key_values_get(annotations, DO_NOT_DISRUPT), "true");
}

/* Whose replica asks for nothing counts as one all the same. */
static void see_replica(const struct look *look, const struct policy_state *policy,
			struct disrupt_node *node)
{
	const struct pod_template *pod =
		policy->policy->replica
			? documents_pod(look->core->documents, policy->policy->replica)
			: NULL;

	node->eviction_cost = pod ? MAX(disrupt_eviction_cost(pod), 0.1) : 1;
	if (pod && pod->do_not_disrupt)
		node->pods_blocked = "the replica has karpenter.sh/do-not-disrupt: \"true\"";
	if (policy->lane->orders.count || policy->lane->waiting)
		node->blocked = "a launch of its policy is under way";
}

/* Nobody wants it; what its agent last said may be open on it all the same. */
static void see_idle(const struct look *look, struct instance *instance, struct disrupt_node *node)
{
	const struct signs *signs = &instance->signs;

	if (signs->heard_ns && !signs->quiet_ns) {
		node->eviction_cost = 1;
		node->pods_blocked = "connections are open on it, though no policy has it any more";
		instance->idle_wall_ns = 0;
		return;
	}
	if (!instance->idle_wall_ns)
		instance->idle_wall_ns = look->now.wall_ns;
	node->quiet_wall_ns = instance->idle_wall_ns;
}

static bool is_silent(const struct look *look, const struct instance *instance)
{
	return instance->missing_ns ||
	       (instance->heard_ns &&
		look->now.mono_ns > instance->heard_ns + look->core->config.limits.stale_ns);
}

static uint64_t wall_of(const struct look *look, uint64_t mono_ns)
{
	return look->now.wall_ns - MIN(look->now.wall_ns, look->now.mono_ns - mono_ns);
}

static void see(struct look *look, struct instance *instance)
{
	struct core *core = look->core;
	const struct pool_state *pool = pool_find(core, instance->pool);
	const struct policy_state *policy = give_policy(look, instance);
	struct disrupt_node *node = vec_push(&look->nodes);

	*vec_push(&look->instances) = instance;
	node->name = instance->id;
	node->pool = pool ? (uint32_t)(pool - core->pools) : DISRUPT_NO_POOL;
	node->usd_per_hour = instance->usd_per_hour;
	node->launched_wall_ns = instance->launched_wall_ns;
	node->quiet_wall_ns = instance->serving_ns ? wall_of(look, instance->serving_ns) : 0;
	node->ours = true;
	node->initialized = instance->serving || instance->drain;
	node->ready = !is_silent(look, instance);
	node->leaving = instance->drain || instance->terminating;
	if (strcmp(instance->id, core->config.instance_id) == 0)
		node->blocked = "it is this host";
	if (!pool)
		return;
	node->offering = offering_at(look, pool, instance->instance_type, instance->zone,
				     instance->capacity_type);
	if (says_true(&pool->pool->annotations))
		node->blocked = "NodePool has karpenter.sh/do-not-disrupt: \"true\"";
	if (!pool->pool->auto_scaling_group)
		see_drift(look, instance, pool, node);
	if (policy)
		see_replica(look, policy, node);
	else
		see_idle(look, instance, node);
	if (pool->pool->auto_scaling_group)
		node->blocked = GROUP_DECIDES;
}

/* ---- the world: a replica that goes is one more of the same ---- */

struct cached {
	const struct policy_state *policy;
	struct offering_list offers;
};
struct world {
	struct look *look;
	VEC(struct cached) cached;
};

static const struct offering_list *offers_for(struct world *world,
					      const struct policy_state *policy)
{
	struct cached *cached;

	vec_for_each (it, &world->cached)
		if (it->policy == policy)
			return &it->offers;
	cached = vec_push(&world->cached);
	cached->policy = policy;
	offerings_for(world->look, policy, &cached->offers);
	return &cached->offers;
}

static int remove_replicas(void *arg, const uint32_t *nodes, size_t count, double usd_below,
			   struct disrupt_move *move)
{
	struct world *world = arg;

	(void)usd_below;
	for (size_t i = 0; i < count; i++) {
		const struct instance *instance = world->look->instances.at[nodes[i]];
		const struct policy_state *policy = give_policy(world->look, instance);
		const struct offering_list *offers = policy ? offers_for(world, policy) : NULL;

		if (!policy)
			continue;
		if (offers->list.count) {
			*vec_push(&move->nodes) = (struct disrupt_new){
				policy->pool->pool, offers->list.at, offers->list.count};
			continue;
		}
		snprintf(move->why, sizeof(move->why),
			 "nothing can be bought now for a replica of %.80s", policy->policy->name);
		move->homeless++;
	}
	return 0;
}

/* ---- the look ---- */

static double overlap_s(struct core *core)
{
	double most = 0;

	for (size_t p = 0; p < core->pools_count; p++)
		most = MAX(most, lead_time_seconds(core, &core->pools[p]));
	return most + (double)core->config.limits.drain_blind_ns / NS_PER_S;
}

static int search(struct look *look)
{
	struct core *core = look->core;
	struct world world = {.look = look};
	struct disrupt_input input = {.pools = look->pools,
				      .pools_count = core->pools_count,
				      .nodes = look->nodes.at,
				      .nodes_count = look->nodes.count,
				      .world = {.arg = &world, .remove = remove_replicas},
				      .wall_ns = look->now.wall_ns};
	int r;

	disrupt_config_default(&input.config);
	input.config.spot_to_spot = core->config.spot_to_spot;
	input.config.estimate = true;
	input.config.overlap_s = overlap_s(core);
	input.config.batch = 0; /* replicas do not share an instance */
	r = disrupt_search(&input, &look->plan);
	vec_for_each (it, &world.cached)
		vec_free(&it->offers.list);
	vec_free(&world.cached);
	return r;
}

static void look_free(struct look *look)
{
	disrupt_plan_free(&look->plan);
	vec_for_each (text, &look->texts)
		free(*text);
	vec_free(&look->texts);
	vec_free(&look->instances);
	vec_free(&look->nodes);
	for (size_t p = 0; look->places && p < look->core->pools_count; p++)
		map_free(&look->places[p]);
	free(look->places);
	free(look->pools);
}

static bool may_look(const struct core *core)
{
	return core->leads && core->fleet_known && !core->journal_error && !core->pauses.count;
}

/* ---- what is told of it ---- */

static void note_node(struct giving_view *view, const struct look *look, uint32_t n)
{
	const struct disrupt_node *node = &look->nodes.at[n];
	uint64_t after_s = view->pool->expire_after_s, at_ns;

	if (node->drifted && !node->leaving) {
		if (!view->drifted++)
			set_text(view->drift, node->drifted);
	}
	if (after_s == DURATION_NEVER || !node->launched_wall_ns || node->leaving)
		return;
	at_ns = node->launched_wall_ns + after_s * NS_PER_S;
	view->expired += at_ns <= look->now.wall_ns;
	if (*view->next && view->next_wall_ns <= at_ns)
		return;
	set_text(view->next, node->name);
	view->next_wall_ns = at_ns;
}

static void note_held(struct giving_view *view, const struct disrupt_held *held)
{
	if (!view->held[held->by]++)
		set_text(view->holds[held->by], held->why);
}

static void note(struct look *look)
{
	struct giving *giving = &look->core->giving;

	vec_clear(&giving->pools);
	for (size_t p = 0; p < look->core->pools_count; p++) {
		const struct disrupt_pool *pool = &look->plan.pools[p];
		struct giving_view *view = vec_push(&giving->pools);

		view->pool = look->pools[p];
		memcpy(view->eligible, pool->eligible, sizeof(view->eligible));
		memcpy(view->allowance, pool->allowance, sizeof(view->allowance));
		view->usd_saves = pool->usd_saved;
		view->usd_held = pool->usd_held;
	}
	for (uint32_t n = 0; n < look->nodes.count; n++)
		if (look->nodes.at[n].pool < giving->pools.count)
			note_node(&giving->pools.at[look->nodes.at[n].pool], look, n);
	vec_for_each (held, &look->plan.held)
		note_held(&giving->pools.at[look->nodes.at[held->node].pool], held);
}

uint64_t give_back_tick(struct core *core, struct moment now)
{
	struct giving *giving = &core->giving;
	struct look look = {.core = core, .now = now};

	if (!may_look(core))
		return UINT64_MAX;
	if (giving->looked_ns && now.mono_ns < giving->looked_ns + LOOK_EVERY_NS)
		return giving->looked_ns + LOOK_EVERY_NS;
	giving->looked_ns = MAX(now.mono_ns, 1);
	giving->look++;
	look.pools = calloc(core->pools_count + 1, sizeof(*look.pools));
	look.places = calloc(core->pools_count + 1, sizeof(*look.places));
	if (look.pools && look.places) {
		note_places(&look);
		vec_for_each (it, &core->instances)
			if (counts(*it))
				see(&look, *it);
		if (search(&look) == 0) {
			note(&look);
			give_act(&look);
		}
	}
	look_free(&look);
	return now.mono_ns + LOOK_EVERY_NS;
}

void giving_free(struct core *core)
{
	vec_free(&core->giving.pools);
}

void core_giving(const struct core *core, struct giving_totals *out)
{
	const struct giving *giving = &core->giving;

	*out = (struct giving_totals){.looks = giving->look,
				      .usd_saved = giving->usd_saved,
				      .pools = giving->pools.at,
				      .pools_count = giving->pools.count};
	memcpy(out->begun, giving->commands, sizeof(out->begun));
}
