/* SPDX-License-Identifier: Apache-2.0 */
/* The launch set of a replacement: what is left of it by price, capacity type and minValues. */
#include "plan/disrupt_private.h"

void offerings_copy(struct disrupt_offerings *to, const struct disrupt_new *from, double below)
{
	to->pool = from->pool;
	vec_clear(&to->list);
	for (size_t i = 0; i < from->count; i++)
		if (isinf(below) || from->offerings[i]->usd_per_hour < below)
			*vec_push(&to->list) = from->offerings[i];
		else
			break;
}

double offerings_usd(const struct disrupt_offerings *offerings)
{
	return offerings->list.count ? offerings->list.at[0]->usd_per_hour : NAN;
}

/* A price that is not known is not below anything. */
void offerings_below(struct disrupt_offerings *offerings, double usd)
{
	size_t kept = 0;

	vec_for_each (it, &offerings->list)
		if ((*it)->usd_per_hour < usd)
			offerings->list.at[kept++] = *it;
	offerings->list.count = kept;
}

bool offerings_have_spot(const struct disrupt_offerings *offerings)
{
	vec_for_each (it, &offerings->list)
		if ((*it)->capacity_type == CAPACITY_SPOT)
			return true;
	return false;
}

void offerings_of_spot(struct disrupt_offerings *offerings)
{
	size_t kept = 0;

	vec_for_each (it, &offerings->list)
		if ((*it)->capacity_type == CAPACITY_SPOT)
			offerings->list.at[kept++] = *it;
	offerings->list.count = kept;
}

/* Whether no offering before that one is of its type. */
static bool first_of_type(const struct disrupt_offerings *offerings, size_t at)
{
	const struct offering *offering = offerings->list.at[at];

	for (size_t i = 0; i < at; i++) {
		const struct offering *before = offerings->list.at[i];

		if (offering->type && before->type
			    ? before->type == offering->type
			    : strcmp(before->instance_type, offering->instance_type) == 0)
			return false;
	}
	return true;
}

uint32_t offerings_types(const struct disrupt_offerings *offerings, uint32_t most)
{
	uint32_t types = 0;

	for (size_t i = 0; types < most && i < offerings->list.count; i++)
		types += first_of_type(offerings, i);
	return types;
}

void offerings_most_types(struct disrupt_offerings *offerings, uint32_t most)
{
	uint32_t types = 0;
	size_t kept = 0;

	for (size_t i = 0; i < offerings->list.count; i++) {
		const struct offering *offering = offerings->list.at[i];
		/* What was kept comes first, so that this looks at that alone. */
		size_t end = offerings->list.count;
		bool first;

		offerings->list.at[kept] = offering;
		offerings->list.count = kept + 1;
		first = first_of_type(offerings, kept);
		offerings->list.count = end;
		if (first && types == most)
			continue;
		types += first;
		kept++;
	}
	offerings->list.count = kept;
}

static uint32_t values_of(const struct disrupt_offerings *offerings, const char *key)
{
	VEC(char *) seen = {0};
	uint32_t count;

	vec_for_each (it, &offerings->list) {
		char text[128];
		const char *value = offering_label(*it, offerings->pool, key, text, sizeof(text));
		bool known = !value;

		for (size_t i = 0; !known && i < seen.count; i++)
			known = strcmp(seen.at[i], value) == 0;
		if (!known)
			*vec_push(&seen) = strdup(value);
	}
	count = (uint32_t)seen.count;
	vec_for_each (it, &seen)
		free(*it);
	vec_free(&seen);
	return count;
}

bool offerings_min_values(const struct disrupt_offerings *offerings, const char **key)
{
	vec_for_each (term, &offerings->pool->requirements.list)
		if (term->min_values && values_of(offerings, term->key) < term->min_values) {
			*key = term->key;
			return false;
		}
	return true;
}
