/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The families of /metrics that are about the fleet: how long launches take, what they cost, what
 * the pools hold. Series are bounded: beyond so many pools or families the rest is one "other".
 */
#include <math.h>

#include "cmd/facts.h"

#define POOLS_MOST 100
#define LEADS_MOST 200
#define OTHER "other"

static void single(struct export_metrics *metrics, const char *name, const char *type,
		   const char *unit, const char *help, double value)
{
	export_metrics_family(metrics, name, type, unit, help);
	export_metrics_value(metrics, name, type, value, NULL);
}

static void histogram(struct export_metrics *metrics, const char *name,
		      const struct duration_histogram *durations, const char *const *labels)
{
	export_metrics_histogram(metrics, name, duration_bounds, DURATION_BUCKETS,
				 durations->counts, durations->sum_seconds, labels);
}

static void latency_families(struct export_metrics *metrics, const struct core_times *times)
{
	static const char *const over_15[] = {"seconds", "15", NULL};
	static const char *const over_60[] = {"seconds", "60", NULL};

	export_metrics_family(metrics, "forerun_scaling_latency_seconds", "histogram", "seconds",
			      "Time from the edge, or the decision where none led to it, until an "
			      "instance served, each instance.");
	histogram(metrics, "forerun_scaling_latency_seconds", &times->latency, NULL);
	export_metrics_family(metrics, "forerun_scaling_latency_over_ratio", "gauge", "ratio",
			      "Share of all instances that took longer than so many seconds.");
	export_metrics_value(metrics, "forerun_scaling_latency_over_ratio", "gauge",
			     times->share_over_15, over_15);
	export_metrics_value(metrics, "forerun_scaling_latency_over_ratio", "gauge",
			     times->share_over_60, over_60);
	export_metrics_family(metrics, "forerun_launch_stage_seconds", "histogram", "seconds",
			      "Time that each stage of a launch took, of instances that came to "
			      "serve; a stage is named for what it ends with.");
	for (enum launch_stage stage = STAGE_CALLED; stage < STAGE_COUNT; stage++) {
		const char *labels[] = {"stage", launch_stage_text(stage), NULL};

		histogram(metrics, "forerun_launch_stage_seconds", &times->stages[stage], labels);
	}
}

static void money_families(struct export_metrics *metrics, const struct core_times *times)
{
	single(metrics, "forerun_instances_served", "counter", NULL,
	       "Instances that came to serve.", (double)times->served);
	single(metrics, "forerun_usd_before_serving", "counter", NULL,
	       "What instances cost from their launch until they served, or ended without.",
	       times->usd_before_serving);
	single(metrics, "forerun_usd_per_scaled_replica", "gauge", NULL,
	       "What was spent before serving, divided by the instances that came to serve.",
	       times->usd_per_replica);
	single(metrics, "forerun_spot_interruptions", "counter", NULL,
	       "Spot instances that ended, and not by forerun.", (double)times->spot_interruptions);
	single(metrics, "forerun_spot_instance_seconds", "counter", "seconds",
	       "Time that spot instances have run, all together.", times->spot_hours * 3600);
}

/* ---- pools ---- */

struct pool_family {
	const char *name, *unit, *help;
	double (*value)(const struct pool_view *pool);
	bool summed; /* over those that are "other"; else it is left out for them */
};

static double pool_running(const struct pool_view *pool)
{
	return pool->running;
}

static double pool_pending(const struct pool_view *pool)
{
	return pool->pending;
}

static double pool_cpus(const struct pool_view *pool)
{
	return pool->cpus;
}

static double pool_cpus_limit(const struct pool_view *pool)
{
	return pool->pool->cpu_limited ? pool->pool->limit_cpus : NAN;
}

static double pool_memory(const struct pool_view *pool)
{
	return pool->memory_bytes;
}

static double pool_memory_limit(const struct pool_view *pool)
{
	return pool->pool->memory_limited ? pool->pool->limit_memory_bytes : NAN;
}

static double pool_usd(const struct pool_view *pool)
{
	return pool->usd_per_hour;
}

static double pool_ready(const struct pool_view *pool)
{
	return pool->ready;
}

