/* SPDX-License-Identifier: Apache-2.0 */
/* What happened, a line an event: for a person, or as JSON. */
#include <math.h>

#include "lab/lab_private.h"

static struct told *told_of(struct simulation *simulation, const char *id, bool *is_new)
{
	struct told *told;

	*is_new = false;
	vec_for_each (known, &simulation->told)
		if (strcmp(known->id, id) == 0)
			return known;
	*is_new = true;
	told = vec_push(&simulation->told);
	snprintf(told->id, sizeof(told->id), "%s", id);
	return told;
}

static void print_lines(FILE *out, const char *lines)
{
	while (*lines) {
		size_t length = strcspn(lines, "\n");

		fprintf(out, "%25s%.*s\n", "", (int)length, lines);
		lines += length + (lines[length] == '\n');
	}
}

static void print_decision(struct simulation *simulation, const struct decision *decision)
{
	FILE *out = simulation->config.out;

	if (simulation->config.json) {
		_cleanup_text_ struct text json = {0};

		decision_json(decision, &json);
		fprintf(out, "{\"type\":\"decision\",\"seconds\":%.3f,\"decision\":%s}\n",
			simulation_seconds(simulation), json.data);
		return;
	}
	fprintf(out, "%10.3f s  DECIDED   %s %s: %d -> %d replicas (%d wanted)  %s\n",
		simulation_seconds(simulation), decision->policy,
		decision_kind_text(decision->kind), decision->replicas_before,
		decision->replicas_decided, decision->replicas_wanted, decision->id);
	print_lines(out, decision->signals);
	print_lines(out, decision->arithmetic);
}

static void print_step(struct simulation *simulation, const struct decision *decision,
		       const struct decision_step *step)
{
	FILE *out = simulation->config.out;
	double seconds =
		(double)(step->mono_ns - MIN(step->mono_ns, simulation->start_ns)) / NS_PER_S;

	if (simulation->config.json) {
		_cleanup_text_ struct text text = {0};

		text_add_json(&text, step->text);
		fprintf(out,
			"{\"type\":\"step\",\"seconds\":%.3f,\"decision\":\"%s\",\"text\":%s}\n",
			seconds, decision->id, text.data);
		return;
	}
	fprintf(out, "%10.3f s  %-9s %s\n", seconds, decision->policy, step->text);
}

void timeline_decided(void *arg, const struct decision *decision)
{
	struct simulation *simulation = arg;
	struct told *told;
	bool is_new;

	told = told_of(simulation, decision->id, &is_new);
	if (is_new)
		simulation->result->decisions += decision->kind != DECISION_HELD;
	if (!simulation->config.out)
		return;
	if (is_new)
		print_decision(simulation, decision);
	for (; told->steps < decision->steps.count; told->steps++)
		print_step(simulation, decision, &decision->steps.at[told->steps]);
}

static void print_state(struct simulation *simulation, const struct policy_status *status)
{
	FILE *out = simulation->config.out;
	const struct reading *reading = &status->readings[0];
	double usage = reading->known ? reading->usage : NAN;

	if (simulation->config.json) {
		fprintf(out,
			"{\"type\":\"state\",\"seconds\":%.3f,\"policy\":\"%s\",\"replicas\":%d,"
			"\"ready\":%d,\"wanted\":%d,\"reading\":",
			simulation_seconds(simulation), status->policy->name, status->replicas,
			status->ready, status->wanted);
		fprintf(out, isnan(usage) ? "null}\n" : "%.6g}\n", usage);
		return;
	}
	fprintf(out, "%10.3f s  %-9s ", simulation_seconds(simulation), status->policy->name);
	if (isnan(usage))
		fprintf(out, "first metric not known (%s)", reading->why);
	else
		fprintf(out, "first metric %.4g", usage);
	fprintf(out, ", %d replicas, %d ready, %d wanted\n", status->replicas, status->ready,
		status->wanted);
}

void timeline_state(struct simulation *simulation)
{
	const struct policy_status *status;
	size_t count = core_policies(simulation->core, &status);

	for (size_t i = 0; simulation->config.out && i < count; i++)
		print_state(simulation, &status[i]);
}

/* What keeps the first policy from acting, when that changes. */
void timeline_held(struct simulation *simulation)
{
	const struct policy_status *status;

	if (!core_policies(simulation->core, &status) ||
	    strncmp(simulation->held, status->held, 24) == 0)
		return;
	snprintf(simulation->held, sizeof(simulation->held), "%s", status->held);
	if (!*status->held || !simulation->config.out)
		return;
	if (simulation->config.json) {
		_cleanup_text_ struct text text = {0};

		text_add_json(&text, status->held);
		fprintf(simulation->config.out,
			"{\"type\":\"held\",\"seconds\":%.3f,\"policy\":\"%s\",\"why\":%s}\n",
			simulation_seconds(simulation), status->policy->name, text.data);
		return;
	}
	fprintf(simulation->config.out, "%10.3f s  %-9s held: %s\n", simulation_seconds(simulation),
		status->policy->name, status->held);
}
