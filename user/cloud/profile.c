/* SPDX-License-Identifier: Apache-2.0 */
/* The instance profile of a class: given by name, or found for its role. */
#include "cloud/private.h"

static void on_profile_element(void *arg, const char *path, const char *text)
{
	struct resolver *resolver = arg;

	/* The first by name, unless one is called as the role is. */
	if (!str_ends(path, "InstanceProfiles/member/InstanceProfileName") || !*text)
		return;
	if (!*resolver->profile || strcmp(text, resolver->class->role) == 0 ||
	    (strcmp(resolver->profile, resolver->class->role) != 0 &&
	     strcmp(text, resolver->profile) < 0))
		set_text(resolver->profile, text);
}

static void say_none(struct resolver *resolver)
{
	const char *role = resolver->class->role;

	resolver_fail(resolver, "role", 0,
		      "role %s has no instance profile: make one with `aws iam "
		      "create-instance-profile --instance-profile-name %s && aws iam "
		      "add-role-to-instance-profile --instance-profile-name %s --role-name %s`",
		      role, role, role, role);
}

static void on_profiles(void *arg, const struct answer *answer)
{
	struct resolver *resolver = arg;
	char words[512];

	if (strcmp(answer->code, "NoSuchEntity") == 0)
		resolver_fail(resolver, "role", 0, "IAM has no role %s in this account",
			      resolver->class->role);
	else if (answer->error)
		resolver_fail(resolver, "role", answer->error,
			      "IAM ListInstanceProfilesForRole: %s; or give instanceProfile",
			      answer_text(answer, words));
	else if (!*resolver->profile)
		say_none(resolver);
	else
		resolve_templates(resolver);
}

static void on_profile(void *arg, const struct answer *answer)
{
	struct resolver *resolver = arg;

	if (strcmp(answer->code, "NoSuchEntity") == 0)
		resolver_fail(resolver, "instanceProfile", 0,
			      "IAM has no instance profile %s in this account",
			      resolver->class->instance_profile);
	else /* not being allowed to look is no reason against it */
		resolve_templates(resolver);
}

static void on_nothing(void *arg, const char *path, const char *text)
{
	(void)arg;
	(void)path;
	(void)text;
}

static void ask(struct resolver *resolver, const char *action, const char *key, const char *name,
		xml_fn on_element, call_fn done)
{
	_cleanup_text_ struct text query = {0};

	form_add(&query, action, "Action");
	form_add(&query, "2010-05-08", "Version");
	form_add(&query, name, "%s", key);
	describe_send(resolver->cloud, &(struct describe_request){
					       .service = SERVICE_IAM,
					       .query = query.data,
					       .flags = resolver->flags,
					       .on_element = on_element,
					       .done = done,
					       .arg = resolver,
				       });
}

void resolve_profile(struct resolver *resolver)
{
	const struct node_class *class = resolver->class;

	if (class->role && !*resolver->profile) {
		ask(resolver, "ListInstanceProfilesForRole", "RoleName", class->role,
		    on_profile_element, on_profiles);
		return;
	}
	if (!class->role)
		set_text(resolver->profile, class->instance_profile);
	if (resolver->check && !class->role)
		ask(resolver, "GetInstanceProfile", "InstanceProfileName", class->instance_profile,
		    on_nothing, on_profile);
	else
		resolve_templates(resolver);
}
