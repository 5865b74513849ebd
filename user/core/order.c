/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One CreateFleet from its making to its first call: complete, written down, then called. The line
 * reaches the disk after the call: when the machine dies in between, the token tells.
 */
#include <math.h>

#include "core/core_private.h"

#define ANSWER_WITHIN_NS (120 * NS_PER_S)

static void tag_add(struct launch_order *order, const char *key, const char *value)
{
	struct key_value *tag;

	vec_for_each (known, &order->tags.list)
		if (strcmp(known->key, key) == 0) {
			free(known->value);
			known->value = strdup(value);
			return;
		}
	tag = vec_push(&order->tags.list);
	tag->key = strdup(key);
	tag->value = strdup(value);
}

/* The class's own first, so that none of them can stand in for one of ours. */
void order_tags(struct core *core, struct launch_order *order)
{
	const struct pool_state *pool = pool_find(core, order->pool);
	const struct policy_state *policy = policy_find(core, order->policy);
	char name[CLOUD_NAME_SIZE + 16], number[24];

	snprintf(name, sizeof(name), "forerun/%s", order->pool);
	tag_add(order, "Name", name);
	if (pool && pool->class && pool->class->node_class)
		vec_for_each (tag, &pool->class->node_class->tags.list)
			tag_add(order, tag->key, tag->value);
	if (*core->config.owner)
		tag_add(order, "forerun.dev/owner", core->config.owner);
	tag_add(order, "forerun.dev/nodepool", order->pool);
	tag_add(order, "forerun.dev/policy", order->policy);
	tag_add(order, "forerun.dev/decision", order->decision);
	tag_add(order, "forerun.dev/token", order->token);
	if (policy && !policy->want)
		tag_add(order, "forerun.dev/service",
			policy->policy->service ?: policy->policy->name);
	if (pool && *pool->class_hash)
		tag_add(order, "forerun.dev/class-hash", pool->class_hash);
	if (pool && *pool->pool_hash)
		tag_add(order, "forerun.dev/pool-hash", pool->pool_hash);
	snprintf(number, sizeof(number), "%u", order->count);
	tag_add(order, "forerun.dev/count", number);
	snprintf(number, sizeof(number), "%llu", (unsigned long long)order->epoch);
	tag_add(order, "forerun.dev/epoch", number);
}

/* What makes an instance that is started the order's; the rest it has since it was prepared. */
void order_start_tags(struct core *core, struct launch_order *order)
{
	const struct policy_state *policy = policy_find(core, order->policy);
	char number[24];

	tag_add(order, "forerun.dev/policy", order->policy);
	tag_add(order, "forerun.dev/decision", order->decision);
	tag_add(order, "forerun.dev/token", order->token);
	if (policy && !policy->want)
		tag_add(order, "forerun.dev/service",
			policy->policy->service ?: policy->policy->name);
	snprintf(number, sizeof(number), "%u", order->count);
	tag_add(order, "forerun.dev/count", number);
	snprintf(number, sizeof(number), "%llu", (unsigned long long)order->epoch);
	tag_add(order, "forerun.dev/epoch", number);
}

static void order_context(struct core *core, struct launch_order *order)
{
	const struct pool_state *pool = pool_find(core, order->pool);

	if (pool && pool->class && pool->class->node_class && pool->class->node_class->context)
		set_text(order->context, pool->class->node_class->context);
}

static struct open_order *order_begin(struct core *core, const struct record *record,
				      struct moment now)
{
	struct open_order *open = calloc(1, sizeof(*open));
	struct launch_order *order;

	if (!open)
		abort();
	order = &open->order;
	set_text(order->decision, record->decision.id);
	order->sequence = record->lane->next;
	order->epoch = core->epoch;
	lane_token(record->lane, order->sequence, order->token, sizeof(order->token));
	set_text(order->pool, record->decision.pool);
	set_text(order->policy, record->decision.policy);
	open->made_ns = now.mono_ns;
	open->made_wall_ns = now.wall_ns;
	open->ask = true;
	return open;
}

static struct open_order *order_make(struct core *core, const struct record *record,
				     const struct launch_plan *plan, struct moment now)
{
	struct open_order *open = order_begin(core, record, now);
	struct launch_order *order = &open->order;

	order->capacity_type = plan->capacity_type;
	order->reservation = plan->reservation;
	order->count = plan->count;
	vec_for_each (override, &plan->overrides)
		*vec_push(&order->overrides) = *override;
	warm_templates(core, order);
	order_tags(core, order);
	order_context(core, order);
	group_order_fill(core, open, record->lane);
	open->vcpus_worst = plan->vcpus_worst;
	open->memory_mib_worst = plan->memory_mib_worst;
	open->usd_worst = plan->usd_worst;
	return open;
}

