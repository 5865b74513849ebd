/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the planner share. Private to the room.
 *
 * A requirement of a pod becomes once a set of types, zones and capacity types (a shape); from then
 * on nothing compares text. Equal pods are one class. What is left to do is packing classes into
 * bins: nodes that exist or are planned, each with the shape that its pods leave it.
 */
#ifndef FORERUN_PLAN_PACK_H
#define FORERUN_PLAN_PACK_H

#include "base/map.h"
#include "plan/plan.h"

#define RESOURCES_MAX 16 /* that types of EC2 and existing nodes have, with room for more */
#define ZONES_MAX 64
#define CAPACITY_TYPES 3
#define KEYS_MAX 8 /* topologies that bind one pod at once */
#define NO_PRICE 1e9 /* a type whose price is not known is taken last */
#define NO_TYPE UINT16_MAX

enum { CPU, MEMORY, PODS, EPHEMERAL_STORAGE, FIRST_EXTENDED };

/* Thousandths of a core, thousandths of all else: whole numbers, by index into
 * planner.resource_names. */
struct amounts {
	int64_t of[RESOURCES_MAX];
};

/* A set of types, zones and capacity types in one pool: what a node may still become. Interned. */
struct priced_type {
	double usd;
	uint16_t type;
};

struct shape {
	uint32_t id, pool;
	uint64_t zones;
	uint32_t capacity_types; /* bits by enum capacity_type */
	uint64_t *types; /* only those with an offering in it */
	struct priced_type *by_price; /* ascending; each at its cheapest offering */
	size_t count;
	/* Those that no cheaper one exceeds in everything: all that a search for the cheapest fit
	 * has to look at. */
	struct priced_type *front;
	size_t front_count;
	float *usd; /* by type: of the cheapest offering; INFINITY: none */
};

/* ---- topologies ---- */

enum key_kind { KEY_HOST, KEY_ZONE, KEY_CAPACITY_TYPE, KEY_OF_TYPE };

/* A node that an earlier attempt planned in a domain where some class could have none. */
struct stood {
	struct shape *shape;
	uint32_t domain;
};

struct topology_key {
	char *name;
	enum key_kind kind;
	VEC(char *) values; /* domains, by index */
	VEC(struct stood) stood;
};

enum rule_kind { RULE_SPREAD, RULE_AFFINITY, RULE_ANTI };

/* Pods that a selector selects, counted by domain of a topology. "owners" counts the pods that
 * carry an anti-affinity to it instead. */
struct counter {
	uint32_t id;
	uint32_t key; /* index into planner.keys */
	bool owners;
	bool spread; /* some class spreads by it */
	uint32_t port; /* of the host, with its protocol: not pods of a selector; 0: none */
	const char *ip; /* of the port; "": of every address, "*": of any */
	const struct pod_selector *selector;
	const struct pod_affinity_term *term; /* of affinities, for its namespaces */
	const char *namespace_;
	VEC(uint32_t) counts; /* by domain; unused of hosts */
	uint32_t total;
};

struct rule {
	enum rule_kind kind;
	uint32_t counter;
	int32_t max_skew, min_domains;
	bool self; /* the class's own pods count */
	bool owners; /* of those that want to be away from the class */
	bool ignore_affinity, honor_taints;
};

/* ---- classes of equal pods ---- */

struct filled {
	const struct binding *binding;
	uint32_t most; /* pods that found room there */
};

/* How many of each kind of wish are given up, in Karpenter's order (pkg/controllers/provisioning/
 * scheduling/preferences.go): preferred affinities, anti-affinities and node affinities, spread
 * that may be passed, taints that only prefer. */
struct given_up {
	uint32_t affinity, anti_affinity, node_preferred, spread;
	bool soft_taints;
};

struct pod_class {
	uint32_t id;
	const struct pod_template *pod; /* one of them */
	uint32_t relaxed; /* so many of its wishes are given up */
	struct given_up given_up;
	char *key; /* all that makes it what it is */
	struct amounts need;
	int32_t priority;
	bool impossible; /* asks for a resource that nothing has */
	bool doubted; /* its doubts are in planner.doubts */
	/* What its requirements leave: by pool, NULL: nothing; of each alternative of its required
	 * node affinity. */
	struct shape **shapes;
	uint32_t alternatives;
	VEC(struct rule) hosts, domains; /* rules on the host, and on wider topologies */
	VEC(uint32_t) host_adds, domain_adds; /* counters that one more pod counts in */
	VEC(struct plan_pod) pods; /* all of it; those from `taken` on want a place */
	size_t taken;
	VEC(struct binding *) bindings;
	VEC(struct filled) filled; /* domains that had no room for all */
};