static const struct pool_family pool_families[] = {
	{"forerun_pool_instances_running", NULL, "Instances of the pool that run.", pool_running,
	 true},
	{"forerun_pool_instances_pending", NULL, "Instances of the pool that are on their way.",
	 pool_pending, true},
	{"forerun_pool_cpus", NULL, "vCPUs of the pool that run or are on their way.", pool_cpus,
	 true},
	{"forerun_pool_cpus_limit", NULL, "The pool's limit of vCPUs, where it has one.",
	 pool_cpus_limit, false},
	{"forerun_pool_memory_bytes", "bytes", "Memory of the pool that runs or is on its way.",
	 pool_memory, true},
	{"forerun_pool_memory_limit_bytes", "bytes",
	 "The pool's limit of memory, where it has one.", pool_memory_limit, false},
	{"forerun_pool_spend_usd_per_hour", NULL, "What the pool's instances cost now.", pool_usd,
	 true},
	{"forerun_pool_ready", NULL, "1 where the pool's class is resolved and can be bought.",
	 pool_ready, false},
};

static void pool_family(struct export_metrics *metrics, const struct pool_family *family,
			const struct pool_view *pools, size_t count)
{
	static const char *const other[] = {"pool", OTHER, NULL};
	double rest = 0;

	export_metrics_family(metrics, family->name, "gauge", family->unit, family->help);
	for (size_t i = 0; i < count; i++) {
		const char *labels[] = {"pool", pools[i].pool->name, NULL};

		if (i < POOLS_MOST)
			export_metrics_value(metrics, family->name, "gauge",
					     family->value(&pools[i]), labels);
		else
			rest += family->value(&pools[i]);
	}
	if (count > POOLS_MOST && family->summed)
		export_metrics_value(metrics, family->name, "gauge", rest, other);
}

/* ---- lead times ---- */

static double lead_used(const struct lead_view *lead)
{
	return *lead->family ? NAN : lead->p75;
}

static double lead_median(const struct lead_view *lead)
{
	return *lead->family && lead->samples ? lead->p50 : NAN;
}

static double lead_p95(const struct lead_view *lead)
{
	return *lead->family && lead->samples ? lead->p95 : NAN;
}

/* The longest stands for all that are "other". */
static void lead_family(struct export_metrics *metrics, const char *name, const char *help,
			double (*value)(const struct lead_view *lead),
			const struct lead_view *leads, size_t count)
{
	static const char *const other[] = {"pool", OTHER, NULL};
	size_t told = 0;
	double longest = NAN;

	export_metrics_family(metrics, name, "gauge", "seconds", help);
	for (size_t i = 0; i < count; i++) {
		double seconds = value(&leads[i]);
		const char *labels[] = {"pool", leads[i].pool, *leads[i].family ? "family" : NULL,
					leads[i].family, NULL};

		if (isnan(seconds))
			continue;
		if (told++ < LEADS_MOST)
			export_metrics_value(metrics, name, "gauge", seconds, labels);
		else
			longest = fmax(longest, seconds);
	}
	export_metrics_value(metrics, name, "gauge", longest, other);
}

static void lead_families(struct export_metrics *metrics, const struct facts *facts)
{
	_cleanup_free_ struct lead_view *leads = NULL;
	size_t count = core_leads(facts->core, &leads);

	lead_family(metrics, "forerun_lead_time_seconds",
		    "Time from a launch to its capacity serving, as the forecast uses it.",
		    lead_used, leads, count);
	lead_family(metrics, "forerun_lead_time_median_seconds",
		    "Median of the newest launches of that family.", lead_median, leads, count);
	lead_family(metrics, "forerun_lead_time_p95_seconds",
		    "95th percentile of the newest launches of that family.", lead_p95, leads,
		    count);
}

/* ---- instances ---- */

static void agent_family(struct export_metrics *metrics, const struct facts *facts,
			 struct moment now)
{
	uint64_t counts[3] = {0};
	struct node_view node;
	size_t at = 0;

	while (core_node(facts->core, &at, now, &node))
		counts[node.agent]++;
	export_metrics_family(metrics, "forerun_instances_by_agent", "gauge", NULL,
			      "Instances of forerun by what their agent does.");
	for (enum agent_state state = AGENT_NONE; state <= AGENT_SILENT; state++) {
		const char *labels[] = {"agent", agent_state_text(state), NULL};

		export_metrics_value(metrics, "forerun_instances_by_agent", "gauge",
				     (double)counts[state], labels);
	}
}

/* ---- hosts and brakes ---- */

