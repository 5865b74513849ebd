/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The probe alone, driven from a test: reads commands from standard input, prints one JSON object a
 *line.
 *
 *	probe_dump [--listeners-max N] [--connections-max N] [--edge-depth N] [--rescan-ms N] [--pin
 *DIR] sample		{"sample":{...,"listeners":[...]}} set-edge N	threshold of all listeners
 *	quit
 * Edges are printed as they come: {"edge":{...,"latency_ns":...}}.
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/text.h"
#include "probe/probe.h"

struct dump {
	struct loop *loop;
	struct probe *probe;
	char line[256];
	size_t length;
};

static void print(struct text *text)
{
	puts(text->data);
	fflush(stdout);
	text_free(text);
}

static void on_edge(void *arg, const struct edge *edge)
{
	struct text out = {0};

	(void)arg;
	text_printf(&out,
		    "{\"edge\":{\"slot\":%u,\"listener_id\":%llu,\"depth\":%u,\"limit\":%u,"
		    "\"full\":%s,\"latency_ns\":%llu}}",
		    edge->slot, (unsigned long long)edge->listener_id, edge->depth, edge->limit,
		    edge->full ? "true" : "false",
		    (unsigned long long)(time_mono_ns() - edge->time_ns));
	print(&out);
}

#define FIELD(name) text_printf(out, ",\"" #name "\":%llu", (unsigned long long)l->name)

static void add_listener(struct text *out, const struct listener_sample *l)
{
	char address[INET6_ADDRSTRLEN] = "";

	inet_ntop(l->family, l->address, address, sizeof(address));
	text_printf(out, "{\"address\":\"%s\",\"comm\":", address);
	text_add_json(out, l->comm);
	text_add(out, ",\"path\":");
	text_add_json(out, l->path);
	FIELD(id), FIELD(slot), FIELD(generation), FIELD(cgroup_id), FIELD(netns), FIELD(family),
		FIELD(port);
	FIELD(sockets), FIELD(queue_depth), FIELD(queue_limit), FIELD(queue_worst_depth),
		FIELD(queue_worst_limit);
	FIELD(queue_peak), FIELD(syn_queue), FIELD(syn_queue_young), FIELD(drops), FIELD(overflows),
		FIELD(syns);
	FIELD(established), FIELD(accepted), FIELD(closed), FIELD(requests), FIELD(responses),
		FIELD(open_connections);
	FIELD(in_flight), FIELD(accept_wait_ns), FIELD(accept_waits), FIELD(response_ns),
		FIELD(pid), FIELD(lower_bounds);
	text_add(out, ",\"protocols\":[");
	for (size_t i = 0; i < PROBE_PROTOCOLS; i++)
		text_printf(out, "%s%llu", i ? "," : "", (unsigned long long)l->protocols[i]);
	text_add(out, "],\"buckets\":{");
	for (size_t i = 0, first = 1; i < PROBE_BUCKETS; i++) {
		if (!l->response_buckets[i])
			continue;
		text_printf(out, "%s\"%zu\":%llu", first ? "" : ",", i,
			    (unsigned long long)l->response_buckets[i]);
		first = 0;
	}
	text_add(out, "}}");
}

static void print_sample(struct dump *dump)
{
	const struct sample *sample;
	struct text out = {0};
	int r = probe_sample(dump->probe, time_mono_ns(), &sample);

	if (r < 0) {
		text_printf(&out, "{\"error\":%d}", r);
		print(&out);
		return;
	}
	const struct probe_health *h = &sample->health;

	text_printf(&out,
		    "{\"sample\":{\"time_ns\":%llu,\"health\":{\"listeners_refused\":%llu,\"unix_"
		    "refused\":%llu,"
		    "\"connections_refused\":%llu,"
		    "\"edges_lost\":%llu,\"iterator_errors\":%llu,\"listeners\":%u,\"listeners_"
		    "max\":%u,"
		    "\"kernel_ns\":%llu,\"kernel_runs\":%llu,\"poll_ns\":%llu},\"listeners\":[",
		    (unsigned long long)sample->time_ns, (unsigned long long)h->listeners_refused,
		    (unsigned long long)h->unix_refused, (unsigned long long)h->connections_refused,
		    (unsigned long long)h->edges_lost, (unsigned long long)h->iterator_errors,
		    h->listeners, h->listeners_max, (unsigned long long)h->kernel_ns,
		    (unsigned long long)h->kernel_runs, (unsigned long long)h->poll_ns);
	for (size_t i = 0; i < sample->count; i++) {
		text_add(&out, i ? "," : "");
		add_listener(&out, &sample->listeners[i]);
	}
	text_add(&out, "]}}");
	print(&out);
}

