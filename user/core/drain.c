/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instances on their way out, one state after the other: each is written down when it begins, and
 * each may be begun again after a restart. None waits for another.
 */
#include "core/drain.h"

#define LOOK_EVERY_NS (NS_PER_S / 5)

/* ---- texts ---- */

static const char *const REASONS[RETIRE_REASONS] = {
	[RETIRE_SCALE_DOWN] = "scale-down",
	[RETIRE_EMPTY] = "empty",
	[RETIRE_UNDERUTILIZED] = "underutilized",
	[RETIRE_DRIFTED] = "drifted",
	[RETIRE_EXPIRED] = "expired",
	[RETIRE_TAGGED] = "tagged",
	[RETIRE_REBALANCE] = "rebalance",
	[RETIRE_MAINTENANCE] = "maintenance",
	[RETIRE_SPOT] = "spot",
};

const char *retire_reason_text(enum retire_reason reason)
{
	return (size_t)reason < RETIRE_REASONS ? REASONS[reason] : "unknown";
}

enum retire_reason retire_reason_of(const char *text)
{
	for (size_t r = 0; r < RETIRE_REASONS; r++)
		if (strcmp(text, REASONS[r]) == 0)
			return (enum retire_reason)r;
	return RETIRE_TAGGED;
}

const char *drain_state_text(enum drain_state state)
{
	static const char *const names[] = {[DRAIN_REPLACING] = "replacing",
					    [DRAIN_DRAINING] = "draining",
					    [DRAIN_TERMINATING] = "terminating"};

	return (size_t)state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

/* ---- one drain ---- */

bool instance_leaves(const struct instance *instance)
{
	const struct drain *drain = instance->drain;

	return drain && (drain->state != DRAIN_REPLACING || *drain->replacement);
}

bool instance_may_go(const struct core *core, const struct instance *instance)
{
	return instance_live(instance) && !instance->drain && instance->seen &&
	       !instance->missing_ns && strcmp(instance->id, core->config.instance_id) != 0;
}

/* EC2 decides when it is over. */
static bool is_interruption(const struct drain *drain)
{
	return drain->reason == RETIRE_SPOT || drain->reason == RETIRE_MAINTENANCE;
}

struct drain *drain_new(struct core *core, struct instance *instance, const char *decision,
			enum retire_reason reason, struct moment now)
{
	struct drain *drain = calloc(1, sizeof(*drain));

	if (!drain)
		return NULL;
	drain->instance = instance;
	drain->reason = reason;
	drain->since_ns = now.mono_ns;
	drain->since_wall_ns = now.wall_ns;
	set_text(drain->decision, decision);
	instance->drain = drain;
	*vec_push(&core->drains) = drain;
	return drain;
}

void drain_free(struct core *core, struct drain *drain)
{
	if (!drain)
		return;
	for (size_t i = 0; i < core->drains.count; i++)
		if (core->drains.at[i] == drain) {
			vec_remove(&core->drains, i);
			break;
		}
	drain->instance->drain = NULL;
	counts_old(core);
	free(drain);
}

static void close_record(struct core *core, const char *decision, struct moment now)
{
	struct record *record = record_find(core, decision);

	if (!record)
		return;
	record_close_if_done(core, record, now);
	record_changed(core, record);
}

bool drains_open(const struct core *core, const char *decision)
{
	vec_for_each (it, &core->drains)
		if ((*it)->state != DRAIN_TERMINATING && strcmp((*it)->decision, decision) == 0)
			return true;
	return false;
}

static void be(struct drain *drain, enum drain_state state, struct moment now)
{
	drain->state = state;
	drain->since_ns = now.mono_ns;
	drain->since_wall_ns = now.wall_ns;
}

/* From here on it is no replica. */
void drain_begins(struct core *core, struct drain *drain, const char *why, struct moment now)
{
	struct instance *instance = drain->instance;

	be(drain, DRAIN_DRAINING, now);
	instance->signs.quiet_ns = 0;
	journal_drain(core, drain, *drain->replacement != '\0', now);
	record_step(core, record_find(core, drain->decision), now, "%s (%s, %s) drains: %s",
		    instance->id, instance->instance_type, instance->zone, why);
	route_look(core, instance);
	host_leaves(core, instance->id);
	counts_old(core);
	evaluate_soon(core, instance->policy);
}

/* ---- the door ---- */

static struct record *retire_record(struct core *core, const struct instance *instance,
				    const struct retire_request *request, struct moment now)
{
	const struct policy_state *policy = policy_find(core, instance->policy);
	struct record *record;

	if (!policy)
		return NULL;
	record = record_new(core, DECISION_RETIRE, policy, now);
	if (!record)
		return NULL;
	record->decision.replicas_before = policy->current;
	record->decision.replicas_wanted =
		policy->result_present.valid ? policy->result_present.desired : policy->current;
	record->decision.replicas_decided = policy->current - (request->replacing == REPLACE_NOT);
	snprintf(record->decision.arithmetic, sizeof(record->decision.arithmetic), "%s: %s",
		 retire_reason_text(request->reason), request->why ? request->why : "");
	core->totals.decisions++;
	return record;
}

/* A reason that leaves less time takes the place of the one before. */
static int hurry(struct core *core, struct drain *drain, const struct retire_request *request,
		 struct moment now)
{
	uint64_t deadline = request->deadline_wall_ns;

	if (request->reason <= drain->reason || drain->state == DRAIN_TERMINATING)
		return -EALREADY;
	drain->reason = request->reason;
	if (deadline && (!drain->deadline_wall_ns || deadline < drain->deadline_wall_ns))
		drain->deadline_wall_ns = deadline;
	if (request->replacing == REPLACE_BESIDE && drain->replacing == REPLACE_FIRST &&
	    !*drain->replacement)
		drain->replacing = REPLACE_BESIDE;
	record_step(core, record_find(core, drain->decision), now, "%s: now %s: %s",
		    drain->instance->id, retire_reason_text(request->reason),
		    request->why ? request->why : "");
	if (drain->state == DRAIN_REPLACING && request->replacing != REPLACE_FIRST)
		drain_begins(core, drain, "there is no time to wait for its replacement", now);
	else
		journal_drain(core, drain, false, now);
	return 0;
}

static int drain_one(struct core *core, struct instance *instance,
		     const struct retire_request *request, struct record *record, struct moment now)
{
	struct drain *drain = drain_new(core, instance, record->decision.id, request->reason, now);

	if (!drain)
		return -ENOMEM;
	drain->replacing = request->replacing;
	drain->deadline_wall_ns = request->deadline_wall_ns;
	drain->given = request->replacement != NULL;
	set_text(drain->replacement, request->replacement ? request->replacement : "");
	core->departures.begun[request->reason]++;
	instance->lane->replace_ns = 0;
	if (request->replacing != REPLACE_FIRST) {
		drain_begins(core, drain, retire_reason_text(request->reason), now);
	} else {
		journal_drain(core, drain, false, now);
		record_step(core, record, now, "%s (%s, %s) serves on until its replacement does",
			    instance->id, instance->instance_type, instance->zone);
	}
	return core->journal_error;
}

static int begin_all(struct core *core, struct instance *const *instances, size_t count,
		     const struct retire_request *request, struct record *record, struct moment now)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++)
		r = drain_one(core, instances[i], request, record, now);
	if (r < 0)
		for (size_t i = 0; i < count; i++)
			drain_free(core, instances[i]->drain);
	else
		drains_tick(core, now);
	return r;
}

