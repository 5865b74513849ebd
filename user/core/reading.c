/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From frames to readings. Of each host's newest frame only what policies ask of it is kept: one
 * contribution for each metric of each policy. Which listeners a selector takes is worked out once
 * per listener, not once per frame.
 */
#include <math.h>

#include "core/core_private.h"

void host_view_free(struct host_view *view)
{
	if (!view)
		return;
	free(view->contributions);
	free(view->match_bits);
	vec_free(&view->matches);
	free(view);
}

static bool selector_takes(const struct label_terms *selector, const struct indicator *indicator)
{
	char value[300];

	vec_for_each (term, &selector->list) {
		bool known = indicator_label(indicator, term->key, value, sizeof(value)) == 0;

		if (!label_term_matches(term, known && *value ? value : NULL))
			return false;
	}
	return true;
}

static bool container_takes(const char *container, const struct owner *owner)
{
	return str_equal(container, owner->name) || str_equal(container, owner->unit) ||
	       str_equal(container, owner->container_id) || str_equal(container, owner->process);
}

bool metric_takes(const struct policy_metric *metric, const struct indicator *indicator)
{
	switch (metric->source) {
	case SOURCE_EXTERNAL:
		return selector_takes(&metric->selector, indicator);
	case SOURCE_CONTAINER_CPU:
		return container_takes(metric->container, &indicator->owner);
	case SOURCE_RESOURCE_CPU:
		break;
	}
	return false;
}

/* An owner is found out after its listener: then labels are compared again. */
static uint64_t owner_print(const struct owner *owner)
{
	uint64_t name, process;

	memcpy(&name, owner->name, sizeof(name));
	memcpy(&process, owner->process, sizeof(process));
	return (owner->cgroup_id * 31 + (uint64_t)owner->kind) ^ name ^ (process << 1);
}

static size_t words_of(const struct core *core)
{
	return (core->metrics_count + 63) / 64;
}

static void match_one(const struct core *core, const struct indicator *indicator, uint64_t *bits)
{
	memset(bits, 0, words_of(core) * sizeof(*bits));
	for (size_t m = 0; m < core->metrics_count; m++)
		if (metric_takes(core->metrics[m].metric, indicator))
			bits[m / 64] |= 1ULL << (m % 64);
}

static void match_all(const struct core *core, struct host_view *view, const struct frame *frame)
{
	size_t words = words_of(core);

	if (!words)
		return; /* no policy selects anything */
	if (view->match_bits_count < frame->count * words) {
		size_t capacity = view->match_bits_count;

		view->match_bits = vec_grow(view->match_bits, &capacity, frame->count * words,
					    sizeof(*view->match_bits));
		view->match_bits_count = capacity;
	}
	for (size_t i = 0; i < frame->count; i++) {
		const struct indicator *indicator = &frame->indicators[i];
		struct match is = {indicator->id, owner_print(&indicator->owner)};

		if (i >= view->matches.count)
			*vec_push(&view->matches) = (struct match){0};
		else if (view->matches.at[i].id == is.id && view->matches.at[i].owner == is.owner)
			continue;
		view->matches.at[i] = is;
		match_one(core, indicator, &view->match_bits[i * words]);
	}
}

/* More machines do nothing for these: they do not count towards buying any. */
static bool capacity_would_not_help(enum diagnosis diagnosis)
{
	return diagnosis == DIAGNOSIS_APP_STALLED || diagnosis == DIAGNOSIS_BACKLOG_TOO_SMALL ||
	       diagnosis == DIAGNOSIS_ATTACK_OR_SCAN;
}

/* What is worth saying first: what was left out, then the largest value. */
static bool speaks_before(const struct indicator *a, double a_value, const struct indicator *b,
			  double b_value)
{
	bool a_out = capacity_would_not_help(a->diagnosis);
	bool b_out = capacity_would_not_help(b->diagnosis);

	return a_out != b_out ? a_out : a_value > b_value;
}

