/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An instance's way from the edge to its first response, stage by stage, and what the whole fleet's
 * ways add up to.
 */
#include <math.h>

#include "core/drain.h"

/* An edge belongs to a decision that followed it at once; its clock may be another boot's. */
#define EDGE_WITHIN_NS (10 * NS_PER_S)
/* An agent that shows no response for so many times serving_after: nobody asks anything of it. */
#define IDLE_TIMES 3
#define HOUR_NS (3600 * NS_PER_S)

const double duration_bounds[DURATION_BUCKETS] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
						  1,	 2.5,  5,     10,   15,	 20,   30,
						  45,	 60,   90,    120,  180, 300,  600};

const char *launch_stage_text(enum launch_stage stage)
{
	static const char *const names[STAGE_COUNT] = {"called", "pending", "running", "connected",
						       "serving"};

	return (size_t)stage < STAGE_COUNT ? names[stage] : "ordered";
}

void duration_add(struct duration_histogram *histogram, double seconds)
{
	size_t bucket = 0;

	while (bucket < DURATION_BUCKETS && seconds > duration_bounds[bucket])
		bucket++;
	histogram->counts[bucket]++;
	histogram->count++;
	histogram->sum_seconds += seconds;
}

static double duration_share_above(const struct duration_histogram *histogram, double seconds)
{
	uint64_t above = histogram->count;

	for (size_t i = 0; i < DURATION_BUCKETS && duration_bounds[i] <= seconds; i++)
		above -= histogram->counts[i];
	return histogram->count ? (double)above / (double)histogram->count : NAN;
}

/* ---- one instance ---- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return !a || !b ? MAX(a, b) : MIN(a, b);
}

/* When it passed that stage; 0: not yet, or not known. An agent that reports is proof that its
 * instance runs, before EC2 has been asked again. */
static uint64_t stage_at(const struct instance *instance, enum launch_stage stage)
{
	switch (stage) {
	case STAGE_CALLED:
		return instance->sent_ns;
	case STAGE_PENDING:
		return instance->known_ns;
	case STAGE_RUNNING:
		return earlier(instance->running_ns, instance->connected_ns);
	case STAGE_CONNECTED:
		return instance->connected_ns;
	case STAGE_SERVING:
		return instance->serving_ns;
	case STAGE_COUNT:
		break;
	}
	return 0;
}

void instance_stage(const struct instance *instance, enum launch_stage *stage, uint64_t *at_ns)
{
	*stage = STAGE_PENDING;
	*at_ns = instance->known_ns;
	for (enum launch_stage s = STAGE_RUNNING; s < STAGE_COUNT; s++)
		if (stage_at(instance, s)) {
			*stage = s;
			*at_ns = stage_at(instance, s);
		}
	if (instance->serving)
		*stage = STAGE_SERVING;
}

/* The edge that led to it, or the decision where no edge did; 0: not known any more. */
static uint64_t begun_ns(const struct core *core, const struct instance *instance, bool *edge)
{
	const struct record *record = record_find(core, instance->decision);
	uint64_t made_ns, edge_ns;

	*edge = false;
	if (!record)
		return 0;
	made_ns = record->decision.made.mono_ns;
	edge_ns = record->decision.edge_ns;
	*edge = edge_ns && edge_ns <= made_ns && made_ns - edge_ns < EDGE_WITHIN_NS;
	return *edge ? edge_ns : made_ns;
}

static double seconds_between(uint64_t from_ns, uint64_t to_ns)
{
	return from_ns && to_ns ? (double)(to_ns - MIN(from_ns, to_ns)) / NS_PER_S : NAN;
}

/* A stage that left no trace (no agent) is part of the next one. */
static void way_of(const struct core *core, const struct instance *instance, struct launch_way *way)
{
	uint64_t begun = begun_ns(core, instance, &way->edge), before_ns = begun;

	way->latency = seconds_between(begun, instance->serving_ns);
	way->lead = seconds_between(instance->sent_ns, instance->serving_ns);
	for (enum launch_stage s = STAGE_CALLED; s < STAGE_COUNT; s++) {
		way->stages[s] = seconds_between(before_ns, stage_at(instance, s));
		if (stage_at(instance, s))
			before_ns = MAX(before_ns, stage_at(instance, s));
	}
}

void way_add(struct core *core, struct pool_state *pool, const char *instance_type,
	     const struct launch_way *way)
{
	struct timing *timing = &core->timing;

	if (way->latency >= 0) {
		duration_add(&timing->latency, way->latency);
		timing->latencies[timing->latencies_count++ % LATENCIES_KEPT] = way->latency;
	}
	for (enum launch_stage s = STAGE_CALLED; s < STAGE_COUNT; s++)
		if (way->stages[s] >= 0)
			duration_add(&timing->stages[s], way->stages[s]);
	if (pool && way->lead > 0)
		lead_time_learn(core, pool, instance_type, way->lead, way->proof);
}

