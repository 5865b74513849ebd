/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A world for the core: a clock, a journal in memory, an EC2 that honours ClientTokens as EC2 does
 * and keeps the ledger of what was really launched. Nothing in it is asked behind the core's back.
 */
#ifndef CORE_WORLD_H
#define CORE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <sys/socket.h>

#include "core/core.h"

struct ec2_instance {
	struct instance_view view;
	uint64_t visible_ns; /* DescribeInstances shows it from then on */
	uint64_t running_ns;
	uint64_t shown_ns; /* it is shown as before its start until then */
	struct instance_view before;
	uint32_t starts, stops;
	bool hibernated;
};

/* What EC2 remembers of a ClientToken: the parameters and the answer. */
struct ec2_token {
	char token[64];
	uint64_t parameters;
	struct launch_result result;
};

struct fault { /* of one CreateFleet */
	bool lose_before, lose_after; /* the call is lost; the reply is */
	bool throttle, refuse;
	bool unknown_state; /* 500 without a word about the effect, but it had one */
	uint32_t at_most; /* fewer than asked for; UINT32_MAX: all */
	bool no_capacity; /* of the first override's type and zone */
	uint32_t start_most; /* of the next StartInstances: the others have no capacity */
	bool untagged; /* started, and CreateTags is lost */
	const char *start_code; /* what is said of them; NULL: InsufficientInstanceCapacity */
};

struct world {
	struct core *core;
	struct world *shares; /* the EC2 of that world; NULL: its own */
	struct core_config config;
	struct documents documents;
	struct moment now;
	VEC(char *) journal;
	VEC(bool) synced;
	size_t durable; /* lines that a power cut does not take */
	int journal_error;
	size_t journal_fails_at; /* lines; SIZE_MAX: never */

	VEC(struct launch_order) called; /* launch() calls, not yet answered */
	VEC(struct terminate_order) terminating;
	VEC(struct stop_order) stopping;
	uint64_t launch_calls, terminate_calls, dry_runs, stop_calls;
	uint64_t start_shown_after_ns; /* so long a started one is shown as stopped */
	uint64_t brakes_began, brakes_ended; /* told of */
	char brake_text[CLOUD_TEXT_SIZE];
	uint64_t lines_at_last_launch;
	bool launch_was_written;

	VEC(struct ec2_instance) instances;
	VEC(struct ec2_token) tokens;
	uint32_t group_desired, group_max, group_sets; /* of the one Auto Scaling group */
	uint64_t mismatches; /* the same token with other parameters */
	uint64_t next_instance;
	uint64_t boot_ns, visible_after_ns;
	struct fault fault;

	struct indicator listeners[8];
	size_t listeners_count;
	double host_cpu_cores, host_cpus;
	uint64_t sequence;
};

static const char WORLD_YAML[] =
	"apiVersion: autoscaling/v2\n"
	"kind: HorizontalPodAutoscaler\n"
	"metadata: {name: web}\n"
	"spec:\n"
	"  scaleTargetRef: {apiVersion: karpenter.sh/v1, kind: NodePool, name: web}\n"
	"  minReplicas: 1\n"
	"  maxReplicas: 10\n"
	"  metrics:\n"
	"  - type: External\n"
	"    external:\n"
	"      metric:\n"
	"        name: forerun_accept_queue_depth\n"
	"        selector: {matchLabels: {port: \"80\"}}\n"
	"      target: {type: AverageValue, averageValue: \"10\"}\n"
	"  behavior:\n"
	"    scaleUp: {policies: [{type: Pods, value: 10, periodSeconds: 1}]}\n"
	"    scaleDown: {stabilizationWindowSeconds: 60, policies: [{type: Pods, value: 10, "
	"periodSeconds: 1}]}\n"
	"---\n";

static const char WORLD_POOL[] =
	"apiVersion: karpenter.sh/v1\n"
	"kind: NodePool\n"
	"metadata: {name: web}\n"
	"spec:\n"
	"  disruption: {consolidateAfter: Never}\n"
	"  template:\n"
	"    spec:\n"
	"      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: web}\n"
	"      requirements:\n"
	"      - {key: karpenter.k8s.aws/instance-family, operator: In, values: [m5, c5]}\n"
	"      - {key: karpenter.sh/capacity-type, operator: In, values: [on-demand, spot]}\n"
	"---\n";

