/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One direction of a connection as records: a header of fixed size that says how long its body is,
 * again and again, wherever the segments are cut. HTTP/2 frames and TLS records are such.
 *
 * Apart from the programs, so that userspace tests and fuzzes the very functions that the kernel
 * runs: whoever includes it brings PAYLOAD_LOAD(skb, at, to, length).
 */
#ifndef FORERUN_BPF_RECORDS_H
#define FORERUN_BPF_RECORDS_H

#define RECORD_HEAD_MAX 16

/* What the compiler knows of the value ends here: it would leave out a comparison that the verifier
 * of Linux 6.1 needs, or make branches of what is reckoned without. */
#define HIDDEN(value) asm volatile("" : "+r"(value))

/* Where a direction stands between two segments. */
struct half {
	u32 left; /* of the body that is under way */
	u8 have; /* bytes of the next header that came already */
	u8 head[2 * RECORD_HEAD_MAX - 1]; /* room for what the verifier cannot rule out */
};

/* The new payload of one segment. */
struct span {
	u32 at, end; /* in the packet */
};

/* 1 to most bytes; false: not so many, or they are not there. The verifier of Linux 6.1 learns a
 * lower bound from no comparison with 0, but from a sum. */
static __always_inline bool load_some(struct __sk_buff *skb, u32 at, u8 *to, u32 length, u32 most)
{
	u32 beyond_one = length - 1;

	HIDDEN(beyond_one);
	return beyond_one < most && !PAYLOAD_LOAD(skb, at, to, beyond_one + 1);
}

/*
 * Takes what is next: 1 when a header is whole in half->head (its body is half->left, for the
 * caller to set), 0 when something was passed over, -1 at the end of the segment.
 */
static __always_inline int record_next(struct __sk_buff *skb, struct half *half, struct span *span,
				       u32 head_size)
{
	u32 rest = span->end - span->at, take;
	u32 have = half->have;

	if (span->at >= span->end)
		return -1;
	if (half->left) {
		take = half->left < rest ? half->left : rest;
		half->left -= take;
		span->at += take;
		return 0;
	}
	if (have >= head_size)
		return -1;
	take = head_size - have;
	if (take > rest)
		take = rest;
	if (!load_some(skb, span->at, half->head + have, take, RECORD_HEAD_MAX))
		return -1;
	span->at += take;
	half->have = have + take;
	if (half->have < head_size)
		return -1;
	half->have = 0;
	return 1;
}

#endif
