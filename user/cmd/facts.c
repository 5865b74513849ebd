/* SPDX-License-Identifier: Apache-2.0 */
/* Facts about policies, totals and the process itself, for the table, JSON and metrics. */
#include <math.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cmd/facts.h"

const char *role_text(enum role role)
{
	static const char *const names[] = {
		[ROLE_RUN] = "run", [ROLE_AGENT] = "agent", [ROLE_CORE] = "core"};

	return names[role];
}

double policy_metric_value(const struct policy_status *status, size_t metric)
{
	const struct policy_metric *wanted = &status->policy->metrics.at[metric];
	const struct reading *reading = &status->readings[metric];

	if (metric >= ARRAY_SIZE(status->readings) || !reading->known)
		return NAN;
	if (wanted->target_type == TARGET_UTILIZATION)
		return reading->limit > 0 ? 100 * reading->usage / reading->limit : NAN;
	if (wanted->target_type == TARGET_AVERAGE_VALUE)
		return reading->usage / MAX(status->replicas, 1);
	return reading->usage;
}

void policy_metric_name(const struct policy_metric *metric, char *out, size_t size)
{
	if (metric->source == SOURCE_RESOURCE_CPU)
		snprintf(out, size, "cpu");
	else if (metric->source == SOURCE_CONTAINER_CPU)
		snprintf(out, size, "cpu of %s", metric->container);
	else
		snprintf(out, size, "%s", signal_metric_name(metric->metric));
}

static void metric_json(const struct policy_status *status, size_t index, struct text *out)
{
	static const char *const types[] = {"Value", "AverageValue", "Utilization"};
	const struct policy_metric *metric = &status->policy->metrics.at[index];
	const struct reading *reading = &status->readings[index];
	char name[96];

	policy_metric_name(metric, name, sizeof(name));
	text_add(out, "{\"metric\":");
	text_add_json(out, name);
	text_printf(out, ",\"type\":\"%s\",\"target\":", types[metric->target_type]);
	export_json_number(out, metric->target);
	text_add(out, ",\"value\":");
	export_json_number(out, policy_metric_value(status, index));
	text_add(out, ",\"sum\":");
	export_json_number(out, reading->known ? reading->usage : NAN);
	text_add(out, ",\"forecast\":");
	export_json_number(out, reading->known ? reading->forecast : NAN);
	text_printf(out, ",\"listeners\":%u,\"age_seconds\":", reading->matched);
	export_json_number(out, reading->known ? (double)reading->age_ns / (double)NS_PER_S : NAN);
	text_add(out, ",\"why\":");
	text_add_json(out, reading->why);
	text_add(out, "}");
}

void policy_json(const struct policy_status *status, struct text *out)
{
	size_t metrics = MIN(status->policy->metrics.count, ARRAY_SIZE(status->readings));

	text_add(out, "{\"policy\":");
	text_add_json(out, status->policy->name);
	text_add(out, ",\"pool\":");
	text_add_json(out, status->policy->pool);
	text_printf(out, ",\"replicas\":%d,\"ready\":%d,\"pending\":%d,\"wanted\":%d",
		    status->replicas, status->ready, status->pending, status->wanted);
	text_add(out, ",\"held\":");
	text_add_json(out, status->held);
	text_add(out, ",\"reason\":");
	text_add_json(out, status->result.reason);
	text_printf(out, ",\"deciding\":%u,\"metrics\":[", status->result.metric);
	for (size_t i = 0; i < metrics; i++) {
		text_add(out, i ? "," : "");
		metric_json(status, i, out);
	}
	text_add(out, "]}");
}

void policies_json(const struct facts *facts, struct text *out)
{
	const struct policy_status *status;
	size_t count = core_policies(facts->core, &status);

	text_add_char(out, '[');
	for (size_t i = 0; i < count; i++) {
		text_add(out, i ? "," : "");
		policy_json(&status[i], out);
	}
	text_add_char(out, ']');
}

