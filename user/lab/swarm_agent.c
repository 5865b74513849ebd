/* SPDX-License-Identifier: Apache-2.0 */
/* One simulated agent: its connection, its listeners, and when it reports. */
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <unistd.h>

#include "base/log.h"
#include "lab/swarm_private.h"

#define CAPACITY_PER_SECOND 100.0
#define HOST_CPUS 2.0
#define BUSY_EVERY 5 /* the first of so many listeners has requests, the others are idle */

double swarm_random(struct swarm *swarm)
{
	/* xorshift64*, Vigna 2016 */
	swarm->random ^= swarm->random >> 12;
	swarm->random ^= swarm->random << 25;
	swarm->random ^= swarm->random >> 27;
	return (double)(swarm->random * 0x2545f4914f6cdd1dULL >> 11) / 9007199254740992.0;
}

/* ---- what it reports ---- */

static void set_all(struct indicator *indicator, enum metric metric, double value)
{
	for (unsigned statistic = 0; statistic < STAT_COUNT; statistic++)
		indicator->value[metric][statistic] = value;
	indicator->value[metric][STAT_TREND] = 0;
}

/* A listener that answers what comes in; with a queue it is behind and busy, without requests it is
 * idle. */
static void fill_listener(const struct simulated *agent, struct indicator *indicator,
			  uint32_t depth, double rate, uint64_t now_ns)
{
	uint64_t served =
		(uint64_t)(rate * (double)(now_ns - agent->started_ns) / (double)NS_PER_S);

	set_all(indicator, METRIC_ACCEPT_QUEUE_DEPTH, depth);
	set_all(indicator, METRIC_ACCEPT_QUEUE_UTILIZATION, depth / 129.0);
	set_all(indicator, METRIC_REQUESTS_PER_SECOND, rate);
	set_all(indicator, METRIC_RESPONSES_PER_SECOND, rate);
	set_all(indicator, METRIC_REQUESTS_IN_FLIGHT, depth ? HOST_CPUS : rate > 0);
	set_all(indicator, METRIC_CPU_CORES, depth ? HOST_CPUS : rate / 500);
	set_all(indicator, METRIC_CPU_UTILIZATION, depth ? 1 : rate / 1000);
	indicator->time_ns = now_ns;
	indicator->first_seen_ns = agent->started_ns;
	indicator->requests = indicator->responses = indicator->accepted = served;
	indicator->established = served + depth;
	indicator->diagnosis = depth	  ? DIAGNOSIS_NEEDS_CAPACITY
			       : rate > 0 ? DIAGNOSIS_OK
					  : DIAGNOSIS_IDLE;
	snprintf(indicator->reason, sizeof(indicator->reason), "%s",
		 depth ? "simulated: the queue stands and the processor is used" : "simulated");
}

static void fill_frame(struct simulated *agent, enum frame_kind kind, struct frame *frame)
{
	struct swarm *swarm = agent->swarm;
	uint64_t now_ns = time_mono_ns();

	for (uint32_t i = 0; i < swarm->config->listeners; i++) {
		bool busy = i % BUSY_EVERY == 0;
		double rate = CAPACITY_PER_SECOND * (0.9 + 0.2 * swarm_random(swarm));

		fill_listener(agent, &swarm->indicators[i], i ? 0 : agent->depth, busy ? rate : 0,
			      now_ns);
	}
	*frame = (struct frame){.kind = kind,
				.sequence = ++agent->sequence,
				.edge_ns = kind == FRAME_EDGE ? now_ns : 0,
				.host_cpu_cores = agent->depth ? HOST_CPUS : 0.2,
				.host_cpus = HOST_CPUS,
				.indicators = swarm->indicators,
				.count = swarm->config->listeners};
	memcpy(frame->host, agent->host, sizeof(frame->host));
	memcpy(frame->instance_id, agent->instance_id, sizeof(frame->instance_id));
	memcpy(frame->services, agent->services, sizeof(frame->services));
}

void simulated_send(struct simulated *agent, enum frame_kind kind)
{
	struct frame frame;

	if (agent->silent)
		return;
	fill_frame(agent, kind, &frame);
	wire_agent_send(agent->wire, &frame);
	agent->swarm->frames++;
	agent->swarm->edges += kind == FRAME_EDGE;
}

/* ---- when ---- */

static uint64_t every_ns(double per_second)
{
	return per_second > 0 ? (uint64_t)((double)NS_PER_S / per_second) : UINT64_MAX / 4;
}

/* Edges come as they like, on average so many. */
static uint64_t next_edge_ns(struct swarm *swarm, uint64_t now_ns)
{
	return now_ns +
	       (uint64_t)(-log(1 - swarm_random(swarm)) * (double)every_ns(swarm->config->edges));
}

static void on_timer(void *arg, uint64_t now_ns)
{
	struct simulated *agent = arg;

	if (now_ns >= agent->edge_ns) {
		simulated_send(agent, FRAME_EDGE);
		agent->edge_ns = next_edge_ns(agent->swarm, now_ns);
	}
	if (now_ns >= agent->tick_ns) {
		simulated_send(agent, FRAME_TICK);
		agent->tick_ns += every_ns(agent->swarm->config->rate);
		/* Behind: go on from here. */
		agent->tick_ns = MAX(agent->tick_ns, now_ns);
	}
	loop_timer_at(agent->timer, MIN(agent->tick_ns, agent->edge_ns));
}

