/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process shows: the table on a terminal, one JSON object a line elsewhere. Decisions
 * are only noted when the core makes them and written in the loop's next round, so that showing
 * never stands between an edge and its launch.
 */
#include <math.h>
#include <unistd.h>

#include "cmd/run.h"

#define TABLE_EVERY_NS (500 * NS_PER_MS)
#define STATUS_EVERY_NS NS_PER_S
#define TOLD_MOST 10000

/* ---- decisions ---- */

void report_decision(struct run *run, const char *id)
{
	char *copy;

	vec_for_each (known, &run->changed.list)
		if (str_equal(*known, id))
			return;
	copy = strdup(id);
	if (!copy)
		return;
	*vec_push(&run->changed.list) = copy;
	if (run->report_timer)
		loop_timer_at(run->report_timer, 0);
}

const char *mode_text(const struct run *run)
{
	return run->options->mode == MODE_ACT ? "act" : "observe";
}

void decision_summary(const struct decision *decision, char *out, size_t size)
{
	int n = snprintf(out, size, "%s %s: %d -> %d replicas", decision->policy,
			 decision_kind_text(decision->kind), decision->replicas_before,
			 decision->replicas_decided);

	if (n > 0 && (size_t)n < size && decision->replicas_wanted != decision->replicas_decided)
		n += snprintf(out + n, size - (size_t)n, " (wanted %d)", decision->replicas_wanted);
	if (n > 0 && (size_t)n < size && decision->mode == MODE_OBSERVE)
		n += snprintf(out + n, size - (size_t)n, ", only observed");
	if (n > 0 && (size_t)n < size && (decision->launched || decision->failed))
		snprintf(out + n, size - (size_t)n, ", launched %u, failed %u", decision->launched,
			 decision->failed);
}

/* Once in the log, where nobody reads standard output. */
static void log_decision(struct run *run, const struct decision *decision)
{
	uint64_t key = hash_text(decision->id);
	char summary[200];

	if (map_get(&run->told, key))
		return;
	if (run->told.count >= TOLD_MOST)
		map_free(&run->told);
	map_put(&run->told, key, run);
	decision_summary(decision, summary, sizeof(summary));
	log_info("decision %s: %s", decision->id, summary);
}

static void write_decision(struct run *run, const struct decision *decision)
{
	_cleanup_text_ struct text line = {0};

	text_add(&line, "{\"type\":\"decision\",\"decision\":");
	decision_json(decision, &line);
	text_add(&line, "}\n");
	output_write(&run->output, line.data, line.length, false);
}

/* ---- JSON lines ---- */

static void add_process(struct run *run, struct text *out)
{
	double cpu_seconds;
	uint64_t resident_bytes;

	own_usage(&cpu_seconds, &resident_bytes);
	text_add(out, "{\"cpu_seconds\":");
	export_json_number(out, cpu_seconds);
	text_printf(out, ",\"resident_bytes\":%llu,\"lines_dropped\":%llu}",
		    (unsigned long long)resident_bytes, (unsigned long long)run->output.dropped);
}

static void add_probe(struct run *run, struct text *out)
{
	double cpu_seconds;
	uint64_t resident_bytes;

	own_usage(&cpu_seconds, &resident_bytes);
	text_printf(out,
		    "{\"listeners\":%u,\"listeners_max\":%u,\"listeners_refused\":%llu,"
		    "\"connections_refused\":%llu,\"edges_lost\":%llu,\"iterator_errors\":%llu,"
		    "\"poll_seconds\":",
		    run->health.listeners, run->health.listeners_max,
		    (unsigned long long)run->health.listeners_refused,
		    (unsigned long long)run->health.connections_refused,
		    (unsigned long long)run->health.edges_lost,
		    (unsigned long long)run->health.iterator_errors);
	export_json_number(out, (double)run->health.poll_ns / (double)NS_PER_S);
	text_add(out, ",\"kernel_seconds\":");
	export_json_number(out, (double)run->health.kernel_ns / (double)NS_PER_S);
	text_add(out, ",\"cpu_seconds\":");
	export_json_number(out, cpu_seconds);
	text_printf(out, ",\"resident_bytes\":%llu,\"lines_dropped\":%llu}",
		    (unsigned long long)resident_bytes, (unsigned long long)run->output.dropped);
}

static void add_signals(struct run *run, struct text *out)
{
	_cleanup_text_ struct text signals = {0};
	const struct indicator *indicators;
	size_t count = signal_indicators(run->signal, &indicators);

	export_json_signals(&signals, indicators, count, false, time_now());
	text_add_char(out, ',');
	text_add_bytes(out, signals.data + 1, signals.length - 2); /* without its braces */
}

static void add_time(struct text *out)
{
	char time[TIME_TEXT_SIZE];

	time_format(time_wall_ns(), time);
	text_printf(out, ",\"time\":\"%s\"", time);
}

