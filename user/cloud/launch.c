/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One order, one CreateFleet of type instant. The body follows from the order alone, in its order,
 * so that asking again under the same ClientToken asks for the same.
 */
#include "cloud/private.h"

/* EC2 may take long over a large fleet; the answer is worth waiting for. */
#define LAUNCH_TIMEOUT_MS 90000

/* ---- request ---- */

static bool has_priorities(const struct launch_order *order)
{
	vec_for_each (override, &order->overrides)
		if (override->priority >= 0)
			return true;
	return false;
}

/* A reservation is reached through its template; what EC2 calls the kind of such a launch is
 * something else. */
static const char *target_type(const struct launch_order *order)
{
	if (order->capacity_type != CAPACITY_RESERVED)
		return capacity_type_text(order->capacity_type);
	if (order->reservation == RESERVATION_CAPACITY_BLOCK)
		return "capacity-block";
	return order->reservation == RESERVATION_INTERRUPTIBLE ? "reserved-capacity" : "on-demand";
}

static void add_strategy(const struct launch_order *order, struct text *out)
{
	bool prioritized = has_priorities(order);

	if (order->capacity_type == CAPACITY_RESERVED &&
	    order->reservation == RESERVATION_CAPACITY_BLOCK)
		return;
	if (order->capacity_type == CAPACITY_SPOT)
		form_add(out,
			 prioritized ? "capacity-optimized-prioritized"
				     : "price-capacity-optimized",
			 "SpotOptions.AllocationStrategy");
	else
		form_add(out, prioritized ? "prioritized" : "lowest-price",
			 "OnDemandOptions.AllocationStrategy");
}

/* The zone beside the subnet: EC2's errors say the zone only if the request did. */
static void add_override(const struct launch_override *override, size_t config, size_t index,
			 struct text *out)
{
	_cleanup_free_ char *prefix =
		str_printf("LaunchTemplateConfigs.%zu.Overrides.%zu", config, index);
	char number[32];

	form_add(out, override->instance_type, "%s.InstanceType", prefix);
	form_add(out, override->subnet_id, "%s.SubnetId", prefix);
	if (*override->zone)
		form_add(out, override->zone, "%s.AvailabilityZone", prefix);
	if (override->priority >= 0) {
		snprintf(number, sizeof(number), "%.17g", override->priority);
		form_add(out, number, "%s.Priority", prefix);
	}
}

static bool named_before(const struct launch_order *order, const struct launch_override *at)
{
	vec_for_each (override, &order->overrides) {
		if (override == at)
			return false;
		if (strcmp(override->launch_template, at->launch_template) == 0)
			return true;
	}
	return false;
}

/* One config a launch template; what a template says never changes, so it has one version. */
static void add_configs(const struct launch_order *order, struct text *out)
{
	size_t configs = 0;

	vec_for_each (first, &order->overrides) {
		const char *name = first->launch_template;
		size_t overrides = 0;

		if (named_before(order, first))
			continue;
		configs++;
		form_add(out, name,
			 "LaunchTemplateConfigs.%zu.LaunchTemplateSpecification.LaunchTemplateName",
			 configs);
		form_add(out, "1", "LaunchTemplateConfigs.%zu.LaunchTemplateSpecification.Version",
			 configs);
		vec_for_each (override, &order->overrides)
			if (strcmp(override->launch_template, name) == 0)
				add_override(override, configs, ++overrides, out);
	}
}

static void add_tags(const struct launch_order *order, const char *owner, const char *resource,
		     size_t index, struct text *out)
{
	size_t count = 0;
	bool owned = false;

	form_add(out, resource, "TagSpecification.%zu.ResourceType", index);
	vec_for_each (tag, &order->tags.list) {
		owned |= strcmp(tag->key, TAG_OWNER) == 0;
		form_add(out, tag->key, "TagSpecification.%zu.Tag.%zu.Key", index, ++count);
		form_add(out, tag->value, "TagSpecification.%zu.Tag.%zu.Value", index, count);
	}
	if (owned)
		return;
	form_add(out, TAG_OWNER, "TagSpecification.%zu.Tag.%zu.Key", index, ++count);
	form_add(out, owner, "TagSpecification.%zu.Tag.%zu.Value", index, count);
}

