/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal in short: what a later start must know of all lines so far, as lines that can stand
 * in their place. replay_snapshot.c reads the kinds that only come from here.
 */
#include <math.h>

#include "core/drain.h"

static void add_bool(struct text *line, const char *key, bool value)
{
	text_printf(line, ",\"%s\":%s", key, value ? "true" : "false");
}

static int totals_line(struct core *core, struct moment now)
{
	struct text *line = line_begin(core, "totals", now);

	line_add_count(line, "decisions", core->totals.decisions);
	line_add_count(line, "launched", core->totals.instances_launched);
	line_add_count(line, "terminations", core->totals.terminations);
	line_add_count(line, "lead_times", core->totals.lead_times_learned);
	return line_write(core, false);
}

/* ---- times ---- */

static void add_histogram(struct text *line, const struct duration_histogram *histogram)
{
	text_printf(line, "[%.17g", histogram->sum_seconds);
	for (size_t i = 0; i <= DURATION_BUCKETS; i++)
		text_printf(line, ",%llu", (unsigned long long)histogram->counts[i]);
	text_add_char(line, ']');
}

static int timing_line(struct core *core, struct moment now)
{
	const struct timing *timing = &core->timing;
	struct text *line = line_begin(core, "timing", now);
	size_t kept = MIN(timing->latencies_count, (uint64_t)LATENCIES_KEPT);

	line_add_count(line, "served", timing->served);
	line_add_count(line, "interruptions", timing->spot_interruptions);
	line_add_number(line, "spot_hours", timing->spot_hours);
	line_add_number(line, "usd_before_serving", timing->usd_before_serving);
	text_add(line, ",\"latency\":");
	add_histogram(line, &timing->latency);
	text_add(line, ",\"stages\":[");
	for (int s = 0; s < STAGE_COUNT; s++) {
		if (s)
			text_add_char(line, ',');
		add_histogram(line, &timing->stages[s]);
	}
	text_add(line, "],\"latencies\":[");
	for (size_t i = 0; i < kept; i++)
		text_printf(
			line, "%s%.17g", i ? "," : "",
			timing->latencies[(timing->latencies_count - kept + i) % LATENCIES_KEPT]);
	text_add_char(line, ']');
	return line_write(core, false);
}

static void add_sample(struct text *line, const struct lead_times *lead, uint64_t at, bool *first)
{
	text_add(line, *first ? "[" : ",[");
	*first = false;
	line_add_element(line, lead->family, true);
	text_printf(line, ",%.17g]", lead->seconds[at % LEAD_TIMES_KEPT]);
}

/* In an order in which they can be learned again: what is older than the newest launches of the
 * pool first, then these one by one. */
static int learned_line(struct core *core, const struct pool_state *pool, struct moment now)
{
	uint64_t recent = MIN(pool->mix_count, (uint64_t)LEAD_TIMES_KEPT);
	uint64_t from[LEAD_KINDS_MAX], mixed[LEAD_KINDS_MAX] = {0};
	struct text *line = line_begin(core, "learned", now);
	bool first = true;

	line_add_text(line, "pool", pool->pool->name);
	add_bool(line, "proven", pool->leads_proven);
	add_bool(line, "agents", pool->agents_known);
	text_add(line, ",\"samples\":[");
	for (uint64_t i = 0; i < recent; i++)
		mixed[pool->mix[i]]++;
	for (size_t k = 0; k < pool->leads.count; k++) {
		const struct lead_times *lead = &pool->leads.at[k];
		uint64_t kept = MIN(lead->count, (uint64_t)LEAD_TIMES_KEPT);

		from[k] = lead->count - kept;
		for (; from[k] + mixed[k] < lead->count; from[k]++)
			add_sample(line, lead, from[k], &first);
	}
	for (uint64_t i = pool->mix_count - recent; i < pool->mix_count; i++) {
		uint8_t k = pool->mix[i % LEAD_TIMES_KEPT];

		add_sample(line, &pool->leads.at[k], from[k]++, &first);
	}
	text_add_char(line, ']');
	return line_write(core, false);
}

/* ---- lanes and launches ---- */

static int lane_line(struct core *core, const struct lane *lane, struct moment now)
{
	struct text *line = line_begin(core, "lane", now);
	bool first = true;

	text_printf(line, ",\"key\":\"%016llx\"", (unsigned long long)lane->key);
	line_add_text(line, "pool", lane->pool);
	line_add_text(line, "policy", lane->policy);
	line_add_count(line, "next", lane->next);
	line_add_count(line, "settled", lane->settled);
	line_add_count(line, "seen", lane->seen);
	add_bool(line, "known", lane->known);
	add_bool(line, "lost", lane->lost);
	add_bool(line, "blind", lane->blind);
	line_add_count(line, "taken", lane->taken);
	line_add_us(line, "wait_us", lane->wait_wall_ns);
	line_add_count(line, "wait_to", lane->wait_to);
	text_add(line, ",\"numbers\":[");
	vec_for_each (number, &lane->numbers) {
		text_printf(line, "%s[%llu,%lld,%d,%d,%llu]", first ? "" : ",",
			    (unsigned long long)number->n,
			    number->expected == COUNT_UNKNOWN ? -1 : (long long)number->expected,
			    number->exact, number->ended,
			    (unsigned long long)(number->known_wall_ns / NS_PER_US));
		first = false;
	}
	text_add_char(line, ']');
	return line_write(core, false);
}

