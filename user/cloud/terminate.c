/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TerminateInstances. One id that EC2 does not know makes it terminate none of them, so then they
 * are asked for one by one; an id that is not known yet (right after its launch) is asked for
 * again.
 */
#include "cloud/private.h"

struct terminating {
	struct cloud *cloud;
	struct terminate_result result;
	VEC(struct launched_instance) instances;
	size_t at; /* of those asked for one by one */
	bool single;
};

static void ask(struct terminating *terminating);

static void terminating_free(void *arg)
{
	struct terminating *terminating = arg;

	vec_free(&terminating->instances);
	free(terminating);
}

static void keep_error(struct terminate_result *result, int error, const struct answer *answer)
{
	if (result->error == -EAGAIN)
		return;
	result->error = error;
	set_text(result->error_code, answer->code);
	set_text(result->error_text, answer->message);
}

static void on_answer(void *arg, const struct answer *answer)
{
	struct terminating *terminating = arg;
	struct terminate_result *result = &terminating->result;
	struct cloud *cloud = terminating->cloud;
	bool unknown_id = str_starts(answer->code, "InvalidInstanceID.NotFound");

	if (answer->sent_ns)
		result->sent_ns = answer->sent_ns;
	result->done_ns = answer->done_ns;
	set_text(result->request_id, answer->request_id);
	if (unknown_id && !terminating->single && terminating->instances.count > 1) {
		terminating->single = true;
		ask(terminating);
		return;
	}
	if (answer->error)
		keep_error(result,
			   unknown_id || answer->error == -EAGAIN || answer->error == -ENOKEY
				   ? -EAGAIN
				   : -EINVAL,
			   answer);
	if (terminating->single && ++terminating->at < terminating->instances.count) {
		ask(terminating);
		return;
	}
	fleet_hurry(cloud);
	addresses_changed(cloud);
	cloud->events.terminated(cloud->events.arg, result);
	terminating_free(terminating);
}

static void on_element(void *arg, const char *path, const char *text)
{
	struct terminating *terminating = arg;

	if (strcmp(path, "requestId") == 0)
		set_text(terminating->result.request_id, text);
}

static void on_terminated(void *arg, const struct answer *answer)
{
	struct answer copy = *answer;
	char root[XML_NAME_SIZE];

	if (!answer->error) {
		xml_read(answer->body, answer->length, on_element, arg, root);
		set_text(copy.request_id, ((struct terminating *)arg)->result.request_id);
	}
	on_answer(arg, &copy);
}

static void ask(struct terminating *terminating)
{
	_cleanup_text_ struct text body = {0};
	size_t count = 0;

	form_begin(&body, "TerminateInstances");
	if (terminating->single)
		form_add(&body, terminating->instances.at[terminating->at].id, "InstanceId.1");
	else
		vec_for_each (instance, &terminating->instances)
			form_add(&body, instance->id, "InstanceId.%zu", ++count);
	call_send(terminating->cloud,
		  &(struct call_request){
			  .service = SERVICE_EC2,
			  .body = body.data,
			  .flags = CALL_XML | CALL_ACTS | CALL_TWICE | CALL_APART,
			  .instances = terminating->single ? 1 : (uint32_t)count,
			  .done = on_terminated,
			  .drop = terminating_free,
			  .arg = terminating,
		  });
}

void cloud_terminate(struct cloud *cloud, const struct terminate_order *order)
{
	struct terminating *terminating;

	if (*order->group) {
		group_terminate(cloud, order);
		return;
	}
	terminating = calloc(1, sizeof(*terminating));
	if (!terminating)
		abort();
	terminating->cloud = cloud;
	set_text(terminating->result.decision, order->decision);
	terminating->result.number = order->number;
	vec_for_each (instance, &order->instances)
		*vec_push(&terminating->instances) = *instance;
	ask(terminating);
}
