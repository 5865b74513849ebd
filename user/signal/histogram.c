/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Response times of the slow window. Only what each sample added is kept, as (slot, bucket, count):
 * a sample seldom touches more than a few buckets, and a whole histogram for each slot would be
 * 25 KiB a listener.
 */
#include "signal/private.h"

#define FIRST_CAPACITY 64

static void queue_grow(struct histogram *h)
{
	uint32_t capacity = h->capacity ? h->capacity * 2 : FIRST_CAPACITY;
	struct histogram_delta *deltas = calloc(capacity, sizeof(*deltas));

	if (!deltas)
		abort();
	for (uint32_t i = 0; i < h->length; i++)
		deltas[i] = h->deltas[(h->head + i) % h->capacity];
	free(h->deltas);
	h->deltas = deltas;
	h->head = 0;
	h->capacity = capacity;
}

static void queue_add(struct histogram *h, uint8_t slot, uint8_t bucket, uint32_t count)
{
	if (h->length == h->capacity)
		queue_grow(h);
	h->deltas[(h->head + h->length++) % h->capacity] =
		(struct histogram_delta){.count = count, .bucket = bucket, .slot = slot};
	h->slow[bucket] += count;
}

static void queue_evict(struct histogram *h, uint8_t slot)
{
	while (h->length && h->deltas[h->head].slot == slot) {
		h->slow[h->deltas[h->head].bucket] -= h->deltas[h->head].count;
		h->head = (h->head + 1) % h->capacity;
		h->length--;
	}
}

uint64_t histogram_push(struct histogram *h, const struct timeline *t,
			const struct timeline_step *step, const uint64_t *buckets, bool rebase,
			uint32_t interval[PROBE_BUCKETS])
{
	uint64_t total = 0;

	for (uint8_t i = 0; i < step->evicted_count; i++)
		queue_evict(h, step->evicted[i]);
	memset(interval, 0, PROBE_BUCKETS * sizeof(*interval));
	for (size_t b = 0; buckets && b < PROBE_BUCKETS; b++) {
		uint64_t added = buckets[b] > h->previous[b] ? buckets[b] - h->previous[b] : 0;

		h->previous[b] = buckets[b];
		/* The sums of a window must fit in 32 bits: a hostile or broken count is cut. */
		interval[b] = rebase ? 0 : (uint32_t)MIN(added, UINT32_MAX / WINDOW_SLOTS);
		if (!interval[b])
			continue;
		queue_add(h, t->newest, (uint8_t)b, interval[b]);
		total += interval[b];
	}
	return total;
}

void histogram_within(const struct histogram *h, const struct timeline *t, uint8_t slots,
		      uint32_t sum[PROBE_BUCKETS])
{
	bool wanted[WINDOW_SLOTS] = {false};

	memset(sum, 0, PROBE_BUCKETS * sizeof(*sum));
	for (uint8_t i = 0; i < slots; i++)
		wanted[timeline_slot(t, i)] = true;
	for (uint32_t i = h->length; i > 0; i--) {
		const struct histogram_delta *d = &h->deltas[(h->head + i - 1) % h->capacity];

		if (!wanted[d->slot])
			break;
		sum[d->bucket] += d->count;
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
	base = ldexp(1e-6, (int)octave);
	*low = base * (1 + (double)part / FORERUN_BUCKETS_PER_OCTAVE);
	/* The last bucket has no end: its beginning is all that is known. */
	*high = bucket == PROBE_BUCKETS - 1
			? *low
			: base * (1 + (double)(part + 1) / FORERUN_BUCKETS_PER_OCTAVE);
}

double histogram_quantile(const uint32_t counts[PROBE_BUCKETS], double q)
{
	uint64_t total = 0, below = 0;
	double rank;

	for (size_t b = 0; b < PROBE_BUCKETS; b++)
		total += counts[b];
	if (!total)
		return NAN;
	rank = q * (double)total;
	for (size_t b = 0; b < PROBE_BUCKETS; b++) {
		double low, high;

		if (!counts[b] || (double)(below + counts[b]) < rank) {
			below += counts[b];
			continue;
		}
		bounds(b, &low, &high);
		return low + (high - low) * fmax(rank - (double)below, 0) / counts[b];
	}
	return NAN;
}

void histogram_free(struct histogram *histogram)
{
	if (!histogram)
		return;
	free(histogram->deltas);
	free(histogram);
}
