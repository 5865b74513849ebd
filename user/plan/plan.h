/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packs pods onto what runs and onto what could be bought: which nodes, of which types, at which
 * price, and why not. Calls no clock, socket or file. The same input gives the same plan.
 *
 * Each planned node keeps every type and offering that its pods and its pool leave it, so that the
 * fleet request is wide.
 */
#ifndef FORERUN_PLAN_PLAN_H
#define FORERUN_PLAN_PLAN_H

#include "documents/pods.h"
#include "plan/catalog.h"

#define PLAN_TYPES_MAX 60 /* of one request, as Karpenter */

struct planner;

/* What one node of a type has and can give away, by Karpenter's formulas
 * (pkg/providers/instancetype/types.go): VM memory overhead, max pods by ENIs or kubelet.maxPods,
 * kube-reserved, system-reserved, eviction thresholds, ephemeral storage by block devices or
 * instance store. */
struct node_capacity {
	struct resources capacity, allocatable;
};
void node_capacity(const struct instance_type *type, const struct node_class *node_class,
		   double vm_memory_overhead_percent, struct node_capacity *out);
/* With so many interfaces kept from pods (Karpenter's setting RESERVED_ENIS, for custom networking
 * of the VPC CNI). node_class may be NULL: AL2023 with nothing set. */
void node_capacity_reserving(const struct instance_type *type, const struct node_class *node_class,
			     double vm_memory_overhead_percent, uint32_t reserved_enis,
			     struct node_capacity *out);
void node_capacity_free(struct node_capacity *capacity);

struct planner_config {
	double vm_memory_overhead_percent; /* 0.075 */
	bool ignore_preferences; /* preferred affinities and spread that may be passed */
	/* A node counts as so much dearer as it carries of all that is wanted, times loss_weight:
	 * what one lost node takes with it; and bare metal, which starts for many minutes, by
	 * start_weight. docs/capacity.md says what that may cost. */
	double loss_weight, start_weight; /* 0.02 each; 0: price alone */
};
void planner_config_default(struct planner_config *config);

/* A node that exists. What it points to must outlive the planner. */
struct plan_existing {
	const char *name; /* unique */
	const char *pool; /* NULL: of none of the documents */
	const struct offering *offering; /* NULL: not of the catalog */
	const struct key_values
		*labels; /* all that it carries; NULL: as its offering and pool say */
	const struct taints *taints; /* NULL: as its pool says */
	const struct resources *allocatable, *capacity; /* NULL: as its type says */
	double usd_per_hour; /* NaN: not known */
	bool closed; /* nothing more may be placed on it */
};

/* The documents and the catalog must outlive it. */
int planner_new(const struct planner_config *config, const struct documents *documents,
		const struct catalog *catalog, struct planner **out);
void planner_free(struct planner *planner);

/* A node that exists, with what runs on it (pods added with its name in node_name). */
int planner_add_existing(struct planner *planner, const struct plan_existing *node);
/* Pods (each replica of a workload one) that want a place, or have one (node_name). A DaemonSet's
 * count on every node that it may run on, and must be added before the other pods are planned. The
 * template must outlive the planner. */
int planner_add_pods(struct planner *planner, const struct pod_template *pods);

/* Plans what was added since the last call, onto what is planned already: the first call plans all,
 * a later one is incremental. */
int planner_solve(struct planner *planner);

struct plan_pod {
	const struct pod_template *template_;
	uint32_t index; /* of the replica */
};

struct plan_node {
	const struct plan_existing *existing; /* NULL: to be bought */
	const struct pool *pool;
	const struct node_class *node_class;
	struct resources requests; /* of its pods and of DaemonSets */
	VEC(struct plan_pod) pods; /* of an existing node those that ran there before come first */
	size_t new_pods; /* of them, those that the plan placed */
	VEC(const struct offering *) offerings; /* still possible, the cheapest first */
	uint32_t types; /* different ones among them */
	double usd_per_hour; /* of the cheapest; NaN: not known */
};

struct plan_failure {
	struct plan_pod pod;
	char *why; /* pool by pool, the first constraint that no offering meets */
};

/* The plan as it stands; all belongs to the planner and holds until the next call that changes it.
 */
struct plan_view {
	const struct plan_node *const *nodes;
	size_t nodes_count;
	const struct plan_failure *failures;
	size_t failures_count;
	double usd_per_hour; /* of what is to be bought */
};
void planner_view(struct planner *planner, struct plan_view *out);

/* What would become of the pods of nodes that end. */
struct plan_removal {
	uint32_t homeless; /* pods without a place */
	char *why; /* of the first of them; NULL */
	VEC(struct plan_node) nodes; /* that would have to be bought: without their pods */
	VEC(uint32_t) onto; /* nodes that exist and would get some, one for each move */
};
/* If these nodes ended, by their index in the order of planner_add_existing(): their pods (but
 * those of DaemonSets) go onto the room of the others first, then onto as few new nodes as will do.
 * Nothing is changed. All pods must have been added with their node. */
int planner_try_remove(struct planner *planner, const uint32_t *nodes, size_t count,
		       struct plan_removal *out);
/* They end: what is asked later is about what that leaves. */
int planner_remove(struct planner *planner, const uint32_t *nodes, size_t count);
void plan_removal_free(struct plan_removal *removal);

/* Whether one pod alone could run on a node of this offering and pool; what a policy's replica asks
 * for is held against what may be bought with it. why (when not NULL and false): the first
 * constraint that is not met. */
bool plan_fits(const struct pod_template *pod, const struct pool *pool,
	       const struct node_class *node_class, const struct offering *offering,
	       const struct resources *daemons, char *why, size_t why_size);

#endif
