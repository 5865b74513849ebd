/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Topologies wider than a host (zones, capacity types, any label of types): each pod that they
 * matter to is bound to a domain before anything is packed, one after the other, so that every rule
 * holds at the moment when the pod is bound. What is packed then has rules on hosts alone.
 */
#include <math.h>

#include "plan/pack.h"

/* ---- domains ---- */

#define SPOTS_MAX 4096 /* combinations of domains that are looked at for one class */

static uint32_t domain_of(struct topology_key *key, const char *value, bool add)
{
	for (uint32_t i = 0; i < key->values.count; i++)
		if (strcmp(key->values.at[i], value) == 0)
			return i;
	if (!add)
		return UINT32_MAX;
	*vec_push(&key->values) = strdup(value);
	return (uint32_t)key->values.count - 1;
}

static void domains_of_types(struct planner *planner, struct topology_key *key)
{
	for (size_t p = 0; p < planner->pools_count; p++)
		for (size_t i = 0; i < planner->catalog->count; i++) {
			const struct offering *offering = &planner->catalog->offerings[i];
			const struct pool_table *pool = &planner->pools[p];
			char text[128];
			const char *value;

			if (!offering->type ||
			    !types_has(pool->types,
				       (size_t)(offering->type - planner->catalog->types)))
				continue;
			value = offering_label(offering, pool->pool, key->name, text, sizeof(text));
			if (value)
				domain_of(key, value, true);
		}
}

void key_domains(struct planner *planner, struct topology_key *key)
{
	char text[128];

	if (key->kind == KEY_ZONE)
		for (size_t z = 0; z < planner->zones_count; z++)
			domain_of(key, planner->zones[z], true);
	else if (key->kind == KEY_CAPACITY_TYPE)
		for (unsigned c = 0; c < CAPACITY_TYPES; c++)
			domain_of(key, capacity_type_text((enum capacity_type)c), true);
	else if (key->kind == KEY_OF_TYPE)
		domains_of_types(planner, key);
	if (key->kind != KEY_HOST)
		vec_for_each (it, &planner->existing) {
			const char *value =
				existing_label(planner, *it, key->name, text, sizeof(text));

			if (value)
				domain_of(key, value, true);
		}
}

/* Stands for "nothing" in the map of what shapes leave in domains. */
static struct shape NOTHING;

static struct shape *make_domain_shape(struct planner *planner, const struct shape *shape,
				       const struct topology_key *key, uint32_t domain)
{
	_cleanup_free_ uint64_t *types = malloc((planner->words + 1) * sizeof(*types));
	uint64_t zones = shape->zones;
	uint32_t capacity_types = shape->capacity_types;
	struct label_term term = {
		.key = key->name, .op = LABEL_IN, .values = &key->values.at[domain], .count = 1};

	if (!types)
		abort();
	memcpy(types, shape->types, planner->words * sizeof(*types));
	if (!narrow_by_term(planner, &planner->pools[shape->pool], &term, &zones, &capacity_types,
			    types))
		return NULL;
	return shape_intern(planner, shape->pool, zones, capacity_types, types);
}

static struct shape *domain_shape(struct planner *planner, const struct shape *shape, uint32_t key,
				  uint32_t domain)
{
	uint64_t at = (uint64_t)shape->id << 36 | (uint64_t)key << 28 | domain;
	struct shape *out = map_get(&planner->domain_shapes, at);

	if (!out) {
		out = make_domain_shape(planner, shape, &planner->keys.at[key], domain);
		map_put(&planner->domain_shapes, at, out ? out : &NOTHING);
	}
	return out == &NOTHING ? NULL : out;
}

/* ---- counts ---- */

static uint32_t count_in(const struct counter *counter, uint32_t domain)
{
	return domain < counter->counts.count ? counter->counts.at[domain] : 0;
}

static void count_add(struct counter *counter, uint32_t domain, uint32_t count)
{
	while (counter->counts.count <= domain)
		*vec_push(&counter->counts) = 0;
	counter->counts.at[domain] += count;
	counter->total += count;
}

/* ---- where a class could be ---- */

