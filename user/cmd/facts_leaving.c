/* SPDX-License-Identifier: Apache-2.0 */
/* What is on its way out, and what EC2 says of the end of hosts: for /v1/status and /metrics. */
#include <math.h>

#include "cmd/facts.h"

static void member(struct text *out, const char *key, const char *value)
{
	text_printf(out, "\"%s\":", key);
	text_add_json(out, value);
	text_add_char(out, ',');
}

static void add_leaving(const struct node_view *node, struct moment now, struct text *out)
{
	double seconds = (double)(now.mono_ns - MIN(now.mono_ns, node->drain_ns)) / NS_PER_S;

	text_add_char(out, '{');
	member(out, "instance", node->id);
	member(out, "policy", node->policy);
	member(out, "pool", node->pool);
	member(out, "reason", retire_reason_text(node->reason));
	member(out, "state", drain_state_text(node->drain));
	member(out, "waits_for", node->waits);
	text_printf(out, "\"seconds\":%.3f}", seconds);
}

void leaving_json(const struct facts *facts, struct moment now, size_t most, struct text *out)
{
	struct node_view node;
	size_t count = 0;

	text_add_char(out, '[');
	for (size_t at = 0; count < most && core_node(facts->core, &at, now, &node);) {
		if (!node.retires)
			continue;
		text_add(out, count++ ? "," : "");
		add_leaving(&node, now, out);
	}
	text_add_char(out, ']');
}

void queue_json(const struct facts *facts, struct text *out)
{
	struct queue_status queue;

	if (!facts->cloud || !cloud_queue_status(facts->cloud, &queue)) {
		text_add(out, "null");
		return;
	}
	text_printf(out,
		    "{\"reads\":%s,\"received\":%llu,\"deleted\":%llu,\"unknown\":%llu,"
		    "\"errors\":%llu,\"problem\":",
		    queue.reads ? "true" : "false", (unsigned long long)queue.received,
		    (unsigned long long)queue.deleted, (unsigned long long)queue.unknown,
		    (unsigned long long)queue.errors);
	text_add_json(out, queue.problem);
	text_add_char(out, '}');
}

/* ---- /metrics ---- */

static void counter(struct export_metrics *metrics, const char *name, const char *help,
		    uint64_t value)
{
	export_metrics_family(metrics, name, "counter", NULL, help);
	export_metrics_value(metrics, name, "counter", (double)value, NULL);
}

static void drain_families(struct export_metrics *metrics, const struct core_drains *drains)
{
	static const char *const replacing[] = {"state", "replacing", NULL};
	static const char *const draining[] = {"state", "draining", NULL};

	export_metrics_family(metrics, "forerun_drains", "counter", NULL,
			      "Instances that were chosen to go, by why.");
	for (enum retire_reason r = RETIRE_SCALE_DOWN; r < RETIRE_REASONS; r++) {
		const char *labels[] = {"reason", retire_reason_text(r), NULL};

		export_metrics_value(metrics, "forerun_drains", "counter", (double)drains->begun[r],
				     labels);
	}
	counter(metrics, "forerun_drains_called_off",
		"Of these, those that stayed: called back, or EC2 did not terminate them.",
		drains->called_off);
	counter(metrics, "forerun_drains_out_of_time",
		"Instances that were terminated with something still open, for their time was "
		"over.",
		drains->out_of_time);
	export_metrics_family(metrics, "forerun_instances_leaving", "gauge", NULL,
			      "Instances that are on their way out now, by how far they are.");
	export_metrics_value(metrics, "forerun_instances_leaving", "gauge", drains->replacing,
			     replacing);
	export_metrics_value(metrics, "forerun_instances_leaving", "gauge", drains->draining,
			     draining);
	export_metrics_family(metrics, "forerun_drain_seconds", "histogram", "seconds",
			      "Time from when an instance began to drain until nothing was left to "
			      "wait for.");
	export_metrics_histogram(metrics, "forerun_drain_seconds", duration_bounds,
				 DURATION_BUCKETS, drains->seconds.counts,
				 drains->seconds.sum_seconds, NULL);
}

static void notice_families(struct export_metrics *metrics, const struct core_drains *drains)
{
	export_metrics_family(metrics, "forerun_interruption_notices", "counter", NULL,
			      "What EC2 said of the end of instances, each once, by who was first "
			      "to say it.");
	for (enum notice_kind k = NOTICE_SPOT; k < NOTICE_KINDS; k++)
		for (enum notice_source s = NOTICE_BY_AGENT; s < NOTICE_SOURCES; s++) {
			const char *labels[] = {"kind", notice_kind_text(k), "source",
						notice_source_text(s), NULL};

			export_metrics_value(metrics, "forerun_interruption_notices", "counter",
					     (double)drains->notices[k][s], labels);
		}
	export_metrics_family(metrics, "forerun_interruption_notice_delay_seconds", "histogram",
			      "seconds",
			      "Time from when it was said until the core heard of it: of an agent "
			      "since it read it, of the queue since EC2 wrote it.");
	for (enum notice_source s = NOTICE_BY_AGENT; s < NOTICE_SOURCES; s++) {
		const char *labels[] = {"source", notice_source_text(s), NULL};

		export_metrics_histogram(metrics, "forerun_interruption_notice_delay_seconds",
					 duration_bounds, DURATION_BUCKETS,
					 drains->notice_delay[s].counts,
					 drains->notice_delay[s].sum_seconds, labels);
	}
	counter(metrics, "forerun_interruption_notices_again",
		"Notices in the queue that were known already.", drains->notices_again);
	counter(metrics, "forerun_interruption_notices_foreign",
		"Notices in the queue about instances that forerun did not launch.",
		drains->notices_foreign);
}

static void queue_families(struct export_metrics *metrics, const struct queue_status *queue)
{
	counter(metrics, "forerun_interruption_queue_messages", "Messages that were read.",
		queue->received);
	counter(metrics, "forerun_interruption_queue_messages_unknown",
		"Of these, those that nobody here understands.", queue->unknown);
	counter(metrics, "forerun_interruption_queue_errors",
		"Calls for the queue without the answer that was wanted.", queue->errors);
}

void leaving_metrics(const struct facts *facts, struct export_metrics *metrics)
{
	struct queue_status queue;
	struct core_drains drains;

	core_drains(facts->core, &drains);
	drain_families(metrics, &drains);
	notice_families(metrics, &drains);
	if (facts->cloud && cloud_queue_status(facts->cloud, &queue))
		queue_families(metrics, &queue);
}
