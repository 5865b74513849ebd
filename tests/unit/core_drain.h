/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fleet of instances with agents for the tests of the way back: EC2's tags and ELB's target
 * groups are played beside the EC2 of core_world.h.
 */
#ifndef CORE_DRAIN_H
#define CORE_DRAIN_H

#include "core/drain.h"
#include "core_fleet.h"

static const char DRAIN_YAML[] =
	"apiVersion: autoscaling/v2\n"
	"kind: HorizontalPodAutoscaler\n"
	"metadata: {name: web, annotations: {forerun.dev/service: web}}\n"
	"spec:\n"
	"  scaleTargetRef: {apiVersion: karpenter.sh/v1, kind: NodePool, name: web}\n"
	"  minReplicas: 3\n"
	"  maxReplicas: 20\n"
	"  metrics:\n"
	"  - type: External\n"
	"    external:\n"
	"      metric: {name: forerun_accept_queue_depth, selector: {matchLabels: {port: "
	"\"80\"}}}\n"
	"      target: {type: AverageValue, averageValue: \"10\"}\n"
	"  behavior: {scaleUp: {policies: [{type: Pods, value: 100, periodSeconds: 1}]}, "
	"scaleDown: {stabilizationWindowSeconds: 10, policies: [{type: Pods, value: 100, "
	"periodSeconds: 1}]}}\n"
	"---\n";

#define GROUP "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/0123456789abcdef"

struct drain_world {
	struct world world; /* first */
	VEC(struct mark_order) marks; /* not answered yet */
	VEC(struct target_order) targets;
	VEC(struct instance_id) registered, leaving; /* of the group */
	uint64_t mark_calls, register_calls, deregister_calls, health_calls;
	int mark_error;
	bool group_gone;
	bool mute; /* no agent says anything */
	double connections[64]; /* open on the host of that instance, by its number */
	const char *notice_of; /* instance with a notice */
	struct notice notice;
};

static inline void ids_copy(struct mark_order *to, const struct mark_order *from)
{
	*to = *from;
	memset(&to->instances, 0, sizeof(to->instances));
	vec_for_each (id, &from->instances)
		*vec_push(&to->instances) = *id;
}

static inline void drain_mark(void *arg, const struct mark_order *order)
{
	struct drain_world *at = arg;

	at->mark_calls++;
	ids_copy(vec_push(&at->marks), order);
}

static inline void drain_targets(void *arg, const struct target_order *order)
{
	struct drain_world *at = arg;
	struct target_order *copy = vec_push(&at->targets);

	assert_string_equal(order->group, GROUP);
	at->register_calls += order->action == TARGETS_REGISTER;
	at->deregister_calls += order->action == TARGETS_DEREGISTER;
	at->health_calls += order->action == TARGETS_HEALTH;
	*copy = *order;
	memset(&copy->instances, 0, sizeof(copy->instances));
	vec_for_each (id, &order->instances)
		*vec_push(&copy->instances) = *id;
}

/* ---- the other side ---- */

static inline bool drain_answer_mark(struct drain_world *at)
{
	struct mark_result result = {.error = at->mark_error};
	struct mark_order order;

	if (!at->marks.count)
		return false;
	order = at->marks.at[0];
	vec_remove(&at->marks, 0);
	result.number = order.number;
	vec_for_each (id, &order.instances)
		vec_for_each (it, &at->world.instances)
			if (!result.error && strcmp(it->view.id, id->id) == 0)
				snprintf(it->view.draining, sizeof(it->view.draining), "%s",
					 order.value);
	core_marked(at->world.core, &result, at->world.now);
	vec_free(&order.instances);
	return true;
}

static inline bool group_take(struct drain_world *at, const char *id)
{
	for (size_t i = 0; i < at->registered.count; i++)
		if (strcmp(at->registered.at[i].id, id) == 0) {
			vec_remove(&at->registered, i);
			return true;
		}
	return false;
}

static inline bool group_has(const struct drain_world *at, const char *id)
{
	vec_for_each (it, &at->registered)
		if (strcmp(it->id, id) == 0)
			return true;
	return false;
}

static inline bool group_leaving(const struct drain_world *at, const char *id)
{
	vec_for_each (it, &at->leaving)
		if (strcmp(it->id, id) == 0)
			return true;
	return false;
}

static inline void group_do(struct drain_world *at, const struct target_order *order,
			    struct target_result *result)
{
	vec_for_each (id, &order->instances) {
		if (order->action == TARGETS_HEALTH && !group_has(at, id->id) &&
		    !group_leaving(at, id->id))
			*vec_push(&result->unused) = *id;
		if (order->action == TARGETS_REGISTER && !group_has(at, id->id))
			*vec_push(&at->registered) = *id;
		if (order->action == TARGETS_DEREGISTER && group_take(at, id->id))
			*vec_push(&at->leaving) = *id;
	}
}

static inline bool drain_answer_targets(struct drain_world *at)
{
	struct target_result result = {0};
	struct target_order order;

	if (!at->targets.count)
		return false;
	order = at->targets.at[0];
	vec_remove(&at->targets, 0);
	result.number = order.number;
	if (at->group_gone) {
		result.error = -EINVAL;
		result.group_gone = true;
		strcpy(result.error_code, "TargetGroupNotFound");
	} else {
		group_do(at, &order, &result);
	}
	core_targets(at->world.core, &result, at->world.now);
	vec_free(&order.instances);
	vec_free(&result.unused);
	return true;
}

