/* SPDX-License-Identifier: Apache-2.0 */
/* Why a pod has no place: pool by pool the first constraint that no offering meets, as a person
 * would say it. */
#include <math.h>

#include "plan/pack.h"

struct asking {
	struct planner *planner;
	const struct pod_class *class;
	const struct pool_table *pool;
	uint32_t pool_index;
	struct text *out;
};

/* "900 GiB of memory", "1.5 of cpu". milli: thousandths, of bytes where it is memory or storage. */
static void put_amount(const struct asking *a, size_t resource, int64_t milli)
{
	const char *name = a->planner->resource_names[resource];
	double amount = (double)milli / 1000;

	if (resource != MEMORY && resource != EPHEMERAL_STORAGE)
		text_printf(a->out, "%.6g", amount);
	else if (amount >= 1024.0 * 1024 * 1024)
		text_printf(a->out, "%.4g GiB", amount / (1024.0 * 1024 * 1024));
	else
		text_printf(a->out, "%.4g MiB", amount / (1024.0 * 1024));
	text_printf(a->out, " of %s", resource == CPU ? "cpu" : name);
}

static void put_taint(struct text *out, const struct taint *taint)
{
	static const char *const EFFECTS[] = {
		[TAINT_NO_SCHEDULE] = "NoSchedule",
		[TAINT_PREFER_NO_SCHEDULE] = "PreferNoSchedule",
		[TAINT_NO_EXECUTE] = "NoExecute",
	};
	const char *value = taint->value ? taint->value : "";

	text_printf(out, "%s%s%s:%s", taint->key, *value ? "=" : "", value, EFFECTS[taint->effect]);
}

static bool by_taints(const struct asking *a)
{
	vec_for_each (taint, &a->pool->pool->taints.list) {
		if (taint->effect == TAINT_PREFER_NO_SCHEDULE ||
		    pod_tolerates(a->class->pod, taint))
			continue;
		text_add(a->out, "its taint ");
		put_taint(a->out, taint);
		text_add(a->out, " is not tolerated");
		return true;
	}
	return false;
}

/* ---- labels ---- */

static void put_term(struct text *out, const struct label_term *term)
{
	static const char *const OPERATORS[] = {
		[LABEL_IN] = "in",
		[LABEL_NOT_IN] = "not in",
		[LABEL_EXISTS] = "to be set",
		[LABEL_DOES_NOT_EXIST] = "not to be set",
		[LABEL_GT] = "above",
		[LABEL_LT] = "below",
		[LABEL_GTE] = "at least",
		[LABEL_LTE] = "at most",
	};

	text_printf(out, "%s %s", term->key, OPERATORS[term->op]);
	for (size_t i = 0; i < term->count; i++)
		text_printf(out, "%s%s", i ? ", " : " ", term->values[i]);
}

struct narrowing {
	uint64_t zones, *types;
	uint32_t capacity_types;
};

static bool narrows_to_nothing(const struct asking *a, struct narrowing *n,
			       const struct label_term *term)
{
	struct shape *left = NULL;

	if (narrow_by_term(a->planner, a->pool, term, &n->zones, &n->capacity_types, n->types))
		left = shape_intern(a->planner, a->pool_index, n->zones, n->capacity_types,
				    n->types);
	return left == NULL;
}

static bool by_selector(const struct asking *a, struct narrowing *n)
{
	vec_for_each (label, &a->class->pod->node_selector.list) {
		struct label_term term = {
			.key = label->key, .op = LABEL_IN, .values = &label->value, .count = 1};

		if (!narrows_to_nothing(a, n, &term))
			continue;
		text_printf(a->out,
			    "the pod's nodeSelector wants %s=%s, which nothing has that its "
			    "requirements%s leave",
			    label->key, label->value,
			    label == a->class->pod->node_selector.list.at
				    ? ""
				    : " and the labels before it");
		return true;
	}
	return false;
}

/* Every alternative fails; the first says why. */
static bool by_affinity(const struct asking *a, struct narrowing *n)
{
	const struct pod_template *pod = a->class->pod;

	for (uint32_t i = 0; i < a->class->alternatives; i++)
		if (a->class->shapes[i * a->planner->pools_count + a->pool_index])
			return false;
	if (!pod->node_required.count)
		return false;
	vec_for_each (term, &pod->node_required.at[0].labels.list) {
		if (!narrows_to_nothing(a, n, term))
			continue;
		text_add(a->out, "the pod's node affinity wants ");
		put_term(a->out, term);
		text_add(a->out, ", which nothing has that its requirements leave");
		return true;
	}
	text_add(a->out, "no term of the pod's node affinity can be met");
	return true;
}

static bool by_labels(const struct asking *a)
{
	_cleanup_free_ uint64_t *types = calloc(a->planner->words + 1, sizeof(*types));
	struct narrowing n = {
		.zones = a->pool->zones, .types = types, .capacity_types = a->pool->capacity_types};

	if (!types)
		abort();
	memcpy(types, a->pool->types, a->planner->words * sizeof(*types));
	return by_selector(a, &n) || by_affinity(a, &n);
}

/* ---- amounts ---- */

