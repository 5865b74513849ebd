/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/swarm.h"

#include <ctype.h>
#include <math.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/log.h"
#include "lab/swarm_private.h"

/* So many agents are born in each turn: all at once would wait for each other's handshakes and
 * come late for the core's deadline. */
#define BIRTHS_EVERY_NS (20 * NS_PER_MS)
#define BIRTHS_AT_ONCE 10
#define PEM_LIMIT (1U << 20)

/* ---- names ---- */

/* "i-0a0" and 3 give "i-0a3": the last digits count on, in as many places. */
static void count_on(const char *first, size_t more, char *out, size_t size)
{
	size_t length = strlen(first), at = length;
	unsigned long long number;

	while (at > 0 && length - at < 15 && isxdigit((unsigned char)first[at - 1]))
		at--;
	number = strtoull(first + at, NULL, 16) + more;
	snprintf(out, size, "%.*s%0*llx", (int)at, first, (int)(length - at), number);
}

static int give_birth(struct swarm *swarm)
{
	const struct swarm_config *config = swarm->config;
	char host[WIRE_HOST_SIZE], instance_id[SWARM_INSTANCE_SIZE] = "";

	snprintf(host, sizeof(host), "%.40s-%u", config->host, (unsigned)swarm->born + 1);
	if (config->instance_id)
		count_on(config->instance_id, swarm->born, instance_id, sizeof(instance_id));
	swarm->born++;
	return simulated_new(swarm, host, instance_id, config->service ? config->service : "");
}

static void on_birth(void *arg, uint64_t now_ns)
{
	struct swarm *swarm = arg;

	for (size_t i = 0; i < BIRTHS_AT_ONCE && swarm->born < swarm->config->agents; i++) {
		int r = give_birth(swarm);

		if (r < 0) {
			loop_quit(swarm->loop, r);
			return;
		}
	}
	if (swarm->born < swarm->config->agents)
		loop_timer_at(swarm->birth_timer, now_ns + BIRTHS_EVERY_NS);
}

/* ---- what it tells ---- */

static void add_ended(const struct swarm *swarm, struct text *out)
{
	text_add(out, ",\"ended\":{");
	for (size_t i = 0; i < SWARM_REASONS && swarm->ended[i].count; i++) {
		text_add(out, i ? "," : "");
		text_add_json(out, swarm->ended[i].reason);
		text_printf(out, ":%llu", (unsigned long long)swarm->ended[i].count);
	}
	text_add_char(out, '}');
}

static void tell(const struct swarm *swarm, const char *type)
{
	_cleanup_text_ struct text line = {0};
	uint64_t bytes = 0;

	vec_for_each (agent, &swarm->agents) {
		struct wire_agent_status status;

		wire_agent_status((*agent)->wire, &status);
		bytes += status.bytes;
	}
	text_printf(&line,
		    "{\"type\":\"%s\",\"seconds\":%.3f,\"agents\":%zu,\"connected\":%u,"
		    "\"connected_most\":%u,\"connects\":%llu,\"frames\":%llu,\"edges\":%llu,"
		    "\"bytes\":%llu",
		    type, (double)(time_mono_ns() - swarm->started.mono_ns) / (double)NS_PER_S,
		    swarm->agents.count, swarm->connected, swarm->connected_most,
		    (unsigned long long)swarm->connects, (unsigned long long)swarm->frames,
		    (unsigned long long)swarm->edges, (unsigned long long)bytes);
	add_ended(swarm, &line);
	printf("%s}\n", line.data);
	fflush(stdout);
}

static void on_second(void *arg, uint64_t now_ns)
{
	struct swarm *swarm = arg;

	tell(swarm, "status");
	loop_timer_at(swarm->second_timer, now_ns + NS_PER_S);
}

/* ---- beginning and end ---- */

static void on_signal(void *arg, int signo)
{
	struct swarm *swarm = arg;

	(void)signo;
	loop_quit(swarm->loop, 0);
}

