/* SPDX-License-Identifier: Apache-2.0 */
/* The classes over time: looked up at the start, again every few minutes (a new image, another
 * subnet, fewer free addresses), and soon after a failure. */
#include "cloud/private.h"

#define RETRY_BASE_NS (5 * NS_PER_S)
#define RETRY_MOST_NS (60 * NS_PER_S)

static void class_run(struct resolver *resolver)
{
	if (resolver->busy)
		resolver->again = true;
	else
		resolver_run(resolver);
}

static void on_timer(void *arg, uint64_t now_ns)
{
	(void)now_ns;
	class_run(arg);
}

void class_publish(struct resolver *resolver)
{
	struct cloud *cloud = resolver->cloud;

	resolver->view.subnets = resolver->view_subnets.at;
	resolver->view.subnets_count = resolver->view_subnets.count;
	resolver->view.templates = resolver->view_templates.at;
	resolver->view.templates_count = resolver->view_templates.count;
	resolver->view.reservations = resolver->view_reservations.at;
	resolver->view.reservations_count = resolver->view_reservations.count;
	resolver->view.security_groups = resolver->view_groups.at;
	resolver->view.security_groups_count = resolver->view_groups.count;
	cloud->events.class_resolved(cloud->events.arg, &resolver->view);
}

static void take_lists(struct resolver *resolver)
{
	vec_clear(&resolver->view_subnets);
	vec_for_each (subnet, &resolver->subnets)
		*vec_push(&resolver->view_subnets) = *subnet;
	vec_clear(&resolver->view_templates);
	vec_for_each (template, &resolver->templates)
		*vec_push(&resolver->view_templates) = *template;
	vec_clear(&resolver->view_reservations);
	vec_for_each (reservation, &resolver->reservations)
		*vec_push(&resolver->view_reservations) = *reservation;
	vec_for_each (group, &resolver->view_groups)
		free(*group);
	vec_clear(&resolver->view_groups);
	resolver->view.groups_hash = 0;
	vec_for_each (group, &resolver->groups) {
		*vec_push(&resolver->view_groups) = strdup(*group);
		resolver->view.groups_hash += hash_text(*group);
	}
}

/* What was found before serves on while AWS cannot be asked; that there is none ends it. */
static void take_problem(struct resolver *resolver)
{
	char problem[CLOUD_TEXT_SIZE];

	snprintf(problem, sizeof(problem), "%s%s%s%.160s", *resolver->field ? "spec." : "",
		 resolver->field, *resolver->field ? ": " : "", resolver->problem);
	if (strcmp(problem, resolver->view.problem) != 0)
		log_error("EC2NodeClass %s: %s%s", resolver->class->name, problem,
			  resolver->view.ready && resolver->problem_error
				  ? "; what was found before is used on"
				  : "");
	set_text(resolver->view.problem, problem);
	if (!resolver->problem_error)
		resolver->view.ready = false;
}

static void on_resolved(struct resolver *resolver)
{
	struct cloud *cloud = resolver->cloud;
	uint64_t wait_ns = cloud->config.refresh_every_ns;

	if (*resolver->problem) {
		wait_ns = RETRY_BASE_NS +
			  backoff_ns(resolver->failures++, RETRY_BASE_NS, RETRY_MOST_NS);
		take_problem(resolver);
	} else {
		if (!resolver->view.ready)
			log_info("EC2NodeClass %s: %zu subnets, %zu launch templates",
				 resolver->class->name, resolver->subnets.count,
				 resolver->templates.count);
		resolver->failures = 0;
		resolver->view.ready = true;
		resolver->view.problem[0] = '\0';
		take_lists(resolver);
	}
	loop_timer_at(resolver->timer, time_mono_ns() + (resolver->again ? 0 : wait_ns));
	resolver->again = false;
	class_publish(resolver);
}

int classes_init(struct cloud *cloud)
{
	const struct documents *documents = cloud->documents;
	int r = 0;

	cloud->classes = calloc(MAX(documents->classes.count, 1), sizeof(*cloud->classes));
	if (!cloud->classes)
		return -ENOMEM;
	cloud->classes_count = documents->classes.count;
	for (size_t i = 0; i < cloud->classes_count && r >= 0; i++) {
		struct resolver *resolver = &cloud->classes[i];

		resolver_init(resolver, cloud, &documents->classes.at[i]);
		resolver->done = on_resolved;
		set_text(resolver->view.name, resolver->class->name);
		r = loop_timer_new(cloud->loop, on_timer, resolver, &resolver->timer);
	}
	return r;
}

void classes_free(struct cloud *cloud)
{
	for (size_t i = 0; i < cloud->classes_count; i++)
		resolver_free(&cloud->classes[i]);
	free(cloud->classes);
}

void classes_start(struct cloud *cloud)
{
	for (size_t i = 0; i < cloud->classes_count; i++)
		class_run(&cloud->classes[i]);
}

void classes_lead(struct cloud *cloud)
{
	for (size_t i = 0; i < cloud->classes_count && cloud->working; i++)
		if (cloud->classes[i].named_only)
			class_run(&cloud->classes[i]);
}

void classes_catalog_changed(struct cloud *cloud)
{
	for (size_t i = 0; i < cloud->classes_count && cloud->working; i++) {
		struct resolver *resolver = &cloud->classes[i];

		if (cloud->config.cluster_version && class_alias(resolver->class) &&
		    class_variants(cloud, resolver->class) & ~resolver->variants)
			class_run(resolver);
	}
}

bool classes_ready(const struct cloud *cloud)
{
	for (size_t i = 0; i < cloud->classes_count; i++)
		if (!cloud->classes[i].view.ready)
			return false;
	return true;
}

void classes_template_lost(struct cloud *cloud)
{
	log_warning("EC2 does not know one of forerun's launch templates any more: making them "
		    "again");
	for (size_t i = 0; i < cloud->classes_count; i++) {
		vec_for_each (made, &cloud->classes[i].made)
			free(*made);
		vec_clear(&cloud->classes[i].made);
	}
	if (cloud->started)
		classes_start(cloud);
}
