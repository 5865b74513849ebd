/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking the lead and giving it up, and what goes with it from one leader to the next: of each lane
 * the lowest number that was not used, and what EC2 may not show yet.
 */
#include <cjson/cJSON.h>
#include <math.h>

#include "core/drain.h"

#define STATE_BYTES_MAX 300000
#define STATE_BYTES_END 32 /* of these, for what comes behind the lanes */
#define NUMBER_MAX 1e15

static void free_json(cJSON **json)
{
	cJSON_Delete(*json);
}

/* ---- writing ---- */

/* 12: all below was used and shown. [12,9,[[10,3]]]: all up to 9 was shown; under 10, 3 instances
 * were launched; of 11 nothing is known but that it was used. */
static void lane_write(const struct lane *lane, struct text *out)
{
	bool first = true;

	text_printf(out, "\"%016llx\":", (unsigned long long)lane->key);
	if (lane->seen + 1 == lane->next) {
		text_printf(out, "%llu", (unsigned long long)lane->next);
		return;
	}
	text_printf(out, "[%llu,%llu,[", (unsigned long long)lane->next,
		    (unsigned long long)lane->seen);
	vec_for_each (number, &lane->numbers) {
		if (number->expected == COUNT_UNKNOWN || number->n >= lane->next)
			continue;
		text_printf(out, "%s[%llu,%u]", first ? "" : ",", (unsigned long long)number->n,
			    number->expected);
		first = false;
	}
	text_add(out, "]]");
}

/* What cannot be told another way goes first: launches that EC2 may not show yet, then policies
 * that there are, then the others. */
static int lane_rank(const struct core *core, const struct lane *lane)
{
	if (lane->next == 1)
		return -1;
	if (lane->seen + 1 < lane->next)
		return 0;
	return policy_find((struct core *)core, lane->policy) ? 1 : 2;
}

static void lanes_write(const struct core *core, struct text *out)
{
	bool first = true;

	for (int rank = 0; rank <= 2; rank++)
		vec_for_each (it, &core->lanes) {
			size_t length = out->length;

			if (lane_rank(core, *it) != rank)
				continue;
			if (!first)
				text_add_char(out, ',');
			lane_write(*it, out);
			if (out->length > STATE_BYTES_MAX - STATE_BYTES_END) {
				out->data[length] = '\0';
				out->length = length;
				text_add(out, "},\"cut\":true");
				return;
			}
			first = false;
		}
	text_add_char(out, '}');
}

void core_state_write(struct core *core, bool last, struct text *out)
{
	text_printf(out, "{\"v\":1,\"epoch\":%llu,\"ahead\":", (unsigned long long)core->epoch);
	allowance_write(core, last, out);
	text_add(out, ",\"recent\":");
	recent_write(core, out);
	text_add(out, ",\"spend\":");
	spend_write(&core->spend, out);
	text_add(out, ",\"leads\":");
	leads_write(core, out);
	text_add(out, ",\"starts\":");
	starts_write(core, last, out);
	text_add(out, ",\"lanes\":{");
	lanes_write(core, out);
	text_add_char(out, '}');
}

/* ---- reading ---- */

static bool number_at(const cJSON *item, uint64_t *out)
{
	if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) || item->valuedouble > NUMBER_MAX)
		return false;
	*out = (uint64_t)item->valuedouble;
	return true;
}

static int lane_read(struct core *core, const cJSON *item, bool apply, struct moment now)
{
	const cJSON *it, *list = cJSON_IsArray(item) ? cJSON_GetArrayItem(item, 2) : NULL;
	uint64_t next, seen, n, expected;
	struct lane *lane = NULL;

	if (strlen(item->string) != 16 || strspn(item->string, "0123456789abcdef") != 16)
		return -EBADMSG;
	if (!number_at(list ? cJSON_GetArrayItem(item, 0) : item, &next) || !next)
		return -EBADMSG;
	seen = next - 1;
	if (list && (!number_at(cJSON_GetArrayItem(item, 1), &seen) || seen >= next))
		return -EBADMSG;
	if (apply) {
		lane = lane_by_key(core, strtoull(item->string, NULL, 16));
		lane_record(lane, next, seen);
		lane->record_next = next;
		lane->record_seen = seen;
	}
	cJSON_ArrayForEach (it, list) {
		if (!number_at(cJSON_GetArrayItem(it, 0), &n) || n >= next ||
		    !number_at(cJSON_GetArrayItem(it, 1), &expected) || expected >= COUNT_UNKNOWN)
			return -EBADMSG;
		if (lane && n > lane->seen)
			lane_used(lane, n, (uint32_t)expected, true, now);
	}
	return 0;
}