static const char WORLD_CLASS[] = "apiVersion: karpenter.k8s.aws/v1\n"
				  "kind: EC2NodeClass\n"
				  "metadata: {name: web}\n"
				  "spec:\n"
				  "  amiSelectorTerms: [{id: ami-0123456789abcdef0}]\n"
				  "  amiFamily: AL2023\n"
				  "  role: web\n"
				  "  subnetSelectorTerms: [{id: subnet-0123456789abcdef0}]\n"
				  "  securityGroupSelectorTerms: [{id: sg-0123456789abcdef0}]\n"
				  "  tags: {team: shop}\n";

/* ---- effects ---- */

static inline int world_journal(void *arg, const char *json, size_t length, bool sync)
{
	struct world *world = arg;

	assert_null(memchr(json, '\n', length));
	if (world->journal.count >= world->journal_fails_at)
		return world->journal_error;
	*vec_push(&world->journal) = strndup(json, length);
	*vec_push(&world->synced) = sync;
	return 0;
}

static inline void order_copy(struct launch_order *to, const struct launch_order *from)
{
	*to = *from;
	memset(&to->overrides, 0, sizeof(to->overrides));
	memset(&to->tags, 0, sizeof(to->tags));
	memset(&to->starts, 0, sizeof(to->starts));
	vec_for_each (start, &from->starts)
		*vec_push(&to->starts) = *start;
	vec_for_each (override, &from->overrides)
		*vec_push(&to->overrides) = *override;
	vec_for_each (tag, &from->tags.list)
		*vec_push(&to->tags.list) =
			(struct key_value){strdup(tag->key), strdup(tag->value)};
}

static inline void world_launch(void *arg, const struct launch_order *order)
{
	struct world *world = arg;

	assert_true(strlen(order->token) <= 64 && order->count > 0 &&
		    (order->overrides.count > 0) != (order->starts.count > 0));
	if (order->dry_run) {
		assert_int_equal(world->config.mode, MODE_OBSERVE);
		world->dry_runs++;
		return;
	}
	assert_int_equal(world->config.mode, MODE_ACT);
	world->launch_calls++;
	world->lines_at_last_launch = world->journal.count;
	/* Its own line is written, and the disk is asked for: nothing may be called before. */
	world->launch_was_written = false;
	for (size_t i = 0; i < world->journal.count; i++)
		if (world->synced.at[i] && strstr(world->journal.at[i], order->token))
			world->launch_was_written = true;
	order_copy(vec_push(&world->called), order);
}

static inline void world_terminate(void *arg, const struct terminate_order *order)
{
	struct world *world = arg;
	struct terminate_order *copy;

	assert_int_equal(world->config.mode, MODE_ACT);
	world->terminate_calls++;
	copy = vec_push(&world->terminating);
	memcpy(copy->decision, order->decision, sizeof(copy->decision));
	copy->number = order->number;
	memcpy(copy->group, order->group, sizeof(copy->group));
	vec_for_each (instance, &order->instances)
		*vec_push(&copy->instances) = *instance;
}

static inline void world_stop(void *arg, const struct stop_order *order)
{
	struct world *world = arg;

	world->stop_calls++;
	*vec_push(&world->stopping) = *order;
}

static inline void world_braked(void *arg, enum brake brake, bool holds, const char *text)
{
	struct world *world = arg;

	assert_true(brake < BRAKE_COUNT);
	world->brakes_began += holds;
	world->brakes_ended += !holds;
	snprintf(world->brake_text, sizeof(world->brake_text), "%s", text);
}

/* ---- EC2 ---- */

static inline struct world *ec2_of(struct world *world)
{
	return world->shares ? world->shares : world;
}

static inline uint64_t order_print(const struct launch_order *order)
{
	uint64_t print = order->count * 31 + order->capacity_type;

	vec_for_each (override, &order->overrides)
		print = print * 1099511628211ULL ^ hash_text(override->instance_type) ^
			hash_text(override->subnet_id) * 3 ^ hash_text(override->launch_template);
	vec_for_each (tag, &order->tags.list)
		print = print * 1099511628211ULL ^ hash_text(tag->key) ^ hash_text(tag->value) * 5;
	return print;
}

