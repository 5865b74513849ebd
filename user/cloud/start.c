/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One order that starts instances of a warm pool: StartInstances, then CreateTags, which makes what
 * was started the policy's. Doing both twice is the same as once. One instance that cannot be
 * started makes EC2 start none of the call, so then they are started one by one.
 */
#include "cloud/private.h"

#define START_TIMEOUT_MS 30000

struct starting {
	struct cloud *cloud;
	struct launch_result result;
	VEC(struct launched_instance) instances;
	struct key_values tags;
	size_t at; /* of those started one by one */
	bool single;
};

static void ask(struct starting *starting);

static void starting_free(void *arg)
{
	struct starting *starting = arg;

	launch_result_free(&starting->result);
	vec_free(&starting->instances);
	vec_for_each (tag, &starting->tags.list) {
		free(tag->key);
		free(tag->value);
	}
	vec_free(&starting->tags.list);
	free(starting);
}

/* EC2 says of no capacity with a 500, and of an empty pool a 500 is certain, too. */
static bool is_unknown(const struct answer *answer)
{
	return (answer->error == -EAGAIN || answer->error == -ENOKEY) &&
	       !launch_code_is_no_capacity(answer->code);
}

/* EC2's word on a part of it whose end is not known, or that was not done at all. */
static void take_error(struct launch_result *result, const struct answer *answer,
		       enum launch_outcome outcome)
{
	result->outcome = outcome;
	result->throttled = answer->throttled;
	set_text(result->error_code, answer->code);
	set_text(result->error_text, answer->message);
}

static void finish(struct starting *starting)
{
	struct cloud *cloud = starting->cloud;
	struct launch_result *result = &starting->result;

	/* Started or not: without its end known, the same order says it again. */
	if (result->outcome != LAUNCH_DONE) {
		vec_clear(&result->instances);
		vec_clear(&result->failures);
	}
	result->no_capacity = result->failures.count > 0;
	vec_for_each (failure, &result->failures)
		result->no_capacity &= launch_code_is_no_capacity(failure->code);
	fleet_hurry(cloud);
	cloud->events.launched(cloud->events.arg, result);
	starting_free(starting);
}

/* ---- CreateTags ---- */

static void on_tagged(void *arg, const struct answer *answer)
{
	struct starting *starting = arg;

	starting->result.done_ns = answer->done_ns;
	if (answer->error)
		take_error(&starting->result, answer,
			   is_unknown(answer) ? LAUNCH_UNKNOWN : LAUNCH_REFUSED);
	finish(starting);
}

static void tag(struct starting *starting)
{
	_cleanup_text_ struct text body = {0};
	size_t count = 0;

	if (starting->result.outcome != LAUNCH_DONE || !starting->result.instances.count) {
		finish(starting);
		return;
	}
	form_begin(&body, "CreateTags");
	vec_for_each (instance, &starting->result.instances)
		form_add(&body, instance->id, "ResourceId.%zu", ++count);
	count = 0;
	vec_for_each (tag, &starting->tags.list) {
		form_add(&body, tag->key, "Tag.%zu.Key", ++count);
		form_add(&body, tag->value, "Tag.%zu.Value", count);
	}
	call_send(starting->cloud, &(struct call_request){
					   .service = SERVICE_EC2,
					   .body = body.data,
					   .flags = CALL_XML | CALL_ACTS | CALL_TWICE | CALL_APART,
					   .timeout_ms = START_TIMEOUT_MS,
					   .done = on_tagged,
					   .drop = starting_free,
					   .arg = starting,
				   });
}

/* ---- StartInstances ---- */

static void take_started(struct starting *starting)
{
	struct launch_result *result = &starting->result;

	if (starting->single)
		*vec_push(&result->instances) = starting->instances.at[starting->at];
	else
		vec_for_each (instance, &starting->instances)
			*vec_push(&result->instances) = *instance;
}

static void take_failure(struct starting *starting, const struct answer *answer)
{
	const struct launched_instance *instance = &starting->instances.at[starting->at];
	struct launch_failure *failure = vec_push(&starting->result.failures);

	set_text(failure->instance_id, instance->id);
	set_text(failure->instance_type, instance->instance_type);
	set_text(failure->zone, instance->zone);
	set_text(failure->code, answer->code);
	set_text(failure->message, answer->message);
}

