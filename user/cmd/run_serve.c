/* SPDX-License-Identifier: Apache-2.0 */
/* What forerun answers over HTTP. Everything is read only. */
#include <math.h>

#include "cmd/run.h"

#define DECISIONS_MOST 100
#define JSON_TYPE "application/json"
#define TEXT_TYPE "text/plain; charset=utf-8"

static void answer(struct http_reply *reply, int status, const char *type, struct text *body)
{
	reply->status = status;
	reply->content_type = type;
	reply->body_length = body->length;
	reply->body = text_take(body);
}

static void answer_text(struct http_reply *reply, int status, const char *line)
{
	struct text body = {0};

	text_printf(&body, "%s\n", line);
	answer(reply, status, TEXT_TYPE, &body);
}

/* ---- /metrics ---- */

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

static void policy_family(struct run *run, struct export_metrics *metrics, const char *name,
			  const char *help, policy_value_fn value)
{
	const struct policy_status *status;
	size_t count = core_policies(run->core, &status);

	export_metrics_family(metrics, name, "gauge", NULL, help);
	for (size_t i = 0; i < count; i++) {
		const char *labels[] = {"policy", status[i].policy->name, "pool",
					status[i].policy->pool, NULL};

		export_metrics_value(metrics, name, "gauge", value(&status[i]), labels);
	}
}