static inline const char *order_tag(const struct launch_order *order, const char *key)
{
	vec_for_each (tag, &order->tags.list)
		if (strcmp(tag->key, key) == 0)
			return tag->value;
	return NULL;
}

static inline void ec2_launch_one(struct world *world, const struct launch_order *order,
				  const struct launch_override *override,
				  struct launch_result *result)
{
	struct world *ec2 = ec2_of(world);
	struct ec2_instance *instance = vec_push(&ec2->instances);
	struct launched_instance *launched = vec_push(&result->instances);

	snprintf(instance->view.id, sizeof(instance->view.id), "i-%017llx",
		 (unsigned long long)++ec2->next_instance);
	snprintf(instance->view.instance_type, 32, "%s", override->instance_type);
	snprintf(instance->view.zone, 32, "%s", override->zone);
	instance->view.capacity_type = order->capacity_type;
	instance->view.launched_wall_ns = world->now.wall_ns + ec2->next_instance;
	snprintf(instance->view.decision, 48, "%s", order_tag(order, "forerun.dev/decision"));
	snprintf(instance->view.pool, CLOUD_NAME_SIZE, "%s",
		 order_tag(order, "forerun.dev/nodepool"));
	snprintf(instance->view.policy, CLOUD_NAME_SIZE, "%s",
		 order_tag(order, "forerun.dev/policy"));
	snprintf(instance->view.token, 64, "%s", order_tag(order, "forerun.dev/token"));
	if (order_tag(order, "forerun.dev/epoch"))
		instance->view.epoch = strtoull(order_tag(order, "forerun.dev/epoch"), NULL, 10);
	instance->view.launch_count =
		(uint32_t)strtoul(order_tag(order, "forerun.dev/count"), NULL, 10);
	if (order_tag(order, "forerun.dev/class-hash"))
		snprintf(instance->view.class_hash, 20, "%s",
			 order_tag(order, "forerun.dev/class-hash"));
	instance->view.owned = true;
	instance->visible_ns = world->now.mono_ns + world->visible_after_ns;
	instance->running_ns = world->now.mono_ns + world->boot_ns;
	memcpy(launched->id, instance->view.id, sizeof(launched->id));
	memcpy(launched->instance_type, override->instance_type, 32);
	memcpy(launched->zone, override->zone, 32);
}

static inline void ec2_no_capacity(const struct launch_override *override,
				   struct launch_result *result)
{
	struct launch_failure *failure = vec_push(&result->failures);

	memcpy(failure->instance_type, override->instance_type, 32);
	memcpy(failure->zone, override->zone, 32);
	strcpy(failure->code, "InsufficientInstanceCapacity");
	strcpy(failure->message, "none left");
}

/* CreateFleet as EC2 has it: the same token gives the same answer and launches nothing again. */
static inline const struct launch_result *ec2_create_fleet(struct world *world,
							   const struct launch_order *order)
{
	static const struct launch_result mismatch = {.outcome = LAUNCH_REFUSED,
						      .error_code = "IdempotentParameterMismatch"};
	struct ec2_token *made;
	uint32_t count = MIN(order->count, world->fault.at_most);

	vec_for_each (known, &ec2_of(world)->tokens)
		if (strcmp(known->token, order->token) == 0) {
			if (known->parameters == order_print(order))
				return &known->result;
			world->mismatches++;
			return &mismatch;
		}
	made = vec_push(&ec2_of(world)->tokens);
	memcpy(made->token, order->token, sizeof(made->token));
	memcpy(made->result.token, order->token, sizeof(made->token));
	made->parameters = order_print(order);
	strcpy(made->result.request_id, "11111111-2222-3333-4444-555555555555");
	made->result.outcome = LAUNCH_DONE;
	if (world->fault.no_capacity) {
		ec2_no_capacity(&order->overrides.at[0], &made->result);
		made->result.no_capacity = true;
		count = 0;
	}
	while (count--)
		ec2_launch_one(world, order, &order->overrides.at[0], &made->result);
	return &made->result;
}

