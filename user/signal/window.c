/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slow window of one metric as a ring of slots, with the order of its values kept as they come
 * and go, so that peaks and percentiles cost nothing when they are read.
 */
#include "signal/private.h"

#define RENEW_AFTER 32

static const double not_known = NAN;

static bool same(double a, double b)
{
	return a == b || (isnan(a) && isnan(b));
}

/* ---- time ---- */

static uint8_t slot_before(uint8_t slot)
{
	return slot ? (uint8_t)(slot - 1) : WINDOW_SLOTS - 1;
}

static bool merges(const struct timeline *t, uint64_t time_ns)
{
	uint64_t before;

	if (t->count < 2)
		return false;
	before = t->time_ns[timeline_slot(t, 1)];
	return time_ns - before < t->slow_ns / WINDOW_SPANS;
}

/* Moving the origin makes all sums be made from scratch: what is added and taken off in turn leaves
 * rounding behind, and far from the origin the slope would lose its digits. */
static void set_axis(struct timeline *t)
{
	uint8_t slot = t->newest;

	t->age += !t->merged;
	if (t->origin_ns && t->age < RENEW_AFTER) {
		t->x[slot] = (double)(t->time_ns[slot] - t->origin_ns) / (double)NS_PER_S;
		return;
	}
	t->age = 0;
	t->origin_ns = t->time_ns[slot];
	for (uint8_t i = 0; i < t->count; i++, slot = slot_before(slot))
		t->x[slot] = -(double)(t->origin_ns - t->time_ns[slot]) / (double)NS_PER_S;
}

