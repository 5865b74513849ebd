/* SPDX-License-Identifier: Apache-2.0 */
/* The families of /metrics that are about decisions and this process; the listeners' own are in
 * user/export. */
#include <math.h>

#include "cmd/facts.h"

#define POLICIES_MOST 1000 /* with series of their own */

static void single(struct export_metrics *metrics, const char *name, const char *type,
		   const char *unit, const char *help, double value)
{
	export_metrics_family(metrics, name, type, unit, help);
	export_metrics_value(metrics, name, type, value, NULL);
}

typedef double (*policy_value_fn)(const struct policy_status *status);

static double policy_replicas(const struct policy_status *status)
{
	return status->replicas;
}

static double policy_ready(const struct policy_status *status)
{
	return status->ready;
}

static double policy_wanted(const struct policy_status *status)
{
	return status->wanted;
}

static double policy_held(const struct policy_status *status)
{
	return status->held[0] != '\0';
}

/* Beyond so many policies the rest is one "other", summed. */
static void policy_family(const struct facts *facts, struct export_metrics *metrics,
			  const char *name, const char *help, policy_value_fn value)
{
	static const char *const other[] = {"policy", "other", NULL};
	const struct policy_status *status;
	size_t count = core_policies(facts->core, &status);
	double rest = 0;

	export_metrics_family(metrics, name, "gauge", NULL, help);
	for (size_t i = 0; i < count; i++) {
		const char *labels[] = {"policy", status[i].policy->name, "pool",
					status[i].policy->pool, NULL};

		if (i < POLICIES_MOST)
			export_metrics_value(metrics, name, "gauge", value(&status[i]), labels);
		else
			rest += value(&status[i]);
	}
	if (count > POLICIES_MOST)
		export_metrics_value(metrics, name, "gauge", rest, other);
}

static void policy_metric_family(const struct facts *facts, struct export_metrics *metrics,
				 const char *name, const char *help, bool target)
{
	const struct policy_status *status;
	size_t count = MIN(core_policies(facts->core, &status), (size_t)POLICIES_MOST);

	export_metrics_family(metrics, name, "gauge", NULL, help);
	for (size_t i = 0; i < count; i++) {
		size_t most = MIN(status[i].policy->metrics.count, ARRAY_SIZE(status[i].readings));

		for (size_t m = 0; m < most; m++) {
			const struct policy_metric *metric = &status[i].policy->metrics.at[m];
			char metric_name[96], index[8];
			const char *labels[] = {"policy", status[i].policy->name,
						"metric", metric_name,
						"index",  index,
						NULL};

			policy_metric_name(metric, metric_name, sizeof(metric_name));
			snprintf(index, sizeof(index), "%zu", m);
			export_metrics_value(metrics, name, "gauge",
					     target ? metric->target
						    : policy_metric_value(&status[i], m),
					     labels);
		}
	}
}

static void policy_families(const struct facts *facts, struct export_metrics *metrics)
{
	policy_family(facts, metrics, "forerun_policy_replicas",
		      "Replicas that exist or are on their way.", policy_replicas);
	policy_family(facts, metrics, "forerun_policy_replicas_ready", "Replicas that serve.",
		      policy_ready);
	policy_family(facts, metrics, "forerun_policy_replicas_wanted",
		      "Replicas that the policy asks for.", policy_wanted);
	policy_family(facts, metrics, "forerun_policy_held",
		      "1 while something keeps the policy from acting.", policy_held);
	policy_metric_family(facts, metrics, "forerun_policy_metric_value",
			     "The metric as it is compared with its target.", false);
	policy_metric_family(facts, metrics, "forerun_policy_metric_target",
			     "The target of the metric.", true);
}

