/* SPDX-License-Identifier: Apache-2.0 */
/* The fleet for a person, from /v1/status. What is missing in the answer is left out of the page.
 */
#include <math.h>

#include "cmd/status.h"
#include "cmd/status_page.h"

#define INDENT 9 /* of the lines on top */

/* ---- the lines on top ---- */

static void put_head(struct page *page, const cJSON *status)
{
	char up[24];

	page_put(page, INDENT, "forerun %s  %s on %s%s%s  up %s", answer_words(status, "version"),
		 answer_words(status, "role"), answer_words(status, "host"),
		 *answer_words(status, "mode") ? "  " : "",
		 *answer_words(status, "mode") ? answer_words(status, "mode") : "",
		 span_text(answer_number(status, "up_seconds"), up));
}

static void put_listeners(struct page *page, const cJSON *status)
{
	const cJSON *listeners = answer_part(status, "listeners"), *it;
	char line[256] = "", ago[24];
	size_t length = 0;

	if (!cJSON_IsObject(listeners))
		return;
	cJSON_ArrayForEach (it, answer_part(listeners, "diagnoses"))
		if (it->string && cJSON_IsNumber(it) && it->valuedouble > 0 && length < 200)
			length += (size_t)snprintf(line + length, sizeof(line) - length,
						   ", %.6g %.30s", it->valuedouble, it->string);
	page_put(page, INDENT, "signals  %.0f listener%s%s; read %s ago",
		 answer_number(listeners, "count"), plural_text(answer_number(listeners, "count")),
		 line, span_text(answer_number(listeners, "read_seconds_ago"), ago));
}

static const char *age_text(const cJSON *catalog, const char *key, char *out, size_t size)
{
	const cJSON *age = answer_part(catalog, key);
	char span[32];

	if (cJSON_IsNumber(age))
		snprintf(out, size, "%s old", span_text(age->valuedouble, span));
	else
		snprintf(out, size, "not known");
	return out;
}

static void put_catalog(struct page *page, const cJSON *cloud)
{
	const cJSON *catalog = answer_part(cloud, "catalog");
	char types[48], prices[48], spot[48];

	if (!(answer_number(catalog, "types") > 0))
		return;
	page_put(page, INDENT, "catalog  %.0f types %s; prices on demand %s, on spot %s",
		 answer_number(catalog, "types"),
		 age_text(catalog, "types_age_seconds", types, sizeof(types)),
		 age_text(catalog, "prices_age_seconds", prices, sizeof(prices)),
		 age_text(catalog, "spot_age_seconds", spot, sizeof(spot)));
}

static void put_cloud(struct page *page, const cJSON *status)
{
	const cJSON *cloud = answer_part(status, "cloud");

	if (!cJSON_IsObject(cloud))
		return;
	if (answer_true(cloud, "ready"))
		page_put(page, INDENT, "AWS      %s, %.0f calls, %.0f errors, %.0f throttled",
			 answer_words(cloud, "region"), answer_number(cloud, "calls"),
			 answer_number(cloud, "errors"), answer_number(cloud, "throttled"));
	else
		page_put(page, INDENT, "AWS      not ready: %s",
			 *answer_words(cloud, "problem") ? answer_words(cloud, "problem")
							 : "it did not answer yet");
	put_catalog(page, cloud);
}

static void put_money(struct page *page, const cJSON *status)
{
	const cJSON *money = answer_part(status, "money");
	char hour[48], day[48], rate[24];
	double last_day = answer_number(money, "usd_last_day");
	double replica = answer_number(money, "usd_per_scaled_replica");

	if (!cJSON_IsObject(money))
		return;
	used_text(answer_number(money, "usd_per_hour"), answer_number(money, "usd_per_hour_limit"),
		  1, hour);
	used_text(last_day, answer_number(money, "usd_per_day_limit"), 1, day);
	page_put(page, INDENT, "money    %s USD an hour%s%s%s", hour, isnan(last_day) ? "" : ", ",
		 isnan(last_day) ? "" : day, isnan(last_day) ? "" : " USD in 24 hours");
	if (!isnan(replica))
		page_put(page, INDENT, "         %.4g USD for each replica until it served",
			 replica);
	if (answer_number(money, "spot_instance_hours") > 0)
		page_put(page, INDENT,
			 "spot     %.0f interrupted in %.1f instance hours (%s an instance hour)",
			 answer_number(money, "spot_interruptions"),
			 answer_number(money, "spot_instance_hours"),
			 figure_text(answer_number(money, "spot_interruptions_per_instance_hour"),
				     rate));
}

static void put_latency(struct page *page, const cJSON *status)
{
	const cJSON *latency = answer_part(status, "scaling_latency");
	char p50[24], p95[24];

	if (!cJSON_IsObject(latency))
		return;
	if (!(answer_number(latency, "count") > 0)) {
		page_put(page, INDENT, "scaling  no launch has come to serve yet");
		return;
	}
	page_put(page, INDENT,
		 "scaling  edge to serving: P50 %s, P95 %s; over 15 s: %.0f %%, over 60 s: %.0f %% "
		 "(%.0f instance%s)",
		 span_text(answer_number(latency, "p50_seconds"), p50),
		 span_text(answer_number(latency, "p95_seconds"), p95),
		 100 * answer_number(latency, "share_over_15_s"),
		 100 * answer_number(latency, "share_over_60_s"), answer_number(latency, "count"),
		 plural_text(answer_number(latency, "count")));
}

