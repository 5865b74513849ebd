/* SPDX-License-Identifier: Apache-2.0 */
/* A plan as a person reads it. */
#include <math.h>

#include "cmd/plan.h"

void plan_print_table(const struct plan_input *input, const struct plan_view *view, double seconds,
		      FILE *out)
{
	size_t placed = 0, nodes = 0;

	fprintf(out, "%-10s %-8s %6s %8s %-16s %s\n", "POOL", "NODE", "PODS", "USD/h", "CHEAPEST",
		"TYPES");
	for (size_t i = 0; i < view->nodes_count; i++) {
		const struct plan_node *node = view->nodes[i];

		placed += node->new_pods;
		if (node->existing)
			continue;
		fprintf(out, "%-10s new-%-4zu %6zu %8.4f %-16s %u\n", node->pool->name, ++nodes,
			node->pods.count, node->usd_per_hour,
			node->offerings.count ? node->offerings.at[0]->instance_type : "",
			node->types);
	}
	for (size_t i = 0; i < view->failures_count; i++)
		fprintf(out, "%s/%s-%u has no place: %s\n",
			view->failures[i].pod.template_->namespace_,
			view->failures[i].pod.template_->name, view->failures[i].pod.index,
			view->failures[i].why);
	fprintf(out, "%zu pods on %zu new nodes, %.4f USD/h, %.1f ms, %s\n", placed, nodes,
		view->usd_per_hour, seconds * 1000, input->catalog->region);
}
