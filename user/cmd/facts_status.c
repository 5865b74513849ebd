/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/status: one picture of the whole fleet, which `forerun status` prints. Objects and arrays are
 * written with a comma behind each member; the end takes the last one back.
 */
#include <math.h>

#include "cmd/facts.h"

#define LISTED 50 /* services and instances, where not all are asked for */

/* ---- JSON ---- */

static void json_key(struct text *out, const char *key)
{
	text_add_json(out, key);
	text_add_char(out, ':');
}

static void json_text(struct text *out, const char *key, const char *value)
{
	json_key(out, key);
	text_add_json(out, value);
	text_add_char(out, ',');
}

static void json_number(struct text *out, const char *key, double value)
{
	json_key(out, key);
	export_json_number(out, value);
	text_add_char(out, ',');
}

static void json_bool(struct text *out, const char *key, bool value)
{
	json_key(out, key);
	text_add(out, value ? "true," : "false,");
}

static void json_time(struct text *out, const char *key, uint64_t wall_ns)
{
	char time[TIME_TEXT_SIZE];

	time_format(wall_ns, time);
	json_text(out, key, time);
}

static void json_begin(struct text *out, const char *key, char bracket)
{
	if (key)
		json_key(out, key);
	text_add_char(out, bracket);
}

static void json_end(struct text *out, char bracket)
{
	if (out->data[out->length - 1] == ',')
		out->length--;
	text_add_char(out, bracket);
	text_add_char(out, ',');
}

static double seconds_since(uint64_t then_ns, uint64_t now_ns)
{
	return then_ns ? (double)(now_ns - MIN(now_ns, then_ns)) / NS_PER_S : NAN;
}

/* ---- what the core has ---- */

static bool wants_something(const struct policy_status *status)
{
	return status->wanted != status->replicas || *status->held;
}

static void add_service(const struct policy_status *status, const struct host_counts *counts,
			struct text *out)
{
	const char *service = status->policy->service ?: status->policy->name;
	struct host_count hosts = host_count_of(counts, service);

	policy_json(status, out);
	out->data[out->length - 1] = ',';
	json_text(out, "service", service);
	json_number(out, "hosts_reporting", hosts.reporting);
	json_number(out, "hosts_silent", hosts.silent);
	json_end(out, '}');
}

static void add_services(const struct facts *facts, const struct host_counts *counts, size_t most,
			 struct text *out)
{
	const struct policy_status *status;
	size_t count = core_policies(facts->core, &status);

	json_number(out, "services_count", (double)count);
	json_begin(out, "services", '[');
	for (int wanting = 1; wanting >= 0; wanting--)
		for (size_t i = 0; i < count && most; i++) {
			if (wants_something(&status[i]) != wanting)
				continue;
			add_service(&status[i], counts, out);
			most--;
		}
	json_end(out, ']');
}

static void add_node(const struct node_view *node, struct moment now, struct text *out)
{
	json_begin(out, NULL, '{');
	json_text(out, "instance", node->id);
	json_text(out, "state",
		  node->retires	      ? drain_state_text(node->drain)
		  : node->terminating ? "terminating"
				      : instance_state_text(node->state));
	json_bool(out, "serving", node->serving);
	json_text(out, "agent", agent_state_text(node->agent));
	json_text(out, "type", node->instance_type);
	json_text(out, "zone", node->zone);
	json_text(out, "capacity_type", capacity_type_text(node->capacity_type));
	json_number(out, "usd_per_hour", node->usd_per_hour);
	json_text(out, "pool", node->pool);
	json_text(out, "policy", node->policy);
	json_text(out, "decision", node->decision);
	json_number(out, "age_seconds", seconds_since(node->launched_wall_ns, now.wall_ns));
	json_text(out, "stage", launch_stage_text(node->stage));
	json_number(out, "stage_seconds", seconds_since(node->stage_ns, now.mono_ns));
	json_number(out, "expected_in_seconds", node->expected_seconds);
	json_end(out, '}');
}

static void add_nodes(const struct facts *facts, struct moment now, size_t most, struct text *out)
{
	struct node_view node;
	size_t count = 0;

	json_begin(out, "nodes", '[');
	for (int serving = 0; serving <= 1; serving++)
		for (size_t at = 0; core_node(facts->core, &at, now, &node);) {
			if (node.serving != serving)
				continue;
			if (count++ < most)
				add_node(&node, now, out);
		}
	json_end(out, ']');
	json_number(out, "nodes_count", (double)count);
}

