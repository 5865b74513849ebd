/* SPDX-License-Identifier: Apache-2.0 */
/* Why a pod has no place, pool by pool, as a person would say it. */
#include "plan/pack.h"

char *why_not(struct planner *planner, const struct pod_class *class)
{
	struct text out = {0};

	if (!planner->pools_count)
		text_add(&out, "there is no NodePool");
	for (size_t p = 0; p < planner->pools_count; p++)
		text_printf(&out, "%sNodePool %s: %s", p ? "; " : "", planner->pools[p].pool->name,
			    class->shapes[p] ? "no room"
					     : "its requirements or taints rule it out");
	return text_take(&out);
}
