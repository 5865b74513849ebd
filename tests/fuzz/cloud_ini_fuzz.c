/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/ini.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ini ini = {0};
	char problem[128];
	int r = ini_parse((const char *)data, size, &ini, problem);

	if ((r < 0) != (problem[0] != '\0'))
		abort();
	vec_for_each (entry, &ini.list)
		if (!entry->section || !entry->key || !entry->value || !entry->line)
			abort();
	ini_free(&ini);
	return 0;
}
