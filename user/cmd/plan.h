/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of `forerun plan` share. */
#ifndef FORERUN_CMD_PLAN_H
#define FORERUN_CMD_PLAN_H

#include "cmd/cmd.h"
#include "plan/plan.h"

/* All that one plan is made of. */
struct plan_input {
	struct documents documents; /* of --config */
	struct documents pods; /* of --pods, and of --nodes those that run */
	struct node_objects nodes;
	struct catalog *catalog;
	VEC(struct pod_template) demand; /* replicas of policies, when no pods are given */
};

/* Types and prices of the account's region from AWS, kept in the state directory. */
void plan_fetch(const struct options *options, struct catalog **out, struct problems *problems);
/* Every problem is reported; -EINVAL when there is one. */
int plan_input_read(const struct options *options, struct plan_input *input,
		    struct problems *problems);
void plan_input_free(struct plan_input *input);
/* Nodes that exist and what runs on them, as the planner takes them. */
void plan_add_nodes(struct planner *planner, const struct plan_input *input);

/* NAMESPACE/NAME of a pod, NAMESPACE/NAME-INDEX of a workload's. */
void plan_pod_name(const struct plan_pod *pod, struct text *out);
void plan_print_json(const struct plan_input *input, const struct plan_view *view, double seconds,
		     FILE *out);
void plan_print_table(const struct plan_input *input, const struct plan_view *view, double seconds,
		      FILE *out);

#endif