static void note_key(struct binder *binder, uint32_t counter)
{
	uint32_t key = binder->planner->counters.at[counter]->key;

	for (size_t i = 0; i < binder->keys_count; i++)
		if (binder->keys[i] == key)
			return;
	if (binder->keys_count < KEYS_MAX)
		binder->keys[binder->keys_count++] = key;
}

/* The least that one pod of the class costs in the shape, on a node with as many as fit, or with
 * all that there are. */
static double usd_of_pod(const struct planner *planner, const struct pod_class *class,
			 struct shape *shape, size_t all)
{
	const struct pool_table *pool = &planner->pools[shape->pool];
	double best = INFINITY;

	shape_front(planner, shape);
	if (!keeps_values(planner, shape, &class->need, NULL))
		return INFINITY;
	for (size_t i = 0; i < shape->front_count; i++) {
		double pods = (double)all;

		for (size_t r = 0; r < planner->resources; r++)
			if (class->need.of[r])
				pods = fmin(pods,
					    floor((double)pool->free[shape->front[i].type].of[r] /
						  (double)class->need.of[r]));
		if (pods >= 1)
			best = fmin(best, shape->front[i].usd / pods);
	}
	return best;
}

static struct shape *spot_shape(struct binder *binder, const struct spot *spot, size_t p)
{
	struct planner *planner = binder->planner;
	struct shape *shape = binder->class->shapes[spot->alternative * planner->pools_count + p];

	for (size_t k = 0; shape && k < binder->keys_count; k++)
		shape = domain_shape(planner, shape, binder->keys[k], spot->domains[k]);
	return shape;
}

/* Of the heaviest pools that could have it. */
static double spot_usd(struct binder *binder, const struct spot *spot)
{
	struct planner *planner = binder->planner;
	size_t all = MAX(planner->waiting, (size_t)1);
	double usd = INFINITY;

	for (size_t p = 0; p < planner->pools_count; p++) {
		struct shape *shape = spot_shape(binder, spot, p);

		if (p && usd < INFINITY && planner->pools[p].weight != planner->pools[p - 1].weight)
			break;
		if (shape)
			usd = fmin(usd, usd_of_pod(planner, binder->class, shape, all));
	}
	return usd;
}

static bool exists_in(const struct binder *binder, const struct spot *spot)
{
	const struct planner *planner = binder->planner;
	char text[128];

	vec_for_each (it, &planner->existing) {
		bool in = !(*it)->given.closed && existing_takes(planner, *it, binder->class);

		for (size_t k = 0; in && k < binder->keys_count; k++) {
			const struct topology_key *key = &planner->keys.at[binder->keys[k]];

			in = str_equal(existing_label(planner, *it, key->name, text, sizeof(text)),
				       key->values.at[spot->domains[k]]);
		}
		if (in)
			return true;
	}
	return false;
}

/* How many pods have room there, so far as that was found out. */
static uint32_t most_in(const struct binder *binder, const struct spot *spot)
{
	vec_for_each (it, &binder->class->filled)
		if (it->binding->alternative == spot->alternative &&
		    memcmp(it->binding->domains, spot->domains,
			   binder->keys_count * sizeof(uint32_t)) == 0)
			return it->most;
	return UINT32_MAX;
}

static bool could_be(struct planner *planner, const struct pod_class *class, uint32_t key,
		     uint32_t domain)
{
	for (size_t i = 0; i < planner->pools_count * class->alternatives; i++) {
		struct shape *shape = class->shapes[i];

		shape = shape ? domain_shape(planner, shape, key, domain) : NULL;
		if (shape && usd_of_pod(planner, class, shape, 1) < INFINITY)
			return true;
	}
	return false;
}

/* Classes that have to be where these are, and could not be there. */
static uint32_t lost_in(const struct binder *binder, const struct spot *spot)
{
	struct planner *planner = binder->planner;
	uint32_t lost = 0;

	vec_for_each (it, &planner->classes)
		vec_for_each (rule, &(*it)->domains) {
			uint32_t key = planner->counters.at[rule->counter]->key;

			if (rule->kind != RULE_AFFINITY || *it == binder->class ||
			    !class_adds(binder->class, rule->counter))
				continue;
			for (size_t k = 0; k < binder->keys_count; k++)
				lost += binder->keys[k] == key &&
					!could_be(planner, *it, key, spot->domains[k]);
		}
	return lost;
}

