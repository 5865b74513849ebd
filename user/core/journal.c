/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is written down: one JSON object a line, "v" the version and "t" the kind. Times are
 * microseconds, so that every JSON reader keeps them exactly. replay.c reads it.
 */
#include <math.h>

#include "core/core_private.h"

struct text *line_begin(struct core *core, const char *kind, struct moment now)
{
	text_clear(&core->line);
	text_printf(&core->line, "{\"v\":1,\"t\":\"%s\",\"wall_us\":%llu", kind,
		    (unsigned long long)(now.wall_ns / NS_PER_US));
	return &core->line;
}

void line_add_text(struct text *line, const char *key, const char *value)
{
	text_printf(line, ",\"%s\":", key);
	text_add_json(line, value);
}

void line_add_number(struct text *line, const char *key, double value)
{
	if (isfinite(value))
		text_printf(line, ",\"%s\":%.17g", key, value);
	else
		text_printf(line, ",\"%s\":null", key);
}

void line_add_count(struct text *line, const char *key, uint64_t value)
{
	text_printf(line, ",\"%s\":%llu", key, (unsigned long long)value);
}

void line_add_us(struct text *line, const char *key, uint64_t ns)
{
	text_printf(line, ",\"%s\":%llu", key, (unsigned long long)(ns / NS_PER_US));
}

void line_add_element(struct text *line, const char *value, bool first)
{
	if (!first)
		text_add_char(line, ',');
	text_add_json(line, value);
}

/* The first failure stops all acting: what cannot be remembered must not be done. */
int line_write(struct core *core, bool sync)
{
	int r;

	text_add_char(&core->line, '}');
	if (core->rewrite)
		return core->rewrite(core->rewrite_arg, core->line.data, core->line.length);
	if (!core->effects.journal)
		return 0;
	if (core->journal_error)
		return core->journal_error;
	r = core->effects.journal(core->effects.arg, core->line.data, core->line.length, sync);
	if (r < 0)
		core->journal_error = r;
	return r;
}

static void add_sources(struct text *line, const struct decision *decision)
{
	bool any = false;

	for (int s = 0; s < SOURCE_COUNT; s++) {
		const struct source_choice *choice = &decision->sources[s];

		if (!choice->asked)
			continue;
		text_add(line, any ? ",[" : ",\"sources\":[[");
		any = true;
		line_add_element(line, launch_source_text((enum launch_source)s), true);
		text_printf(line, ",%u,", choice->count);
		if (isnan(choice->seconds))
			text_add(line, "null");
		else
			text_printf(line, "%.17g", choice->seconds);
		line_add_element(line, choice->why, false);
		text_add_char(line, ']');
	}
	if (any)
		text_add_char(line, ']');
}

int journal_decision(struct core *core, const struct record *record, struct moment now)
{
	const struct decision *decision = &record->decision;
	struct text *line = line_begin(core, "decision", now);

	line_add_text(line, "id", decision->id);
	line_add_text(line, "kind", decision_kind_text(decision->kind));
	line_add_text(line, "mode", decision->mode == MODE_ACT ? "act" : "observe");
	line_add_text(line, "policy", decision->policy);
	line_add_text(line, "pool", decision->pool);
	line_add_us(line, "mono_us", decision->made.mono_ns);
	line_add_us(line, "edge_us", decision->edge_ns);
	line_add_number(line, "before", decision->replicas_before);
	line_add_number(line, "wanted", decision->replicas_wanted);
	line_add_number(line, "decided", decision->replicas_decided);
	line_add_number(line, "count", record->count);
	if (record->usd_below > 0)
		line_add_number(line, "usd_below", record->usd_below);
	line_add_count(line, "epoch", core->epoch);
	line_add_text(line, "signals", decision->signals);
	line_add_text(line, "arithmetic", decision->arithmetic);
	line_add_text(line, "limits", decision->limits);
	add_sources(line, decision);
	return line_write(core, false);
}

