/* SPDX-License-Identifier: Apache-2.0 */
/* A catalog that is read is written, and what was written reads back as the same text. */
#include "plan/catalog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct problems problems = {0};
	struct catalog *catalog = NULL, *again = NULL;
	_cleanup_text_ struct text first = {0}, second = {0};
	char *text = malloc(size ? size : 1); /* no end behind it */

	memcpy(text, data, size);
	if (catalog_read("input", text, size, &catalog, &problems) == 0) {
		catalog_write(catalog, &first);
		if (catalog_read("written", first.data, first.length, &again, &problems) < 0)
			abort();
		catalog_write(again, &second);
		if (strcmp(first.data, second.data) != 0)
			abort();
	} else if (!problems.errors) {
		abort();
	}
	catalog_free(catalog);
	catalog_free(again);
	problems_free(&problems);
	free(text);
	return 0;
}
