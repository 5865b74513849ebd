/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cloud that sells what EC2 does, as the snapshot says, or all at one price: it answers
 * CreateFleet after half a second, boots for the configured time, and never has too little.
 */
#include <math.h>

#include "lab/lab_private.h"

#define REPLY_AFTER_NS (500 * NS_PER_MS)
#define DESCRIBE_EVERY_NS NS_PER_S
#define DESCRIBE_IDLE_EVERY_NS (30 * NS_PER_S)

/* Of a type that a pool names and the snapshot does not know. */
#define UNKNOWN_VCPUS 2
#define UNKNOWN_MEMORY_MIB 8192

struct name_list {
	VEC(const char *) list;
};
struct market_goods {
	VEC(struct instance_type) types;
	VEC(struct type_zone) zones;
};

static void add_name(struct name_list *names, const char *name)
{
	vec_for_each (known, &names->list)
		if (strcmp(*known, name) == 0)
			return;
	*vec_push(&names->list) = name;
}

/* A pool that names zones or types gets those. */
static void named_by_pools(const struct documents *documents, const char *key,
			   struct name_list *names)
{
	vec_for_each (pool, &documents->pools)
		vec_for_each (term, &pool->requirements.list)
			for (size_t i = 0;
			     term->op == LABEL_IN && strcmp(term->key, key) == 0 && i < term->count;
			     i++)
				add_name(names, term->values[i]);
}

/* Every type of the snapshot, and those that only the pools know. */
static void sell_types(const struct catalog *shipped, const struct name_list *named,
		       struct market_goods *goods)
{
	for (size_t i = 0; i < shipped->types_count; i++)
		*vec_push(&goods->types) = shipped->types[i];
	vec_for_each (name, &named->list) {
		struct instance_type *type;

		if (catalog_type(shipped, *name))
			continue;
		type = vec_push(&goods->types);
		snprintf(type->name, sizeof(type->name), "%s", *name);
		type->amd64 = type->spot = type->on_demand = true;
		type->bare_metal = strstr(*name, "metal") != NULL;
		type->vcpus = UNKNOWN_VCPUS;
		type->memory_mib = UNKNOWN_MEMORY_MIB;
		type->usd_per_hour = NAN;
	}
}

/* Where pools name zones all is sold in these, else as in the snapshot's region. */
static void sell_zones(const struct catalog *shipped, const struct name_list *named,
		       struct market_goods *goods)
{
	for (size_t i = 0; !named->list.count && i < shipped->zones_count; i++)
		*vec_push(&goods->zones) = shipped->zones[i];
	vec_for_each (type, &goods->types)
		vec_for_each (name, &named->list) {
			struct type_zone *zone = vec_push(&goods->zones);

			snprintf(zone->type, sizeof(zone->type), "%s", type->name);
			snprintf(zone->zone, sizeof(zone->zone), "%s", *name);
			zone->spot_usd_per_hour = NAN;
		}
}

/* One price for all: the smallest is to come first. */
static void sell_at(double usd, struct market_goods *goods)
{
	vec_for_each (type, &goods->types)
		type->usd_per_hour = usd + type->vcpus * 1e-9;
}

static struct catalog *goods_of(const struct simulation *simulation)
{
	const struct documents *documents = simulation->config.documents;
	struct catalog *shipped = catalog_shipped(), *catalog = NULL;
	struct name_list zones = {0}, types = {0};
	struct market_goods goods = {0};

	if (!shipped)
		return NULL;
	named_by_pools(documents, LABEL_ZONE, &zones);
	named_by_pools(documents, LABEL_INSTANCE_TYPE, &types);
	sell_types(shipped, &types, &goods);
	sell_zones(shipped, &zones, &goods);
	if (!isnan(simulation->config.usd_per_hour))
		sell_at(simulation->config.usd_per_hour, &goods);
	catalog = catalog_new(goods.types.at, goods.types.count, goods.zones.at, goods.zones.count);
	vec_free(&goods.types);
	vec_free(&goods.zones);
	vec_free(&zones.list);
	vec_free(&types.list);
	catalog_free(shipped);
	return catalog;
}

static void resolve_classes(struct simulation *simulation)
{
	static const struct launch_template templates[] = {
		{ARCH_AMD64, CAPACITY_ON_DEMAND, "amd64-on-demand", "ami-simulated"},
		{ARCH_AMD64, CAPACITY_SPOT, "amd64-spot", "ami-simulated"},
		{ARCH_ARM64, CAPACITY_ON_DEMAND, "arm64-on-demand", "ami-simulated"},
		{ARCH_ARM64, CAPACITY_SPOT, "arm64-spot", "ami-simulated"},
	};
	const struct catalog *catalog = simulation->catalog;
	VEC(struct subnet) subnets = {0};
	struct name_list zones = {0};

	for (size_t i = 0; i < catalog->zones_count; i++)
		add_name(&zones, catalog->zones[i].zone);
	vec_for_each (zone, &zones.list) {
		struct subnet *subnet = vec_push(&subnets);

		snprintf(subnet->id, sizeof(subnet->id), "subnet-%.50s", *zone);
		snprintf(subnet->zone, sizeof(subnet->zone), "%s", *zone);
		subnet->free_addresses = 4096;
	}
	vec_free(&zones.list);
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
	simulation->catalog = goods_of(simulation);
	if (!simulation->catalog)
		return -EBADMSG;
	simulation->catalog->fetched_wall_ns = simulation->now.wall_ns;
	resolve_classes(simulation);
	core_catalog(simulation->core, simulation->catalog);
	return 0;
}

/* What an instance of it costs; NaN: the snapshot does not say. */
static double price_of(const struct simulation *simulation, const struct launch_override *override,
		       enum capacity_type capacity_type)
{
	const struct catalog *catalog = simulation->catalog;

	for (size_t i = 0; i < catalog->count; i++) {
		const struct offering *offering = &catalog->offerings[i];

		if (offering->capacity_type == capacity_type &&
		    strcmp(offering->instance_type, override->instance_type) == 0 &&
		    strcmp(offering->zone, override->zone) == 0)
			return offering->usd_per_hour;
	}
	return NAN;
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
	instance->usd_per_hour = price_of(simulation, override, order->capacity_type);
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
