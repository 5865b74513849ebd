/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tag forerun.dev/draining: set before anything is done to an instance, so that whoever leads
 * next, with an empty disk too, knows that no target group sends it anything and goes on. Those of
 * one decision are tagged in one call.
 */
#include "core/drain.h"

#define INSTANCES_PER_CALL 200 /* CreateTags takes 1,000 resources */
#define TRIES_MOST 4

static bool is_due(const struct drain *drain, struct moment now)
{
	return drain->state == DRAIN_DRAINING && drain->marked == MARK_NONE &&
	       drain->mark_retry_ns <= now.mono_ns;
}

static void order_add_id(struct mark_order *order, const char *id)
{
	set_text(vec_push(&order->instances)->id, id);
}

/* That one and all others of its decision. */
static void mark(struct core *core, const struct drain *first, struct moment now)
{
	struct mark_order order = {.number = ++core->calls};

	snprintf(order.value, sizeof(order.value), "%s@%s", retire_reason_text(first->reason),
		 first->decision);
	vec_for_each (it, &core->drains) {
		struct drain *drain = *it;

		if (!is_due(drain, now) || drain->reason != first->reason ||
		    strcmp(drain->decision, first->decision) != 0 ||
		    order.instances.count >= INSTANCES_PER_CALL)
			continue;
		order_add_id(&order, drain->instance->id);
		drain->mark_call = order.number;
		drain->mark_tries++;
		drain->marked = MARK_ASKED;
	}
	core->effects.mark(core->effects.arg, &order);
	vec_free(&order.instances);
}

static void unmark_all(struct core *core, struct moment now)
{
	struct mark_order order = {.number = core->calls + 1};

	vec_for_each (unmark, &core->unmarks) {
		if (unmark->call || unmark->retry_ns > now.mono_ns ||
		    order.instances.count >= INSTANCES_PER_CALL)
			continue;
		order_add_id(&order, unmark->id);
		unmark->call = order.number;
		unmark->tries++;
	}
	if (order.instances.count) {
		core->calls++;
		core->effects.mark(core->effects.arg, &order);
	}
	vec_free(&order.instances);
}

void drains_mark(struct core *core, struct moment now)
{
	vec_for_each (it, &core->drains) {
		if (!is_due(*it, now))
			continue;
		if (core->effects.mark)
			mark(core, *it, now);
		else
			(*it)->marked = MARK_DONE;
	}
	if (core->effects.mark && core->unmarks.count)
		unmark_all(core, now);
}

void drain_unmark(struct core *core, const struct drain *drain)
{
	drain->instance->tag_ignored = true;
	if (drain->marked != MARK_NONE && core->effects.mark)
		set_text(vec_push(&core->unmarks)->id, drain->instance->id);
}

/* ---- answers ---- */

static void marked(struct core *core, struct drain *drain, const struct mark_result *result,
		   struct moment now)
{
	struct record *record = record_find(core, drain->decision);
	const char *code = *result->error_code ? result->error_code : "no answer";

	drain->mark_call = 0;
	drain->marked = MARK_DONE;
	if (!result->error)
		return;
	if (result->error == -EAGAIN && drain->mark_tries < TRIES_MOST) {
		drain->marked = MARK_NONE;
		drain->mark_retry_ns =
			now.mono_ns + backoff_after(drain->instance->id, drain->mark_tries);
		return;
	}
	/* It drains all the same: only a leader without any memory would not know. */
	record_step(core, record, now, "%s: the tag forerun.dev/draining was refused: %s: %s",
		    drain->instance->id, code, result->error_text);
}

static void unmarked(struct core *core, const struct mark_result *result, struct moment now)
{
	for (size_t i = core->unmarks.count; i-- > 0;) {
		struct unmark *unmark = &core->unmarks.at[i];

		if (unmark->call != result->number)
			continue;
		unmark->call = 0;
		unmark->retry_ns = now.mono_ns + backoff_after(unmark->id, unmark->tries);
		if (result->error != -EAGAIN || unmark->tries >= TRIES_MOST)
			vec_remove(&core->unmarks, i);
	}
}

void core_marked(struct core *core, const struct mark_result *result, struct moment now)
{
	vec_for_each (it, &core->drains)
		if ((*it)->mark_call == result->number && result->number)
			marked(core, *it, result, now);
	unmarked(core, result, now);
}