static void policy_metric_family(struct run *run, struct export_metrics *metrics, const char *name,
				 const char *help, bool target)
{
	const struct policy_status *status;
	size_t count = core_policies(run->core, &status);

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

static void policy_families(struct run *run, struct export_metrics *metrics)
{
	policy_family(run, metrics, "forerun_policy_replicas",
		      "Replicas that exist or are on their way.", policy_replicas);
	policy_family(run, metrics, "forerun_policy_replicas_ready", "Replicas that serve.",
		      policy_ready);
	policy_family(run, metrics, "forerun_policy_replicas_wanted",
		      "Replicas that the policy asks for.", policy_wanted);
	policy_family(run, metrics, "forerun_policy_held",
		      "1 while something keeps the policy from acting.", policy_held);
	policy_metric_family(run, metrics, "forerun_policy_metric_value",
			     "The metric as it is compared with its target.", false);
	policy_metric_family(run, metrics, "forerun_policy_metric_target",
			     "The target of the metric.", true);
}

static void core_families(struct run *run, struct export_metrics *metrics)
{
	struct core_totals totals;

	core_totals(run->core, &totals);
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
	single(metrics, "forerun_lead_time_seconds", "gauge", "seconds",
	       "Time from a launch to its capacity serving, as the forecast uses it.",
	       totals.lead_time_seconds);
	single(metrics, "forerun_edge_to_sent_seconds", "gauge", "seconds",
	       "Time from the kernel's edge to the last byte of CreateFleet, newest launch.",
	       totals.edge_to_sent_ns_last ? (double)totals.edge_to_sent_ns_last / (double)NS_PER_S
					   : NAN);
}

static void own_families(struct run *run, struct export_metrics *metrics)
{
	const char *labels[] = {"version", FORERUN_VERSION, "mode",
				run->options->mode == MODE_ACT ? "act" : "observe", NULL};
	uint64_t resident_bytes, started_ms = run->started.wall_ns / NS_PER_MS;
	double cpu_seconds;

	own_usage(&cpu_seconds, &resident_bytes);
	export_metrics_family(metrics, "forerun_build_info", "gauge", NULL,
			      "1, with version and mode.");
	export_metrics_value(metrics, "forerun_build_info", "gauge", 1, labels);
	single(metrics, "forerun_tick_overruns", "counter", NULL,
	       "Ticks that came more than an interval late.", (double)run->tick_overruns);
	single(metrics, "process_cpu_seconds", "counter", "seconds",
	       "CPU time of forerun outside of the kernel programs.", cpu_seconds);
	single(metrics, "process_resident_memory_bytes", "gauge", "bytes",
	       "Memory of forerun that is resident.", (double)resident_bytes);
	single(metrics, "process_start_time_seconds", "gauge", "seconds",
	       "When forerun was started, in seconds since 1970.", (double)started_ms / 1e3);
}

static void answer_metrics(struct run *run, const struct http_query *query,
			   struct http_reply *reply)
{
	struct text body = {0};
	struct export_metrics metrics = {&body,
					 export_dialect_of(http_query_header(query, "Accept"))};
	const struct indicator *indicators;
	size_t count = signal_indicators(run->signal, &indicators);

	export_metrics_signals(&metrics, indicators, count, &run->health, time_mono_ns());
	policy_families(run, &metrics);
	core_families(run, &metrics);
	own_families(run, &metrics);
	export_metrics_end(&metrics);
	answer(reply, 200, export_dialect_type(metrics.dialect), &body);
}

/* ---- /v1 ---- */

static void answer_signals(struct run *run, struct http_reply *reply)
{
	struct text body = {0};
	const struct indicator *indicators;
	size_t count = signal_indicators(run->signal, &indicators);

	export_json_signals(&body, indicators, count, time_now());
	text_add_char(&body, '\n');
	answer(reply, 200, JSON_TYPE, &body);
}

static void answer_decisions(struct run *run, struct http_reply *reply)
{
	struct text body = {0};
	const struct decision *decision;

	text_add(&body, "{\"decisions\":[");
	for (size_t i = 0; i < DECISIONS_MOST; i++) {
		decision = core_decision(run->core, i);
		if (!decision)
			break;
		text_add(&body, i ? "," : "");
		decision_json(decision, &body);
	}
	text_add(&body, "]}\n");
	answer(reply, 200, JSON_TYPE, &body);
}

static void answer_decision(struct run *run, const char *id, struct http_reply *reply)
{
	const struct decision *decision = core_decision_by_id(run->core, id);
	struct text body = {0};

	if (decision) {
		decision_json(decision, &body);
		text_add_char(&body, '\n');
		answer(reply, 200, JSON_TYPE, &body);
		return;
	}
	text_add(&body, "{\"error\":\"no such decision\",\"id\":");
	text_add_json(&body, id);
	text_add(&body, "}\n");
	answer(reply, 404, JSON_TYPE, &body);
}

static void answer_policies(struct run *run, struct http_reply *reply)
{
	struct text body = {0};

	text_add(&body, "{\"policies\":");
	policies_json(run, &body);
	text_add(&body, ",\"totals\":");
	totals_json(run, &body);
	text_add(&body, ",\"cloud\":");
	cloud_json(run, &body);
	text_add(&body, "}\n");
	answer(reply, 200, JSON_TYPE, &body);
}

/* ---- health ---- */

/* The loop answers, so it lives; what may be wrong is that the kernel is not read any more. */
static void answer_health(struct run *run, struct http_reply *reply)
{
	uint64_t age_ns = time_mono_ns() - run->sampled_ns;

	if (run->sampled_ns && age_ns < MAX(10 * run->options->interval_ns, 5 * NS_PER_S))
		answer_text(reply, 200, "ok");
	else
		answer_text(reply, 503, "the listeners were not read lately; see the log");
}

static void answer_ready(struct run *run, struct http_reply *reply)
{
	struct cloud_status status = {.ready = true};

	if (run->cloud)
		cloud_status(run->cloud, &status);
	if (!run->sampled_ns)
		answer_text(reply, 503, "not ready: the listeners were not read yet");
	else if (run->options->mode == MODE_ACT && !status.ready)
		answer_text(reply, 503,
			    status.problem[0] ? status.problem
					      : "not ready: AWS did not answer yet");
	else
		answer_text(reply, 200, "ready");
}

static void on_query(void *arg, const struct http_query *query, struct http_reply *reply)
{
	static const char decisions[] = "/v1/decisions/";
	struct run *run = arg;

	if (str_equal(query->path, "/metrics"))
		answer_metrics(run, query, reply);
	else if (str_equal(query->path, "/healthz"))
		answer_health(run, reply);
	else if (str_equal(query->path, "/readyz"))
		answer_ready(run, reply);
	else if (str_equal(query->path, "/v1/signals"))
		answer_signals(run, reply);
	else if (str_equal(query->path, "/v1/policies"))
		answer_policies(run, reply);
	else if (str_equal(query->path, "/v1/decisions"))
		answer_decisions(run, reply);
	else if (str_starts(query->path, decisions))
		answer_decision(run, query->path + sizeof(decisions) - 1, reply);
	else
		answer_text(reply, 404,
			    "no such page; there are /metrics, /healthz, /readyz, /v1/signals, "
			    "/v1/policies, /v1/decisions and /v1/decisions/ID");
}

int serve_start(struct run *run)
{
	const char *address = run->options->listen;
	const char *where = option_where(run->options, "listen");
	int r;

	if (str_equal(address, "none"))
		return 0;
	r = http_server_new(run->loop, address, on_query, run, &run->server);
	if (r == -EINVAL)
		log_error("%s: found \"%s\", expected an address such as 127.0.0.1:9910 or :9910, "
			  "or none",
			  where ? where : "--listen", address);
	else if (r < 0)
		log_error("cannot listen on %s: %s; give another address with --listen, or none",
			  address, strerror(-r));
	return r;
}