static void add_spots(struct binder *binder, struct spot *spot, size_t k)
{
	size_t domains;

	if (binder->spots.count >= SPOTS_MAX)
		return;
	if (k == binder->keys_count) {
		spot->usd = spot_usd(binder, spot);
		spot->most = most_in(binder, spot);
		spot->lost = binder->planner->following ? lost_in(binder, spot) : 0;
		if (spot->usd < INFINITY || (!spot->alternative && exists_in(binder, spot)))
			*vec_push(&binder->spots) = *spot;
		return;
	}
	domains = binder->planner->keys.at[binder->keys[k]].values.count;
	for (uint32_t d = 0; d < domains; d++) {
		spot->domains[k] = d;
		add_spots(binder, spot, k + 1);
	}
}

/* Whether the pod's own words on the topology's label leave the value. */
static bool says_yes(const struct pod_template *pod, const char *key, const char *value)
{
	bool any = !pod->node_required.count;

	vec_for_each (label, &pod->node_selector.list)
		if (strcmp(label->key, key) == 0 && strcmp(label->value, value) != 0)
			return false;
	vec_for_each (term, &pod->node_required) {
		bool all = true;

		vec_for_each (it, &term->labels.list)
			if (strcmp(it->key, key) == 0)
				all = all && label_term_matches(it, value);
		any = any || all;
	}
	return any;
}

/* Whether a node that the pod's own words leave could be there, or is: of a pool that the pod does
 * not tolerate by its words on the topology alone, as Karpenter does it. */
static bool is_eligible(struct binder *binder, const struct rule *rule, uint32_t key,
			uint32_t domain)
{
	struct planner *planner = binder->planner;
	const struct topology_key *topology = &planner->keys.at[key];
	const struct pod_template *pod = binder->class->pod;
	const char *value = topology->values.at[domain];
	char text[128];

	for (size_t i = 0; i < planner->pools_count * binder->class->alternatives; i++)
		if (binder->class->shapes[i] &&
		    domain_shape(planner, binder->class->shapes[i], key, domain))
			return true;
	if (!rule->ignore_affinity && !says_yes(pod, topology->name, value))
		return false;
	for (size_t p = 0; p < planner->pools_count; p++)
		if (planner->pools[p].all &&
		    (rule->ignore_affinity || pod->node_preferred.count ||
		     !pool_tolerated(planner->pools[p].pool, pod, false)) &&
		    (!rule->honor_taints || pool_tolerated(planner->pools[p].pool, pod, false)) &&
		    domain_shape(planner, planner->pools[p].all, key, domain))
			return true;
	vec_for_each (it, &planner->existing)
		if (str_equal(existing_label(planner, *it, topology->name, text, sizeof(text)),
			      value) &&
		    (rule->ignore_affinity || existing_takes(planner, *it, binder->class)))
			return true;
	return false;
}

static void find_eligible(struct binder *binder)
{
	struct planner *planner = binder->planner;

	for (size_t k = 0; k < binder->keys_count; k++) {
		size_t domains = planner->keys.at[binder->keys[k]].values.count;

		binder->eligible[k] = calloc(domains + 1, sizeof(bool));
		if (!binder->eligible[k])
			abort();
		vec_for_each (rule, &binder->class->domains)
			if (rule->kind == RULE_SPREAD &&
			    planner->counters.at[rule->counter]->key == binder->keys[k])
				for (uint32_t d = 0; d < domains; d++)
					binder->eligible[k][d] |=
						is_eligible(binder, rule, binder->keys[k], d);
	}
}

/* ---- one pod ---- */

static size_t key_of_rule(const struct binder *binder, const struct rule *rule)
{
	uint32_t key = binder->planner->counters.at[rule->counter]->key;
	size_t k = 0;

	while (k < binder->keys_count && binder->keys[k] != key)
		k++;
	return k;
}

