/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Launch templates that are of no use any more: a class or an image changed, and there is another.
 * An account may have 5,000 of them. Only our own go, and only such that are old, that nothing of
 * today's classes says, and that no instance was launched from. A core that still needs one
 * (another version, during an update) makes it again: its name says its content.
 */
#include "cloud/private.h"

#define LOOK_EVERY_NS (3600 * NS_PER_S)
#define SETTLE_NS (600 * NS_PER_S) /* of this process, before it judges what is in use */

static void next_deletion(struct cloud *cloud);

static bool is_ours(const char *name)
{
	return str_starts(name, "forerun-");
}

static bool is_current(const struct cloud *cloud, const char *name)
{
	for (size_t i = 0; i < cloud->classes_count; i++) {
		vec_for_each (template, &cloud->classes[i].view_templates)
			if (strcmp(template->name, name) == 0)
				return true;
		vec_for_each (template, &cloud->classes[i].templates)
			if (strcmp(template->name, name) == 0)
				return true;
	}
	return false;
}

static bool is_of_an_instance(const struct cloud *cloud, const char *id)
{
	vec_for_each (instance, &cloud->fleet.view)
		if (instance->state != INSTANCE_TERMINATED &&
		    strcmp(instance->launch_template_id, id) == 0)
			return true;
	return false;
}

bool template_is_old(const struct cloud *cloud, const struct old_template *template,
		     uint64_t now_wall_ns)
{
	return is_ours(template->name) && template->created_wall_ns &&
	       template->created_wall_ns + cloud->config.template_keep_ns <= now_wall_ns &&
	       !is_current(cloud, template->name) && !is_of_an_instance(cloud, template->id);
}

static void again(struct cloud *cloud)
{
	cloud->old_templates.busy = false;
	loop_timer_at(cloud->old_templates.timer,
		      time_mono_ns() + MIN(LOOK_EVERY_NS, cloud->config.template_keep_ns));
}

static void on_deleted(void *arg, const struct answer *answer)
{
	struct cloud *cloud = arg;
	struct old_templates *old = &cloud->old_templates;
	char words[512];

	if (answer->error && !str_starts(answer->code, "InvalidLaunchTemplate")) {
		log_warning("DeleteLaunchTemplate %s: %s", old->found.at[old->at].name,
			    answer_text(answer, words));
		again(cloud);
		return;
	}
	log_info("launch template %s is of no use any more and was deleted",
		 old->found.at[old->at].name);
	old->at++;
	next_deletion(cloud);
}

static void next_deletion(struct cloud *cloud)
{
	struct old_templates *old = &cloud->old_templates;
	_cleanup_text_ struct text body = {0};

	while (old->at < old->found.count &&
	       !template_is_old(cloud, &old->found.at[old->at], time_wall_ns()))
		old->at++;
	if (old->at == old->found.count) {
		again(cloud);
		return;
	}
	form_begin(&body, "DeleteLaunchTemplate");
	form_add(&body, old->found.at[old->at].id, "LaunchTemplateId");
	call_send(cloud, &(struct call_request){
				 .service = SERVICE_EC2,
				 .body = body.data,
				 .flags = CALL_RETRY_LITTLE | CALL_ACTS,
				 .done = on_deleted,
				 .arg = cloud,
			 });
}

static void on_element(void *arg, const char *path, const char *text)
{
	static const char prefix[] = "launchTemplates/item";
	struct old_templates *old = &((struct cloud *)arg)->old_templates;

	if (!str_starts(path, prefix))
		return;
	path += sizeof(prefix) - 1;
	if (!*path) {
		if (str_starts(old->item.id, "lt-"))
			*vec_push(&old->found) = old->item;
		old->item = (struct old_template){0};
	} else if (strcmp(path, "/launchTemplateId") == 0) {
		set_text(old->item.id, text);
	} else if (strcmp(path, "/launchTemplateName") == 0) {
		set_text(old->item.name, text);
	} else if (strcmp(path, "/createTime") == 0) {
		time_parse(text, &old->item.created_wall_ns);
	}
}

static void on_listed(void *arg, const struct answer *answer)
{
	struct cloud *cloud = arg;
	char words[512];

	if (answer->error) {
		log_warning("DescribeLaunchTemplates: %s; launch templates that are of no use stay",
			    answer_text(answer, words));
		again(cloud);
		return;
	}
	cloud->old_templates.at = 0;
	next_deletion(cloud);
}

/* What is in use has to be known whole: every class, and the fleet. */
static bool may_look(const struct cloud *cloud)
{
	const struct cloud_events *events = &cloud->events;
	uint64_t settle_ns = MIN(SETTLE_NS, cloud->config.template_keep_ns);

	return !cloud->config.read_only && classes_ready(cloud) && cloud->fleet.known &&
	       time_mono_ns() - cloud->old_templates.working_since_ns >= settle_ns &&
	       (!events->may_act || events->may_act(events->arg));
}

static void on_timer(void *arg, uint64_t now_ns)
{
	struct cloud *cloud = arg;
	_cleanup_text_ struct text query = {0};

	(void)now_ns;
	if (cloud->old_templates.busy)
		return;
	if (!may_look(cloud)) {
		again(cloud);
		return;
	}
	cloud->old_templates.busy = true;
	vec_clear(&cloud->old_templates.found);
	cloud->old_templates.item = (struct old_template){0};
	form_begin(&query, "DescribeLaunchTemplates");
	form_add(&query, "tag:" TAG_OWNER, "Filter.1.Name");
	form_add(&query, cloud->config.name, "Filter.1.Value.1");
	form_add(&query, "200", "MaxResults");
	describe_send(cloud, &(struct describe_request){
				     .query = query.data,
				     .flags = CALL_RETRY_LITTLE,
				     .on_element = on_element,
				     .done = on_listed,
				     .arg = cloud,
			     });
}

int old_templates_init(struct cloud *cloud)
{
	return loop_timer_new(cloud->loop, on_timer, cloud, &cloud->old_templates.timer);
}

void old_templates_free(struct cloud *cloud)
{
	vec_free(&cloud->old_templates.found);
	if (cloud->old_templates.timer)
		loop_timer_free(cloud->old_templates.timer);
}

void old_templates_start(struct cloud *cloud)
{
	cloud->old_templates.working_since_ns = time_mono_ns();
	again(cloud);
}