/* One domain of each topology that matters to a class, and one alternative of its affinity: where
 * some of its pods are to be. Lives as long as the planner. */
struct binding {
	struct pod_class *class;
	struct shape **shapes; /* by pool */
	size_t domains_count;
	uint32_t keys[KEYS_MAX], domains[KEYS_MAX];
	uint32_t alternative;
};

/* Pods of one binding that want a place. */
struct item {
	struct binding *binding;
	struct pod_class *class; /* the binding's */
	uint32_t count; /* that have no place yet */
	uint32_t bound; /* all of them */
	double value; /* what one is worth at the dual prices */
	uint32_t tight; /* so many may be on a host, and that decides how many nodes there are */
	uint32_t size; /* index into planner.sizes */
	uint32_t refused; /* in that turn of filling */
	uint32_t pools; /* so many could have a node for it; 0: only nodes that are there */
	bool failed; /* no new node can be opened for it */
};

/* Items that need the same. */
struct size {
	struct amounts need;
	VEC(uint32_t) items; /* some of them used up */
	uint32_t refused;
};

/* ---- bins ---- */

struct slot {
	struct binding *binding;
	uint32_t count;
	uint32_t bound; /* of them, those that ran there before */
};

struct host_count {
	uint32_t counter, count;
};

struct bin {
	const struct existing *existing; /* NULL: planned */
	struct shape *shape; /* of a planned one: before its load is asked */
	struct amounts load; /* of its pods */
	uint16_t type; /* the cheapest that carries it */
	double usd;
	struct amounts held; /* of the pool's limits */
	struct shape *pin; /* it stays in these domains, which others count on by now; NULL */
	bool counted; /* by its pool */
	uint32_t pods;
	VEC(struct slot) slots;
	VEC(struct host_count) counts;
};

struct existing {
	struct plan_existing given;
	char *name;
	struct amounts free; /* without any of its pods */
	struct amounts expected, there; /* of DaemonSets that should run on it, and that do */
	uint32_t pool; /* UINT32_MAX: of none */
	uint32_t index; /* in planner.existing */
	struct bin *bin;
	VEC(struct plan_pod) bound;
};

/* ---- the pool's table ---- */

/* So many different values of a label must stay among the types of each node. */
struct min_values {
	const char *key;
	uint32_t least;
	bool of_zone, of_capacity_type;
	VEC(char *) names;
	uint16_t *of_type; /* index of the type's value */
};

struct pool_table {
	const struct pool *pool;
	const struct node_class *node_class;
	int32_t weight;
	uint64_t zones;
	uint32_t capacity_types;
	uint64_t *types;
	struct amounts *free; /* by type: allocatable, less the DaemonSets */
	struct amounts *whole; /* by type: capacity, for the pool's limits */
	struct amounts *daemons; /* by type */
	bool limited;
	struct amounts limit, used;
	int64_t nodes_limit, nodes_used, nodes_new;
	struct shape *all; /* all that it may buy; NULL: nothing */
	VEC(struct min_values) min_values;
};

/* A domain that does not count for a class of pods that spread, unless others get a node there. */
struct doubt {
	const struct pod_class *class;
	struct rule rule;
	uint32_t key, domain;
};

struct planner {
	struct planner_config config;
	const struct documents *documents;
	const struct catalog *catalog;
	size_t words; /* of a set of types */
	char zones[ZONES_MAX][32];
	size_t zones_count;
	int32_t *offer; /* [type][zone][capacity type]: index of the offering; -1: none */
	const char *resource_names[RESOURCES_MAX];
	size_t resources;
	bool sold[RESOURCES_MAX]; /* some type of some pool has it */
	struct pool_table *pools; /* the heaviest first */
	size_t pools_count;

	struct map shapes_by_hash, meets, domain_shapes;
	VEC(struct shape *) shapes;
	VEC(struct topology_key) keys;
	VEC(struct counter *) counters;
	struct map counters_by_hash, classes_by_hash;
	VEC(struct pod_class *) classes;
	VEC(struct doubt) doubts; /* of what is planned now */
	VEC(const struct pod_template *) daemons;
	VEC(struct existing *) existing;
	VEC(struct bin *) bins;
	struct bin *placed_on;
	double worth; /* of all that is wanted, at the dual prices */
	size_t waiting; /* pods, when the round began */
	size_t first_bin; /* those before it are not to be touched now */
	VEC(struct item) items;
	VEC(struct size) sizes;
	uint32_t turn;
	bool tight; /* some item is */
	bool following; /* some class follows others in a wider topology */
	bool companies; /* some class follows others on a host */
	bool pools_with_values; /* some pool has minValues */
	bool limited; /* some pool has limits: then who goes first matters */
	double lambda[RESOURCES_MAX + 1]; /* dual prices; the last of a node for a tight pod */
	size_t priced_at[RESOURCES_MAX], priced; /* resources with a dual price */
	double bound; /* what all items cost at the dual prices: no plan is cheaper */