static inline void result_copy(struct launch_result *to, const struct launch_result *from)
{
	*to = *from;
	memset(&to->instances, 0, sizeof(to->instances));
	memset(&to->failures, 0, sizeof(to->failures));
	vec_for_each (it, &from->instances)
		*vec_push(&to->instances) = *it;
	vec_for_each (it, &from->failures)
		*vec_push(&to->failures) = *it;
}

static inline struct ec2_instance *ec2_find(struct world *world, const char *id)
{
	vec_for_each (instance, &ec2_of(world)->instances)
		if (strcmp(instance->view.id, id) == 0)
			return instance;
	return NULL;
}

static inline void ec2_start_one(struct world *world, struct ec2_instance *instance)
{
	if (instance->view.state != INSTANCE_STOPPED)
		return;
	instance->before = instance->view;
	instance->shown_ns = world->now.mono_ns + ec2_of(world)->start_shown_after_ns;
	instance->view.state = INSTANCE_PENDING;
	instance->view.launched_wall_ns = world->now.wall_ns;
	instance->running_ns = world->now.mono_ns + ec2_of(world)->boot_ns / 4;
	instance->starts++;
}

static inline void ec2_tag(struct ec2_instance *instance, const struct launch_order *order)
{
	snprintf(instance->view.policy, CLOUD_NAME_SIZE, "%s",
		 order_tag(order, "forerun.dev/policy"));
	snprintf(instance->view.token, 64, "%s", order_tag(order, "forerun.dev/token"));
	snprintf(instance->view.decision, 48, "%s", order_tag(order, "forerun.dev/decision"));
	instance->view.epoch = strtoull(order_tag(order, "forerun.dev/epoch"), NULL, 10);
	instance->view.launch_count =
		(uint32_t)strtoul(order_tag(order, "forerun.dev/count"), NULL, 10);
}

/* StartInstances and CreateTags. */
static inline void ec2_start(struct world *world, const struct launch_order *order,
			     struct launch_result *result)
{
	uint32_t left = world->fault.start_most;

	result->outcome = LAUNCH_DONE;
	strcpy(result->request_id, "11111111-2222-3333-4444-555555555555");
	vec_for_each (it, &order->starts) {
		struct ec2_instance *instance = ec2_find(world, it->id);
		bool wrong = !instance || (instance->view.state != INSTANCE_STOPPED &&
					   instance->view.state != INSTANCE_PENDING &&
					   instance->view.state != INSTANCE_RUNNING);

		if (!wrong && left) {
			left--;
			ec2_start_one(world, instance);
			if (!world->fault.untagged)
				ec2_tag(instance, order);
			*vec_push(&result->instances) = *it;
			continue;
		}
		struct launch_failure *failure = vec_push(&result->failures);

		memcpy(failure->instance_id, it->id, sizeof(it->id));
		memcpy(failure->instance_type, it->instance_type, 32);
		memcpy(failure->zone, it->zone, 32);
		strcpy(failure->code, wrong			? "IncorrectInstanceState"
				      : world->fault.start_code ? world->fault.start_code
								: "InsufficientInstanceCapacity");
	}
}

static inline bool world_answer_stop(struct world *world, int error)
{
	struct stop_result result = {.error = error};
	struct stop_order order;
	struct ec2_instance *instance;

	if (!world->stopping.count)
		return false;
	order = world->stopping.at[0];
	vec_remove(&world->stopping, 0);
	memcpy(result.id, order.id, sizeof(result.id));
	instance = ec2_find(world, order.id);
	if (error != -EINVAL && instance && instance->view.state == INSTANCE_RUNNING) {
		instance->view.state = INSTANCE_STOPPED;
		instance->hibernated = order.hibernate;
		instance->stops++;
	}
	core_stopped(world->core, &result, world->now);
	return true;
}

/* SetDesiredCapacity as user/cloud calls it: never below what it is, never above MaxSize. */
static inline void ec2_group_set(struct world *world, const struct launch_order *order,
				 struct launch_result *result)
{
	struct world *ec2 = ec2_of(world);

