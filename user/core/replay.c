/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the journal back: afterwards the core knows what it knew, but for what time did to it. */
#include <math.h>

#include "core/replay.h"

static void free_json(cJSON **json)
{
	cJSON_Delete(*json);
}

const char *text_of(const cJSON *object, const char *key)
{
	const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));

	return value ? value : "";
}

double number_of(const cJSON *object, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

uint64_t count_of(const cJSON *object, const char *key, double most)
{
	double value = number_of(object, key);

	return value > 0 ? (uint64_t)MIN(value, most) : 0;
}

uint64_t number_at(const cJSON *array, int index, double most)
{
	const cJSON *item = cJSON_GetArrayItem(array, index);

	return cJSON_IsNumber(item) && item->valuedouble > 0
		       ? (uint64_t)MIN(item->valuedouble, most)
		       : 0;
}

uint64_t ns_of(const cJSON *object, const char *key)
{
	return count_of(object, key, 1e16) * NS_PER_US;
}

const char *element(const cJSON *array, int index)
{
	const char *value = cJSON_GetStringValue(cJSON_GetArrayItem(array, index));

	return value ? value : "";
}

int no_sense(char reason[160], const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason, 160, format, arguments);
	va_end(arguments);
	return -EBADMSG;
}

static int kind_of(const char *text, enum decision_kind *kind)
{
	for (*kind = DECISION_SCALE_UP; *kind <= DECISION_REPLACE; ++*kind)
		if (strcmp(text, decision_kind_text(*kind)) == 0)
			return 0;
	return -EINVAL;
}

enum launch_source source_of_text(const char *text)
{
	for (int s = 0; s < SOURCE_COUNT; s++)
		if (strcmp(text, launch_source_text((enum launch_source)s)) == 0)
			return (enum launch_source)s;
	return SOURCE_ON_DEMAND;
}

static void replay_sources(struct decision *decision, const cJSON *sources)
{
	const cJSON *it;

	cJSON_ArrayForEach (it, sources) {
		const cJSON *seconds = cJSON_GetArrayItem(it, 2);
		struct source_choice *choice = &decision->sources[source_of_text(element(it, 0))];

		choice->asked = true;
		choice->count = (uint32_t)number_at(it, 1, INT32_MAX);
		choice->seconds = cJSON_IsNumber(seconds) ? seconds->valuedouble : NAN;
		set_text(choice->why, element(it, 3));
	}
}

static int replay_decision(struct core *core, const cJSON *json, char reason[160])
{
	const char *id = text_of(json, "id");
	struct record *record;
	enum decision_kind kind;

	if (!*id || strlen(id) >= sizeof(record->decision.id))
		return no_sense(reason, "a decision without a usable id: \"%.60s\"", id);
	if (record_find(core, id))
		return no_sense(reason, "decision %.60s twice", id);
	if (kind_of(text_of(json, "kind"), &kind) < 0)
		return no_sense(reason, "unknown kind of decision \"%.60s\"",
				text_of(json, "kind"));
	record = calloc(1, sizeof(*record));
	if (!record)
		return -ENOMEM;
	set_text(record->decision.id, id);
	record->decision.kind = kind;
	record->decision.mode = strcmp(text_of(json, "mode"), "act") == 0 ? MODE_ACT : MODE_OBSERVE;
	set_text(record->decision.policy, text_of(json, "policy"));
	set_text(record->decision.pool, text_of(json, "pool"));
	record->decision.made = (struct moment){ns_of(json, "mono_us"), ns_of(json, "wall_us")};
	record->decision.edge_ns = ns_of(json, "edge_us");
	record->decision.replicas_before = (int32_t)count_of(json, "before", INT32_MAX);
	record->decision.replicas_wanted = (int32_t)count_of(json, "wanted", INT32_MAX);
	record->decision.replicas_decided = (int32_t)count_of(json, "decided", INT32_MAX);
	record->count = (uint32_t)count_of(json, "count", INSTANCES_MAX);
	record->usd_below = MAX(number_of(json, "usd_below"), 0);
	set_text(record->decision.signals, text_of(json, "signals"));
	set_text(record->decision.arithmetic, text_of(json, "arithmetic"));
	set_text(record->decision.limits, text_of(json, "limits"));
	replay_sources(&record->decision, cJSON_GetObjectItemCaseSensitive(json, "sources"));
	core->last_id_ms = MAX(core->last_id_ms, record->decision.made.wall_ns / NS_PER_MS);
	core->totals.decisions++;
	record_add(core, record);
	return 0;
}

