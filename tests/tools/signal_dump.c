/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the signal room says of the real host: probe -> place -> signal, one JSON object a line for
 * every sample and every edge, until the time is over or standard input ends.
 *
 *	signal_dump [SECONDS [PORT [RECORDING]]]
 *
 * PORT: only listeners on it (0: all); a number on standard input sets another one. RECORDING: a
 *file for tests/unit/signal_replay_test.c, which needs a PORT with one listener.
 */
#include <inttypes.h>
#include <math.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/text.h"
#include "place/place.h"
#include "probe/probe.h"
#include "signal/signal.h"

#define SAMPLE_EVERY_NS (100 * NS_PER_MS)

static const char *const statistic_names[STAT_COUNT] = {
	"last", "fast", "fast_peak", "slow", "slow_peak", "p50", "p90", "p99", "trend",
};

struct dump {
	struct loop *loop;
	struct loop_timer *timer;
	struct probe *probe;
	struct place *place;
	struct signal *signal;
	struct text text;
	uint64_t end_ns;
	unsigned long port;
	FILE *recording;
	uint64_t buckets[PROBE_BUCKETS]; /* as recorded last */
};

static void add_number(struct text *text, double value)
{
	if (isfinite(value))
		text_printf(text, "%.9g", value);
	else
		text_add(text, "null");
}

static void add_metrics(struct text *text, const struct indicator *i)
{
	for (int m = 0; m < METRIC_COUNT; m++) {
		text_printf(text, "%s\"%s\":{", m ? "," : "", signal_metric_name((enum metric)m));
		for (int s = 0; s < STAT_COUNT; s++) {
			text_printf(text, "%s\"%s\":", s ? "," : "", statistic_names[s]);
			add_number(text, i->value[m][s]);
		}
		text_add(text, "}");
	}
}

static void add_indicator(struct text *text, const struct indicator *i)
{
	char address[ADDRESS_TEXT_SIZE];

	indicator_address(i, address);
	text_add(text, "{\"address\":");
	text_add_json(text, address);
	text_printf(text,
		    ",\"port\":%u,\"netns\":%u,\"sockets\":%u,\"limit\":%u,\"owner_kind\":\"%s\"",
		    i->port, i->netns, i->sockets, i->queue_limit, owner_kind_text(i->owner.kind));
	text_add(text, ",\"owner\":");
	text_add_json(text, i->owner.name);
	text_add(text, ",\"process\":");
	text_add_json(text, i->owner.process);
	text_printf(text, ",\"diagnosis\":\"%s\",\"reason\":", signal_diagnosis_text(i->diagnosis));
	text_add_json(text, i->reason);
	text_add(text, ",\"capacity\":");
	add_number(text, i->capacity_per_second);
	text_add(text, ",\"metrics\":{");
	add_metrics(text, i);
	text_add(text, "}}");
}

static void print_line(struct dump *dump, const char *kind, uint64_t time_ns)
{
	const struct indicator *indicators;
	size_t count = signal_indicators(dump->signal, &indicators);
	bool first = true;

	text_clear(&dump->text);
	text_printf(&dump->text, "{\"kind\":\"%s\",\"time_ns\":%" PRIu64 ",\"listeners\":[", kind,
		    time_ns);
	for (size_t i = 0; i < count; i++) {
		if (dump->port && indicators[i].port != dump->port)
			continue;
		text_add(&dump->text, first ? "" : ",");
		add_indicator(&dump->text, &indicators[i]);
		first = false;
	}
	text_add(&dump->text, "]}\n");
	fwrite(dump->text.data, 1, dump->text.length, stdout);
	fflush(stdout);
}

/* One line a listener: what signal_replay_test.c reads. */
static void record_listener(struct dump *dump, const struct listener_sample *l,
			    const struct placed *p)
{
	FILE *f = dump->recording;
	const struct usage *u = &p->usage;

	fprintf(f,
		"l %" PRIu64 " %u %u %u %u %u %u %u %u %u %u %u %" PRIu64 " %" PRIu64 " %" PRIu64
		" %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %u %u %" PRIu64
		" %" PRIu64 " %d %" PRIu64 " %" PRIu64 "\n",
		l->id, l->slot, l->generation, l->port, l->sockets, l->queue_depth, l->queue_limit,
		l->queue_worst_depth, l->queue_worst_limit, l->queue_peak, l->syn_queue,
		l->syn_queue_young, l->drops, l->overflows, l->syns, l->established, l->accepted,
		l->closed, l->requests, l->responses, l->open_connections, l->in_flight,
		l->accept_wait_ns, l->accept_waits, u->cpu_known, u->cpu_ns, u->time_ns);
	for (size_t b = 0; l->response_buckets && b < PROBE_BUCKETS; b++) {
		if (l->response_buckets[b] == dump->buckets[b])
			continue;
		dump->buckets[b] = l->response_buckets[b];
		fprintf(f, "b %zu %" PRIu64 "\n", b, dump->buckets[b]);
	}
}