struct speakers {
	const struct indicator *who[WITNESSES];
	double value[WITNESSES];
	uint64_t age_ns[WITNESSES];
	size_t count;
};

static void speakers_offer(struct speakers *speakers, const struct indicator *who, double value,
			   uint64_t age_ns)
{
	size_t at = speakers->count;

	while (at && speaks_before(who, value, speakers->who[at - 1], speakers->value[at - 1]))
		at--;
	if (at == WITNESSES)
		return;
	if (speakers->count < WITNESSES)
		speakers->count++;
	for (size_t i = speakers->count - 1; i > at; i--) {
		speakers->who[i] = speakers->who[i - 1];
		speakers->value[i] = speakers->value[i - 1];
		speakers->age_ns[i] = speakers->age_ns[i - 1];
	}
	speakers->who[at] = who;
	speakers->value[at] = value;
	speakers->age_ns[at] = age_ns;
}

static void speakers_keep(const struct speakers *speakers, struct contribution *out)
{
	out->witnesses_count = speakers->count;
	for (size_t i = 0; i < speakers->count; i++) {
		struct witness *witness = &out->witnesses[i];
		const struct indicator *who = speakers->who[i];

		indicator_address(who, witness->address);
		set_text(witness->owner, who->owner.name);
		witness->value = speakers->value[i];
		witness->age_ns = speakers->age_ns[i];
		witness->diagnosis = who->diagnosis;
		witness->left_out = capacity_would_not_help(who->diagnosis);
		set_text(witness->reason, who->reason);
	}
}

/* A processor in use is load by itself, whatever comes in at the listener. */
static bool is_of_the_processor(enum metric metric)
{
	return metric == METRIC_CPU_CORES || metric == METRIC_CPU_UTILIZATION ||
	       metric == METRIC_CPU_THROTTLED_RATIO || metric == METRIC_CPU_PRESSURE_RATIO;
}

static void add_indicator(struct contribution *out, const struct indicator *indicator,
			  const struct policy_metric *metric, double value)
{
	enum metric which =
		metric->source == SOURCE_CONTAINER_CPU ? METRIC_CPU_CORES : metric->metric;

	out->usage += value;
	if (capacity_would_not_help(indicator->diagnosis) && metric->source == SOURCE_EXTERNAL) {
		out->left_out++;
		return;
	}
	out->usage_up += value;
	out->fast_up += indicator->value[which][STAT_FAST];
	out->trend_up += indicator->value[which][STAT_TREND];
	out->pressing += is_of_the_processor(which) || indicator->diagnosis != DIAGNOSIS_IDLE;
}

static uint64_t indicator_age(const struct frame *frame, const struct indicator *indicator,
			      uint64_t newest_ns)
{
	return frame->age_ns + (newest_ns - MIN(newest_ns, indicator->time_ns));
}

static void contribute_external(const struct core *core, const struct host_view *view,
				const struct frame *frame, size_t m, uint64_t newest_ns,
				struct contribution *out)
{
	const struct policy_metric *metric = core->metrics[m].metric;
	struct speakers speakers = {0};
	size_t words = words_of(core);

	for (size_t i = 0; i < frame->count; i++) {
		const struct indicator *indicator = &frame->indicators[i];
		uint64_t age_ns;
		double value;

		if (!(view->match_bits[i * words + m / 64] & (1ULL << (m % 64))))
			continue;
		out->matched++;
		age_ns = indicator_age(frame, indicator, newest_ns);
		value = indicator->value[metric->metric][metric->statistic];
		if (age_ns > core->config.limits.stale_ns) {
			out->stale++;
			continue;
		}
		if (isnan(value)) {
			out->unknown++;
			continue;
		}
		out->age_ns = MAX(out->age_ns, age_ns);
		add_indicator(out, indicator, metric, value);
		speakers_offer(&speakers, indicator, value, age_ns);
	}
	speakers_keep(&speakers, out);
}

