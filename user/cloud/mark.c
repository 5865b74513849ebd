/* SPDX-License-Identifier: Apache-2.0 */
/* The tag of instances that drain: CreateTags, or DeleteTags where it is taken off. Either twice is
 * the same as once. */
#include "cloud/private.h"

struct marking {
	struct cloud *cloud;
	struct mark_result result;
};

int result_error(const struct answer *answer)
{
	if (!answer->error)
		return 0;
	return answer->error == -EAGAIN || answer->error == -ENOKEY ||
			       strcmp(answer->code, "NotLeader") == 0
		       ? -EAGAIN
		       : -EINVAL;
}

static void on_answer(void *arg, const struct answer *answer)
{
	struct marking *marking = arg;
	struct cloud *cloud = marking->cloud;

	marking->result.error = result_error(answer);
	set_text(marking->result.error_code, answer->code);
	set_text(marking->result.error_text, answer->message);
	/* Launched a moment ago, and not known everywhere yet. */
	if (str_starts(answer->code, "InvalidInstanceID.NotFound"))
		marking->result.error = -EAGAIN;
	if (cloud->events.marked)
		cloud->events.marked(cloud->events.arg, &marking->result);
	free(marking);
}

void cloud_mark(struct cloud *cloud, const struct mark_order *order)
{
	_cleanup_text_ struct text body = {0};
	struct marking *marking = calloc(1, sizeof(*marking));
	size_t count = 0;

	if (!marking)
		abort();
	marking->cloud = cloud;
	marking->result.number = order->number;
	form_begin(&body, *order->value ? "CreateTags" : "DeleteTags");
	vec_for_each (instance, &order->instances)
		form_add(&body, instance->id, "ResourceId.%zu", ++count);
	form_add(&body, TAG_DRAINING, "Tag.1.Key");
	if (*order->value)
		form_add(&body, order->value, "Tag.1.Value");
	call_send(cloud, &(struct call_request){
				 .service = SERVICE_EC2,
				 .body = body.data,
				 .flags = CALL_XML | CALL_ACTS,
				 .done = on_answer,
				 .drop = free,
				 .arg = marking,
			 });
}
