/* SPDX-License-Identifier: Apache-2.0 */
/* What forerun answers over HTTP. Everything is read only. */
#include <math.h>

#include "cmd/facts.h"

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

static void answer_metrics(const struct facts *facts, const struct http_query *query,
			   struct http_reply *reply)
{
	struct text body = {0};
	struct export_metrics metrics = {&body,
					 export_dialect_of(http_query_header(query, "Accept"))};

	facts_metrics(facts, &metrics);
	export_metrics_end(&metrics);
	answer(reply, 200, export_dialect_type(metrics.dialect), &body);
}

/* ---- /v1 ---- */

static void answer_signals(const struct facts *facts, const struct http_query *query,
			   struct http_reply *reply)
{
	bool buckets = str_equal(http_query_argument(query, "buckets"), "1");
	struct text body = {0};
	const struct indicator *indicators;
	size_t count = signal_indicators(facts->signal, &indicators);

	export_json_signals(&body, indicators, count, buckets, time_now());
	text_add_char(&body, '\n');
	answer(reply, 200, JSON_TYPE, &body);
}

static void answer_status(const struct facts *facts, const struct http_query *query,
			  struct http_reply *reply)
{
	struct text body = {0};

	status_json(facts, time_now(), http_query_argument(query, "all") != NULL, &body);
	text_add_char(&body, '\n');
	answer(reply, 200, JSON_TYPE, &body);
}

static void answer_hosts(const struct facts *facts, const struct http_query *query,
			 struct http_reply *reply)
{
	struct text body = {0};

	(void)query;
	hosts_json(facts, time_now(), &body);
	text_add_char(&body, '\n');
	answer(reply, 200, JSON_TYPE, &body);
}

static void answer_decisions(const struct facts *facts, const struct http_query *query,
			     struct http_reply *reply)
{
	struct text body = {0};
	const struct decision *decision;

	(void)query;
	text_add(&body, "{\"decisions\":[");
	for (size_t i = 0; i < DECISIONS_MOST; i++) {
		decision = core_decision(facts->core, i);
		if (!decision)
			break;
		text_add(&body, i ? "," : "");
		decision_json(decision, &body);
	}
	text_add(&body, "]}\n");
	answer(reply, 200, JSON_TYPE, &body);
}

static void answer_decision(const struct facts *facts, const struct http_query *query,
			    struct http_reply *reply)
{
	const char *id = strrchr(query->path, '/') + 1;
	const struct decision *decision = core_decision_by_id(facts->core, id);
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

static void answer_policies(const struct facts *facts, const struct http_query *query,
			    struct http_reply *reply)
{
	struct text body = {0};

	(void)query;
	text_add(&body, "{\"policies\":");
	policies_json(facts, &body);
	text_add(&body, ",\"totals\":");
	totals_json(facts, &body);
	text_add(&body, ",\"cloud\":");
	cloud_json(facts, &body);
	text_add(&body, "}\n");
	answer(reply, 200, JSON_TYPE, &body);
}

/* ---- health ---- */

/* The loop answers, so it lives; what may be wrong is that the kernel is not read any more. */
static void answer_health(const struct facts *facts, const struct http_query *query,
			  struct http_reply *reply)
{
	uint64_t sampled_ns = facts->sampled_ns ? *facts->sampled_ns : 0;
	uint64_t age_ns = time_mono_ns() - sampled_ns;

	(void)query;
	if (!facts->signal ||
	    (sampled_ns && age_ns < MAX(10 * facts->options->interval_ns, 5 * NS_PER_S)))
		answer_text(reply, 200, "ok");
	else
		answer_text(reply, 503, "the listeners were not read lately; see the log");
}

/* A core that stands by is ready to take over: what would keep it from that makes it unready. */
static void answer_standby(const struct facts *facts, struct http_reply *reply)
{
	struct lease_status status;
	char line[256];

	lease_status(facts->lease, &status);
	if (status.problem[0]) {
		answer_text(reply, 503, status.problem);
		return;
	}
	snprintf(line, sizeof(line), "ready: standing by%s%s", status.holder[0] ? " for " : "",
		 status.holder);
	answer_text(reply, 200, line);
}

static void answer_ready(const struct facts *facts, const struct http_query *query,
			 struct http_reply *reply)
{
	struct cloud_status status = {.ready = true};

	(void)query;
	if (facts->cloud)
		cloud_status(facts->cloud, &status);
	if (facts->signal && !*facts->sampled_ns)
		answer_text(reply, 503, "not ready: the listeners were not read yet");
	else if (facts->options->mode == MODE_ACT && !status.ready)
		answer_text(reply, 503,
			    status.problem[0] ? status.problem
					      : "not ready: AWS did not answer yet");
	else if (facts->lease && !lease_held(facts->lease))
		answer_standby(facts, reply);
	else
		answer_text(reply, 200, "ready");
}

/* ---- what there is to ask ---- */

enum needs { NEEDS_NOTHING, NEEDS_SIGNAL, NEEDS_CORE };

static const struct page {
	const char *path; /* ends in '/': of everything below it */
	enum needs needs;
	void (*answer)(const struct facts *facts, const struct http_query *query,
		       struct http_reply *reply);
} pages[] = {
	{"/metrics", NEEDS_NOTHING, answer_metrics},
	{"/healthz", NEEDS_NOTHING, answer_health},
	{"/readyz", NEEDS_NOTHING, answer_ready},
	{"/v1/status", NEEDS_NOTHING, answer_status},
	{"/v1/signals", NEEDS_SIGNAL, answer_signals},
	{"/v1/hosts", NEEDS_CORE, answer_hosts},
	{"/v1/policies", NEEDS_CORE, answer_policies},
	{"/v1/decisions", NEEDS_CORE, answer_decisions},
	{"/v1/decisions/", NEEDS_CORE, answer_decision},
};

static bool has(const struct facts *facts, enum needs needs)
{
	return needs == NEEDS_NOTHING || (needs == NEEDS_SIGNAL && facts->signal) ||
	       (needs == NEEDS_CORE && facts->core);
}

static bool is_page(const struct page *page, const char *path)
{
	return str_ends(page->path, "/") ? str_starts(path, page->path)
					 : str_equal(path, page->path);
}

static void answer_no_page(const struct facts *facts, struct http_reply *reply)
{
	_cleanup_text_ struct text line = {0};

	text_add(&line, "no such page; there are");
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		if (has(facts, pages[i].needs))
			text_printf(&line, " %s%s", pages[i].path,
				    str_ends(pages[i].path, "/") ? "ID" : "");
	answer_text(reply, 404, line.data);
}

static void on_query(void *arg, const struct http_query *query, struct http_reply *reply)
{
	const struct facts *facts = arg;

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		if (has(facts, pages[i].needs) && is_page(&pages[i], query->path)) {
			pages[i].answer(facts, query, reply);
			return;
		}
	answer_no_page(facts, reply);
}

int serve_start(struct loop *loop, struct facts *facts, struct http_server **out)
{
	const char *address = facts->options->listen;
	const char *where = option_where(facts->options, "listen");
	int r;

	if (str_equal(address, "none"))
		return 0;
	r = http_server_new(loop, address, on_query, facts, out);
	if (r == -EINVAL)
		log_error("%s: found \"%s\", expected an address such as 127.0.0.1:9910 or :9910, "
			  "or none",
			  where ? where : "--listen", address);
	else if (r < 0)
		log_error("cannot listen on %s: %s; give another address with --listen, or none",
			  address, strerror(-r));
	return r;
}
