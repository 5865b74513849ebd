/* SPDX-License-Identifier: Apache-2.0 */
/*
 * minValues of a NodePool's requirements: so many different values of a label must stay among the
 * types of an order, or it is not made. What each offering has for them is worked out when the
 * catalog comes, so that a decision compares numbers.
 */
#include "core/core_private.h"

#define NO_VALUE 0

static uint64_t value_of(const struct pool *pool, const struct offering *offering, const char *key)
{
	char text[128];
	const char *value = offering_label(offering, pool, key, text, sizeof(text));

	return value ? MAX(hash_text(value), 1) : NO_VALUE;
}

void values_rebuild(struct pool_state *pool)
{
	vec_clear(&pool->values);
	vec_for_each (offering, &pool->offerings)
		vec_for_each (term, &pool->pool->requirements.list)
			if (term->min_values)
				*vec_push(&pool->values) =
					value_of(pool->pool, offering, term->key);
}

static size_t terms_of(const struct pool_state *pool)
{
	size_t terms = 0;

	vec_for_each (term, &pool->pool->requirements.list)
		terms += term->min_values > 0;
	return terms;
}

static uint32_t different(const struct pool_state *pool, const struct launch_plan *plan,
			  size_t terms, size_t term)
{
	uint32_t count = 0;

	for (size_t i = 0; i < plan->offered.count; i++) {
		uint64_t value = pool->values.at[plan->offered.at[i] * terms + term];
		bool known = value == NO_VALUE;

		for (size_t j = 0; j < i && !known; j++)
			known = pool->values.at[plan->offered.at[j] * terms + term] == value;
		count += !known;
	}
	return count;
}

static bool is_taken(const struct launch_plan *plan, const struct offer *offer)
{
	vec_for_each (override, &plan->overrides)
		if (strcmp(override->instance_type, offer->override.instance_type) == 0)
			return true;
	return false;
}

/* An order is of one capacity type. Those count in which one of its types may be bought. */
static uint32_t capacity_types(const struct policy_state *policy, const struct launch_plan *plan)
{
	uint32_t count = 0;

	for (int type = 0; type < CAPACITY_TYPES; type++) {
		bool has = false;

		vec_for_each (offer, &policy_offers(policy, type)->list)
			has = has || is_taken(plan, offer);
		count += has;
	}
	return count;
}

/* What is reserved is paid for: it is used whatever the choice, as in Karpenter. */
bool values_missing(const struct policy_state *policy, const struct launch_plan *plan,
		    struct missing_values *out)
{
	const struct pool_state *pool = policy->pool;
	size_t terms = terms_of(pool), at = 0;
	uint32_t has;

	if (!terms || plan->capacity_type == CAPACITY_RESERVED)
		return false;
	vec_for_each (term, &pool->pool->requirements.list) {
		if (!term->min_values)
			continue;
		has = strcmp(term->key, LABEL_CAPACITY_TYPE) == 0
			      ? capacity_types(policy, plan)
			      : different(pool, plan, terms, at);
		if (has < term->min_values) {
			*out = (struct missing_values){term->key, has, term->min_values};
			return true;
		}
		at++;
	}
	return false;
}