/* Whether its first response can still be seen; else the clock decides. */
uint64_t instance_serves_at(const struct core *core, const struct instance *instance)
{
	const struct pool_state *pool = pool_find((struct core *)core, instance->pool);
	uint64_t after_ns = core->config.limits.serving_after_ns;

	if (instance->connected_ns)
		return instance->connected_ns + IDLE_TIMES * after_ns;
	if (!instance->running_ns)
		return UINT64_MAX;
	return instance->running_ns + (pool && pool->agents_known ? IDLE_TIMES : 1) * after_ns;
}

enum serving_proof instance_clock_proof(const struct core *core, const struct instance *instance)
{
	const struct pool_state *pool = pool_find((struct core *)core, instance->pool);

	return instance->connected_ns || (pool && pool->agents_known) ? PROOF_IDLE : PROOF_CLOCK;
}

/* ---- what agents tell ---- */

/* A policy that only looks at the processor names no listener: any will do, but for forerun's own,
 * which a scraper asks. */
static bool is_of_service(const struct policy *policy, const struct indicator *indicator)
{
	bool named = false;

	vec_for_each (metric, &policy->metrics) {
		if (metric->source == SOURCE_RESOURCE_CPU)
			continue;
		named = true;
		if (metric_takes(NULL, metric, indicator))
			return true;
	}
	return !named && strcmp(indicator->owner.process, "forerun") != 0;
}

/* Counters are not sent to a core: of an agent it has the rate of the last 3 s. */
bool indicator_responded(const struct indicator *indicator)
{
	return indicator->responses || indicator->value[METRIC_RESPONSES_PER_SECOND][STAT_SLOW] > 0;
}

bool listener_is_of(const struct core *core, const struct instance *instance,
		    const struct indicator *indicator)
{
	const struct policy_state *policy = policy_find((struct core *)core, instance->policy);

	/* Of one whose policy is gone nobody knows which listener was meant: all are. */
	return !policy || is_of_service(policy->policy, indicator);
}

static bool has_responded(struct core *core, struct instance *instance, const struct frame *frame)
{
	bool responded = false;

	for (size_t i = 0; i < frame->count && !responded; i++) {
		if (!listener_is_of(core, instance, &frame->indicators[i]))
			continue;
		if (!instance->listens) {
			instance->listens = true;
			route_look(core, instance);
		}
		responded = indicator_responded(&frame->indicators[i]);
	}
	return responded;
}

static void instance_connected(struct core *core, struct instance *instance, struct moment now)
{
	struct pool_state *pool = pool_find(core, instance->pool);

	instance->connected_ns = now.mono_ns;
	if (pool)
		pool->agents_known = true;
	if (instance->serving)
		return;
	journal_instance(core, instance, "connected", now);
	instance_step(core, instance, now, "agent connected");
}

void instance_heard(struct core *core, const struct frame *frame, struct moment now)
{
	struct instance *instance =
		*frame->instance_id ? instance_find(core, frame->instance_id) : NULL;

	if (!instance || instance->gone)
		return;
	instance->heard_ns = now.mono_ns;
	if (!instance->connected_ns)
		instance_connected(core, instance, now);
	if (instance_warm(instance))
		return;
	if (!instance->serving && has_responded(core, instance, frame))
		instance_serves(core, instance, PROOF_RESPONSE, now);
	if (instance->drain || !policy_find(core, instance->policy))
		drain_hear(core, instance, frame, now);
}

/* ---- what it cost, and what spot took away ---- */

static double hours_between(uint64_t from_ns, uint64_t to_ns)
{
	return from_ns && to_ns > from_ns ? (double)(to_ns - from_ns) / HOUR_NS : 0;
}

/* Launched under this journal: of what another one launched (a leader before, a lost disk) nobody
 * here knows how long it has served. */
static bool is_ours(const struct core *core, const struct instance *instance)
{
	return instance->sent_ns || record_find(core, instance->decision);
}

/* It serves from that moment on the wall clock. */
void account_served(struct core *core, const struct instance *instance, uint64_t wall_ns)
{
	double usd = instance->usd_per_hour * hours_between(instance->launched_wall_ns, wall_ns);

	if (!is_ours(core, instance))
		return;
	core->timing.served++;
	if (!isnan(usd))
		core->timing.usd_before_serving += usd;
}

