/* SPDX-License-Identifier: Apache-2.0 */
/* A recording may come from anybody. */
#include "lab/lab_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct recorded recorded = {0};
	char reason[160];

	if (recorded_parse((const char *)data, size, &recorded, reason) == 0) {
		FILE *file = fopen("/dev/null", "w");

		if (file) {
			lab_record(file, &recorded.sample, recorded.placed.at, &recorded.host);
			fclose(file);
		}
	}
	recorded_free(&recorded);
	return 0;
}