static void host_families(struct export_metrics *metrics, const struct core_totals *totals)
{
	static const char *const reporting[] = {"state", "reporting", NULL};
	static const char *const silent[] = {"state", "silent", NULL};

	export_metrics_family(metrics, "forerun_hosts", "gauge", NULL,
			      "Hosts of the fleet by what their agents do.");
	export_metrics_value(metrics, "forerun_hosts", "gauge",
			     totals->hosts - MIN(totals->hosts, totals->hosts_silent), reporting);
	export_metrics_value(metrics, "forerun_hosts", "gauge", totals->hosts_silent, silent);
	single(metrics, "forerun_hosts_forgotten", "counter", NULL,
	       "Hosts that count no more: silent for long, or ended.",
	       (double)totals->hosts_forgotten);
	single(metrics, "forerun_host_reports_bounded", "counter", NULL,
	       "Reports of one host that asked for more replicas than one host may.",
	       (double)totals->host_reports_bounded);
}

static void brake_families(struct export_metrics *metrics, const struct brake_status *brakes)
{
	export_metrics_family(metrics, "forerun_brake_holding", "gauge", NULL,
			      "Policies that the brake holds now; 1 where it holds all.");
	for (enum brake brake = 0; brake < BRAKE_COUNT; brake++) {
		const char *labels[] = {"brake", brake_name(brake), NULL};
		uint32_t policies = brakes[brake].policies;

		export_metrics_value(metrics, "forerun_brake_holding", "gauge",
				     brakes[brake].holding ? MAX(policies, 1U) : 0, labels);
	}
	export_metrics_family(metrics, "forerun_brake_occasions", "counter", NULL,
			      "How often the brake began to hold a policy.");
	for (enum brake brake = 0; brake < BRAKE_COUNT; brake++) {
		const char *labels[] = {"brake", brake_name(brake), NULL};

		export_metrics_value(metrics, "forerun_brake_occasions", "counter",
				     (double)brakes[brake].occasions, labels);
	}
}

static void lane_family(struct export_metrics *metrics, const struct core *core, struct moment now)
{
	struct lane_view lane;
	double held = 0;

	for (size_t at = 0; core_lane_held(core, &at, now, &lane);)
		held++;
	single(metrics, "forerun_lanes_held", "gauge", NULL,
	       "Policies that launch nothing because a launch of another core is not seen yet.",
	       held);
}

/* Of a limit that is not set there is no value. */
static double limit_of(double limit)
{
	return isinf(limit) ? NAN : limit;
}

static void limit_families(struct export_metrics *metrics, const struct facts *facts,
			   const struct core_totals *totals)
{
	struct core_limits limits;

	limits_from_options(facts->options, &limits);
	single(metrics, "forerun_spend_usd_last_day", "gauge", NULL,
	       "What the instances of forerun cost in the last 24 hours.", totals->usd_last_day);
	single(metrics, "forerun_limit_usd_per_hour", "gauge", NULL,
	       "--max-usd-per-hour, where it is given.", limit_of(limits.usd_per_hour));
	single(metrics, "forerun_limit_usd_per_day", "gauge", NULL,
	       "--max-usd-per-day, where it is given.", limit_of(limits.usd_per_day));
	single(metrics, "forerun_limit_launches_per_minute", "gauge", NULL,
	       "--max-launches-per-minute.", limits.launches_per_minute);
}

void fleet_metrics(const struct facts *facts, struct export_metrics *metrics)
{
	_cleanup_free_ struct pool_view *pools = NULL;
	struct moment now = time_now();
	struct brake_status brakes[BRAKE_COUNT];
	struct core_totals totals;
	struct core_times times;
	size_t count = core_pools(facts->core, &pools);

	core_totals(facts->core, &totals);
	core_brakes(facts->core, brakes);
	core_times(facts->core, now, &times);
	if (facts->role == ROLE_CORE)
		host_families(metrics, &totals);
	brake_families(metrics, brakes);
	lane_family(metrics, facts->core, now);
	limit_families(metrics, facts, &totals);
	latency_families(metrics, &times);
	money_families(metrics, &times);
	for (size_t i = 0; i < ARRAY_SIZE(pool_families); i++)
		pool_family(metrics, &pool_families[i], pools, count);
	lead_families(metrics, facts);
	agent_family(metrics, facts, now);
	leaving_metrics(facts, metrics);
	giving_metrics(facts, metrics);
}