static int lanes_read(struct core *core, const cJSON *lanes, bool apply, struct moment now,
		      char reason[160])
{
	const cJSON *it;

	cJSON_ArrayForEach (it, lanes)
		if (lane_read(core, it, apply, now) < 0) {
			snprintf(reason, 160, "the lease's record: lane %.40s makes no sense",
				 it->string);
			return -EBADMSG;
		}
	return 0;
}

/* What the lanes share; it counts from now on, whatever an earlier record said. */
static int shared_read(struct core *core, const cJSON *json, bool apply, struct moment now,
		       char reason[160])
{
	const cJSON *ahead = cJSON_GetObjectItemCaseSensitive(json, "ahead");
	const cJSON *recent = cJSON_GetObjectItemCaseSensitive(json, "recent");
	const cJSON *cut = cJSON_GetObjectItemCaseSensitive(json, "cut");

	if (apply) {
		core->has_before = false;
		core->record_is_cut = cJSON_IsTrue(cut);
		vec_for_each (it, &core->lanes)
			(*it)->record_next = (*it)->record_seen = 0;
	}
	if (allowance_read(core, ahead, apply) == 0 && recent_read(core, recent, apply, now) == 0)
		return 0;
	snprintf(reason, 160,
		 "the lease's record: what may have been launched beyond it makes no sense");
	return -EBADMSG;
}

static int parts_read(struct core *core, const cJSON *json, bool apply, struct moment now,
		      char reason[160])
{
	int r = shared_read(core, json, apply, now, reason);

	if (r >= 0)
		r = lanes_read(core, cJSON_GetObjectItemCaseSensitive(json, "lanes"), apply, now,
			       reason);
	if (r < 0)
		return r;
	if (starts_read(core, cJSON_GetObjectItemCaseSensitive(json, "starts"), apply, now) == 0)
		return 0;
	snprintf(reason, 160, "the lease's record: a start of it makes no sense");
	return -EBADMSG;
}

/* All of it is checked before any of it is taken. */
static int state_read(struct core *core, const char *state, struct moment now, char reason[160])
{
	_cleanup_(free_json)
	cJSON *json = NULL;
	const cJSON *version, *spend;
	int r;

	if (!*state)
		return 0;
	json = cJSON_Parse(state);
	version = cJSON_GetObjectItemCaseSensitive(json, "v");
	if (!cJSON_IsNumber(version) || version->valuedouble != 1 ||
	    !cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(json, "lanes"))) {
		snprintf(reason, 160,
			 "the lease's record was not written by this version of forerun: "
			 "\"v\" is not 1, or \"lanes\" is no object");
		return -EBADMSG;
	}
	r = parts_read(core, json, false, now, reason);
	if (r < 0)
		return r;
	spend = cJSON_GetObjectItemCaseSensitive(json, "spend");
	if (spend && spend_read(&core->spend, spend) < 0) {
		snprintf(reason, 160, "the lease's record: what was spent makes no sense");
		return -EBADMSG;
	}
	leads_read(core, cJSON_GetObjectItemCaseSensitive(json, "leads"));
	return parts_read(core, json, true, now, reason);
}

/* ---- the lead ---- */

/* A wait for what is not shown begins now: until now the leader before may have launched. */
static void waits_begin(struct core *core)
{
	vec_for_each (it, &core->lanes)
		(*it)->wait_ns = (*it)->wait_wall_ns = 0;
}

int core_lead(struct core *core, uint64_t epoch, const char *state, struct moment now,
	      char reason[160])
{
	uint64_t before = core->epoch;
	int r;

	core->epoch = epoch;
	r = state_read(core, state, now, reason);
	if (r < 0) {
		core->epoch = before;
		return r;
	}
	core->leads = true;
	/* Without a record only who led last, or nobody yet, knows what was started. */
	core->starts_known = *state || epoch <= 1 || (core->starts_known && before + 1 == epoch);
	core->starts_from_ns = now.mono_ns;
	brake_everything(core, BRAKE_STANDBY, NULL, now);
	core->lead_ns = now.mono_ns;
	core->fleet_known = false;
	promises_forget(core);
	launches_lead(core, now);
	counts_old(core);
	journal_epoch(core, now);
	waits_begin(core);
	lanes_start(core, now);
	observations_reset(core);
	if (core->started) {
		orders_ask_all(core, "lead", now);
		retirements_start(core, now);
		routes_start(core);
	}
	return 0;
}

void core_yield(struct core *core, const char *why, struct moment now)
{
	if (!core->leads)
		return;
	core->leads = false;
	promises_forget(core);
	brake_everything(core, BRAKE_STANDBY, why, now);
	orders_yield(core, why, now);
	retirements_yield(core, why, now);
	drains_yield(core, why, now);
}

void core_journal_failed(struct core *core, int error)
{
	if (!core->journal_error)
		core->journal_error = error;
}