static void replay_overrides(struct launch_order *order, const cJSON *overrides)
{
	const cJSON *it;

	cJSON_ArrayForEach (it, overrides) {
		struct launch_override *override = vec_push(&order->overrides);
		const cJSON *priority = cJSON_GetArrayItem(it, 4), *usd = cJSON_GetArrayItem(it, 5);

		set_text(override->instance_type, element(it, 0));
		set_text(override->subnet_id, element(it, 1));
		set_text(override->zone, element(it, 2));
		set_text(override->launch_template, element(it, 3));
		override->priority = cJSON_IsNumber(priority) ? priority->valuedouble : -1;
		override->usd_per_hour = cJSON_IsNumber(usd) ? usd->valuedouble : NAN;
		override->vcpus = (uint32_t)number_at(it, 6, INT32_MAX);
		override->memory_mib = number_at(it, 7, INT32_MAX);
	}
}

static void replay_tags(struct launch_order *order, const cJSON *tags)
{
	const cJSON *it;

	cJSON_ArrayForEach (it, tags) {
		struct key_value *tag = vec_push(&order->tags.list);

		tag->key = strdup(element(it, 0));
		tag->value = strdup(element(it, 1));
	}
}

static void replay_instances(const cJSON *list, struct launch_order *order)
{
	const cJSON *it;

	cJSON_ArrayForEach (it, list) {
		struct launched_instance *start = vec_push(&order->starts);

		set_text(start->id, element(it, 0));
		set_text(start->instance_type, element(it, 1));
		set_text(start->zone, element(it, 2));
	}
}

enum capacity_type capacity_type_of(const char *text)
{
	for (int type = 0; type < CAPACITY_TYPES; type++)
		if (strcmp(text, capacity_type_text((enum capacity_type)type)) == 0)
			return (enum capacity_type)type;
	return CAPACITY_ON_DEMAND;
}

static int replay_order(struct core *core, const cJSON *json, char reason[160])
{
	struct record *record = record_find(core, text_of(json, "decision"));
	const char *token = text_of(json, "token");
	struct open_order *open;

	if (!*token || strlen(token) >= sizeof(open->order.token))
		return no_sense(reason, "an order without a usable token: \"%.60s\"", token);
	if (order_find(core, token))
		return no_sense(reason, "order %.60s twice", token);
	if (!record)
		return no_sense(reason, "an order of decision %.60s, which is not there",
				text_of(json, "decision"));
	open = calloc(1, sizeof(*open));
	if (!open)
		return -ENOMEM;
	set_text(open->order.token, token);
	set_text(open->order.decision, record->decision.id);
	set_text(open->order.pool, text_of(json, "pool"));
	set_text(open->order.policy, text_of(json, "policy"));
	open->order.capacity_type = capacity_type_of(text_of(json, "capacity_type"));
	set_text(open->order.context, text_of(json, "context"));
	open->order.reservation =
		(enum reservation_kind)count_of(json, "reservation", RESERVATION_INTERRUPTIBLE);
	set_text(open->order.group, text_of(json, "group"));
	open->order.desired = (uint32_t)count_of(json, "desired", UINT32_MAX);
	open->order.count = (uint32_t)count_of(json, "count", INSTANCES_MAX);
	replay_overrides(&open->order, cJSON_GetObjectItemCaseSensitive(json, "overrides"));
	replay_tags(&open->order, cJSON_GetObjectItemCaseSensitive(json, "tags"));
	replay_instances(cJSON_GetObjectItemCaseSensitive(json, "starts"), &open->order);
	open->order.sequence = count_of(json, "sequence", 1e15);
	open->order.epoch = count_of(json, "epoch", 1e15);
	open->made_wall_ns = ns_of(json, "wall_us");
	record->attempts = (uint32_t)count_of(json, "attempt", 1000);
	record->decision.failed = (uint32_t)count_of(json, "failed", INSTANCES_MAX);
	order_add(core, open);
	lane_replay_order(core, open->lane, open->order.sequence, open->made_wall_ns);
	if (open->order.starts.count)
		lane_used(open->lane, open->order.sequence, COUNT_UNKNOWN, false,
			  (struct moment){0, open->made_wall_ns});
	return 0;
}

