/* SPDX-License-Identifier: Apache-2.0 */
/* DynamoDB's answers about the item of a lease. */
#include "cloud/lease.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char problem[CLOUD_TEXT_SIZE] = "";
	struct lease_item item;
	int r = lease_item_read((const char *)data, size, &item, problem);

	if ((r < 0) != (*problem != '\0') || (r < 0 && item.there))
		abort();
	if (!item.there && (*item.holder || *item.rvn || item.epoch || item.state))
		abort();
	lease_item_free(&item);
	return 0;
}