/* The least count of the domains that take part; with fewer of them than minDomains it is none. */
static uint32_t least_count(const struct binder *binder, const struct rule *rule)
{
	const struct counter *counter = binder->planner->counters.at[rule->counter];
	size_t k = key_of_rule(binder, rule);
	uint32_t least = UINT32_MAX;
	int32_t domains = 0;

	for (uint32_t d = 0; d < binder->planner->keys.at[counter->key].values.count; d++)
		if (binder->eligible[k][d]) {
			domains++;
			least = MIN(least, count_in(counter, d));
		}
	return domains < rule->min_domains || least == UINT32_MAX ? 0 : least;
}

static bool rule_lets(const struct binder *binder, size_t index, const struct spot *spot)
{
	const struct rule *rule = &binder->class->domains.at[index];
	const struct counter *counter = binder->planner->counters.at[rule->counter];
	size_t k = key_of_rule(binder, rule);
	uint32_t count;

	if (k == binder->keys_count)
		return true;
	count = count_in(counter, spot->domains[k]);
	switch (rule->kind) {
	case RULE_SPREAD:
		return count + rule->self <= binder->least[index] + (uint32_t)rule->max_skew;
	case RULE_ANTI:
		return count == 0;
	case RULE_AFFINITY:
		return count || (rule->self && !counter->total);
	}
	return false;
}

static bool all_let(const struct binder *binder, const struct spot *spot)
{
	for (size_t i = 0; i < binder->class->domains.count; i++)
		if (!rule_lets(binder, i, spot))
			return false;
	return true;
}

/* Where the class has no rule of its own, it keeps even what others count. */
static double crowd(const struct binder *binder, const struct spot *spot)
{
	double count = 0;

	vec_for_each (it, &binder->class->domain_adds) {
		const struct counter *counter = binder->planner->counters.at[*it];

		for (size_t k = 0; k < binder->keys_count; k++)
			if (binder->keys[k] == counter->key && counter->spread)
				count += count_in(counter, spot->domains[k]);
	}
	return count;
}

static bool is_preferred(const struct spot *a, double a_crowd, const struct spot *b, double b_crowd)
{
	if (a->lost != b->lost)
		return a->lost < b->lost;
	return a_crowd != b_crowd ? a_crowd < b_crowd : a->usd < b->usd;
}

/* The cheapest spot that the rules let; one where only a node that is there could take it counts as
 * cheap: it costs nothing, if there is room. */
static struct spot *choose(struct binder *binder)
{
	struct spot *best = NULL;
	double least = INFINITY;

	for (size_t i = 0; i < binder->class->domains.count; i++)
		if (binder->class->domains.at[i].kind == RULE_SPREAD)
			binder->least[i] = least_count(binder, &binder->class->domains.at[i]);
	vec_for_each (spot, &binder->spots) {
		double score = binder->class->domains.count ? 0 : crowd(binder, spot);

		if (spot->bound >= spot->most ||
		    (best && !is_preferred(spot, score, best, least)) || !all_let(binder, spot))
			continue;
		best = spot;
		least = score;
	}
	return best;
}

static void existing_domains(const struct binder *binder, const struct existing *existing,
			     struct spot *out)
{
	char text[128];

	for (size_t k = 0; k < binder->keys_count; k++) {
		struct topology_key *key = &binder->planner->keys.at[binder->keys[k]];
		const char *value =
			existing_label(binder->planner, existing, key->name, text, sizeof(text));

		out->domains[k] = value ? domain_of(key, value, true) : UINT32_MAX;
	}
}

/* ---- items ---- */

static struct binding *binding_of(struct binder *binder, const struct spot *spot)
{
	struct planner *planner = binder->planner;
	struct binding *binding;

