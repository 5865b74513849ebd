/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One side of the wire alone, or many agents at once; every event is one JSON object a line on
 * standard output, commands come one a line on standard input.
 *
 *	wire_tool server ADDRESS [NAME=VALUE]...
 *		poll | interest METRICS | reload | status | quit
 *	wire_tool agent ADDRESS HOST [NAME=VALUE]...
 *		frame | edge | notice | reload | status | quit
 *
 * Both: ca, certificate, key or shared_key (files), quiet=1 (no line for a frame). Server:
 * silent_ms, hello_ms, rate, connections, interest (numbers of metrics, with commas). Agent: agents
 * (so many, HOST with a number each), listeners, services, tick_ms, edges_percent (of the agents,
 * each second), backoff_ms.
 */
#include <math.h>
#include <malloc.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "wire/wire.h"

struct one {
	struct tool *tool;
	struct wire_agent *agent;
	bool connected;
	unsigned number;
};

struct tool {
	struct loop *loop;
	struct loop_timer *timer;
	char **options;
	struct text input;
	struct wire_server *server;
	struct one *agents;
	unsigned count, connected, listeners, edges_percent;
	uint64_t tick_ns, started_ns;
	size_t next; /* of the agents, to send */
	uint64_t ticks;
	struct indicator *indicators;
	bool quiet, notice;
};

static const char *option(const struct tool *tool, const char *name)
{
	size_t length = strlen(name);

	for (char **at = tool->options; *at; at++)
		if (strncmp(*at, name, length) == 0 && (*at)[length] == '=')
			return *at + length + 1;
	return NULL;
}

static uint64_t number(const struct tool *tool, const char *name, uint64_t otherwise)
{
	const char *text = option(tool, name);
	uint64_t value;

	return text && parse_u64(text, &value) == 0 ? value : otherwise;
}

static void print_event(const char *event, const char *key, const char *value, const char *reason)
{
	_cleanup_text_ struct text line = {0};

	text_printf(&line, "{\"event\":\"%s\"", event);
	if (key) {
		text_printf(&line, ",\"%s\":", key);
		text_add_json(&line, value);
	}
	if (reason) {
		text_add(&line, ",\"reason\":");
		text_add_json(&line, reason);
	}
	text_add(&line, "}");
	puts(line.data);
	fflush(stdout);
}

static struct wire_auth auth(const struct tool *tool)
{
	return (struct wire_auth){
		.ca_file = option(tool, "ca"),
		.certificate_file = option(tool, "certificate"),
		.key_file = option(tool, "key"),
		.shared_key_file = option(tool, "shared_key"),
	};
}

static double cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static unsigned long resident_kib(void)
{
	unsigned long size, resident = 0;
	_cleanup_file_ FILE *file = fopen("/proc/self/statm", "re");

	if (!file || fscanf(file, "%lu %lu", &size, &resident) != 2)
		return 0;
	return resident * (unsigned long)sysconf(_SC_PAGESIZE) / 1024;
}

/* ---- a server ---- */

static void on_frame(void *arg, const struct frame *frame)
{
	const struct tool *tool = arg;
	double depth = 0;

	if (tool->quiet)
		return;
	for (size_t i = 0; i < frame->count; i++)
		depth += frame->indicators[i].value[METRIC_ACCEPT_QUEUE_DEPTH][STAT_LAST];
	printf("{\"event\":\"frame\",\"host\":\"%s\",\"edge\":%s,\"sequence\":%llu,\"count\":%zu,"
	       "\"age_ms\":%.3f,\"services\":\"%s\",\"notice\":\"%s\",\"depth\":%.17g}\n",
	       frame->host, frame->kind == FRAME_EDGE ? "true" : "false",
	       (unsigned long long)frame->sequence, frame->count,
	       (double)frame->age_ns / (double)NS_PER_MS, frame->services,
	       frame->notices_count ? notice_kind_text(frame->notices[0].kind) : "",
	       isnan(depth) ? -1 : depth);
	fflush(stdout);
}

static void on_joined(void *arg, const struct wire_hello *hello)
{
	const struct tool *tool = arg;

	if (!tool->quiet)
		print_event("joined", "host", hello->host, NULL);
}

static void on_left(void *arg, const char *host, const char *reason)
{
	const struct tool *tool = arg;

	if (!tool->quiet)
		print_event("left", "host", host, reason);
}

static struct wire_interest interest_of(const char *text)
{
	struct wire_interest interest = {0};