	if (order->desired > ec2->group_max) {
		result->outcome = LAUNCH_REFUSED;
		strcpy(result->error_code, "MaxSize");
		return;
	}
	ec2->group_sets += order->desired > ec2->group_desired;
	ec2->group_desired = MAX(ec2->group_desired, order->desired);
	result->outcome = LAUNCH_UNKNOWN;
	if (!world->fault.lose_after)
		strcpy(result->error_code, CODE_GROUP_LAUNCHES);
}

static inline uint32_t ec2_group_members(const struct world *world)
{
	uint32_t count = 0;

	vec_for_each (it, &world->instances)
		count += it->view.grouped &&
			 (it->view.state == INSTANCE_PENDING || it->view.state == INSTANCE_RUNNING);
	return count;
}

/* The group launches what it lacks, as far as there is capacity. */
static inline void ec2_group_works(struct world *world, uint32_t capacity)
{
	while (ec2_group_members(world) < MIN(world->group_desired, capacity)) {
		struct ec2_instance *instance = vec_push(&world->instances);

		snprintf(instance->view.id, sizeof(instance->view.id), "i-%017llx",
			 (unsigned long long)++world->next_instance);
		strcpy(instance->view.instance_type, "m5.large");
		strcpy(instance->view.zone, "us-east-1a");
		strcpy(instance->view.pool, "web");
		strcpy(instance->view.policy, "web");
		instance->view.capacity_type = CAPACITY_ON_DEMAND;
		instance->view.launched_wall_ns = world->now.wall_ns + world->next_instance;
		instance->view.owned = instance->view.grouped = true;
		instance->visible_ns = world->now.mono_ns + world->visible_after_ns;
		instance->running_ns = world->now.mono_ns + world->boot_ns;
	}
}

/* What the caller of this order hears. The fault is of this one call. */
static inline void ec2_answer(struct world *world, const struct launch_order *order,
			      struct launch_result *result)
{
	struct fault *fault = &world->fault;

	memset(result, 0, sizeof(*result));
	memcpy(result->token, order->token, sizeof(result->token));
	if (fault->throttle || fault->refuse) {
		result->outcome = LAUNCH_REFUSED;
		result->throttled = fault->throttle;
		strcpy(result->error_code,
		       fault->throttle ? "RequestLimitExceeded" : "UnauthorizedOperation");
	} else if (fault->lose_before) {
		result->outcome = LAUNCH_UNKNOWN;
	} else if (*order->group) {
		ec2_group_set(world, order, result);
	} else if (order->starts.count) {
		ec2_start(world, order, result);
		if (fault->lose_after || fault->unknown_state || fault->untagged) {
			launch_result_free(result);
			result->outcome = LAUNCH_UNKNOWN;
		}
	} else {
		result_copy(result, ec2_create_fleet(world, order));
		memcpy(result->token, order->token, sizeof(result->token));
		if (fault->lose_after || fault->unknown_state) {
			launch_result_free(result);
			result->outcome = LAUNCH_UNKNOWN;
		}
	}
	result->started_ns = world->now.mono_ns;
	result->sent_ns = world->now.mono_ns + 100 * NS_PER_US;
	result->done_ns = world->now.mono_ns + NS_PER_MS;
}

/* The round is over: what was to be synced is, with all before it. */
static inline void world_sync(struct world *world)
{
	for (size_t i = world->durable; i < world->synced.count; i++)
		if (world->synced.at[i])
			world->durable = i + 1;
}

static inline void world_advance(struct world *world, uint64_t ns)
{
	world_sync(world);
	world->now.mono_ns += ns;
	world->now.wall_ns += ns;
}

/* Answers the oldest call. */
static inline bool world_answer(struct world *world)
{
	struct launch_order order;
	struct launch_result result;

	if (!world->called.count)
		return false;
	order = world->called.at[0];
	vec_remove(&world->called, 0);
	ec2_answer(world, &order, &result);
	world_advance(world, 2 * NS_PER_MS);
	core_launched(world->core, &result, world->now);
	launch_result_free(&result);
	launch_order_free(&order);
	return true;
}

