/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a node is still what its documents would launch. */
#include "plan/disrupt_private.h"

static bool is_known(const char *text)
{
	return text && *text;
}

static bool differs(const char *was, const char *is)
{
	return is_known(was) && is_known(is) && strcmp(was, is) != 0;
}

static bool is_none_of(const char *was, const char *const *list, size_t count)
{
	if (!is_known(was) || !count)
		return false;
	for (size_t i = 0; i < count; i++)
		if (strcmp(list[i], was) == 0)
			return false;
	return true;
}

/* The first requirement that a node of this offering does not meet; NULL: it meets all. A pool's
 * own labels are in its hash. */
static const struct label_term *unmet(const struct offering *offering, const struct pool *pool)
{
	char text[128];

	vec_for_each (term, &pool->requirements.list)
		if (!label_term_matches(
			    term, offering_label(offering, pool, term->key, text, sizeof(text))))
			return term;
	return NULL;
}

bool disrupt_drifted(const struct disrupt_launched *launched, const struct disrupt_wanted *wanted,
		     char why[DISRUPT_TEXT_SIZE])
{
	const struct label_term *term =
		launched->offering && wanted->pool ? unmet(launched->offering, wanted->pool) : NULL;

	if (differs(launched->pool_hash, wanted->pool_hash))
		snprintf(why, DISRUPT_TEXT_SIZE, "NodePool %s has changed since it was launched",
			 wanted->pool ? wanted->pool->name : "");
	else if (term)
		snprintf(why, DISRUPT_TEXT_SIZE, "it does not meet the requirement on %s any more",
			 term->key);
	else if (differs(launched->class_hash, wanted->class_hash))
		snprintf(why, DISRUPT_TEXT_SIZE,
			 "its EC2NodeClass has changed since it was launched");
	else if (is_none_of(launched->image, wanted->images, wanted->images_count))
		snprintf(why, DISRUPT_TEXT_SIZE, "image %s, today it would be %s", launched->image,
			 wanted->images[0]);
	else if (launched->groups && wanted->groups && launched->groups != wanted->groups)
		snprintf(why, DISRUPT_TEXT_SIZE, "its security groups are not those of its class");
	else if (is_none_of(launched->subnet, wanted->subnets, wanted->subnets_count))
		snprintf(why, DISRUPT_TEXT_SIZE, "subnet %s is none of its class any more",
			 launched->subnet);
	else
		return false;
	return true;
}
