/* SPDX-License-Identifier: Apache-2.0 */
/* Which launch template an offering is bought with. */
#include "core/core.h"

/* As Karpenter's amifamily.Variant: by the labels instance-gpu-count and
 * instance-accelerator-count. */
bool image_variant_fits(enum image_variant variant, const struct instance_type *type)
{
	bool gpus = type && type->gpus.count > 0;
	bool accelerators = type && type->accelerators.count > 0;

	switch (variant) {
	case IMAGE_ANY:
		return true;
	case IMAGE_STANDARD:
		return !gpus && !accelerators;
	case IMAGE_NVIDIA:
		return gpus;
	case IMAGE_NEURON:
		return accelerators;
	}
	return false;
}

const struct launch_template *launch_template_for(const struct launch_template *templates,
						  size_t count, const struct offering *offering,
						  const char *pool, const char *reservation)
{
	for (size_t i = 0; i < count; i++) {
		const struct launch_template *one = &templates[i];

		if (!one->hibernates && one->architecture == offering->architecture &&
		    one->capacity_type == offering->capacity_type &&
		    (!*one->pool || strcmp(one->pool, pool) == 0) &&
		    strcmp(one->reservation, reservation) == 0 &&
		    image_variant_fits(one->variant, offering->type))
			return one;
	}
	return NULL;
}