static inline void ec2_terminate(struct world *world, const struct terminate_order *order)
{
	vec_for_each (it, &order->instances)
		vec_for_each (instance, &ec2_of(world)->instances)
			if (strcmp(instance->view.id, it->id) == 0) {
				if (*order->group && instance->view.state != INSTANCE_TERMINATED)
					ec2_of(world)->group_desired--;
				instance->view.state = INSTANCE_TERMINATED;
			}
}

/* error as core_terminated() takes it; -EAGAIN may have had its effect. */
static inline bool world_answer_terminate(struct world *world, int error)
{
	struct terminate_result result = {.error = error};
	struct terminate_order order;

	if (!world->terminating.count)
		return false;
	order = world->terminating.at[0];
	result.number = order.number;
	vec_remove(&world->terminating, 0);
	memcpy(result.decision, order.decision, sizeof(result.decision));
	if (error != -EINVAL)
		ec2_terminate(world, &order);
	core_terminated(world->core, &result, world->now);
	vec_free(&order.instances);
	return true;
}

/* DescribeInstances. */
static inline void world_describe(struct world *world)
{
	VEC(struct instance_view) views = {0};
	struct fleet_view fleet;

	vec_for_each (instance, &ec2_of(world)->instances) {
		if (instance->view.state == INSTANCE_PENDING &&
		    instance->running_ns <= world->now.mono_ns)
			instance->view.state = INSTANCE_RUNNING;
		if (instance->visible_ns <= world->now.mono_ns)
			*vec_push(&views) = instance->view;
		if (instance->shown_ns > world->now.mono_ns && views.count)
			views.at[views.count - 1] = instance->before;
	}
	fleet = (struct fleet_view){views.at, views.count, world->now.mono_ns};
	core_fleet(world->core, &fleet, world->now);
	vec_free(&views);
}

static inline uint32_t ec2_alive(const struct world *world)
{
	uint32_t alive = 0;

	vec_for_each (instance, &world->instances)
		alive += instance->view.state == INSTANCE_PENDING ||
			 instance->view.state == INSTANCE_RUNNING;
	return alive;
}

/* ---- catalog and class ---- */

static inline struct offering world_offering(const char *type, const char *zone,
					     enum capacity_type capacity_type, uint32_t vcpus,
					     double usd)
{
	struct offering offering = {.capacity_type = capacity_type,
				    .architecture = ARCH_AMD64,
				    .vcpus = vcpus,
				    .memory_mib = vcpus * 4096ULL,
				    .usd_per_hour = usd};

	snprintf(offering.instance_type, sizeof(offering.instance_type), "%s", type);
	snprintf(offering.zone, sizeof(offering.zone), "%s", zone);
	return offering;
}

static inline void world_catalog(struct world *world)
{
	const struct offering offerings[] = {
		world_offering("m5.large", "us-east-1a", CAPACITY_SPOT, 2, 0.03),
		world_offering("m5.large", "us-east-1b", CAPACITY_SPOT, 2, 0.04),
		world_offering("m5.large", "us-east-1a", CAPACITY_ON_DEMAND, 2, 0.096),
		world_offering("m5.large", "us-east-1b", CAPACITY_ON_DEMAND, 2, 0.096),
		world_offering("c5.xlarge", "us-east-1a", CAPACITY_SPOT, 4, 0.07),
		world_offering("c5.xlarge", "us-east-1a", CAPACITY_ON_DEMAND, 4, 0.17),
		world_offering("p5.48xlarge", "us-east-1a", CAPACITY_ON_DEMAND, 192, 98),
	};
	/* Of p5.48xlarge no more is known. */
	const struct instance_type types[] = {
		{.name = "c5.xlarge", .vcpus = 4, .gpus = {"nvidia", "t4", 2, 0}},
		{.name = "m5.large", .vcpus = 2, .gpus = {"nvidia", "t4", 1, 0}},
	};
	struct catalog catalog = {.offerings = offerings,
				  .count = ARRAY_SIZE(offerings),
				  .types = types,
				  .types_count = ARRAY_SIZE(types),
				  .fetched_wall_ns = 1};

	core_catalog(world->core, &catalog);
}

