/* SPDX-License-Identifier: Apache-2.0 */
/* What this room reads of cgroup paths and of small files in /proc and in a cgroup. */
#include "place/private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = malloc(size + 1);
	struct process_stat stat;
	struct owner owner;
	uint64_t some, full;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (owner_parse(text, &owner) > strlen(text))
		abort();
	if (memchr(owner.name, '\0', sizeof(owner.name)) == NULL)
		abort();
	(void)process_stat_parse(text, &stat);
	(void)pressure_parse(text, &some, &full);
	(void)text_counter(text, "usage_usec", &some);
	return 0;
}
