/* SPDX-License-Identifier: Apache-2.0 */
/* The lists below the figures: services, pools, what is on its way in and out, instances. */
#include <math.h>

#include "cmd/status_page.h"

/* ---- services ---- */

static const char *short_metric(const char *name)
{
	return str_starts(name, "forerun_") ? name + strlen("forerun_") : name;
}

static void put_service(struct page *page, const cJSON *service)
{
	const cJSON *metrics = answer_part(service, "metrics"), *metric;
	char now[24], target[24], replicas[64];

	metric = cJSON_GetArrayItem(metrics,
				    (int)fmin(fmax(answer_number(service, "deciding"), 0), 1000));
	metric = metric ?: cJSON_GetArrayItem(metrics, 0);
	snprintf(replicas, sizeof(replicas), "%.0f, %.0f ready -> %.0f",
		 answer_number(service, "replicas"), answer_number(service, "ready"),
		 answer_number(service, "wanted"));
	page_put(page, 2, "%-16.16s %-14.14s %-26.26s %8s %8s  %s", answer_words(service, "policy"),
		 answer_words(service, "pool"), short_metric(answer_words(metric, "metric")),
		 figure_text(answer_number(metric, "value"), now),
		 figure_text(answer_number(metric, "target"), target), replicas);
	if (answer_number(service, "hosts_silent") > 0)
		page_put(page, 2, "  hosts: %.0f reporting, %.0f silent",
			 answer_number(service, "hosts_reporting"),
			 answer_number(service, "hosts_silent"));
	if (*answer_words(service, "held"))
		page_put(page, 4, "  held: %s", answer_words(service, "held"));
	else if (*answer_words(metric, "why"))
		page_put(page, 4, "  %s", answer_words(metric, "why"));
}

void page_services(struct page *page, const cJSON *status)
{
	const cJSON *services = answer_part(status, "services"), *it;
	double left = answer_number(status, "services_count");

	if (!cJSON_IsArray(services))
		return;
	if (!(left > 0)) {
		text_add_char(page->out, '\n');
		page_put(page, 2, "no policies: nothing is scaled");
		return;
	}
	text_add_char(page->out, '\n');
	page_put(page, 2, "%-16s %-14s %-26s %8s %8s  %s", "SERVICE", "POOL", "METRIC", "NOW",
		 "TARGET", "REPLICAS");
	cJSON_ArrayForEach (it, services) {
		put_service(page, it);
		left--;
	}
	if (left > 0)
		page_put(page, 2, "and %.0f more, which have what they want: forerun status --json",
			 left);
}

/* ---- pools ---- */

static void pool_lead(const cJSON *status, const char *pool, char *out, size_t size)
{
	const cJSON *it;
	char time[24];

	out[0] = '\0';
	cJSON_ArrayForEach (it, answer_part(status, "lead_times")) {
		if (*answer_words(it, "family") || !str_equal(answer_words(it, "pool"), pool))
			continue;
		span_text(answer_number(it, "p75"), time);
		if (answer_number(it, "samples") > 0)
			snprintf(out, size, "%s (%.0f launch%s)", time,
				 answer_number(it, "samples"),
				 answer_number(it, "samples") == 1 ? "" : "es");
		else
			snprintf(out, size, "%s (configured)", time);
		return;
	}
}

static void warm_line(struct page *page, const cJSON *warm)
{
	char oldest[24], age[48] = "";

	if (!cJSON_IsObject(warm))
		return;
	if (answer_number(warm, "oldest_seconds") >= 0) {
		span_text(answer_number(warm, "oldest_seconds"), oldest);
		snprintf(age, sizeof(age), ", the oldest %s", oldest);
	}
	page_put(page, 4,
		 "  warm pool: %.0f of %.0f ready, %.0f being prepared, %.0f drifted, %.0f old%s; "
		 "%.0f GiB of volumes, about %.2f USD a month",
		 answer_number(warm, "ready"), answer_number(warm, "size"),
		 answer_number(warm, "preparing"), answer_number(warm, "drifted"),
		 answer_number(warm, "old"), age, answer_number(warm, "volume_gib"),
		 answer_number(warm, "volume_usd_per_month"));
	if (*answer_words(warm, "held"))
		page_put(page, 4, "  warm pool: %s", answer_words(warm, "held"));
}

void page_pools(struct page *page, const cJSON *status)
{
	const cJSON *pools = answer_part(status, "pools"), *it;
	char cpus[48], memory[48], usd[24], lead[64], instances[48];

	if (!cJSON_GetArraySize(pools))
		return;
	text_add_char(page->out, '\n');
	page_put(page, 2, "%-16s %-16s %-14s %-16s %8s  %s", "POOL", "INSTANCES", "CPU",
		 "MEMORY GiB", "USD/H", "LEAD TIME");
	cJSON_ArrayForEach (it, pools) {
		snprintf(instances, sizeof(instances), "%.0f, %.0f coming",
			 answer_number(it, "running"), answer_number(it, "pending"));
		used_text(answer_number(it, "cpus"), answer_number(it, "cpus_limit"), 1, cpus);
		used_text(answer_number(it, "memory_bytes"),
			  answer_number(it, "memory_bytes_limit"), 1 << 30, memory);
		pool_lead(status, answer_words(it, "pool"), lead, sizeof(lead));
		page_put(page, 2, "%-16.16s %-16s %-14s %-16s %8s  %s", answer_words(it, "pool"),
			 instances, cpus, memory,
			 figure_text(answer_number(it, "usd_per_hour"), usd), lead);
		if (answer_number(it, "spot_share") > 0)
			page_put(page, 4, "  spot: %.0f %% of its replicas",
				 100 * answer_number(it, "spot_share"));
		warm_line(page, answer_part(it, "warm"));
		if (*answer_words(it, "problem"))
			page_put(page, 4, "  cannot buy: %s", answer_words(it, "problem"));
	}
}

