/* SPDX-License-Identifier: Apache-2.0 */
/* The journal is read at every start: lines of anything, one after another. */
#include "core/core.h"

static void launch(void *arg, const struct launch_order *order)
{
	(void)arg;
	(void)order;
}

static void terminate(void *arg, const struct terminate_order *order)
{
	(void)arg;
	(void)order;
}

/* Made once: the journal is what is fuzzed. */
static const struct documents *pool_and_policy(void)
{
	static const char yaml[] =
		"{apiVersion: karpenter.sh/v1, kind: NodePool, metadata: {name: web}, spec: "
		"{template: "
		"{spec: {nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: web}, "
		"requirements: []}}}}\n"
		"---\n"
		"{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: "
		"web}, "
		"spec: {scaleTargetRef: {apiVersion: karpenter.sh/v1, kind: NodePool, name: web}, "
		"maxReplicas: 4}}\n";
	static struct documents documents;
	struct problems problems = {0};

	if (!documents.pools.count &&
	    documents_parse(&documents, "fuzz", yaml, strlen(yaml), &problems) < 0)
		problems_print(&problems, stderr);
	if (documents.pools.count != 1 || documents.policies.count != 1)
		abort();
	problems_free(&problems);
	return &documents;
}

/* What people and exports are told of it. */
static void look(const struct core *core, struct moment now)
{
	struct lead_view *leads;
	struct pool_view *pools;
	struct coming_view coming;
	struct node_view node;
	struct lane_view lane;
	struct core_times times;

	core_times(core, now, &times);
	core_leads(core, &leads);
	core_pools(core, &pools);
	free(leads);
	free(pools);
	for (size_t at = 0; core_coming(core, &at, now, &coming);)
		;
	for (size_t at = 0; core_node(core, &at, now, &node);)
		;
	for (size_t at = 0; core_lane_held(core, &at, now, &lane);)
		;
}

/* Whatever was read: its short form must be read again. */
static int read_again(void *arg, const char *json, size_t length)
{
	char reason[160];

	if (core_replay(arg, json, length, reason) < 0) {
		fprintf(stderr, "%s: %.*s\n", reason, (int)length, json);
		abort();
	}
	return 0;
}

static void shorten(const struct core_config *config, const struct core_effects *effects,
		    struct core *core, struct moment now)
{
	struct core *other;

	if (core_new(config, pool_and_policy(), effects, &other) < 0)
		return;
	core_journal_rewrite(core, read_again, other, now);
	core_start(other, now);
	core_free(other);
}

/* What is no UTF-8 is written as another character, and so may grow too long for its place. */
static bool is_ascii(const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (data[i] >= 0x80)
			return false;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct core_effects effects = {.launch = launch, .terminate = terminate};
	struct core_config config = {.mode = MODE_ACT, .host = "fuzz"};
	struct moment now = {1000 * NS_PER_S, 1700000000 * NS_PER_S};
	struct text text = {0};
	struct core *core;
	char reason[160];

	core_limits_default(&config.limits);
	if (core_new(&config, pool_and_policy(), &effects, &core) < 0)
		return 0;
	for (size_t at = 0; at < size;) {
		const uint8_t *end = memchr(data + at, '\n', size - at);
		size_t length = end ? (size_t)(end - data) - at : size - at;

		core_replay(core, (const char *)data + at, length, reason);
		at += length + 1;
	}
	if (is_ascii(data, size))
		shorten(&config, &effects, core, now);
	core_start(core, now);
	core_tick(core, now);
	look(core, now);
	for (size_t i = 0; core_decision(core, i); i++)
		decision_explain(core_decision(core, i), &text);
	text_free(&text);
	core_free(core);
	return 0;
}
