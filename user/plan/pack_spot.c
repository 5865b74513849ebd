/* SPDX-License-Identifier: Apache-2.0 */
/* Where the pods of a class could be: every combination of domains that its requirements leave, and
 * what a pod costs there. */
#include <math.h>

#include "plan/pack.h"

#define SPOTS_MAX 4096 /* combinations of domains that are looked at for one class */

void binder_key(struct binder *binder, uint32_t counter)
{
	uint32_t key = binder->planner->counters.at[counter]->key;

	for (size_t i = 0; i < binder->keys_count; i++)
		if (binder->keys[i] == key)
			return;
	if (binder->keys_count < KEYS_MAX)
		binder->keys[binder->keys_count++] = key;
}

/* The least that one pod of the class costs in the shape, on a node with as many as fit, or with
 * all that there are. */
static double usd_of_pod(const struct planner *planner, const struct pod_class *class,
			 struct shape *shape, size_t all)
{
	const struct pool_table *pool = &planner->pools[shape->pool];
	double best = INFINITY;

	shape_front(planner, shape);
	if (!keeps_values(planner, shape, &class->need, NULL))
		return INFINITY;
	for (size_t i = 0; i < shape->front_count; i++) {
		double pods = (double)all;

		for (size_t r = 0; r < planner->resources; r++)
			if (class->need.of[r])
				pods = fmin(pods,
					    floor((double)pool->free[shape->front[i].type].of[r] /
						  (double)class->need.of[r]));
		if (pods >= 1)
			best = fmin(best, shape->front[i].usd / pods);
	}
	return best;
}

struct shape *spot_shape(struct binder *binder, const struct spot *spot, size_t p)
{
	struct planner *planner = binder->planner;
	struct shape *shape = binder->class->shapes[spot->alternative * planner->pools_count + p];

	for (size_t k = 0; shape && k < binder->keys_count; k++)
		shape = domain_shape(planner, shape, binder->keys[k], spot->domains[k]);
	return shape;
}

/* Of the heaviest pools that could have it. */
static double spot_usd(struct binder *binder, const struct spot *spot)
{
	struct planner *planner = binder->planner;
	size_t all = MAX(planner->waiting, (size_t)1);
	double usd = INFINITY;

	for (size_t p = 0; p < planner->pools_count; p++) {
		struct shape *shape = spot_shape(binder, spot, p);

		if (p && usd < INFINITY && planner->pools[p].weight != planner->pools[p - 1].weight)
			break;
		if (shape)
			usd = fmin(usd, usd_of_pod(planner, binder->class, shape, all));
	}
	return usd;
}

static bool exists_in(const struct binder *binder, const struct spot *spot)
{
	const struct planner *planner = binder->planner;
	char text[128];

	vec_for_each (it, &planner->existing) {
		bool in = !(*it)->given.closed && existing_takes(planner, *it, binder->class);

		for (size_t k = 0; in && k < binder->keys_count; k++) {
			const struct topology_key *key = &planner->keys.at[binder->keys[k]];

			in = str_equal(existing_label(planner, *it, key->name, text, sizeof(text)),
				       key->values.at[spot->domains[k]]);
		}
		if (in)
			return true;
	}
	return false;
}

/* How many pods have room there, so far as that was found out. */
static uint32_t most_in(const struct binder *binder, const struct spot *spot)
{
	vec_for_each (it, &binder->class->filled)
		if (it->binding->alternative == spot->alternative &&
		    memcmp(it->binding->domains, spot->domains,
			   binder->keys_count * sizeof(uint32_t)) == 0)
			return it->most;
	return UINT32_MAX;
}

/* Those that were bound there before in this round. */
static uint32_t bound_in(const struct binder *binder, const struct spot *spot)
{
	uint32_t bound = 0;

	vec_for_each (item, &binder->planner->items)
		if (item->class == binder->class &&
		    item->binding->alternative == spot->alternative &&
		    memcmp(item->binding->domains, spot->domains,
			   binder->keys_count * sizeof(uint32_t)) == 0)
			bound += item->bound;
	return bound;
}

static bool could_be(struct planner *planner, const struct pod_class *class, uint32_t key,
		     uint32_t domain)
{
	for (size_t i = 0; i < planner->pools_count * class->alternatives; i++) {
		struct shape *shape = class->shapes[i];

		shape = shape ? domain_shape(planner, shape, key, domain) : NULL;
		if (shape && usd_of_pod(planner, class, shape, 1) < INFINITY)
			return true;
	}
	return false;
}