static void record(struct dump *dump, const struct sample *sample, const struct placed *placed)
{
	if (!dump->recording)
		return;
	fprintf(dump->recording, "s %" PRIu64 "\n", sample->time_ns);
	for (size_t i = 0; i < sample->count; i++) {
		if (!dump->port || sample->listeners[i].port == dump->port)
			record_listener(dump, &sample->listeners[i], &placed[i]);
	}
}

static void on_timer(void *arg, uint64_t now_ns)
{
	struct dump *dump = arg;
	const struct sample *sample;
	const struct placed *placed;
	int r;

	if (now_ns >= dump->end_ns) {
		loop_quit(dump->loop, 0);
		return;
	}
	loop_timer_at(dump->timer, now_ns + SAMPLE_EVERY_NS);
	r = probe_sample(dump->probe, time_mono_ns(), &sample);
	if (r >= 0)
		r = place_sample(dump->place, sample, &placed);
	if (r >= 0)
		r = signal_feed(dump->signal, sample, placed);
	if (r < 0) {
		fprintf(stderr, "signal_dump: sample: %s\n", strerror(-r));
		loop_quit(dump->loop, 1);
		return;
	}
	record(dump, sample, placed);
	print_line(dump, "sample", sample->time_ns);
}

static void on_edge(void *arg, const struct edge *edge)
{
	struct dump *dump = arg;

	if (dump->recording)
		fprintf(dump->recording, "e %" PRIu64 " %" PRIu64 " %u %u %u %d\n", edge->time_ns,
			edge->listener_id, edge->slot, edge->depth, edge->limit, edge->full);
	if (signal_edge(dump->signal, edge) == 0)
		print_line(dump, "edge", edge->time_ns);
}

static void on_input(void *arg, int fd, uint32_t events)
{
	struct dump *dump = arg;
	char text[64];
	ssize_t n = read(fd, text, sizeof(text) - 1);

	(void)events;
	if (n <= 0) {
		loop_quit(dump->loop, 0);
		return;
	}
	text[n] = '\0';
	dump->port = strtoul(text, NULL, 10);
}

static int start(struct dump *dump)
{
	struct signal_config signal_config;
	struct probe_config probe_config;
	int r;

	probe_config_default(&probe_config);
	signal_config_default(&signal_config);
	signal_config.host_cpus = (double)sysconf(_SC_NPROCESSORS_ONLN);
	if ((r = loop_new(&dump->loop)) < 0 || (r = probe_new(&probe_config, &dump->probe)) < 0 ||
	    (r = place_new(NULL, &dump->place)) < 0 ||
	    (r = signal_new(&signal_config, &dump->signal)) < 0 ||
	    (r = probe_watch_edges(dump->probe, dump->loop, on_edge, dump)) < 0 ||
	    (r = loop_timer_new(dump->loop, on_timer, dump, &dump->timer)) < 0)
		return r;
	loop_timer_at(dump->timer, 0);
	/* A file or /dev/null cannot be waited for: then only the time ends it. */
	(void)loop_fd_add(dump->loop, STDIN_FILENO, EPOLLIN, on_input, dump);
	return 0;
}

int main(int argc, char **argv)
{
	struct dump dump = {0};
	double seconds = argc > 1 ? atof(argv[1]) : 10;
	int r;

	dump.end_ns = time_mono_ns() + (uint64_t)(seconds * (double)NS_PER_S);
	dump.port = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	if (argc > 3)
		dump.recording = fopen(argv[3], "we");
	r = start(&dump);
	if (r < 0)
		fprintf(stderr, "signal_dump: cannot start: %s\n", strerror(-r));
	else
		r = loop_run(dump.loop);
	loop_timer_free(dump.timer);
	signal_free(dump.signal);
	place_free(dump.place);
	probe_free(dump.probe);
	loop_free(dump.loop);
	text_free(&dump.text);
	if (dump.recording)
		fclose(dump.recording);
	return r < 0 ? 1 : r;
}
