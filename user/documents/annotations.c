/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forerun's own annotations: what the documents of Kubernetes and Karpenter have no field for. A
 * key of the domain that nobody knows is refused, because it would say something and do nothing.
 */
#include "documents/read.h"

#define PREFIX "forerun.dev/"
#define SERVICE PREFIX "service"
#define REPLICA PREFIX "replica"
#define CAPACITY_TYPE PREFIX "capacity-type"
#define TARGET_GROUPS PREFIX "target-groups"
#define WARM_POOL PREFIX "warm-pool"
#define SPOT_SHARE PREFIX "spot-share"
#define AUTO_SCALING_GROUP PREFIX "auto-scaling-group"

#define WARM_SIZE_MAX 1000
#define TARGET_GROUPS_MAX 50
#define GROUP_NAME_MAX 255

static const char *const OF_POLICIES[] = {SERVICE, REPLICA, CAPACITY_TYPE, TARGET_GROUPS};
static const char *const OF_POOLS[] = {WARM_POOL, SPOT_SHARE, AUTO_SCALING_GROUP};

static void check_known(const struct cursor *annotations, const char *const *names, size_t count)
{
	if (!cursor_present(annotations) || annotations->node->kind != YAML_MAPPING)
		return;
	yaml_for_each (child, annotations->node) {
		struct cursor at = cursor_field(annotations, child->key);
		_cleanup_free_ char *all = names_text(names, count);
		const char *near = nearest_name(child->key, names, count);
		bool known = false;

		for (size_t i = 0; i < count; i++)
			known |= strcmp(child->key, names[i]) == 0;
		if (known || !str_starts(child->key, PREFIX))
			continue;
		if (near)
			cursor_refuse(&at, "unknown annotation; did you mean %s?", near);
		else
			cursor_refuse(&at, "unknown annotation, expected %s", all);
	}
}

static struct cursor annotations_of(const struct cursor *metadata)
{
	return cursor_field(metadata, "annotations");
}

/* The next of "a,b,c" without the blanks around it; NULL at the end. Cuts the text up. */
static char *next_part(char **rest)
{
	char *part = strsep(rest, ",");
	size_t length;

	if (!part)
		return NULL;
	part += strspn(part, " \t\n");
	length = strlen(part);
	while (length && strchr(" \t\n", part[length - 1]))
		part[--length] = '\0';
	return part;
}

/* ---- of a policy ---- */

/* What the policy scales: the service that its annotation names, else the one of its own name. */
static void read_service(const struct cursor *annotations, struct policy *policy)
{
	struct cursor at = cursor_field(annotations, SERVICE);

	if (!cursor_present(&at)) {
		policy->service = policy->name ? strdup(policy->name) : NULL;
	} else if (read_string(&at, &policy->service)) {
		policy->service_given = true;
		if (!is_dns_label(policy->service))
			cursor_expected(&at, "a service's name: at most 63 lower case letters, "
					     "digits and '-', with a letter or digit at both ends");
	}
}

static bool is_target_group(const char *text)
{
	return text_matches(text, "^arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:"
				  "targetgroup/[A-Za-z0-9-]{1,32}/[0-9a-f]+$");
}

static void read_target_groups(const struct cursor *at, struct policy *policy)
{
	_cleanup_free_ char *text = NULL;
	char *rest, *part;

	if (!read_string(at, &text))
		return;
	rest = text;
	while ((part = next_part(&rest))) {
		if (!is_target_group(part)) {
			cursor_refuse(at,
				      "found \"%.120s\", expected ARNs of target groups such as "
				      "arn:aws:elasticloadbalancing:eu-west-1:123456789012:"
				      "targetgroup/web/0123456789abcdef, with ',' between them",
				      part);
			return;
		}
		for (size_t i = 0; i < policy->target_groups.count; i++)
			if (strcmp(policy->target_groups.at[i], part) == 0)
				cursor_refuse(at, "found \"%.120s\" twice, expected it once", part);
		*vec_push(&policy->target_groups) = strdup(part);
	}
	if (policy->target_groups.count > TARGET_GROUPS_MAX)
		cursor_refuse(at, "found %zu target groups, expected at most %d",
			      policy->target_groups.count, TARGET_GROUPS_MAX);
}

