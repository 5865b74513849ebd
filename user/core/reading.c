/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From frames to readings. Of each host's newest frame only what the policies of its services ask
 * of it is kept: one contribution for each metric. Which listeners a selector takes is worked out
 * once per listener, not once per frame; frames may bring them in any order.
 */
#include <math.h>

#include "core/core_private.h"

/* What a selector may ask of the host itself; everything else is asked of the listener. */
static const char *host_label(const struct member *member, const char *key)
{
	if (strcmp(key, "host") == 0)
		return member->host->host;
	if (strcmp(key, "instance_id") == 0)
		return member->host->instance_id;
	return NULL;
}

bool is_host_label(const char *key)
{
	return strcmp(key, "host") == 0 || strcmp(key, "instance_id") == 0;
}

static bool selector_takes(const struct member *member, const struct label_terms *selector,
			   const struct indicator *indicator)
{
	char buffer[300];

	vec_for_each (term, &selector->list) {
		const char *value = member ? host_label(member, term->key) : NULL;

		if (!member && is_host_label(term->key))
			continue;
		if (!value && indicator_label(indicator, term->key, buffer, sizeof(buffer)) == 0)
			value = buffer;
		if (!label_term_matches(term, value && *value ? value : NULL))
			return false;
	}
	return true;
}

static bool container_takes(const char *container, const struct owner *owner)
{
	return str_equal(container, owner->name) || str_equal(container, owner->unit) ||
	       str_equal(container, owner->container_id) || str_equal(container, owner->process);
}

