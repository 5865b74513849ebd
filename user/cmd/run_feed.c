/* SPDX-License-Identifier: Apache-2.0 */
/* From the kernel to the core, in this process or over the wire: the tick, and the edge that does
 * not wait for it. */
#include <math.h>

#include "cmd/run.h"

#define HOST_WINDOW_NS (300 * NS_PER_MS)

/* An agent: after an edge the queue may go on growing without another one, so every tick is
 * reported for a while; and a listener that trembles about its threshold sends no more than a core
 * takes of one agent. */
#define LIVELY_NS NS_PER_S
#define LIVELY_EVERY_NS (100 * NS_PER_MS)
#define EDGES_AT_ONCE 10.0
#define EDGES_PER_SECOND 20.0

static void fill_frame(struct run *run, enum frame_kind kind, struct frame *frame)
{
	*frame = (struct frame){
		.kind = kind,
		.sequence = ++run->sequence,
		.host_usage = run->host_usage,
		.host_cpu_cores = run->host_cpu_cores,
		.host_cpus = run->host_cpus,
	};
	memcpy(frame->host, run->host, sizeof(frame->host));
	memcpy(frame->instance_id, run->instance_id, sizeof(frame->instance_id));
	memcpy(frame->services, run->services, sizeof(frame->services));
	notices_fill(run, frame, time_mono_ns());
	frame->count = signal_indicators_for(run->signal, run->policy_metrics, &frame->indicators);
}

static bool edge_may_pass(struct run *run, uint64_t now_ns)
{
	struct edge_budget *budget = &run->edges;
	double came = (double)(now_ns - budget->time_ns) / (double)NS_PER_S * EDGES_PER_SECOND;

	budget->left = MIN(budget->left + came, EDGES_AT_ONCE);
	budget->time_ns = now_ns;
	if (budget->left < 1)
		return false;
	budget->left -= 1;
	return true;
}

static void send_edge(struct run *run, const struct frame *frame, struct moment now)
{
	run->lively_until_ns = now.mono_ns + LIVELY_NS;
	if (edge_may_pass(run, now.mono_ns))
		agent_send(run, frame);
}

/* The path that is measured from the kernel's edge to CreateFleet on the wire: nothing is
 * formatted, logged or drawn before the core has had its say. */
static void on_edge(void *arg, const struct edge *edge)
{
	struct run *run = arg;
	struct frame frame;
	struct moment now;

	if (signal_edge(run->signal, edge) < 0)
		return; /* not sampled yet: the next tick has it */
	now = time_now();
	fill_frame(run, FRAME_EDGE, &frame);
	frame.edge_ns = edge->time_ns;
	frame.age_ns = now.mono_ns > edge->time_ns ? now.mono_ns - edge->time_ns : 0;
	if (run->core)
		core_frame(run->core, &frame, now);
	else
		send_edge(run, &frame, now);
}

/* ---- thresholds ---- */

static bool selects(const struct label_terms *selector, const struct indicator *indicator)
{
	vec_for_each (term, &selector->list) {
		char value[320];
		bool known;

		if (is_host_label(term->key))
			continue; /* there is one host */
		known = indicator_label(indicator, term->key, value, sizeof(value)) == 0;

		if (!label_term_matches(term, known ? value : NULL))
			return false;
	}
	return true;
}

/* The first depth at which this metric asks for more replicas: an average's target holds for each
 * replica, and the tolerance comes on top. */
static double depth_that_scales(const struct policy_status *status,
				const struct policy_metric *metric)
{
	double target = metric->target;

	if (metric->target_type == TARGET_AVERAGE_VALUE)
		target *= MAX(status->replicas, 1);
	return floor(target * (1 + status->policy->up.tolerance)) + 1;
}

/* The smallest such depth of all policies that select this listener; infinite: none does. */
static double depth_of_policies(const struct run *run, const struct indicator *indicator)
{
	const struct policy_status *status;
	size_t count = core_policies(run->core, &status);
	double least = INFINITY;

	for (size_t i = 0; i < count; i++)
		vec_for_each (metric, &status[i].policy->metrics)
			if (metric->source == SOURCE_EXTERNAL &&
			    metric->metric == METRIC_ACCEPT_QUEUE_DEPTH &&
			    selects(&metric->selector, indicator))
				least = MIN(least, depth_that_scales(&status[i], metric));
	return least;
}

