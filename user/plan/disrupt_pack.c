/* SPDX-License-Identifier: Apache-2.0 */
/* The planner's world: pods of nodes that end are tried on the others, and what finds no room there
 * on new ones. */
#include "plan/disrupt.h"
#include "plan/pack.h"

#define NOT_PLANNED UINT32_MAX

struct disrupt_packed {
	struct planner *planner;
	uint32_t *index; /* of each node, as the planner counts them; NOT_PLANNED */
	uint32_t *node; /* and back */
	uint32_t *asked; /* room for all nodes */
	size_t count;
	struct plan_removal removal; /* the last answer */
};

static struct existing *existing_of(const struct disrupt_packed *packed, uint32_t node)
{
	uint32_t index = packed->index[node];

	return index == NOT_PLANNED ? NULL : packed->planner->existing.at[index];
}

static size_t indices(struct disrupt_packed *packed, const uint32_t *nodes, size_t count)
{
	size_t known = 0;

	for (size_t i = 0; i < count; i++)
		if (packed->index[nodes[i]] != NOT_PLANNED)
			packed->asked[known++] = packed->index[nodes[i]];
	return known;
}

static int remove_nodes(void *arg, const uint32_t *nodes, size_t count, double usd_below,
			struct disrupt_move *move)
{
	struct disrupt_packed *packed = arg;
	struct plan_removal *removal = &packed->removal;
	int r;

	(void)usd_below;
	plan_removal_free(removal);
	r = planner_try_remove(packed->planner, packed->asked, indices(packed, nodes, count),
			       removal);
	if (r < 0)
		return r;
	move->homeless = removal->homeless;
	snprintf(move->why, sizeof(move->why), "%s", removal->why ? removal->why : "");
	vec_for_each (node, &removal->nodes)
		*vec_push(&move->nodes) =
			(struct disrupt_new){node->pool, node->offerings.at, node->offerings.count};
	vec_for_each (index, &removal->onto)
		if (packed->node[*index] != NOT_PLANNED)
			*vec_push(&move->onto) = packed->node[*index];
	return 0;
}

static int accept_nodes(void *arg, const uint32_t *nodes, size_t count)
{
	struct disrupt_packed *packed = arg;

	return planner_remove(packed->planner, packed->asked, indices(packed, nodes, count));
}

static void close_node(void *arg, uint32_t node)
{
	struct existing *existing = existing_of(arg, node);

	if (existing)
		existing->given.closed = true;
}

struct disrupt_world disrupt_packed_world(struct disrupt_packed *packed)
{
	return (struct disrupt_world){packed, remove_nodes, accept_nodes, close_node};
}

/* ---- life ---- */

static void find_nodes(struct disrupt_packed *packed, const struct disrupt_node *nodes)
{
	struct map by_name = {0};

	vec_for_each (it, &packed->planner->existing)
		map_put(&by_name, hash_text((*it)->name), *it);
	for (uint32_t n = 0; n < packed->count; n++) {
		const struct existing *existing = map_get(&by_name, hash_text(nodes[n].name));

		packed->index[n] = existing ? existing->index : NOT_PLANNED;
		if (existing)
			packed->node[existing->index] = n;
	}
	map_free(&by_name);
}

/* What leaves already needs a place too, on what still starts as well: nobody else may have it.
 * After that nothing moves to where it cannot run now. */
static int place_leaving(struct disrupt_packed *packed, const struct disrupt_node *nodes)
{
	int r = 0;

	for (uint32_t n = 0; n < packed->count; n++)
		if (nodes[n].leaving || nodes[n].ended || (nodes[n].initialized && !nodes[n].ready))
			close_node(packed, n);
	for (uint32_t n = 0; r == 0 && n < packed->count; n++)
		if (nodes[n].leaving && !nodes[n].ended)
			r = accept_nodes(packed, &n, 1);
	for (uint32_t n = 0; n < packed->count; n++)
		if (!nodes[n].initialized)
			close_node(packed, n);
	return r;
}

int disrupt_packed_new(struct planner *planner, const struct disrupt_node *nodes, size_t count,
		       struct disrupt_packed **out)
{
	struct disrupt_packed *packed = calloc(1, sizeof(*packed));
	int r = -ENOMEM;

	if (!packed)
		return r;
	packed->planner = planner;
	packed->count = count;
	packed->index = calloc(count + 1, sizeof(*packed->index));
	packed->asked = calloc(count + 1, sizeof(*packed->asked));
	packed->node = calloc(planner->existing.count + 1, sizeof(*packed->node));
	if (packed->index && packed->asked && packed->node) {
		memset(packed->node, 0xff, planner->existing.count * sizeof(*packed->node));
		find_nodes(packed, nodes);
		r = place_leaving(packed, nodes);
	}
	if (r < 0)
		disrupt_packed_free(packed);
	else
		*out = packed;
	return r;
}

void disrupt_packed_free(struct disrupt_packed *packed)
{
	if (!packed)
		return;
	plan_removal_free(&packed->removal);
	free(packed->index);
	free(packed->asked);
	free(packed->node);
	free(packed);
}
