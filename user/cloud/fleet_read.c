/* SPDX-License-Identifier: Apache-2.0 */
/* DescribeInstances' answer, element by element: an instance with what its tags say. */
#include "cloud/private.h"

static bool state_of(const char *text, enum instance_state *state)
{
	for (int i = INSTANCE_PENDING; i <= INSTANCE_STOPPED; i++)
		if (strcmp(text, instance_state_text((enum instance_state)i)) == 0) {
			*state = (enum instance_state)i;
			return true;
		}
	return false;
}

/* Of "fr-0123456789abcdef-7"; 0: it is no token of a sequence. */
static uint64_t sequence_of(const char *token)
{
	static const char prefix[] = "fr-";
	const char *hash = token + sizeof(prefix) - 1;
	uint64_t sequence = 0;

	if (!str_starts(token, prefix) || strspn(hash, "0123456789abcdef") != 16 ||
	    hash[16] != '-' || parse_u64(hash + 17, &sequence) < 0)
		return 0;
	return sequence;
}

static uint64_t number_of(const char *text)
{
	uint64_t number = 0;

	return parse_u64(text, &number) == 0 ? number : 0;
}

static void take_token(struct instance_view *item, const char *token)
{
	set_text(item->token, token);
	item->sequence = sequence_of(token);
}

static void take_tag(struct instance_view *item, const char *owner, const char *key,
		     const char *value)
{
	if (strcmp(key, TAG_OWNER) == 0)
		item->owned = strcmp(value, owner) == 0;
	else if (strcmp(key, TAG_DECISION) == 0)
		set_text(item->decision, value);
	else if (strcmp(key, TAG_POOL) == 0)
		set_text(item->pool, value);
	else if (strcmp(key, TAG_POLICY) == 0)
		set_text(item->policy, value);
	else if (strcmp(key, TAG_TOKEN) == 0)
		take_token(item, value);
	else if (strcmp(key, TAG_SERVICE) == 0)
		set_text(item->service, value);
	else if (strcmp(key, TAG_COUNT) == 0)
		item->launch_count = (uint32_t)MIN(number_of(value), (uint64_t)UINT32_MAX);
	else if (strcmp(key, TAG_EPOCH) == 0)
		item->epoch = number_of(value);
	else if (strcmp(key, TAG_DRAINING) == 0)
		set_text(item->draining, value);
	else if (strcmp(key, "aws:ec2launchtemplate:id") == 0)
		set_text(item->launch_template_id, value);
	else if (strcmp(key, TAG_CLASS_HASH) == 0)
		set_text(item->class_hash, value);
	else if (strcmp(key, TAG_POOL_HASH) == 0)
		set_text(item->pool_hash, value);
	else if (strcmp(key, TAG_PAUSE) == 0)
		item->pause = strcmp(value, "false") != 0;
}

/* A member of a group that a NodePool names is that NodePool's, and its policy's: there is one
 * (documents_check()). */
static void take_member(struct fleet *fleet)
{
	struct instance_view *item = &fleet->item;

	if (item->owned || !*fleet->group || !fleet->documents)
		return;
	vec_for_each (pool, &fleet->documents->pools) {
		if (!str_equal(pool->auto_scaling_group, fleet->group))
			continue;
		item->owned = item->grouped = true;
		set_text(item->pool, pool->name);
		vec_for_each (policy, &fleet->documents->policies)
			if (str_equal(policy->pool, pool->name))
				set_text(item->policy, policy->name);
	}
}

static void end_item(struct fleet *fleet)
{
	const struct instance_view *item = &fleet->item;

	take_member(fleet);
	fleet->group[0] = '\0';
	if (*item->id && (item->owned || *item->service))
		*vec_push(&fleet->gathering) = *item;
	fleet->item = (struct instance_view){0};
}

/* What it was launched with, for drift. */
static void take_launch(struct instance_view *item, const char *path, const char *text)
{
	if (strcmp(path, "/imageId") == 0)
		set_text(item->image_id, text);
	else if (strcmp(path, "/subnetId") == 0)
		set_text(item->subnet_id, text);
	else if (strcmp(path, "/capacityReservationId") == 0)
		set_text(item->reservation_id, text);
	else if (strcmp(path, "/groupSet/item/groupId") == 0)
		item->groups_hash += hash_text(text);
}

void fleet_element(struct fleet *fleet, const char *owner, const char *path, const char *text)
{
	static const char prefix[] = "reservationSet/item/instancesSet/item";
	struct instance_view *item = &fleet->item;

	if (!str_starts(path, prefix))
		return;
	path += sizeof(prefix) - 1;
	if (!*path)
		end_item(fleet);
	else if (strcmp(path, "/instanceId") == 0)
		set_text(item->id, text);
	else if (strcmp(path, "/instanceState/name") == 0)
		state_of(text, &item->state);
	else if (strcmp(path, "/instanceType") == 0)
		set_text(item->instance_type, text);
	else if (strcmp(path, "/placement/availabilityZone") == 0)
		set_text(item->zone, text);
	else if (strcmp(path, "/privateIpAddress") == 0)
		set_text(item->private_address, text);
	else if (strcmp(path, "/launchTime") == 0)
		time_parse(text, &item->launched_wall_ns);
	else if (strcmp(path, "/instanceLifecycle") == 0)
		item->capacity_type =
			strcmp(text, "spot") == 0 ? CAPACITY_SPOT : CAPACITY_ON_DEMAND;
	else if (strcmp(path, "/tagSet/item/key") == 0)
		set_text(fleet->tag_key, text);
	else if (strcmp(path, "/tagSet/item/value") == 0 && strcmp(fleet->tag_key, TAG_GROUP) == 0)
		set_text(fleet->group, text);
	else if (strcmp(path, "/tagSet/item/value") == 0)
		take_tag(item, owner, fleet->tag_key, text);
	else
		take_launch(item, path, text);
}
