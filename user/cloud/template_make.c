/* SPDX-License-Identifier: Apache-2.0 */
/* Which launch templates a class needs, and making those that are not there: all of them ahead of
 * the first launch, which waits for none. */
#include "cloud/private.h"

static void next_template(struct resolver *resolver);

/* ---- which ---- */

static bool pool_takes(const struct pool *pool, const char *label, const char *value)
{
	vec_for_each (term, &pool->requirements.list)
		if (strcmp(term->key, label) == 0 && !label_term_matches(term, value))
			return false;
	return true;
}

static struct launch_template *want(struct resolver *resolver, const struct image *image,
				    enum capacity_type type, const char *pool,
				    const char *reservation)
{
	struct launch_template *template = vec_push(&resolver->wanted);

	template->architecture = image->architecture;
	template->variant = image->variant;
	template->capacity_type = type;
	set_text(template->image_id, image->id);
	set_text(template->pool, pool);
	set_text(template->reservation, reservation);
	return template;
}

/* Some pool of the class, or the one of that name, keeps hibernated instances. */
static bool hibernates(const struct resolver *resolver, const char *name)
{
	vec_for_each (pool, &resolver->cloud->documents->pools)
		if (str_equal(pool->node_class, resolver->class->name) && pool->warm.size &&
		    pool->warm.state == WARM_HIBERNATED && (!*name || str_equal(pool->name, name)))
			return true;
	return false;
}

static void want_each_reservation(struct resolver *resolver, const struct image *image,
				  enum capacity_type type, const char *pool)
{
	if (type == CAPACITY_ON_DEMAND && hibernates(resolver, pool))
		want(resolver, image, type, pool, "")->hibernates = true;
	if (type != CAPACITY_RESERVED)
		want(resolver, image, type, pool, "");
	else
		vec_for_each (reservation, &resolver->reservations)
			want(resolver, image, type, pool, reservation->id);
}

/* With a cluster each pool has its own: its labels and taints are in the user data. */
static void want_each_pool(struct resolver *resolver, const struct image *image,
			   enum capacity_type type)
{
	const struct cloud *cloud = resolver->cloud;
	const char *text = capacity_type_text(type);
	bool joins = cloud->cluster.name && resolver->class->family != AMI_CUSTOM;

	if (!joins && class_wants(cloud, resolver->class, LABEL_CAPACITY_TYPE, text))
		want_each_reservation(resolver, image, type, "");
	vec_for_each (pool, &cloud->documents->pools)
		if (joins && str_equal(pool->node_class, resolver->class->name) &&
		    pool_takes(pool, LABEL_CAPACITY_TYPE, text) &&
		    pool_takes(pool, LABEL_ARCH, architecture_text(image->architecture)))
			want_each_reservation(resolver, image, type, pool->name);
}

void templates_list(struct resolver *resolver)
{
	vec_clear(&resolver->wanted);
	vec_for_each (image, &resolver->images)
		for (int type = CAPACITY_ON_DEMAND; type <= CAPACITY_RESERVED; type++)
			want_each_pool(resolver, image, (enum capacity_type)type);
}

/* ---- making them ---- */

static bool is_made(const struct resolver *resolver, const char *name)
{
	vec_for_each (made, &resolver->made)
		if (strcmp(*made, name) == 0)
			return true;
	return false;
}

static void template_there(struct resolver *resolver)
{
	if (!resolver->check && !is_made(resolver, resolver->template.name))
		*vec_push(&resolver->made) = strdup(resolver->template.name);
	*vec_push(&resolver->templates) = resolver->template;
	resolver->template_at++;
	next_template(resolver);
}

static void on_template(void *arg, const struct answer *answer)
{
	struct resolver *resolver = arg;
	char words[512];

	if (!answer->error || strstr(answer->code, "AlreadyExists") ||
	    (resolver->check && strcmp(answer->code, "DryRunOperation") == 0))
		template_there(resolver);
	else
		resolver_fail(resolver, "", answer->error, "CreateLaunchTemplate %s: %s",
			      resolver->template.name, answer_text(answer, words));
}

/* Whether templates are made now: not in observe mode, and not by who does not lead; the one who
 * leads has made them, under the same names. */
static bool makes_templates(struct resolver *resolver)
{
	const struct cloud *cloud = resolver->cloud;

	if (resolver->check)
		return true;
	resolver->named_only = cloud->events.may_act && !cloud->events.may_act(cloud->events.arg);
	return !cloud->config.read_only && !resolver->named_only;
}

static void next_template(struct resolver *resolver)
{
	for (; resolver->template_at < resolver->wanted.count; resolver->template_at++) {
		_cleanup_text_ struct text body = {0};
		char problem[CLOUD_TEXT_SIZE];

		resolver->template = resolver->wanted.at[resolver->template_at];
		if (template_request(resolver, &resolver->template, resolver->check, &body,
				     problem) < 0) {
			resolver_fail(resolver, "userData", 0, "%s", problem);
			return;
		}
		if (is_made(resolver, resolver->template.name) || !makes_templates(resolver)) {
			*vec_push(&resolver->templates) = resolver->template;
			continue;
		}
		call_send(resolver->cloud,
			  &(struct call_request){
				  .service = SERVICE_EC2,
				  .body = body.data,
				  .flags = resolver->flags | (resolver->check ? 0 : CALL_ACTS),
				  .done = on_template,
				  .arg = resolver,
			  });
		return;
	}
	resolver_finish(resolver);
}

void resolve_templates(struct resolver *resolver)
{
	resolver->template_at = 0;
	templates_list(resolver);
	next_template(resolver);
}