/* Edges look at one socket, a target at the sum of the group. */
static uint32_t threshold_of(const struct run *run, const struct indicator *indicator)
{
	double least = INFINITY;

	if (run->core)
		least = depth_of_policies(run, indicator);
	else if (run->wire_edge_depth)
		least = run->wire_edge_depth;
	if (isinf(least))
		return (uint32_t)run->options->edge_depth;
	least = ceil(least / MAX(indicator->sockets, 1U));
	return (uint32_t)CLAMP(least, 1.0, (double)EDGE_DEPTH_MOST);
}

/* True when a policy has another number of replicas than at the last call, or a core asks for
 * another depth. */
static bool targets_changed(struct run *run)
{
	const struct policy_status *status;
	size_t count = run->core ? core_policies(run->core, &status) : 0;
	uint64_t before = run->replicas_hash;

	run->replicas_hash = run->wire_edge_depth;
	for (size_t i = 0; i < count; i++)
		run->replicas_hash = run->replicas_hash * 31 + (uint32_t)status[i].replicas;
	return run->replicas_hash != before;
}

/* Each listener gets its threshold when it is first seen, when its group grows, and when there are
 * more or fewer replicas. */
static void set_thresholds(struct run *run)
{
	const struct indicator *indicators;
	size_t count = signal_indicators_for(run->signal, 0, &indicators);

	/* Of listeners long gone, too. */
	if (targets_changed(run) || run->thresholds.count > 4 * (count + 1024))
		map_free(&run->thresholds);
	for (size_t i = 0; i < count; i++) {
		uint64_t key = indicators[i].id;
		uint64_t stamp = indicators[i].sockets + 1ULL;
		uint32_t depth;

		if ((uint64_t)(uintptr_t)map_get(&run->thresholds, key) == stamp)
			continue;
		map_put(&run->thresholds, key, (void *)(uintptr_t)stamp);
		depth = threshold_of(run, &indicators[i]);
		if (probe_set_edge_depth(run->probe, indicators[i].slot, depth) < 0)
			log_debug("cannot set the edge depth of slot %u to %u", indicators[i].slot,
				  depth);
	}
}

/* ---- the tick ---- */

/* Cores in use over the fast window, from the counters of the last ticks. */
static void sample_host(struct run *run, uint64_t now_ns)
{
	const struct host_sample *then = NULL;
	size_t kept = MIN(run->host_count, (size_t)RUN_HOST_SAMPLES);

	if (place_host(run->place, now_ns, &run->host_usage) < 0 || !run->host_usage.cpu_known)
		return;
	if (run->host_usage.cpu_limit_known)
		run->host_cpus = run->host_usage.cpu_limit_cores;
	for (size_t back = 1; back <= kept; back++) {
		then = &run->host_samples[(run->host_count - back) % RUN_HOST_SAMPLES];
		if (now_ns - then->time_ns >= HOST_WINDOW_NS)
			break;
	}
	if (then && now_ns > then->time_ns && run->host_usage.cpu_ns >= then->cpu_ns)
		run->host_cpu_cores = (double)(run->host_usage.cpu_ns - then->cpu_ns) /
				      (double)(now_ns - then->time_ns);
	run->host_samples[run->host_count++ % RUN_HOST_SAMPLES] =
		(struct host_sample){now_ns, run->host_usage.cpu_ns};
}

static void record_sample(struct run *run, const struct sample *sample, const struct placed *placed)
{
	int r;

	if (!run->record)
		return;
	r = lab_record(run->record, sample, placed, &run->host_usage);
	if (r == 0)
		return;
	log_error("cannot write the recording %s: %s; recording stops", run->options->record,
		  strerror(-r));
	fclose(TAKE(run->record));
}

static int sample_all(struct run *run, uint64_t now_ns)
{
	const struct sample *sample;
	const struct placed *placed;
	int r = probe_sample(run->probe, now_ns, &sample);

	if (r < 0)
		return r;
	run->health = sample->health;
	r = place_sample(run->place, sample, &placed);
	if (r < 0)
		return r;
	sample_host(run, now_ns);
	record_sample(run, sample, placed);
	r = signal_feed(run->signal, sample, placed);
	if (r == 0)
		run->sampled_ns = sample->time_ns;
	return r;
}

/* The newest sample as a frame. */
static struct moment fill_tick(struct run *run, struct frame *frame)
{
	struct moment now = time_now();

	fill_frame(run, FRAME_TICK, frame);
	frame->age_ns = now.mono_ns > run->sampled_ns ? now.mono_ns - run->sampled_ns : 0;
	return now;
}