/* ---- agents ---- */

static inline const char *id_of(const struct drain_world *at, size_t instance)
{
	return at->world.instances.at[instance].view.id;
}

static inline void drain_report(struct drain_world *at, size_t i, double depth)
{
	struct world *world = &at->world;
	struct indicator *listener = &world->listeners[0];
	const char *id = id_of(at, i);
	struct frame frame;
	char name[48];

	listener_set(listener, METRIC_OPEN_CONNECTIONS, at->connections[i], 0);
	listener_set(listener, METRIC_REQUESTS_IN_FLIGHT, at->connections[i] / 2, 0);
	listener_set(listener, METRIC_RESPONSES_PER_SECOND, 5, 0);
	snprintf(name, sizeof(name), "host-%s", id);
	frame = frame_of(world, name, "web", depth);
	snprintf(frame.instance_id, sizeof(frame.instance_id), "%s", id);
	if (at->notice_of && strcmp(at->notice_of, id) == 0) {
		frame.notices[0] = at->notice;
		frame.notices_count = 1;
	}
	core_frame(world->core, &frame, world->now);
}

/* Ten times a second every running instance reports, and everybody answers at once; EC2 is looked
 * at every second. */
static inline void drain_run(struct drain_world *at, double depth, uint64_t ns)
{
	struct world *world = &at->world;
	unsigned rounds = 0;

	for (uint64_t end = world->now.mono_ns + ns; world->now.mono_ns < end; rounds++) {
		world_advance(world, 100 * NS_PER_MS);
		for (size_t i = 0; !at->mute && i < world->instances.count; i++)
			if (world->instances.at[i].view.state == INSTANCE_RUNNING)
				drain_report(at, i, depth);
		core_tick(world->core, world->now);
		while (world_answer(world) || world_answer_terminate(world, 0) ||
		       drain_answer_mark(at) || drain_answer_targets(at))
			;
		if (rounds % 10 == 0)
			world_describe(world);
	}
}

static inline void drain_core(struct drain_world *at)
{
	struct world *world = &at->world;
	const struct core_effects effects = {.arg = at,
					     .journal = world_journal,
					     .launch = world_launch,
					     .terminate = world_terminate,
					     .braked = world_braked,
					     .mark = drain_mark,
					     .targets = drain_targets};

	assert_int_equal(core_new(&world->config, &world->documents, &effects, &world->core), 0);
}

static inline void drain_begin(struct drain_world *at)
{
	struct world *world = &at->world;

	drain_core(at);
	world_class(world, true);
	world_catalog(world);
	core_start(world->core, world->now);
	world_describe(world);
}

/* Three instances that serve, and nothing of the fleet besides. */
static inline void drain_new_world(struct drain_world *at, const char *group)
{
	struct world *world = &at->world;

	memset(at, 0, sizeof(*at));
	fleet_init(world, DRAIN_YAML);
	if (group)
		*vec_push(&world->documents.policies.at[0].target_groups) = strdup(group);
	world->boot_ns = 5 * NS_PER_S;
	core_limits_default(&world->config.limits);
	world->config.limits.launches_per_minute = 1000;
	drain_begin(at);
	run_hosts(world, 1, "web", 0, 5 * NS_PER_S); /* somebody must say something first */
	while (world_answer(world))
		;
	drain_run(at, 0, 700 * NS_PER_S); /* that host is forgotten */
	assert_int_equal(ec2_alive(world), 3);
}

static inline void drain_crash(struct drain_world *at)
{
	vec_for_each (order, &at->marks)
		vec_free(&order->instances);
	vec_for_each (order, &at->targets)
		vec_free(&order->instances);
	vec_clear(&at->marks);
	vec_clear(&at->targets);
	world_crash(&at->world);
}

/* With its journal, or with an empty disk. */
static inline void drain_restart(struct drain_world *at, bool disk)
{
	struct world *world = &at->world;

	drain_crash(at);
	drain_core(at);
	if (disk) {
		world_replay(world);
	} else {
		vec_for_each (line, &world->journal)
			free(*line);
		vec_clear(&world->journal);
		vec_clear(&world->synced);
		world->durable = 0;
	}
	world_class(world, true);
	world_catalog(world);
	core_start(world->core, world->now);
	world_describe(world);
}

static inline void drain_free_world(struct drain_world *at)
{
	struct policy *policy = &at->world.documents.policies.at[0];

	drain_crash(at);
	vec_for_each (group, &policy->target_groups)
		free(*group);
	vec_free(&policy->target_groups);
	vec_free(&at->marks);
	vec_free(&at->targets);
	vec_free(&at->registered);
	vec_free(&at->leaving);
	world_free(&at->world);
}

static inline struct instance *instance_at(struct drain_world *at, size_t i)
{
	return instance_find(at->world.core, id_of(at, i));
}

static inline int begin_retire(struct drain_world *at, size_t i, enum retire_reason reason,
			       enum replacing replacing)
{
	const struct retire_request request = {
		.reason = reason, .replacing = replacing, .why = "a test wants it"};

	return retire_begin(at->world.core, instance_at(at, i), &request, at->world.now);
}

/* What core_node() says of that instance; false: it is gone. */
static inline bool node_of(struct drain_world *at, const char *id, struct node_view *out)
{
	size_t n = 0;

	while (core_node(at->world.core, &n, at->world.now, out))
		if (strcmp(out->id, id) == 0)
			return true;
	return false;
}

#endif