/* ---- who leads, and to whom an agent reports ---- */

static void put_lead(struct page *page, const cJSON *status)
{
	const cJSON *lease = answer_part(status, "lease");
	char left[24];

	if (!lease)
		return;
	if (cJSON_IsNull(lease)) {
		page_put(page, INDENT, "lead     this core alone: there is no --lock-table");
		return;
	}
	if (answer_true(lease, "leading"))
		page_put(page, INDENT,
			 "lead     this core leads: epoch %.0f, %s left of its lease, %.0f writes "
			 "failed",
			 answer_number(lease, "epoch"),
			 span_text(answer_number(lease, "left_seconds"), left),
			 answer_number(lease, "failures"));
	else
		page_put(page, INDENT, "lead     this core stands by: %s leads, epoch %.0f",
			 *answer_words(lease, "holder") ? answer_words(lease, "holder")
							: "nobody yet",
			 answer_number(lease, "epoch"));
	if (*answer_words(lease, "problem"))
		page_put(page, INDENT, "         %s", answer_words(lease, "problem"));
}

static void put_cores(struct page *page, const cJSON *status)
{
	const cJSON *it;

	cJSON_ArrayForEach (it, answer_part(status, "cores")) {
		if (answer_true(it, "connected"))
			page_put(page, INDENT,
				 "core     %s: connected, %.0f frames, %.0f of them edges",
				 answer_words(it, "core"), answer_number(it, "frames"),
				 answer_number(it, "edges"));
		else
			page_put(page, INDENT, "core     %s: not connected: %s",
				 answer_words(it, "core"),
				 *answer_words(it, "reason") ? answer_words(it, "reason")
							     : "connecting");
	}
}

/* ---- hosts and brakes ---- */

static void put_hosts(struct page *page, const cJSON *status)
{
	const cJSON *hosts = answer_part(status, "hosts"), *agents = answer_part(status, "agents");

	if (cJSON_IsObject(hosts))
		page_put(page, INDENT, "hosts    %.0f reporting, %.0f silent",
			 answer_number(hosts, "reporting"), answer_number(hosts, "silent"));
	if (cJSON_IsObject(agents))
		page_put(page, INDENT,
			 "agents   %.0f connected, %.0f refused, %.0f handshakes failed",
			 answer_number(agents, "connected"), answer_number(agents, "refused"),
			 answer_number(agents, "handshakes_failed"));
}

static void put_brake(struct page *page, const cJSON *brake)
{
	double policies = answer_number(brake, "policies");
	char since[24], held[48] = "";

	if (policies > 0)
		snprintf(held, sizeof(held), ", %.0f service%s", policies, plural_text(policies));
	page_put(page, INDENT, "brake    %s holds for %s%s: %s", answer_words(brake, "brake"),
		 span_text(answer_number(brake, "since_seconds"), since), held,
		 answer_words(brake, "text"));
}

static void put_brakes(struct page *page, const cJSON *status)
{
	const cJSON *brakes = answer_part(status, "brakes"), *it;
	bool any = false;

	cJSON_ArrayForEach (it, brakes) {
		if (!answer_true(it, "holding"))
			continue;
		put_brake(page, it);
		any = true;
	}
	if (cJSON_IsArray(brakes) && !any)
		page_put(page, INDENT, "brakes   none holds");
	cJSON_ArrayForEach (it, answer_part(status, "lanes_held"))
		page_put(page, INDENT, "held     %s on %s launches nothing: %s",
			 answer_words(it, "policy"), answer_words(it, "pool"),
			 answer_words(it, "why"));
}

/* What EC2 says of this host, and a queue that does not say anything. */
static void put_interruptions(struct page *page, const cJSON *status)
{
	const cJSON *queue = answer_part(status, "interruption_queue");

	if (*answer_words(status, "own_notice"))
		page_put(page, INDENT, "this host %s: agent and core end with it",
			 answer_words(status, "own_notice"));
	if (*answer_words(queue, "problem"))
		page_put(page, INDENT, "queue    %s", answer_words(queue, "problem"));
}

void status_print(const cJSON *status, unsigned width, struct text *out)
{
	struct page page = {out, MAX(width, 80)};

	put_head(&page, status);
	put_lead(&page, status);
	put_cores(&page, status);
	put_listeners(&page, status);
	put_cloud(&page, status);
	put_money(&page, status);
	put_latency(&page, status);
	put_hosts(&page, status);
	put_brakes(&page, status);
	put_interruptions(&page, status);
	page_services(&page, status);
	page_pools(&page, status);
	page_coming(&page, status);
	page_leaving(&page, status);
	page_giving(&page, status);
	page_nodes(&page, status);
}
