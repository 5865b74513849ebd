/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "core/core_private.h"

static void add_lines(struct text *out, const char *title, const char *lines)
{
	if (!*lines)
		return;
	text_printf(out, "\n%s\n", title);
	while (*lines) {
		size_t length = strcspn(lines, "\n");

		text_printf(out, "  %.*s\n", (int)length, lines);
		lines += length + (lines[length] == '\n');
	}
}

/* Steps are told from the edge, or from the decision where no edge led to it. */
static void add_steps(const struct decision *decision, struct text *out)
{
	uint64_t from_ns = decision->edge_ns ? decision->edge_ns : decision->made.mono_ns;
	double decided_ms = (double)(int64_t)(decision->made.mono_ns - from_ns) / NS_PER_MS;

	text_printf(out, "\nSteps, in ms since the %s\n", decision->edge_ns ? "edge" : "decision");
	if (decision->edge_ns)
		text_printf(out, "  %12.3f  the queue crossed its threshold in the kernel\n", 0.0);
	text_printf(out, "  %12.3f  decided\n", decided_ms);
	vec_for_each (step, &decision->steps) {
		char when[TIME_TEXT_SIZE];
		double ms = (double)(int64_t)(step->mono_ns - from_ns) / NS_PER_MS;
		double wall_ms =
			(double)(int64_t)(step->wall_ns - decision->made.wall_ns) / NS_PER_MS +
			decided_ms;

		/* After a reboot the monotonic clock says nothing about what was before it. */
		if (ms < 0 || ms > wall_ms + 1000 || ms < wall_ms - 1000)
			ms = wall_ms;
		time_format(step->wall_ns, when);
		text_printf(out, "  %12.3f  %s  (%s)\n", ms, step->text, when);
	}
}

static void add_sources(const struct decision *decision, struct text *out)
{
	bool any = false;

	for (int s = 0; s < SOURCE_COUNT; s++) {
		const struct source_choice *choice = &decision->sources[s];

		if (!choice->asked)
			continue;
		if (!any)
			text_add(out, "\nSources, the fastest first\n");
		any = true;
		text_printf(out, "  %-12s %4u  ", launch_source_text((enum launch_source)s),
			    choice->count);
		if (isnan(choice->seconds))
			text_add(out, "time not known yet");
		else
			text_printf(out, "%.1f s until it serves", choice->seconds);
		text_printf(out, "%s%s\n", *choice->why ? "; " : "", choice->why);
	}
}

static const char *state_of(const struct decision *decision)
{
	if (decision->kind == DECISION_HELD)
		return "held: nothing was called";
	if (decision->mode != MODE_ACT)
		return "observe mode: nothing was called";
	return decision->closed ? "closed" : "under way";
}

void decision_explain(const struct decision *decision, struct text *out)
{
	char when[TIME_TEXT_SIZE];

	time_format(decision->made.wall_ns, when);
	text_printf(out, "Decision %s: %s, %s\n", decision->id, decision_kind_text(decision->kind),
		    state_of(decision));
	text_printf(out, "  made      %s, %s\n", when,
		    decision->edge_ns ? "on an edge from the kernel" : "on a tick");
	text_printf(out, "  policy    %s, NodePool %s\n", decision->policy, decision->pool);
	text_printf(out, "  replicas  %d before, %d wanted by the policy, %d decided\n",
		    decision->replicas_before, decision->replicas_wanted,
		    decision->replicas_decided);
	if (decision_launches(decision) && decision->mode == MODE_ACT)
		text_printf(out, "  launched  %u, failed %u\n", decision->launched,
			    decision->failed);
	add_lines(out, "Signals", decision->signals);
	add_lines(out, "Arithmetic", decision->arithmetic);
	add_lines(out, "Limits", decision->limits);
	add_sources(decision, out);
	add_steps(decision, out);
}

static void add_field(struct text *out, const char *key, const char *value)
{
	text_printf(out, ",\"%s\":", key);
	text_add_json(out, value);
}

static void add_array(struct text *out, const char *key, const char *lines)
{
	bool first = true;

	text_printf(out, ",\"%s\":[", key);
	while (*lines) {
		size_t length = strcspn(lines, "\n");
		char *line = strndup(lines, length);

		if (!first)
			text_add_char(out, ',');
		first = false;
		text_add_json(out, line ? line : "");
		free(line);
		lines += length + (lines[length] == '\n');
	}
	text_add_char(out, ']');
}

static void add_sources_json(const struct decision *decision, struct text *out)
{
	bool first = true;

	text_add(out, ",\"sources\":[");
	for (int s = 0; s < SOURCE_COUNT; s++) {
		const struct source_choice *choice = &decision->sources[s];

		if (!choice->asked)
			continue;
		text_printf(out, "%s{\"source\":\"%s\",\"count\":%u,\"seconds\":", first ? "" : ",",
			    launch_source_text((enum launch_source)s), choice->count);
		first = false;
		if (isnan(choice->seconds))
			text_add(out, "null");
		else
			text_printf(out, "%.3f", choice->seconds);
		add_field(out, "why", choice->why);
		text_add_char(out, '}');
	}
	text_add_char(out, ']');
}

void decision_json(const struct decision *decision, struct text *out)
{
	char when[TIME_TEXT_SIZE];
	bool first = true;

	text_add(out, "{\"id\":");
	text_add_json(out, decision->id);
	add_field(out, "kind", decision_kind_text(decision->kind));
	add_field(out, "mode", decision->mode == MODE_ACT ? "act" : "observe");
	add_field(out, "policy", decision->policy);
	add_field(out, "pool", decision->pool);
	time_format(decision->made.wall_ns, when);
	add_field(out, "made", when);
	if (decision->edge_ns)
		text_printf(out, ",\"edge_mono_us\":%.3f,\"edge_to_decision_ms\":%.3f",
			    (double)decision->edge_ns / NS_PER_US,
			    (double)(int64_t)(decision->made.mono_ns - decision->edge_ns) /
				    NS_PER_MS);
	text_printf(out, ",\"replicas\":{\"before\":%d,\"wanted\":%d,\"decided\":%d}",
		    decision->replicas_before, decision->replicas_wanted,
		    decision->replicas_decided);
	text_printf(out, ",\"launched\":%u,\"failed\":%u,\"closed\":%s", decision->launched,
		    decision->failed, decision->closed ? "true" : "false");
	add_array(out, "signals", decision->signals);
	add_array(out, "arithmetic", decision->arithmetic);
	add_array(out, "limits", decision->limits);
	add_sources_json(decision, out);
	text_add(out, ",\"steps\":[");
	vec_for_each (step, &decision->steps) {
		time_format(step->wall_ns, when);
		text_printf(out, "%s{\"time\":\"%s\",\"mono_us\":%llu,\"text\":", first ? "" : ",",
			    when, (unsigned long long)(step->mono_ns / NS_PER_US));
		text_add_json(out, step->text);
		text_add_char(out, '}');
		first = false;
	}
	text_add(out, "]}");
}
