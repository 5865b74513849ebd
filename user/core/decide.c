/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions: their ids, what happened to them, when they are over. */
#include "core/core_private.h"

static void base36(uint64_t value, char *out, size_t size)
{
	char digits[16];
	size_t n = 0, at = 0;

	do {
		digits[n++] = "0123456789abcdefghijklmnopqrstuvwxyz"[value % 36];
		value /= 36;
	} while (value && n < sizeof(digits));
	while (n && at + 1 < size)
		out[at++] = digits[--n];
	out[at] = '\0';
}

/* "fr-<host>-<wall ms, base 36>-<n>": the milliseconds only ever grow, also over a restart (the
 * journal tells the last), so no id comes twice. */
static void id_next(struct core *core, struct moment now, char *out, size_t size)
{
	uint64_t ms = MAX(now.wall_ns / NS_PER_MS, core->last_id_ms + 1);
	char text[16], n[16];

	core->last_id_ms = ms;
	base36(ms, text, sizeof(text));
	base36(++core->sequence, n, sizeof(n));
	snprintf(out, size, "fr-%08x-%s-%s", core->host_hash, text, n);
}

struct record *record_new(struct core *core, enum decision_kind kind,
			  const struct policy_state *policy, struct moment now)
{
	struct record *record = calloc(1, sizeof(*record));

	if (!record)
		return NULL;
	id_next(core, now, record->decision.id, sizeof(record->decision.id));
	record->decision.kind = kind;
	record->decision.mode = core->config.mode;
	record->decision.made = now;
	set_text(record->decision.policy, policy->policy->name);
	set_text(record->decision.pool, policy->policy->pool);
	record_add(core, record);
	return record;
}

/* Its id, policy and pool are set. */
void record_add(struct core *core, struct record *record)
{
	record->lane = lane_of(core, record->decision.pool, record->decision.policy);
	*vec_push(&core->records) = record;
	map_put(&core->records_by_id, hash_text(record->decision.id), record);
	records_trim(core);
}

/* Instances that were decided and neither launched nor given up, nor asked for in an open order. */
uint32_t record_rest(const struct record *record)
{
	uint32_t settled = record->decision.launched + record->decision.failed;

	vec_for_each (it, &record->lane->orders)
		if (!(*it)->over && strcmp((*it)->order.decision, record->decision.id) == 0)
			settled += (*it)->order.count;
	return record->count - MIN(record->count, settled);
}

void record_no_retry(struct core *core, struct record *record)
{
	if (!record->retry)
		return;
	record->retry = record->when_free = false;
	record->lane->waiting -= record->waiting;
	core->records_waiting--;
}

/* What is left of it waits for its next attempt, and counts as on its way. */
void record_retry(struct core *core, struct record *record, uint64_t at_ns)
{
	record_no_retry(core, record);
	record->retry = true;
	record->retry_ns = at_ns;
	record->waiting = record_rest(record);
	record->lane->waiting += record->waiting;
	core->records_waiting++;
}

void record_free(struct record *record)
{
	if (!record)
		return;
	vec_free(&record->decision.steps);
	vec_free(&record->failed);
	free(record);
}

/* The oldest that are over go; one that is not over stays, whatever its age. */
void records_trim(struct core *core)
{
	size_t most = core->config.decisions_kept ?: DECISIONS_KEPT;

	for (size_t i = 0; i + 1 < core->records.count && core->records.count > most;) {
		struct record *record = core->records.at[i];

		if (!record->decision.closed) {
			i++;
			continue;
		}
		map_remove(&core->records_by_id, hash_text(record->decision.id));
		record_free(record);
		vec_remove(&core->records, i);
	}
}

struct record *record_find(const struct core *core, const char *id)
{
	return map_get(&core->records_by_id, hash_text(id));
}

void record_changed(struct core *core, struct record *record)
{
	if (core->effects.decided)
		core->effects.decided(core->effects.arg, &record->decision);
}

void record_step(struct core *core, struct record *record, struct moment when, const char *format,
		 ...)
{
	struct decision_step *step;
	va_list arguments;

	if (!record)
		return;
	step = vec_push(&record->decision.steps);
	step->mono_ns = when.mono_ns;
	step->wall_ns = when.wall_ns;
	va_start(arguments, format);
	vsnprintf(step->text, sizeof(step->text), format, arguments);
	va_end(arguments);
	journal_step(core, record->decision.id, step);
}

static bool instances_settled(const struct record *record)
{
	vec_for_each (it, &record->lane->instances)
		if (!(*it)->gone && !(*it)->serving && !(instance_warm(*it) && (*it)->prepared) &&
		    strcmp((*it)->decision, record->decision.id) == 0)
			return false;
	return true;
}

/* A launch is over when every instance serves or is gone; a retirement when EC2 has confirmed it;
 * what was only recorded, at once. */
void record_close_if_done(struct core *core, struct record *record, struct moment now)
{
	if (!record || record->decision.closed || record->retry)
		return;
	vec_for_each (it, &record->lane->orders)
		if (strcmp((*it)->order.decision, record->decision.id) == 0)
			return;
	vec_for_each (it, &core->retirements)
		if (strcmp((*it)->order.decision, record->decision.id) == 0)
			return;
	if (decision_launches(&record->decision) && !instances_settled(record))
		return;
	if (drains_open(core, record->decision.id))
		return;
	record->decision.closed = true;
	journal_closed(core, record, now);
	record_changed(core, record);
}

bool decision_launches(const struct decision *decision)
{
	return decision->kind == DECISION_SCALE_UP || decision->kind == DECISION_REPLACE;
}

const char *decision_kind_text(enum decision_kind kind)
{
	switch (kind) {
	case DECISION_SCALE_UP:
		return "scale-up";
	case DECISION_SCALE_DOWN:
		return "scale-down";
	case DECISION_HELD:
		return "held";
	case DECISION_RETIRE:
		return "retire";
	case DECISION_REPLACE:
		return "replace";
	}
	return "unknown";
}