/* ---- what is on its way ---- */

static void coming_line(struct page *page, const cJSON *coming)
{
	double expected = answer_number(coming, "expected_in_seconds");
	char age[24], stage[24], in[24];

	page_put(page, 2, "%s  %s +%.0f, decided %s ago", answer_words(coming, "decision"),
		 answer_words(coming, "policy"), answer_number(coming, "count"),
		 span_text(answer_number(coming, "age_seconds"), age));
	page_put(page, 4, "  %.0f of %.0f serve; %s for %s; %s%s", answer_number(coming, "serving"),
		 answer_number(coming, "count") - answer_number(coming, "failed"),
		 answer_words(coming, "stage"),
		 span_text(answer_number(coming, "stage_seconds"), stage),
		 isnan(expected) ? "it takes longer than expected" : "expected to serve in ",
		 isnan(expected) ? "" : span_text(expected, in));
	if (*answer_words(coming, "last_step"))
		page_put(page, 4, "  newest: %s", answer_words(coming, "last_step"));
}

void page_coming(struct page *page, const cJSON *status)
{
	const cJSON *coming = answer_part(status, "coming"), *it;

	if (!cJSON_GetArraySize(coming))
		return;
	text_add_char(page->out, '\n');
	page_put(page, 2, "ON ITS WAY (why: forerun explain ID)");
	cJSON_ArrayForEach (it, coming)
		coming_line(page, it);
}

/* ---- what is on its way out ---- */

void page_leaving(struct page *page, const cJSON *status)
{
	const cJSON *leaving = answer_part(status, "leaving"), *it;
	char span[24];

	if (!cJSON_GetArraySize(leaving))
		return;
	text_add_char(page->out, '\n');
	page_put(page, 2, "ON ITS WAY OUT");
	cJSON_ArrayForEach (it, leaving) {
		page_put(page, 2, "%s  %s, %s, %s for %s", answer_words(it, "instance"),
			 answer_words(it, "policy"), answer_words(it, "reason"),
			 answer_words(it, "state"), span_text(answer_number(it, "seconds"), span));
		if (*answer_words(it, "waits_for"))
			page_put(page, 4, "  waits for: %s", answer_words(it, "waits_for"));
	}
}

/* ---- instances ---- */

/* "6 s", "23 min", "5 h", "12 d" */
static const char *short_span(double seconds, char out[24])
{
	if (!(seconds >= 0))
		snprintf(out, 24, "-");
	else if (seconds < 100)
		snprintf(out, 24, "%.0f s", seconds);
	else if (seconds < 6000)
		snprintf(out, 24, "%.0f min", seconds / 60);
	else if (seconds < 360000)
		snprintf(out, 24, "%.0f h", seconds / 3600);
	else
		snprintf(out, 24, "%.0f d", fmin(seconds / 86400, 1e6));
	return out;
}

static void put_node(struct page *page, const cJSON *node)
{
	const char *state = answer_words(node, "state"), *agent = answer_words(node, "agent");
	char age[24], usd[24];

	page_put(page, 2, "%-19.19s %-11.11s %7s %-13.13s %-11.11s %-9.9s %7s %-6.6s %s",
		 answer_words(node, "instance"),
		 str_equal(state, "running") && answer_true(node, "serving") ? "serving" : state,
		 short_span(answer_number(node, "age_seconds"), age), answer_words(node, "type"),
		 answer_words(node, "zone"), answer_words(node, "capacity_type"),
		 figure_text(answer_number(node, "usd_per_hour"), usd),
		 str_equal(agent, "connected") ? "yes"
		 : str_equal(agent, "none")    ? "no"
					       : agent,
		 answer_words(node, "policy"));
}

void page_nodes(struct page *page, const cJSON *status)
{
	const cJSON *nodes = answer_part(status, "nodes"), *it;
	double left = answer_number(status, "nodes_count");

	if (!cJSON_GetArraySize(nodes))
		return;
	text_add_char(page->out, '\n');
	page_put(page, 2, "%-19s %-11s %7s %-13s %-11s %-9s %7s %-6s %s", "INSTANCE", "STATE",
		 "AGE", "TYPE", "ZONE", "CAPACITY", "USD/H", "AGENT", "SERVICE");
	cJSON_ArrayForEach (it, nodes) {
		put_node(page, it);
		left--;
	}
	if (left > 0)
		page_put(page, 2, "and %.0f more, which serve: forerun status --json", left);
}
