/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What to give back: which nodes to end, what in their place, in which order and within which
 * budgets, and what holds back the others. The rules are Karpenter's (sigs.k8s.io/karpenter v1.14,
 * pkg/controllers/disruption); docs/capacity.md has the differences. Calls no clock, socket or
 * file: the same input gives the same answer.
 *
 * What becomes of pods whose node goes is asked of a world: the planner's (disrupt_pack.c), or the
 * core's, where a replica is an instance.
 */
#ifndef FORERUN_PLAN_DISRUPT_H
#define FORERUN_PLAN_DISRUPT_H

#include "plan/plan.h"

#define DISRUPT_TEXT_SIZE 192
#define DISRUPT_NO_POOL UINT32_MAX

/* In the order in which they are looked at. */
enum disrupt_reason {
	DISRUPT_EMPTY,
	DISRUPT_EXPIRED,
	DISRUPT_DRIFTED,
	DISRUPT_UNDERUTILIZED,
	DISRUPT_REASONS
};
const char *disrupt_reason_text(enum disrupt_reason reason); /* "empty", "expired", ... */

/* A node that exists. What it points to must outlive the call. */
struct disrupt_node {
	const char *name; /* unique */
	uint32_t pool; /* index into the input's; DISRUPT_NO_POOL: of none of them */
	const struct offering *offering; /* NULL: not known; it is not consolidated then */
	double usd_per_hour; /* NaN: likewise */
	uint64_t launched_wall_ns;
	uint64_t quiet_wall_ns; /* since when no pod came or went; 0: since it was launched */
	double eviction_cost; /* of the pods that would have to move, see disrupt_eviction_cost();
				 0: it is empty */
	const char *drifted; /* why; NULL: it has not */
	uint64_t drifted_wall_ns; /* since when: the longest goes first */
	const char *blocked; /* what forbids to choose it; NULL: nothing */
	const char *pods_blocked; /* what of its pods does, but for drift and expiry where the pool
				     has a terminationGracePeriod; NULL: nothing */
	bool ours; /* false: it is never chosen, and counts nowhere */
	bool initialized; /* false: it still starts: neither chosen nor counted */
	bool ready;
	bool leaving; /* it is on its way out, for whatever reason */
	bool ended; /* and has been terminated: it counts no more */
};

/* One pod's, as Karpenter's EvictionCost: 1, by deletion cost and priority between -10 and 10. */
double disrupt_eviction_cost(const struct pod_template *pod);

/* ---- the world ---- */

struct disrupt_new {
	const struct pool *pool;
	const struct offering *const *offerings; /* that it may become, the cheapest first */
	size_t count;
};

/* What becomes of the pods of nodes that end. What it points to holds until the next call. */
struct disrupt_move {
	uint32_t homeless; /* pods without a place */
	char why[DISRUPT_TEXT_SIZE]; /* of the first of them */
	VEC(struct disrupt_new) nodes; /* to be launched for the others */
	VEC(uint32_t) onto; /* nodes that exist and get some */
};

struct disrupt_world {
	void *arg;
	/* Of these nodes together; adds to *move, which is empty. Offerings that cost as much as
	 * usd_below need not be told. Negative errno: not known. */
	int (*remove)(void *arg, const uint32_t *nodes, size_t count, double usd_below,
		      struct disrupt_move *move);
	/* What was asked about last is to be: later questions are about what it leaves. NULL:
	 * nodes do not share room. */
	int (*accept)(void *arg, const uint32_t *nodes, size_t count);
	/* Nothing may move onto that node any more. NULL: likewise. */
	void (*close)(void *arg, uint32_t node);
};

/* ---- what is asked ---- */

struct disrupt_config {
	bool spot_to_spot; /* Karpenter's feature gate SpotToSpotConsolidation */
	bool estimate; /* also what budgets and consolidateAfter hold back is worked out: what it
			  would save */
	double overlap_s; /* for so long a node and its replacement run both: the saving must
			     pay for it within an hour. 0: any saving will do, as in Karpenter */
	size_t batch; /* nodes that are looked at together: 100 */
	size_t simulations; /* questions to the world at most; 0: no bound */
	size_t resume; /* single nodes are looked at from there on: disrupt_plan.resume */
};
void disrupt_config_default(struct disrupt_config *config);

struct disrupt_input {
	const struct pool *const *pools;
	size_t pools_count;
	const struct disrupt_node *nodes;
	size_t nodes_count;
	struct disrupt_world world;
	uint64_t wall_ns; /* now */
	struct disrupt_config config;
};

/* ---- what is answered ---- */

struct disrupt_offerings {
	const struct pool *pool;
	VEC(const struct offering *) list; /* the cheapest first; none: whatever the pool may buy */
};

