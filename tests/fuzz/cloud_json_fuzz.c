/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials of containers and IMDS, price lists, quotas. The first byte chooses the reader. */
#include "cloud/private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_price(void *arg, const char *type, double usd_per_hour)
{
	(void)arg;
	if (!type || !(usd_per_hour > 0))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct credentials credentials;
	char problem[CLOUD_TEXT_SIZE] = "", *token = NULL, *body;

	if (!size)
		return 0;
	body = strndup((const char *)data + 1, size - 1);
	if (data[0] % 2) {
		int r = credentials_parse_json(body, strlen(body), &credentials, problem);

		if (r == 0 && (!*credentials.access_key || !*credentials.secret_key))
			abort();
		if (r < 0 && !*problem)
			abort();
		credentials_free(&credentials);
	} else if (data[0] % 4 == 2) {
		struct vcpu_quota quota = {0};

		if (quota_read(body, strlen(body), &quota) == 0 && !(quota.vcpus >= 0))
			abort();
	} else {
		prices_parse(body, strlen(body), on_price, NULL, &token);
		free(token);
	}
	free(body);
	return 0;
}
