/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that can be asked without launching: who we are, each class, the types that each pool
 * leaves, and by DryRun whether we may launch, look and terminate.
 */
#include "cloud/private.h"

struct check {
	struct cloud *cloud;
	struct problems *problems;
	void (*done)(void *arg);
	void *arg;
	struct resolver *resolvers;
	size_t class_at, pool_at;
	unsigned catalog_flags;
	char account[CLOUD_NAME_SIZE * 2];
};

static void next_class(struct check *check);
static void next_pool(struct check *check);

void check_free(struct cloud *cloud)
{
	struct check *check = cloud->check;

	if (!check)
		return;
	for (size_t i = 0; i < cloud->classes_count; i++)
		resolver_free(&check->resolvers[i]);
	free(check->resolvers);
	free(check);
	cloud->check = NULL;
}

static void check_end(struct check *check)
{
	void (*done)(void *arg) = check->done;
	void *arg = check->arg;

	check->cloud->catalog.done = NULL;
	check->cloud->catalog.flags = check->catalog_flags;
	check_free(check->cloud);
	done(arg);
}

static void report(struct check *check, const struct origin *origin, const char *kind,
		   const char *name, const char *path, const char *text)
{
	_cleanup_free_ char *place = place_of(origin, kind, name, path);

	problem_add(check->problems, place, "%s", text);
}

/* ---- looking at the fleet ---- */

static void on_looked(void *arg, const struct answer *answer)
{
	struct check *check = arg;
	char words[512];

	if (answer->error && strcmp(answer->code, "DryRunOperation") != 0)
		problem_add(check->problems, "AWS", "DescribeInstances is refused for %s: %s",
			    check->account, answer_text(answer, words));
	check_end(check);
}

static void check_looking(struct check *check)
{
	_cleanup_text_ struct text body = {0};

	form_begin(&body, "DescribeInstances");
	form_add(&body, "true", "DryRun");
	form_add(&body, "tag-key", "Filter.1.Name");
	form_add(&body, TAG_OWNER, "Filter.1.Value.1");
	call_send(check->cloud, &(struct call_request){
					.service = SERVICE_EC2,
					.body = body.data,
					.flags = CALL_RETRY_LITTLE,
					.done = on_looked,
					.arg = check,
				});
}

/* ---- pools ---- */

static const struct resolver *resolver_of(const struct check *check, const struct pool *pool)
{
	for (size_t i = 0; i < check->cloud->classes_count; i++)
		if (str_equal(check->resolvers[i].class->name, pool->node_class))
			return &check->resolvers[i];
	return NULL;
}

static bool complete_override(const struct resolver *resolver, const struct offering *offering,
			      const struct pool *pool, struct launch_override *out)
{
	const struct launch_template *template = launch_template_for(
		resolver->templates.at, resolver->templates.count, offering, pool->name, "");

	*out = (struct launch_override){.priority = -1};
	vec_for_each (subnet, &resolver->subnets)
		if (strcmp(subnet->zone, offering->zone) == 0)
			set_text(out->subnet_id, subnet->id);
	if (template)
		set_text(out->launch_template, template->name);
	set_text(out->instance_type, offering->instance_type);
	set_text(out->zone, offering->zone);
	return *out->subnet_id && *out->launch_template;
}

static void on_launch_allowed(void *arg, const struct answer *answer)
{
	struct check *check = arg;
	const struct pool *pool = &check->cloud->documents->pools.at[check->pool_at];
	char words[512];
	char text[CLOUD_TEXT_SIZE * 3];

	if (strcmp(answer->code, "DryRunOperation") != 0) {
		snprintf(text, sizeof(text),
			 "CreateFleet (DryRun) for NodePool %s is refused for %s: %s", pool->name,
			 check->account,
			 answer->error ? answer_text(answer, words) : "no DryRunOperation");
		report(check, &pool->origin, "NodePool", pool->name, "spec.template.spec", text);
	}
	check->pool_at++;
	next_pool(check);
}