struct disrupt_command {
	enum disrupt_reason reason;
	VEC(uint32_t) nodes; /* to end */
	VEC(struct disrupt_offerings) replacements; /* to serve before; none: nothing is needed */
	double usd_before, usd_after; /* an hour; NaN: not known */
	double usd_saved; /* likewise; negative where a replacement is dearer (drift, expiry) */
	char why[DISRUPT_TEXT_SIZE];
};

enum disrupt_hold {
	HOLD_BUDGET,
	HOLD_CONSOLIDATE_AFTER,
	HOLD_POLICY, /* consolidation is off, or for empty nodes only */
	HOLD_BLOCKED, /* do-not-disrupt */
	HOLD_PLACE, /* pods would have no place */
	HOLD_NODES, /* more than one node would take its place */
	HOLD_PRICE, /* nothing cheaper */
	HOLD_SPOT_TO_SPOT,
	HOLD_MIN_VALUES,
	HOLD_BALANCED, /* saves too little for what it disturbs */
	HOLD_UNKNOWN, /* type or price is not known */
	HOLD_LIMIT, /* the pool's */
	HOLD_REASONS
};
const char *disrupt_hold_text(enum disrupt_hold by); /* "budget", "consolidate-after", ... */

struct disrupt_held {
	uint32_t node;
	enum disrupt_reason reason;
	enum disrupt_hold by;
	double usd_saved; /* by it, an hour, if it were not held; NaN: not known */
	uint64_t until_wall_ns; /* 0: not known */
	char why[DISRUPT_TEXT_SIZE];
};

/* How many nodes of a pool may go at once for a reason. */
struct disrupt_allowance {
	uint32_t nodes; /* of the pool */
	uint32_t going; /* of them, those that leave or are not ready */
	uint32_t allowed; /* by its budgets; UINT32_MAX: no budget says */
	uint32_t left;
	const struct disruption_budget *by; /* that allows the fewest; NULL: none */
};
/* The arithmetic of Karpenter's GetAllowedDisruptionsByReason. Budgets that name no reason are for
 * expiry too. */
void disrupt_allowed(const struct pool *pool, uint32_t nodes, uint32_t going,
		     enum disrupt_reason reason, uint64_t wall_ns, struct disrupt_allowance *out);

struct disrupt_pool {
	struct disrupt_allowance allowance[DISRUPT_REASONS]; /* before anything of this plan */
	uint32_t eligible[DISRUPT_REASONS]; /* nodes that could be chosen, but for budgets */
	double usd_saved; /* an hour, by what was chosen to consolidate */
	double usd_held; /* that more could be saved, as far as it was worked out */
};

struct disrupt_plan {
	VEC(struct disrupt_command) commands; /* in order */
	VEC(struct disrupt_held) held;
	struct disrupt_pool *pools; /* of each of the input's */
	size_t simulations; /* questions that were asked */
	size_t resume; /* 0: all was looked at */
};

/* Negative errno; then *out is empty. Free it with disrupt_plan_free() either way. */
int disrupt_search(const struct disrupt_input *input, struct disrupt_plan *out);
void disrupt_plan_free(struct disrupt_plan *plan);

/* ---- drift ---- */

/* What a node was launched with; "" and 0: not known, which is no drift. */
struct disrupt_launched {
	const char *class_hash, *pool_hash; /* tags forerun.dev/class-hash and pool-hash */
	const char *image, *subnet;
	uint64_t groups; /* a sum over its security groups */
	const struct offering *offering; /* NULL: not known */
};
/* What it would be launched with today. */
struct disrupt_wanted {
	const struct pool *pool;
	const char *class_hash, *pool_hash;
	const char *const *images, *const *subnets; /* any of them will do; none: not known */
	size_t images_count, subnets_count;
	uint64_t groups;
};
/* Whether it has drifted, and why: the first of Karpenter's reasons that holds, in its order
 * (NodePool, requirements, class, image, groups, subnet). */
bool disrupt_drifted(const struct disrupt_launched *launched, const struct disrupt_wanted *wanted,
		     char why[DISRUPT_TEXT_SIZE]);

/* ---- the planner's world (disrupt_pack.c) ---- */

/* Nodes by the names that the planner has of them, in the order of the input. Belongs to the
 * caller, as does the planner, which changes with each command. */
struct disrupt_packed;
int disrupt_packed_new(struct planner *planner, const struct disrupt_node *nodes, size_t count,
		       struct disrupt_packed **out);
void disrupt_packed_free(struct disrupt_packed *packed);
struct disrupt_world disrupt_packed_world(struct disrupt_packed *packed);

#endif