	vec_for_each (it, &binder->class->bindings)
		if ((*it)->alternative == spot->alternative &&
		    (*it)->domains_count == binder->keys_count &&
		    memcmp((*it)->keys, binder->keys, binder->keys_count * sizeof(uint32_t)) == 0 &&
		    memcmp((*it)->domains, spot->domains, binder->keys_count * sizeof(uint32_t)) ==
			    0)
			return *it;
	binding = calloc(1, sizeof(*binding));
	if (!binding)
		abort();
	*vec_push(&binder->class->bindings) = binding;
	binding->class = binder->class;
	binding->alternative = spot->alternative;
	binding->domains_count = binder->keys_count;
	memcpy(binding->keys, binder->keys, sizeof(binding->keys));
	memcpy(binding->domains, spot->domains, sizeof(binding->domains));
	binding->shapes = calloc(planner->pools_count + 1, sizeof(struct shape *));
	if (!binding->shapes)
		abort();
	for (size_t p = 0; p < planner->pools_count && spot->alternative != UINT32_MAX; p++)
		binding->shapes[p] = spot_shape(binder, spot, p);
	return binding;
}

static struct item *item_of(struct binder *binder, struct spot *spot)
{
	struct planner *planner = binder->planner;
	struct item *item;

	if (spot->item != SIZE_MAX)
		return &planner->items.at[spot->item];
	spot->item = planner->items.count;
	item = vec_push(&planner->items);
	item->class = binder->class;
	item->binding = binding_of(binder, spot);
	return item;
}

void count_binding(struct planner *planner, const struct binding *binding, int32_t count)
{
	vec_for_each (it, &binding->class->domain_adds) {
		struct counter *counter = planner->counters.at[*it];

		for (size_t i = 0; i < binding->domains_count; i++)
			if (binding->keys[i] == counter->key && binding->domains[i] != UINT32_MAX)
				count_add(counter, binding->domains[i], (uint32_t)count);
	}
}

void unbind(struct planner *planner, struct item *item)
{
	count_binding(planner, item->binding, -(int32_t)item->count);
	item->class->taken -= item->count;
	item->count = 0;
}

static void bind_pods(struct binder *binder)
{
	struct pod_class *class = binder->class;
	struct spot *spot;

	while (class->taken < class->pods.count && (spot = choose(binder))) {
		struct item *item = item_of(binder, spot);
		/* Without topologies the choice is the same for all. */
		uint32_t count =
			binder->keys_count ? 1 : (uint32_t)(class->pods.count - class->taken);

		item->count += count;
		item->bound += count;
		class->taken += count;
		count_binding(binder->planner, item->binding, (int32_t)count);
	}
}

void binder_start(struct binder *binder, struct planner *planner, struct pod_class *class)
{
	struct spot spot = {.item = SIZE_MAX};

	*binder = (struct binder){.planner = planner, .class = class};
	vec_for_each (rule, &class->domains)
		note_key(binder, rule->counter);
	vec_for_each (it, &class->domain_adds)
		note_key(binder, *it);
	binder->least = calloc(class->domains.count + 1, sizeof(*binder->least));
	if (!binder->least)
		abort();
	for (; spot.alternative < class->alternatives; spot.alternative++)
		add_spots(binder, &spot, 0);
	find_eligible(binder);
}

void binder_end(struct binder *binder)
{
	for (size_t k = 0; k < binder->keys_count; k++)
		free(binder->eligible[k]);
	free(binder->least);
	vec_free(&binder->spots);
}

struct binding *binder_choose(struct binder *binder)
{
	struct spot *spot = choose(binder);

	return spot ? binding_of(binder, spot) : NULL;
}

bool binder_lets(struct binder *binder, const struct existing *existing)
{
	struct spot spot = {.alternative = UINT32_MAX};

	if (!binder->keys_count)
		return true;
	existing_domains(binder, existing, &spot);
	for (size_t i = 0; i < binder->class->domains.count; i++) {
		const struct rule *rule = &binder->class->domains.at[i];

		if (rule->kind == RULE_SPREAD)
			binder->least[i] = least_count(binder, rule);
		if (spot.domains[key_of_rule(binder, rule)] == UINT32_MAX)
			return false;
	}
	return all_let(binder, &spot);
}

/* Whether any was bound. */
static bool bind_class(struct planner *planner, struct pod_class *class)
{
	struct binder binder;
	size_t before = class->taken;

	if (class->taken == class->pods.count || class->impossible)
		return false;
	binder_start(&binder, planner, class);
	bind_pods(&binder);
	binder_end(&binder);
	return class->taken > before;
}