static void ask_launch(struct check *check, const struct pool *pool,
		       const struct launch_override *override, enum capacity_type type)
{
	_cleanup_text_ struct text body = {0};
	struct launch_order order = {.capacity_type = type, .count = 1};

	set_text(order.token, "forerun-check");
	set_text(order.pool, pool->name);
	*vec_push(&order.overrides) = *override;
	fleet_request(&order, check->cloud->config.name, true, &body);
	call_send(check->cloud, &(struct call_request){
					.service = SERVICE_EC2,
					.body = body.data,
					.flags = CALL_RETRY_LITTLE,
					.done = on_launch_allowed,
					.arg = check,
				});
	launch_order_free(&order);
}

static void say_nothing_left(struct check *check, const struct pool *pool, size_t offered,
			     size_t in_subnets)
{
	char text[CLOUD_TEXT_SIZE * 2];

	if (offered)
		snprintf(text, sizeof(text),
			 "of %zu offerings that the requirements of NodePool %s leave, none is in "
			 "a zone with a subnet and an image of EC2NodeClass %s (%zu subnets looked "
			 "at)",
			 offered, pool->name, pool->node_class, in_subnets);
	else
		snprintf(text, sizeof(text),
			 "the requirements of NodePool %s leave no instance type in %s, expected "
			 "at least one",
			 pool->name, check->cloud->identity.region);
	report(check, &pool->origin, "NodePool", pool->name, "spec.template.spec.requirements",
	       text);
}

/* SetDesiredCapacity knows no dry run: that the group can be looked at is all that can be asked. */
static void on_group(void *arg, const struct answer *answer)
{
	struct check *check = arg;
	const struct documents *documents = check->cloud->documents;
	const struct pool *pool = &documents->pools.at[check->pool_at];
	struct group_view view = {0};
	char words[512], text[CLOUD_TEXT_SIZE * 3] = "";
	bool read = !answer->error && group_read(answer->body, answer->length, &view) == 0;

	if (!read)
		snprintf(text, sizeof(text), "DescribeAutoScalingGroups for %s: %s", check->account,
			 answer->error ? answer_text(answer, words) : "not its answer");
	else if (!view.found)
		snprintf(text, sizeof(text), "there is no Auto Scaling group \"%s\" in %s",
			 pool->auto_scaling_group, check->cloud->identity.region);
	vec_for_each (policy, &documents->policies)
		if (view.found && str_equal(policy->pool, pool->name) &&
		    (uint64_t)policy->max_replicas > view.max + 1)
			snprintf(text, sizeof(text),
				 "MaxSize of the Auto Scaling group \"%s\" is %llu, and "
				 "maxReplicas of "
				 "HorizontalPodAutoscaler %s is %d",
				 pool->auto_scaling_group, (unsigned long long)view.max,
				 policy->name, policy->max_replicas);
	if (*text)
		report(check, &pool->origin, "NodePool", pool->name,
		       "metadata.annotations.forerun.dev/auto-scaling-group", text);
	vec_free(&view.members);
	check->pool_at++;
	next_pool(check);
}

/* True when a call is under way. */
static bool check_pool(struct check *check, const struct pool *pool)
{
	const struct resolver *resolver = resolver_of(check, pool);
	const struct catalog_state *state = &check->cloud->catalog;
	struct launch_override override;
	size_t offered = 0;

	vec_for_each (offering, &state->offerings.list) {
		if (!offering_matches(offering, pool))
			continue;
		offered++;
		if (!resolver || !complete_override(resolver, offering, pool, &override))
			continue;
		if (pool->auto_scaling_group)
			group_describe(check->cloud, pool->auto_scaling_group, CALL_RETRY_LITTLE,
				       on_group, NULL, check);
		else
			ask_launch(check, pool, &override, offering->capacity_type);
		return true;
	}
	/* A class with a problem has said so. */
	if (!offered || (resolver && !*resolver->problem))
		say_nothing_left(check, pool, offered, resolver ? resolver->subnets.count : 0);
	return false;
}