static int replay_result(struct core *core, const cJSON *json, char reason[160])
{
	_cleanup_(launch_result_free)
	struct launch_result result = {0};
	struct moment then = {0, ns_of(json, "wall_us")};
	const cJSON *it;

	set_text(result.token, text_of(json, "token"));
	if (!order_find(core, result.token))
		return no_sense(reason, "a result of order %.60s, which is not there",
				result.token);
	result.outcome =
		strcmp(text_of(json, "outcome"), "done") == 0 ? LAUNCH_DONE : LAUNCH_REFUSED;
	result.throttled = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "throttled"));
	cJSON_ArrayForEach (it, cJSON_GetObjectItemCaseSensitive(json, "instances")) {
		struct launched_instance *launched = vec_push(&result.instances);

		set_text(launched->id, element(it, 0));
		set_text(launched->instance_type, element(it, 1));
		set_text(launched->zone, element(it, 2));
	}
	cJSON_ArrayForEach (it, cJSON_GetObjectItemCaseSensitive(json, "failures")) {
		struct launch_failure *failure = vec_push(&result.failures);

		set_text(failure->instance_type, element(it, 0));
		set_text(failure->zone, element(it, 1));
		set_text(failure->code, element(it, 2));
		set_text(failure->instance_id, element(it, 3));
	}
	set_text(result.error_code, text_of(json, "error_code"));
	order_replay_result(core, &result, then);
	return 0;
}

static int replay_step(struct core *core, const cJSON *json)
{
	struct record *record = record_find(core, text_of(json, "decision"));
	struct decision_step *step;

	if (!record) /* of a decision so old that it was let go */
		return 0;
	step = vec_push(&record->decision.steps);
	step->mono_ns = ns_of(json, "mono_us");
	step->wall_ns = ns_of(json, "wall_us");
	set_text(step->text, text_of(json, "text"));
	return 0;
}

static int replay_terminate(struct core *core, const cJSON *json, char reason[160])
{
	struct open_retirement *open;
	const cJSON *it;

	if (!record_find(core, text_of(json, "decision")))
		return no_sense(reason, "a termination of decision %.60s, which is not there",
				text_of(json, "decision"));
	open = calloc(1, sizeof(*open));
	if (!open)
		return -ENOMEM;
	set_text(open->order.decision, text_of(json, "decision"));
	set_text(open->order.group, text_of(json, "group"));
	cJSON_ArrayForEach (it, cJSON_GetObjectItemCaseSensitive(json, "instances")) {
		struct launched_instance *instance = vec_push(&open->order.instances);

		set_text(instance->id, element(it, 0));
		set_text(instance->instance_type, element(it, 1));
		set_text(instance->zone, element(it, 2));
	}
	open->order.number = (uint32_t)count_of(json, "number", UINT32_MAX - 1);
	core->retirements_made = MAX(core->retirements_made, open->order.number);
	*vec_push(&core->retirements) = open;
	retirement_mark(core, open, true);
	return 0;
}

static int replay_terminated(struct core *core, const cJSON *json)
{
	for (size_t i = core->retirements.count; i-- > 0;) {
		struct open_retirement *open = core->retirements.at[i];

		if (strcmp(open->order.decision, text_of(json, "decision")) != 0 ||
		    open->order.number != count_of(json, "number", UINT32_MAX))
			continue;
		if (number_of(json, "error") != 0)
			retirement_mark(core, open, false);
		else
			core->totals.terminations += open->order.instances.count;
		vec_remove(&core->retirements, i);
		open_retirement_free(open);
	}
	return 0;
}

static int replay_instance(struct core *core, const cJSON *json)
{
	struct instance *instance = instance_find(core, text_of(json, "id"));
	struct pool_state *pool = instance ? pool_find(core, instance->pool) : NULL;
	const char *state = text_of(json, "state");

	if (!instance)
		return 0;
	if (strcmp(state, "running") == 0) {
		instance->state = INSTANCE_RUNNING;
		instance->running_wall_ns = ns_of(json, "wall_us");
		instance->seen = true;
	} else if (strcmp(state, "registered") == 0) {
		instance->registered = true;
	} else if (strcmp(state, "prepared") == 0) {
		instance->prepared = true;
	} else if (strcmp(state, "connected") == 0) {
		if (pool)
			pool->agents_known = true;
	} else if (strcmp(state, "serving") == 0) {
		if (!instance->serving)
			account_served(core, instance, ns_of(json, "wall_us"));
		instance->serving = true;
	} else if (strcmp(state, "back") == 0) {
		account_back(core, instance);
		instance->gone = instance->vanished = false;
		instance->seen = true;
	} else {
		instance->gone = true;
		instance->vanished = strcmp(state, "vanished") == 0;
		account_gone(core, instance, ns_of(json, "wall_us"));
		drain_free(core, instance->drain);
		instances_replay_forget(core, ns_of(json, "wall_us"));
	}
	return 0;
}

