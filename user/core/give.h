/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that give back share. Private to the room. */
#ifndef FORERUN_CORE_GIVE_H
#define FORERUN_CORE_GIVE_H

#include "core/drain.h"
#include "plan/disrupt.h"

/* One look at the whole fleet. */
struct look {
	struct core *core;
	struct moment now;
	VEC(struct instance *) instances; /* those that count, and as nodes, side by side */
	VEC(struct disrupt_node) nodes;
	VEC(char *) texts; /* that nodes point to */
	const struct pool **pools; /* as core->pools */
	struct map *places; /* of each pool: its offerings by type, zone and capacity type */
	struct disrupt_plan plan;
};

/* ---- give.c ---- */

/* Whose replica it is; NULL: nobody's any more. */
struct policy_state *give_policy(const struct look *look, const struct instance *instance);

/* ---- give_act.c ---- */

void give_act(struct look *look);

#endif