void totals_json(const struct facts *facts, struct text *out)
{
	struct core_totals totals;

	core_totals(facts->core, &totals);
	text_printf(
		out,
		"{\"evaluations\":%llu,\"edges\":%llu,\"decisions\":%llu,"
		"\"launches_called\":%llu,\"instances_launched\":%llu,\"launches_failed\":%llu,"
		"\"terminations\":%llu,\"instances_pending\":%u,\"instances_running\":%u",
		(unsigned long long)totals.evaluations, (unsigned long long)totals.edges,
		(unsigned long long)totals.decisions, (unsigned long long)totals.launches_called,
		(unsigned long long)totals.instances_launched,
		(unsigned long long)totals.launches_failed, (unsigned long long)totals.terminations,
		totals.instances_pending, totals.instances_running);
	text_printf(out, ",\"no_capacity_errors\":%llu,\"throttles\":%llu",
		    (unsigned long long)totals.no_capacity_errors,
		    (unsigned long long)totals.throttles);
	text_add(out, ",\"usd_per_hour\":");
	export_json_number(out, totals.usd_per_hour);
	text_add(out, ",\"usd_last_day\":");
	export_json_number(out, totals.usd_last_day);
	text_add(out, ",\"lead_time_seconds\":");
	export_json_number(out, totals.lead_time_seconds);
	text_add(out, ",\"edge_to_sent_seconds\":");
	export_json_number(out, totals.edge_to_sent_ns_last
					? (double)totals.edge_to_sent_ns_last / (double)NS_PER_S
					: NAN);
	text_add_char(out, '}');
}

double age_seconds(uint64_t wall_ns)
{
	uint64_t now_ns = time_wall_ns();

	return wall_ns ? (double)(now_ns - MIN(now_ns, wall_ns)) / NS_PER_S : NAN;
}

/* Ages are null for what was never fetched. */
static void catalog_json(const struct cloud_status *status, struct text *out)
{
	text_printf(out, "{\"types\":%zu,\"types_age_seconds\":", status->types);
	export_json_number(out, age_seconds(status->types_wall_ns));
	text_add(out, ",\"prices_age_seconds\":");
	export_json_number(out, age_seconds(status->prices_wall_ns));
	text_add(out, ",\"spot_age_seconds\":");
	export_json_number(out, age_seconds(status->spot_wall_ns));
	text_add_char(out, '}');
}

void cloud_json(const struct facts *facts, struct text *out)
{
	struct cloud_status status;

	if (!facts->cloud) {
		text_add(out, "null");
		return;
	}
	cloud_status(facts->cloud, &status);
	text_add(out, "{\"region\":");
	text_add_json(out, status.region);
	text_add(out, ",\"credentials\":");
	text_add_json(out, status.credentials);
	text_printf(out, ",\"ready\":%s,\"problem\":", status.ready ? "true" : "false");
	text_add_json(out, status.problem);
	text_printf(out, ",\"calls\":%llu,\"errors\":%llu,\"throttled\":%llu,\"catalog\":",
		    (unsigned long long)status.calls, (unsigned long long)status.errors,
		    (unsigned long long)status.throttled);
	catalog_json(&status, out);
	text_add_char(out, '}');
}

void own_usage(double *cpu_seconds, uint64_t *resident_bytes)
{
	_cleanup_free_ char *text = NULL;
	unsigned long long size, resident;
	struct rusage usage;

	*cpu_seconds = NAN;
	*resident_bytes = 0;
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		*cpu_seconds =
			(double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
			1e-6 * ((double)usage.ru_utime.tv_usec + (double)usage.ru_stime.tv_usec);
	if (file_read("/proc/self/statm", 4096, &text, NULL) == 0 &&
	    sscanf(text, "%llu %llu", &size, &resident) == 2)
		*resident_bytes = resident * (uint64_t)sysconf(_SC_PAGESIZE);
}