	VEC(struct plan_node *) nodes;
	VEC(struct plan_failure) failures;
	bool viewed;
	double usd;
};

/* ---- pack_table.c ---- */

int table_build(struct planner *planner);
void table_free(struct planner *planner);
/* -1: nothing has such a resource. */
int resource_index(const struct planner *planner, const char *name);
bool amounts_of(const struct planner *planner, const struct resources *resources,
		struct amounts *out);
double offering_usd(const struct planner *planner, size_t type, size_t zone, size_t capacity_type);
/* What DaemonSets take is new: the tables are made again. */
void table_daemons(struct planner *planner);

/* ---- pack_shape.c ---- */

/* Of the pool; NULL when nothing is left. types: NULL for all. */
struct shape *shape_intern(struct planner *planner, uint32_t pool, uint64_t zones,
			   uint32_t capacity_types, const uint64_t *types);
/* What two of the same pool have in common. */
struct shape *shape_meet(struct planner *planner, const struct shape *a, const struct shape *b);
/* The cheapest type of the shape that carries the load, with the pool's minValues kept and within
 * its limits; NO_TYPE: none does. instead_of: what the pool counts for the node already; NULL. */
uint16_t shape_cheapest(const struct planner *planner, struct shape *shape,
			const struct amounts *load, const struct amounts *instead_of, double *usd);
void shape_front(const struct planner *planner, struct shape *shape);
/* What nodes have to give has changed. */
void shapes_forget_fronts(struct planner *planner);
void shapes_free(struct planner *planner);
static inline bool types_has(const uint64_t *types, size_t type)
{
	return types[type / 64] >> (type % 64) & 1;
}

/* ---- pack_left.c ---- */

void min_values_read(struct planner *planner, struct pool_table *pool);
void min_values_free(struct pool_table *pool);
/* The types of the shape that carry the load and are no more than `most` (NULL: whatever they are),
 * the cheapest first, into out[PLAN_TYPES_MAX]. How many. */
size_t types_left(const struct planner *planner, const struct shape *shape,
		  const struct amounts *load, const struct amounts *most, uint16_t *out);
/* Whether those keep so many different values as the pool asks for. */
bool keeps_values(const struct planner *planner, const struct shape *shape,
		  const struct amounts *load, const struct amounts *most);
/* What the pool's limits must have room for. False: too few values are left. */
bool bin_hold(const struct planner *planner, const struct bin *bin, struct amounts *out);
bool limit_allows(const struct planner *planner, const struct pool_table *pool,
		  const struct amounts *more, const struct amounts *instead_of);
/* How much the types of a planned node may be, so that `nodes` ones of its pool keep the limits. */
void bin_most(const struct planner *planner, const struct bin *bin, int64_t nodes,
	      struct amounts *out);

/* ---- pack_terms.c ---- */

/* Narrows zones, capacity types and types by a label term, as nodes of the pool would carry it.
 * False when nothing is left. */
bool narrow_by_term(const struct planner *planner, const struct pool_table *pool,
		    const struct label_term *term, uint64_t *zones, uint32_t *capacity_types,
		    uint64_t *types);
struct shape *shape_by_terms(struct planner *planner, uint32_t pool, const struct pod_class *class,
			     uint32_t alternative);
bool pool_tolerated(const struct pool *pool, const struct pod_template *pod, bool soft_too);

/* ---- pack_class.c ---- */

int class_of(struct planner *planner, const struct pod_template *pod, uint32_t relaxed,
	     struct pod_class **out);
/* How many preferences the pod has that can be given up. */
uint32_t relaxations(const struct planner *planner, const struct pod_template *pod);
void pod_classes_free(struct planner *planner);

/* ---- pack_rules.c ---- */

/* Gives a new class its rules, and counters for them. */
void rules_of_class(struct planner *planner, struct pod_class *class);
void rules_free(struct planner *planner);

/* ---- pack_bin.c ---- */

bool class_adds(const struct pod_class *class, uint32_t counter);
void bin_count(struct planner *planner, struct bin *bin, uint32_t counter, uint32_t count);
uint32_t bin_counted(const struct bin *bin, uint32_t counter);
/* How many more pods of the class the rules on hosts let onto the bin; at most `most`. */
uint32_t bin_room(const struct planner *planner, const struct bin *bin,
		  const struct pod_class *class, uint32_t most);
