/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of a class on other pods, each on a counter of what its selector selects. */
#include "plan/pack.h"

static uint32_t key_index(struct planner *planner, const char *name)
{
	struct topology_key *key;

	for (uint32_t i = 0; i < planner->keys.count; i++)
		if (strcmp(planner->keys.at[i].name, name) == 0)
			return i;
	key = vec_push(&planner->keys);
	key->name = strdup(name);
	key->kind = KEY_OF_TYPE;
	if (strcmp(name, "kubernetes.io/hostname") == 0)
		key->kind = KEY_HOST;
	else if (strcmp(name, LABEL_ZONE) == 0)
		key->kind = KEY_ZONE;
	else if (strcmp(name, LABEL_CAPACITY_TYPE) == 0)
		key->kind = KEY_CAPACITY_TYPE;
	key_domains(planner, key);
	return (uint32_t)planner->keys.count - 1;
}

static bool selects(const struct counter *counter, const struct pod_template *pod)
{
	if (counter->port)
		return false; /* ports are counted by who has them, not by labels */
	if (counter->term)
		return pod_affinity_selects(counter->term, counter->namespace_, pod);
	return strcmp(counter->namespace_, pod->namespace_) == 0 &&
	       pod_selector_matches(counter->selector, &pod->labels);
}

static void add_once(struct pod_class *class, const struct topology_key *key, uint32_t counter)
{
	__typeof__(class->host_adds) *adds =
		(void *)(key->kind == KEY_HOST ? &class->host_adds : &class->domain_adds);

	vec_for_each (it, adds)
		if (*it == counter)
			return;
	*vec_push(adds) = counter;
}

static void add_rule(struct planner *planner, struct pod_class *class, const struct rule *rule)
{
	bool host = planner->keys.at[planner->counters.at[rule->counter]->key].kind == KEY_HOST;

	if (rule->kind == RULE_SPREAD)
		planner->counters.at[rule->counter]->spread = true;
	planner->following = planner->following || (!host && rule->kind == RULE_AFFINITY);
	planner->companies = planner->companies || (host && rule->kind == RULE_AFFINITY);
	if (host)
		*vec_push(&class->hosts) = *rule;
	else
		*vec_push(&class->domains) = *rule;
}

/* What a counter, new or old, means to a class, new or old. */
static void meet(struct planner *planner, struct counter *counter, struct pod_class *class)
{
	const struct topology_key *key = &planner->keys.at[counter->key];

	if (!selects(counter, class->pod))
		return;
	if (!counter->owners) {
		add_once(class, key, counter->id);
		return;
	}
	/* Pods with an anti-affinity to these keep them away, too. */
	add_rule(planner, class,
		 &(struct rule){.kind = RULE_ANTI, .counter = counter->id, .owners = true});
}

/* A counter that comes late counts what is placed already. */
static void count_placed(struct planner *planner, struct counter *counter)
{
	bool host = planner->keys.at[counter->key].kind == KEY_HOST;

	vec_for_each (bin, &planner->bins)
		vec_for_each (slot, &(*bin)->slots) {
			if (!class_adds(slot->binding->class, counter->id))
				continue;
			if (host)
				bin_count(planner, *bin, counter->id, slot->count);
			else
				count_bin_domain(planner, *bin, counter, slot->count);
		}
}

static struct counter *counter_new(struct planner *planner, const struct counter *like)
{
	struct counter *counter = malloc(sizeof(*counter));

	if (!counter)
		abort();
	*counter = *like;
	counter->id = (uint32_t)planner->counters.count;
	*vec_push(&planner->counters) = counter;
	vec_for_each (class, &planner->classes)
		meet(planner, counter, *class);
	if (planner->bins.count)
		count_placed(planner, counter);
	return counter;
}

static bool same_terms(const struct label_terms *a, const struct label_terms *b)
{
	if (a->list.count != b->list.count)
		return false;
	for (size_t i = 0; i < a->list.count; i++) {
		const struct label_term *x = &a->list.at[i], *y = &b->list.at[i];

		if (x->op != y->op || x->count != y->count || strcmp(x->key, y->key) != 0)
			return false;
		for (size_t v = 0; v < x->count; v++)
			if (strcmp(x->values[v], y->values[v]) != 0)
				return false;
	}
	return true;
}

static bool same_selector(const struct pod_selector *a, const struct pod_selector *b)
{
	return a == b || (a && b && a->given == b->given && same_terms(&a->labels, &b->labels));
}

static bool same_term(const struct pod_affinity_term *a, const struct pod_affinity_term *b)
{
	if (a == b)
		return true;
	if (!a || !b || a->namespaces.count != b->namespaces.count ||
	    !same_selector(&a->selector, &b->selector) ||
	    !same_selector(&a->namespace_selector, &b->namespace_selector))
		return false;
	for (size_t i = 0; i < a->namespaces.count; i++)
		if (strcmp(a->namespaces.at[i], b->namespaces.at[i]) != 0)
			return false;
	return true;
}

static uint64_t counter_hash(const struct counter *counter)
{
	const struct pod_selector *selector =
		counter->term ? &counter->term->selector : counter->selector;
	uint64_t hash = hash_text(counter->namespace_) * 31 + counter->key * 2 + counter->owners +
			(uint64_t)counter->port * 1000003 + hash_text(counter->ip) * 17;

	if (selector)
		vec_for_each (term, &selector->labels.list) {
			hash = hash * 31 + hash_text(term->key) + (uint64_t)term->op;
			for (size_t i = 0; i < term->count; i++)
				hash = hash * 31 + hash_text(term->values[i]);
		}
	return hash;
}

