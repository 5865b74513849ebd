/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `forerun run` shows: the table on a terminal, one JSON object a line elsewhere. Decisions
 * are only noted when the core makes them and written in the loop's next round, so that showing
 * never stands between an edge and its launch.
 */
#include <math.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "cmd/run.h"

#define TABLE_EVERY_NS (500 * NS_PER_MS)
#define STATUS_EVERY_NS NS_PER_S
#define POLICIES_SHOWN 64
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

static void decision_summary(const struct decision *decision, char *out, size_t size)
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

/* ---- the table ---- */

static size_t table_policies(struct run *run, struct table_policy *out)
{
	const struct policy_status *status;
	size_t count = MIN(core_policies(run->core, &status), (size_t)POLICIES_SHOWN);

	for (size_t i = 0; i < count; i++) {
		size_t metric = MIN(status[i].result.metric, ARRAY_SIZE(status[i].readings) - 1);
		const char *note = status[i].held;

		if (metric >= status[i].policy->metrics.count)
			metric = 0;
		out[i] =
			(struct table_policy){.value = policy_metric_value(&status[i], metric),
					      .target = status[i].policy->metrics.at[metric].target,
					      .replicas = status[i].replicas,
					      .ready = status[i].ready,
					      .wanted = status[i].wanted};
		snprintf(out[i].name, sizeof(out[i].name), "%s", status[i].policy->name);
		policy_metric_name(&status[i].policy->metrics.at[metric], out[i].metric,
				   sizeof(out[i].metric));
		if (!note[0] && !status[i].observed)
			note = "first observation";
		if (!note[0] && !status[i].readings[metric].known)
			note = status[i].readings[metric].why;
		snprintf(out[i].note, sizeof(out[i].note), "%.159s", note);
	}
	return count;
}

static size_t table_decisions(struct run *run, struct table_decision *out)
{
	size_t count = 0;

	for (; count < RUN_DECISIONS_SHOWN; count++) {
		const struct decision *decision = core_decision(run->core, count);

		if (!decision)
			break;
		out[count].wall_ns = decision->made.wall_ns;
		snprintf(out[count].id, sizeof(out[count].id), "%s", decision->id);
		decision_summary(decision, out[count].text, sizeof(out[count].text));
	}
	return count;
}

/* Who only observes can do without AWS: the log has said why it is not reached. */
static void cloud_title(struct run *run, char *out, size_t size)
{
	struct cloud_status status;

	cloud_status(run->cloud, &status);
	if (status.ready)
		snprintf(out, size, "  AWS %s", status.region);
	else if (!status.problem[0])
		snprintf(out, size, "  AWS: not ready yet");
	else if (run->options->mode == MODE_ACT)
		snprintf(out, size, "  AWS: %s", status.problem);
	else
		snprintf(out, size, "  AWS not reached");
}

/* Where to look next, and how it ends. */
static void table_hint(struct run *run, char *out, size_t size)
{
	const char *end = run->options->pin ? "Ctrl-C ends it; --pin keeps counting"
					    : "Ctrl-C ends it, nothing stays attached";
	const char *listen = run->options->listen;
	int host = (int)(strrchr(listen, ':') ? strrchr(listen, ':') - listen : 0);

	if (!run->server)
		snprintf(out, size, "%s", end);
	else
		snprintf(out, size, "http://%.*s:%u/metrics   %s", host ? host : 9,
			 host ? listen : "127.0.0.1", http_server_port(run->server), end);
}

static void table_title(struct run *run, char *out, size_t size)
{
	uint64_t up_s = (time_mono_ns() - run->started.mono_ns) / NS_PER_S;
	char cloud[CLOUD_TEXT_SIZE + 64] = "";

	if (run->cloud)
		cloud_title(run, cloud, sizeof(cloud));
	snprintf(out, size, "forerun %s  %s  %s  up %llu s%s", FORERUN_VERSION, run->host,
		 run->options->mode == MODE_ACT ? "act" : "observe", (unsigned long long)up_s,
		 cloud);
}

/* Each line erases what stood behind it, and the end erases what stood below. */
static void put_frame(struct run *run, const struct text *table)
{
	_cleanup_text_ struct text frame = {0};

	text_add(&frame, "\033[H");
	for (size_t i = 0; i < table->length; i++) {
		if (table->data[i] == '\n')
			text_add(&frame, "\033[K\n");
		else
			text_add_char(&frame, table->data[i]);
	}
	text_add(&frame, "\033[J");
	output_write(&run->output, frame.data, frame.length, false);
}