static inline void world_class(struct world *world, bool ready)
{
	const struct subnet subnets[] = {{"subnet-a", "us-east-1a", 200},
					 {"subnet-a2", "us-east-1a", 100},
					 {"subnet-b", "us-east-1b", 100}};
	const struct launch_template templates[] = {
		{ARCH_AMD64, CAPACITY_SPOT, "forerun-web-spot", "ami-1"},
		{ARCH_AMD64, CAPACITY_ON_DEMAND, "forerun-web-od", "ami-1"}};
	struct class_view view = {.name = "web", .ready = ready, .problem = "no subnet"};

	view.subnets = subnets;
	view.subnets_count = ready ? ARRAY_SIZE(subnets) : 0;
	view.templates = templates;
	view.templates_count = ready ? ARRAY_SIZE(templates) : 0;
	core_class(world->core, &view);
}

/* ---- signals ---- */

static inline struct indicator *world_listener(struct world *world, uint16_t port)
{
	struct indicator *listener = &world->listeners[world->listeners_count];

	memset(listener, 0, sizeof(*listener));
	for (size_t m = 0; m < METRIC_COUNT; m++)
		for (size_t s = 0; s < STAT_COUNT; s++)
			listener->value[m][s] = NAN;
	listener->id = ++world->listeners_count;
	listener->family = AF_INET;
	listener->port = port;
	listener->owner.kind = OWNER_UNIT;
	listener->owner.cgroup_id = 100 + listener->id;
	strcpy(listener->owner.name, "nginx.service");
	strcpy(listener->owner.unit, "nginx.service");
	listener->diagnosis = DIAGNOSIS_OK;
	return listener;
}

static inline void listener_set(struct indicator *listener, enum metric metric, double value,
				double trend)
{
	for (size_t s = 0; s < STAT_COUNT; s++)
		listener->value[metric][s] = value;
	listener->value[metric][STAT_TREND] = trend;
}

static inline void world_queue(struct world *world, double depth)
{
	struct indicator *listener = &world->listeners[0];

	listener_set(listener, METRIC_ACCEPT_QUEUE_DEPTH, depth, 0);
	listener->diagnosis = depth > 0 ? DIAGNOSIS_NEEDS_CAPACITY : DIAGNOSIS_IDLE;
	snprintf(listener->reason, sizeof(listener->reason), "%g wait, the CPU is busy", depth);
}

static inline void world_send(struct world *world, enum frame_kind kind)
{
	struct frame frame = {.kind = kind,
			      .host = "here",
			      .sequence = ++world->sequence,
			      .host_cpu_cores = world->host_cpu_cores,
			      .host_cpus = world->host_cpus};

	if (kind == FRAME_EDGE)
		frame.edge_ns = world->now.mono_ns - 50 * NS_PER_US;
	for (size_t i = 0; i < world->listeners_count; i++)
		world->listeners[i].time_ns = world->now.mono_ns;
	frame.indicators = world->listeners;
	frame.count = world->listeners_count;
	core_frame(world->core, &frame, world->now);
}

/* As the lease does at once when it was taken, and again at each turn. */
static inline void world_record(struct world *world, struct text *out)
{
	text_clear(out);
	core_state_write(world->core, false, out);
	core_state_stored(world->core);
}

/* The lease is taken, and the first record of this lead is written. */
static inline void world_lead(struct world *world, uint64_t epoch, const char *state)
{
	_cleanup_text_ struct text record = {0};
	char reason[160] = "";

	if (core_lead(world->core, epoch, state, world->now, reason) < 0)
		fail_msg("%s", reason);
	world_record(world, &record);
}

/* A frame every 100 ms, the core called when it asks to be. */
static inline void world_run(struct world *world, uint64_t ns)
{
	for (uint64_t end = world->now.mono_ns + ns; world->now.mono_ns < end;) {
		world_advance(world, 100 * NS_PER_MS);
		world_send(world, FRAME_TICK);
		core_tick(world->core, world->now);
	}
}

/* ---- life ---- */

static inline void world_core(struct world *world)
{
	const struct core_effects effects = {.arg = world,
					     .journal = world_journal,
					     .launch = world_launch,
					     .terminate = world_terminate,
					     .braked = world_braked,
					     .stop = world_stop};

	assert_int_equal(core_new(&world->config, &world->documents, &effects, &world->core), 0);
}