static void add_coming(const struct facts *facts, struct moment now, struct text *out)
{
	struct coming_view coming;
	size_t at = 0;

	json_begin(out, "coming", '[');
	while (core_coming(facts->core, &at, now, &coming)) {
		const struct decision *decision = coming.decision;

		json_begin(out, NULL, '{');
		json_text(out, "decision", decision->id);
		json_text(out, "policy", decision->policy);
		json_text(out, "pool", decision->pool);
		json_time(out, "made", decision->made.wall_ns);
		json_number(out, "age_seconds", seconds_since(decision->made.mono_ns, now.mono_ns));
		json_number(out, "count", coming.count);
		json_number(out, "serving", coming.serving);
		json_number(out, "failed", coming.failed);
		json_text(out, "stage",
			  coming.stage == STAGE_COUNT ? "waiting"
						      : launch_stage_text(coming.stage));
		json_number(out, "stage_seconds", seconds_since(coming.since_ns, now.mono_ns));
		json_number(out, "expected_in_seconds", coming.expected_seconds);
		json_text(out, "last_step",
			  decision->steps.count ? decision->steps.at[decision->steps.count - 1].text
						: "");
		json_end(out, '}');
	}
	json_end(out, ']');
}

/* EBS gp3 in us-east-1, by AWS's price list; other regions are near it. */
#define GIB_USD_PER_MONTH 0.08

static void add_warm(const struct warm_view *warm, struct moment now, struct text *out)
{
	json_begin(out, "warm", '{');
	json_number(out, "size", warm->size);
	json_number(out, "ready", warm->ready);
	json_number(out, "preparing", warm->preparing);
	json_number(out, "drifted", warm->drifted);
	json_number(out, "old", warm->old);
	json_number(out, "oldest_seconds", seconds_since(warm->oldest_wall_ns, now.wall_ns));
	json_number(out, "volume_gib", warm->volume_gib);
	json_number(out, "volume_usd_per_month", warm->volume_gib * GIB_USD_PER_MONTH);
	json_text(out, "held", warm->held);
	json_end(out, '}');
}

static void add_pools(const struct facts *facts, struct moment now, struct text *out)
{
	_cleanup_free_ struct pool_view *pools = NULL;
	size_t count = core_pools(facts->core, &pools);

	json_begin(out, "pools", '[');
	for (size_t i = 0; i < count; i++) {
		const struct pool *pool = pools[i].pool;

		json_begin(out, NULL, '{');
		json_text(out, "pool", pool->name);
		json_bool(out, "ready", pools[i].ready);
		json_text(out, "problem", pools[i].problem);
		json_number(out, "running", pools[i].running);
		json_number(out, "pending", pools[i].pending);
		json_number(out, "cpus", pools[i].cpus);
		json_number(out, "cpus_limit", pool->cpu_limited ? pool->limit_cpus : NAN);
		json_number(out, "memory_bytes", pools[i].memory_bytes);
		json_number(out, "memory_bytes_limit",
			    pool->memory_limited ? pool->limit_memory_bytes : NAN);
		json_number(out, "usd_per_hour", pools[i].usd_per_hour);
		json_number(out, "spot_share", pools[i].spot_share);
		if (pools[i].warm.size)
			add_warm(&pools[i].warm, now, out);
		json_end(out, '}');
	}
	json_end(out, ']');
}

static void add_leads(const struct facts *facts, struct text *out)
{
	_cleanup_free_ struct lead_view *leads = NULL;
	size_t count = core_leads(facts->core, &leads);

	json_begin(out, "lead_times", '[');
	for (size_t i = 0; i < count; i++) {
		json_begin(out, NULL, '{');
		json_text(out, "pool", leads[i].pool);
		json_text(out, "family", leads[i].family);
		json_number(out, "samples", leads[i].samples);
		json_number(out, "p50", leads[i].p50);
		json_number(out, "p75", leads[i].p75);
		json_number(out, "p95", leads[i].p95);
		json_end(out, '}');
	}
	json_end(out, ']');
}

static void add_times(const struct core_times *times, struct text *out)
{
	json_begin(out, "scaling_latency", '{');
	json_number(out, "count", (double)times->latency.count);
	json_number(out, "p50_seconds", times->latency_p50);
	json_number(out, "p95_seconds", times->latency_p95);
	json_number(out, "share_over_15_s", times->share_over_15);
	json_number(out, "share_over_60_s", times->share_over_60);
	json_begin(out, "stage_mean_seconds", '{');
	for (enum launch_stage s = STAGE_CALLED; s < STAGE_COUNT; s++)
		json_number(out, launch_stage_text(s),
			    times->stages[s].count
				    ? times->stages[s].sum_seconds / (double)times->stages[s].count
				    : NAN);
	json_end(out, '}');
	json_end(out, '}');
}

static void add_brakes(const struct facts *facts, struct moment now, struct text *out)
{
	struct brake_status brakes[BRAKE_COUNT];

	core_brakes(facts->core, brakes);
	json_begin(out, "brakes", '[');
	for (enum brake brake = 0; brake < BRAKE_COUNT; brake++) {
		json_begin(out, NULL, '{');
		json_text(out, "brake", brake_name(brake));
		json_bool(out, "holding", brakes[brake].holding);
		json_number(out, "policies", brakes[brake].policies);
		json_number(out, "occasions", (double)brakes[brake].occasions);
		json_number(out, "since_seconds",
			    brakes[brake].holding
				    ? seconds_since(brakes[brake].since_ns, now.mono_ns)
				    : NAN);
		json_text(out, "text", brakes[brake].text);
		json_end(out, '}');
	}
	json_end(out, ']');
}

