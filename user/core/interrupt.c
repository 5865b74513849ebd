/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What EC2 says of an instance's end: heard by its own agent, or from the queue where the agent is
 * gone. Whoever is first counts. Spot: it is replaced and drains at once, for its time is short.
 * A recommendation to leave, and what is scheduled: replaced first.
 */
#include "core/drain.h"

#define SPOT_MARGIN_NS (5 * NS_PER_S) /* so long before EC2 does it is terminated */
#define SPOT_WARNING_NS (120 * NS_PER_S) /* EC2's, where the notice does not say when */

static enum retire_reason reason_of(enum notice_kind kind)
{
	switch (kind) {
	case NOTICE_SPOT:
		return RETIRE_SPOT;
	case NOTICE_REBALANCE:
		return RETIRE_REBALANCE;
	default:
		return RETIRE_MAINTENANCE;
	}
}

static uint64_t deadline_of(const struct notice *notice, struct moment now)
{
	uint64_t when_ns = notice->when_wall_ms * NS_PER_MS;

	if (notice->kind == NOTICE_REBALANCE)
		return 0;
	if (!when_ns && notice->kind == NOTICE_SPOT)
		when_ns = now.wall_ns - MIN(now.wall_ns, notice->age_ns) + SPOT_WARNING_NS;
	return when_ns > SPOT_MARGIN_NS ? when_ns - SPOT_MARGIN_NS : when_ns;
}

static void why_of(const struct notice *notice, enum notice_source source,
		   char why[CLOUD_TEXT_SIZE])
{
	char when[TIME_TEXT_SIZE] = "";

	if (notice->when_wall_ms)
		time_format(notice->when_wall_ms * NS_PER_MS, when);
	snprintf(why, CLOUD_TEXT_SIZE,
		 "EC2 says by the %s: %s%s%s%s%s, heard %.3f s after it was said",
		 notice_source_text(source), notice_kind_text(notice->kind),
		 *notice->what ? " " : "", notice->what, *when ? " at " : "", when,
		 (double)notice->age_ns / NS_PER_S);
}

static void count(struct core *core, const struct notice *notice, enum notice_source source)
{
	core->departures.notices[notice->kind][source]++;
	duration_add(&core->departures.notice_delay[source], (double)notice->age_ns / NS_PER_S);
}

/* This host itself: nothing can be bought that outlives the one who looks after it. */
static void tell_own(struct core *core, const char *why)
{
	set_text(core->own_notice, why);
}

static void act_on(struct core *core, struct instance *instance, const struct notice *notice,
		   const char *why, struct moment now)
{
	const struct retire_request request = {
		.reason = reason_of(notice->kind),
		.replacing = notice->kind == NOTICE_SPOT ? REPLACE_BESIDE : REPLACE_FIRST,
		.deadline_wall_ns = deadline_of(notice, now),
		.why = why};

	retire_begin(core, instance, &request, now);
}

bool core_notice(struct core *core, const char *instance_id, const struct notice *notice,
		 enum notice_source source, struct moment now)
{
	struct instance *instance = instance_find(core, instance_id);
	char why[CLOUD_TEXT_SIZE];

	if (notice->kind == NOTICE_OTHER || (unsigned)notice->kind >= NOTICE_KINDS)
		return true;
	why_of(notice, source, why);
	if (*core->config.instance_id && strcmp(instance_id, core->config.instance_id) == 0) {
		tell_own(core, why);
		return true;
	}
	if (!instance && !core->fleet_known)
		return false;
	if (!instance || instance->gone || !instance->seen) {
		core->departures.notices_foreign += source == NOTICE_BY_QUEUE && !instance;
		return instance == NULL || instance->gone;
	}
	if (instance->notices & 1U << notice->kind) {
		core->departures.notices_again += source == NOTICE_BY_QUEUE;
		return true;
	}
	if (!core->leads || (core->config.mode == MODE_ACT && !may_call(core)))
		return false;
	instance->notices |= 1U << notice->kind;
	count(core, notice, source);
	act_on(core, instance, notice, why, now);
	return true;
}

void notices_take(struct core *core, const struct frame *frame, struct moment now)
{
	const char *id = *frame->instance_id ? frame->instance_id : core->config.instance_id;

	for (size_t i = 0; i < frame->notices_count && *id; i++)
		core_notice(core, id, &frame->notices[i], NOTICE_BY_AGENT, now);
}

bool core_instance_state(struct core *core, const char *instance_id, enum instance_state state,
			 struct moment now)
{
	struct instance *instance = instance_find(core, instance_id);

	if (!instance)
		return core->fleet_known;
	/* Of one that a warm pool stops and starts the word may be an old one: it is looked at. */
	if (instance->prepared && (state == INSTANCE_STOPPING || state == INSTANCE_STOPPED))
		return true;
	if (!instance->gone && instance->seen && state != INSTANCE_PENDING &&
	    state != instance->state)
		instance_is(core, instance, state, now);
	return true;
}

const char *core_own_notice(const struct core *core)
{
	return core->own_notice;
}