static bool same_counter(const struct counter *a, const struct counter *b)
{
	return a->key == b->key && a->owners == b->owners && a->port == b->port &&
	       strcmp(a->ip, b->ip) == 0 && strcmp(a->namespace_, b->namespace_) == 0 &&
	       same_selector(a->selector, b->selector) && same_term(a->term, b->term);
}

static struct counter *counter_of(struct planner *planner, const struct counter *like)
{
	uint64_t hash = counter_hash(like);
	struct counter *counter;

	while ((counter = map_get(&planner->counters_by_hash, hash)) &&
	       !same_counter(counter, like))
		hash++;
	if (counter)
		return counter;
	counter = counter_new(planner, like);
	map_put(&planner->counters_by_hash, hash, counter);
	return counter;
}

/* ---- what a pod says ---- */

static void spread_rules(struct planner *planner, struct pod_class *class)
{
	const struct pod_template *pod = class->pod;
	uint32_t anyway = 0;

	vec_for_each (it, &pod->spread) {
		struct counter *counter;

		if (it->schedule_anyway && anyway++ < class->given_up.spread)
			continue;
		counter = counter_of(planner,
				     &(struct counter){.key = key_index(planner, it->topology_key),
						       .selector = &it->selector,
						       .namespace_ = pod->namespace_,
						       .ip = ""});
		add_rule(planner, class,
			 &(struct rule){
				 .kind = RULE_SPREAD,
				 .counter = counter->id,
				 .max_skew = it->max_skew,
				 .min_domains = it->min_domains,
				 .self = pod_selector_matches(&it->selector, &pod->labels),
				 .ignore_affinity = it->ignore_affinity,
				 .honor_taints = it->honor_taints,
			 });
	}
}

static void affinity_rule(struct planner *planner, struct pod_class *class,
			  const struct pod_affinity_term *term, enum rule_kind kind)
{
	struct counter like = {.key = key_index(planner, term->topology_key),
			       .term = term,
			       .namespace_ = class->pod->namespace_,
			       .ip = ""};
	struct counter *counter = counter_of(planner, &like);

	add_rule(planner, class,
		 &(struct rule){
			 .kind = kind,
			 .counter = counter->id,
			 .self = pod_affinity_selects(term, class->pod->namespace_, class->pod)});
	if (kind != RULE_ANTI)
		return;
	like.owners = true;
	counter = counter_of(planner, &like);
	add_once(class, &planner->keys.at[like.key], counter->id);
}

static void affinity_rules(struct planner *planner, struct pod_class *class,
			   const struct pod_affinity_terms *required,
			   const struct pod_affinity_terms *wanted, uint32_t given_up,
			   enum rule_kind kind)
{
	vec_for_each (term, &required->list)
		affinity_rule(planner, class, term, kind);
	/* The heaviest are given up first: those with so many that are heavier are kept. */
	vec_for_each (term, &wanted->list) {
		uint32_t before = 0;

		vec_for_each (other, &wanted->list)
			before += other->weight > term->weight ||
				  (other->weight == term->weight && other < term);
		if (before >= given_up)
			affinity_rule(planner, class, term, kind);
	}
}

/* A port of every address clashes with that port of any; one of an address with the same and with
 * that of every address. */
static void port_rules(struct planner *planner, struct pod_class *class)
{
	vec_for_each (it, &class->pod->host_ports) {
		struct counter like = {.key = key_index(planner, "kubernetes.io/hostname"),
				       .namespace_ = "",
				       .port = 1 + it->port + ((uint32_t)it->protocol << 17),
				       .ip = "*"};
		uint32_t any, own;

		any = counter_of(planner, &like)->id;
		like.ip = it->ip ? it->ip : "";
		own = counter_of(planner, &like)->id;
		add_once(class, &planner->keys.at[like.key], any);
		add_once(class, &planner->keys.at[like.key], own);
		like.ip = "";
		add_rule(planner, class,
			 &(struct rule){
				 .kind = RULE_ANTI, .counter = it->ip ? own : any, .self = true});
		if (it->ip)
			add_rule(planner, class,
				 &(struct rule){.kind = RULE_ANTI,
						.counter = counter_of(planner, &like)->id});
	}
}

void rules_of_class(struct planner *planner, struct pod_class *class)
{
	const struct pod_template *pod = class->pod;
	size_t known = planner->counters.count;

	for (size_t i = 0; i < known; i++)
		meet(planner, planner->counters.at[i], class);
	spread_rules(planner, class);
	affinity_rules(planner, class, &pod->affinity, &pod->affinity_preferred,
		       class->given_up.affinity, RULE_AFFINITY);
	affinity_rules(planner, class, &pod->anti_affinity, &pod->anti_affinity_preferred,
		       class->given_up.anti_affinity, RULE_ANTI);
	port_rules(planner, class);
}

void rules_free(struct planner *planner)
{
	vec_for_each (it, &planner->counters) {
		vec_free(&(*it)->counts);
		free(*it);
	}
	vec_free(&planner->counters);
	map_free(&planner->counters_by_hash);
	vec_for_each (key, &planner->keys) {
		vec_free(&key->stood);
		vec_for_each (value, &key->values)
			free(*value);
		vec_free(&key->values);
		free(key->name);
	}
	vec_free(&planner->keys);
}
