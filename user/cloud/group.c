/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Auto Scaling groups (2011-01-01) as a way to buy: SetDesiredCapacity for more, and
 * TerminateInstanceInAutoScalingGroup for less. The group is looked at right before each of them:
 * its number is never set below what it is, and an instance that it lets go already is not taken
 * off its number again.
 */
#include "cloud/private.h"

#define VERSION "2011-01-01"

/* ---- what a group is ---- */

static void on_member(struct group_view *view, const char *path, const char *text)
{
	if (strcmp(path, "/InstanceId") == 0) {
		set_text(view->item.id, text);
	} else if (strcmp(path, "/LifecycleState") == 0) {
		view->item_leaves = !str_starts(text, "InService") && !str_starts(text, "Pending");
	} else if (!*path) {
		if (!view->item_leaves)
			*vec_push(&view->members) = view->item;
		view->item_leaves = false;
	}
}

static uint64_t number_of(const char *text)
{
	uint64_t number;

	return parse_u64(text, &number) < 0 ? 0 : number;
}

static void on_element(void *arg, const char *path, const char *text)
{
	static const char prefix[] = "DescribeAutoScalingGroupsResult/AutoScalingGroups/member";
	static const char members[] = "/Instances/member";
	struct group_view *view = arg;

	if (!str_starts(path, prefix))
		return;
	path += sizeof(prefix) - 1;
	if (strcmp(path, "/DesiredCapacity") == 0) {
		view->desired = number_of(text);
	} else if (strcmp(path, "/MaxSize") == 0) {
		view->max = number_of(text);
		view->found = true;
	} else if (str_starts(path, members)) {
		on_member(view, path + sizeof(members) - 1, text);
	}
}

int group_read(const char *body, size_t length, struct group_view *view)
{
	char root[XML_NAME_SIZE];

	vec_free(&view->members);
	*view = (struct group_view){0};
	if (xml_read(body, length, on_element, view, root) < 0 ||
	    strcmp(root, "DescribeAutoScalingGroupsResponse") != 0)
		return -EBADMSG;
	return 0;
}

static void group_form(struct text *body, const char *action, const char *group, const char *key)
{
	form_add(body, action, "Action");
	form_add(body, VERSION, "Version");
	form_add(body, group, "%s", key);
}

void group_describe(struct cloud *cloud, const char *name, unsigned flags, call_fn done,
		    void (*drop)(void *arg), void *arg)
{
	_cleanup_text_ struct text body = {0};

	group_form(&body, "DescribeAutoScalingGroups", name, "AutoScalingGroupNames.member.1");
	call_send(cloud, &(struct call_request){
				 .service = SERVICE_AUTO_SCALING,
				 .body = body.data,
				 .flags = CALL_XML | flags,
				 .done = done,
				 .drop = drop,
				 .arg = arg,
			 });
}

/* ---- more ---- */

struct growing {
	struct cloud *cloud;
	struct launch_result result;
	struct group_view view;
	char group[GROUP_NAME_SIZE];
	uint32_t desired;
	bool dry_run;
};

static void growing_free(void *arg)
{
	struct growing *growing = arg;

	vec_free(&growing->view.members);
	free(growing);
}

static void grown(struct growing *growing, enum launch_outcome outcome, const char *code)
{
	struct cloud *cloud = growing->cloud;

	growing->result.outcome = outcome;
	set_text(growing->result.error_code, code);
	if (!growing->dry_run)
		fleet_hurry(cloud);
	cloud->events.launched(cloud->events.arg, &growing->result);
	growing_free(growing);
}

static void grow_failed(struct growing *growing, const struct answer *answer)
{
	/* It lasts a moment, and says nothing about an earlier call. */
	bool busy = strcmp(answer->code, "ScalingActivityInProgress") == 0;

	growing->result.throttled = answer->throttled;
	set_text(growing->result.error_text, answer->message);
	grown(growing, busy || result_error(answer) == -EAGAIN ? LAUNCH_UNKNOWN : LAUNCH_REFUSED,
	      answer->code);
}

static void grow_launches(struct growing *growing)
{
	snprintf(growing->result.error_text, sizeof(growing->result.error_text),
		 "the group %.80s is to have %u members and launches them", growing->group,
		 growing->desired);
	grown(growing, LAUNCH_UNKNOWN, CODE_GROUP_LAUNCHES);
}

static void on_set(void *arg, const struct answer *answer)
{
	struct growing *growing = arg;

	growing->result.sent_ns = answer->sent_ns;
	growing->result.started_ns = answer->started_ns;
	growing->result.done_ns = answer->done_ns;
	set_text(growing->result.request_id, answer->request_id);
	if (answer->error)
		grow_failed(growing, answer);
	else
		grow_launches(growing);
}

static void set_desired(struct growing *growing)
{
	_cleanup_text_ struct text body = {0};
	char number[16];

	snprintf(number, sizeof(number), "%u", growing->desired);
	group_form(&body, "SetDesiredCapacity", growing->group, "AutoScalingGroupName");
	form_add(&body, number, "DesiredCapacity");
	form_add(&body, "false", "HonorCooldown");
	call_send(growing->cloud, &(struct call_request){
					  .service = SERVICE_AUTO_SCALING,
					  .body = body.data,
					  .flags = CALL_XML | CALL_ACTS | CALL_APART,
					  .done = on_set,
					  .drop = growing_free,
					  .arg = growing,
				  });
}