static void core_families(const struct facts *facts, struct export_metrics *metrics)
{
	struct core_totals totals;

	core_totals(facts->core, &totals);
	const struct {
		const char *name, *help;
		uint64_t value;
	} counters[] = {
		{"forerun_evaluations", "Evaluations of policies.", totals.evaluations},
		{"forerun_edges", "Edges that reached the core.", totals.edges},
		{"forerun_decisions", "Decisions made.", totals.decisions},
		{"forerun_launches_called", "CreateFleet calls ordered.", totals.launches_called},
		{"forerun_instances_launched", "Instances that EC2 launched.",
		 totals.instances_launched},
		{"forerun_launches_failed", "Instances that EC2 did not launch.",
		 totals.launches_failed},
		{"forerun_terminations", "Instances terminated.", totals.terminations},
		{"forerun_held_by_limit", "Decisions that a limit bound.", totals.held_by_limit},
		{"forerun_held_by_diagnosis", "Decisions held because the diagnosis was another.",
		 totals.held_by_diagnosis},
		{"forerun_held_stale", "Decisions held on stale signals.", totals.held_stale},
		{"forerun_held_first_observation",
		 "Decisions held on the first observation after the start.",
		 totals.held_first_observation},
		{"forerun_no_capacity_errors", "Answers of EC2 that a pool had no capacity.",
		 totals.no_capacity_errors},
		{"forerun_throttles", "Answers of EC2 that asked to slow down.", totals.throttles},
	};

	for (size_t i = 0; i < ARRAY_SIZE(counters); i++)
		single(metrics, counters[i].name, "counter", NULL, counters[i].help,
		       (double)counters[i].value);
	single(metrics, "forerun_spend_usd_per_hour", "gauge", NULL,
	       "What the instances of forerun cost now.", totals.usd_per_hour);
	single(metrics, "forerun_instances_pending", "gauge", NULL, "Instances on their way.",
	       totals.instances_pending);
	single(metrics, "forerun_instances_running", "gauge", NULL, "Instances that run.",
	       totals.instances_running);
	single(metrics, "forerun_edge_to_sent_seconds", "gauge", "seconds",
	       "Time from the kernel's edge to the last byte of CreateFleet, newest launch.",
	       totals.edge_to_sent_ns_last ? (double)totals.edge_to_sent_ns_last / (double)NS_PER_S
					   : NAN);
}

static void warm_value(struct export_metrics *metrics, const char *pool, const char *state,
		       double value)
{
	const char *labels[] = {"pool", pool, "state", state, NULL};

	export_metrics_value(metrics, "forerun_warm_pool_instances", "gauge", value, labels);
}

static void pool_families(const struct facts *facts, struct export_metrics *metrics)
{
	_cleanup_free_ struct pool_view *pools = NULL;
	size_t count = core_pools(facts->core, &pools);

	export_metrics_family(metrics, "forerun_warm_pool_instances", "gauge", NULL,
			      "Instances of a warm pool: wanted, ready, preparing, drifted, old.");
	for (size_t i = 0; i < count; i++) {
		const struct warm_view *warm = &pools[i].warm;
		const char *name = pools[i].pool->name;

		if (!warm->size)
			continue;
		warm_value(metrics, name, "wanted", warm->size);
		warm_value(metrics, name, "ready", warm->ready);
		warm_value(metrics, name, "preparing", warm->preparing);
		warm_value(metrics, name, "drifted", warm->drifted);
		warm_value(metrics, name, "old", warm->old);
	}
	export_metrics_family(metrics, "forerun_pool_spot_ratio", "gauge", "ratio",
			      "Share of a pool's replicas that are spot.");
	for (size_t i = 0; i < count; i++) {
		const char *labels[] = {"pool", pools[i].pool->name, NULL};

		if (!isnan(pools[i].spot_share))
			export_metrics_value(metrics, "forerun_pool_spot_ratio", "gauge",
					     pools[i].spot_share, labels);
	}
}

static void own_families(const struct facts *facts, struct export_metrics *metrics)
{
	const char *labels[] = {"version", FORERUN_VERSION, "mode",
				facts->options->mode == MODE_ACT ? "act" : "observe", NULL};
	uint64_t resident_bytes, started_ms = facts->started.wall_ns / NS_PER_MS;
	double cpu_seconds;

	own_usage(&cpu_seconds, &resident_bytes);
	export_metrics_family(metrics, "forerun_build_info", "gauge", NULL,
			      "1, with version and mode.");
	export_metrics_value(metrics, "forerun_build_info", "gauge", 1, labels);
	if (facts->tick_overruns)
		single(metrics, "forerun_tick_overruns", "counter", NULL,
		       "Ticks that came more than an interval late.",
		       (double)*facts->tick_overruns);
	single(metrics, "process_cpu_seconds", "counter", "seconds",
	       "CPU time of forerun outside of the kernel programs.", cpu_seconds);
	single(metrics, "process_resident_memory_bytes", "gauge", "bytes",
	       "Memory of forerun that is resident.", (double)resident_bytes);
	single(metrics, "process_start_time_seconds", "gauge", "seconds",
	       "When forerun was started, in seconds since 1970.", (double)started_ms / 1e3);
}

void facts_metrics(const struct facts *facts, struct export_metrics *metrics)
{
	if (facts->signal) {
		const struct indicator *indicators;
		size_t count = signal_indicators(facts->signal, &indicators);

		export_metrics_signals(metrics, indicators, count, facts->health, time_mono_ns());
	}
	if (facts->core) {
		policy_families(facts, metrics);
		core_families(facts, metrics);
		pool_families(facts, metrics);
		fleet_metrics(facts, metrics);
	}
	links_metrics(facts, metrics);
	if (facts->cloud)
		aws_metrics(facts, metrics);
	own_families(facts, metrics);
}
