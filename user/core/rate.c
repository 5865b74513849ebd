/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many instances were launched in the last minute. An order counts from its call until a minute
 * after its end is known, for its effect may come at any moment between: so in no minute of EC2's
 * there are more than the limit.
 */
#include <cjson/cJSON.h>

#include "core/core_private.h"

#define MINUTE_NS (60 * NS_PER_S)
#define AGE_STEP_S 5 /* so that the record does not change all the time */
#define RECENT_MAX 32
#define TOKEN_LETTERS "-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"

uint32_t launches_in_last_minute(struct core *core, uint64_t now_ns)
{
	uint32_t used = 0;
	size_t kept = 0;

	vec_for_each (launch, &core->launches) {
		if (launch->time_ns + MINUTE_NS <= now_ns)
			continue;
		used += launch->count;
		core->launches.at[kept++] = *launch;
	}
	core->launches.count = kept;
	vec_for_each (it, &core->orders)
		used += (*it)->order.count;
	return used;
}

static struct launch_count *launch_find(struct core *core, const char *token)
{
	vec_for_each (launch, &core->launches)
		if (strcmp(launch->token, token) == 0)
			return launch;
	return NULL;
}

/* A journal that is replayed has many: only the last minute is kept. */
void launches_add(struct core *core, const char *token, uint32_t count, struct moment now)
{
	struct launch_count *launch;
	size_t old = 0;

	while (!now.mono_ns && old < core->launches.count &&
	       core->launches.at[old].wall_ns + MINUTE_NS < now.wall_ns)
		old++;
	while (old--)
		vec_remove(&core->launches, 0);
	if (!count)
		return;
	launch = vec_push(&core->launches);
	launch->time_ns = now.mono_ns;
	launch->wall_ns = now.wall_ns;
	launch->count = count;
	set_text(launch->token, token);
}

/* One that came with the lead may have been launched at any time until now; else EC2 says when. */
void launches_see(struct core *core, const struct instance_view *view, struct moment now)
{
	struct moment then = {mono_of(view->launched_wall_ns, now), view->launched_wall_ns};
	const struct open_order *open = order_find(core, view->token);
	uint64_t n;
	const struct lane *lane = lane_of_token(core, view->token, &n);
	bool beyond = core->has_before && lane && view->epoch < core->epoch &&
		      n >= lane->record_next && (lane->record_next || !core->record_is_cut);

	if (open && strcmp(open->order.decision, view->decision) == 0)
		return;
	if (launch_find(core, view->token) || launch_find(core, view->id))
		return;
	if (beyond && view->state < INSTANCE_SHUTTING_DOWN)
		then = now;
	if (now.wall_ns <= then.wall_ns + MINUTE_NS)
		launches_add(core, view->id, 1, then);
}

void launches_lead(struct core *core, struct moment now)
{
	vec_for_each (it, &core->instances) {
		const struct instance *instance = *it;
		struct launch_count *launch = launch_find(core, instance->id);

		if (!is_of_before(core, instance) || !instance_billed(instance) ||
		    instance->sequence < instance->lane->record_next)
			continue;
		if (launch)
			launch->time_ns = now.mono_ns;
		else if (!launch_find(core, instance->token))
			launches_add(core, instance->id, 1, now);
	}
}

/* ---- in the lease's record ---- */

static void recent_one(struct text *out, bool first, const char *token, uint64_t count,
		       uint64_t age_s)
{
	text_add(out, first ? "[" : ",[");
	text_add_json(out, token);
	text_printf(out, ",%llu,%llu]", (unsigned long long)count,
		    (unsigned long long)(age_s - age_s % AGE_STEP_S));
}

static uint64_t age_s_of(const struct core *core, const struct launch_count *launch)
{
	return (core->now_ns - MIN(core->now_ns, launch->time_ns)) / NS_PER_S;
}

/* [token, count, seconds ago]: ages, for no two clocks are compared. Of many the oldest are told
 * together, as if all were launched now. */
void recent_write(const struct core *core, struct text *out)
{
	size_t count = core->launches.count;
	size_t told = count > RECENT_MAX ? count - RECENT_MAX + 1 : 0;
	uint64_t together = 0;
	bool first = true;

	text_add_char(out, '[');
	for (size_t i = 0; i < told; i++)
		together += core->launches.at[i].count;
	if (told) {
		recent_one(out, true, "", together, 0);
		first = false;
	}
	for (size_t i = told; i < count; i++) {
		const struct launch_count *launch = &core->launches.at[i];
		uint64_t age_s = age_s_of(core, launch);

		if (age_s >= 60 || !launch->time_ns) /* 0: replayed, and not started yet */
			continue;
		recent_one(out, first, launch->token, launch->count, age_s);
		first = false;
	}
	text_add_char(out, ']');
}

/* In the order of the record, so that a record that is read is written the same. */
static void recent_take(struct core *core, const char *token, uint32_t count, uint64_t age_ns,
			struct moment now)
{
	struct launch_count taken = {.time_ns = now.mono_ns - MIN(now.mono_ns, age_ns),
				     .wall_ns = now.wall_ns - MIN(now.wall_ns, age_ns),
				     .count = count};
	struct launch_count *launch = *token ? launch_find(core, token) : NULL;

	set_text(taken.token, token);
	if (launch) {
		taken.time_ns = MAX(taken.time_ns, launch->time_ns);
		taken.wall_ns = MAX(taken.wall_ns, launch->wall_ns);
		taken.count = MAX(taken.count, launch->count);
		vec_remove(&core->launches, (size_t)(launch - core->launches.at));
	}
	*vec_push(&core->launches) = taken;
}

int recent_read(struct core *core, const struct cJSON *recent, bool apply, struct moment now)
{
	const cJSON *it;

	if (recent && !cJSON_IsArray(recent))
		return -EBADMSG;
	/* All that is known here is in it, or was launched beyond it: launches_lead(). */
	if (recent && apply)
		core->launches.count = 0;
	cJSON_ArrayForEach (it, recent) {
		const char *token = cJSON_GetStringValue(cJSON_GetArrayItem(it, 0));
		const cJSON *count = cJSON_GetArrayItem(it, 1), *age = cJSON_GetArrayItem(it, 2);

		if (!token || strlen(token) >= sizeof(core->launches.at[0].token) ||
		    token[strspn(token, TOKEN_LETTERS)] || !cJSON_IsNumber(count) ||
		    !(count->valuedouble >= 0) || count->valuedouble > INT32_MAX ||
		    !cJSON_IsNumber(age) || !(age->valuedouble >= 0) || age->valuedouble > 60)
			return -EBADMSG;
		if (apply)
			recent_take(core, token, (uint32_t)count->valuedouble,
				    (uint64_t)age->valuedouble * NS_PER_S, now);
	}
	return 0;
}
