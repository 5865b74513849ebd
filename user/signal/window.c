/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slow window of one metric as a ring of slots, with the order of its values kept as they come
 * and go, so that peaks and percentiles cost nothing when they are read.
 */
#include "signal/private.h"

static const double not_known = NAN;

static bool same(double a, double b)
{
	return a == b || (isnan(a) && isnan(b));
}

/* ---- time ---- */

static bool merges(const struct timeline *t, uint64_t time_ns)
{
	uint64_t before;

	if (t->count < 2)
		return false;
	before = t->time_ns[timeline_slot(t, 1)];
	return time_ns - before < t->slow_ns / WINDOW_SPANS;
}

void timeline_advance(struct timeline *t, uint64_t time_ns, struct timeline_step *step)
{
	uint64_t previous = t->count ? t->time_ns[t->newest] : time_ns;

	step->evicted_count = 0;
	t->merged = merges(t, time_ns);
	t->merged_span_ns = t->span_ns[t->newest];
	if (!t->merged) {
		if (t->count)
			t->newest = (uint8_t)((t->newest + 1) % WINDOW_SLOTS);
		t->count++;
		t->span_ns[t->newest] = 0;
	}
	t->time_ns[t->newest] = time_ns;
	t->span_ns[t->newest] += time_ns - previous;
	while (t->count > 1) {
		uint8_t oldest = timeline_slot(t, (uint8_t)(t->count - 1));

		if (t->count <= WINDOW_SLOTS - 1 && time_ns - t->time_ns[oldest] < t->slow_ns)
			break;
		step->evicted[step->evicted_count++] = oldest;
		t->count--;
	}
}

uint8_t timeline_within(const struct timeline *t, uint64_t period_ns)
{
	uint64_t now = t->time_ns[t->newest];
	uint8_t n = 0;

	while (n < t->count && now - t->time_ns[timeline_slot(t, n)] < period_ns)
		n++;
	return n;
}

/* ---- order ---- */

static void order_remove(struct ring *ring, uint8_t slot)
{
	uint8_t *at = memchr(ring->order, slot, ring->known);

	if (!at)
		return;
	memmove(at, at + 1, (size_t)(ring->order + ring->known - at - 1));
	ring->known--;
}

static void order_insert(struct ring *ring, uint8_t slot)
{
	double value = ring->value[slot];
	uint8_t low = 0, high = ring->known;

	if (isnan(value))
		return;
	while (low < high) {
		uint8_t middle = (uint8_t)((low + high) / 2);

		if (ring->value[ring->order[middle]] <= value)
			low = (uint8_t)(middle + 1);
		else
			high = middle;
	}
	memmove(ring->order + low + 1, ring->order + low, (size_t)(ring->known - low));
	ring->order[low] = slot;
	ring->known++;
}

static void ring_set(struct ring *ring, uint8_t slot, double value, double peak)
{
	ring->value[slot] = value;
	ring->peak[slot] = peak;
	order_insert(ring, slot);
}

/* ---- push ---- */

/* The value stops being constant: the slots before the newest get it. */
static void unfold(struct window *w, const struct timeline *t)
{
	if (!w->ring)
		w->ring = malloc(sizeof(*w->ring));
	if (!w->ring)
		abort();
	w->ring->known = 0;
	for (uint8_t i = t->merged ? 0 : 1; i < t->count; i++)
		ring_set(w->ring, timeline_slot(t, i), w->last, w->last);
	w->constant = false;
	w->run = 0;
}

/* Mean by time of what the slot held and what is new. */
static double merged_value(const struct ring *ring, const struct timeline *t, double value)
{
	double old = ring->value[t->newest];
	double before = (double)t->merged_span_ns, now = (double)t->span_ns[t->newest];

	if (isnan(old) || isnan(value))
		return isnan(value) ? old : value;
	return old + (value - old) * (now > before ? (now - before) / now : 0);
}

static void ring_push(struct window *w, const struct timeline *t, double value, double peak)
{
	struct ring *ring = w->ring;

	if (t->merged) {
		value = merged_value(ring, t, value);
		peak = fmax(ring->peak[t->newest], peak);
		order_remove(ring, t->newest);
	}
	ring_set(ring, t->newest, value, peak);
}

