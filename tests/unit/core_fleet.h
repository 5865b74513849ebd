/* SPDX-License-Identifier: Apache-2.0 */
/* A fleet for the core: hosts that report, and two services on one NodePool. */
#ifndef CORE_FLEET_H
#define CORE_FLEET_H

#include "core_world.h"

/* Two services on one NodePool. */
static const char TWO_YAML[] =
	"apiVersion: autoscaling/v2\n"
	"kind: HorizontalPodAutoscaler\n"
	"metadata: {name: web-policy, annotations: {forerun.dev/service: web}}\n"
	"spec:\n"
	"  scaleTargetRef: {apiVersion: karpenter.sh/v1, kind: NodePool, name: web}\n"
	"  maxReplicas: 100\n"
	"  metrics:\n"
	"  - type: External\n"
	"    external:\n"
	"      metric: {name: forerun_accept_queue_depth, selector: {matchLabels: {port: "
	"\"80\"}}}\n"
	"      target: {type: AverageValue, averageValue: \"10\"}\n"
	"  behavior: {scaleUp: {policies: [{type: Pods, value: 100, periodSeconds: 1}]}, "
	"scaleDown: {stabilizationWindowSeconds: 10}}\n"
	"---\n"
	"apiVersion: autoscaling/v2\n"
	"kind: HorizontalPodAutoscaler\n"
	"metadata: {name: api-policy, annotations: {forerun.dev/service: api}}\n"
	"spec:\n"
	"  scaleTargetRef: {apiVersion: karpenter.sh/v1, kind: NodePool, name: web}\n"
	"  maxReplicas: 100\n"
	"  metrics:\n"
	"  - type: External\n"
	"    external:\n"
	"      metric: {name: forerun_accept_queue_depth, selector: {matchLabels: {port: "
	"\"80\"}}}\n"
	"      target: {type: AverageValue, averageValue: \"10\"}\n"
	"---\n";

enum { WEB, API };

static inline const struct policy_status *status_of(struct world *world, size_t policy)
{
	const struct policy_status *status;

	assert_true(core_policies(world->core, &status) > policy);
	return &status[policy];
}

static inline struct frame frame_of(struct world *world, const char *host, const char *services,
				    double depth)
{
	struct frame frame = {.kind = FRAME_TICK,
			      .sequence = ++world->sequence,
			      .host_cpu_cores = world->host_cpu_cores,
			      .host_cpus = world->host_cpus,
			      .indicators = world->listeners,
			      .count = world->listeners_count};

	world_queue(world, depth);
	for (size_t i = 0; i < world->listeners_count; i++)
		world->listeners[i].time_ns = world->now.mono_ns;
	snprintf(frame.host, sizeof(frame.host), "%s", host);
	snprintf(frame.services, sizeof(frame.services), "%s", services);
	return frame;
}

static inline void report(struct world *world, const char *host, const char *services, double depth)
{
	struct frame frame = frame_of(world, host, services, depth);

	core_frame(world->core, &frame, world->now);
}

/* As an instance of EC2 that says nothing of services. */
static inline void report_instance(struct world *world, const char *host, const char *id,
				   double depth)
{
	struct frame frame = frame_of(world, host, "", depth);

	snprintf(frame.instance_id, sizeof(frame.instance_id), "%s", id);
	core_frame(world->core, &frame, world->now);
}

static inline void fleet_init(struct world *world, const char *yaml)
{
	world_init(world, yaml, WORLD_POOL);
	world->config.fleet = true;
	world->config.limits.host_replicas = INFINITY;
	world->config.limits.launches_per_minute = 1000;
	world->config.limits.surge = 1000;
}

/* So many hosts of a service, each with that depth, ten times a second. */
static inline void run_hosts(struct world *world, unsigned hosts, const char *services,
			     double depth, uint64_t ns)
{
	for (uint64_t end = world->now.mono_ns + ns; world->now.mono_ns < end;) {
		world_advance(world, 100 * NS_PER_MS);
		for (unsigned i = 0; i < hosts; i++) {
			char name[32];

			snprintf(name, sizeof(name), "host-%u", i);
			report(world, name, services, depth);
		}
		core_tick(world->core, world->now);
	}
}

static inline void fleet_new(struct world *world, unsigned hosts, double depth)
{
	fleet_init(world, TWO_YAML);
	world_start(world);
	run_hosts(world, hosts, "web", depth, 5 * NS_PER_S);
	assert_int_equal(world->launch_calls, 0);
}

static inline void answer_all(struct world *world)
{
	while (world_answer(world))
		;
}

#endif