/* ---- its connection ---- */

static void on_connected(void *arg)
{
	struct simulated *agent = arg;
	struct swarm *swarm = agent->swarm;

	agent->connected = true;
	swarm->connects++;
	swarm->connected++;
	swarm->connected_most = MAX(swarm->connected_most, swarm->connected);
	simulated_send(agent, FRAME_TICK);
}

static void count_reason(struct swarm *swarm, const char *reason)
{
	for (size_t i = 0; i < SWARM_REASONS; i++) {
		struct ended *ended = &swarm->ended[i];

		if (ended->count && !str_equal(ended->reason, reason) && i + 1 < SWARM_REASONS)
			continue;
		if (!ended->count)
			snprintf(ended->reason, sizeof(ended->reason), "%s", reason);
		ended->count++;
		return;
	}
}

static void on_lost(void *arg, const char *reason)
{
	struct simulated *agent = arg;

	agent->swarm->connected -= agent->connected;
	agent->connected = false;
	count_reason(agent->swarm, reason);
}

static void on_interest(void *arg, const struct wire_interest *interest)
{
	(void)arg;
	(void)interest;
}

static void on_poll(void *arg)
{
	simulated_send(arg, FRAME_TICK);
}

static int write_file(char *path, const char *text)
{
	_cleanup_close_ int fd = mkostemp(path, O_CLOEXEC);
	ssize_t length = (ssize_t)strlen(text);

	if (fd < 0)
		return -errno;
	return write(fd, text, (size_t)length) == length ? 0 : -EIO;
}

static int open_wire(struct simulated *agent, const struct wire_auth *auth)
{
	struct wire_agent_events events = {.arg = agent,
					   .connected = on_connected,
					   .lost = on_lost,
					   .interest = on_interest,
					   .poll = on_poll};
	struct wire_agent_config config = {
		.auth = *auth,
		.address = agent->swarm->config->core,
		.host = agent->host,
		.instance_id = agent->instance_id,
		.identity_document = "",
		.identity_pkcs7 = "",
	};

	char reason[WIRE_REASON_SIZE] = "";
	int r;

	/* A shared key is read once for all. */
	if (auth->shared_key_file && agent->swarm->agents.count)
		config.keys_of = agent->swarm->agents.at[0]->wire;
	r = wire_agent_new(agent->swarm->loop, &config, &events, &agent->wire, reason);
	if (r < 0)
		log_error("%s: %s", agent->host, reason[0] ? reason : strerror(-r));
	return r;
}

/* Keys are read when the connection is made ready, so their files need not stay. */
static int open_issued(struct simulated *agent)
{
	char certificate[] = "/tmp/forerun-swarm-XXXXXX", key[] = "/tmp/forerun-swarm-XXXXXX";
	struct wire_auth auth = {agent->swarm->config->auth.ca_file, certificate, key, NULL};
	_cleanup_(pki_pair_free)
	struct pki_pair pair = {0};
	const char *name = agent->host;
	char reason[PKI_REASON_SIZE] = "";
	int r = pki_issue(agent->swarm->authority, PKI_AGENT, &name, 1, 30, &pair, reason);

	if (r < 0) {
		log_error("%s: %s", agent->host, reason);
		return r;
	}
	r = write_file(certificate, pair.certificate);
	if (r < 0)
		return r;
	r = write_file(key, pair.key);
	if (r == 0) {
		r = open_wire(agent, &auth);
		unlink(key);
	}
	unlink(certificate);
	return r;
}

/* ---- life ---- */

struct simulated *simulated_find(const struct swarm *swarm, const char *host)
{
	vec_for_each (agent, &swarm->agents)
		if (str_equal((*agent)->host, host))
			return *agent;
	return NULL;
}

void simulated_free(struct simulated *agent)
{
	if (!agent)
		return;
	agent->swarm->connected -= agent->connected;
	loop_timer_free(agent->timer);
	wire_agent_free(agent->wire);
	free(agent);
}

static int simulated_open(struct simulated *agent)
{
	struct swarm *swarm = agent->swarm;
	int r = loop_timer_new(swarm->loop, on_timer, agent, &agent->timer);

	if (r == 0)
		r = swarm->authority ? open_issued(agent) : open_wire(agent, &swarm->config->auth);
	if (r < 0)
		return r;
	agent->tick_ns = agent->started_ns +
			 (uint64_t)(swarm_random(swarm) * (double)every_ns(swarm->config->rate));
	agent->edge_ns = next_edge_ns(swarm, agent->started_ns);
	loop_timer_at(agent->timer, MIN(agent->tick_ns, agent->edge_ns));
	return 0;
}

int simulated_new(struct swarm *swarm, const char *host, const char *instance_id,
		  const char *service)
{
	struct simulated *agent = calloc(1, sizeof(*agent));
	int r;

	if (!agent)
		return -ENOMEM;
	agent->swarm = swarm;
	agent->depth = swarm->depth;
	agent->started_ns = time_mono_ns();
	snprintf(agent->host, sizeof(agent->host), "%s", host);
	snprintf(agent->instance_id, sizeof(agent->instance_id), "%s", instance_id);
	snprintf(agent->services, sizeof(agent->services), "%s", service);
	r = simulated_open(agent);
	if (r < 0) {
		simulated_free(agent);
		return r;
	}
	*vec_push(&swarm->agents) = agent;
	return 0;
}
