/* SPDX-License-Identifier: Apache-2.0 */
/* What can be bought: types × zones × capacity types that some pool's requirements leave, with
 * their prices. */
#include "cloud/private.h"

static void on_timer(void *arg, uint64_t now_ns)
{
	(void)now_ns;
	catalog_fetch_types(arg);
}

static void on_spot_timer(void *arg, uint64_t now_ns)
{
	(void)now_ns;
	catalog_fetch_spot(arg);
}

static void on_price_timer(void *arg, uint64_t now_ns)
{
	(void)now_ns;
	catalog_fetch_prices(arg);
}

static void add_terms(struct text *out, const struct pool *pool)
{
	vec_for_each (term, &pool->requirements.list) {
		text_printf(out, "%s %d", term->key, term->op);
		for (size_t i = 0; i < term->count; i++)
			text_printf(out, " %s", term->values[i]);
		text_add_char(out, '\n');
	}
	vec_for_each (label, &pool->labels.list)
		text_printf(out, "%s=%s\n", label->key, label->value);
}

/* Of thousands of NodePools most ask for the same: offerings are held against each kind once. A
 * requirement that names the pool or its class itself makes it a kind of its own. */
static void find_kinds(struct cloud *cloud)
{
	struct catalog_state *state = &cloud->catalog;

	vec_for_each (pool, &cloud->documents->pools) {
		_cleanup_text_ struct text text = {0};
		struct pool_kind kind = {.pool = pool};
		bool known = false;

		add_terms(&text, pool);
		if (text.data && (strstr(text.data, "karpenter.sh/nodepool ") ||
				  strstr(text.data, "karpenter.k8s.aws/ec2nodeclass ")))
			text_printf(&text, "%s %s", pool->name, pool->node_class);
		kind.hash = hash_bytes(text.data ? text.data : "", text.length);
		vec_for_each (other, &state->kinds)
			known |= other->hash == kind.hash;
		if (!known)
			*vec_push(&state->kinds) = kind;
	}
}

int catalog_init(struct cloud *cloud)
{
	struct catalog_state *state = &cloud->catalog;
	int r;

	state->cloud = cloud;
	state->flags = CALL_RETRY;
	find_kinds(cloud);
	r = loop_timer_new(cloud->loop, on_timer, cloud, &state->timer);
	if (r >= 0)
		r = loop_timer_new(cloud->loop, on_spot_timer, cloud, &state->spot_timer);
	if (r >= 0)
		r = loop_timer_new(cloud->loop, on_price_timer, cloud, &state->price_timer);
	return r;
}

void catalog_close(struct cloud *cloud)
{
	struct catalog_state *state = &cloud->catalog;

	if (state->timer)
		loop_timer_free(state->timer);
	if (state->spot_timer)
		loop_timer_free(state->spot_timer);
	if (state->price_timer)
		loop_timer_free(state->price_timer);
	vec_free(&state->kinds);
	vec_free(&state->types);
	vec_free(&state->zones);
	vec_free(&state->new_types);
	vec_free(&state->new_zones);
	vec_free(&state->zone_ids);
	vec_free(&state->offerings.list);
	vec_free(&state->spot_since_ns);
	vec_free(&state->quotas);
	free(state->price_token);
}

bool documents_want_spot(const struct documents *documents)
{
	vec_for_each (pool, &documents->pools) {
		bool spot = true;

		vec_for_each (term, &pool->requirements.list)
			if (strcmp(term->key, LABEL_CAPACITY_TYPE) == 0)
				spot &= label_term_matches(term, "spot");
		if (spot)
			return true;
	}
	return false;
}

static bool some_pool_takes(void *arg, const struct offering *offering)
{
	const struct cloud *cloud = arg;

	vec_for_each (kind, &cloud->catalog.kinds)
		if (offering_matches(offering, kind->pool))
			return true;
	return false;
}

