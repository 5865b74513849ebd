/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Apart from the programs, so that userspace tests the very function that the kernel runs. */
#ifndef FORERUN_BPF_BUCKETS_H
#define FORERUN_BPF_BUCKETS_H

#include "bpf/forerun.h"

/* Which bucket of forerun.h a duration falls into. */
static inline __attribute__((always_inline)) __u32 forerun_bucket_of(__u64 ns)
{
	__u64 eighths = ns / (1000 / FORERUN_BUCKETS_PER_OCTAVE); /* the only division */
	__u64 us = eighths / FORERUN_BUCKETS_PER_OCTAVE;
	__u32 octave = 0;

	if (us == 0)
		return 0;
	if (us >> FORERUN_OCTAVES)
		return FORERUN_BUCKETS - 1;
	/* The position of the highest bit, in five steps. */
	for (__u32 step = 16, rest = us; step; step >>= 1) {
		if (rest >> step) {
			rest >>= step;
			octave += step;
		}
	}
	return 1 + octave * FORERUN_BUCKETS_PER_OCTAVE +
	       (__u32)((eighths >> octave) & (FORERUN_BUCKETS_PER_OCTAVE - 1));
}

#endif
