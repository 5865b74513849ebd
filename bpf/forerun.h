/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel programs and user/probe share: structs with fixed-width fields and no implicit
 * padding, and limits. Included by both sides; <linux/types.h>-style names come from the includer
 * (vmlinux/ in the kernel, <linux/types.h> here).
 */
#ifndef FORERUN_BPF_FORERUN_H
#define FORERUN_BPF_FORERUN_H

/*
 * Response times fall into log-linear buckets: 8 to each power of two from 1 us on, so that a
 * bucket's middle is within 6.25 % of every value in it. Bucket 0 is below 1 us, the last one is
 * everything from 2^27 us (134 s) on.
 */
#define FORERUN_BUCKETS_PER_OCTAVE 8
#define FORERUN_OCTAVES 27
#define FORERUN_BUCKETS (1 + FORERUN_OCTAVES * FORERUN_BUCKETS_PER_OCTAVE + 1)

#endif