void catalog_view(const struct cloud *cloud, struct catalog *out)
{
	const struct catalog_state *state = &cloud->catalog;

	*out = (struct catalog){.types = state->types.at,
				.types_count = state->types.count,
				.zones = state->zones.at,
				.zones_count = state->zones.count,
				.fetched_wall_ns = state->fetched_wall_ns,
				.priced_wall_ns = state->priced_wall_ns,
				.spot_wall_ns = state->spot_wall_ns,
				.quotas = state->quotas.at,
				.quotas_count = state->quotas.count};
	set_text(out->region, cloud->identity.region);
	if (!state->everything)
		catalog_filter(cloud, out->filter);
}

/* Offerings, zones and types are in the same order. */
void catalog_prune(struct cloud *cloud)
{
	struct catalog_state *state = &cloud->catalog;
	const struct offering *offering, *end;
	struct catalog view;
	size_t kept = 0;

	vec_clear(&state->offerings.list);
	catalog_view(cloud, &view);
	catalog_offer(&view, some_pool_takes, cloud, &state->offerings);
	offering = state->offerings.list.at;
	end = offering + state->offerings.list.count;
	vec_for_each (zone, &state->zones) {
		bool wanted = false;

		for (; offering < end && strcmp(offering->instance_type, zone->type) == 0 &&
		       strcmp(offering->zone, zone->zone) == 0;
		     offering++)
			wanted = true;
		if (wanted)
			state->zones.at[kept++] = *zone;
	}
	state->zones.count = kept;
	kept = 0;
	for (size_t i = 0, z = 0; i < state->types.count; i++) {
		const char *name = state->types.at[i].name;

		while (z < state->zones.count && strcmp(state->zones.at[z].type, name) < 0)
			z++;
		if (z < state->zones.count && strcmp(state->zones.at[z].type, name) == 0)
			state->types.at[kept++] = state->types.at[i];
	}
	state->types.count = kept;
}

void catalog_publish(struct cloud *cloud)
{
	struct catalog_state *state = &cloud->catalog;

	vec_clear(&state->offerings.list);
	catalog_view(cloud, &state->view);
	catalog_offer(&state->view, some_pool_takes, cloud, &state->offerings);
	state->view.offerings = state->offerings.list.at;
	state->view.count = state->offerings.list.count;
	if (!state->done)
		cloud->events.catalog(cloud->events.arg, &state->view);
	classes_catalog_changed(cloud);
}

void catalog_take_quotas(struct cloud *cloud)
{
	struct catalog_state *state = &cloud->catalog;

	vec_clear(&state->quotas);
	vec_for_each (quota, &cloud->quotas.found)
		*vec_push(&state->quotas) = *quota;
	if (state->fetched_wall_ns)
		catalog_publish(cloud);
}

/* Many cores that started together do not ask together. */
uint64_t catalog_due_ns(uint64_t every_ns)
{
	return time_mono_ns() + every_ns - random_u64() % (every_ns / 10);
}

static uint64_t age_of(uint64_t wall_ns)
{
	uint64_t now_ns = time_wall_ns();

	return wall_ns ? now_ns - MIN(now_ns, wall_ns) : UINT64_MAX;
}

/* What is on disk serves until its time is over; spot prices are asked for at once. */
void catalog_start(struct cloud *cloud)
{
	struct catalog_state *state = &cloud->catalog;
	uint64_t age_ns, priced_ns;

	catalog_load(cloud);
	age_ns = age_of(state->fetched_wall_ns);
	if (age_ns >= TYPES_EVERY_NS) {
		catalog_fetch_types(cloud);
		return;
	}
	loop_timer_at(state->timer, catalog_due_ns(TYPES_EVERY_NS) - age_ns);
	priced_ns = age_of(state->priced_wall_ns);
	if (priced_ns >= TYPES_EVERY_NS)
		catalog_fetch_prices(cloud);
	else
		loop_timer_at(state->price_timer, catalog_due_ns(TYPES_EVERY_NS) - priced_ns);
	catalog_fetch_spot(cloud);
}