/* Half an interval early rather than half an interval late. */
static bool report_is_due(const struct run *run, uint64_t now_ns)
{
	uint64_t every_ns = now_ns < run->lively_until_ns
				    ? MIN(LIVELY_EVERY_NS, run->options->report_ns)
				    : run->options->report_ns;

	return now_ns + run->options->interval_ns / 2 >= run->reported_ns + every_ns;
}

static void send_tick(struct run *run)
{
	struct frame frame;

	if (!report_is_due(run, time_mono_ns()))
		return;
	run->reported_ns = fill_tick(run, &frame).mono_ns;
	agent_send(run, &frame);
}

static void core_takes_tick(struct run *run)
{
	struct frame frame;
	struct moment now = fill_tick(run, &frame);

	core_frame(run->core, &frame, now);
}

void feed_report(struct run *run, struct wire_agent *agent)
{
	uint64_t now_ns = time_mono_ns();
	struct frame frame;

	if (!run->signal || sample_all(run, now_ns) < 0)
		return; /* the next tick says why */
	fill_tick(run, &frame);
	wire_agent_send(agent, &frame);
}

void feed_notices(struct run *run)
{
	struct frame frame;

	if (!run->signal)
		return; /* the first tick has them */
	if (run->core) {
		core_takes_tick(run);
		return;
	}
	fill_tick(run, &frame);
	agent_send(run, &frame);
}

static void on_tick(void *arg, uint64_t now_ns)
{
	struct run *run = arg;
	int r = sample_all(run, time_mono_ns());
	uint64_t sampled_ns = time_mono_ns();

	if (r < 0) {
		log_warning("cannot read the listeners: %s; trying again in %llu ms", strerror(-r),
			    (unsigned long long)(run->options->interval_ns / NS_PER_MS));
	} else {
		if (run->core)
			core_takes_tick(run);
		else
			send_tick(run);
		set_thresholds(run);
		pat_watchdog(run, now_ns);
	}
	/* Behind by more than an interval: go on from here instead of catching up. */
	run->tick_at_ns += run->options->interval_ns;
	if (run->tick_at_ns < sampled_ns) {
		run->tick_overruns++;
		run->tick_at_ns = sampled_ns + run->options->interval_ns;
	}
	loop_timer_at(run->tick_timer, run->tick_at_ns);
}

static int open_rooms(struct run *run)
{
	struct probe_config probe;
	struct signal_config signal;
	struct place_config place = {.usage_every_ms = 100};
	int r = place_new(&place, &run->place);

	if (r < 0) {
		log_error("cannot find owners: %s; is a cgroup2 file system mounted?",
			  strerror(-r));
		return r;
	}
	run->host_cpu_cores = NAN;
	if (place_host(run->place, time_mono_ns(), &run->host_usage) == 0)
		run->host_cpus = run->host_usage.cpu_limit_cores;
	signal_config_default(&signal);
	signal.host_cpus = run->host_cpus;
	r = signal_new(&signal, &run->signal);
	if (r < 0)
		return r;
	probe_config_default(&probe);
	probe.listeners_max = (uint32_t)run->options->listeners_max;
	probe.connections_max = (uint32_t)run->options->connections_max;
	probe.edge_depth = (uint32_t)run->options->edge_depth;
	probe.rescan_ms = (uint32_t)(run->options->rescan_ns / NS_PER_MS);
	probe.pin_path = run->options->pin;
	return probe_new(&probe, &run->probe);
}

/* Of which the core reads values: a bit each. */
static uint32_t metrics_of_policies(const struct documents *documents)
{
	uint32_t metrics = 0;

	vec_for_each (policy, &documents->policies)
		vec_for_each (metric, &policy->metrics)
			metrics |= metric->source == SOURCE_EXTERNAL
					   ? 1U << metric->metric
					   : 1U << METRIC_CPU_CORES | 1U << METRIC_CPU_UTILIZATION;
	return metrics;
}

int feed_start(struct run *run)
{
	int r = open_rooms(run);

	run->policy_metrics |= metrics_of_policies(&run->documents);
	if (r < 0)
		return r;
	r = loop_timer_new(run->loop, on_tick, run, &run->tick_timer);
	if (r < 0)
		return r;
	run->tick_at_ns = time_mono_ns();
	loop_timer_at(run->tick_timer, run->tick_at_ns);
	return probe_watch_edges(run->probe, run->loop, on_edge, run);
}

void feed_stop(struct run *run)
{
	loop_timer_free(run->tick_timer);
	probe_free(run->probe);
	signal_free(run->signal);
	place_free(run->place);
	map_free(&run->thresholds);
}
