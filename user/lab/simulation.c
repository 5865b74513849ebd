/* SPDX-License-Identifier: Apache-2.0 */
/* The same signal and core as in `forerun run`, on a clock that only the samples move. */
#include <math.h>

#include "lab/lab_private.h"

#define STATE_EVERY_NS (5 * NS_PER_S)
#define SIMULATED_1970 (1000000000 * NS_PER_S)

void lab_config_default(struct lab_config *config)
{
	*config = (struct lab_config){
		.boot_ns = 30 * NS_PER_S, .serve_ns = 10 * NS_PER_S, .usd_per_hour = NAN};
	core_limits_default(&config->limits);
}

double simulation_seconds(const struct simulation *simulation)
{
	return (double)(simulation->now.mono_ns - simulation->start_ns) / NS_PER_S;
}

uint32_t simulation_serving(const struct simulation *simulation)
{
	uint32_t serving = 1;

	vec_for_each (instance, &simulation->instances)
		serving += !instance->ended_ns && !instance->stopped_ns &&
			   !str_starts(instance->view.policy, "warm/") &&
			   instance->running_ns + simulation->config.serve_ns <=
				   simulation->now.mono_ns;
	return serving;
}

int simulation_new(const struct lab_config *config, struct lab_result *result,
		   struct simulation *simulation)
{
	const struct core_effects effects = {.arg = simulation,
					     .launch = market_launch,
					     .terminate = market_terminate,
					     .stop = market_stop,
					     .decided = timeline_decided};
	struct core_config core_config = {.mode = MODE_ACT, .limits = config->limits};
	int r;

	*simulation = (struct simulation){.config = *config, .result = result};
	simulation->host_cpu_cores = NAN;
	*result = (struct lab_result){0};
	core_config.limits.serving_after_ns = config->serve_ns;
	if (!core_config.limits.lead_time_ns)
		core_config.limits.lead_time_ns = config->boot_ns + config->serve_ns;
	snprintf(core_config.host, sizeof(core_config.host), "simulated");
	r = core_new(&core_config, config->documents, &effects, &simulation->core);
	return r < 0 ? r : 0;
}

void simulation_free(struct simulation *simulation)
{
	core_free(simulation->core);
	catalog_free(simulation->catalog);
	signal_free(simulation->signal);
	vec_for_each (reply, &simulation->replies)
		launch_result_free(&reply->launched);
	vec_free(&simulation->replies);
	vec_free(&simulation->instances);
	vec_free(&simulation->told);
}

static void set_time(struct simulation *simulation, uint64_t mono_ns)
{
	simulation->now.mono_ns = mono_ns;
	simulation->now.wall_ns = SIMULATED_1970 + (mono_ns - simulation->start_ns);
}

/* The clock starts with the first sample; what it says of the host, the signals need. */
static int begin(struct simulation *simulation, uint64_t time_ns, const struct usage *host)
{
	struct signal_config config;
	int r;

	signal_config_default(&config);
	config.host_cpus = host->cpu_limit_known ? host->cpu_limit_cores : 0;
	r = signal_new(&config, &simulation->signal);
	if (r < 0)
		return r;
	simulation->start_ns = time_ns;
	set_time(simulation, time_ns);
	r = market_offer(simulation);
	if (r < 0)
		return r;
	core_start(simulation->core, simulation->now);
	market_describe(simulation);
	simulation->core_ns = time_ns;
	return 0;
}

/* What happens between two samples, each thing at its own moment. */
static void go_to(struct simulation *simulation, uint64_t until_ns)
{
	for (;;) {
		uint64_t next_ns = MIN(market_next_ns(simulation), simulation->core_ns);

		if (next_ns > until_ns)
			break;
		set_time(simulation, MAX(next_ns, simulation->now.mono_ns));
		market_reply_due(simulation);
		if (simulation->describe_ns <= simulation->now.mono_ns)
			market_describe(simulation);
		simulation->core_ns = core_tick(simulation->core, simulation->now);
	}
	set_time(simulation, until_ns);
}

static void host_update(struct simulation *simulation, const struct usage *host)
{
	uint64_t time_ns = host->time_ns ? host->time_ns : simulation->now.mono_ns;

	if (simulation->host_time_ns && time_ns > simulation->host_time_ns && host->cpu_known &&
	    host->cpu_ns >= simulation->host.cpu_ns)
		simulation->host_cpu_cores = (double)(host->cpu_ns - simulation->host.cpu_ns) /
					     (double)(time_ns - simulation->host_time_ns);
	if (time_ns != simulation->host_time_ns) {
		simulation->host = *host;
		simulation->host_time_ns = time_ns;
	}
}

int simulation_step(struct simulation *simulation, const struct sample *sample,
		    const struct placed *placed, const struct usage *host)
{
	struct frame frame = {.kind = FRAME_TICK, .host = "simulated"};
	int r = 0;

	if (!simulation->start_ns)
		r = begin(simulation, sample->time_ns, host);
	else if (sample->time_ns <= simulation->now.mono_ns)
		return -EINVAL;
	if (r < 0)
		return r;
	go_to(simulation, sample->time_ns);
	r = signal_feed(simulation->signal, sample, placed);
	if (r < 0)
		return r;
	host_update(simulation, host);
	frame.sequence = ++simulation->sequence;
	frame.host_usage = *host;
	frame.host_cpu_cores = simulation->host_cpu_cores;
	frame.host_cpus = host->cpu_limit_known ? host->cpu_limit_cores : 0;
	frame.count = signal_indicators(simulation->signal, &frame.indicators);
	core_frame(simulation->core, &frame, simulation->now);
	simulation->core_ns = MIN(simulation->core_ns, simulation->now.mono_ns + NS_PER_S);
	simulation->result->samples++;
	timeline_held(simulation);
	if (simulation->now.mono_ns >= simulation->state_ns) {
		timeline_state(simulation);
		simulation->state_ns = simulation->now.mono_ns + STATE_EVERY_NS;
	}
	return 0;
}

void simulation_end(struct simulation *simulation)
{
	struct lab_result *result = simulation->result;

	if (!simulation->start_ns)
		return;
	vec_for_each (instance, &simulation->instances) {
		uint64_t end_ns = instance->ended_ns ? instance->ended_ns : simulation->now.mono_ns;
		double hours;

		if (instance->stopped_ns)
			end_ns = MIN(end_ns, instance->stopped_ns);
		hours = ((double)(end_ns - instance->launched_ns) / NS_PER_S - instance->rested_s) /
			3600;
		result->instance_hours += hours;
		if (!isnan(instance->usd_per_hour))
			result->usd += hours * instance->usd_per_hour;
	}
	timeline_state(simulation);
	result->seconds = simulation_seconds(simulation);
}
