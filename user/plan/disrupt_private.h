/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of disrupt*.c share. Private to the room. */
#ifndef FORERUN_PLAN_DISRUPT_PRIVATE_H
#define FORERUN_PLAN_DISRUPT_PRIVATE_H

#include <math.h>

#include "plan/disrupt.h"

#define BALANCED_K 2 /* Karpenter's BalancedK */
#define SPOT_TYPES_LEAST 15 /* MinInstanceTypesForSpotToSpotConsolidation */

struct pool_count {
	uint32_t nodes, going; /* ours, initialized; of them those that go or are not ready */
	uint32_t static_running; /* also those that still start */
	double usd, disturbance; /* of all of it, for the balanced policy */
	bool budget_bound; /* something was held by it */
};

/* One search. */
struct search {
	const struct disrupt_input *input;
	struct disrupt_plan *plan;
	struct pool_count *pools;
	bool *taken; /* by node: chosen, or it gets pods of one that was */
	uint32_t *order; /* candidates, room for all nodes */
	int error;
	bool cut; /* no more questions */
};

static inline const struct pool *pool_at(const struct search *search, uint32_t node)
{
	return search->input->pools[search->input->nodes[node].pool];
}

static inline bool is_static(const struct pool *pool)
{
	return pool->replicas >= 0;
}

/* ---- disrupt.c ---- */

/* Karpenter's NewCandidate. held: it is said what keeps it. */
bool search_may_choose(struct search *search, uint32_t node, enum disrupt_reason reason, bool held);
/* Not for long enough without an event, or its pool does not consolidate. */
bool search_may_consolidate(struct search *search, uint32_t node, enum disrupt_reason reason);
bool disrupt_node_is_empty(const struct disrupt_node *node);
/* So many more may go. */
uint32_t search_left(const struct search *search, uint32_t pool, enum disrupt_reason reason);
/* Asks the world. False: no answer. */
bool search_ask(struct search *search, const uint32_t *nodes, size_t count, double usd_below,
		struct disrupt_move *move);
void disrupt_move_free(struct disrupt_move *move);
/* They go, and count in their budgets. move: what was asked about last; NULL: their pods stay with
 * what replaces them. */
void search_go(struct search *search, const uint32_t *nodes, size_t count,
	       const struct disrupt_move *move);
struct disrupt_command *search_command(struct search *search, enum disrupt_reason reason,
				       const uint32_t *nodes, size_t count);
double search_usd(const struct search *search, const uint32_t *nodes, size_t count);

/* ---- disrupt_held.c ---- */

void search_hold(struct search *search, uint32_t node, enum disrupt_reason reason,
		 enum disrupt_hold by, const char *format, ...) _printf_(5, 6);
void search_hold_until(struct search *search, uint64_t wall_ns);
void search_hold_saves(struct search *search, double usd);
void search_hold_for_budget(struct search *search, uint32_t node, enum disrupt_reason reason);

/* ---- disrupt_launch.c ---- */

/* Only what costs less than that. */
void offerings_below(struct disrupt_offerings *offerings, double usd);
void offerings_of_spot(struct disrupt_offerings *offerings);
bool offerings_have_spot(const struct disrupt_offerings *offerings);
/* Counts up to `most`. */
uint32_t offerings_types(const struct disrupt_offerings *offerings, uint32_t most);
/* The cheapest so many types. */
void offerings_most_types(struct disrupt_offerings *offerings, uint32_t most);
/* minValues of the pool's requirements; false: key is the one that is not met. */
bool offerings_min_values(const struct disrupt_offerings *offerings, const char **key);
/* Those that cost less than that; INFINITY: all, also those of which no price is known. */
void offerings_copy(struct disrupt_offerings *to, const struct disrupt_new *from, double below);
double offerings_usd(const struct disrupt_offerings *offerings); /* of the cheapest */

/* ---- disrupt_option.c ---- */

/* What could be done with some nodes. */
struct option {
	bool found;
	bool replaces;
	struct disrupt_offerings launch; /* of its replacement */
	double usd_before, usd_after;
	enum disrupt_hold by; /* where nothing was found */
	char why[DISRUPT_TEXT_SIZE];
	double usd_held; /* what it would save if that did not hold it; NaN */
};
void option_free(struct option *option);
double option_saves(const struct option *option);
/* Asks what can be done with them now. False: there was no answer. */
bool option_judge(struct search *search, const uint32_t *nodes, size_t count,
		  struct disrupt_move *move, struct option *option);
/* The balanced policy: the share of the pool's price that is saved, to the share of its pods that
 * is disturbed. */
double balance_score(const struct pool_count *pool, double saved, double disturbance);

/* ---- disrupt_consolidate.c ---- */

void search_consolidate(struct search *search);

#endif