/* For the limit by the minute. */
static int launches_line(struct core *core, struct moment now)
{
	struct text *line = line_begin(core, "launches", now);
	bool first = true;

	text_add(line, ",\"list\":[");
	vec_for_each (launch, &core->launches) {
		if (now.wall_ns > launch->wall_ns + 60 * NS_PER_S)
			continue;
		text_printf(line, "%s[%llu,%u,", first ? "" : ",",
			    (unsigned long long)(launch->wall_ns / NS_PER_US), launch->count);
		line_add_element(line, launch->token, true);
		text_add_char(line, ']');
		first = false;
	}
	text_add_char(line, ']');
	return line_write(core, false);
}

/* ---- instances ---- */

static int known_line(struct core *core, const struct instance *instance, struct moment now)
{
	struct text *line = line_begin(core, "known", now);

	line_add_text(line, "id", instance->id);
	line_add_text(line, "type", instance->instance_type);
	line_add_text(line, "zone", instance->zone);
	line_add_text(line, "decision", instance->decision);
	line_add_text(line, "token", instance->token);
	line_add_count(line, "epoch", instance->epoch);
	line_add_text(line, "pool", instance->pool);
	line_add_text(line, "policy", instance->policy);
	line_add_text(line, "capacity_type", capacity_type_text(instance->capacity_type));
	line_add_text(line, "state", instance_state_text(instance->state));
	line_add_count(line, "vcpus", instance->vcpus);
	line_add_count(line, "memory_mib", instance->memory_mib);
	line_add_number(line, "usd_per_hour", instance->usd_per_hour);
	line_add_us(line, "launched_us", instance->launched_wall_ns);
	line_add_us(line, "known_us", instance->known_wall_ns);
	line_add_us(line, "running_us", instance->running_wall_ns);
	line_add_us(line, "gone_us", instance->gone_wall_ns);
	line_add_text(line, "source", launch_source_text(instance->source));
	line_add_us(line, "started_us", instance->started_wall_ns);
	line_add_text(line, "class_hash", instance->class_hash);
	line_add_text(line, "pool_hash", instance->pool_hash);
	add_bool(line, "prepared", instance->prepared);
	add_bool(line, "seen", instance->seen);
	add_bool(line, "serving", instance->serving);
	add_bool(line, "gone", instance->gone);
	add_bool(line, "vanished", instance->vanished);
	add_bool(line, "registered", instance->registered);
	add_bool(line, "tag_ignored", instance->tag_ignored);
	return line_write(core, false);
}

/* ---- decisions ---- */

static int record_lines(struct core *core, const struct record *record, struct moment now)
{
	const struct decision *decision = &record->decision;
	struct text *line;

	journal_decision(core, record, decision->made);
	vec_for_each (step, &decision->steps)
		journal_step(core, decision->id, step);
	line = line_begin(core, "record", now);
	line_add_text(line, "decision", decision->id);
	line_add_count(line, "attempts", record->attempts);
	line_add_count(line, "launched", decision->launched);
	line_add_count(line, "failed", decision->failed);
	line_add_count(line, "released", record->released);
	add_bool(line, "closed", decision->closed);
	return line_write(core, false);
}

static int order_lines(struct core *core, const struct open_order *open)
{
	const struct record *record = record_find(core, open->order.decision);
	struct moment made = {0, open->made_wall_ns};

	return record ? journal_order(core, open, record->attempts, made) : 0;
}

/* Decisions before what names them, lanes before the orders that are open in them. */
static int all_lines(struct core *core, struct moment now)
{
	int r = 0;

	if (core->epoch)
		journal_epoch(core, now);
	journal_spend(core, now);
	timing_line(core, now);
	for (size_t i = 0; i < core->pools_count; i++)
		learned_line(core, &core->pools[i], now);
	vec_for_each (it, &core->lanes)
		if ((*it)->next > 1 || (*it)->known || (*it)->wait_wall_ns)
			lane_line(core, *it, now);
	vec_for_each (it, &core->records)
		if (r >= 0)
			r = record_lines(core, *it, now);
	vec_for_each (it, &core->orders)
		if (r >= 0)
			r = order_lines(core, *it);
	vec_for_each (it, &core->instances)
		if (r >= 0)
			r = known_line(core, *it, now);
	vec_for_each (it, &core->drains)
		if (r >= 0)
			r = journal_drain(core, *it, false, now);
	vec_for_each (it, &core->retirements)
		if (r >= 0)
			r = journal_terminate(core, &(*it)->order, now);
	if (r >= 0)
		r = launches_line(core, now);
	return r < 0 ? r : totals_line(core, now);
}

int core_journal_rewrite(struct core *core,
			 int (*write)(void *arg, const char *json, size_t length), void *arg,
			 struct moment now)
{
	int r;

	core->rewrite = write;
	core->rewrite_arg = arg;
	r = all_lines(core, now);
	core->rewrite = NULL;
	return r;
}