static void obey(struct dump *dump, const char *line)
{
	uint64_t depth;

	if (str_equal(line, "sample"))
		print_sample(dump);
	else if (str_equal(line, "quit"))
		loop_quit(dump->loop, 0);
	else if (str_starts(line, "set-edge ") && !parse_u64(line + 9, &depth))
		printf("{\"set_edge\":%d}\n",
		       probe_set_edge_depth(dump->probe, UINT32_MAX, (uint32_t)depth));
	else
		printf("{\"error\":\"unknown command\"}\n");
	fflush(stdout);
}

static void on_input(void *arg, int fd, uint32_t events)
{
	struct dump *dump = arg;
	ssize_t got = read(fd, dump->line + dump->length, sizeof(dump->line) - 1 - dump->length);
	char *end;

	(void)events;
	if (got <= 0) {
		loop_quit(dump->loop, 0);
		return;
	}
	dump->length += (size_t)got;
	dump->line[dump->length] = '\0';
	while ((end = memchr(dump->line, '\n', dump->length))) {
		*end = '\0';
		obey(dump, dump->line);
		dump->length -= (size_t)(end + 1 - dump->line);
		memmove(dump->line, end + 1, dump->length + 1);
	}
}

static void on_signal(void *arg, int signo)
{
	(void)signo;
	loop_quit(((struct dump *)arg)->loop, 0);
}

static uint32_t number(const char *text)
{
	uint64_t value;

	if (parse_u64(text, &value) || value > UINT32_MAX) {
		fprintf(stderr, "not a number: %s\n", text);
		exit(2);
	}
	return (uint32_t)value;
}

static void parse(int argc, char **argv, struct probe_config *config)
{
	static const struct option options[] = {{"listeners-max", 1, NULL, 'l'},
						{"connections-max", 1, NULL, 'c'},
						{"edge-depth", 1, NULL, 'e'},
						{"rescan-ms", 1, NULL, 'r'},
						{"pin", 1, NULL, 'p'},
						{"debug", 0, NULL, 'd'},
						{0}};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'l')
			config->listeners_max = number(optarg);
		else if (option == 'c')
			config->connections_max = number(optarg);
		else if (option == 'e')
			config->edge_depth = number(optarg);
		else if (option == 'r')
			config->rescan_ms = number(optarg);
		else if (option == 'p')
			config->pin_path = optarg;
		else if (option == 'd')
			log_set_level(LOG_LEVEL_DEBUG);
		else
			exit(2);
	}
}

int main(int argc, char **argv)
{
	struct probe_config config;
	struct dump dump = {0};
	int r;

	probe_config_default(&config);
	parse(argc, argv, &config);
	r = probe_new(&config, &dump.probe);
	if (!r)
		r = loop_new(&dump.loop);
	if (!r)
		r = probe_watch_edges(dump.probe, dump.loop, on_edge, &dump);
	if (!r)
		r = loop_fd_add(dump.loop, STDIN_FILENO, EPOLLIN, on_input, &dump);
	if (!r)
		r = loop_signal(dump.loop, SIGTERM, on_signal, &dump);
	if (!r) {
		puts("{\"ready\":true}");
		fflush(stdout);
		r = loop_run(dump.loop);
	}
	probe_free(dump.probe);
	loop_free(dump.loop);
	return r ? 1 : 0;
}