static void on_stop(void *arg, uint64_t now_ns)
{
	struct swarm *swarm = arg;

	(void)now_ns;
	loop_quit(swarm->loop, 0);
}

/* Each connection is a descriptor. */
static void raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int make_indicators(struct swarm *swarm)
{
	const struct swarm_config *config = swarm->config;

	swarm->indicators = calloc(config->listeners, sizeof(*swarm->indicators));
	if (!swarm->indicators)
		return -ENOMEM;
	for (uint32_t i = 0; i < config->listeners; i++) {
		struct indicator *indicator = &swarm->indicators[i];

		indicator->id = i + 1;
		indicator->slot = i;
		indicator->netns = 1;
		indicator->family = AF_INET;
		indicator->port = (uint16_t)(config->port + i);
		indicator->sockets = 1;
		indicator->queue_limit = 128;
		indicator->capacity_per_second = NAN;
		for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
			for (unsigned statistic = 0; statistic < STAT_COUNT; statistic++)
				indicator->value[metric][statistic] = NAN;
	}
	return 0;
}

static int open_authority(struct swarm *swarm)
{
	const struct swarm_config *config = swarm->config;
	_cleanup_(pki_pair_free)
	struct pki_pair pair = {0};
	char reason[PKI_REASON_SIZE] = "";
	int r;

	if (!config->ca_key_file)
		return 0;
	r = file_read(config->auth.ca_file, PEM_LIMIT, &pair.certificate, NULL);
	if (r == 0)
		r = file_read(config->ca_key_file, PEM_LIMIT, &pair.key, NULL);
	if (r == 0)
		r = pki_open(pair.certificate, pair.key, &swarm->authority, reason);
	if (r < 0)
		log_error("cannot issue certificates with %s and %s: %s", config->auth.ca_file,
			  config->ca_key_file, reason[0] ? reason : strerror(-r));
	return r;
}

static int open_loop(struct swarm *swarm)
{
	int r = loop_new(&swarm->loop);

	if (r == 0)
		r = loop_signal(swarm->loop, SIGINT, on_signal, swarm);
	if (r == 0)
		r = loop_signal(swarm->loop, SIGTERM, on_signal, swarm);
	if (r == 0)
		r = loop_timer_new(swarm->loop, on_birth, swarm, &swarm->birth_timer);
	if (r == 0)
		r = loop_timer_new(swarm->loop, on_second, swarm, &swarm->second_timer);
	if (r == 0)
		r = loop_timer_new(swarm->loop, on_stop, swarm, &swarm->stop_timer);
	if (r < 0)
		log_error("cannot prepare the event loop: %s", strerror(-r));
	return r;
}

static int run(struct swarm *swarm)
{
	int r = open_loop(swarm);

	if (r == 0)
		r = make_indicators(swarm);
	if (r == 0)
		r = open_authority(swarm);
	if (r < 0)
		return r;
	swarm_read_input(swarm);
	loop_timer_at(swarm->birth_timer, 0);
	loop_timer_at(swarm->second_timer, swarm->started.mono_ns + NS_PER_S);
	if (swarm->config->duration_ns)
		loop_timer_at(swarm->stop_timer,
			      swarm->started.mono_ns + swarm->config->duration_ns);
	r = loop_run(swarm->loop);
	tell(swarm, "summary");
	return r;
}

int lab_swarm(const struct swarm_config *config)
{
	struct swarm swarm = {.config = config,
			      .started = time_now(),
			      .depth = config->depth,
			      .random = 0x9e3779b97f4a7c15ULL};
	int r;

	raise_limit();
	r = run(&swarm);
	vec_for_each (agent, &swarm.agents)
		simulated_free(*agent);
	vec_free(&swarm.agents);
	pki_close(swarm.authority);
	free(swarm.indicators);
	text_free(&swarm.pending);
	loop_timer_free(swarm.birth_timer);
	loop_timer_free(swarm.second_timer);
	loop_timer_free(swarm.stop_timer);
	loop_free(swarm.loop);
	return r;
}