static bool has_kind(const struct pod_class *class, enum rule_kind kind)
{
	vec_for_each (rule, &class->domains)
		if (rule->kind == kind && !rule->owners)
			return true;
	return false;
}

/* Who keeps others away comes first, then who spreads, then who only counts for others, and who
 * follows others last, until nobody finds anyone to follow. */
void bind_classes(struct planner *planner)
{
	bool more = true;

	vec_for_each (class, &planner->classes)
		if (has_kind(*class, RULE_ANTI) && !has_kind(*class, RULE_AFFINITY))
			bind_class(planner, *class);
	vec_for_each (class, &planner->classes)
		if (has_kind(*class, RULE_SPREAD) && !has_kind(*class, RULE_AFFINITY))
			bind_class(planner, *class);
	vec_for_each (class, &planner->classes)
		if (!has_kind(*class, RULE_AFFINITY))
			bind_class(planner, *class);
	while (more) {
		more = false;
		vec_for_each (class, &planner->classes)
			more |= bind_class(planner, *class);
	}
}

static uint32_t bind_bin(struct planner *planner, struct bin *bin, uint32_t key)
{
	size_t domains = planner->keys.at[key].values.count;
	uint32_t best = UINT32_MAX;
	double least = INFINITY;

	for (uint32_t d = 0; d < domains; d++) {
		const struct shape *shape = domain_shape(planner, bin->shape, key, d);

		if (shape && shape->usd[bin->type] < least) {
			least = shape->usd[bin->type];
			best = d;
		}
	}
	if (best == UINT32_MAX)
		return best;
	bin->pin = domain_shape(planner, bin->pin ? bin->pin : planner->pools[bin->shape->pool].all,
				key, best);
	bin_settle(planner, bin);
	return best;
}

void count_bin_domain(struct planner *planner, struct bin *bin, struct counter *counter,
		      uint32_t count)
{
	struct topology_key *key = &planner->keys.at[counter->key];
	uint32_t domain = UINT32_MAX;
	char text[128];
	const char *value;

	if (bin->existing) {
		value = existing_label(planner, bin->existing, key->name, text, sizeof(text));
		domain = value ? domain_of(key, value, true) : UINT32_MAX;
	} else {
		domain = bind_bin(planner, bin, counter->key);
	}
	if (domain != UINT32_MAX)
		count_add(counter, domain, count);
}

void count_domains(struct planner *planner, const struct pod_class *class,
		   const struct existing *existing, uint32_t count)
{
	char text[128];

	vec_for_each (it, &class->domain_adds) {
		struct counter *counter = planner->counters.at[*it];
		struct topology_key *key = &planner->keys.at[counter->key];
		const char *value =
			existing_label(planner, existing, key->name, text, sizeof(text));

		if (value)
			count_add(counter, domain_of(key, value, true), count);
	}
}

struct binding *binding_at(struct planner *planner, struct pod_class *class,
			   const struct existing *existing)
{
	struct binder binder = {.planner = planner, .class = class};
	struct spot spot = {.alternative = UINT32_MAX};

	vec_for_each (rule, &class->domains)
		note_key(&binder, rule->counter);
	vec_for_each (it, &class->domain_adds)
		note_key(&binder, *it);
	existing_domains(&binder, existing, &spot);
	return binding_of(&binder, &spot);
}

/* Fewer and fewer the longer it takes, so that it ends. */
static uint32_t room_found(const struct item *item, int starts)
{
	uint32_t found = item->bound - item->count;

	return starts < 16 ? found : starts < 24 ? found / 2 : 0;
}

bool note_filled(struct planner *planner, int starts)
{
	bool any = false;

	vec_for_each (item, &planner->items) {
		struct pod_class *class = item->class;
		struct filled *filled = NULL;

		if (!item->count || has_kind(class, RULE_AFFINITY) ||
		    (!item->binding->domains_count && class->alternatives < 2))
			continue;
		vec_for_each (it, &class->filled)
			if (it->binding == item->binding)
				filled = it;
		if (!filled) {
			filled = vec_push(&class->filled);
			*filled = (struct filled){item->binding, UINT32_MAX};
		}
		filled->most = MIN(filled->most, room_found(item, starts));
		any = true;
	}
	return any;
}
