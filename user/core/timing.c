/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lead time: how long a launch takes from its call until it serves, learned from launches, for
 * each pool and family. docs/decisions.md says what the forecast makes of it.
 */
#include <cjson/cJSON.h>
#include <math.h>

#include "core/core_private.h"

/* Of the learned lead times: three launches of four are there in time. */
#define LEAD_QUANTILE 0.75
#define LEADS_BYTES_MAX 2048 /* of the lease's record */
#define LEAD_SECONDS_MAX 86400.0

struct weighed {
	double value, weight;
};

static int weighed_compare(const void *a, const void *b)
{
	double left = ((const struct weighed *)a)->value;
	double right = ((const struct weighed *)b)->value;

	return (left > right) - (left < right);
}

/* The smallest value that at least that share of the weight does not exceed. */
static double weighed_quantile(const struct weighed *sorted, size_t count, double share)
{
	double total = 0, sum = 0;

	for (size_t i = 0; i < count; i++)
		total += sorted[i].weight;
	for (size_t i = 0; i < count; i++) {
		sum += sorted[i].weight;
		if (sum >= share * total * (1 - 1e-12))
			return sorted[i].value;
	}
	return NAN;
}

static size_t samples_of(const struct lead_times *lead)
{
	return MIN(lead->count, (uint64_t)LEAD_TIMES_KEPT);
}

/* ---- the lead time of a pool ---- */

/* The type's name up to its dot: "m5" of "m5.large". */
static void family_of(const char *instance_type, char *out, size_t size)
{
	snprintf(out, size, "%.*s", (int)strcspn(instance_type, "."), instance_type);
}

/* The last kind stands for all that come after it, so that a pool of every type stays small. */
static struct lead_times *lead_find(const struct pool_state *pool, const char *family)
{
	vec_for_each (lead, &pool->leads)
		if (strcmp(lead->family, family) == 0)
			return lead;
	if (pool->leads.count == LEAD_KINDS_MAX)
		return &pool->leads.at[LEAD_KINDS_MAX - 1];
	return NULL;
}

static struct lead_times *lead_make(struct pool_state *pool, const char *family)
{
	struct lead_times *lead = lead_find(pool, family);

	if (lead)
		return lead;
	lead = vec_push(&pool->leads);
	set_text(lead->family, pool->leads.count == LEAD_KINDS_MAX ? "other" : family);
	return lead;
}

/* All that was learned of the pool, each kind as heavy as its share of the newest launches: a
 * family that is bought no more says nothing about the next launch. */
static size_t pool_weigh(const struct pool_state *pool, struct weighed **out)
{
	size_t recent = MIN(pool->mix_count, (uint64_t)LEAD_TIMES_KEPT), count = 0;
	double shares[LEAD_KINDS_MAX] = {0};
	struct weighed *weighed = calloc(pool->leads.count * LEAD_TIMES_KEPT + 1, sizeof(*weighed));

	*out = weighed;
	if (!weighed)
		return 0;
	for (size_t i = 0; i < recent; i++)
		shares[pool->mix[i]]++;
	for (size_t k = 0; k < pool->leads.count; k++) {
		const struct lead_times *lead = &pool->leads.at[k];
		size_t samples = samples_of(lead);

		for (size_t i = 0; shares[k] > 0 && i < samples; i++)
			weighed[count++] =
				(struct weighed){lead->seconds[i], shares[k] / (double)samples};
	}
	qsort(weighed, count, sizeof(*weighed), weighed_compare);
	return count;
}

static void pool_lead_update(struct pool_state *pool)
{
	_cleanup_free_ struct weighed *weighed = NULL;
	size_t count = pool_weigh(pool, &weighed);

	if (count)
		pool->lead_seconds = weighed_quantile(weighed, count, LEAD_QUANTILE);
}

double lead_time_seconds(const struct core *core, const struct pool_state *pool)
{
	if (pool && pool->mix_count)
		return pool->lead_seconds;
	if (pool && pool->inherited_seconds > 0)
		return pool->inherited_seconds;
	return (double)core->config.limits.lead_time_ns / NS_PER_S;
}

/* ---- what goes from one leader to the next ---- */

/* Of each pool the one number that the forecast uses; what does not fit is learned anew. */
void leads_write(const struct core *core, struct text *out)
{
	size_t most = out->length + LEADS_BYTES_MAX;
	bool first = true;

	text_add_char(out, '{');
	for (size_t i = 0; i < core->pools_count; i++) {
		const struct pool_state *pool = &core->pools[i];
		double seconds = lead_time_seconds(core, pool);

		if (!(pool->mix_count || pool->inherited_seconds > 0) ||
		    out->length + strlen(pool->pool->name) + 16 > most)
			continue;
		text_add(out, first ? "" : ",");
		text_add_json(out, pool->pool->name);
		text_printf(out, ":%.1f", MIN(seconds, LEAD_SECONDS_MAX));
		first = false;
	}
	text_add_char(out, '}');
}

