/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's line "drain": how far one instance is on its way out. */
#include "core/drain.h"
#include "core/replay.h"

#define CALLED_OFF "called off" /* it stays */
#define LEFT "left" /* to whoever leads next */

static int write_line(struct core *core, const struct drain *drain, const char *state,
		      bool releases, struct moment now)
{
	struct text *line = line_begin(core, "drain", now);

	line_add_text(line, "id", drain->instance->id);
	line_add_text(line, "decision", drain->decision);
	line_add_text(line, "reason", retire_reason_text(drain->reason));
	line_add_text(line, "state", state);
	line_add_count(line, "replacing", drain->replacing);
	line_add_text(line, "replacement", drain->replacement);
	text_printf(line, ",\"given\":%s,\"releases\":%s", drain->given ? "true" : "false",
		    releases ? "true" : "false");
	line_add_us(line, "since_us", drain->since_wall_ns);
	line_add_us(line, "deadline_us", drain->deadline_wall_ns);
	return line_write(core, true);
}

int journal_drain(struct core *core, const struct drain *drain, bool releases, struct moment now)
{
	return write_line(core, drain, drain_state_text(drain->state), releases, now);
}

void journal_drain_end(struct core *core, const struct drain *drain, bool stays, struct moment now)
{
	write_line(core, drain, stays ? CALLED_OFF : LEFT, false, now);
}

static void release(struct core *core, const struct drain *drain)
{
	struct record *record = *drain->replacement ? record_find(core, drain->replacement) : NULL;

	if (record)
		record->released++;
}

static bool is_true(const cJSON *json, const char *key)
{
	return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, key));
}

static void read_drain(struct core *core, const cJSON *json, struct drain *drain)
{
	drain->reason = retire_reason_of(text_of(json, "reason"));
	drain->replacing = (enum replacing)count_of(json, "replacing", REPLACE_FIRST);
	drain->given = is_true(json, "given");
	drain->since_wall_ns = ns_of(json, "since_us");
	drain->deadline_wall_ns = ns_of(json, "deadline_us");
	set_text(drain->replacement, text_of(json, "replacement"));
	if (strcmp(text_of(json, "state"), drain_state_text(DRAIN_REPLACING)) != 0)
		drain->state = DRAIN_DRAINING;
	if (is_true(json, "releases"))
		release(core, drain);
}

int replay_drain(struct core *core, const cJSON *json, char reason[160])
{
	struct instance *instance = instance_find(core, text_of(json, "id"));
	const char *decision = text_of(json, "decision");
	struct moment then = {0, ns_of(json, "wall_us")};

	if (!record_find(core, decision))
		return no_sense(reason, "a drain of decision %.60s, which is not there", decision);
	if (!instance || instance->gone)
		return 0;
	if (strcmp(text_of(json, "state"), CALLED_OFF) == 0 ||
	    strcmp(text_of(json, "state"), LEFT) == 0) {
		instance->tag_ignored = strcmp(text_of(json, "state"), CALLED_OFF) == 0;
		drain_free(core, instance->drain);
		return 0;
	}
	if (!instance->drain && !drain_new(core, instance, decision, RETIRE_TAGGED, then))
		return -ENOMEM;
	read_drain(core, json, instance->drain);
	return 0;
}