/* Several listeners of one owner share its CPU: it is counted once. */
static bool owner_counted(const struct core *core, const struct host_view *view,
			  const struct frame *frame, size_t m, size_t before)
{
	size_t words = words_of(core);

	for (size_t i = 0; i < before; i++)
		if (view->match_bits[i * words + m / 64] & (1ULL << (m % 64)) &&
		    frame->indicators[i].owner.cgroup_id ==
			    frame->indicators[before].owner.cgroup_id)
			return true;
	return false;
}

static void contribute_container(const struct core *core, const struct host_view *view,
				 const struct frame *frame, size_t m, uint64_t newest_ns,
				 struct contribution *out)
{
	const struct policy_metric *metric = core->metrics[m].metric;
	size_t words = words_of(core);

	for (size_t i = 0; i < frame->count; i++) {
		const struct indicator *indicator = &frame->indicators[i];
		double cores = indicator->value[METRIC_CPU_CORES][STAT_FAST];
		double share = indicator->value[METRIC_CPU_UTILIZATION][STAT_FAST];
		uint64_t age_ns = indicator_age(frame, indicator, newest_ns);

		if (!(view->match_bits[i * words + m / 64] & (1ULL << (m % 64))) ||
		    owner_counted(core, view, frame, m, i))
			continue;
		out->matched++;
		if (age_ns > core->config.limits.stale_ns) {
			out->stale++;
		} else if (isnan(cores)) {
			out->unknown++;
		} else {
			out->age_ns = MAX(out->age_ns, age_ns);
			out->limit += share > 0 ? cores / share : frame->host_cpus;
			add_indicator(out, indicator, metric, cores);
		}
	}
}

static void contribute_host(const struct frame *frame, struct contribution *out)
{
	out->matched = 1;
	out->age_ns = frame->age_ns;
	if (isnan(frame->host_cpu_cores) || !(frame->host_cpus > 0)) {
		out->unknown = 1;
		return;
	}
	out->usage = out->usage_up = frame->host_cpu_cores;
	out->limit = frame->host_cpus;
	out->fast_up = frame->host_cpu_cores;
	out->trend_up = NAN;
	out->pressing = 1;
}

static struct host_view *host_find(struct core *core, const char *host)
{
	struct host_view *view;

	vec_for_each (it, &core->hosts)
		if (strcmp((*it)->host, host) == 0)
			return *it;
	view = calloc(1, sizeof(*view));
	if (!view)
		return NULL;
	view->contributions = calloc(MAX(core->metrics_count, 1), sizeof(*view->contributions));
	if (!view->contributions) {
		free(view);
		return NULL;
	}
	set_text(view->host, host);
	*vec_push(&core->hosts) = view;
	return view;
}

/* Keeps what the policies need of this host's newest frame. */
void frame_take(struct core *core, const struct frame *frame, struct moment now)
{
	struct host_view *view = host_find(core, frame->host);
	uint64_t newest_ns = 0;

	if (!view)
		return;
	view->received_ns = now.mono_ns;
	view->age_ns = frame->age_ns;
	for (size_t i = 0; i < frame->count; i++)
		newest_ns = MAX(newest_ns, frame->indicators[i].time_ns);
	match_all(core, view, frame);
	for (size_t m = 0; m < core->metrics_count; m++) {
		struct contribution *out = &view->contributions[m];

		memset(out, 0, sizeof(*out));
		switch (core->metrics[m].metric->source) {
		case SOURCE_EXTERNAL:
			contribute_external(core, view, frame, m, newest_ns, out);
			break;
		case SOURCE_CONTAINER_CPU:
			contribute_container(core, view, frame, m, newest_ns, out);
			break;
		case SOURCE_RESOURCE_CPU:
			contribute_host(frame, out);
			break;
		}
	}
}