static void add_override(struct text *line, const struct launch_override *override)
{
	text_add_char(line, '[');
	line_add_element(line, override->instance_type, true);
	line_add_element(line, override->subnet_id, false);
	line_add_element(line, override->zone, false);
	line_add_element(line, override->launch_template, false);
	text_printf(line, ",%.17g,", override->priority);
	if (isnan(override->usd_per_hour))
		text_add(line, "null");
	else
		text_printf(line, "%.17g", override->usd_per_hour);
	text_printf(line, ",%u,%llu]", override->vcpus, (unsigned long long) override->memory_mib);
}

static void add_named(struct text *line, const char *key, const struct launched_instance *at,
		      size_t count)
{
	text_add(line, key);
	for (size_t i = 0; i < count; i++) {
		text_add(line, i ? ",[" : "[");
		line_add_element(line, at[i].id, true);
		line_add_element(line, at[i].instance_type, false);
		line_add_element(line, at[i].zone, false);
		text_add_char(line, ']');
	}
}

/* Complete: asked again from this line alone, it is byte for byte the same call. */
int journal_order(struct core *core, const struct open_order *open, uint32_t attempt,
		  struct moment now)
{
	const struct launch_order *order = &open->order;
	struct record *record = record_find(core, order->decision);
	struct text *line = line_begin(core, "order", now);

	line_add_text(line, "decision", order->decision);
	line_add_text(line, "token", order->token);
	line_add_text(line, "pool", order->pool);
	line_add_text(line, "policy", order->policy);
	line_add_text(line, "capacity_type", capacity_type_text(order->capacity_type));
	line_add_number(line, "attempt", attempt);
	line_add_number(line, "count", order->count);
	line_add_number(line, "failed", record ? record->decision.failed : 0);
	line_add_count(line, "sequence", order->sequence);
	line_add_count(line, "epoch", order->epoch);
	if (*order->context)
		line_add_text(line, "context", order->context);
	if (order->reservation)
		line_add_number(line, "reservation", order->reservation);
	if (*order->group) {
		line_add_text(line, "group", order->group);
		line_add_number(line, "desired", order->desired);
	}
	text_add(line, ",\"overrides\":[");
	for (size_t i = 0; i < order->overrides.count; i++) {
		if (i)
			text_add_char(line, ',');
		add_override(line, &order->overrides.at[i]);
	}
	if (order->starts.count)
		add_named(line, "],\"starts\":[", order->starts.at, order->starts.count);
	text_add(line, "],\"tags\":[");
	for (size_t i = 0; i < order->tags.list.count; i++) {
		text_add(line, i ? ",[" : "[");
		line_add_element(line, order->tags.list.at[i].key, true);
		line_add_element(line, order->tags.list.at[i].value, false);
		text_add_char(line, ']');
	}
	text_add_char(line, ']');
	return line_write(core, true);
}

const char *outcome_text(enum launch_outcome outcome)
{
	switch (outcome) {
	case LAUNCH_DONE:
		return "done";
	case LAUNCH_REFUSED:
		return "refused";
	case LAUNCH_UNKNOWN:
		return "unknown";
	}
	return "unknown";
}

static void add_instances(struct text *line, const struct launched_instance *at, size_t count)
{
	add_named(line, ",\"instances\":[", at, count);
	text_add_char(line, ']');
}

void journal_result(struct core *core, const struct launch_result *result, struct moment now)
{
	struct text *line = line_begin(core, "result", now);

	line_add_text(line, "token", result->token);
	line_add_text(line, "outcome", outcome_text(result->outcome));
	text_printf(line, ",\"throttled\":%s", result->throttled ? "true" : "false");
	line_add_text(line, "request_id", result->request_id);
	line_add_text(line, "fleet_id", result->fleet_id);
	line_add_text(line, "error_code", result->error_code);
	line_add_text(line, "error_text", result->error_text);
	add_instances(line, result->instances.at, result->instances.count);
	text_add(line, ",\"failures\":[");
	for (size_t i = 0; i < result->failures.count; i++) {
		text_add(line, i ? ",[" : "[");
		line_add_element(line, result->failures.at[i].instance_type, true);
		line_add_element(line, result->failures.at[i].zone, false);
		line_add_element(line, result->failures.at[i].code, false);
		if (*result->failures.at[i].instance_id)
			line_add_element(line, result->failures.at[i].instance_id, false);
		text_add_char(line, ']');
	}
	text_add_char(line, ']');
	line_write(core, false);
}