static void add_lanes(const struct facts *facts, struct moment now, struct text *out)
{
	struct lane_view lane;

	json_begin(out, "lanes_held", '[');
	for (size_t at = 0; core_lane_held(facts->core, &at, now, &lane);) {
		json_begin(out, NULL, '{');
		json_text(out, "policy", lane.policy);
		json_text(out, "pool", lane.pool);
		json_text(out, "why", lane.why);
		json_end(out, '}');
	}
	json_end(out, ']');
}

static void add_hosts(const struct host_counts *counts, struct text *out)
{
	json_begin(out, "hosts", '{');
	json_number(out, "reporting", counts->all.reporting);
	json_number(out, "silent", counts->all.silent);
	json_end(out, '}');
}

static void add_money(const struct facts *facts, const struct core_times *times, struct text *out)
{
	struct core_totals totals;
	struct core_limits limits;

	core_totals(facts->core, &totals);
	limits_from_options(facts->options, &limits);
	json_begin(out, "money", '{');
	json_number(out, "usd_per_hour", totals.usd_per_hour);
	json_number(out, "usd_per_hour_limit", limits.usd_per_hour);
	json_number(out, "usd_last_day", totals.usd_last_day);
	json_number(out, "usd_per_day_limit", limits.usd_per_day);
	json_number(out, "usd_per_scaled_replica", times->usd_per_replica);
	json_number(out, "spot_interruptions", (double)times->spot_interruptions);
	json_number(out, "spot_instance_hours", times->spot_hours);
	json_number(out, "spot_interruptions_per_instance_hour", times->interruptions_per_hour);
	json_end(out, '}');
}

static void add_core(const struct facts *facts, struct moment now, bool all, struct text *out)
{
	size_t most = all ? SIZE_MAX : LISTED;
	_cleanup_(host_counts_free)
	struct host_counts counts = {0};
	struct core_times times;

	core_times(facts->core, now, &times);
	host_counts_take(facts->core, now, &counts);
	if (facts->role == ROLE_CORE)
		add_hosts(&counts, out);
	add_brakes(facts, now, out);
	add_lanes(facts, now, out);
	add_services(facts, &counts, most, out);
	add_pools(facts, now, out);
	add_nodes(facts, now, most, out);
	add_coming(facts, now, out);
	json_key(out, "leaving");
	leaving_json(facts, now, most, out);
	text_add(out, ",");
	json_key(out, "giving");
	giving_json(facts, now, out);
	text_add(out, ",");
	json_text(out, "own_notice", core_own_notice(facts->core));
	json_key(out, "interruption_queue");
	queue_json(facts, out);
	text_add(out, ",");
	add_leads(facts, out);
	add_times(&times, out);
	add_money(facts, &times, out);
	json_key(out, "totals");
	totals_json(facts, out);
	text_add(out, ",");
	json_key(out, "cloud");
	cloud_json(facts, out);
	text_add(out, ",");
}

static void add_listeners(const struct facts *facts, struct moment now, struct text *out)
{
	const struct indicator *indicators;
	size_t count = signal_indicators(facts->signal, &indicators), listening = 0;
	uint32_t diagnoses[DIAGNOSIS_COUNT] = {0};

	for (size_t i = 0; i < count; i++) {
		if (!indicators[i].sockets)
			continue;
		listening++;
		diagnoses[MIN(indicators[i].diagnosis, DIAGNOSIS_COUNT - 1)]++;
	}
	json_begin(out, "listeners", '{');
	json_number(out, "count", (double)listening);
	json_number(out, "read_seconds_ago", seconds_since(*facts->sampled_ns, now.mono_ns));
	json_begin(out, "diagnoses", '{');
	for (enum diagnosis d = 0; d < DIAGNOSIS_COUNT; d++)
		json_number(out, signal_diagnosis_text(d), diagnoses[d]);
	json_end(out, '}');
	json_end(out, '}');
}

void status_json(const struct facts *facts, struct moment now, bool all, struct text *out)
{
	json_begin(out, NULL, '{');
	json_text(out, "role", role_text(facts->role));
	json_text(out, "version", FORERUN_VERSION);
	json_text(out, "host", facts->host);
	json_time(out, "time", now.wall_ns);
	json_number(out, "up_seconds", seconds_since(facts->started.mono_ns, now.mono_ns));
	if (facts->server) {
		json_key(out, "agents");
		agents_json(facts, out);
		text_add(out, ",\"lease\":");
		lease_json(facts, out);
		text_add_char(out, ',');
	}
	if (facts->signal)
		add_listeners(facts, now, out);
	if (facts->role == ROLE_AGENT) {
		json_key(out, "cores");
		cores_json(facts, out);
		text_add_char(out, ',');
	}
	if (facts->core) {
		json_text(out, "mode", facts->options->mode == MODE_ACT ? "act" : "observe");
		add_core(facts, now, all, out);
	}
	json_end(out, '}');
	out->data[--out->length] = '\0'; /* no comma behind the whole */
}