void read_policy_annotations(const struct cursor *document, struct policy *policy)
{
	static const char *const TYPES[] = {"on-demand"};
	struct cursor metadata = cursor_field(document, "metadata");
	struct cursor annotations = annotations_of(&metadata);
	struct cursor replica = cursor_field(&annotations, REPLICA);
	struct cursor type = cursor_field(&annotations, CAPACITY_TYPE);
	struct cursor groups = cursor_field(&annotations, TARGET_GROUPS);
	size_t chosen = 0;

	check_known(&annotations, OF_POLICIES, ARRAY_SIZE(OF_POLICIES));
	read_service(&annotations, policy);
	if (read_string(&replica, &policy->replica))
		check_subdomain(&replica, policy->replica);
	policy->on_demand = read_enum(&type, TYPES, ARRAY_SIZE(TYPES), &chosen);
	read_target_groups(&groups, policy);
}

/* ---- of a pool ---- */

static bool read_warm_part(const char *name, const char *value, struct warm_pool *warm)
{
	uint64_t size = 0;

	if (strcmp(name, "size") == 0) {
		if (parse_u64(value, &size) < 0 || size > WARM_SIZE_MAX)
			return false;
		warm->size = (uint32_t)size;
	} else if (strcmp(name, "state") == 0) {
		if (strcmp(value, "stopped") != 0 && strcmp(value, "hibernated") != 0)
			return false;
		warm->state = strcmp(value, "stopped") == 0 ? WARM_STOPPED : WARM_HIBERNATED;
	} else if (strcmp(name, "refresh") == 0) {
		if (strcmp(value, "Never") == 0)
			warm->refresh_s = DURATION_NEVER;
		else if (text_matches(value, "^([0-9]+(s|m|h))+$"))
			warm->refresh_s = duration_seconds(value);
		else
			return false;
		if (!warm->refresh_s)
			return false;
	} else {
		return false;
	}
	return true;
}

static void read_warm_pool(const struct cursor *at, struct warm_pool *warm)
{
	_cleanup_free_ char *text = NULL;
	bool size_given = false;
	char *rest, *part;

	warm->refresh_s = DURATION_NEVER;
	if (!read_string(at, &text))
		return;
	rest = text;
	while ((part = next_part(&rest))) {
		char *value = strchr(part, '=');

		if (value)
			*value++ = '\0';
		if (!value || !read_warm_part(part, value, warm)) {
			cursor_refuse(
				at,
				"found \"%.40s%s%.40s\", expected size=0 to %d, "
				"state=stopped or hibernated, refresh=a duration such as 168h",
				part, value ? "=" : "", value ? value : "", WARM_SIZE_MAX);
			return;
		}
		size_given |= strcmp(part, "size") == 0;
	}
	if (!size_given)
		cursor_expected(at, "at least size, as in size=3,state=stopped,refresh=168h");
}

static void read_spot_share(const struct cursor *at, struct spot_share *share)
{
	_cleanup_free_ char *text = NULL;
	char *end = NULL;
	double low, high;

	if (!read_matching(at, "^(100|[0-9]{1,2})(-(100|[0-9]{1,2}))?%$",
			   "a share such as 75% or 70-80%", &text))
		return;
	low = high = strtod(text, &end);
	if (*end == '-')
		high = strtod(end + 1, NULL);
	if (low > high)
		cursor_expected(at, "the lower share first, as in 70-80%%");
	*share = (struct spot_share){.given = true, .low = low / 100, .high = high / 100};
}

void read_pool_annotations(const struct cursor *document, struct pool *pool)
{
	struct cursor metadata = cursor_field(document, "metadata");
	struct cursor annotations = annotations_of(&metadata);
	struct cursor warm = cursor_field(&annotations, WARM_POOL);
	struct cursor share = cursor_field(&annotations, SPOT_SHARE);
	struct cursor group = cursor_field(&annotations, AUTO_SCALING_GROUP);

	check_known(&annotations, OF_POOLS, ARRAY_SIZE(OF_POOLS));
	read_warm_pool(&warm, &pool->warm);
	read_spot_share(&share, &pool->spot_share);
	if (read_string(&group, &pool->auto_scaling_group) &&
	    (strlen(pool->auto_scaling_group) > GROUP_NAME_MAX ||
	     strchr(pool->auto_scaling_group, ':')))
		cursor_expected(&group,
				"the name of an Auto Scaling group: at most %d characters, "
				"no ':'",
				GROUP_NAME_MAX);
}