void journal_step(struct core *core, const char *decision, const struct decision_step *step)
{
	struct moment when = {step->mono_ns, step->wall_ns};
	struct text *line = line_begin(core, "step", when);

	line_add_text(line, "decision", decision);
	line_add_us(line, "mono_us", step->mono_ns);
	line_add_text(line, "text", step->text);
	line_write(core, false);
}

int journal_terminate(struct core *core, const struct terminate_order *order, struct moment now)
{
	struct text *line = line_begin(core, "terminate", now);

	line_add_text(line, "decision", order->decision);
	line_add_count(line, "number", order->number);
	if (*order->group)
		line_add_text(line, "group", order->group);
	add_instances(line, order->instances.at, order->instances.count);
	return line_write(core, true);
}

void journal_terminated(struct core *core, const struct terminate_result *result, struct moment now)
{
	struct text *line = line_begin(core, "terminated", now);

	line_add_text(line, "decision", result->decision);
	line_add_count(line, "number", result->number);
	line_add_number(line, "error", result->error);
	line_add_text(line, "request_id", result->request_id);
	line_add_text(line, "error_code", result->error_code);
	line_write(core, false);
}

void journal_instance(struct core *core, const struct instance *instance, const char *state,
		      struct moment now)
{
	struct text *line = line_begin(core, "instance", now);

	line_add_text(line, "id", instance->id);
	line_add_text(line, "state", state);
	line_write(core, false);
}

/* One of a warm pool is that policy's now; another core started it. */
void journal_claimed(struct core *core, const struct instance *instance, struct moment now)
{
	struct text *line = line_begin(core, "claimed", now);

	line_add_text(line, "id", instance->id);
	line_add_text(line, "decision", instance->decision);
	line_add_text(line, "token", instance->token);
	line_add_text(line, "policy", instance->policy);
	line_write(core, false);
}

/* One instance's way to serving. */
void journal_lead(struct core *core, const struct instance *instance, const struct launch_way *way,
		  struct moment now)
{
	struct text *line = line_begin(core, "lead", now);

	line_add_text(line, "pool", instance->pool);
	line_add_number(line, "seconds", way->lead);
	line_add_text(line, "type", instance->instance_type);
	line_add_text(line, "source", launch_source_text(instance->source));
	line_add_text(line, "by", way->proof == PROOF_RESPONSE ? "response" : "clock");
	line_add_number(line, "latency", way->latency);
	text_add(line, ",\"stages\":[");
	for (int s = 0; s < STAGE_COUNT; s++)
		if (isnan(way->stages[s]))
			text_add(line, s ? ",null" : "null");
		else
			text_printf(line, "%s%.6f", s ? "," : "", way->stages[s]);
	text_add_char(line, ']');
	line_write(core, false);
}

/* This core begins to lead. */
void journal_epoch(struct core *core, struct moment now)
{
	struct text *line = line_begin(core, "epoch", now);

	line_add_count(line, "epoch", core->epoch);
	line_write(core, true);
}

void journal_spend(struct core *core, struct moment now)
{
	struct text *line = line_begin(core, "spend", now);

	text_add(line, ",\"spend\":");
	spend_write(&core->spend, line);
	line_write(core, false);
}

void journal_closed(struct core *core, const struct record *record, struct moment now)
{
	struct text *line = line_begin(core, "closed", now);

	line_add_text(line, "decision", record->decision.id);
	line_add_number(line, "launched", record->decision.launched);
	line_add_number(line, "failed", record->decision.failed);
	line_write(core, false);
}
