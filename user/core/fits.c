/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of its pool's offerings one replica of a policy fits on (annotation forerun.dev/replica):
 * worked out when the catalog changes, so that a decision only has to take what is left.
 */
#include "core/core_private.h"
#include "plan/plan.h"

static void daemons_add(struct resources *sum, const struct resources *more)
{
	vec_for_each (amount, &more->list) {
		struct resource_amount *known = NULL;

		vec_for_each (it, &sum->list)
			if (strcmp(it->name, amount->name) == 0)
				known = it;
		if (!known) {
			known = vec_push(&sum->list);
			known->name = amount->name;
			known->amount = 0;
		}
		known->amount += amount->amount;
	}
}

/* What DaemonSets put on a node of that offering: their names are still the pods'. */
static void daemons_of(const struct core *core, const struct policy_state *policy,
		       const struct offering *offering, struct resources *sum)
{
	const struct pool_state *pool = policy->pool;

	const struct node_class *node_class = pool->class ? pool->class->node_class : NULL;
	char name[] = "pods";
	struct resource_amount pod = {name, 1};
	struct resources one_pod = {.list = {.at = &pod, .count = 1}};

	vec_clear(&sum->list);
	vec_for_each (it, &core->documents->pods) {
		if ((*it)->source != POD_DAEMON ||
		    !plan_fits(*it, pool->pool, node_class, offering, NULL, NULL, 0))
			continue;
		daemons_add(sum, &(*it)->requests);
		daemons_add(sum, &one_pod);
	}
}

static void fits_one(struct core *core, struct policy_state *policy,
		     const struct pod_template *replica)
{
	const struct pool_state *pool = policy->pool;
	const struct node_class *node_class = pool->class ? pool->class->node_class : NULL;
	struct resources daemons = {0};

	policy->narrowed = true;
	policy->unfit[0] = '\0';
	vec_clear(&policy->fits);
	for (size_t i = 0; i < pool->offerings.count; i++) {
		const struct offering *offering = &pool->offerings.at[i];
		char why[CLOUD_TEXT_SIZE] = "";
		bool fits;

		daemons_of(core, policy, offering, &daemons);
		fits = plan_fits(replica, pool->pool, node_class, offering, &daemons, why,
				 sizeof(why));
		*vec_push(&policy->fits) = fits;
		if (!fits && !*policy->unfit)
			set_text(policy->unfit, why);
	}
	vec_free(&daemons.list);
}

void fits_rebuild(struct core *core)
{
	for (size_t i = 0; i < core->policies_count; i++) {
		struct policy_state *policy = &core->policies[i];
		const struct pod_template *replica =
			policy->policy->replica
				? documents_pod(core->documents, policy->policy->replica)
				: NULL;

		if (policy->pool && replica)
			fits_one(core, policy, replica);
	}
}
