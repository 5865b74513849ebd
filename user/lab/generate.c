/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A load that does not exist: requests arrive at a rate, each on a connection of its own, and every
 * server that serves takes its capacity. All servers are shown as one listener, as the sum over
 * their hosts would be. It flows: fractions of requests are carried over, nothing is random.
 */
#include <arpa/inet.h>
#include <math.h>

#include "lab/lab_private.h"

#define STEP_NS (100 * NS_PER_MS)
#define FIRST_NS (1000 * NS_PER_S)

struct model {
	struct shape shape;
	double queue; /* connections that wait */
	double arrived, served, refused; /* since the start */
	double cpu_s, pressure_s, response_s;
	double used; /* share of all servers, last step */
	uint64_t counted; /* responses that are in the buckets */
};

/* One step of all servers: what waits and what arrives is served up to the capacity, the rest
 * waits up to the backlog, and what is beyond that is refused. */
static void model_step(struct model *model, double seconds, double dt, uint32_t servers)
{
	double most = servers * model->shape.capacity * dt;
	double offered = shape_rate(&model->shape, seconds) * dt;
	double served = MIN(model->queue + offered, most);
	double room = (model->shape.backlog + 1) * servers;
	double queue = model->queue + offered - served;

	model->refused += MAX(queue - room, 0);
	model->queue = MIN(queue, room);
	model->arrived += offered;
	model->served += served;
	model->used = served / most;
	model->cpu_s += model->used * servers * dt;
	model->pressure_s += model->used > 0.95 ? 0.8 * dt : 0;
	model->response_s += served * (model->shape.service_s +
				       model->queue / (servers * model->shape.capacity));
}

static size_t bucket_of(double seconds)
{
	uint64_t low_ns, high_ns, ns = (uint64_t)(seconds * NS_PER_S);

	for (size_t i = 0; i + 1 < PROBE_BUCKETS; i++) {
		probe_bucket_bounds(i, &low_ns, &high_ns);
		if (ns < high_ns)
			return i;
	}
	return PROBE_BUCKETS - 1;
}

static void fill_usage(const struct model *model, uint32_t servers, uint64_t time_ns,
		       struct usage *usage)
{
	*usage = (struct usage){.time_ns = time_ns,
				.psi_time_ns = time_ns,
				.cpu_known = true,
				.cpu_limit_known = true,
				.psi_known = true,
				.cpu_limit_cores = servers};
	usage->cpu_ns = (uint64_t)(model->cpu_s * NS_PER_S);
	usage->psi_cpu_some_ns = (uint64_t)(model->pressure_s * NS_PER_S);
}

static void fill_listener(struct model *model, uint32_t servers, struct recorded *out)
{
	struct listener_sample *listener = &out->listeners.at[0];
	double busy = model->used * servers * model->shape.capacity * model->shape.service_s;
	double wait = model->queue / (servers * model->shape.capacity);
	uint64_t served = (uint64_t)model->served, queue = (uint64_t)model->queue;

	listener->id = 1;
	listener->slot = 1;
	listener->generation = 1;
	listener->cgroup_id = 1;
	listener->family = AF_INET;
	listener->port = (uint16_t)model->shape.port;
	listener->sockets = servers;
	listener->queue_depth = listener->queue_peak = (uint32_t)queue;
	listener->queue_limit = (uint32_t)model->shape.backlog * servers;
	listener->queue_worst_depth = (uint32_t)(queue / servers);
	listener->queue_worst_limit = (uint32_t)model->shape.backlog;
	listener->overflows = listener->drops = (uint64_t)model->refused;
	listener->syns = (uint64_t)model->arrived;
	listener->established = served + queue;
	listener->accepted = listener->closed = listener->responses = served;
	listener->in_flight = (uint32_t)(busy + model->queue);
	listener->requests = served + listener->in_flight;
	listener->open_connections = listener->in_flight;
	listener->response_ns = (uint64_t)(model->response_s * NS_PER_S);
	listener->accept_waits = served;
	listener->accept_wait_ns =
		(uint64_t)((model->response_s - model->served * model->shape.service_s) * NS_PER_S);
	out->buckets[bucket_of(model->shape.service_s + wait)] += served - model->counted;
	model->counted = served;
}

static void recorded_one(struct recorded *out)
{
	struct owner *owner;

	vec_push(&out->listeners);
	vec_push(&out->placed);
	owner = vec_push(&out->owners);
	owner->kind = OWNER_UNIT;
	owner->cgroup_id = 1;
	snprintf(owner->name, sizeof(owner->name), "simulated.service");
	snprintf(owner->unit, sizeof(owner->unit), "simulated.service");
	snprintf(owner->process, sizeof(owner->process), "simulated");
	snprintf(owner->cgroup_path, sizeof(owner->cgroup_path), "/system.slice/simulated.service");
	out->buckets = vec_grow(out->buckets, &out->buckets_capacity, PROBE_BUCKETS,
				sizeof(*out->buckets));
	memset(out->buckets, 0, PROBE_BUCKETS * sizeof(*out->buckets));
}

static int generate(struct simulation *simulation, struct model *model, double seconds,
		    struct recorded *recorded)
{
	uint64_t steps = (uint64_t)(seconds * NS_PER_S / STEP_NS);
	int r = 0;

	recorded_one(recorded);
	for (uint64_t i = 0; i <= steps && r == 0; i++) {
		uint32_t servers = i ? simulation_serving(simulation) : 1;
		double at = (double)(i * STEP_NS) / NS_PER_S;

		model_step(model, at, (double)STEP_NS / NS_PER_S, servers);
		recorded->sample.time_ns = FIRST_NS + i * STEP_NS;
		fill_listener(model, servers, recorded);
		fill_usage(model, servers, recorded->sample.time_ns, &recorded->host);
		recorded_link(recorded);
		recorded->placed.at[0].usage = recorded->host;
		r = simulation_step(simulation, &recorded->sample, recorded->placed.at,
				    &recorded->host);
	}
	return r;
}

int lab_generate(const struct lab_config *config, const char *shape, double seconds,
		 struct lab_result *result)
{
	_cleanup_(recorded_free)
	struct recorded recorded = {0};
	_cleanup_(simulation_free)
	struct simulation simulation = {0};
	struct model model = {0};
	char reason[200];
	int r;

	r = shape_parse(shape, &model.shape, reason);
	if (r < 0) {
		log_error("--shape %s: %s", shape, reason);
		return r;
	}
	if (!(seconds > 0) || seconds > 30 * 86400) {
		log_error("cannot simulate %g seconds: expected more than 0 and at most 30 days",
			  seconds);
		return -EINVAL;
	}
	r = simulation_new(config, result, &simulation);
	if (r == 0)
		r = generate(&simulation, &model, seconds, &recorded);
	simulation_end(&simulation);
	return r;
}