	while (text && *text) {
		unsigned long metric = strtoul(text, (char **)&text, 10);

		if (metric < METRIC_COUNT)
			interest.statistics[metric] = (1 << STAT_COUNT) - 1;
		text += *text == ',';
	}
	return interest;
}

static int start_server(struct tool *tool, const char *address)
{
	const struct wire_server_events events = {
		.arg = tool, .frame = on_frame, .joined = on_joined, .left = on_left};
	const struct wire_server_config config = {
		.auth = auth(tool),
		.listen = address,
		.connections_max = (uint32_t)number(tool, "connections", 0),
		.frames_per_second_max = (uint32_t)number(tool, "rate", 0),
		.hello_within_ns = number(tool, "hello_ms", 0) * NS_PER_MS,
		.silent_after_ns = number(tool, "silent_ms", 0) * NS_PER_MS,
		.interest = interest_of(option(tool, "interest")),
	};
	char reason[WIRE_REASON_SIZE], port[8];
	int r;

	r = wire_server_new(tool->loop, &config, &events, &tool->server, reason);
	if (r < 0) {
		print_event("failed", NULL, NULL, reason);
		return r;
	}
	snprintf(port, sizeof(port), "%u", wire_server_port(tool->server));
	print_event("listening", "port", port, NULL);
	return 0;
}

static void server_status(const struct tool *tool)
{
	struct wire_server_status status;

	wire_server_status(tool->server, &status);
	printf("{\"event\":\"status\",\"connections\":%u,\"accepted\":%llu,\"admitted\":%llu,"
	       "\"refused\":%llu,\"ended\":%llu,\"handshakes_failed\":%llu,\"frames\":%llu,"
	       "\"edges\":%llu,\"bytes\":%llu,\"memory_bytes\":%llu,\"resident_kib\":%lu,"
	       "\"heap_kib\":%zu,\"cpu_s\":%.3f,\"now_s\":%.3f}\n",
	       status.connections, (unsigned long long)status.accepted,
	       (unsigned long long)status.admitted, (unsigned long long)status.refused,
	       (unsigned long long)status.ended, (unsigned long long)status.handshakes_failed,
	       (unsigned long long)status.frames, (unsigned long long)status.edges,
	       (unsigned long long)status.bytes, (unsigned long long)status.memory_bytes,
	       resident_kib(), mallinfo2().uordblks / 1024, cpu_seconds(),
	       (double)time_mono_ns() / (double)NS_PER_S);
	fflush(stdout);
}

/* ---- agents ---- */

static void fill_listener(const struct tool *tool, struct indicator *to, unsigned i,
			  uint64_t now_ns)
{
	to->time_ns = now_ns;
	for (unsigned m = 0; m < METRIC_COUNT; m++)
		for (unsigned s = 0; s < STAT_COUNT; s++)
			to->value[m][s] = m == METRIC_ACCEPT_QUEUE_DEPTH
						  ? (double)((tool->ticks + i) % 7)
						  : (double)(tool->ticks * 31 + m + s + i) / 7;
}

static void make_listeners(struct tool *tool)
{
	tool->indicators = calloc(tool->listeners, sizeof(*tool->indicators));
	for (unsigned i = 0; i < tool->listeners; i++) {
		struct indicator *to = &tool->indicators[i];

		*to = (struct indicator){.id = 100 + i,
					 .slot = i,
					 .family = 2,
					 .port = (uint16_t)(8000 + i),
					 .sockets = 2,
					 .queue_limit = 511,
					 .first_seen_ns = tool->started_ns,
					 .capacity_per_second = NAN,
					 .diagnosis = DIAGNOSIS_OK};
		to->owner.kind = OWNER_UNIT;
		to->owner.cgroup_id = 4000 + i;
		snprintf(to->owner.name, sizeof(to->owner.name), "web-%u.service", i);
		snprintf(to->owner.unit, sizeof(to->owner.unit), "web-%u.service", i);
		snprintf(to->owner.process, sizeof(to->owner.process), "web");
		snprintf(to->owner.cgroup_path, sizeof(to->owner.cgroup_path),
			 "/system.slice/web-%u.service", i);
		snprintf(to->reason, sizeof(to->reason), "%u connections wait for the unit", i);
	}
}

