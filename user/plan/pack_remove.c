/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What would become of the pods of existing nodes if these ended: tried on the planner's own nodes,
 * and undone, so that a search over a large fleet asks cheaply.
 */
#include <math.h>

#include "plan/pack.h"

/* So many pods of a binding went from one node to another. */
struct shift {
	struct bin *from, *to;
	struct binding *was, *is;
	uint32_t count;
};

struct removal {
	struct planner *planner;
	struct plan_removal *out;
	VEC(struct shift) shifts;
	size_t new_from; /* bins from there on are new */
};

static void take_off(struct planner *planner, struct bin *bin, struct binding *binding,
		     uint32_t count)
{
	vec_for_each (slot, &bin->slots)
		if (slot->binding == binding)
			slot->bound -= MIN(slot->bound, count);
	bin_remove(planner, bin, binding, count);
	count_binding(planner, binding, -(int32_t)count);
}

static void put_on(struct planner *planner, struct bin *bin, struct binding *binding,
		   uint32_t count)
{
	bin_add(planner, bin, binding, count);
	count_binding(planner, binding, (int32_t)count);
	vec_for_each (slot, &bin->slots)
		if (slot->binding == binding && bin->existing)
			slot->bound += count;
}

/* Onto nodes that stand, as many as each has room for. How many went. */
static uint32_t onto_standing(struct removal *r, struct binder *binder, struct shift *shift,
			      uint32_t count)
{
	struct planner *planner = r->planner;
	uint32_t left = count;

	for (size_t i = 0; i < r->new_from && left; i++) {
		struct bin *bin = planner->bins.at[i];
		struct amounts room;
		uint32_t fit;

		if (bin == shift->from || !bin->existing || bin->existing->given.closed)
			continue;
		bin_left(planner, bin, &room);
		fit = amounts_fit(planner, &room, &shift->was->class->need, left);
		if (!fit || !existing_takes(planner, bin->existing, shift->was->class))
			continue;
		fit = bin_room(planner, bin, shift->was->class, fit);
		while (fit && binder_lets(binder, bin->existing)) {
			shift->to = bin;
			shift->is = binding_at(planner, shift->was->class, bin->existing);
			shift->count = binder->keys_count ? 1 : fit;
			put_on(planner, bin, shift->is, shift->count);
			*vec_push(&r->shifts) = *shift;
			fit -= shift->count;
			left -= shift->count;
		}
	}
	return count - left;
}

/* One onto a new node; another new one only when none so far can take it. */
static bool onto_new(struct removal *r, struct binder *binder, struct shift *shift)
{
	struct planner *planner = r->planner;
	struct item item = {.class = shift->was->class, .count = 1};

	item.binding = binder_choose(binder);
	if (!item.binding || !place_on_planned(planner, &item, r->new_from))
		return false;
	count_binding(planner, item.binding, 1);
	shift->to = planner->placed_on;
	shift->is = item.binding;
	shift->count = 1;
	*vec_push(&r->shifts) = *shift;
	return true;
}

static void note_homeless(struct removal *r, const struct pod_class *class, uint32_t count)
{
	if (!r->out->homeless)
		r->out->why = why_not(r->planner, class);
	r->out->homeless += count;
}

static void move_slot(struct removal *r, struct bin *from, struct binding *binding, uint32_t count)
{
	struct planner *planner = r->planner;
	struct shift shift = {.from = from, .was = binding};
	struct binder binder;
	uint32_t left = count;

	take_off(planner, from, binding, count);
	binder_start(&binder, planner, binding->class);
	left -= onto_standing(r, &binder, &shift, left);
	while (left && onto_new(r, &binder, &shift))
		left--;
	binder_end(&binder);
	if (!left)
		return;
	shift.to = NULL;
	shift.count = left;
	*vec_push(&r->shifts) = shift;
	note_homeless(r, binding->class, left);
}

static void empty(struct removal *r, struct bin *bin)
{
	for (size_t i = bin->slots.count; i-- > 0 && i < bin->slots.count;) {
		struct slot slot = bin->slots.at[i];

		if (!slot.binding->class->pod->of_daemon_set)
			move_slot(r, bin, slot.binding, slot.count);
	}
}

static void undo(struct removal *r)
{
	struct planner *planner = r->planner;

	while (r->shifts.count) {
		struct shift *shift = &r->shifts.at[--r->shifts.count];

		if (shift->to)
			take_off(planner, shift->to, shift->is, shift->count);
		put_on(planner, shift->from, shift->was, shift->count);
	}
	while (planner->bins.count > r->new_from) {
		struct bin *bin = planner->bins.at[--planner->bins.count];

		bin_release(planner, bin);
		bin_free(bin);
	}
}

static void tell(struct removal *r)
{
	struct planner *planner = r->planner;

	for (size_t i = r->new_from; i < planner->bins.count; i++) {
		struct plan_node *node = vec_push(&r->out->nodes);

		node->pool = planner->pools[planner->bins.at[i]->shape->pool].pool;
		node->node_class = planner->pools[planner->bins.at[i]->shape->pool].node_class;
		node->usd_per_hour = planner->bins.at[i]->usd;
		view_offerings(planner, planner->bins.at[i], node);
	}
	vec_for_each (shift, &r->shifts)
		if (shift->to && shift->to->existing)
			*vec_push(&r->out->onto) = shift->to->existing->index;
}

static int remove_nodes(struct planner *planner, const uint32_t *nodes, size_t count, bool keep,
			struct plan_removal *out)
{
	struct removal removal = {.planner = planner, .out = out, .new_from = planner->bins.count};
	_cleanup_free_ bool *was_closed = calloc(count + 1, sizeof(*was_closed));

	if (!was_closed)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		if (nodes[i] >= planner->existing.count)
			return -EINVAL;
	table_daemons(planner);
	for (size_t i = 0; i < count; i++) {
		struct existing *existing = planner->existing.at[nodes[i]];

		was_closed[i] = existing->given.closed;
		existing->given.closed = true;
	}
	for (size_t i = 0; i < count; i++)
		empty(&removal, planner->existing.at[nodes[i]]->bin);
	if (out)
		tell(&removal);
	if (!keep) {
		undo(&removal);
		for (size_t i = 0; i < count; i++)
			planner->existing.at[nodes[i]]->given.closed = was_closed[i];
	}
	vec_free(&removal.shifts);
	return 0;
}

int planner_try_remove(struct planner *planner, const uint32_t *nodes, size_t count,
		       struct plan_removal *out)
{
	*out = (struct plan_removal){0};
	return remove_nodes(planner, nodes, count, false, out);
}

int planner_remove(struct planner *planner, const uint32_t *nodes, size_t count)
{
	struct plan_removal unused = {0};
	int r = remove_nodes(planner, nodes, count, true, &unused);

	plan_removal_free(&unused);
	return r;
}

void plan_removal_free(struct plan_removal *removal)
{
	vec_for_each (node, &removal->nodes)
		vec_free(&node->offerings);
	vec_free(&removal->nodes);
	vec_free(&removal->onto);
	free(removal->why);
}
