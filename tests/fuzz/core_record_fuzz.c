/* SPDX-License-Identifier: Apache-2.0 */
/* The lease's record is read by every core that takes the lead: what makes sense comes back as it
 * was written, and the rest leads nowhere. */
#include "core/core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct core_config config = {.mode = MODE_ACT, .host = "fuzz", .standby = true};
	const struct documents documents = {0};
	const struct core_effects effects = {0};
	const struct moment now = {1000 * NS_PER_S, 1700000000 * NS_PER_S};
	_cleanup_text_ struct text record = {0}, once = {0}, twice = {0};
	char reason[160] = "";
	struct core *core;

	text_add(&record, "");
	text_add_bytes(&record, data, size);
	if (core_new(&config, &documents, &effects, &core) < 0)
		return 0;
	if (core_lead(core, 1, record.data, now, reason) == 0) {
		core_state_write(core, false, &once);
		core_yield(core, "once more", now);
		if (core_lead(core, 1, once.data, now, reason) < 0)
			abort();
		core_state_write(core, false, &twice);
		if (strcmp(once.data, twice.data) != 0)
			abort();
	} else if (!*reason) {
		abort();
	}
	core_free(core);
	return 0;
}