/* How many of the newest slots hold nothing but the new value. */
static uint32_t run_after(const struct window *w, const struct timeline *t, double value,
			  double peak)
{
	if (!same(value, peak))
		return 0;
	if (same(value, w->last))
		return w->run + !t->merged;
	return t->merged ? 0 : 1;
}

void window_push(struct window *w, const struct timeline *t, const struct timeline_step *step,
		 double value, double peak)
{
	bool first = t->count == 1 && !t->merged;

	peak = fmax(peak, value);
	if (first && same(value, peak)) {
		w->last = value;
		w->constant = true;
		w->run = 1;
		return;
	}
	if (w->constant && same(value, w->last) && same(peak, value))
		return;
	if (first) {
		w->last = value;
		w->constant = true;
	}
	if (w->constant)
		unfold(w, t);
	for (uint8_t i = 0; i < step->evicted_count; i++)
		order_remove(w->ring, step->evicted[i]);
	ring_push(w, t, value, peak);
	w->run = run_after(w, t, value, peak);
	w->last = value;
	w->constant = w->run >= t->count;
}

/* ---- statistics ---- */

struct sums {
	double weight, weighted, plain, peak;
	uint8_t known;
};

static void sums_over(const struct ring *ring, const struct timeline *t, uint8_t slots,
		      struct sums *out)
{
	*out = (struct sums){.peak = not_known};
	for (uint8_t i = 0; i < slots; i++) {
		uint8_t slot = timeline_slot(t, i);
		double value = ring->value[slot];
		double weight = (double)t->span_ns[slot];

		if (isnan(value))
			continue;
		out->known++;
		out->weight += weight;
		out->weighted += weight * value;
		out->plain += value;
		out->peak = fmax(out->peak, ring->peak[slot]);
	}
}

/* By time; a lone first sample has no time before it. */
static double mean_of(const struct sums *s)
{
	double mean;

	if (!s->known)
		return not_known;
	mean = s->weight > 0 ? s->weighted / s->weight : s->plain / s->known;
	return fmin(mean, s->peak);
}

/* Nearest rank. */
static double percentile(const struct ring *ring, double q)
{
	size_t rank;

	if (!ring->known)
		return not_known;
	rank = (size_t)ceil(q * ring->known);
	return ring->value[ring->order[CLAMP(rank, 1, ring->known) - 1]];
}

/* Slope of the least-squares line through the slots, per second; three points at least. */
static double slope(const struct ring *ring, const struct timeline *t)
{
	double now = (double)t->time_ns[t->newest];
	double n = 0, st = 0, sv = 0, stt = 0, stv = 0, below;

	for (uint8_t i = 0; i < t->count; i++) {
		uint8_t slot = timeline_slot(t, i);
		double value = ring->value[slot];
		double x = ((double)t->time_ns[slot] - now) / (double)NS_PER_S;

		if (isnan(value))
			continue;
		n++;
		st += x;
		sv += value;
		stt += x * x;
		stv += x * value;
	}
	below = n * stt - st * st;
	if (n < 3 || below <= 0)
		return not_known;
	return (n * stv - st * sv) / below;
}

void window_statistics(const struct window *w, const struct timeline *t, double out[STAT_COUNT])
{
	struct sums fast, slow;

	if (w->constant) {
		for (int i = 0; i < STAT_COUNT; i++)
			out[i] = w->last;
		out[STAT_TREND] = isnan(w->last) || t->count < 3 ? not_known : 0;
		return;
	}
	sums_over(w->ring, t, timeline_within(t, t->fast_ns), &fast);
	sums_over(w->ring, t, t->count, &slow);
	out[STAT_LAST] = w->last;
	out[STAT_FAST] = mean_of(&fast);
	out[STAT_FAST_PEAK] = fast.peak;
	out[STAT_SLOW] = mean_of(&slow);
	out[STAT_SLOW_PEAK] = slow.peak;
	out[STAT_SLOW_P50] = percentile(w->ring, 0.5);
	out[STAT_SLOW_P90] = percentile(w->ring, 0.9);
	out[STAT_SLOW_P99] = percentile(w->ring, 0.99);
	out[STAT_TREND] = slope(w->ring, t);
}

void window_free(struct window *window)
{
	free(TAKE(window->ring));
}
