/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cloud that sells everything a pool could ask for, at one price: it answers CreateFleet after
 * half a second, boots for the configured time, and never has too little.
 */
#include "lab/lab_private.h"

#define REPLY_AFTER_NS (500 * NS_PER_MS)
#define DESCRIBE_EVERY_NS NS_PER_S
#define DESCRIBE_IDLE_EVERY_NS (30 * NS_PER_S)

struct size {
	const char *name;
	uint32_t vcpus;
};
static const struct size SIZES[] = {{"medium", 1},   {"large", 2},    {"xlarge", 4},
				    {"2xlarge", 8},  {"4xlarge", 16}, {"8xlarge", 32},
				    {"12xlarge", 48}};

struct family {
	const char *name;
	enum architecture architecture;
	uint32_t gib_per_vcpu;
};
static const struct family FAMILIES[] = {
	{"c5", ARCH_AMD64, 2},	{"m5", ARCH_AMD64, 4},	{"r5", ARCH_AMD64, 8},
	{"c6i", ARCH_AMD64, 2}, {"m6i", ARCH_AMD64, 4}, {"r6i", ARCH_AMD64, 8},
	{"c7i", ARCH_AMD64, 2}, {"m7i", ARCH_AMD64, 4}, {"r7i", ARCH_AMD64, 8},
	{"c7g", ARCH_ARM64, 2}, {"m7g", ARCH_ARM64, 4}, {"r7g", ARCH_ARM64, 8},
	{"c8g", ARCH_ARM64, 2}, {"m8g", ARCH_ARM64, 4}, {"t3", ARCH_AMD64, 4},
	{"t4g", ARCH_ARM64, 4},
};

struct offer_list {
	VEC(struct offering) list;
};
struct zone_list {
	VEC(const char *) list;
};

static void add_both(struct offer_list *offers, struct offering offering)
{
	offering.capacity_type = CAPACITY_ON_DEMAND;
	*vec_push(&offers->list) = offering;
	offering.capacity_type = CAPACITY_SPOT;
	*vec_push(&offers->list) = offering;
}

static void add_zone(struct zone_list *zones, const char *zone)
{
	vec_for_each (known, &zones->list)
		if (strcmp(*known, zone) == 0)
			return;
	*vec_push(&zones->list) = zone;
}

/* A pool that names zones or types gets those. */
static void named_by_pools(const struct documents *documents, const char *key,
			   struct zone_list *names)
{
	vec_for_each (pool, &documents->pools)
		vec_for_each (term, &pool->requirements.list)
			for (size_t i = 0;
			     term->op == LABEL_IN && strcmp(term->key, key) == 0 && i < term->count;
			     i++)
				add_zone(names, term->values[i]);
}

static void offer_families(struct offer_list *offers, const char *zone, double usd)
{
	for (size_t f = 0; f < ARRAY_SIZE(FAMILIES); f++)
		for (size_t s = 0; s < ARRAY_SIZE(SIZES); s++) {
			struct offering offering = {
				.architecture = FAMILIES[f].architecture,
				.vcpus = SIZES[s].vcpus,
				.memory_mib = 1024ULL * SIZES[s].vcpus * FAMILIES[f].gib_per_vcpu,
				/* All cost the same; the smallest is to come first. */
				.usd_per_hour = usd + SIZES[s].vcpus * 1e-9,
			};

			snprintf(offering.instance_type, sizeof(offering.instance_type), "%s.%s",
				 FAMILIES[f].name, SIZES[s].name);
			snprintf(offering.zone, sizeof(offering.zone), "%s", zone);
			add_both(offers, offering);
		}
}

static void offer_named(struct offer_list *offers, const struct zone_list *types, const char *zone,
			double usd)
{
	vec_for_each (type, &types->list) {
		struct offering offering = {.vcpus = 2, .memory_mib = 8192, .usd_per_hour = usd};
		bool known = false;

		vec_for_each (offered, &offers->list)
			known |= strcmp(offered->instance_type, *type) == 0 &&
				 strcmp(offered->zone, zone) == 0;
		if (known)
			continue;
		offering.bare_metal = strstr(*type, "metal") != NULL;
		snprintf(offering.instance_type, sizeof(offering.instance_type), "%s", *type);
		snprintf(offering.zone, sizeof(offering.zone), "%s", zone);
		add_both(offers, offering);
	}
}