static struct open_order *order_make_start(struct core *core, const struct record *record,
					   const struct launch_plan *plan, struct moment now)
{
	struct open_order *open = order_begin(core, record, now);
	struct launch_order *order = &open->order;

	order->capacity_type = CAPACITY_ON_DEMAND;
	order->count = (uint32_t)plan->starts.count;
	vec_for_each (start, &plan->starts)
		*vec_push(&order->starts) = *start;
	order_start_tags(core, order);
	order_worst(core, open);
	return open;
}

void open_order_free(struct open_order *open)
{
	if (!open)
		return;
	launch_order_free(&open->order);
	free(open);
}

const char *order_action(const struct open_order *open)
{
	if (*open->order.group)
		return "SetDesiredCapacity";
	return open->order.starts.count ? "StartInstances" : "CreateFleet";
}

struct open_order *order_find(struct core *core, const char *token)
{
	vec_for_each (it, &core->orders)
		if (strcmp((*it)->order.token, token) == 0)
			return *it;
	return NULL;
}

void order_add(struct core *core, struct open_order *open)
{
	open->lane = lane_of(core, open->order.pool, open->order.policy);
	*vec_push(&core->orders) = open;
	*vec_push(&open->lane->orders) = open;
}

/* What was wanted meanwhile is decided now. */
void order_remove(struct core *core, struct open_order *open)
{
	order_claims(core, open, false);
	for (size_t i = 0; i < core->orders.count; i++)
		if (core->orders.at[i] == open) {
			vec_remove(&core->orders, i);
			break;
		}
	for (size_t i = 0; i < open->lane->orders.count; i++)
		if (open->lane->orders.at[i] == open) {
			vec_remove(&open->lane->orders, i);
			break;
		}
	evaluate_soon(core, open->order.policy);
	counts_old(core);
	open_order_free(open);
}

/* Of a replayed order: what its largest override would take, from the pool's offerings. */
void order_worst(struct core *core, struct open_order *open)
{
	struct pool_state *pool = pool_find(core, open->order.pool);

	vec_for_each (start, &open->order.starts) {
		const struct instance *instance = instance_find(core, start->id);

		if (!instance)
			continue;
		open->usd_worst = isnan(open->usd_worst) || isnan(instance->usd_per_hour)
					  ? NAN
					  : MAX(open->usd_worst, instance->usd_per_hour);
		open->vcpus_worst = MAX(open->vcpus_worst, instance->vcpus);
		open->memory_mib_worst = MAX(open->memory_mib_worst, instance->memory_mib);
	}
	vec_for_each (override, &open->order.overrides) {
		if (!isnan(open->usd_worst))
			open->usd_worst = isnan(override->usd_per_hour)
						  ? NAN
						  : MAX(open->usd_worst, override->usd_per_hour);
		open->vcpus_worst = MAX(open->vcpus_worst, override->vcpus);
		open->memory_mib_worst = MAX(open->memory_mib_worst, override->memory_mib);
		if (!pool)
			continue;
		vec_for_each (offering, &pool->offerings)
			if (strcmp(offering->instance_type, override->instance_type) == 0) {
				open->vcpus_worst = MAX(open->vcpus_worst, offering->vcpus);
				open->memory_mib_worst =
					MAX(open->memory_mib_worst, offering->memory_mib);
			}
	}
}

/* The same number may be another core's, for another decision. */
bool order_is_of(const struct open_order *open, const struct instance *instance)
{
	return strcmp(instance->token, open->order.token) == 0 &&
	       strcmp(instance->decision, open->order.decision) == 0;
}

/* How many of it may still turn up beside those that did. */
uint32_t order_coming(const struct open_order *open)
{
	uint32_t known = 0;

	if (*open->order.group)
		return group_order_coming(open);
	vec_for_each (it, &open->lane->instances)
		known += order_is_of(open, *it);
	return open->order.count - MIN(open->order.count, known);
}

/* Full jitter over 200 ms doubled with each try, 20 s at most (as the AWS SDKs), drawn from the
 * token: the same token waits the same times whoever asks. */
