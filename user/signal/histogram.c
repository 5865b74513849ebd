/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Response times of the slow window. Only what each sample added is kept, as (slot, bucket, count):
 * a sample seldom touches more than a few buckets, and a whole histogram for each slot would be
 * 25 KiB a listener.
 */
#include "signal/private.h"

#define FIRST_CAPACITY 64 /* a power of two, as all that follow */

static void queue_grow(struct histogram *h)
{
	uint32_t capacity = h->capacity ? h->capacity * 2 : FIRST_CAPACITY;
	struct histogram_delta *deltas = calloc(capacity, sizeof(*deltas));

	if (!deltas)
		abort();
	for (uint32_t i = 0; i < h->length; i++)
		deltas[i] = h->deltas[(h->head + i) & (h->capacity - 1)];
	free(h->deltas);
	h->deltas = deltas;
	h->head = 0;
	h->capacity = capacity;
}

const double histogram_q[QUANTILES] = {0.5, 0.9, 0.99};

static void counts_clear(struct histogram_counts *counts)
{
	memset(counts, 0, sizeof(*counts));
	counts->low = UINT8_MAX;
}

static void counts_add(struct histogram_counts *counts, uint8_t bucket, uint32_t count)
{
	counts->at[bucket] += count;
	counts->total += count;
	counts->low = MIN(counts->low, bucket);
	counts->high = MAX(counts->high, bucket);
}

static void queue_add(struct histogram *h, uint8_t slot, uint8_t bucket, uint32_t count)
{
	if (h->length == h->capacity)
		queue_grow(h);
	h->deltas[(h->head + h->length++) & (h->capacity - 1)] =
		(struct histogram_delta){.count = count, .bucket = bucket, .slot = slot};
	counts_add(&h->slow, bucket, count);
}

static void queue_evict(struct histogram *h, uint8_t slot)
{
	while (h->length && h->deltas[h->head].slot == slot) {
		const struct histogram_delta *d = &h->deltas[h->head];

		h->slow.at[d->bucket] -= d->count;
		h->slow.total -= d->count;
		h->head = (h->head + 1) & (h->capacity - 1);
		h->length--;
	}
	if (!h->length)
		counts_clear(&h->slow);
}

void histogram_evict(struct histogram *h, const struct timeline_step *step)
{
	for (uint8_t i = 0; i < step->evicted_count; i++)
		queue_evict(h, step->evicted[i]);
}

/* Most buckets do not change: they are passed over in blocks. */
#define BLOCK 8

static bool block_is_same(const uint64_t *a, const uint64_t *b)
{
	return memcmp(a, b, BLOCK * sizeof(*a)) == 0;
}

void histogram_push(struct histogram *h, const struct timeline *t, const uint64_t *buckets,
		    uint64_t *previous, bool rebase, struct histogram_counts *interval)
{
	counts_clear(interval);
	for (size_t b = 0; b < PROBE_BUCKETS; b++) {
		uint64_t added;
		uint32_t count;

		if (b % BLOCK == 0 && b + BLOCK <= PROBE_BUCKETS &&
		    block_is_same(&buckets[b], &previous[b])) {
			b += BLOCK - 1;
			continue;
		}
		added = buckets[b] > previous[b] ? buckets[b] - previous[b] : 0;
		previous[b] = buckets[b];
		/* The sums of a window must fit in 32 bits: a broken count is cut. */
		count = (uint32_t)MIN(added, UINT32_MAX / WINDOW_SLOTS);

		if (count && !rebase) {
			queue_add(h, t->newest, (uint8_t)b, count);
			counts_add(interval, (uint8_t)b, count);
		}
	}
}

void histogram_within(const struct histogram *h, const struct timeline *t, uint8_t slots,
		      struct histogram_counts *sum)
{
	bool wanted[WINDOW_SLOTS] = {false};

	counts_clear(sum);
	for (uint8_t i = 0; i < slots; i++)
		wanted[timeline_slot(t, i)] = true;
	for (uint32_t i = h->length; i > 0; i--) {
		const struct histogram_delta *d = &h->deltas[(h->head + i - 1) & (h->capacity - 1)];

		if (!wanted[d->slot])
			break;
		counts_add(sum, d->bucket, d->count);
	}
}

/*
 * The bounds that bpf/forerun.h describes: bucket 0 below 1 us, then FORERUN_BUCKETS_PER_OCTAVE to
 * each power of two.
 */
static void bounds(size_t bucket, double *low, double *high)
{
	size_t octave, part;
	double base;

	if (bucket == 0) {
		*low = 0;
		*high = 1e-6;
		return;
	}
	octave = (bucket - 1) / FORERUN_BUCKETS_PER_OCTAVE;
	part = (bucket - 1) % FORERUN_BUCKETS_PER_OCTAVE;
	base = 1e-6 * (double)(1ULL << octave);
	*low = base * (1 + (double)part / FORERUN_BUCKETS_PER_OCTAVE);
	/* The last bucket has no end: its beginning is all that is known. */
	*high = bucket == PROBE_BUCKETS - 1
			? *low
			: base * (1 + (double)(part + 1) / FORERUN_BUCKETS_PER_OCTAVE);
}

static double interpolate(size_t bucket, double share)
{
	double low, high;

	bounds(bucket, &low, &high);
	return low + (high - low) * fmin(fmax(share, 0), 1);
}

void histogram_quantiles(const struct histogram_counts *counts, double out[QUANTILES])
{
	uint64_t below = 0;
	size_t q = 0;

	for (size_t b = counts->low; b <= counts->high && counts->total; b++) {
		uint32_t count = counts->at[b];

		for (; q < QUANTILES && count; q++) {
			double rank = histogram_q[q] * (double)counts->total - (double)below;

			if (rank > (double)count)
				break;
			out[q] = interpolate(b, rank / (double)count);
		}
		if (q == QUANTILES)
			return;
		below += count;
	}
	/* Nothing at all, or the last quantile lost to rounding. */
	for (; q < QUANTILES; q++)
		out[q] = counts->total ? interpolate(counts->high, 1) : NAN;
}

void histogram_free(struct histogram *histogram)
{
	if (!histogram)
		return;
	free(histogram->deltas);
	free(histogram);
}
