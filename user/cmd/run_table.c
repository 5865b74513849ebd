/* SPDX-License-Identifier: Apache-2.0 */
/* The live table on a terminal. */
#include <math.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "cmd/run.h"

#define POLICIES_SHOWN 64

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

static size_t core_notices(struct run *run, struct table_notice *out)
{
	for (size_t i = 0; i < run->links_count; i++) {
		struct wire_agent_status status;

		wire_agent_status(run->connections[i], &status);
		out[i] = (struct table_notice){.warns = !status.connected};
		if (status.connected)
			snprintf(out[i].text, sizeof(out[i].text),
				 "core %s: connected, %llu frames, %llu of them edges",
				 run->links[i].address, (unsigned long long)status.frames,
				 (unsigned long long)status.edges);
		else
			snprintf(out[i].text, sizeof(out[i].text), "core %s: %s",
				 run->links[i].address,
				 status.reason[0] ? status.reason : "connecting");
	}
	return run->links_count;
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
	const char *end = !run->signal	      ? "Ctrl-C ends it, instances go on"
			  : run->options->pin ? "Ctrl-C ends it; --pin keeps counting"
					      : "Ctrl-C ends it, nothing stays attached";
	const char *listen = run->options->listen;
	int host = (int)(strrchr(listen, ':') ? strrchr(listen, ':') - listen : 0);

	if (!run->server)
		snprintf(out, size, "%s", end);
	else
		snprintf(out, size, "http://%.*s:%u/metrics   %s", host ? host : 9,
			 host ? listen : "127.0.0.1", http_server_port(run->server), end);
}

/* Of a core: "3 agents", and with a lock who leads. */
static void fleet_title(struct run *run, char *out, size_t size)
{
	struct wire_server_status agents;
	struct lease_status lease;

	wire_server_status(run->agents, &agents);
	if (!run->lease) {
		snprintf(out, size, "  %u agents", agents.connections);
		return;
	}
	lease_status(run->lease, &lease);
	if (lease.held)
		snprintf(out, size, "  leading, epoch %llu  %u agents",
			 (unsigned long long)lease.epoch, agents.connections);
	else
		snprintf(out, size, "  standing by%s%.96s  %u agents",
			 lease.holder[0] ? " for " : "", lease.holder, agents.connections);
}

static void table_title(struct run *run, char *out, size_t size)
{
	uint64_t up_s = (time_mono_ns() - run->started.mono_ns) / NS_PER_S;
	char cloud[CLOUD_TEXT_SIZE + 64] = "", fleet[256] = "";

	if (run->core && run->cloud)
		cloud_title(run, cloud, sizeof(cloud));
	if (run->agents)
		fleet_title(run, fleet, sizeof(fleet));
	snprintf(out, size, "forerun %s  %s  %s  up %llu s%s%s", FORERUN_VERSION, run->host,
		 run->role == ROLE_AGENT ? "agent" : mode_text(run), (unsigned long long)up_s,
		 fleet, cloud);
}

/* Of a core its hosts, and of whoever decides what holds it. */
static size_t brake_notices(struct run *run, struct table_notice *out)
{
	struct brake_status brakes[BRAKE_COUNT];
	struct core_totals totals;
	size_t count = 0;

	if (run->role == ROLE_CORE) {
		core_totals(run->core, &totals);
		out[count].warns = totals.hosts_silent > 0;
		snprintf(out[count++].text, sizeof(out->text), "hosts: %u reporting, %u silent",
			 totals.hosts - MIN(totals.hosts, totals.hosts_silent),
			 totals.hosts_silent);
	}
	core_brakes(run->core, brakes);
	for (enum brake brake = 0; brake < BRAKE_COUNT; brake++) {
		if (!brakes[brake].holding)
			continue;
		out[count].warns = brake != BRAKE_STANDBY;
		snprintf(out[count++].text, sizeof(out->text), "brake %s: %.200s",
			 brake_name(brake), brakes[brake].text);
	}
	return count;
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

void table_draw(struct run *run)
{
	_cleanup_text_ struct text drawn = {0};
	struct table_policy policies[POLICIES_SHOWN];
	struct table_decision decisions[RUN_DECISIONS_SHOWN];
	struct table_notice notices[MAX(RUN_CORES_MOST, 1 + BRAKE_COUNT)] = {0};
	char title[640], hint[256];
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
	table.no_listeners = !run->signal;
	table.notices = notices;
	table.no_policies = !run->core;
	if (run->core) {
		table.policies_count = table_policies(run, policies);
		table.decisions_count = table_decisions(run, decisions);
		table.notices_count = brake_notices(run, notices);
	} else {
		table.notices_count = core_notices(run, notices);
	}
	if (run->signal)
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
	table_draw(arg);
}

/* Ctrl-Z: the shell gets its screen back, and the table returns with fg. */
static void on_suspend(void *arg, int signo)
{
	(void)signo;
	terminal_leave();
	kill(getpid(), SIGSTOP);
	terminal_enter();
	table_draw(arg);
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

int table_start(struct run *run)
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

void table_stop(struct run *run)
{
	log_set_sink(NULL, NULL);
	terminal_leave();
	for (size_t i = 0; i < run->log_count; i++) {
		fprintf(stderr, "%s\n", run->log_lines[i]);
		free(run->log_lines[i]);
	}
	run->log_count = 0;
}
