/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What holds the core back, kept so that it can be seen: which brake holds how many policies, since
 * when, how often. One that lets go for a moment and holds again is one occasion.
 */
#include "core/core_private.h"

#define OCCASION_NS (60 * NS_PER_S)
#define LET_GO_NS (10 * NS_PER_S)

const char *brake_name(enum brake brake)
{
	static const char *const names[BRAKE_COUNT] = {
		[BRAKE_STANDBY] = "standby",
		[BRAKE_PAUSE] = "pause",
		[BRAKE_JOURNAL] = "journal",
		[BRAKE_FIRST_OBSERVATION] = "first-observation",
		[BRAKE_SILENCE] = "silence",
		[BRAKE_HOST_REPLICAS] = "host-replicas",
		[BRAKE_LAUNCHES_PER_MINUTE] = "launches-per-minute",
		[BRAKE_SURGE] = "surge",
		[BRAKE_USD_PER_HOUR] = "usd-per-hour",
		[BRAKE_USD_PER_DAY] = "usd-per-day",
		[BRAKE_POOL_LIMITS] = "nodepool-limits",
		[BRAKE_SUBNET] = "subnet-addresses",
		[BRAKE_QUOTA] = "vcpu-quota",
		[BRAKE_BACKOFF] = "backoff",
	};

	return (unsigned)brake < BRAKE_COUNT ? names[brake] : "unknown";
}

static bool holds(const struct brake_state *state)
{
	return state->policies || state->everything;
}

static void tell(struct core *core, enum brake brake, bool holding)
{
	struct brake_state *state = &core->brakes[brake];

	state->told = holding;
	if (core->effects.braked)
		core->effects.braked(core->effects.arg, brake, holding, state->text);
}

static void begins(struct core *core, enum brake brake, const char *text, struct moment now)
{
	struct brake_state *state = &core->brakes[brake];

	if (text)
		text_copy(state->text, sizeof(state->text), text);
	if (!state->told) {
		state->since_ns = now.mono_ns;
		tell(core, brake, true);
	}
}

/* Of one policy, during its evaluation. */
void brake_policy(struct core *core, struct policy_state *policy, enum brake brake,
		  const char *text)
{
	uint32_t bit = 1U << brake;
	uint64_t now_ns = core->now_ns;
	char named[CLOUD_TEXT_SIZE];

	if (policy->braking & bit)
		return;
	policy->braking |= bit;
	if (!policy->braked_ns[brake] || now_ns > policy->braked_ns[brake] + OCCASION_NS)
		core->brakes[brake].occasions++;
	policy->braked_ns[brake] = MAX(now_ns, 1);
	if (policy->brakes & bit)
		return;
	snprintf(named, sizeof(named), "%.63s: %.180s", policy->policy->name, text);
	core->brakes[brake].policies++;
	policy->brakes |= bit;
	begins(core, brake, core->brakes[brake].everything ? NULL : named,
	       (struct moment){.mono_ns = now_ns});
}

/* After the evaluation of a policy: what did not hold it in this one does not any more. */
void brakes_settle(struct core *core, struct policy_state *policy)
{
	uint32_t gone = policy->brakes & ~policy->braking;

	for (int brake = 0; gone; brake++, gone >>= 1) {
		if (!(gone & 1))
			continue;
		core->brakes[brake].policies--;
		core->brakes[brake].released_ns = core->now_ns;
	}
	policy->brakes = policy->braking;
}

/* Of the whole core; text NULL: not any more. */
void brake_everything(struct core *core, enum brake brake, const char *text, struct moment now)
{
	struct brake_state *state = &core->brakes[brake];

	if (text) {
		state->occasions += !state->everything;
		state->everything = true;
		begins(core, brake, text, now);
	} else if (state->everything) {
		state->everything = false;
		state->released_ns = now.mono_ns;
	}
}

/* What has let go for some seconds is told of. */
void brakes_tick(struct core *core, struct moment now)
{
	if (core->journal_error)
		brake_everything(core, BRAKE_JOURNAL, strerror(-core->journal_error), now);
	for (int brake = 0; brake < BRAKE_COUNT; brake++) {
		const struct brake_state *state = &core->brakes[brake];

		if (state->told && !holds(state) && now.mono_ns > state->released_ns + LET_GO_NS)
			tell(core, (enum brake)brake, false);
	}
}

void core_brakes(const struct core *core, struct brake_status out[BRAKE_COUNT])
{
	for (int brake = 0; brake < BRAKE_COUNT; brake++) {
		const struct brake_state *state = &core->brakes[brake];

		out[brake] = (struct brake_status){.holding = holds(state),
						   .policies = state->policies,
						   .occasions = state->occasions,
						   .since_ns = holds(state) ? state->since_ns : 0};
		text_copy(out[brake].text, sizeof(out[brake].text), state->text);
	}
}

/* ---- pause ---- */

static struct pause *pause_find(struct core *core, const char *from)
{
	vec_for_each (it, &core->pauses)
		if (strcmp(it->from, from) == 0)
			return it;
	return NULL;
}

static void pause_changed(struct core *core, struct moment now)
{
	char text[CLOUD_TEXT_SIZE];

	core->last_evaluated_ns = 0;
	if (!core->pauses.count) {
		brake_everything(core, BRAKE_PAUSE, NULL, now);
		return;
	}
	snprintf(text, sizeof(text), "paused by the %s: %.200s", core->pauses.at[0].from,
		 core->pauses.at[0].why);
	brake_everything(core, BRAKE_PAUSE, text, now);
}

void core_pause(struct core *core, const char *from, const char *why, struct moment now)
{
	struct pause *known = pause_find(core, from);

	if (!why && !known)
		return;
	if (!why) {
		vec_remove(&core->pauses, (size_t)(known - core->pauses.at));
	} else {
		if (!known)
			known = vec_push(&core->pauses);
		text_copy(known->from, sizeof(known->from), from);
		text_copy(known->why, sizeof(known->why), why);
	}
	pause_changed(core, now);
}

/* The tag forerun.dev/pause of any instance that is ours or a host of ours, while it runs. */
void pause_by_tags(struct core *core, const struct fleet_view *view, struct moment now)
{
	for (size_t i = 0; i < view->count; i++) {
		const struct instance_view *it = &view->instances[i];
		char why[80];

		if (!it->pause || it->state == INSTANCE_SHUTTING_DOWN ||
		    it->state == INSTANCE_TERMINATED)
			continue;
		snprintf(why, sizeof(why), "%s has the tag forerun.dev/pause", it->id);
		core_pause(core, "tag", why, now);
		return;
	}
	core_pause(core, "tag", NULL, now);
}