static inline void world_documents(struct world *world, const char *policy, const char *pool)
{
	_cleanup_text_ struct text yaml = {0};
	struct problems problems = {0};

	text_add(&yaml, policy);
	text_add(&yaml, pool);
	text_add(&yaml, WORLD_CLASS);
	documents_parse(&world->documents, "world.yaml", yaml.data, yaml.length, &problems);
	if (!problems.errors)
		documents_check(&world->documents, &problems);
	problems_print(&problems, stderr);
	assert_int_equal(problems.errors, 0);
	problems_free(&problems);
}

/* Nothing runs yet: the test may still change the configuration. */
static inline void world_init(struct world *world, const char *policy, const char *pool)
{
	memset(world, 0, sizeof(*world));
	world->config.mode = MODE_ACT;
	core_limits_default(&world->config.limits);
	world->config.limits.drain_blind_ns = 0; /* what is not about draining does not wait */
	strcpy(world->config.host, "here");
	strcpy(world->config.owner, "default");
	world->now = (struct moment){1000 * NS_PER_S, 1700000000 * NS_PER_S};
	world->boot_ns = 30 * NS_PER_S;
	world->fault.at_most = world->fault.start_most = UINT32_MAX;
	world->journal_fails_at = SIZE_MAX;
	world->journal_error = -ENOSPC;
	world->host_cpu_cores = NAN;
	world_documents(world, policy, pool);
	world_listener(world, 80);
	world_queue(world, 0);
}

static inline void world_start(struct world *world)
{
	world_core(world);
	world_class(world, true);
	world_catalog(world);
	core_start(world->core, world->now);
	world_describe(world);
}

/* Everything up to the point where a queue may be acted on. */
static inline void world_new(struct world *world)
{
	world_init(world, WORLD_YAML, WORLD_POOL);
	world_start(world);
	world_run(world, NS_PER_S);
	assert_int_equal(world->launch_calls, 0);
}

/* kill -9: the core goes, calls under way are lost or not, the journal stays. */
static inline void world_crash(struct world *world)
{
	core_free(world->core);
	world->core = NULL;
	vec_for_each (order, &world->called)
		launch_order_free(order);
	vec_clear(&world->called);
	vec_for_each (order, &world->terminating)
		vec_free(&order->instances);
	vec_clear(&world->terminating);
	vec_clear(&world->stopping);
}

static inline int world_line(void *arg, const char *json, size_t length)
{
	struct world *world = arg;

	assert_null(memchr(json, '\n', length));
	*vec_push(&world->journal) = strndup(json, length);
	*vec_push(&world->synced) = true;
	return 0;
}

/* The journal in short takes the place of all lines so far, at once. */
static inline void world_rewrite(struct world *world)
{
	vec_for_each (line, &world->journal)
		free(*line);
	vec_clear(&world->journal);
	vec_clear(&world->synced);
	assert_int_equal(core_journal_rewrite(world->core, world_line, world, world->now), 0);
	world->durable = world->journal.count;
}

static inline void world_replay(struct world *world)
{
	char reason[160];

	vec_for_each (line, &world->journal)
		if (core_replay(world->core, *line, strlen(*line), reason) < 0)
			fail_msg("replay: %s: %s", reason, *line);
}

static inline void world_restart(struct world *world)
{
	world_core(world);
	world_replay(world);
	world_class(world, true);
	world_catalog(world);
	core_start(world->core, world->now);
}

static inline void world_free(struct world *world)
{
	world_crash(world);
	vec_for_each (line, &world->journal)
		free(*line);
	vec_for_each (token, &world->tokens)
		launch_result_free(&token->result);
	vec_free(&world->journal);
	vec_free(&world->synced);
	vec_free(&world->called);
	vec_free(&world->terminating);
	vec_free(&world->stopping);
	vec_free(&world->instances);
	vec_free(&world->tokens);
	documents_free(&world->documents);
}

static inline const struct decision *world_decision(const struct world *world, size_t index)
{
	const struct decision *decision = core_decision(world->core, index);

	assert_non_null(decision);
	return decision;
}

static inline const struct policy_status *world_policy(struct world *world)
{
	const struct policy_status *status;

	assert_true(core_policies(world->core, &status) > 0);
	return status;
}

#endif
