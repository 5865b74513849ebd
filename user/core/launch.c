/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What came of a CreateFleet. Its end is known when EC2 said what it launched, or refused a call
 * that cannot have had an effect before. Until then the same order is asked for again under the
 * same token, and counts as on its way.
 */
#include "core/core_private.h"

static struct moment moment_at(struct moment now, uint64_t mono_ns)
{
	uint64_t ago_ns = now.mono_ns - MIN(now.mono_ns, mono_ns);

	if (!mono_ns)
		return now;
	return (struct moment){mono_ns, now.wall_ns - MIN(now.wall_ns, ago_ns)};
}

/* A call that is tried for hours does not fill the journal: the first tries are told, then every
 * doubling. */
static bool worth_telling(uint32_t tries)
{
	return tries <= 4 || (tries & (tries - 1)) == 0;
}

static void tell_call(struct core *core, struct record *record, const struct open_order *open,
		      const struct launch_result *result, struct moment now)
{
	if (result->sent_ns && *open->order.group)
		record_step(core, record, moment_at(now, result->sent_ns),
			    "SetDesiredCapacity on the wire: %u of %.80s, token %s, try %u",
			    open->order.desired, open->order.group, open->order.token, open->tries);
	else if (result->sent_ns && open->order.starts.count)
		record_step(core, record, moment_at(now, result->sent_ns),
			    "StartInstances on the wire: %u of the warm pool, token %s, try %u",
			    open->order.count, open->order.token, open->tries);
	else if (result->sent_ns)
		record_step(core, record, moment_at(now, result->sent_ns),
			    "CreateFleet on the wire: %u %s, %zu overrides, token %s, try %u",
			    open->order.count, capacity_type_text(open->order.capacity_type),
			    open->order.overrides.count, open->order.token, open->tries);
}

static void tell_failures(struct core *core, struct record *record,
			  const struct launch_result *result, struct moment at)
{
	size_t told = 0;

	vec_for_each (failure, &result->failures) {
		if (told++ == 4) {
			record_step(core, record, at, "and %zu more failures",
				    result->failures.count - 4);
			return;
		}
		record_step(core, record, at, "not launched: %s%s%s%s%s: %s: %s",
			    failure->instance_id, *failure->instance_id ? " " : "",
			    *failure->instance_type ? failure->instance_type : "the call",
			    *failure->zone ? " in " : "", failure->zone, failure->code,
			    failure->message);
	}
}

/* A failure without type or zone is about all of them. */
static void remember_failures(struct core *core, struct record *record,
			      const struct open_order *open, const struct launch_result *result,
			      struct moment now)
{
	vec_for_each (failure, &result->failures) {
		bool no_address = strcmp(failure->code, "InsufficientFreeAddressesInSubnet") == 0;
		const char *type = no_address ? "" : failure->instance_type;
		struct instance *resting = instance_find(core, failure->instance_id);
		struct no_capacity *failed;

		if (resting)
			resting->start_failed_ns = MAX(now.mono_ns, 1);
		/* Not about its kind: another one of it may do. */
		if (resting && !launch_code_is_no_capacity(failure->code))
			continue;
		failed = vec_push(&record->failed);
		set_text(failed->instance_type, type);
		set_text(failed->zone, failure->zone);
		failed->capacity_type = open->order.capacity_type;
		if (!launch_code_is_no_capacity(failure->code))
			continue;
		core->totals.no_capacity_errors++;
		no_capacity_remember(core, type, failure->zone, open->order.capacity_type,
				     now.mono_ns);
	}
	if (result->failures.count)
		offers_rebuild_all(core);
}

/* The rest of a decision is given up; the policy decides anew. */
static void drop_rest(struct core *core, struct record *record, uint32_t rest, const char *why,
		      struct moment now)
{
	/* And what of it waited beside that. */
	rest += record->retry ? record->waiting : 0;
	record_no_retry(core, record);
	if (!rest)
		return;
	record->decision.failed += rest;
	record_step(core, record, now, "%u not launched: %s", rest, why);
}

/* And it failed: the policy is not asked again at once. */
static void give_up(struct core *core, struct record *record, uint32_t rest, const char *why,
		    struct moment now)
{
	drop_rest(core, record, rest, why, now);
	if (!rest)
		return;
	core->totals.launches_failed++;
	policy_backoff(core, record->decision.policy, why, now);
}

static const char *keeps_from_attempt(const struct core *core, const struct record *record,
				      struct moment now)
{
	uint64_t made_ns = record->decision.made.wall_ns;