static void resolve_classes(struct simulation *simulation, const struct zone_list *zones)
{
	static const struct launch_template templates[] = {
		{ARCH_AMD64, CAPACITY_ON_DEMAND, "amd64-on-demand", "ami-simulated"},
		{ARCH_AMD64, CAPACITY_SPOT, "amd64-spot", "ami-simulated"},
		{ARCH_ARM64, CAPACITY_ON_DEMAND, "arm64-on-demand", "ami-simulated"},
		{ARCH_ARM64, CAPACITY_SPOT, "arm64-spot", "ami-simulated"},
	};
	VEC(struct subnet) subnets = {0};

	vec_for_each (zone, &zones->list) {
		struct subnet *subnet = vec_push(&subnets);

		snprintf(subnet->id, sizeof(subnet->id), "subnet-%.50s", *zone);
		snprintf(subnet->zone, sizeof(subnet->zone), "%s", *zone);
		subnet->free_addresses = 4096;
	}
	vec_for_each (node_class, &simulation->config.documents->classes) {
		struct class_view view = {.ready = true};

		snprintf(view.name, sizeof(view.name), "%s", node_class->name);
		view.subnets = subnets.at;
		view.subnets_count = subnets.count;
		view.templates = templates;
		view.templates_count = ARRAY_SIZE(templates);
		core_class(simulation->core, &view);
	}
	vec_free(&subnets);
}

/* Tells the core what is for sale. */
int market_offer(struct simulation *simulation)
{
	const struct documents *documents = simulation->config.documents;
	struct zone_list zones = {0}, types = {0};
	struct offer_list offers = {0};
	struct catalog catalog;

	named_by_pools(documents, "topology.kubernetes.io/zone", &zones);
	named_by_pools(documents, "node.kubernetes.io/instance-type", &types);
	if (!zones.list.count) {
		add_zone(&zones, "simulated-1a");
		add_zone(&zones, "simulated-1b");
	}
	vec_for_each (zone, &zones.list) {
		offer_families(&offers, *zone, simulation->config.usd_per_hour);
		offer_named(&offers, &types, *zone, simulation->config.usd_per_hour);
	}
	catalog = (struct catalog){
		.offerings = offers.list.at,
		.count = offers.list.count,
		.fetched_wall_ns = simulation->now.wall_ns,
	};
	resolve_classes(simulation, &zones);
	core_catalog(simulation->core, &catalog);
	vec_free(&zones.list);
	vec_free(&types.list);
	vec_free(&offers.list);
	return 0;
}

/* ---- calls ---- */

static void launch_one(struct simulation *simulation, const struct launch_order *order,
		       struct launch_result *result)
{
	const struct launch_override *override = &order->overrides.at[0];
	struct lab_instance *instance = vec_push(&simulation->instances);
	struct launched_instance *launched = vec_push(&result->instances);
	struct instance_view *view = &instance->view;

	instance->launched_ns = simulation->now.mono_ns;
	instance->running_ns = simulation->now.mono_ns + simulation->config.boot_ns;
	snprintf(view->id, sizeof(view->id), "i-simulated-%zu", simulation->instances.count);
	memcpy(view->instance_type, override->instance_type, sizeof(view->instance_type));
	memcpy(view->zone, override->zone, sizeof(view->zone));
	view->capacity_type = order->capacity_type;
	view->owned = true;
	view->sequence = order->sequence;
	view->epoch = order->epoch;
	view->launch_count = order->count;
	view->launched_wall_ns = simulation->now.wall_ns;
	memcpy(view->decision, order->decision, sizeof(view->decision));
	memcpy(view->pool, order->pool, sizeof(view->pool));
	memcpy(view->policy, order->policy, sizeof(view->policy));
	memcpy(view->token, order->token, sizeof(view->token));
	memcpy(launched->id, view->id, sizeof(launched->id));
	memcpy(launched->instance_type, view->instance_type, sizeof(launched->instance_type));
	memcpy(launched->zone, view->zone, sizeof(launched->zone));
}

static struct lab_instance *market_find(struct simulation *simulation, const char *id)
{
	vec_for_each (instance, &simulation->instances)
		if (strcmp(instance->view.id, id) == 0)
			return instance;
	return NULL;
}

void market_stop(void *arg, const struct stop_order *order)
{
	struct simulation *simulation = arg;
	struct lab_instance *instance = market_find(simulation, order->id);

	if (!instance || instance->view.state != INSTANCE_RUNNING)
		return;
	instance->view.state = INSTANCE_STOPPED;
	instance->stopped_ns = simulation->now.mono_ns;
	simulation->describe_ns =
		MIN(simulation->describe_ns, simulation->now.mono_ns + DESCRIBE_EVERY_NS);
}