/* Whether the class wants to be on the host of others; whether it would be the first there. */
bool follows(const struct pod_class *class);
bool starts_company(const struct planner *planner, const struct bin *bin,
		    const struct pod_class *class);
void bin_add(struct planner *planner, struct bin *bin, struct binding *binding, uint32_t count);
void bin_remove(struct planner *planner, struct bin *bin, struct binding *binding, uint32_t count);
/* A new planned node without pods. */
struct bin *bin_new(struct planner *planner, struct shape *shape);
/* What an existing node has left. */
void bin_left(const struct planner *planner, const struct bin *bin, struct amounts *out);
/* What `count` more pods of the binding would add to the price of the node, and what it would
 * become; INFINITY: they cannot be there. */
struct growth {
	struct shape *shape;
	uint16_t type;
	double usd; /* of the node */
};
double bin_growth(struct planner *planner, struct bin *bin, const struct binding *binding,
		  uint32_t count, struct growth *out);
/* Makes the node what its pods leave it: after some were taken away, or when it was just filled.
 * False: nothing carries them. */
bool bin_settle(struct planner *planner, struct bin *bin);
/* The pool counts it no more, or again. */
void bin_release(struct planner *planner, struct bin *bin);
bool bin_take(struct planner *planner, struct bin *bin);
void bin_free(struct bin *bin);
void bins_free(struct planner *planner);
/* Also as to the domains of the binding. */
bool binding_on_existing(const struct planner *planner, const struct existing *existing,
			 const struct binding *binding);
bool existing_takes(const struct planner *planner, const struct existing *existing,
		    const struct pod_class *class);
const char *existing_label(const struct planner *planner, const struct existing *existing,
			   const char *key, char *out, size_t size);

/* ---- pack_price.c ---- */

/* What a unit of each resource is worth at the prices of what could be bought, so that all that is
 * wanted costs the least when it may be cut at will: the dual of a covering problem. */
void price_resources(struct planner *planner);
double value_of(const struct planner *planner, const struct amounts *amounts);

/* ---- pack_fill.c ---- */

struct given {
	size_t item;
	uint32_t count;
};

/* A node that is being filled. */
struct filling {
	struct planner *planner;
	struct bin *bin;
	struct amounts room;
	uint16_t type; /* that it is to be, NO_TYPE: exists */
	double value; /* of what is on it */
	double dearer_up_to; /* so much of an item's worth may it add to the node's price */
	uint32_t turn;
	bool captives_only; /* items that can be nowhere but on nodes that are there */
	VEC(struct given) given; /* so that it can be undone */
};

/* How many times the need fits into the room; at most `most`. */
uint32_t amounts_fit(const struct planner *planner, const struct amounts *room,
		     const struct amounts *need, uint32_t most);
double item_value(const struct planner *planner, const struct item *item);
void fill_put(struct filling *f, struct item *item, uint32_t count);
void fill(struct filling *f);
void fill_undo(struct filling *f);
void sizes_make(struct planner *planner);
void size_note(struct planner *planner, size_t index);
void sizes_free(struct planner *planner);
/* Nodes that exist or are planned already take what they have room for as they are. */
void fill_standing(struct planner *planner);

/* ---- pack_open.c ---- */

void open_nodes(struct planner *planner);

/* ---- pack_grow.c ---- */

/* Puts what is left of the items where it adds the least to the price, on nodes that are planned
 * already or on new ones. */
void grow_nodes(struct planner *planner);
/* One pod of the item onto the planned nodes from that one on, or a new one: planner.placed_on. */
bool place_on_planned(struct planner *planner, struct item *item, size_t from);
/* The same as Karpenter does it: the largest pod first, onto the planned node with the fewest pods
 * that could still become large enough, whatever it then costs. */
void pack_first_fit(struct planner *planner);
/* Lowers the price of what is planned: nodes are dissolved into others, merged and divided. */
void improve_nodes(struct planner *planner);

/* ---- pack_choose.c ---- */

/* Places the items on new nodes. */
void place_items(struct planner *planner);

/* ---- pack_view.c ---- */

/* What the planned node may still become. */
void view_offerings(const struct planner *planner, const struct bin *bin, struct plan_node *node);
void view_build(struct planner *planner);
void view_clear(struct planner *planner);

/* ---- pack_why.c ---- */

char *why_not(struct planner *planner, const struct pod_class *class);

#include "plan/pack_bind.h"

#endif