uint64_t backoff_after(const char *token, uint32_t tries)
{
	uint64_t most = MIN(200 * NS_PER_MS << MIN(tries, 10U), 20 * NS_PER_S);
	uint64_t mixed = hash_text(token) + tries * 0x9e3779b97f4a7c15ULL;

	mixed ^= mixed >> 33;
	mixed *= 0xff51afd7ed558ccdULL;
	mixed ^= mixed >> 33;
	mixed *= 0xc4ceb9fe1a85ec53ULL;
	mixed ^= mixed >> 33;
	return 20 * NS_PER_MS + (uint64_t)((double)(mixed >> 11) * 0x1p-53 * (double)most);
}

static void order_ask(struct core *core, struct open_order *open, struct moment now)
{
	open->retry_ns = now.mono_ns + ANSWER_WITHIN_NS;
	open->tries++;
	core->totals.launches_called++;
	core->effects.launch(core->effects.arg, &open->order);
}

/* Whether calls may be made: this core leads, acts, is not paused, and can remember. */
bool may_call(const struct core *core)
{
	return core->started && core->leads && !core->journal_error && !core->pauses.count &&
	       core->config.mode == MODE_ACT;
}

/* Of what is started EC2 keeps no token: the lease's record names it before it is called. */
static void order_call(struct core *core, struct open_order *open, struct moment now)
{
	if (open->order.starts.count) {
		lane_used(open->lane, open->order.sequence, COUNT_UNKNOWN, false, now);
		open->unstored = needs_promise(core);
	}
	if (open->unstored)
		open->retry_ns = UINT64_MAX;
	else
		order_ask(core, open, now);
	if (core->effects.outdated)
		core->effects.outdated(core->effects.arg);
}

static int order_place_one(struct core *core, struct record *record, struct open_order *open,
			   struct moment now)
{
	int r = journal_order(core, open, record->attempts, now);

	if (r < 0) {
		open_order_free(open);
		return r;
	}
	order_add(core, open);
	order_claims(core, open, true);
	counts_ordered(core, open);
	promise_spend(core, open);
	order_call(core, open, now);
	return 0;
}

/* Written down, then called. When the journal fails nothing is called. The lane must be free. What
 * is started has a number of its own, and is known by name: so CreateFleet need not wait for it. */
int order_place(struct core *core, struct record *record, const struct launch_plan *plan,
		struct moment now)
{
	int r = 0;

	record->attempts++;
	if (plan->starts.count)
		r = order_place_one(core, record, order_make_start(core, record, plan, now), now);
	record->reserved |= plan->count && plan->capacity_type == CAPACITY_RESERVED;
	if (r >= 0 && plan->count)
		r = order_place_one(core, record, order_make(core, record, plan, now), now);
	return r;
}

/* The lease's record names what they start now: they are called at the next tick. */
void starts_stored(struct core *core)
{
	vec_for_each (it, &core->orders) {
		if ((*it)->unstored && (*it)->written)
			(*it)->retry_ns = 0;
		if ((*it)->written)
			(*it)->unstored = false;
	}
}

/* How long ago on the wall clock, as a moment of this start's monotonic clock (1: long ago). */
uint64_t mono_of(uint64_t wall_ns, struct moment now)
{
	uint64_t ago_ns = now.wall_ns - MIN(now.wall_ns, wall_ns);

	return now.mono_ns > ago_ns ? now.mono_ns - ago_ns : 1;
}

static bool has_order(const struct record *record)
{
	vec_for_each (it, &record->lane->orders)
		if (strcmp((*it)->order.decision, record->decision.id) == 0)
			return true;
	return false;
}

/* A decision that the restart cut short: what is left of it is attempted, unless nothing of it was
 * ordered yet. Then the policy decides anew, on fresh signals. */
static void record_start(struct core *core, struct record *record, struct moment now)
{
	struct decision *decision = &record->decision;

	decision->made.mono_ns = mono_of(decision->made.wall_ns, now);
	if (decision->closed || !decision_launches(decision) || decision->mode != MODE_ACT ||
	    has_order(record))
		return;
	if (!record->attempts) {
		decision->failed = record->count;
		record_step(core, record, now, "restart: nothing had been ordered");
		record_close_if_done(core, record, now);
		return;
	}
	if (decision->launched + decision->failed >= record->count)
		return;
	record_retry(core, record, now.mono_ns);
	if (!core->leads)
		attempt_next(core, record, now);
}