static void next_pool(struct check *check)
{
	const struct documents *documents = check->cloud->documents;

	for (; check->pool_at < documents->pools.count; check->pool_at++)
		if (check_pool(check, &documents->pools.at[check->pool_at]))
			return;
	check_looking(check);
}

/* ---- classes ---- */

static void on_class(struct resolver *resolver)
{
	struct check *check = resolver->arg;
	_cleanup_free_ char *path = str_printf("spec.%s", resolver->field);

	if (*resolver->problem)
		report(check, &resolver->class->origin, "EC2NodeClass", resolver->class->name,
		       *resolver->field ? path : "spec", resolver->problem);
	check->class_at++;
	next_class(check);
}

static void next_class(struct check *check)
{
	struct cloud *cloud = check->cloud;
	struct resolver *resolver;

	if (check->class_at == cloud->classes_count) {
		if (*cloud->catalog.problem)
			check_looking(check);
		else
			next_pool(check);
		return;
	}
	resolver = &check->resolvers[check->class_at];
	resolver_init(resolver, cloud, cloud->classes[check->class_at].class);
	resolver->check = true;
	resolver->flags = CALL_RETRY_LITTLE;
	resolver->done = on_class;
	resolver->arg = check;
	resolver_run(resolver);
}

/* Types come first: which images a class needs follows from them. */
static void on_types(void *arg)
{
	struct check *check = arg;

	check->cloud->catalog.done = NULL;
	if (*check->cloud->catalog.problem)
		problem_add(check->problems, "AWS", "the instance types cannot be listed: %s",
			    check->cloud->catalog.problem);
	next_class(check);
}

static void check_types(struct check *check)
{
	check->cloud->catalog.done = on_types;
	check->cloud->catalog.done_arg = check;
	catalog_fetch_types(check->cloud);
}

/* ---- who we are ---- */

static void on_identity_element(void *arg, const char *path, const char *text)
{
	struct check *check = arg;

	if (strcmp(path, "GetCallerIdentityResult/Arn") == 0)
		set_text(check->account, text);
}

static void on_identity(void *arg, const struct answer *answer)
{
	struct check *check = arg;
	char root[XML_NAME_SIZE], words[512];

	if (!answer->error) {
		xml_read(answer->body, answer->length, on_identity_element, check, root);
		check_types(check);
		return;
	}
	if (answer->error == -ENOKEY)
		problem_add(check->problems, "AWS credentials", "%s", answer->message);
	else if (answer->status == 0)
		problem_add(check->problems, "AWS", "STS GetCallerIdentity: %s", answer->message);
	else
		problem_add(check->problems, "AWS credentials", "from %s: STS refused them: %s",
			    check->cloud->identity.source, answer_text(answer, words));
	check_end(check);
}

void cloud_check(struct cloud *cloud, struct problems *problems, void (*done)(void *arg), void *arg)
{
	struct check *check = calloc(1, sizeof(*check));

	if (!check)
		abort();
	check_free(cloud);
	*check = (struct check){.cloud = cloud, .problems = problems, .done = done, .arg = arg};
	check->resolvers = calloc(MAX(cloud->classes_count, 1), sizeof(*check->resolvers));
	if (!check->resolvers)
		abort();
	check->catalog_flags = cloud->catalog.flags;
	cloud->catalog.flags = CALL_RETRY_LITTLE;
	cloud->check = check;
	call_send(cloud, &(struct call_request){
				 .service = SERVICE_STS,
				 .body = "Action=GetCallerIdentity&Version=2011-06-15",
				 .flags = CALL_RETRY_LITTLE | CALL_XML,
				 .done = on_identity,
				 .arg = check,
			 });
}