void fleet_request(const struct launch_order *order, const char *owner, bool dry_run,
		   struct text *out)
{
	char number[32];

	form_begin(out, "CreateFleet");
	if (dry_run)
		form_add(out, "true", "DryRun");
	form_add(out, "instant", "Type");
	form_add(out, order->token, "ClientToken");
	snprintf(number, sizeof(number), "%u", order->count);
	form_add(out, number, "TargetCapacitySpecification.TotalTargetCapacity");
	form_add(out, target_type(order), "TargetCapacitySpecification.DefaultTargetCapacityType");
	if (*order->context)
		form_add(out, order->context, "Context");
	add_strategy(order, out);
	add_configs(order, out);
	add_tags(order, owner, "instance", 1, out);
	add_tags(order, owner, "fleet", 2, out);
}

/* ---- response ---- */

struct fleet_answer {
	struct launch_result *result;
	size_t first; /* instance of the item being read */
	char type[32], zone[32];
	struct launch_failure failure;
	bool bad;
};

bool is_instance_id(const char *id)
{
	size_t length = strlen(id);

	return str_starts(id, "i-") && length > 2 && length < 32 &&
	       strspn(id + 2, "0123456789abcdef") == length - 2;
}

static void take_instance(struct fleet_answer *answer, const char *id)
{
	struct launched_instance *instance;

	vec_for_each (known, &answer->result->instances)
		if (strcmp(known->id, id) == 0)
			return;
	if (!is_instance_id(id)) {
		answer->bad = true;
		return;
	}
	instance = vec_push(&answer->result->instances);
	set_text(instance->id, id);
}

static void end_instances(struct fleet_answer *answer)
{
	for (size_t i = answer->first; i < answer->result->instances.count; i++) {
		struct launched_instance *instance = &answer->result->instances.at[i];

		set_text(instance->instance_type, answer->type);
		set_text(instance->zone, answer->zone);
	}
	answer->first = answer->result->instances.count;
	answer->type[0] = answer->zone[0] = '\0';
}

static void end_failure(struct fleet_answer *answer)
{
	set_text(answer->failure.instance_type, answer->type);
	set_text(answer->failure.zone, answer->zone);
	make_plain(answer->failure.code);
	make_plain(answer->failure.message);
	*vec_push(&answer->result->failures) = answer->failure;
	answer->failure = (struct launch_failure){0};
	answer->type[0] = answer->zone[0] = '\0';
}

static void on_element(void *arg, const char *path, const char *text)
{
	struct fleet_answer *answer = arg;
	const char *name = strrchr(path, '/');
	bool in_set = str_starts(path, "fleetInstanceSet/item");
	bool in_errors = str_starts(path, "errorSet/item");

	name = name ? name + 1 : path;
	if (strcmp(path, "fleetId") == 0) {
		set_text(answer->result->fleet_id, text);
	} else if (strcmp(path, "requestId") == 0) {
		set_text(answer->result->request_id, text);
	} else if (!in_set && !in_errors) {
		return;
	} else if (strcmp(path, "fleetInstanceSet/item") == 0) {
		end_instances(answer);
	} else if (strcmp(path, "errorSet/item") == 0) {
		end_failure(answer);
	} else if (strcmp(path, "fleetInstanceSet/item/instanceIds/item") == 0) {
		take_instance(answer, text);
	} else if (strcmp(name, "instanceType") == 0 && *text) {
		set_text(answer->type, text);
	} else if (strcmp(name, "availabilityZone") == 0 && *text) {
		set_text(answer->zone, text);
	} else if (strcmp(path, "errorSet/item/errorCode") == 0) {
		set_text(answer->failure.code, text);
	} else if (strcmp(path, "errorSet/item/errorMessage") == 0) {
		set_text(answer->failure.message, text);
	}
}

