/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a file holds: it is read without a crash, and refused or right, never both. */
#include "documents/documents.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct documents documents = {0};
	struct problems problems = {0};
	int r = documents_parse(&documents, "fuzz.yaml", (const char *)data, size, &problems);
	bool any = documents.policies.count || documents.pools.count || documents.classes.count;

	if ((r < 0) != (problems.errors > 0) || (r < 0 && any))
		abort();
	vec_for_each (policy, &documents.policies)
		if (!policy->name || !policy->pool || !policy->metrics.count ||
		    policy->max_replicas < policy->min_replicas)
			abort();
	vec_for_each (pool, &documents.pools)
		if (!pool->name || !pool->node_class)
			abort();
	vec_for_each (node_class, &documents.classes)
		if (!node_class->name || !node_class->amis.count ||
		    !node_class->role == !node_class->instance_profile)
			abort();
	if (r == 0)
		documents_check(&documents, &problems);
	documents_free(&documents);
	problems_free(&problems);
	return 0;
}