	if (core->journal_error || core->config.mode != MODE_ACT)
		return "forerun does not act now";
	if (record->attempts >= ATTEMPTS_MAX)
		return "every attempt found no capacity";
	if (now.wall_ns > made_ns + DECISION_FRESH_NS)
		return "too old to go on with; the policy decides anew";
	if (!pool_find((struct core *)core, record->decision.pool))
		return "its NodePool is not configured any more";
	if (!policy_find((struct core *)core, record->decision.policy) ||
	    !policy_find((struct core *)core, record->decision.policy)->pool)
		return "its policy is not configured any more";
	return NULL;
}

/* Whether the rest can be ordered now; when it cannot, what becomes of it is settled. */
static bool attempt_may(struct core *core, struct record *record, uint32_t rest, struct moment now)
{
	char held[CLOUD_TEXT_SIZE];
	enum lane_state lane = lane_state(core, record->lane, now, held, sizeof(held));
	const char *why = keeps_from_attempt(core, record, now);

	if (!core->leads)
		drop_rest(core, record, rest, "this core does not lead; who does decides anew",
			  now);
	else if (why)
		give_up(core, record, rest, why, now);
	else if (lane == LANE_HELD)
		drop_rest(core, record, rest, held, now);
	else if (lane == LANE_BUSY || core->pauses.count)
		record_retry(core, record, now.mono_ns + NS_PER_S / 2);
	else
		return true;
	record->when_free = record->retry && lane == LANE_BUSY;
	return false;
}

/* "next: 2 from stopped, 3 from spot" */
static void tell_sources(struct core *core, struct record *record, const struct launch_plan *plan,
			 struct moment now)
{
	char text[CLOUD_TEXT_SIZE] = "";
	size_t at = 0;

	for (int s = 0; s < SOURCE_COUNT && at < sizeof(text); s++)
		if (plan->sources[s].count)
			at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%u from %s",
					       at ? ", " : "", plan->sources[s].count,
					       launch_source_text((enum launch_source)s));
	record_step(core, record, now, "next: %s", text);
}

/* What is left of the decision is ordered from what is left to buy, under the next token. */
void attempt_next(struct core *core, struct record *record, struct moment now)
{
	_cleanup_(plan_free)
	struct launch_plan plan = {0};
	char limits[sizeof(record->decision.limits)] = "";
	uint32_t rest = record_rest(record);

	record_no_retry(core, record);
	if (!rest || !attempt_may(core, record, rest, now))
		return;
	plan_make(core, policy_find(core, record->decision.policy), rest, record, now, &plan,
		  limits, sizeof(limits));
	if (plan.waits || strcmp(plan.held_key, "class") == 0) { /* after a restart: soon */
		record_retry(core, record, now.mono_ns + NS_PER_S / 2);
		return;
	}
	if (!plan_total(&plan)) {
		give_up(core, record, rest, plan.held, now);
		return;
	}
	if (plan_total(&plan) < rest) {
		record->decision.failed += rest - plan_total(&plan);
		record_step(core, record, now, "%u fewer: %s", rest - plan_total(&plan), limits);
	}
	tell_sources(core, record, &plan, now);
	if (order_place(core, record, &plan, now) < 0)
		give_up(core, record, record_rest(record), "the journal cannot be written", now);
}

static bool worth_another_attempt(const struct open_order *open, const struct launch_result *result)
{
	/* What cannot be started is bought. */
	if (open->order.starts.count || result->instances.count || !result->failures.count ||
	    result->throttled)
		return true;
	vec_for_each (failure, &result->failures)
		if (launch_code_is_no_capacity(failure->code))
			return true;
	return false;
}

/* Whether that answer used the number up. Where nothing was launched the next order takes it, so
 * that no call that is still under way can have it. */
static bool number_is_used(const struct launch_result *result)
{
	if (strcmp(result->error_code, SETTLED_BY_TAGS) == 0)
		return result->instances.count > 0;
	return result->outcome == LAUNCH_DONE;
}

/* What EC2 shows with the number in its tags: of a group's members none. */
static uint32_t tagged_of(const struct open_order *open, uint32_t launched)
{
	return *open->order.group ? 0 : launched;
}

static void attempt_if_due(struct core *core, struct record *record, struct moment now)
{
	if (record && record->retry && (record->when_free || record->retry_ns <= now.mono_ns))
		attempt_next(core, record, now);
}