/* What makes no sense is left out: a wrong lead time is soon learned better. */
void leads_read(struct core *core, const cJSON *leads)
{
	const cJSON *it;

	cJSON_ArrayForEach (it, leads) {
		struct pool_state *pool = it->string ? pool_find(core, it->string) : NULL;

		if (pool && cJSON_IsNumber(it) && it->valuedouble > 0 &&
		    it->valuedouble <= LEAD_SECONDS_MAX)
			pool->inherited_seconds = it->valuedouble;
	}
}

/* What only the clock said is forgotten with the first that a response proved: it measured
 * --serving-after, not the launch. */
static void lead_proven(struct pool_state *pool)
{
	pool->agents_known = true;
	if (pool->leads_proven)
		return;
	pool->leads_proven = true;
	pool->mix_count = 0;
	vec_clear(&pool->leads);
}

void lead_time_learn(struct core *core, struct pool_state *pool, const char *instance_type,
		     double seconds, enum serving_proof proof)
{
	char family[sizeof(((struct lead_times *)0)->family)];
	struct lead_times *lead;

	if (proof == PROOF_RESPONSE)
		lead_proven(pool);
	else if (pool->leads_proven)
		return;
	family_of(instance_type, family, sizeof(family));
	lead = lead_make(pool, family);
	lead->seconds[lead->count++ % LEAD_TIMES_KEPT] = seconds;
	pool->mix[pool->mix_count++ % LEAD_TIMES_KEPT] = (uint8_t)(lead - pool->leads.at);
	pool_lead_update(pool);
	core->totals.lead_times_learned++;
}

/* Those of its kind that took longer than it has taken so far: the middle of them. NaN: none did.
 */
double lead_time_left(const struct core *core, const struct pool_state *pool,
		      const char *instance_type, double elapsed_seconds)
{
	char family[sizeof(((struct lead_times *)0)->family)];
	const struct lead_times *lead = NULL;
	struct weighed longer[LEAD_TIMES_KEPT] = {{0}};
	size_t count = 0;
	double left;

	family_of(instance_type, family, sizeof(family));
	if (pool)
		lead = lead_find(pool, family);
	for (size_t i = 0; lead && i < samples_of(lead); i++)
		if (lead->seconds[i] > elapsed_seconds)
			longer[count++] = (struct weighed){lead->seconds[i], 1};
	if (lead && lead->count) {
		qsort(longer, count, sizeof(*longer), weighed_compare);
		return weighed_quantile(longer, count, 0.5) - elapsed_seconds;
	}
	left = lead_time_seconds(core, pool) - elapsed_seconds;
	return left > 0 ? left : NAN;
}

static struct lead_view view_of_pool(const struct core *core, const struct pool_state *pool)
{
	_cleanup_free_ struct weighed *weighed = NULL;
	size_t count = pool_weigh(pool, &weighed);
	struct lead_view view = {pool->pool->name, "", (uint32_t)count, 0, 0, 0};

	view.p50 = view.p75 = view.p95 = lead_time_seconds(core, pool);
	if (!count)
		return view;
	view.p50 = weighed_quantile(weighed, count, 0.5);
	view.p75 = weighed_quantile(weighed, count, 0.75);
	view.p95 = weighed_quantile(weighed, count, 0.95);
	return view;
}

static struct lead_view view_of_lead(const struct pool_state *pool, const struct lead_times *lead)
{
	struct weighed sorted[LEAD_TIMES_KEPT] = {{0}};
	size_t count = samples_of(lead);

	for (size_t i = 0; i < count; i++)
		sorted[i] = (struct weighed){lead->seconds[i], 1};
	qsort(sorted, count, sizeof(*sorted), weighed_compare);
	return (struct lead_view){pool->pool->name,
				  lead->family,
				  (uint32_t)count,
				  weighed_quantile(sorted, count, 0.5),
				  weighed_quantile(sorted, count, 0.75),
				  weighed_quantile(sorted, count, 0.95)};
}

size_t core_leads(const struct core *core, struct lead_view **out)
{
	VEC(struct lead_view) views = {0};

	for (size_t p = 0; p < core->pools_count; p++) {
		const struct pool_state *pool = &core->pools[p];

		*vec_push(&views) = view_of_pool(core, pool);
		vec_for_each (lead, &pool->leads)
			*vec_push(&views) = view_of_lead(pool, lead);
	}
	*out = views.at;
	return views.count;
}
