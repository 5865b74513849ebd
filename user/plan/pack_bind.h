/* SPDX-License-Identifier: Apache-2.0 */
/* How pods are bound to zones and other wide topologies: part of plan/pack.h. */
#ifndef FORERUN_PLAN_PACK_BIND_H
#define FORERUN_PLAN_PACK_BIND_H

#include "plan/pack.h"

/* One domain of each topology that matters to the class, and one alternative of its affinity. */
struct spot {
	uint32_t domains[KEYS_MAX];
	uint32_t alternative;
	double usd; /* of a pod there, if it is with all that fit or are to come; INFINITY: only
		       where a node is */
	size_t item; /* index; SIZE_MAX: none yet */
	uint32_t most, bound; /* pods that have room there, and those bound so far */
	uint32_t lost; /* classes that would have to follow there and cannot */
};

/* Where pods of a class could be, and where its rules let one more be at this moment. */
struct binder {
	struct planner *planner;
	struct pod_class *class;
	uint32_t keys[KEYS_MAX];
	size_t keys_count;
	VEC(struct spot) spots;
	bool *eligible[KEYS_MAX]; /* by domain: it counts when the least is sought */
	uint32_t *least; /* by rule, at this moment */
};

/* ---- pack_topology.c ---- */

/* The domain of that value; UINT32_MAX: there is none, and it is not to be added. */
uint32_t domain_of(struct topology_key *key, const char *value, bool add);
/* What the shape leaves in the domain; NULL: nothing. */
struct shape *domain_shape(struct planner *planner, const struct shape *shape, uint32_t key,
			   uint32_t domain);
uint32_t count_in(const struct counter *counter, uint32_t domain);
void count_add(struct counter *counter, uint32_t domain, uint32_t count);

/* ---- pack_spot.c ---- */

/* One topology more that matters to the class. */
void binder_key(struct binder *binder, uint32_t counter);
struct shape *spot_shape(struct binder *binder, const struct spot *spot, size_t p);
void binder_start(struct binder *binder, struct planner *planner, struct pod_class *class);
void binder_end(struct binder *binder);
/* The cheapest domains that the rules let; NULL: none. */
struct binding *binder_choose(struct binder *binder);
/* Whether the rules on domains let one more pod onto the existing node. */
bool binder_lets(struct binder *binder, const struct existing *existing);

/* ---- pack_stood.c ---- */

/* Notes the domains that do not count for the class. */
void binder_doubt(const struct binder *binder);
/* Whether one of those counts by now. */
bool stood_in(struct planner *planner, const struct pod_class *class, const struct rule *rule,
	      uint32_t domain);
/* Whether nodes were planned in domains that were thought not to count, so that all has to be
 * planned again. */
bool note_stood(struct planner *planner);

/* ---- pack_domain.c ---- */

/* Fills in the domains that the catalog has of a topology. */
void key_domains(struct planner *planner, struct topology_key *key);
/* Binds what waits of the classes to domains and adds items; what cannot be bound stays waiting. */
void bind_classes(struct planner *planner);
/* Notes how many pods found room in the domains in which not all did: what stands in the others may
 * then be too much. Whether there is such a one. */
bool note_filled(struct planner *planner, int starts);
/* Counts so many pods more, or with a negative count fewer, in the domains of the binding. */
void count_binding(struct planner *planner, const struct binding *binding, int32_t count);
/* Of pods that stand on an existing node. */
struct binding *binding_at(struct planner *planner, struct pod_class *class,
			   const struct existing *existing);
/* Pods that found no place give their domains back. */
void unbind(struct planner *planner, struct item *item);
/* Counts pods of the bin for a counter that is new. A planned node is bound to the cheapest of its
 * domains: others go by where they are from now on. */
void count_bin_domain(struct planner *planner, struct bin *bin, struct counter *counter,
		      uint32_t count);
/* Counts pods of a class that stand on an existing node in their domains. */
void count_domains(struct planner *planner, const struct pod_class *class,
		   const struct existing *existing, uint32_t count);

#endif