/* Whether to ask for it again: not when EC2 may have forgotten the token, not for a policy or a
 * pool that is not configured any more, for nobody would scale it down again, and not when another
 * core led since, for that one has not kept room for it within the limits. */
static bool worth_asking(struct core *core, const struct open_order *open, struct moment now)
{
	uint64_t age_ns = now.wall_ns - MIN(now.wall_ns, open->made_wall_ns);

	return may_call(core) && age_ns < TOKEN_GOOD_FOR_NS &&
	       open->order.epoch + 1 >= core->epoch && pool_find(core, open->order.pool) &&
	       policy_find(core, open->order.policy);
}

/* An order without a known end may have had its effect. It is asked for again with the same token
 * and parameters, or settled by what its tags show. */
static void order_start(struct core *core, struct open_order *open, const char *since,
			struct moment now)
{
	struct record *record = record_find(core, open->order.decision);

	/* Made long ago, but perhaps asked for last just before. */
	open->uncertain_ns = now.mono_ns;
	open->ask = worth_asking(core, open, now);
	open->settle_by_tags = !open->ask;
	order_claims(core, open, true);
	record_step(core, record, now, "%s: %s %s has no known end, %s", since, order_action(open),
		    open->order.token, open->ask ? "asking again" : "looking for its instances");
	open->unstored = open->ask && open->order.starts.count && needs_promise(core);
	if (open->unstored)
		open->retry_ns = UINT64_MAX;
	else if (open->ask)
		order_ask(core, open, now);
}

void orders_ask_all(struct core *core, const char *since, struct moment now)
{
	for (size_t i = 0; i < core->orders.count; i++)
		order_start(core, core->orders.at[i], since, now);
}

void orders_start(struct core *core, struct moment now)
{
	vec_for_each (launch, &core->launches)
		launch->time_ns = mono_of(launch->wall_ns, now);
	vec_for_each (it, &core->orders) {
		(*it)->made_ns = mono_of((*it)->made_wall_ns, now);
		order_worst(core, *it);
	}
	orders_ask_all(core, "restart", now);
	for (size_t i = 0; i < core->records.count; i++)
		record_start(core, core->records.at[i], now);
}

/* Nothing is called any more; what was called may have its effect yet. */
void orders_yield(struct core *core, const char *why, struct moment now)
{
	vec_for_each (it, &core->orders) {
		struct open_order *open = *it;

		open->ask = false;
		open->settle_by_tags = true;
		open->uncertain_ns = now.mono_ns;
		record_step(core, record_find(core, open->order.decision), now,
			    "%s: %s %s is not asked for again by this core", why,
			    order_action(open), open->order.token);
	}
	for (size_t i = 0; i < core->records.count; i++)
		if (core->records.at[i]->retry)
			attempt_next(core, core->records.at[i], now);
}

static uint64_t retry_records(struct core *core, struct moment now)
{
	uint64_t next_ns = UINT64_MAX;

	for (size_t i = 0; core->records_waiting && i < core->records.count; i++) {
		struct record *record = core->records.at[i];

		if (!record->retry)
			continue;
		if (record->retry_ns <= now.mono_ns)
			attempt_next(core, record, now);
		if (record->retry)
			next_ns = MIN(next_ns, record->retry_ns);
	}
	return next_ns;
}

/* EC2 may forget the token from now on, and would then launch again: no more calls, and what they
 * had for an effect is seen once everything of them must be visible. */
static void order_ages(struct core *core, struct open_order *open, struct moment now)
{
	open->ask = false;
	open->settle_by_tags = true;
	open->uncertain_ns = now.mono_ns;
	record_step(core, record_find(core, open->order.decision), now,
		    "%s %s has no known end for %llu h: not asked for again, looking for "
		    "its instances",
		    order_action(open), open->order.token, TOKEN_GOOD_FOR_NS / (3600 * NS_PER_S));
}

uint64_t orders_tick(struct core *core, struct moment now)
{
	uint64_t next_ns = UINT64_MAX;

	if (!may_call(core))
		return next_ns;
	vec_for_each (it, &core->orders) {
		if ((*it)->ask && now.mono_ns >= (*it)->made_ns + TOKEN_GOOD_FOR_NS)
			order_ages(core, *it, now);
		if (!(*it)->ask)
			continue;
		if ((*it)->retry_ns <= now.mono_ns)
			order_ask(core, *it, now);
		next_ns = MIN(next_ns, (*it)->retry_ns);
	}
	return MIN(next_ns, retry_records(core, now));
}
