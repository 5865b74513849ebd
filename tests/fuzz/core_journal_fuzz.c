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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct core_effects effects = {.launch = launch, .terminate = terminate};
	struct core_config config = {.mode = MODE_ACT, .host = "fuzz"};
	struct moment now = {1000 * NS_PER_S, 1700000000 * NS_PER_S};
	struct documents documents = {0};
	struct text text = {0};
	struct core *core;
	char reason[160];

	core_limits_default(&config.limits);
	if (core_new(&config, &documents, &effects, &core) < 0)
		return 0;
	for (size_t at = 0; at < size;) {
		const uint8_t *end = memchr(data + at, '\n', size - at);
		size_t length = end ? (size_t)(end - data) - at : size - at;

		core_replay(core, (const char *)data + at, length, reason);
		at += length + 1;
	}
	core_start(core, now);
	core_tick(core, now);
	for (size_t i = 0; core_decision(core, i); i++)
		decision_explain(core_decision(core, i), &text);
	text_free(&text);
	core_free(core);
	return 0;
}
