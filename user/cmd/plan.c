/* SPDX-License-Identifier: Apache-2.0 */
/* `forerun plan`: from files to a plan on the terminal. */
#include "cmd/plan.h"

/* DaemonSets go before all others: they are on every node that is planned. */
static int add_pods(struct planner *planner, const struct documents *documents, bool daemons)
{
	int r = 0;

	vec_for_each (pod, &documents->pods)
		if (r == 0 && ((*pod)->source == POD_DAEMON) == daemons)
			r = planner_add_pods(planner, *pod);
	return r;
}

static int make_plan(const struct plan_input *input, struct planner **out)
{
	struct planner_config config;
	struct planner *planner = NULL;
	int r;

	planner_config_default(&config);
	r = planner_new(&config, &input->documents, input->catalog, &planner);
	if (r < 0)
		return r;
	*out = planner;
	plan_add_nodes(planner, input);
	r = add_pods(planner, &input->documents, true);
	if (r == 0)
		r = add_pods(planner, &input->pods, true);
	if (r == 0)
		r = add_pods(planner, &input->pods, false);
	vec_for_each (pod, &input->demand)
		if (r == 0)
			r = planner_add_pods(planner, pod);
	return r < 0 ? r : planner_solve(planner);
}

int command_plan(struct options *options)
{
	_cleanup_(problems_free)
	struct problems problems = {0};
	_cleanup_(plan_input_free)
	struct plan_input input = {0};
	struct planner *planner = NULL;
	struct plan_view view = {0};
	uint64_t began_ns;
	double seconds;
	int r = plan_input_read(options, &input, &problems);

	problems_print(&problems, stderr);
	if (r < 0)
		return EXIT_USAGE;
	began_ns = time_mono_ns();
	r = make_plan(&input, &planner);
	if (r < 0) {
		fprintf(stderr, "forerun plan: %s\n", strerror(-r));
		planner_free(planner);
		return EXIT_USAGE;
	}
	planner_view(planner, &view);
	seconds = (double)(time_mono_ns() - began_ns) / (double)NS_PER_S;
	if (options->output == PLAN_JSON)
		plan_print_json(&input, &view, seconds, stdout);
	else
		plan_print_table(&input, &view, seconds, stdout);
	r = view.failures_count ? EXIT_FAILED : EXIT_DONE;
	planner_free(planner);
	return r;
}