/* What rests boots in the same time: how much sooner it would serve is not known here. */
static void start_all(struct simulation *simulation, const struct launch_order *order,
		      struct launch_result *result)
{
	vec_for_each (start, &order->starts) {
		struct lab_instance *instance = market_find(simulation, start->id);
		struct instance_view *view = instance ? &instance->view : NULL;

		if (!instance || instance->ended_ns)
			continue;
		if (view->state == INSTANCE_STOPPED) {
			instance->rested_s +=
				(double)(simulation->now.mono_ns - instance->stopped_ns) / NS_PER_S;
			instance->stopped_ns = 0;
			view->state = INSTANCE_PENDING;
			view->launched_wall_ns = simulation->now.wall_ns;
			instance->running_ns = simulation->now.mono_ns + simulation->config.boot_ns;
		}
		memcpy(view->decision, order->decision, sizeof(view->decision));
		memcpy(view->policy, order->policy, sizeof(view->policy));
		memcpy(view->token, order->token, sizeof(view->token));
		view->sequence = order->sequence;
		view->launch_count = order->count;
		*vec_push(&result->instances) = *start;
	}
}

void market_launch(void *arg, const struct launch_order *order)
{
	struct simulation *simulation = arg;
	struct lab_reply *reply = vec_push(&simulation->replies);
	struct launch_result *result = &reply->launched;

	reply->is_launch = true;
	reply->at_ns = simulation->now.mono_ns + REPLY_AFTER_NS;
	result->outcome = LAUNCH_DONE;
	memcpy(result->token, order->token, sizeof(result->token));
	snprintf(result->request_id, sizeof(result->request_id), "simulated");
	result->started_ns = result->sent_ns = simulation->now.mono_ns;
	result->done_ns = reply->at_ns;
	start_all(simulation, order, result);
	for (uint32_t i = 0; i < order->count && order->overrides.count; i++)
		launch_one(simulation, order, result);
	simulation->result->instances_launched += order->overrides.count ? order->count : 0;
	simulation->describe_ns = MIN(simulation->describe_ns, reply->at_ns + DESCRIBE_EVERY_NS);
}

void market_terminate(void *arg, const struct terminate_order *order)
{
	struct simulation *simulation = arg;
	struct lab_reply *reply = vec_push(&simulation->replies);

	reply->at_ns = simulation->now.mono_ns + REPLY_AFTER_NS;
	memcpy(reply->terminated.decision, order->decision, sizeof(order->decision));
	reply->terminated.number = order->number;
	snprintf(reply->terminated.request_id, sizeof(reply->terminated.request_id), "simulated");
	reply->terminated.sent_ns = simulation->now.mono_ns;
	reply->terminated.done_ns = reply->at_ns;
	vec_for_each (it, &order->instances)
		vec_for_each (instance, &simulation->instances)
			if (strcmp(instance->view.id, it->id) == 0 && !instance->ended_ns) {
				instance->ended_ns = simulation->now.mono_ns;
				instance->view.state = INSTANCE_TERMINATED;
				simulation->result->instances_terminated++;
			}
	simulation->describe_ns = MIN(simulation->describe_ns, reply->at_ns + DESCRIBE_EVERY_NS);
}

void market_reply_due(struct simulation *simulation)
{
	for (size_t i = 0; i < simulation->replies.count;) {
		struct lab_reply reply = simulation->replies.at[i];

		if (reply.at_ns > simulation->now.mono_ns) {
			i++;
			continue;
		}
		vec_remove(&simulation->replies, i);
		if (reply.is_launch)
			core_launched(simulation->core, &reply.launched, simulation->now);
		else
			core_terminated(simulation->core, &reply.terminated, simulation->now);
		launch_result_free(&reply.launched);
	}
}

void market_describe(struct simulation *simulation)
{
	VEC(struct instance_view) views = {0};
	struct fleet_view fleet;
	bool pending = false;

	vec_for_each (instance, &simulation->instances) {
		if (instance->view.state == INSTANCE_PENDING &&
		    instance->running_ns <= simulation->now.mono_ns)
			instance->view.state = INSTANCE_RUNNING;
		pending |= instance->view.state == INSTANCE_PENDING;
		*vec_push(&views) = instance->view;
	}
	fleet = (struct fleet_view){views.at, views.count, simulation->now.mono_ns};
	core_fleet(simulation->core, &fleet, simulation->now);
	vec_free(&views);
	simulation->describe_ns =
		simulation->now.mono_ns + (pending ? DESCRIBE_EVERY_NS : DESCRIBE_IDLE_EVERY_NS);
}

/* When something will happen here by itself. */
uint64_t market_next_ns(const struct simulation *simulation)
{
	uint64_t next_ns = simulation->describe_ns;

	vec_for_each (reply, &simulation->replies)
		next_ns = MIN(next_ns, reply->at_ns);
	return next_ns;
}