int fleet_response(const char *body, size_t length, struct launch_result *result)
{
	struct fleet_answer answer = {.result = result};
	char root[XML_NAME_SIZE];
	bool all_capacity = true;

	if (xml_read(body, length, on_element, &answer, root) < 0 || answer.bad ||
	    strcmp(root, "CreateFleetResponse") != 0 || !*result->fleet_id) {
		launch_result_free(result);
		result->fleet_id[0] = '\0';
		return -EBADMSG;
	}
	vec_for_each (failure, &result->failures) {
		all_capacity &= launch_code_is_no_capacity(failure->code);
		result->throttled |= code_is_throttle(failure->code);
	}
	result->no_capacity = result->failures.count && all_capacity;
	return 0;
}

/* No answer, a throttle and the server's own fault leave it open whether it had its effect (an
 * earlier, lost answer may have been a success); a 4xx says that it had none. */
void launch_classify(const struct answer *answer, struct launch_result *result)
{
	result->started_ns = answer->started_ns;
	result->sent_ns = answer->sent_ns;
	result->done_ns = answer->done_ns;
	set_text(result->request_id, answer->request_id);
	set_text(result->error_code, answer->code);
	set_text(result->error_text, answer->message);
	result->throttled = answer->throttled;
	if (answer->error == 0) {
		result->outcome = LAUNCH_DONE;
		if (fleet_response(answer->body, answer->length, result) == 0)
			return;
		result->outcome = LAUNCH_UNKNOWN;
		set_text(result->error_code, "Garbage");
		snprintf(result->error_text, sizeof(result->error_text),
			 "EC2 answered HTTP %d with something that is no CreateFleet response",
			 answer->status);
	} else if (launch_code_is_no_capacity(answer->code)) {
		result->outcome = LAUNCH_REFUSED;
		result->no_capacity = true;
	} else if (answer->error == -EAGAIN || answer->error == -ENOKEY) {
		result->outcome = LAUNCH_UNKNOWN;
	} else {
		result->outcome = LAUNCH_REFUSED;
	}
}

/* ---- the call ---- */

struct launching {
	struct cloud *cloud;
	char token[64];
	bool dry_run;
};

/* Of DryRun only the code says what it is: "DryRunOperation", it would have been done. Where there
 * is no launch template yet EC2 can look at nothing behind its name. */
static void dry_run_ended(struct cloud *cloud, struct launch_result *result)
{
	if (cloud->config.read_only && str_starts(result->error_code, "InvalidLaunchTemplate"))
		set_text(result->error_text,
			 "observe mode makes no launch template, and without one EC2 looks no "
			 "further; `forerun run --check` asks whether it may be made and used");
	cloud->events.launched(cloud->events.arg, result);
	launch_result_free(result);
}

static void on_answer(void *arg, const struct answer *answer)
{
	struct launching *launching = arg;
	struct cloud *cloud = launching->cloud;
	struct launch_result result = {0};
	bool lost = str_starts(answer->code, "InvalidLaunchTemplate");
	bool dry_run = launching->dry_run;

	set_text(result.token, launching->token);
	free(launching);
	launch_classify(answer, &result);
	if (dry_run) {
		dry_run_ended(cloud, &result);
		return;
	}
	vec_for_each (failure, &result.failures)
		lost |= str_starts(failure->code, "InvalidLaunchTemplate");
	if (lost)
		classes_template_lost(cloud);
	fleet_hurry(cloud);
	if (result.outcome == LAUNCH_DONE)
		addresses_changed(cloud);
	cloud->events.launched(cloud->events.arg, &result);
	launch_result_free(&result);
}

void cloud_launch(struct cloud *cloud, const struct launch_order *order)
{
	_cleanup_text_ struct text body = {0};
	struct launching *launching;

	if (*order->group) {
		group_order(cloud, order);
		return;
	}
	if (order->starts.count) {
		start_order(cloud, order);
		return;
	}
	launching = calloc(1, sizeof(*launching));
	if (!launching)
		abort();
	launching->cloud = cloud;
	set_text(launching->token, order->token);
	launching->dry_run = order->dry_run;
	fleet_request(order, cloud->config.name, order->dry_run, &body);
	call_send(cloud, &(struct call_request){
				 .service = SERVICE_EC2,
				 .body = body.data,
				 .flags = order->dry_run ? 0 : CALL_ACTS | CALL_TWICE | CALL_APART,
				 .timeout_ms = LAUNCH_TIMEOUT_MS,
				 .done = on_answer,
				 .drop = free,
				 .arg = launching,
			 });
}
