/* SPDX-License-Identifier: Apache-2.0 */
/* The fleet for a person, from /v1/status. What is missing in the answer is left out of the page.
 */
#include <math.h>

#include "base/base.h"
#include "cmd/status.h"

#define LINE_SIZE 1024
#define INDENT 9 /* of the lines on top */

struct page {
	struct text *out;
	unsigned width;
};

/* ---- what the answer says ---- */

static const cJSON *part(const cJSON *object, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(object, key);
}

static const char *words(const cJSON *object, const char *key)
{
	const char *value = cJSON_GetStringValue(part(object, key));

	return value ? value : "";
}

static double number(const cJSON *object, const char *key)
{
	const cJSON *item = part(object, key);

	return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static bool is_true(const cJSON *object, const char *key)
{
	return cJSON_IsTrue(part(object, key));
}

/* ---- lines ---- */

static void put_bytes(struct page *page, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];

		text_add_char(page->out, c < 0x20 || c > 0x7e ? '?' : (char)c);
	}
}

/* What does not fit goes on below, at a space, indented. */
static void put_wrapped(struct page *page, unsigned indent, const char *text)
{
	unsigned room = page->width;
	bool first = true;

	do {
		size_t length = strnlen(text, first ? room : room - indent);

		if (text[length])
			for (size_t at = length; at > length / 2; at--)
				if (text[at] == ' ') {
					length = at;
					break;
				}
		if (!first)
			text_printf(page->out, "%*s", (int)indent, "");
		put_bytes(page, text, length);
		text_add_char(page->out, '\n');
		text += length;
		text += strspn(text, " ");
		first = false;
	} while (*text);
}