static void on_looked(void *arg, const struct answer *answer)
{
	struct growing *growing = arg;
	struct group_view *view = &growing->view;

	growing->result.done_ns = answer->done_ns;
	if (answer->error) {
		grow_failed(growing, answer);
	} else if (group_read(answer->body, answer->length, view) < 0) {
		set_text(growing->result.error_text, "no answer of DescribeAutoScalingGroups");
		grown(growing, LAUNCH_UNKNOWN, "Garbage");
	} else if (!view->found) {
		snprintf(growing->result.error_text, sizeof(growing->result.error_text),
			 "there is no Auto Scaling group %.120s", growing->group);
		grown(growing, LAUNCH_REFUSED, "NoSuchGroup");
	} else if (growing->desired > view->max) {
		snprintf(growing->result.error_text, sizeof(growing->result.error_text),
			 "MaxSize of the Auto Scaling group %.100s is %llu, and it is to have %u",
			 growing->group, (unsigned long long)view->max, growing->desired);
		grown(growing, LAUNCH_REFUSED, "MaxSize");
	} else if (growing->dry_run) {
		grown(growing, LAUNCH_REFUSED, "DryRunOperation");
	} else if (view->desired >= growing->desired) {
		grow_launches(growing);
	} else {
		set_desired(growing);
	}
}

void group_order(struct cloud *cloud, const struct launch_order *order)
{
	struct growing *growing = calloc(1, sizeof(*growing));

	if (!growing)
		abort();
	growing->cloud = cloud;
	set_text(growing->result.token, order->token);
	set_text(growing->group, order->group);
	growing->desired = order->desired;
	growing->dry_run = order->dry_run;
	group_describe(cloud, order->group, CALL_APART, on_looked, growing_free, growing);
}

/* ---- less ---- */

struct shrinking {
	struct cloud *cloud;
	struct terminate_result result;
	struct group_view view;
	VEC(struct instance_id) instances;
	char group[GROUP_NAME_SIZE];
	size_t at;
};

static void shrinking_free(void *arg)
{
	struct shrinking *shrinking = arg;

	vec_free(&shrinking->view.members);
	vec_free(&shrinking->instances);
	free(shrinking);
}

static void shrink_failed(struct shrinking *shrinking, const struct answer *answer)
{
	struct terminate_result *result = &shrinking->result;

	if (result->error != -EAGAIN)
		result->error = strcmp(answer->code, "ScalingActivityInProgress") == 0
					? -EAGAIN
					: result_error(answer);
	set_text(result->error_code, answer->code);
	set_text(result->error_text, answer->message);
}

static bool is_member(const struct shrinking *shrinking)
{
	vec_for_each (member, &shrinking->view.members)
		if (strcmp(member->id, shrinking->instances.at[shrinking->at].id) == 0)
			return true;
	return false;
}

static void next(struct shrinking *shrinking);

static void on_terminated(void *arg, const struct answer *answer)
{
	struct shrinking *shrinking = arg;

	if (answer->sent_ns)
		shrinking->result.sent_ns = answer->sent_ns;
	shrinking->result.done_ns = answer->done_ns;
	set_text(shrinking->result.request_id, answer->request_id);
	if (answer->error)
		shrink_failed(shrinking, answer);
	shrinking->at++;
	next(shrinking);
}

static void next(struct shrinking *shrinking)
{
	_cleanup_text_ struct text body = {0};
	struct cloud *cloud = shrinking->cloud;

	while (shrinking->at < shrinking->instances.count && !is_member(shrinking))
		shrinking->at++;
	if (shrinking->at == shrinking->instances.count) {
		fleet_hurry(cloud);
		addresses_changed(cloud);
		cloud->events.terminated(cloud->events.arg, &shrinking->result);
		shrinking_free(shrinking);
		return;
	}
	group_form(&body, "TerminateInstanceInAutoScalingGroup",
		   shrinking->instances.at[shrinking->at].id, "InstanceId");
	form_add(&body, "true", "ShouldDecrementDesiredCapacity");
	call_send(cloud, &(struct call_request){
				 .service = SERVICE_AUTO_SCALING,
				 .body = body.data,
				 .flags = CALL_XML | CALL_ACTS | CALL_APART,
				 .done = on_terminated,
				 .drop = shrinking_free,
				 .arg = shrinking,
			 });
}

static void on_looked_for_less(void *arg, const struct answer *answer)
{
	struct shrinking *shrinking = arg;

	shrinking->result.done_ns = answer->done_ns;
	if (answer->error)
		shrink_failed(shrinking, answer);
	else if (group_read(answer->body, answer->length, &shrinking->view) < 0)
		shrinking->result.error = -EAGAIN;
	next(shrinking); /* of a group that was not read nothing is a member */
}

void group_terminate(struct cloud *cloud, const struct terminate_order *order)
{
	struct shrinking *shrinking = calloc(1, sizeof(*shrinking));

	if (!shrinking)
		abort();
	shrinking->cloud = cloud;
	set_text(shrinking->group, order->group);
	set_text(shrinking->result.decision, order->decision);
	shrinking->result.number = order->number;
	vec_for_each (instance, &order->instances)
		set_text(vec_push(&shrinking->instances)->id, instance->id);
	group_describe(cloud, order->group, CALL_APART, on_looked_for_less, shrinking_free,
		       shrinking);
}