static void order_done(struct core *core, struct open_order *open, struct record *record,
		       const struct launch_result *result, struct moment now)
{
	uint32_t launched = (uint32_t)result->instances.count;
	uint32_t missing = open->order.count - MIN(open->order.count, launched);

	if (number_is_used(result) || open->order.starts.count)
		lane_ended(core, open->lane, open->order.sequence, tagged_of(open, launched), now);
	vec_for_each (instance, &result->instances)
		take_instance(core, open, instance, result->sent_ns, now);
	core->totals.instances_launched += launched;
	launches_add(core, open->order.token, launched, now);
	if (record) {
		record->decision.launched += launched;
		remember_failures(core, record, open, result, now);
		if (missing && *open->order.group)
			drop_rest(core, record, missing,
				  "the group launches it yet; the policy decides anew", now);
		else if (missing && worth_another_attempt(open, result))
			record_retry(core, record,
				     now.mono_ns + (result->throttled && !launched
							    ? backoff_after(open->order.token, 1)
							    : 0));
		else if (missing)
			give_up(core, record, missing,
				result->failures.count ? result->failures.at[0].code
						       : "EC2 launched fewer",
				now);
		else if (record_rest(record) && !record->retry)
			record_retry(core, record, now.mono_ns);
	}
	order_remove(core, open);
	attempt_if_due(core, record, now);
}

/* Definitely without effect, now and before. */
static void order_refused(struct core *core, struct open_order *open, struct record *record,
			  const struct launch_result *result, struct moment now)
{
	char why[CLOUD_TEXT_SIZE];

	snprintf(why, sizeof(why), "%s: %.180s", result->error_code, result->error_text);
	if (record && launch_code_is_no_capacity(result->error_code)) {
		core->totals.no_capacity_errors++;
		vec_for_each (override, &open->order.overrides) {
			struct no_capacity *failed = vec_push(&record->failed);

			set_text(failed->instance_type, override->instance_type);
			set_text(failed->zone, override->zone);
			failed->capacity_type = open->order.capacity_type;
			no_capacity_remember(core, override->instance_type, override->zone,
					     open->order.capacity_type, now.mono_ns);
		}
		offers_rebuild_all(core);
		order_remove(core, open);
		attempt_next(core, record, now);
		return;
	}
	if (open->order.starts.count)
		lane_ended(core, open->lane, open->order.sequence, 0, now);
	if (record && strcmp(result->error_code, CODE_NOT_LEADER) == 0)
		drop_rest(core, record, open->order.count, why, now);
	else if (record)
		give_up(core, record, open->order.count, why, now);
	order_remove(core, open);
	attempt_if_due(core, record, now);
}

/* Another launch has that number. Ours had and will have no effect, and what the other launched is
 * waited for before anything more is. */
static void order_lost_number(struct core *core, struct open_order *open, struct record *record,
			      struct moment now)
{
	struct lane *lane = open->lane;
	char held[CLOUD_TEXT_SIZE];

	lane_taken(core, lane, open->order.sequence, now);
	if (record)
		drop_rest(core, record, open->order.count,
			  "another launch has this token; the policy decides anew", now);
	order_remove(core, open);
	if (record && lane_state(core, lane, now, held, sizeof(held)) == LANE_HELD)
		record_step(core, record, now, "held: %s", held);
}

static void ask_later(struct core *core, struct open_order *open, struct record *record,
		      const struct launch_result *result, struct moment now)
{
	uint64_t wait_ns = backoff_after(open->order.token, open->tries);
	bool launches = strcmp(result->error_code, CODE_GROUP_LAUNCHES) == 0;

	open->retry_ns = now.mono_ns + wait_ns;
	core->totals.throttles += result->throttled;
	if (!worth_telling(open->tries))
		return;
	if (launches) {
		record_step(core, record, moment_at(now, result->done_ns), "%s",
			    result->error_text);
		return;
	}
	record_step(core, record, moment_at(now, result->done_ns),
		    "%s (%s: %.120s), the same order again in %.1f s",
		    result->throttled ? "EC2 throttles"
		    : result->outcome == LAUNCH_UNKNOWN
			    ? "outcome not known"
			    : "refused, but an earlier try may have worked",
		    *result->error_code ? result->error_code : "no answer", result->error_text,
		    (double)wait_ns / NS_PER_S);
}

static bool code_is_taken(const struct open_order *open, const char *code)
{
	if (!open->order.sequence)
		return false;
	if (strcmp(code, "IdempotentParameterMismatch") == 0)
		return true;
	/* Said of our own earlier try as well. */
	return strcmp(code, "IdempotentInstanceTerminated") == 0 && !open->uncertain_ns;
}

/* EC2 would have given an answer of ours. */
static bool answer_is_of_another(const struct core *core, const struct open_order *open,
				 const struct launch_result *result)
{
	vec_for_each (launched, &result->instances) {
		const struct instance *known = instance_find(core, launched->id);

		if (known && strcmp(known->decision, open->order.decision) != 0)
			return true;
	}
	return false;
}