int retire_all(struct core *core, struct instance *const *instances, size_t count,
	       const struct retire_request *request, struct moment now)
{
	struct record *record = request->record;
	int r;

	for (size_t i = 0; i < count; i++)
		if (!instance_may_go(core, instances[i]))
			return instances[i]->drain ? -EALREADY : -EINVAL;
	if (core->config.mode == MODE_ACT && !may_call(core))
		return -EPERM;
	if (!count)
		return 0;
	if (!record) {
		record = retire_record(core, instances[0], request, now);
		if (!record)
			return -EINVAL;
		r = journal_decision(core, record, now);
		if (r < 0 || core->config.mode != MODE_ACT) {
			record_close_if_done(core, record, now);
			return r < 0 ? r : -EPERM;
		}
	}
	r = begin_all(core, instances, count, request, record, now);
	record_close_if_done(core, record, now);
	record_changed(core, record);
	return r;
}

int retire_begin(struct core *core, struct instance *instance, const struct retire_request *request,
		 struct moment now)
{
	if (instance->drain)
		return hurry(core, instance->drain, request, now);
	return retire_all(core, &instance, 1, request, now);
}

/* It stays: registered again, a replica again. */
static void call_off(struct core *core, struct drain *drain, const char *why, struct moment now)
{
	struct instance *instance = drain->instance;
	char decision[sizeof(drain->decision)];

	set_text(decision, drain->decision);
	record_step(core, record_find(core, decision), now, "%s stays: %s", instance->id, why);
	journal_drain_end(core, drain, true, now);
	drain_unmark(core, drain);
	instance->terminating = false;
	core->departures.called_off++;
	drain_free(core, drain);
	route_look(core, instance);
	host_leaves(core, instance->id);
	evaluate_soon(core, instance->policy);
	close_record(core, decision, now);
}