static void send_frame(struct one *one, enum frame_kind kind)
{
	struct tool *tool = one->tool;
	uint64_t now_ns = time_mono_ns();
	const char *services = option(tool, "services");
	struct frame frame = {
		.kind = kind,
		.age_ns = NS_PER_MS,
		.edge_ns = kind == FRAME_EDGE ? now_ns - NS_PER_MS : 0,
		.host_cpu_cores = (double)(tool->ticks % 100) / 100,
		.host_cpus = 2,
		.indicators = tool->indicators,
		.count = tool->listeners,
	};

	snprintf(frame.services, sizeof(frame.services), "%s", services ? services : "");
	if (tool->notice) {
		frame.notices_count = 1;
		frame.notices[0] = (struct notice){.kind = NOTICE_SPOT,
						   .what = "terminate",
						   .when_wall_ms = 1800000000000,
						   .age_ns = 20 * NS_PER_MS};
	}
	/* As on real hosts, most listeners have nothing new. */
	for (unsigned i = 0; i < MIN(tool->listeners, 3U); i++)
		fill_listener(tool, &tool->indicators[i], i, now_ns - NS_PER_MS);
	tool->ticks++;
	wire_agent_send(one->agent, &frame);
}

static void on_connected(void *arg)
{
	struct one *one = arg;

	one->connected = true;
	one->tool->connected++;
	if (!one->tool->quiet)
		print_event("connected", NULL, NULL, NULL);
	else if (one->tool->connected == one->tool->count)
		printf("{\"event\":\"all_connected\",\"after_s\":%.3f}\n",
		       (double)(time_mono_ns() - one->tool->started_ns) / (double)NS_PER_S);
	fflush(stdout);
	send_frame(one, FRAME_TICK);
}

static void on_lost(void *arg, const char *reason)
{
	struct one *one = arg;

	one->tool->connected -= one->connected;
	one->connected = false;
	if (!one->tool->quiet)
		print_event("lost", NULL, NULL, reason);
}

static void on_interest(void *arg, const struct wire_interest *interest)
{
	const struct one *one = arg;
	unsigned count = 0;
	char text[16];

	for (unsigned m = 0; m < METRIC_COUNT; m++)
		count += interest->statistics[m] != 0;
	snprintf(text, sizeof(text), "%u", count);
	if (!one->tool->quiet)
		print_event("interest", "metrics", text, NULL);
}

static void on_poll(void *arg)
{
	struct one *one = arg;

	if (!one->tool->quiet)
		print_event("poll", NULL, NULL, NULL);
	send_frame(one, FRAME_TICK);
}

/* So many of the agents at a time that all had their turn in a tick. */
static void on_tick(void *arg, uint64_t now_ns)
{
	struct tool *tool = arg;
	uint64_t step_ns = MIN(tool->tick_ns, 5 * NS_PER_MS);
	uint64_t portion = MAX((uint64_t)tool->count * step_ns / tool->tick_ns, 1ULL);

	for (uint64_t i = 0; i < portion; i++) {
		struct one *one = &tool->agents[tool->next++ % tool->count];
		bool edge = tool->edges_percent && tool->ticks % 100 < tool->edges_percent;

		if (one->connected)
			send_frame(one, edge ? FRAME_EDGE : FRAME_TICK);
	}
	loop_timer_at(tool->timer, now_ns + MAX(step_ns, tool->tick_ns / tool->count));
}

static int start_agent(struct tool *tool, const char *address, const char *host, unsigned i)
{
	struct one *one = &tool->agents[i];
	const struct wire_agent_events events = {.arg = one,
						 .connected = on_connected,
						 .lost = on_lost,
						 .interest = on_interest,
						 .poll = on_poll};
	char name[WIRE_HOST_SIZE], reason[WIRE_REASON_SIZE];
	const struct wire_agent_config config = {
		.auth = auth(tool),
		.address = address,
		.host = tool->count > 1 ? name : host,
		.keys_of = i ? tool->agents[0].agent : NULL,
		.backoff_first_ns = number(tool, "backoff_ms", 0) * NS_PER_MS,
	};
	int r;

	snprintf(name, sizeof(name), "%s-%u", host, i);
	one->tool = tool;
	one->number = i;
	r = wire_agent_new(tool->loop, &config, &events, &one->agent, reason);
	if (r < 0)
		print_event("failed", NULL, NULL, reason);
	return r;
}

static int start_agents(struct tool *tool, const char *address, const char *host)
{
	int r = 0;

	tool->count = (unsigned)number(tool, "agents", 1);
	tool->listeners = (unsigned)number(tool, "listeners", 1);
	tool->tick_ns = number(tool, "tick_ms", 0) * NS_PER_MS;
	tool->edges_percent = (unsigned)number(tool, "edges_percent", 0);
	tool->agents = calloc(tool->count, sizeof(*tool->agents));
	make_listeners(tool);
	for (unsigned i = 0; i < tool->count && r >= 0; i++)
		r = start_agent(tool, address, host, i);
	if (r >= 0 && tool->tick_ns)
		loop_timer_at(tool->timer, 0);
	return r;
}