static bool number_is_taken(const struct core *core, const struct open_order *open,
			    const struct launch_result *result)
{
	if (open->order.starts.count || *open->order.group)
		return false;
	return (result->outcome == LAUNCH_REFUSED && code_is_taken(open, result->error_code)) ||
	       (result->outcome == LAUNCH_DONE && answer_is_of_another(core, open, result));
}

static bool never_sent(const struct open_order *open, const struct launch_result *result)
{
	return strcmp(result->error_code, CODE_NOT_LEADER) == 0 && open->tries <= 1;
}

static bool end_is_known(struct open_order *open, const struct launch_result *result,
			 struct moment now)
{
	if (result->outcome == LAUNCH_DONE)
		return true;
	if (result->outcome == LAUNCH_UNKNOWN) {
		open->uncertain_ns = now.mono_ns;
		return false;
	}
	if (result->throttled)
		return false;
	if (code_is_taken(open, result->error_code) || never_sent(open, result))
		return true;
	/* This call had no effect; one before it may have had, and EC2's answer to this one does
	 * not say (it may be about credentials). Then the tags will tell. */
	open->settle_by_tags = open->uncertain_ns != 0;
	return !open->uncertain_ns;
}

/* Its end is known, and in the journal. */
void order_over(struct core *core, struct open_order *open, const struct launch_result *result,
		struct moment now)
{
	struct record *record = record_find(core, open->order.decision);

	open->over = true;
	if (number_is_taken(core, open, result))
		order_lost_number(core, open, record, now);
	else if (result->outcome == LAUNCH_DONE)
		order_done(core, open, record, result, now);
	else
		order_refused(core, open, record, result, now);
	if (record) {
		record_close_if_done(core, record, now);
		record_changed(core, record);
	}
}

void core_launched(struct core *core, const struct launch_result *result, struct moment now)
{
	struct open_order *open = order_find(core, result->token);
	struct record *record;

	if (dry_run_answered(core, result, now) || !open)
		return;
	record = record_find(core, open->order.decision);
	if (result->sent_ns && record && record->decision.edge_ns && record->attempts == 1 &&
	    open->tries == 1)
		core->totals.edge_to_sent_ns_last =
			result->sent_ns - MIN(result->sent_ns, record->decision.edge_ns);
	if (worth_telling(open->tries))
		tell_call(core, record, open, result, now);
	if (!end_is_known(open, result, now)) {
		ask_later(core, open, record, result, now);
		if (record)
			record_changed(core, record);
		return;
	}
	journal_result(core, result, now);
	record_step(core, record, moment_at(now, result->done_ns),
		    "EC2 answered %s: %zu launched, request %s%s%s", outcome_text(result->outcome),
		    result->instances.count, *result->request_id ? result->request_id : "?",
		    *result->error_code ? ", " : "", result->error_code);
	tell_failures(core, record, result, moment_at(now, result->done_ns));
	order_over(core, open, result, now);
}

static void fail_offers(struct record *record, const struct open_order *open,
			const struct launch_result *result)
{
	vec_for_each (failure, &result->failures) {
		struct no_capacity *failed = vec_push(&record->failed);

		set_text(failed->instance_type, failure->instance_type);
		set_text(failed->zone, failure->zone);
		failed->capacity_type = open->order.capacity_type;
	}
}

/* As core_launched() took it when it was written, without doing anything about it. */
void order_replay_result(struct core *core, const struct launch_result *result, struct moment then)
{
	struct open_order *open = order_find(core, result->token);
	struct record *record = record_find(core, open->order.decision);
	uint32_t launched = (uint32_t)result->instances.count;
	uint32_t missing = open->order.count - MIN(open->order.count, launched);
	bool taken = number_is_taken(core, open, result);

	if (taken)
		lane_taken(core, open->lane, open->order.sequence, then);
	else if (number_is_used(result) || open->order.starts.count)
		lane_ended(core, open->lane, open->order.sequence, tagged_of(open, launched), then);
	if (taken)
		launched = 0;
	else
		vec_for_each (instance, &result->instances)
			take_instance(core, open, instance, 0, then);
	core->totals.instances_launched += launched;
	launches_add(core, open->order.token, launched, then);
	if (record) {
		bool again = result->outcome == LAUNCH_DONE
				     ? worth_another_attempt(open, result)
				     : launch_code_is_no_capacity(result->error_code);

		record->decision.launched += launched;
		if (!again || *open->order.group)
			record->decision.failed += missing;
		fail_offers(record, open, result);
	}
	order_remove(core, open);
}
