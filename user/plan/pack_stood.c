/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A domain where no node could be for a class counts for its spread once a node for others stands
 * there: kube-scheduler looks at the labels of nodes alone. That is known when all is planned; the
 * domain is then remembered, and all is planned again.
 */
#include "plan/pack.h"

void binder_doubt(const struct binder *binder)
{
	struct planner *planner = binder->planner;

	if (binder->class->doubted)
		return;
	binder->class->doubted = true;
	vec_for_each (rule, &binder->class->domains) {
		uint32_t key = planner->counters.at[rule->counter]->key;
		size_t k = 0;

		while (k < binder->keys_count && binder->keys[k] != key)
			k++;
		if (rule->kind != RULE_SPREAD || k == binder->keys_count)
			continue;
		for (uint32_t d = 0; d < planner->keys.at[key].values.count; d++)
			if (!binder->eligible[k][d])
				*vec_push(&planner->doubts) =
					(struct doubt){binder->class, *rule, key, d};
	}
}

/* What a node that the class may choose by labels could be there, tolerated or not. */
static bool chooses(struct planner *planner, const struct pod_class *class, const struct rule *rule,
		    struct shape *node)
{
	if (rule->honor_taints &&
	    !pool_tolerated(planner->pools[node->pool].pool, class->pod, false))
		return false;
	for (uint32_t a = 0; a < class->alternatives; a++) {
		struct shape *shape = shape_by_terms(planner, node->pool, class, a);

		if (rule->ignore_affinity || (shape && shape_meet(planner, shape, node)))
			return true;
	}
	return false;
}

bool stood_in(struct planner *planner, const struct pod_class *class, const struct rule *rule,
	      uint32_t domain)
{
	uint32_t key = planner->counters.at[rule->counter]->key;

	vec_for_each (it, &planner->keys.at[key].stood)
		if (it->domain == domain && chooses(planner, class, rule, it->shape))
			return true;
	return false;
}

/* What is left of the planned node, if it can be in that domain alone; NULL. */
static struct shape *only_in(struct planner *planner, const struct bin *bin, uint32_t key,
			     uint32_t domain)
{
	struct shape *only = NULL;
	double usd;

	for (uint32_t d = 0; d < planner->keys.at[key].values.count; d++) {
		struct shape *shape = domain_shape(planner, bin->shape, key, d);

		if (!shape ||
		    shape_cheapest(planner, shape, &bin->load, &bin->held, &usd) == NO_TYPE)
			continue;
		if (d != domain)
			return NULL;
		only = shape;
	}
	return only;
}

static bool note_doubt(struct planner *planner, const struct doubt *doubt)
{
	if (stood_in(planner, doubt->class, &doubt->rule, doubt->domain))
		return false;
	vec_for_each (it, &planner->bins) {
		struct shape *shape;

		if ((*it)->existing || !(*it)->pods)
			continue;
		shape = only_in(planner, *it, doubt->key, doubt->domain);
		if (!shape || !chooses(planner, doubt->class, &doubt->rule, shape))
			continue;
		*vec_push(&planner->keys.at[doubt->key].stood) =
			(struct stood){shape, doubt->domain};
		return true;
	}
	return false;
}

bool note_stood(struct planner *planner)
{
	bool any = false;

	vec_for_each (doubt, &planner->doubts)
		any |= doubt->class->taken && note_doubt(planner, doubt);
	return any;
}