int retire_cancel(struct core *core, struct instance *instance, const char *why, struct moment now)
{
	struct drain *drain = instance->drain;

	if (!drain || drain->state == DRAIN_TERMINATING || is_interruption(drain) ||
	    !may_call(core))
		return -EBUSY;
	call_off(core, drain, why, now);
	return 0;
}

struct instance *retire_last(const struct lane *lane)
{
	struct instance *last = NULL;

	vec_for_each (it, &lane->instances) {
		const struct drain *drain = (*it)->drain;

		if (!drain || (*it)->gone || drain->state == DRAIN_TERMINATING ||
		    is_interruption(drain) || !instance_leaves(*it))
			continue;
		if (!last || drain->since_ns > last->drain->since_ns)
			last = *it;
	}
	return last;
}

/* ---- from outside ---- */

void drain_gone(struct core *core, struct instance *instance, struct moment now)
{
	struct drain *drain = instance->drain;
	char decision[48];

	route_forget(core, instance);
	if (!drain)
		return;
	set_text(decision, drain->decision);
	if (drain->state != DRAIN_TERMINATING)
		record_step(core, record_find(core, decision), now,
			    "%s is gone before it was terminated", instance->id);
	drain_free(core, drain);
	close_record(core, decision, now);
}

/* An interruption goes on without us. */
void drain_refused(struct core *core, struct instance *instance, const char *why, struct moment now)
{
	struct drain *drain = instance->drain;

	if (!drain)
		return;
	if (!is_interruption(drain)) {
		call_off(core, drain, why, now);
		return;
	}
	drain->state = DRAIN_DRAINING;
	drain->refused = true;
}

static struct record *record_of_tag(struct core *core, const struct instance *instance,
				    const char *decision, enum retire_reason reason,
				    const char *tag, struct moment now)
{
	char why[CLOUD_TEXT_SIZE];
	const struct retire_request request = {.reason = reason, .why = why};
	struct record *record = record_find(core, decision);

	if (record && !record->decision.closed)
		return record;
	snprintf(why, sizeof(why), "its tag forerun.dev/draining says %s: begun before this lead",
		 tag);
	record = retire_record(core, instance, &request, now);
	if (record && journal_decision(core, record, now) < 0)
		record = NULL;
	return record;
}

/* Somebody who led before began it, and this core was not told: it goes on. */
static void adopt(struct core *core, struct instance *instance, const char *tag, struct moment now)
{
	size_t length = strcspn(tag, "@");
	char word[32];
	struct record *record;
	struct drain *drain;

	snprintf(word, sizeof(word), "%.*s", (int)MIN(length, sizeof(word) - 1), tag);
	record = record_of_tag(core, instance, tag[length] ? tag + length + 1 : "",
			       retire_reason_of(word), tag, now);
	if (!record)
		return;
	drain = drain_new(core, instance, record->decision.id, retire_reason_of(word), now);
	if (!drain)
		return;
	drain->marked = MARK_DONE;
	core->departures.begun[drain->reason]++;
	drain_begins(core, drain, "as its tag says", now);
	record_changed(core, record);
}