static void on_request_id(void *arg, const char *path, const char *text)
{
	struct starting *starting = arg;

	if (strcmp(path, "requestId") == 0)
		set_text(starting->result.request_id, text);
}

static void on_started(void *arg, const struct answer *answer)
{
	struct starting *starting = arg;
	struct launch_result *result = &starting->result;
	char root[XML_NAME_SIZE];

	if (!result->started_ns)
		result->started_ns = answer->started_ns;
	if (!result->sent_ns)
		result->sent_ns = answer->sent_ns;
	result->done_ns = answer->done_ns;
	if (!answer->error) {
		xml_read(answer->body, answer->length, on_request_id, starting, root);
		take_started(starting);
	} else if (is_unknown(answer)) {
		take_error(result, answer, LAUNCH_UNKNOWN);
	} else if (!starting->single && starting->instances.count > 1) {
		starting->single = true;
		ask(starting);
		return;
	} else {
		set_text(result->request_id, answer->request_id);
		take_failure(starting, answer);
	}
	if (starting->single && ++starting->at < starting->instances.count)
		ask(starting);
	else
		tag(starting);
}

static void ask(struct starting *starting)
{
	_cleanup_text_ struct text body = {0};
	size_t count = 0;

	form_begin(&body, "StartInstances");
	if (starting->single)
		form_add(&body, starting->instances.at[starting->at].id, "InstanceId.1");
	else
		vec_for_each (instance, &starting->instances)
			form_add(&body, instance->id, "InstanceId.%zu", ++count);
	call_send(starting->cloud, &(struct call_request){
					   .service = SERVICE_EC2,
					   .body = body.data,
					   .flags = CALL_XML | CALL_ACTS | CALL_TWICE | CALL_APART,
					   .timeout_ms = START_TIMEOUT_MS,
					   .instances = starting->single ? 1 : (uint32_t)count,
					   .done = on_started,
					   .drop = starting_free,
					   .arg = starting,
				   });
}

void start_order(struct cloud *cloud, const struct launch_order *order)
{
	struct starting *starting = calloc(1, sizeof(*starting));

	if (!starting)
		abort();
	starting->cloud = cloud;
	starting->result.outcome = LAUNCH_DONE;
	set_text(starting->result.token, order->token);
	vec_for_each (instance, &order->starts)
		*vec_push(&starting->instances) = *instance;
	vec_for_each (tag, &order->tags.list) {
		struct key_value *copy = vec_push(&starting->tags.list);

		copy->key = strdup(tag->key);
		copy->value = strdup(tag->value);
	}
	ask(starting);
}

/* ---- StopInstances ---- */

struct stopping {
	struct cloud *cloud;
	struct stop_result result;
};

static void on_stopped(void *arg, const struct answer *answer)
{
	struct stopping *stopping = arg;
	struct cloud *cloud = stopping->cloud;

	if (answer->error)
		stopping->result.error = is_unknown(answer) ? -EAGAIN : -EINVAL;
	set_text(stopping->result.error_code, answer->code);
	set_text(stopping->result.error_text, answer->message);
	fleet_hurry(cloud);
	cloud->events.stopped(cloud->events.arg, &stopping->result);
	free(stopping);
}

void cloud_stop(struct cloud *cloud, const struct stop_order *order)
{
	_cleanup_text_ struct text body = {0};
	struct stopping *stopping = calloc(1, sizeof(*stopping));

	if (!stopping)
		abort();
	stopping->cloud = cloud;
	set_text(stopping->result.id, order->id);
	form_begin(&body, "StopInstances");
	form_add(&body, order->id, "InstanceId.1");
	if (order->hibernate)
		form_add(&body, "true", "Hibernate");
	call_send(cloud, &(struct call_request){
				 .service = SERVICE_EC2,
				 .body = body.data,
				 .flags = CALL_XML | CALL_ACTS,
				 .instances = 1,
				 .done = on_stopped,
				 .drop = free,
				 .arg = stopping,
			 });
}