static void agent_status(const struct tool *tool)
{
	struct wire_agent_status status;

	wire_agent_status(tool->agents[0].agent, &status);
	printf("{\"event\":\"status\",\"all_connected\":%u,\"connected\":%s,\"frames\":%llu,"
	       "\"edges\":%llu,\"full\":%llu,\"bytes\":%llu,\"connects\":%llu,\"replaced\":%llu,"
	       "\"resident_kib\":%lu,\"cpu_s\":%.3f}\n",
	       tool->connected, status.connected ? "true" : "false",
	       (unsigned long long)status.frames, (unsigned long long)status.edges,
	       (unsigned long long)status.full, (unsigned long long)status.bytes,
	       (unsigned long long)status.connects, (unsigned long long)status.replaced,
	       resident_kib(), cpu_seconds());
	fflush(stdout);
}

/* ---- commands ---- */

static void reload(struct tool *tool)
{
	char reason[WIRE_REASON_SIZE] = "";
	int r = tool->server ? wire_server_reload(tool->server, reason)
			     : wire_agent_reload(tool->agents[0].agent, reason);

	print_event(r < 0 ? "not reloaded" : "reloaded", NULL, NULL, reason);
}

static void obey(struct tool *tool, const char *line)
{
	struct wire_interest interest;

	if (str_equal(line, "quit")) {
		loop_quit(tool->loop, 0);
	} else if (str_equal(line, "reload")) {
		reload(tool);
	} else if (str_equal(line, "status")) {
		tool->server ? server_status(tool) : agent_status(tool);
	} else if (tool->server && str_equal(line, "poll")) {
		wire_server_poll(tool->server);
	} else if (tool->server && str_starts(line, "interest")) {
		interest = interest_of(line[8] ? line + 9 : "");
		wire_server_interest(tool->server, &interest);
	} else if (!tool->server && str_equal(line, "frame")) {
		send_frame(&tool->agents[0], FRAME_TICK);
	} else if (!tool->server && str_equal(line, "notice")) {
		tool->notice = !tool->notice;
	} else if (!tool->server && str_equal(line, "edge")) {
		send_frame(&tool->agents[0], FRAME_EDGE);
	} else {
		print_event("unknown command", "line", line, NULL);
	}
}

static void on_input(void *arg, int fd, uint32_t epoll_events)
{
	struct tool *tool = arg;
	char data[512], *end;
	ssize_t count = read(fd, data, sizeof(data));

	(void)epoll_events;
	if (count <= 0) {
		loop_quit(tool->loop, 0);
		return;
	}
	text_add_bytes(&tool->input, data, (size_t)count);
	while ((end = strchr(tool->input.data, '\n'))) {
		_cleanup_text_ struct text rest = {0};

		*end = '\0';
		obey(tool, tool->input.data);
		text_add(&rest, end + 1);
		text_clear(&tool->input);
		text_add(&tool->input, rest.data);
	}
}

static void stop(struct tool *tool)
{
	/* The first one's keys are all others' keys. */
	for (unsigned i = tool->count; i-- > 0;)
		wire_agent_free(tool->agents[i].agent);
	wire_server_free(tool->server);
	loop_timer_free(tool->timer);
	loop_free(tool->loop);
	text_free(&tool->input);
	free(tool->agents);
	free(tool->indicators);
}

int main(int argc, char **argv)
{
	struct tool tool = {.options = argv + MIN(argc, 3)};
	int r = -EINVAL;

	if (argc < 3 || loop_new(&tool.loop) < 0 ||
	    loop_timer_new(tool.loop, on_tick, &tool, &tool.timer) < 0 ||
	    loop_fd_add(tool.loop, STDIN_FILENO, EPOLLIN, on_input, &tool) < 0)
		return 2;
	tool.started_ns = time_mono_ns();
	tool.quiet = number(&tool, "quiet", 0);
	if (str_equal(argv[1], "server"))
		r = start_server(&tool, argv[2]);
	else if (str_equal(argv[1], "agent") && argc > 3)
		r = start_agents(&tool, argv[2], argv[3]);
	if (r >= 0)
		r = loop_run(tool.loop);
	stop(&tool);
	return r < 0 ? 1 : 0;
}