void drain_seen(struct core *core, struct instance *instance, const struct instance_view *view,
		struct moment now)
{
	if (!*view->draining) {
		instance->tag_ignored = false;
		return;
	}
	if (!instance->tag_ignored && may_call(core) && instance_may_go(core, instance))
		adopt(core, instance, view->draining, now);
}

/* ---- time ---- */

static void step(struct core *core, struct drain *drain, struct moment now)
{
	if (drain->state != DRAIN_REPLACING)
		return;
	if (drain_is_urgent(core, drain, now))
		drain_begins(core, drain, "its time would not suffice otherwise", now);
	else if (drain_is_replaced(core, drain, now))
		drain_begins(core, drain, "its replacement serves", now);
}

static bool is_ready(struct core *core, const struct drain *drain, struct moment now,
		     char why[CLOUD_TEXT_SIZE])
{
	return drain->state == DRAIN_DRAINING && !drain->refused && drain->instance->seen &&
	       !group_grows(drain->instance) && drain_over(core, drain, now, why);
}

static void tell_over(struct core *core, const struct drain *drain, const char *why,
		      struct moment now)
{
	double seconds = (double)(now.mono_ns - MIN(now.mono_ns, drain->since_ns)) / NS_PER_S;

	core->departures.out_of_time += !drain_in_time(core, drain, now);
	duration_add(&core->departures.seconds, seconds);
	if (seconds > 0)
		record_step(core, record_find(core, drain->decision), now,
			    "%s has drained for %.1f s: %s", drain->instance->id, seconds, why);
}

/* Those of one decision that are ready are one call; members of a group are one of their own. */
static void terminate(struct core *core, const char *decision, struct moment now)
{
	struct open_retirement *open = retirement_new(core, decision);
	const struct instance *first = NULL;
	char why[CLOUD_TEXT_SIZE];

	if (!open)
		return;
	vec_for_each (it, &core->drains) {
		struct drain *drain = *it;

		if (strcmp(drain->decision, open->order.decision) != 0 ||
		    (first && first->grouped != drain->instance->grouped) ||
		    !is_ready(core, drain, now, why))
			continue;
		first = first ?: drain->instance;
		tell_over(core, drain, why, now);
		be(drain, DRAIN_TERMINATING, now);
		retirement_add(open, drain->instance);
	}
	if (retirement_go(core, open, now) == 0)
		return;
	vec_for_each (it, &core->drains)
		if ((*it)->state == DRAIN_TERMINATING && !(*it)->instance->terminating)
			(*it)->state = DRAIN_DRAINING;
}

uint64_t drains_tick(struct core *core, struct moment now)
{
	char why[CLOUD_TEXT_SIZE];

	if (!may_call(core) || (!core->drains.count && !core->unmarks.count))
		return UINT64_MAX;
	drains_replace(core, now);
	for (size_t i = core->drains.count; i-- > 0;)
		if (i < core->drains.count)
			step(core, core->drains.at[i], now);
	for (size_t i = 0; i < core->drains.count && !core->journal_error; i++)
		if (is_ready(core, core->drains.at[i], now, why))
			terminate(core, core->drains.at[i]->decision, now);
	drains_mark(core, now);
	return now.mono_ns + LOOK_EVERY_NS;
}

/* ---- life ---- */

void drains_start(struct core *core, struct moment now)
{
	vec_for_each (it, &core->drains) {
		(*it)->since_ns = mono_of((*it)->since_wall_ns, now);
		host_leaves(core, (*it)->instance->id);
	}
	routes_start(core);
	if (!core->leads)
		drains_yield(core, "standby", now);
}

/* Whoever leads next knows of those that drain by their tags; the others he chooses himself. */
void drains_yield(struct core *core, const char *why, struct moment now)
{
	while (core->drains.count) {
		struct drain *drain = core->drains.at[core->drains.count - 1];
		char decision[sizeof(drain->decision)];

		set_text(decision, drain->decision);
		record_step(core, record_find(core, decision), now,
			    "%s: this core does nothing more about %s", why, drain->instance->id);
		journal_drain_end(core, drain, false, now);
		drain_free(core, drain);
		close_record(core, decision, now);
	}
	core->unmarks.count = 0;
}
