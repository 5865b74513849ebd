/* SPDX-License-Identifier: Apache-2.0 */
/* Requirements on one label that no instance can meet together. */
#include "documents/read.h"

/* What is left of a label's values. */
struct possible {
	bool absent, present; /* it may be so */
	bool listed; /* then only the values of the list's term are left, those that others allow */
	int64_t low, high; /* of numbers */
	bool bounded; /* then only numbers */
};

static int64_t bound_of(const struct label_term *term)
{
	return strtoll(term->values[0], NULL, 10);
}

static void narrow(struct possible *left, const struct label_term *term)
{
	switch (term->op) {
	case LABEL_IN:
		left->absent = false;
		left->listed = true;
		return;
	case LABEL_NOT_IN:
		return;
	case LABEL_EXISTS:
		left->absent = false;
		return;
	case LABEL_DOES_NOT_EXIST:
		left->present = false;
		return;
	case LABEL_GT:
	case LABEL_GTE:
		if (term->op == LABEL_GTE || bound_of(term) < INT64_MAX)
			left->low = MAX(left->low, bound_of(term) + (term->op == LABEL_GT));
		else
			left->present = false;
		break;
	case LABEL_LT:
	case LABEL_LTE:
		left->high = MIN(left->high, bound_of(term) - (term->op == LABEL_LT));
		break;
	}
	left->absent = false;
	left->bounded = true;
}

static bool all_allow(const struct label_terms *terms, const size_t *which, size_t count,
		      const char *value)
{
	for (size_t i = 0; i < count; i++)
		if (!label_term_matches(&terms->list.at[which[i]], value))
			return false;
	return true;
}

/* Whether some value of the label, or its absence, meets all of these terms. */
static bool can_be_met(const struct label_terms *terms, const size_t *which, size_t count)
{
	struct possible left = {.absent = true, .present = true, .low = 0, .high = INT64_MAX};

	for (size_t i = 0; i < count; i++)
		narrow(&left, &terms->list.at[which[i]]);
	if (left.absent || !left.present || !left.listed)
		return left.absent || (left.present && (!left.bounded || left.low <= left.high));
	for (size_t i = 0; i < count; i++) {
		const struct label_term *term = &terms->list.at[which[i]];

		if (term->op != LABEL_IN)
			continue;
		for (size_t j = 0; j < term->count; j++)
			if (all_allow(terms, which, count, term->values[j]))
				return true;
		return false;
	}
	return true;
}

/* others: "requirement at" or "requirements from". */
static void report(struct problems *problems, const struct label_term *term, const char *others,
		   const struct yaml_node *first, const struct yaml_node *second)
{
	if (first == second)
		problem_at(problems, second, "no instance can meet this requirement on %s",
			   term->key);
	else
		problem_at(problems, second,
			   "no instance can meet this and the %s %u:%u, all on %s; drop or widen "
			   "one of them",
			   others, first->line, first->column, term->key);
}

/* All terms of the key of the one at index, which is the first with it. */
static void check_key_of(struct problems *problems, const struct label_terms *terms,
			 const struct placed_terms *placed, size_t index)
{
	_cleanup_free_ size_t *which = calloc(terms->list.count, sizeof(*which));
	const char *key = terms->list.at[index].key;
	size_t count = 0;

	for (size_t i = index; i < terms->list.count; i++) {
		if (strcmp(terms->list.at[i].key, key) != 0)
			continue;
		for (size_t j = 0; j < count; j++) {
			size_t pair[] = {which[j], i};

			if (can_be_met(terms, pair, 2))
				continue;
			report(problems, &terms->list.at[i], "requirement at",
			       placed->list.at[which[j]], placed->list.at[i]);
			return;
		}
		which[count++] = i;
		if (can_be_met(terms, which, count))
			continue;
		report(problems, &terms->list.at[i], "requirements from", placed->list.at[which[0]],
		       placed->list.at[i]);
		return;
	}
}

void check_contradictions(struct problems *problems, const struct label_terms *terms,
			  const struct placed_terms *placed)
{
	for (size_t i = 0; i < terms->list.count; i++) {
		bool seen = false;

		for (size_t j = 0; j < i && !seen; j++)
			seen = strcmp(terms->list.at[i].key, terms->list.at[j].key) == 0;
		if (!seen)
			check_key_of(problems, terms, placed, i);
	}
}
