/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/probe.h"

void probe_bucket_bounds(size_t i, uint64_t *low_ns, uint64_t *high_ns)
{
	size_t octave, eighth;
	uint64_t width_ns;

	if (i == 0) {
		*low_ns = 0;
		*high_ns = NS_PER_US;
		return;
	}
	if (i >= PROBE_BUCKETS - 1) {
		*low_ns = NS_PER_US << FORERUN_OCTAVES;
		*high_ns = UINT64_MAX;
		return;
	}
	octave = (i - 1) / FORERUN_BUCKETS_PER_OCTAVE;
	eighth = (i - 1) % FORERUN_BUCKETS_PER_OCTAVE;
	width_ns = (NS_PER_US << octave) / FORERUN_BUCKETS_PER_OCTAVE;
	*low_ns = (NS_PER_US << octave) + eighth * width_ns;
	*high_ns = *low_ns + width_ns;
}
