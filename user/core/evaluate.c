/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When which policy is evaluated: the HPA algorithm on the present and on the forecast. A frame
 * concerns the policies of its host's services alone; an edge is evaluated at once, and of many
 * frames in a moment the rest waits for the next tick.
 */
#include "core/core_private.h"

#define COALESCE_NS (50 * NS_PER_MS)
#define AT_LEAST_EVERY_NS NS_PER_S
#define BACKOFF_FIRST_NS (5 * NS_PER_S)
#define BACKOFF_MAX_NS (300 * NS_PER_S)

struct policy_state *policy_find(struct core *core, const char *name)
{
	struct policy_state *policy;

	if (is_want_name(name))
		return want_find(core, name);
	policy = map_get(&core->policies_by_name, hash_text(name));
	return policy && strcmp(policy->policy->name, name) == 0 ? policy : NULL;
}

/* A pool that fails is not hammered: 5 s, doubled up to 5 min, until an instance serves. */
void policy_backoff(struct core *core, const char *name, const char *why, struct moment now)
{
	struct policy_state *policy = policy_find(core, name);
	uint64_t wait_ns;

	if (!policy)
		return;
	wait_ns = MIN(BACKOFF_FIRST_NS << MIN(policy->backoff_tries, 10U), BACKOFF_MAX_NS);
	policy->backoff_tries++;
	policy->backoff_ns = now.mono_ns + wait_ns;
	set_text(policy->backoff_why, why);
}

void policy_served(struct core *core, const char *name)
{
	struct policy_state *policy = policy_find(core, name);

	if (!policy)
		return;
	policy->backoff_tries = 0;
	policy->backoff_ns = 0;
}

/* ---- one policy ---- */

struct hpa_input policy_input(const struct policy_state *policy, bool up, struct moment now)
{
	return (struct hpa_input){
		.policy = policy->policy,
		.readings = up ? policy->readings_up : policy->readings,
		.current = policy->current,
		.ready = policy->replicas_ready,
		.use_forecast = up,
		.now_ns = now.mono_ns,
	};
}

/* A core that stands by, or does not know yet what runs and which hosts there are, would remember
 * too few replicas as what was recommended, and shrink to that later. So a policy's memory begins
 * with what there is when it may be acted on. */
static bool remembers(struct core *core, const struct policy_state *policy, struct moment now)
{
	return core->leads && (core->fleet_known || core->config.mode != MODE_ACT) &&
	       service_settled(core, policy->service, now);
}

static void evaluate_policy(struct core *core, size_t index, uint64_t edge_ns, struct moment now)
{
	struct policy_state *policy = &core->policies[index];
	struct evaluation e = {.policy = policy, .edge_ns = edge_ns, .now = now};
	struct hpa_input present, up;

	core->evaluated_ns[index] = MAX(now.mono_ns, 1);
	core->dirty[index] = false;
	replicas_count(core, policy, &policy->current, &policy->replicas_ready);
	policy_read(core, policy, now);
	if (!remembers(core, policy, now)) {
		hpa_state_free(&policy->down);
		hpa_state_free(&policy->up);
	}
	present = policy_input(policy, false, now);
	hpa_evaluate(&policy->down, &present, &policy->result_present);
	up = policy_input(policy, true, now);
	hpa_evaluate(&policy->up, &up, &policy->result_up);
	core->totals.evaluations++;
	policy->status_old = true;
	policy->held[0] = '\0';
	policy->braking = 0;
	act(core, &e);
	brakes_settle(core, policy);
}

/* ---- all of them ---- */

static void evaluate_all(struct core *core, uint64_t edge_ns, struct moment now)
{
	core->last_evaluated_ns = now.mono_ns;
	for (size_t i = 0; i < core->policies_count; i++)
		evaluate_policy(core, i, edge_ns, now);
}

static size_t index_of(const struct core *core, const struct policy_state *policy)
{
	return (size_t)(policy - core->policies);
}

uint64_t evaluate_frame(struct core *core, const struct host_view *host, bool edge,
			uint64_t edge_ns, struct moment now)
{
	uint64_t next_ns = UINT64_MAX;

	if (!core->config.fleet) {
		evaluate_all(core, edge_ns, now);
		return next_ns;
	}
	vec_for_each (member, &host->members)
		vec_for_each (policy, &(*member)->service->policies) {
			size_t i = index_of(core, *policy);
			uint64_t due_ns = core->evaluated_ns[i] + COALESCE_NS;

			if (edge || now.mono_ns >= due_ns) {
				evaluate_policy(core, i, edge_ns, now);
				continue;
			}
			core->dirty[i] = true;
			next_ns = MIN(next_ns, due_ns);
		}
	return next_ns;
}

/* What has waited for long enough. Returns when the next one will have. */
uint64_t evaluate_due(struct core *core, struct moment now)
{
	uint64_t next_ns = now.mono_ns + AT_LEAST_EVERY_NS;

	if (!core->last_evaluated_ns) {
		evaluate_all(core, 0, now);
		return next_ns;
	}
	for (size_t i = 0; i < core->policies_count; i++) {
		uint64_t wait_ns = core->dirty[i] ? COALESCE_NS : AT_LEAST_EVERY_NS;
		uint64_t due_ns = core->evaluated_ns[i] + wait_ns;

		if (now.mono_ns >= due_ns)
			evaluate_policy(core, i, 0, now);
		else
			next_ns = MIN(next_ns, due_ns);
	}
	return next_ns;
}

void evaluate_soon(struct core *core, const char *policy)
{
	const struct policy_state *state = policy_find(core, policy);

	if (state && state->want)
		state->want->looked_ns = 0;
	else if (state)
		core->evaluated_ns[index_of(core, state)] = 0;
}

/* ---- what people see of it ---- */

static void fill_status(struct policy_status *status, const struct policy_state *policy)
{
	size_t count = MIN(policy->policy->metrics.count, ARRAY_SIZE(status->readings));
	const struct hpa_result *up = &policy->result_up;

	for (size_t i = 0; i < count; i++) {
		status->readings[i] = policy->readings[i];
		status->readings[i].forecast = policy->readings_up[i].forecast;
		if (*policy->readings_up[i].why)
			set_text(status->readings[i].why, policy->readings_up[i].why);
	}
	status->result = up->desired > policy->current ? *up : policy->result_present;
	status->replicas = policy->current;
	status->ready = policy->replicas_ready;
	status->pending = policy->current - policy->replicas_ready;
	status->wanted = status->result.desired;
	status->observed = policy->observed;
	text_copy(status->held, sizeof(status->held), policy->held);
}

size_t core_policies(struct core *core, const struct policy_status **out)
{
	for (size_t i = 0; i < core->policies_count; i++) {
		struct policy_state *policy = &core->policies[i];

		if (policy->status_old)
			fill_status(&core->status[i], policy);
		policy->status_old = false;
	}
	*out = core->status;
	return core->policies_count;
}
