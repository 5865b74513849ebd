/* SPDX-License-Identifier: Apache-2.0 */
/* Whether one pod alone could run on a node of an offering: without a planner, by the terms as they
 * stand. */
#include "plan/plan.h"

static _printf_(3, 4) bool refuse(char *why, size_t size, const char *format, ...)
{
	va_list args;

	if (!why)
		return false;
	va_start(args, format);
	vsnprintf(why, size, format, args);
	va_end(args);
	return false;
}

static bool term_holds(const struct offering *offering, const struct pool *pool,
		       const struct label_term *term)
{
	char text[128];

	return label_term_matches(term,
				  offering_label(offering, pool, term->key, text, sizeof(text)));
}

static bool terms_hold(const struct offering *offering, const struct pool *pool,
		       const struct label_terms *terms)
{
	vec_for_each (term, &terms->list)
		if (!term_holds(offering, pool, term))
			return false;
	return true;
}

static bool labels_fit(const struct pod_template *pod, const struct pool *pool,
		       const struct offering *offering, char *why, size_t size)
{
	bool any = !pod->node_required.count;

	vec_for_each (label, &pod->node_selector.list) {
		struct label_term term = {
			.key = label->key, .op = LABEL_IN, .values = &label->value, .count = 1};

		if (!term_holds(offering, pool, &term))
			return refuse(why, size, "the pod wants a node with %s=%s", label->key,
				      label->value);
	}
	vec_for_each (term, &pod->node_required)
		any = any || terms_hold(offering, pool, &term->labels);
	return any || refuse(why, size, "no term of the pod's required node affinity holds for it");
}

static bool taints_fit(const struct pod_template *pod, const struct pool *pool, char *why,
		       size_t size)
{
	vec_for_each (taint, &pool->taints.list)
		if (taint->effect != TAINT_PREFER_NO_SCHEDULE && !pod_tolerates(pod, taint))
			return refuse(why, size,
				      "the pod does not tolerate the taint %s%s%s of NodePool %s",
				      taint->key, *taint->value ? "=" : "", taint->value,
				      pool->name);
	return true;
}

static double amount_of(const struct resources *resources, const char *name)
{
	if (resources)
		vec_for_each (it, &resources->list)
			if (strcmp(it->name, name) == 0)
				return it->amount;
	return 0;
}

/* Sums of quantities in binary fractions may end a hair above. */
#define HAIR (1 + 1e-12)

static bool amounts_fit(const struct pod_template *pod, const struct node_capacity *capacity,
			const struct resources *daemons, char *why, size_t size)
{
	vec_for_each (it, &pod->requests.list) {
		double has =
			amount_of(&capacity->allocatable, it->name) - amount_of(daemons, it->name);

		if (it->amount > has * HAIR)
			return refuse(why, size, "the pod asks for %.6g %s, it can give %.6g",
				      it->amount, it->name, has < 0 ? 0 : has);
	}
	if (amount_of(&capacity->allocatable, "pods") - amount_of(daemons, "pods") < 1)
		return refuse(why, size, "it has room for no more pod");
	return true;
}

bool plan_fits(const struct pod_template *pod, const struct pool *pool,
	       const struct node_class *node_class, const struct offering *offering,
	       const struct resources *daemons, char *why, size_t why_size)
{
	struct planner_config config;
	struct node_capacity capacity = {0};
	bool fits;

	if (!offering_matches(offering, pool))
		return refuse(why, why_size, "the requirements of NodePool %s leave it out",
			      pool->name);
	if (!taints_fit(pod, pool, why, why_size) ||
	    !labels_fit(pod, pool, offering, why, why_size))
		return false;
	if (!offering->type)
		return true;
	planner_config_default(&config);
	node_capacity(offering->type, node_class, config.vm_memory_overhead_percent, &capacity);
	fits = amounts_fit(pod, &capacity, daemons, why, why_size);
	node_capacity_free(&capacity);
	return fits;
}