static void put(struct page *page, unsigned indent, const char *format, ...) _printf_(3, 4);
static void put(struct page *page, unsigned indent, const char *format, ...)
{
	char line[LINE_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	put_wrapped(page, indent, line);
}

/* "12 s", "3 min 20 s", "2 h 10 min", "5 d 3 h"; "-": not known. */
static const char *span(double seconds, char out[24])
{
	double whole = floor(seconds);

	if (!isfinite(seconds))
		snprintf(out, 24, "-");
	else if (seconds < 9.95)
		snprintf(out, 24, "%.1f s", seconds);
	else if (whole < 60)
		snprintf(out, 24, "%.0f s", whole);
	else if (whole < 3600)
		snprintf(out, 24, "%.0f min %.0f s", floor(whole / 60), fmod(whole, 60));
	else if (whole < 86400)
		snprintf(out, 24, "%.0f h %.0f min", floor(whole / 3600),
			 floor(fmod(whole, 3600) / 60));
	else
		snprintf(out, 24, "%.0f d %.0f h", floor(fmin(whole / 86400, 1e6)),
			 floor(fmod(whole, 86400) / 3600));
	return out;
}

static const char *figure(double value, char out[24])
{
	if (!isfinite(value))
		snprintf(out, 24, "-");
	else
		snprintf(out, 24, "%.4g", value);
	return out;
}

static const char *plural(double count)
{
	return count == 1 ? "" : "s";
}

/* "8 of 100", "8" where there is no limit. */
static const char *used(double value, double limit, double unit, char out[48])
{
	if (isnan(limit))
		snprintf(out, 48, "%.4g", value / unit);
	else
		snprintf(out, 48, "%.4g of %.4g", value / unit, limit / unit);
	return out;
}

/* ---- the lines on top ---- */

static void put_head(struct page *page, const cJSON *status)
{
	char up[24];

	put(page, INDENT, "forerun %s  %s on %s%s%s  up %s", words(status, "version"),
	    words(status, "role"), words(status, "host"), *words(status, "mode") ? "  " : "",
	    *words(status, "mode") ? words(status, "mode") : "",
	    span(number(status, "up_seconds"), up));
}

static void put_cloud(struct page *page, const cJSON *status)
{
	const cJSON *cloud = part(status, "cloud");

	if (!cJSON_IsObject(cloud))
		return;
	if (is_true(cloud, "ready"))
		put(page, INDENT, "AWS      %s, %.0f calls, %.0f errors, %.0f throttled",
		    words(cloud, "region"), number(cloud, "calls"), number(cloud, "errors"),
		    number(cloud, "throttled"));
	else
		put(page, INDENT, "AWS      not ready: %s",
		    *words(cloud, "problem") ? words(cloud, "problem") : "it did not answer yet");
}

static void put_money(struct page *page, const cJSON *status)
{
	const cJSON *money = part(status, "money");
	char hour[48], day[48], rate[24];
	double last_day = number(money, "usd_last_day");
	double replica = number(money, "usd_per_scaled_replica");

	if (!cJSON_IsObject(money))
		return;
	used(number(money, "usd_per_hour"), number(money, "usd_per_hour_limit"), 1, hour);
	used(last_day, number(money, "usd_per_day_limit"), 1, day);
	put(page, INDENT, "money    %s USD an hour%s%s%s", hour, isnan(last_day) ? "" : ", ",
	    isnan(last_day) ? "" : day, isnan(last_day) ? "" : " USD in 24 hours");
	if (!isnan(replica))
		put(page, INDENT, "         %.4g USD for each replica until it served", replica);
	if (number(money, "spot_instance_hours") > 0)
		put(page, INDENT,
		    "spot     %.0f interrupted in %.1f instance hours (%s an instance hour)",
		    number(money, "spot_interruptions"), number(money, "spot_instance_hours"),
		    figure(number(money, "spot_interruptions_per_instance_hour"), rate));
}

static void put_latency(struct page *page, const cJSON *status)
{
	const cJSON *latency = part(status, "scaling_latency");
	char p50[24], p95[24];

	if (!cJSON_IsObject(latency))
		return;
	if (!(number(latency, "count") > 0)) {
		put(page, INDENT, "scaling  no launch has come to serve yet");
		return;
	}
	put(page, INDENT,
	    "scaling  edge to serving: P50 %s, P95 %s; over 15 s: %.0f %%, over 60 s: %.0f %% "
	    "(%.0f instance%s)",
	    span(number(latency, "p50_seconds"), p50), span(number(latency, "p95_seconds"), p95),
	    100 * number(latency, "share_over_15_s"), 100 * number(latency, "share_over_60_s"),
	    number(latency, "count"), plural(number(latency, "count")));
}

/* ---- who leads, and to whom an agent reports ---- */

static void put_lead(struct page *page, const cJSON *status)
{
	const cJSON *lease = part(status, "lease");
	char left[24];

	if (!lease)
		return;
	if (cJSON_IsNull(lease)) {
		put(page, INDENT, "lead     this core alone: there is no --lock-table");
		return;
	}
	if (is_true(lease, "leading"))
		put(page, INDENT,
		    "lead     this core leads: epoch %.0f, %s left of its lease, %.0f writes "
		    "failed",
		    number(lease, "epoch"), span(number(lease, "left_seconds"), left),
		    number(lease, "failures"));
	else
		put(page, INDENT, "lead     this core stands by: %s leads, epoch %.0f",
		    *words(lease, "holder") ? words(lease, "holder") : "nobody yet",
		    number(lease, "epoch"));
	if (*words(lease, "problem"))
		put(page, INDENT, "         %s", words(lease, "problem"));
}

static void put_cores(struct page *page, const cJSON *status)
{
	const cJSON *it;

	cJSON_ArrayForEach (it, part(status, "cores")) {
		if (is_true(it, "connected"))
			put(page, INDENT, "core     %s: connected, %.0f frames, %.0f of them edges",
			    words(it, "core"), number(it, "frames"), number(it, "edges"));
		else
			put(page, INDENT, "core     %s: not connected: %s", words(it, "core"),
			    *words(it, "reason") ? words(it, "reason") : "connecting");
	}
}

/* ---- hosts and brakes ---- */

static void put_hosts(struct page *page, const cJSON *status)
{
	const cJSON *hosts = part(status, "hosts"), *agents = part(status, "agents");

	if (cJSON_IsObject(hosts))
		put(page, INDENT, "hosts    %.0f reporting, %.0f silent",
		    number(hosts, "reporting"), number(hosts, "silent"));
	if (cJSON_IsObject(agents))
		put(page, INDENT, "agents   %.0f connected, %.0f refused, %.0f handshakes failed",
		    number(agents, "connected"), number(agents, "refused"),
		    number(agents, "handshakes_failed"));
}

static void put_brake(struct page *page, const cJSON *brake)
{
	double policies = number(brake, "policies");
	char since[24], held[48] = "";

	if (policies > 0)
		snprintf(held, sizeof(held), ", %.0f service%s", policies, plural(policies));
	put(page, INDENT, "brake    %s holds for %s%s: %s", words(brake, "brake"),
	    span(number(brake, "since_seconds"), since), held, words(brake, "text"));
}

static void put_brakes(struct page *page, const cJSON *status)
{
	const cJSON *brakes = part(status, "brakes"), *it;
	bool any = false;

	cJSON_ArrayForEach (it, brakes) {
		if (!is_true(it, "holding"))
			continue;
		put_brake(page, it);
		any = true;
	}
	if (cJSON_IsArray(brakes) && !any)
		put(page, INDENT, "brakes   none holds");
	cJSON_ArrayForEach (it, part(status, "lanes_held"))
		put(page, INDENT, "held     %s on %s launches nothing: %s", words(it, "policy"),
		    words(it, "pool"), words(it, "why"));
}

/* ---- services ---- */

static const char *short_metric(const char *name)
{
	return str_starts(name, "forerun_") ? name + strlen("forerun_") : name;
}

static void put_service(struct page *page, const cJSON *service)
{
	const cJSON *metrics = part(service, "metrics"), *metric;
	char now[24], target[24], replicas[64];

	metric = cJSON_GetArrayItem(metrics, (int)fmin(fmax(number(service, "deciding"), 0), 1000));
	metric = metric ?: cJSON_GetArrayItem(metrics, 0);
	snprintf(replicas, sizeof(replicas), "%.0f, %.0f ready -> %.0f",
		 number(service, "replicas"), number(service, "ready"), number(service, "wanted"));
	put(page, 2, "%-16.16s %-14.14s %-26.26s %8s %8s  %s", words(service, "policy"),
	    words(service, "pool"), short_metric(words(metric, "metric")),
	    figure(number(metric, "value"), now), figure(number(metric, "target"), target),
	    replicas);
	if (number(service, "hosts_silent") > 0)
		put(page, 2, "  hosts: %.0f reporting, %.0f silent",
		    number(service, "hosts_reporting"), number(service, "hosts_silent"));
	if (*words(service, "held"))
		put(page, 4, "  held: %s", words(service, "held"));
	else if (*words(metric, "why"))
		put(page, 4, "  %s", words(metric, "why"));
}

static void put_services(struct page *page, const cJSON *status)
{
	const cJSON *services = part(status, "services"), *it;
	double left = number(status, "services_count");

	if (!cJSON_IsArray(services))
		return;
	if (!(left > 0)) {
		put(page, 2, "\nno policies: nothing is scaled");
		return;
	}
	text_add_char(page->out, '\n');
	put(page, 2, "%-16s %-14s %-26s %8s %8s  %s", "SERVICE", "POOL", "METRIC", "NOW", "TARGET",
	    "REPLICAS");
	cJSON_ArrayForEach (it, services) {
		put_service(page, it);
		left--;
	}
	if (left > 0)
		put(page, 2, "and %.0f more, which have what they want: forerun status --json",
		    left);
}

/* ---- pools ---- */

static void pool_lead(const cJSON *status, const char *pool, char *out, size_t size)
{
	const cJSON *it;
	char time[24];

	out[0] = '\0';
	cJSON_ArrayForEach (it, part(status, "lead_times")) {
		if (*words(it, "family") || !str_equal(words(it, "pool"), pool))
			continue;
		span(number(it, "p75"), time);
		if (number(it, "samples") > 0)
			snprintf(out, size, "%s (%.0f launch%s)", time, number(it, "samples"),
				 number(it, "samples") == 1 ? "" : "es");
		else
			snprintf(out, size, "%s (configured)", time);
		return;
	}
}

static void put_pools(struct page *page, const cJSON *status)
{
	const cJSON *pools = part(status, "pools"), *it;
	char cpus[48], memory[48], usd[24], lead[64], instances[48];

	if (!cJSON_GetArraySize(pools))
		return;
	text_add_char(page->out, '\n');
	put(page, 2, "%-16s %-16s %-14s %-16s %8s  %s", "POOL", "INSTANCES", "CPU", "MEMORY GiB",
	    "USD/H", "LEAD TIME");
	cJSON_ArrayForEach (it, pools) {
		snprintf(instances, sizeof(instances), "%.0f, %.0f coming", number(it, "running"),
			 number(it, "pending"));
		used(number(it, "cpus"), number(it, "cpus_limit"), 1, cpus);
		used(number(it, "memory_bytes"), number(it, "memory_bytes_limit"), 1 << 30, memory);
		pool_lead(status, words(it, "pool"), lead, sizeof(lead));
		put(page, 2, "%-16.16s %-16s %-14s %-16s %8s  %s", words(it, "pool"), instances,
		    cpus, memory, figure(number(it, "usd_per_hour"), usd), lead);
		if (*words(it, "problem"))
			put(page, 4, "  cannot buy: %s", words(it, "problem"));
	}
}

/* ---- what is on its way ---- */

static void put_coming_one(struct page *page, const cJSON *coming)
{
	double expected = number(coming, "expected_in_seconds");
	char age[24], stage[24], in[24];

	put(page, 2, "%s  %s +%.0f, decided %s ago", words(coming, "decision"),
	    words(coming, "policy"), number(coming, "count"),
	    span(number(coming, "age_seconds"), age));
	put(page, 4, "  %.0f of %.0f serve; %s for %s; %s%s", number(coming, "serving"),
	    number(coming, "count") - number(coming, "failed"), words(coming, "stage"),
	    span(number(coming, "stage_seconds"), stage),
	    isnan(expected) ? "it takes longer than expected" : "expected to serve in ",
	    isnan(expected) ? "" : span(expected, in));
	if (*words(coming, "last_step"))
		put(page, 4, "  newest: %s", words(coming, "last_step"));
}

static void put_coming(struct page *page, const cJSON *status)
{
	const cJSON *coming = part(status, "coming"), *it;

	if (!cJSON_GetArraySize(coming))
		return;
	text_add_char(page->out, '\n');
	put(page, 2, "ON ITS WAY (why: forerun explain ID)");
	cJSON_ArrayForEach (it, coming)
		put_coming_one(page, it);
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
	const char *state = words(node, "state"), *agent = words(node, "agent");
	char age[24], usd[24];

	put(page, 2, "%-19.19s %-11.11s %7s %-13.13s %-11.11s %-9.9s %7s %-6.6s %s",
	    words(node, "instance"),
	    str_equal(state, "running") && is_true(node, "serving") ? "serving" : state,
	    short_span(number(node, "age_seconds"), age), words(node, "type"), words(node, "zone"),
	    words(node, "capacity_type"), figure(number(node, "usd_per_hour"), usd),
	    str_equal(agent, "connected") ? "yes"
	    : str_equal(agent, "none")	  ? "no"
					  : agent,
	    words(node, "policy"));
}

static void put_nodes(struct page *page, const cJSON *status)
{
	const cJSON *nodes = part(status, "nodes"), *it;
	double left = number(status, "nodes_count");

	if (!cJSON_GetArraySize(nodes))
		return;
	text_add_char(page->out, '\n');
	put(page, 2, "%-19s %-11s %7s %-13s %-11s %-9s %7s %-6s %s", "INSTANCE", "STATE", "AGE",
	    "TYPE", "ZONE", "CAPACITY", "USD/H", "AGENT", "SERVICE");
	cJSON_ArrayForEach (it, nodes) {
		put_node(page, it);
		left--;
	}
	if (left > 0)
		put(page, 2, "and %.0f more, which serve: forerun status --json", left);
}

void status_print(const cJSON *status, unsigned width, struct text *out)
{
	struct page page = {out, MAX(width, 80)};

	put_head(&page, status);
	put_lead(&page, status);
	put_cores(&page, status);
	put_cloud(&page, status);
	put_money(&page, status);
	put_latency(&page, status);
	put_hosts(&page, status);
	put_brakes(&page, status);
	put_services(&page, status);
	put_pools(&page, status);
	put_coming(&page, status);
	put_nodes(&page, status);
}