/* Classes that have to be where these are, and could not be there. */
static uint32_t lost_in(const struct binder *binder, const struct spot *spot)
{
	struct planner *planner = binder->planner;
	uint32_t lost = 0;

	vec_for_each (it, &planner->classes)
		vec_for_each (rule, &(*it)->domains) {
			uint32_t key = planner->counters.at[rule->counter]->key;

			if (rule->kind != RULE_AFFINITY || *it == binder->class ||
			    !class_adds(binder->class, rule->counter))
				continue;
			for (size_t k = 0; k < binder->keys_count; k++)
				lost += binder->keys[k] == key &&
					!could_be(planner, *it, key, spot->domains[k]);
		}
	return lost;
}

static void add_spots(struct binder *binder, struct spot *spot, size_t k)
{
	size_t domains;

	if (binder->spots.count >= SPOTS_MAX)
		return;
	if (k == binder->keys_count) {
		spot->usd = spot_usd(binder, spot);
		spot->most = most_in(binder, spot);
		spot->bound = spot->most == UINT32_MAX ? 0 : bound_in(binder, spot);
		spot->lost = binder->planner->following ? lost_in(binder, spot) : 0;
		if (spot->usd < INFINITY || (!spot->alternative && exists_in(binder, spot)))
			*vec_push(&binder->spots) = *spot;
		return;
	}
	domains = binder->planner->keys.at[binder->keys[k]].values.count;
	for (uint32_t d = 0; d < domains; d++) {
		spot->domains[k] = d;
		add_spots(binder, spot, k + 1);
	}
}

/* Whether the pod's own words on the topology's label leave the value. */
static bool says_yes(const struct pod_template *pod, const char *key, const char *value)
{
	bool any = !pod->node_required.count;

	vec_for_each (label, &pod->node_selector.list)
		if (strcmp(label->key, key) == 0 && strcmp(label->value, value) != 0)
			return false;
	vec_for_each (term, &pod->node_required) {
		bool all = true;

		vec_for_each (it, &term->labels.list)
			if (strcmp(it->key, key) == 0)
				all = all && label_term_matches(it, value);
		any = any || all;
	}
	return any;
}

/* Whether a node that the pod's own words leave could be there, or is: of a pool that the pod does
 * not tolerate by its words on the topology alone, as Karpenter does it. */
static bool is_eligible(struct binder *binder, const struct rule *rule, uint32_t key,
			uint32_t domain)
{
	struct planner *planner = binder->planner;
	const struct topology_key *topology = &planner->keys.at[key];
	const struct pod_template *pod = binder->class->pod;
	const char *value = topology->values.at[domain];
	char text[128];

	if (could_be(planner, binder->class, key, domain) ||
	    stood_in(planner, binder->class, rule, domain))
		return true;
	if (!rule->ignore_affinity && !says_yes(pod, topology->name, value))
		return false;
	for (size_t p = 0; p < planner->pools_count; p++)
		if (planner->pools[p].all &&
		    (rule->ignore_affinity || pod->node_preferred.count ||
		     !pool_tolerated(planner->pools[p].pool, pod, false)) &&
		    (!rule->honor_taints || pool_tolerated(planner->pools[p].pool, pod, false)) &&
		    domain_shape(planner, planner->pools[p].all, key, domain))
			return true;
	vec_for_each (it, &planner->existing)
		if (str_equal(existing_label(planner, *it, topology->name, text, sizeof(text)),
			      value) &&
		    (rule->ignore_affinity || existing_takes(planner, *it, binder->class)))
			return true;
	return false;
}

static void find_eligible(struct binder *binder)
{
	struct planner *planner = binder->planner;

	for (size_t k = 0; k < binder->keys_count; k++) {
		size_t domains = planner->keys.at[binder->keys[k]].values.count;

		binder->eligible[k] = calloc(domains + 1, sizeof(bool));
		if (!binder->eligible[k])
			abort();
		vec_for_each (rule, &binder->class->domains)
			if (rule->kind == RULE_SPREAD &&
			    planner->counters.at[rule->counter]->key == binder->keys[k])
				for (uint32_t d = 0; d < domains; d++)
					binder->eligible[k][d] |=
						is_eligible(binder, rule, binder->keys[k], d);
	}
}

void binder_start(struct binder *binder, struct planner *planner, struct pod_class *class)
{
	struct spot spot = {.item = SIZE_MAX};

	*binder = (struct binder){.planner = planner, .class = class};
	vec_for_each (rule, &class->domains)
		binder_key(binder, rule->counter);
	vec_for_each (it, &class->domain_adds)
		binder_key(binder, *it);
	binder->least = calloc(class->domains.count + 1, sizeof(*binder->least));
	if (!binder->least)
		abort();
	for (; spot.alternative < class->alternatives; spot.alternative++)
		add_spots(binder, &spot, 0);
	find_eligible(binder);
}

void binder_end(struct binder *binder)
{
	for (size_t k = 0; k < binder->keys_count; k++)
		free(binder->eligible[k]);
	free(binder->least);
	vec_free(&binder->spots);
}