/* sign -1 takes it back: it was only out of sight. */
static void account_end(struct core *core, const struct instance *instance, double sign)
{
	struct timing *timing = &core->timing;
	double hours = hours_between(instance->known_wall_ns, instance->gone_wall_ns);
	bool taken = instance->drain && instance->drain->reason == RETIRE_SPOT;
	bool interrupted = instance->seen && (!instance->terminating || taken);

	if (instance->capacity_type == CAPACITY_SPOT) {
		timing->spot_hours += sign * hours;
		if (interrupted)
			timing->spot_interruptions += sign > 0 ? 1 : UINT64_MAX;
	}
	if (!instance->serving && !isnan(instance->usd_per_hour) && is_ours(core, instance))
		timing->usd_before_serving += sign * hours * instance->usd_per_hour;
}

void account_gone(struct core *core, struct instance *instance, uint64_t wall_ns)
{
	if (instance->gone_wall_ns)
		return;
	instance->gone_wall_ns = MAX(wall_ns, 1);
	account_end(core, instance, 1);
}

void account_back(struct core *core, struct instance *instance)
{
	if (instance->gone_wall_ns)
		account_end(core, instance, -1);
	instance->gone_wall_ns = 0;
}

/* ---- the whole fleet ---- */

/* "serves: its first response, 38.1 s after the edge (called 0.0, pending 0.9, ...)" */
static void way_text(const struct launch_way *way, char told[CLOUD_TEXT_SIZE])
{
	static const char *const why[] = {
		[PROOF_CLOCK] = "it has run for so long",
		[PROOF_RESPONSE] = "its first response",
		[PROOF_IDLE] = "its agent reports, and nobody asked anything of it for long",
	};
	size_t at = (size_t)snprintf(told, CLOUD_TEXT_SIZE, "serves: %s", why[way->proof]);

	if (isnan(way->latency))
		return;
	at += (size_t)snprintf(told + at, CLOUD_TEXT_SIZE - at, ", %.1f s after the %s (",
			       way->latency, way->edge ? "edge" : "decision");
	for (enum launch_stage s = STAGE_CALLED; s < STAGE_COUNT; s++)
		if (!isnan(way->stages[s]))
			at += (size_t)snprintf(told + at, CLOUD_TEXT_SIZE - at, "%s %.1f%s",
					       launch_stage_text(s), way->stages[s],
					       s == STAGE_SERVING ? ")" : ", ");
}

/* Remembers how it came to serve, learns from it, and tells it. */
void instance_way_over(struct core *core, struct instance *instance, enum serving_proof proof,
		       struct moment now, char told[CLOUD_TEXT_SIZE])
{
	struct pool_state *pool = pool_find(core, instance->pool);
	struct launch_way way = {.proof = proof, .latency = NAN, .lead = NAN};

	instance->serving_ns = now.mono_ns;
	account_served(core, instance, now.wall_ns);
	if (proof != PROOF_IDLE)
		way_of(core, instance, &way);
	way_text(&way, told);
	if (isnan(way.latency) && isnan(way.lead))
		return; /* another one launched it, or it teaches nothing */
	way_add(core, pool, instance->instance_type, &way);
	if (pool)
		source_learn(pool, instance->source, way.lead);
	journal_lead(core, instance, &way, now);
}

static int double_compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static void latency_quantiles(const struct timing *timing, struct core_times *out)
{
	size_t count = MIN(timing->latencies_count, (uint64_t)LATENCIES_KEPT);
	double sorted[LATENCIES_KEPT];

	out->latency_p50 = out->latency_p95 = NAN;
	if (!count)
		return;
	memcpy(sorted, timing->latencies, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), double_compare);
	out->latency_p50 = sorted[(count - 1) / 2];
	out->latency_p95 = sorted[(size_t)ceil(0.95 * (double)count) - 1];
}

void core_times(const struct core *core, struct moment now, struct core_times *out)
{
	const struct timing *timing = &core->timing;

	*out = (struct core_times){.latency = timing->latency,
				   .spot_interruptions = timing->spot_interruptions,
				   .spot_hours = timing->spot_hours,
				   .served = timing->served,
				   .usd_before_serving = timing->usd_before_serving};
	memcpy(out->stages, timing->stages, sizeof(out->stages));
	latency_quantiles(timing, out);
	out->share_over_15 = duration_share_above(&timing->latency, 15);
	out->share_over_60 = duration_share_above(&timing->latency, 60);
	vec_for_each (it, &core->instances)
		if (!(*it)->gone && (*it)->capacity_type == CAPACITY_SPOT)
			out->spot_hours += hours_between((*it)->known_wall_ns, now.wall_ns);
	out->interruptions_per_hour =
		out->spot_hours > 0 ? (double)out->spot_interruptions / out->spot_hours : NAN;
	out->usd_per_replica = out->served ? out->usd_before_serving / (double)out->served : NAN;
}
