/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Target groups of ALB and NLB (ELBv2, 2015-12-01): RegisterTargets, DeregisterTargets and
 * DescribeTargetHealth. Of targets that are instances. One that a group cannot take makes it take
 * none of the call, so then they are told one by one; one that it does not have is out of it.
 */
#include "cloud/private.h"

struct telling {
	struct cloud *cloud;
	struct target_result result;
	enum target_action action;
	char *group;
	VEC(struct instance_id) instances;
	size_t at; /* of those told one by one */
	bool single;
	struct instance_id item; /* being read */
	bool item_unused;
};

static void ask(struct telling *telling);

static void telling_free(void *arg)
{
	struct telling *telling = arg;

	free(telling->group);
	vec_free(&telling->instances);
	vec_free(&telling->result.unused);
	vec_free(&telling->result.failed);
	free(telling);
}

static void finish(struct telling *telling)
{
	struct cloud *cloud = telling->cloud;

	if (cloud->events.targets)
		cloud->events.targets(cloud->events.arg, &telling->result);
	telling_free(telling);
}

static bool is_of_one_target(const struct answer *answer)
{
	return strcmp(answer->code, "InvalidTarget") == 0;
}

static void take_error(struct telling *telling, const struct answer *answer)
{
	struct target_result *result = &telling->result;

	if (is_of_one_target(answer) && telling->action == TARGETS_DEREGISTER)
		return;
	set_text(result->error_code, answer->code);
	set_text(result->error_text, answer->message);
	result->group_gone |= strcmp(answer->code, "TargetGroupNotFound") == 0;
	if (telling->single)
		*vec_push(&result->failed) = telling->instances.at[telling->at];
	if (result->error != -EAGAIN)
		result->error = result_error(answer);
}

static void on_element(void *arg, const char *path, const char *text)
{
	static const char prefix[] = "DescribeTargetHealthResult/TargetHealthDescriptions/member";
	struct telling *telling = arg;

	if (!str_starts(path, prefix))
		return;
	path += sizeof(prefix) - 1;
	if (strcmp(path, "/Target/Id") == 0) {
		set_text(telling->item.id, text);
	} else if (strcmp(path, "/TargetHealth/State") == 0) {
		telling->item_unused = strcmp(text, "unused") == 0;
	} else if (!*path) {
		if (telling->item_unused)
			*vec_push(&telling->result.unused) = telling->item;
		telling->item_unused = false;
	}
}

static void on_answer(void *arg, const struct answer *answer)
{
	struct telling *telling = arg;
	char root[XML_NAME_SIZE];

	if (is_of_one_target(answer) && !telling->single && telling->instances.count > 1) {
		telling->single = true;
		ask(telling);
		return;
	}
	if (answer->error)
		take_error(telling, answer);
	else if (telling->action == TARGETS_HEALTH)
		xml_read(answer->body, answer->length, on_element, telling, root);
	if (telling->single && ++telling->at < telling->instances.count)
		ask(telling);
	else
		finish(telling);
}

static void ask(struct telling *telling)
{
	static const char *const actions[] = {[TARGETS_REGISTER] = "RegisterTargets",
					      [TARGETS_DEREGISTER] = "DeregisterTargets",
					      [TARGETS_HEALTH] = "DescribeTargetHealth"};
	bool acts = telling->action != TARGETS_HEALTH;
	_cleanup_text_ struct text body = {0};
	size_t count = 0;

	form_add(&body, actions[telling->action], "Action");
	form_add(&body, "2015-12-01", "Version");
	form_add(&body, telling->group, "TargetGroupArn");
	if (telling->single)
		form_add(&body, telling->instances.at[telling->at].id, "Targets.member.1.Id");
	else
		vec_for_each (instance, &telling->instances)
			form_add(&body, instance->id, "Targets.member.%zu.Id", ++count);
	call_send(telling->cloud, &(struct call_request){
					  .service = SERVICE_ELB,
					  .body = body.data,
					  .flags = CALL_XML | (acts ? CALL_ACTS : 0),
					  .done = on_answer,
					  .drop = telling_free,
					  .arg = telling,
				  });
}

void cloud_targets(struct cloud *cloud, const struct target_order *order)
{
	struct telling *telling = calloc(1, sizeof(*telling));

	if (!telling)
		abort();
	telling->cloud = cloud;
	telling->action = order->action;
	telling->group = strdup(order->group);
	telling->result.number = order->number;
	vec_for_each (instance, &order->instances)
		*vec_push(&telling->instances) = *instance;
	if (!telling->group)
		abort();
	ask(telling);
}