static uint8_t timeline_within(const struct timeline *t, uint64_t period_ns)
{
	uint64_t now = t->time_ns[t->newest];
	uint8_t n = 0;

	while (n < t->count && now - t->time_ns[timeline_slot(t, n)] < period_ns)
		n++;
	return n;
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
	set_axis(t);
	t->fast_count = timeline_within(t, t->fast_ns);
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

/* ---- sums ---- */

/* Takes a slot in (sign 1) or out (sign -1). */
static void sums_change(struct sums *s, const struct ring *ring, const struct timeline *t,
			uint8_t slot, double span_ns, double sign)
{
	double value = ring->value[slot], x = t->x[slot];

	if (isnan(value))
		return;
	s->span += sign * span_ns;
	s->weighted += sign * span_ns * value;
	s->x += sign * x;
	s->xx += sign * x * x;
	s->v += sign * value;
	s->xv += sign * x * value;
}

static void sums_renew(struct ring *ring, const struct timeline *t)
{
	uint8_t slot = t->newest;

	ring->slow = (struct sums){0};
	ring->origin_ns = t->origin_ns;
	ring->peaks = false;
	for (uint8_t i = 0; i < t->count; i++, slot = slot_before(slot)) {
		sums_change(&ring->slow, ring, t, slot, (double)t->span_ns[slot], 1);
		ring->peaks |= ring->peak[slot] > ring->value[slot];
	}
}

static void ring_set(struct ring *ring, uint8_t slot, double value, double peak)
{
	ring->value[slot] = value;
	ring->peak[slot] = peak;
	ring->peaks |= peak > value;
	order_insert(ring, slot);
}

/* ---- push ---- */

/* The value stops being constant: the slots before the newest get it. */
static void unfold(struct window *w, const struct timeline *t)
{
	if (!w->ring)
		w->ring = calloc(1, sizeof(*w->ring));
	if (!w->ring)
		abort();
	w->ring->known = 0;
	w->ring->peaks = false;
	for (uint8_t i = t->merged ? 0 : 1; i < t->count; i++)
		ring_set(w->ring, timeline_slot(t, i), w->last, w->last);
	/* The sums are made when the newest slot has its value. */
	w->ring->origin_ns = 0;
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

static void ring_evict(struct ring *ring, const struct timeline *t,
		       const struct timeline_step *step)
{
	for (uint8_t i = 0; i < step->evicted_count; i++) {
		uint8_t slot = step->evicted[i];

		sums_change(&ring->slow, ring, t, slot, (double)t->span_ns[slot], -1);
		order_remove(ring, slot);
	}
}

static void ring_push(struct window *w, const struct timeline *t, double value, double peak)
{
	struct ring *ring = w->ring;

	if (t->merged) {
		value = merged_value(ring, t, value);
		if (ring->peak[t->newest] > peak || isnan(peak))
			peak = ring->peak[t->newest];
		order_remove(ring, t->newest);
		/* The time of the slot is another one already. */
		ring->origin_ns = 0;
	}
	ring_set(ring, t->newest, value, peak);
	if (ring->origin_ns != t->origin_ns)
		sums_renew(ring, t);
	else
		sums_change(&ring->slow, ring, t, t->newest, (double)t->span_ns[t->newest], 1);
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

bool window_push(struct window *w, const struct timeline *t, const struct timeline_step *step,
		 double value, double peak)
{
	bool first = t->count == 1 && !t->merged;

	if (!(peak >= value))
		peak = value;
	if (w->constant && !first && same(value, w->last) && same(peak, value))
		/* The trend of a constant is known from the third sample on. */
		return t->count <= 3;
	if (first) {
		w->last = value;
		w->constant = true;
		w->run = 1;
		if (same(value, peak))
			return true;
	}
	if (w->constant)
		unfold(w, t);
	ring_evict(w->ring, t, step);
	ring_push(w, t, value, peak);
	w->run = run_after(w, t, value, peak);
	w->last = value;
	w->constant = w->run >= t->count;
	return true;
}

/* ---- statistics ---- */

/* By time; a lone first sample has no time before it. Rounding must not leave the values' range. */
static double mean_of(const struct sums *s, unsigned known, double lowest, double highest)
{
	double mean;

	if (!known)
		return not_known;
	mean = s->span > 0 ? s->weighted / s->span : s->v / known;
	return mean < lowest ? lowest : mean > highest ? highest : mean;
}

static double lowest_of(const struct ring *ring)
{
	return ring->known ? ring->value[ring->order[0]] : not_known;
}

static double highest_of(const struct ring *ring)
{
	return ring->known ? ring->value[ring->order[ring->known - 1]] : not_known;
}

static double peak_of(const struct ring *ring, const struct timeline *t, uint8_t slots)
{
	double peak = not_known;
	uint8_t slot = t->newest;

	for (uint8_t i = 0; i < slots; i++, slot = slot_before(slot)) {
		if (!(ring->peak[slot] <= peak) && !isnan(ring->peak[slot]))
			peak = ring->peak[slot];
	}
	return peak;
}

static double fast_mean(const struct ring *ring, const struct timeline *t, uint8_t slots)
{
	double span = 0, weighted = 0, plain = 0, low = INFINITY, high = -INFINITY;
	uint8_t slot = t->newest;
	unsigned known = 0;

	for (uint8_t i = 0; i < slots; i++, slot = slot_before(slot)) {
		double value = ring->value[slot];

		if (isnan(value))
			continue;
		known++;
		span += (double)t->span_ns[slot];
		weighted += (double)t->span_ns[slot] * value;
		plain += value;
		low = value < low ? value : low;
		high = value > high ? value : high;
	}
	return mean_of(&(struct sums){.span = span, .weighted = weighted, .v = plain}, known, low,
		       high);
}

/* Nearest rank. */
static double percentile(const struct ring *ring, unsigned percent)
{
	unsigned rank = (percent * ring->known + 99) / 100;

	if (!ring->known)
		return not_known;
	return ring->value[ring->order[MAX(rank, 1u) - 1]];
}

/* Slope of the least-squares line through the slots, per second; three points at least. */
static double slope(const struct ring *ring)
{
	const struct sums *s = &ring->slow;
	double n = ring->known;
	double below = n * s->xx - s->x * s->x;

	if (ring->known < 3 || below <= 1e-12)
		return not_known;
	return (n * s->xv - s->x * s->v) / below;
}

void window_statistics(const struct window *w, const struct timeline *t, double out[STAT_COUNT])
{
	const struct ring *ring = w->ring;

	if (w->constant) {
		for (int i = 0; i < STAT_COUNT; i++)
			out[i] = w->last;
		out[STAT_TREND] = isnan(w->last) || t->count < 3 ? not_known : 0;
		return;
	}
	out[STAT_LAST] = w->last;
	out[STAT_FAST] = fast_mean(ring, t, t->fast_count);
	out[STAT_FAST_PEAK] = peak_of(ring, t, t->fast_count);
	out[STAT_SLOW] = mean_of(&ring->slow, ring->known, lowest_of(ring), highest_of(ring));
	out[STAT_SLOW_PEAK] = ring->peaks ? peak_of(ring, t, t->count) : highest_of(ring);
	out[STAT_SLOW_P50] = percentile(ring, 50);
	out[STAT_SLOW_P90] = percentile(ring, 90);
	out[STAT_SLOW_P99] = percentile(ring, 99);
	out[STAT_TREND] = slope(ring);
}

void window_free(struct window *window)
{
	free(TAKE(window->ring));
}