static void draw(struct run *run)
{
	_cleanup_text_ struct text drawn = {0};
	struct table_policy policies[POLICIES_SHOWN];
	struct table_decision decisions[RUN_DECISIONS_SHOWN];
	char title[512], hint[256];
	struct table table = {.title = title,
			      .hint = hint,
			      .policies = policies,
			      .decisions = decisions,
			      .log_lines = (const char *const *)run->log_lines,
			      .log_count = run->log_count,
			      .color = !getenv("NO_COLOR")};

	if (output_busy(&run->output))
		return; /* the terminal still takes the last one */
	table_title(run, title, sizeof(title));
	table_hint(run, hint, sizeof(hint));
	table.policies_count = table_policies(run, policies);
	table.decisions_count = table_decisions(run, decisions);
	table.count = signal_indicators(run->signal, &table.indicators);
	terminal_size(&table.width, &table.height);
	table.height -= 1; /* a newline on the last line would scroll */
	export_table(&drawn, &table);
	put_frame(run, &drawn);
}

/* Below the table, where log lines would tear it. */
static void on_log_line(void *arg, enum log_level level, const char *line)
{
	struct run *run = arg;
	char *copy = strdup(line);

	(void)level;
	if (!copy)
		return;
	if (run->log_count == RUN_LOG_LINES) {
		free(run->log_lines[0]);
		memmove(run->log_lines, run->log_lines + 1,
			(RUN_LOG_LINES - 1) * sizeof(*run->log_lines));
		run->log_count--;
	}
	run->log_lines[run->log_count++] = copy;
}

static void on_resize(void *arg, int signo)
{
	(void)signo;
	draw(arg);
}

/* Ctrl-Z: the shell gets its screen back, and the table returns with fg. */
static void on_suspend(void *arg, int signo)
{
	(void)signo;
	terminal_leave();
	kill(getpid(), SIGSTOP);
	terminal_enter();
	draw(arg);
}

static void on_key(void *arg, int fd, uint32_t events)
{
	struct run *run = arg;
	char keys[64];
	ssize_t n = read(fd, keys, sizeof(keys));

	(void)events;
	if (n <= 0)
		loop_fd_remove(run->loop, fd);
	for (ssize_t i = 0; i < n; i++)
		if (keys[i] == 'q' || keys[i] == 'Q')
			loop_quit(run->loop, EXIT_DONE);
}

static int start_table(struct run *run)
{
	int r = terminal_enter();

	if (r < 0)
		return r;
	if (isatty(STDERR_FILENO))
		log_set_sink(on_log_line, run);
	if (isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp())
		loop_fd_add(run->loop, STDIN_FILENO, EPOLLIN, on_key, run);
	loop_signal(run->loop, SIGTSTP, on_suspend, run);
	return loop_signal(run->loop, SIGWINCH, on_resize, run);
}

static void stop_table(struct run *run)
{
	log_set_sink(NULL, NULL);
	terminal_leave();
	for (size_t i = 0; i < run->log_count; i++) {
		fprintf(stderr, "%s\n", run->log_lines[i]);
		free(run->log_lines[i]);
	}
	run->log_count = 0;
}

/* ---- JSON lines ---- */

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

static void write_status(struct run *run)
{
	_cleanup_text_ struct text line = {0}, signals = {0};
	const struct indicator *indicators;
	size_t count = signal_indicators(run->signal, &indicators);

	export_json_signals(&signals, indicators, count, false, time_now());
	text_printf(&line, "{\"type\":\"status\",\"mode\":\"%s\",",
		    run->options->mode == MODE_ACT ? "act" : "observe");
	text_add_bytes(&line, signals.data + 1, signals.length - 2); /* without its braces */
	text_add(&line, ",\"policies\":");
	policies_json(&run->facts, &line);
	text_add(&line, ",\"totals\":");
	totals_json(&run->facts, &line);
	text_add(&line, ",\"cloud\":");
	cloud_json(&run->facts, &line);
	text_add(&line, ",\"probe\":");
	add_probe(run, &line);
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
	text_printf(&line, ",\"mode\":\"%s\",\"pid\":%d,\"policies\":%zu,\"port\":",
		    run->options->mode == MODE_ACT ? "act" : "observe", getpid(),
		    run->documents.policies.count);
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
		draw(run);
}

static void on_second(void *arg, uint64_t now_ns)
{
	struct run *run = arg;
	bool table = run->format == FORMAT_TABLE;

	if (table)
		draw(run);
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
		r = start_table(run);
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
		stop_table(run);
	vec_for_each (id, &run->changed.list)
		free(*id);
	vec_free(&run->changed.list);
	map_free(&run->told);
}