static const struct shape *widest(const struct asking *a)
{
	const struct shape *best = NULL;

	for (uint32_t i = 0; i < a->class->alternatives; i++) {
		const struct shape *shape =
			a->class->shapes[i * a->planner->pools_count + a->pool_index];

		if (shape && (!best || shape->count > best->count))
			best = shape;
	}
	return best;
}

static bool by_one_amount(const struct asking *a, const struct shape *shape, size_t r)
{
	int64_t most = INT64_MIN;
	uint16_t type = NO_TYPE;

	for (size_t i = 0; i < shape->count; i++)
		if (a->pool->free[shape->by_price[i].type].of[r] > most) {
			type = shape->by_price[i].type;
			most = a->pool->free[type].of[r];
		}
	if (type == NO_TYPE || a->class->need.of[r] <= most)
		return false;
	text_add(a->out, "asks for ");
	put_amount(a, r, a->class->need.of[r]);
	if (most <= 0)
		text_add(a->out, ", no type that its requirements leave has any to give");
	else {
		text_add(a->out, ", the largest type that its requirements leave has ");
		put_amount(a, r, most);
		text_printf(a->out, " to give (%s)", a->planner->catalog->types[type].name);
	}
	return true;
}

static bool by_amounts(const struct asking *a, const struct shape *shape)
{
	for (size_t r = 0; r < a->planner->resources; r++)
		if (a->class->need.of[r] && by_one_amount(a, shape, r))
			return true;
	for (size_t i = 0; i < shape->count; i++)
		if (amounts_fit(a->planner, &a->pool->free[shape->by_price[i].type],
				&a->class->need, 1))
			return false;
	text_add(a->out,
		 "no type that its requirements leave has all that the pod asks for at once");
	return true;
}

static bool by_values(const struct asking *a, const struct shape *shape)
{
	if (keeps_values(a->planner, shape, &a->class->need, NULL))
		return false;
	vec_for_each (min, &a->pool->min_values) {
		text_printf(a->out,
			    "the types that could carry the pod have too few values of %s: "
			    "minValues asks for %u",
			    min->key, min->least);
		break;
	}
	return true;
}

static bool by_limits(const struct asking *a, struct shape *shape)
{
	double usd;

	if (a->pool->nodes_used >= a->pool->nodes_limit) {
		text_printf(a->out, "its limit of %lld nodes is reached",
			    (long long)a->pool->nodes_limit);
		return true;
	}
	if (!a->pool->limited ||
	    shape_cheapest(a->planner, shape, &a->class->need, NULL, &usd) != NO_TYPE)
		return false;
	text_add(a->out, "its limits leave too little for another node:");
	for (size_t r = 0; r < a->planner->resources; r++) {
		if (a->pool->limit.of[r] == INT64_MAX)
			continue;
		text_add_char(a->out, ' ');
		put_amount(a, r, MAX(0, a->pool->limit.of[r] - a->pool->used.of[r]));
		text_add(a->out, " of ");
		put_amount(a, r, a->pool->limit.of[r]);
	}
	return true;
}

/* ---- other pods ---- */

static void by_rules(const struct asking *a)
{
	const struct planner *planner = a->planner;

	vec_for_each (rule, &a->class->domains) {
		const char *key = planner->keys.at[planner->counters.at[rule->counter]->key].name;

		if (rule->kind == RULE_SPREAD)
			text_printf(a->out,
				    "the spread over %s (maxSkew %d) lets no more pod where it "
				    "could be",
				    key, rule->max_skew);
		else if (rule->kind == RULE_AFFINITY)
			text_printf(
				a->out,
				"the pods that it has to be with (%s) are where it has no room, "
				"or nowhere",
				key);
		else
			text_printf(a->out, "every %s where it could be has pods that keep it away",
				    key);
		return;
	}
	vec_for_each (rule, &a->class->hosts)
		if (rule->kind == RULE_AFFINITY) {
			text_add(a->out,
				 "the node with the pods that it has to be with has no more "
				 "room, or there is none");
			return;
		}
	text_add(a->out, "it has no room");
}

static void ask_pool(const struct asking *a)
{
	struct shape *shape = (struct shape *)widest(a);

	text_printf(a->out, "NodePool %s: ", a->pool->pool->name);
	if (!a->pool->all) {
		text_add(a->out, "its requirements leave nothing that EC2 sells here");
		return;
	}
	if (by_taints(a) || by_labels(a))
		return;
	if (!shape) {
		text_add(a->out, "what the pod prefers cannot be met");
		return;
	}
	if (!by_amounts(a, shape) && !by_values(a, shape) && !by_limits(a, shape))
		by_rules(a);
}

char *why_not(struct planner *planner, const struct pod_class *class)
{
	struct text out = {0};

	if (class->impossible)
		vec_for_each (it, &class->pod->requests.list)
			if (it->amount > 0 && resource_index(planner, it->name) < 0) {
				text_printf(&out, "no type and no node has %s", it->name);
				return text_take(&out);
			}
	if (!planner->pools_count)
		text_add(&out, "there is no NodePool, and no node has room");
	for (uint32_t p = 0; p < planner->pools_count; p++) {
		struct asking asking = {.planner = planner,
					.class = class,
					.pool = &planner->pools[p],
					.pool_index = p,
					.out = &out};

		if (p)
			text_add(&out, "; ");
		ask_pool(&asking);
	}
	return text_take(&out);
}