bool metric_takes(const struct member *member, const struct policy_metric *metric,
		  const struct indicator *indicator)
{
	switch (metric->source) {
	case SOURCE_EXTERNAL:
		return selector_takes(member, &metric->selector, indicator);
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

/* ---- which metrics take which listener ---- */

static size_t more_words(const struct service *service)
{
	return service->metrics_count ? (service->metrics_count - 1) / 64 : 0;
}

static uint64_t *match_word(struct member *member, size_t slot, size_t word)
{
	if (!word)
		return &member->matches.at[slot].bits;
	return &member->more_bits.at[slot * more_words(member->service) + word - 1];
}

static void match_one(struct member *member, size_t slot, const struct indicator *indicator)
{
	const struct service *service = member->service;

	for (size_t word = 0; word <= more_words(service); word++)
		*match_word(member, slot, word) = 0;
	for (size_t m = 0; m < service->metrics_count; m++)
		if (metric_takes(member, service->metrics[m].metric, indicator))
			*match_word(member, slot, m / 64) |= 1ULL << (m % 64);
}

static void matches_clear(struct member *member)
{
	vec_clear(&member->matches);
	vec_clear(&member->more_bits);
	map_free(&member->matches_by_id);
}

/* Listeners mostly come in the order of the frame before. */
static size_t slot_of(struct member *member, size_t index, uint64_t id)
{
	size_t known;

	if (index < member->matches.count && member->matches.at[index].id == id)
		return index;
	known = (size_t)(uintptr_t)map_get(&member->matches_by_id, id);
	if (known)
		return known - 1;
	*vec_push(&member->matches) = (struct match){.id = id, .owner = UINT64_MAX};
	for (size_t word = 0; word < more_words(member->service); word++)
		vec_push(&member->more_bits);
	map_put(&member->matches_by_id, id, (void *)(uintptr_t)member->matches.count);
	return member->matches.count - 1;
}

/* Afterwards core->slots says for each indicator where its match stands. */
static void match_all(struct core *core, struct member *member, const struct frame *frame)
{
	if (member->matches.count > 2 * frame->count + 64)
		matches_clear(member); /* of listeners long gone, too */
	vec_clear(&core->slots);
	for (size_t i = 0; i < frame->count; i++) {
		const struct indicator *indicator = &frame->indicators[i];
		size_t slot = slot_of(member, i, indicator->id);
		uint64_t owner = owner_print(&indicator->owner);

		*vec_push(&core->slots) = (uint32_t)slot;
		if (member->matches.at[slot].owner == owner)
			continue;
		member->matches.at[slot].owner = owner;
		match_one(member, slot, indicator);
	}
}

/* One metric of one host's frame. */
struct look {
	const struct core *core;
	struct member *member;
	const struct frame *frame;
	size_t m;
	uint64_t newest_ns;
	bool leaving;
};

static bool takes(const struct look *look, size_t indicator)
{
	uint64_t word = *match_word(look->member, look->core->slots.at[indicator], look->m / 64);

	return word & (1ULL << (look->m % 64));
}

static const struct policy_metric *metric_of(const struct look *look)
{
	return look->member->service->metrics[look->m].metric;
}

/* ---- who speaks ---- */

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

/* Where and whose it is does not change while the listener is the same. */
static void speaker_keep(struct witness *witness, const struct indicator *who)
{
	if (witness->id != who->id || !*witness->address) {
		witness->id = who->id;
		indicator_address(who, witness->address);
	}
	text_copy(witness->owner, sizeof(witness->owner), who->owner.name);
	witness->diagnosis = who->diagnosis;
	witness->left_out = capacity_would_not_help(who->diagnosis);
	text_copy(witness->reason, sizeof(witness->reason), who->reason);
}

static void speakers_keep(const struct speakers *speakers, struct testimony *out)
{
	out->count = 0;
	for (size_t i = 0; i < speakers->count; i++) {
		struct witness *witness = &out->at[out->count];

		/* One that has nothing to say is enough. */
		if (i && !(speakers->value[i] > 0))
			continue;
		speaker_keep(witness, speakers->who[i]);
		witness->value = speakers->value[i];
		witness->age_ns = speakers->age_ns[i];
		out->count++;
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

static uint64_t indicator_age(const struct look *look, const struct indicator *indicator)
{
	return look->frame->age_ns + (look->newest_ns - MIN(look->newest_ns, indicator->time_ns));
}

static void contribute_external(const struct look *look, struct contribution *out)
{
	const struct policy_metric *metric = metric_of(look);
	struct speakers speakers = {0};

	for (size_t i = 0; i < look->frame->count; i++) {
		const struct indicator *indicator = &look->frame->indicators[i];
		uint64_t age_ns;
		double value;

		if (!takes(look, i))
			continue;
		out->matched++;
		age_ns = indicator_age(look, indicator);
		value = indicator->value[metric->metric][metric->statistic];
		if (age_ns > look->core->config.limits.stale_ns) {
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
	speakers_keep(&speakers, &look->member->testimonies[look->m]);
}

/* Several listeners of one owner share its CPU: it is counted once. */
static bool owner_counted(struct map *counted, const struct owner *owner)
{
	return map_put(counted, owner->cgroup_id, counted) != NULL;
}

static void contribute_container(const struct look *look, struct contribution *out)
{
	const struct policy_metric *metric = metric_of(look);
	struct map counted = {0};

	for (size_t i = 0; i < look->frame->count; i++) {
		const struct indicator *indicator = &look->frame->indicators[i];
		double cores = indicator->value[METRIC_CPU_CORES][STAT_FAST];
		double share = indicator->value[METRIC_CPU_UTILIZATION][STAT_FAST];
		uint64_t age_ns = indicator_age(look, indicator);

		if (!takes(look, i) || owner_counted(&counted, &indicator->owner))
			continue;
		out->matched++;
		if (age_ns > look->core->config.limits.stale_ns) {
			out->stale++;
		} else if (isnan(cores)) {
			out->unknown++;
		} else {
			out->age_ns = MAX(out->age_ns, age_ns);
			out->limit += share > 0 ? cores / share : look->frame->host_cpus;
			add_indicator(out, indicator, metric, cores);
		}
	}
	map_free(&counted);
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

/* Of another host: no figure of it may be one that no host can have. */
static void distrust(struct contribution *out)
{
	if (!isfinite(out->usage) || !isfinite(out->usage_up) || !isfinite(out->limit)) {
		*out = (struct contribution){
			.matched = out->matched, .unknown = out->matched, .leaving = out->leaving};
		return;
	}
	out->usage = MAX(out->usage, 0);
	out->usage_up = MAX(out->usage_up, 0);
	out->limit = MAX(out->limit, 0);
	if (!isfinite(out->fast_up) || !isfinite(out->trend_up)) {
		out->fast_up = out->usage_up;
		out->trend_up = NAN;
	}
}

static void contribute(const struct look *look)
{
	struct contribution *out =
		&look->member->service->contributions[look->m].list.at[look->member->at];

	memset(out, 0, sizeof(*out));
	out->leaving = look->leaving;
	switch (metric_of(look)->source) {
	case SOURCE_EXTERNAL:
		contribute_external(look, out);
		break;
	case SOURCE_CONTAINER_CPU:
		contribute_container(look, out);
		break;
	case SOURCE_RESOURCE_CPU:
		contribute_host(look->frame, out);
		break;
	}
	if (look->core->config.fleet)
		distrust(out);
}

/* Keeps what the policies of its services need of this host's newest frame. */
void frame_take(struct core *core, struct host_view *host, const struct frame *frame)
{
	struct look look = {.core = core, .frame = frame, .leaving = host_is_leaving(core, host)};

	for (size_t i = 0; i < frame->count; i++) {
		look.newest_ns = MAX(look.newest_ns, frame->indicators[i].time_ns);
		host->responded |= indicator_responded(&frame->indicators[i]);
	}
	vec_for_each (member, &host->members) {
		look.member = *member;
		match_all(core, *member, frame);
		for (look.m = 0; look.m < (*member)->service->metrics_count; look.m++)
			contribute(&look);
	}
}