/* Another core started it for that policy. */
static int replay_claimed(struct core *core, const cJSON *json)
{
	struct instance *instance = instance_find(core, text_of(json, "id"));
	struct moment then = {0, ns_of(json, "wall_us")};

	if (!instance)
		return 0;
	instance_started(core, instance, SOURCE_STOPPED, then);
	set_text(instance->decision, text_of(json, "decision"));
	set_text(instance->token, text_of(json, "token"));
	set_text(instance->policy, text_of(json, "policy"));
	lane_of_token(core, instance->token, &instance->sequence);
	instance_place(core, instance);
	return 0;
}

static int replay_lead(struct core *core, const cJSON *json)
{
	struct pool_state *pool = pool_find(core, text_of(json, "pool"));
	const cJSON *stages = cJSON_GetObjectItemCaseSensitive(json, "stages");
	struct launch_way way = {.latency = number_of(json, "latency"),
				 .lead = number_of(json, "seconds")};

	if (strcmp(text_of(json, "by"), "response") == 0)
		way.proof = PROOF_RESPONSE;
	for (int s = 0; s < STAGE_COUNT; s++) {
		const cJSON *seconds = cJSON_GetArrayItem(stages, s);

		way.stages[s] = cJSON_IsNumber(seconds) ? seconds->valuedouble : NAN;
	}
	way_add(core, pool, text_of(json, "type"), &way);
	if (pool)
		source_learn(pool, source_of_text(text_of(json, "source")), way.lead);
	return 0;
}

static int replay_closed(struct core *core, const cJSON *json)
{
	struct record *record = record_find(core, text_of(json, "decision"));

	if (!record)
		return 0;
	record->decision.closed = true;
	record->decision.launched = (uint32_t)count_of(json, "launched", INSTANCES_MAX);
	record->decision.failed = (uint32_t)count_of(json, "failed", INSTANCES_MAX);
	return 0;
}

static int replay_spend(struct core *core, const cJSON *json, char reason[160])
{
	if (spend_read(&core->spend, cJSON_GetObjectItemCaseSensitive(json, "spend")) < 0)
		return no_sense(reason, "a sum of what was spent that makes no sense");
	return 0;
}

static int replay_kind(struct core *core, const cJSON *json, const char *kind, char reason[160])
{
	int r;

	if (strcmp(kind, "decision") == 0)
		return replay_decision(core, json, reason);
	if (strcmp(kind, "order") == 0)
		return replay_order(core, json, reason);
	if (strcmp(kind, "result") == 0)
		return replay_result(core, json, reason);
	if (strcmp(kind, "step") == 0)
		return replay_step(core, json);
	if (strcmp(kind, "terminate") == 0)
		return replay_terminate(core, json, reason);
	if (strcmp(kind, "terminated") == 0)
		return replay_terminated(core, json);
	if (strcmp(kind, "drain") == 0)
		return replay_drain(core, json, reason);
	if (strcmp(kind, "instance") == 0)
		return replay_instance(core, json);
	if (strcmp(kind, "claimed") == 0)
		return replay_claimed(core, json);
	if (strcmp(kind, "lead") == 0)
		return replay_lead(core, json);
	if (strcmp(kind, "epoch") == 0) {
		core->epoch = count_of(json, "epoch", 1e15);
		return 0;
	}
	if (strcmp(kind, "closed") == 0)
		return replay_closed(core, json);
	if (strcmp(kind, "spend") == 0)
		return replay_spend(core, json, reason);
	r = replay_snapshot(core, json, kind, reason);
	return r <= 0 ? r : no_sense(reason, "unknown kind of line \"%.60s\"", kind);
}

int core_replay(struct core *core, const char *json, size_t length, char reason[160])
{
	_cleanup_(free_json)
	cJSON *line = cJSON_ParseWithLength(json, length);

	reason[0] = '\0';
	if (core->started)
		return no_sense(reason, "replayed after the start");
	if (!cJSON_IsObject(line))
		return no_sense(reason, "not a JSON object");
	if (number_of(line, "v") != 1)
		return no_sense(reason, "%s",
				"written by another version of forerun: \"v\" is not 1");
	core->starts_known = true;
	return replay_kind(core, line, text_of(line, "t"), reason);
}