static void add_decider(struct run *run, struct text *out)
{
	text_add(out, ",\"policies\":");
	policies_json(&run->facts, out);
	text_add(out, ",\"totals\":");
	totals_json(&run->facts, out);
	text_add(out, ",\"cloud\":");
	cloud_json(&run->facts, out);
}

static void add_fleet(struct run *run, struct text *out)
{
	if (run->role == ROLE_CORE) {
		text_add(out, ",\"agents\":");
		agents_json(&run->facts, out);
		text_add(out, ",\"lease\":");
		lease_json(&run->facts, out);
	} else if (run->role == ROLE_AGENT) {
		text_add(out, ",\"cores\":");
		cores_json(&run->facts, out);
	}
}

static void write_status(struct run *run)
{
	_cleanup_text_ struct text line = {0};

	text_printf(&line, "{\"type\":\"status\",\"role\":\"%s\"", role_text(run->role));
	if (run->role != ROLE_AGENT)
		text_printf(&line, ",\"mode\":\"%s\"", mode_text(run));
	if (run->signal)
		add_signals(run, &line);
	else
		add_time(&line);
	if (run->core)
		add_decider(run, &line);
	add_fleet(run, &line);
	text_add(&line, run->signal ? ",\"probe\":" : ",\"process\":");
	if (run->signal)
		add_probe(run, &line);
	else
		add_process(run, &line);
	text_add(&line, "}\n");
	output_write(&run->output, line.data, line.length, true);
}

static void write_start(struct run *run)
{
	_cleanup_text_ struct text line = {0};
	char time[TIME_TEXT_SIZE];

	time_format(run->started.wall_ns, time);
	text_printf(&line, "{\"type\":\"start\",\"time\":\"%s\",\"version\":\"%s\",\"host\":", time,
		    FORERUN_VERSION);
	text_add_json(&line, run->host);
	text_printf(&line, ",\"role\":\"%s\",\"mode\":\"%s\",\"pid\":%d,\"policies\":%zu",
		    role_text(run->role), mode_text(run), getpid(), run->documents.policies.count);
	if (run->agents)
		text_printf(&line, ",\"agents_port\":%u", wire_server_port(run->agents));
	text_add(&line, ",\"port\":");
	if (run->server)
		text_printf(&line, "%u}\n", http_server_port(run->server));
	else
		text_add(&line, "null}\n");
	output_write(&run->output, line.data, line.length, false);
}

/* ---- timers ---- */

static void on_report(void *arg, uint64_t now_ns)
{
	struct run *run = arg;

	(void)now_ns;
	vec_for_each (id, &run->changed.list) {
		const struct decision *decision = core_decision_by_id(run->core, *id);

		if (decision && run->format == FORMAT_JSON)
			write_decision(run, decision);
		else if (decision && run->format == FORMAT_NONE)
			log_decision(run, decision);
		free(*id);
	}
	vec_clear(&run->changed.list);
	if (run->format == FORMAT_TABLE)
		table_draw(run);
}

static void on_second(void *arg, uint64_t now_ns)
{
	struct run *run = arg;
	bool table = run->format == FORMAT_TABLE;

	if (table)
		table_draw(run);
	else if (run->format == FORMAT_JSON)
		write_status(run);
	if (run->record)
		fflush(run->record);
	loop_timer_at(run->second_timer, now_ns + (table ? TABLE_EVERY_NS : STATUS_EVERY_NS));
}

static void on_reader_gone(void *arg)
{
	struct run *run = arg;

	log_info("nobody reads standard output any more: stopping");
	loop_quit(run->loop, EXIT_DONE);
}

int report_start(struct run *run)
{
	int r;

	if (run->format == FORMAT_AUTO)
		run->format = isatty(STDOUT_FILENO) ? FORMAT_TABLE : FORMAT_JSON;
	r = output_open(&run->output, run->loop, on_reader_gone, run);
	if (r == 0)
		r = loop_timer_new(run->loop, on_report, run, &run->report_timer);
	if (r == 0)
		r = loop_timer_new(run->loop, on_second, run, &run->second_timer);
	if (r == 0 && run->format == FORMAT_TABLE)
		r = table_start(run);
	if (r == -ENOTTY)
		log_error("--format: found \"table\" and standard output is no terminal, expected "
			  "json or none");
	if (r < 0)
		return r;
	if (run->format == FORMAT_JSON)
		write_start(run);
	loop_timer_at(run->second_timer, time_mono_ns() + 2 * run->options->interval_ns);
	return 0;
}

void report_stop(struct run *run)
{
	loop_timer_free(run->report_timer);
	loop_timer_free(run->second_timer);
	if (run->output.loop)
		output_close(&run->output);
	if (run->format == FORMAT_TABLE)
		table_stop(run);
	vec_for_each (id, &run->changed.list)
		free(*id);
	vec_free(&run->changed.list);
	map_free(&run->told);
}
