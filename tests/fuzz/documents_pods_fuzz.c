/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a file of pods or nodes holds: it is read without a crash, and refused or right. */
#include "documents/pods.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct documents documents = {0};
	struct node_objects nodes = {0};
	struct problems problems = {0};
	int r = nodes_parse(&nodes, &documents, "fuzz.yaml", (const char *)data, size, &problems);

	if ((r < 0) != (problems.errors > 0) ||
	    (r < 0 && (documents.pods.count || nodes.list.count)))
		abort();
	vec_for_each (it, &documents.pods) {
		const struct pod_template *pod = *it;

		if (!pod->name || !pod->namespace_)
			abort();
		vec_for_each (request, &pod->requests.list)
			if (!request->name || !(request->amount > 0))
				abort();
		vec_for_each (term, &pod->affinity.list)
			if (!term->topology_key)
				abort();
		vec_for_each (spread, &pod->spread)
			if (!spread->topology_key || spread->max_skew < 1)
				abort();
	}
	documents_free(&documents);
	node_objects_free(&nodes);
	problems_free(&problems);
	return 0;
}
