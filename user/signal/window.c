/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slow window of one metric as a ring of slots. Every sample of every listener is pushed, few
 * of their statistics are read: a push touches one slot and no more, and a statistic is made from
 * the slots when somebody asks.
 */
#include "signal/private.h"

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
	t->fast_count = timeline_within(t, t->fast_ns);
}

/* ---- push ---- */

static void *zeroed(size_t size)
{
	void *made = calloc(1, size);

	if (!made)
		abort();
	return made;
}

/* The value stops being constant: the slots before the newest get it. */
static void unfold(struct window *w, const struct timeline *t)
{
	if (!w->ring)
		w->ring = zeroed(sizeof(*w->ring));
	for (uint8_t i = t->merged ? 0 : 1; i < t->count; i++) {
		uint8_t slot = timeline_slot(t, i);

		w->ring->value[slot] = w->last;
		if (w->ring->peak)
			w->ring->peak[slot] = w->last;
	}
	w->constant = false;
	w->run = 0;
}

static double peak_at(const struct ring *ring, uint8_t slot)
{
	return ring->peak ? ring->peak[slot] : ring->value[slot];
}

static void ring_set(struct ring *ring, uint8_t slot, double value, double peak)
{
	if (!ring->peak && !same(value, peak)) {
		ring->peak = zeroed(sizeof(ring->value));
		memcpy(ring->peak, ring->value, sizeof(ring->value));
	}
	ring->value[slot] = value;
	if (ring->peak)
		ring->peak[slot] = peak;
}

/* Mean by time of what the slot held and what is new. */
static double merged_value(double old, const struct timeline *t, double value)
{
	double before = (double)t->merged_span_ns, now = (double)t->span_ns[t->newest];

	if (isnan(old) || isnan(value))
		return isnan(value) ? old : value;
	return old + (value - old) * (now > before ? (now - before) / now : 0);
}

static void ring_push(struct ring *ring, const struct timeline *t, double value, double peak)
{
	if (t->merged) {
		double before = peak_at(ring, t->newest);

		value = merged_value(ring->value[t->newest], t, value);
		if (before > peak || isnan(peak))
			peak = before;
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

bool window_push(struct window *w, const struct timeline *t, double value, double peak)
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
	ring_push(w->ring, t, value, peak);
	w->run = run_after(w, t, value, peak);
	w->last = value;
	w->constant = w->run >= t->count;
	return true;
}

/* ---- statistics ---- */

/* Over the newest slots whose value is known. */
struct sums {
	double span, weighted; /* nanoseconds, and values times them */
	double x, xx, v, xv; /* seconds since the newest slot, and values: for the trend */
	double lowest, highest, peak;
	unsigned known;
};

static void sum_up(const struct ring *ring, const struct timeline *t, uint8_t slots,
		   struct sums *sums)
{
	uint64_t now_ns = t->time_ns[t->newest];
	uint8_t at = t->newest;

	*sums = (struct sums){.lowest = INFINITY, .highest = -INFINITY, .peak = not_known};
	for (uint8_t i = 0; i < slots; i++, at = slot_before(at)) {
		double value = ring->value[at], peak = peak_at(ring, at);
		double x = -(double)(now_ns - t->time_ns[at]) / (double)NS_PER_S;

		if (!isnan(peak) && !(peak <= sums->peak))
			sums->peak = peak;
		if (isnan(value))
			continue;
		sums->known++;
		sums->span += (double)t->span_ns[at];
		sums->weighted += (double)t->span_ns[at] * value;
		sums->x += x;
		sums->xx += x * x;
		sums->v += value;
		sums->xv += x * value;
		sums->lowest = value < sums->lowest ? value : sums->lowest;
		sums->highest = value > sums->highest ? value : sums->highest;
	}
}

/* By time; a lone first sample has no time before it. Rounding must not leave the values' range. */
static double mean_of(const struct sums *s)
{
	double mean;

	if (!s->known)
		return not_known;
	mean = s->span > 0 ? s->weighted / s->span : s->v / s->known;
	return CLAMP(mean, s->lowest, s->highest);
}

/* Slope of the least-squares line through the slots, per second; three points at least. */
static double slope_of(const struct sums *s)
{
	double n = s->known;
	double below = n * s->xx - s->x * s->x;

	if (s->known < 3 || below <= 1e-12)
		return not_known;
	return (n * s->xv - s->x * s->v) / below;
}

/* The known values, in order. */
static unsigned sort_values(const struct ring *ring, const struct timeline *t,
			    double sorted[WINDOW_SLOTS])
{
	unsigned known = 0;
	uint8_t slot = t->newest;

	for (uint8_t i = 0; i < t->count; i++, slot = slot_before(slot)) {
		double value = ring->value[slot];
		unsigned at = known;

		if (isnan(value))
			continue;
		for (; at && sorted[at - 1] > value; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = value;
		known++;
	}
	return known;
}

/* Nearest rank. */
static double percentile(const double *sorted, unsigned known, unsigned percent)
{
	unsigned rank = (percent * known + 99) / 100;

	return known ? sorted[MAX(rank, 1u) - 1] : not_known;
}

void window_statistics(const struct window *w, const struct timeline *t, double out[STAT_COUNT])
{
	double sorted[WINDOW_SLOTS];
	struct sums fast, slow;
	unsigned known;

	if (w->constant) {
		for (int i = 0; i < STAT_COUNT; i++)
			out[i] = w->last;
		out[STAT_TREND] = isnan(w->last) || t->count < 3 ? not_known : 0;
		return;
	}
	sum_up(w->ring, t, t->fast_count, &fast);
	sum_up(w->ring, t, t->count, &slow);
	known = sort_values(w->ring, t, sorted);
	out[STAT_LAST] = w->last;
	out[STAT_FAST] = mean_of(&fast);
	out[STAT_FAST_PEAK] = fast.peak;
	out[STAT_SLOW] = mean_of(&slow);
	out[STAT_SLOW_PEAK] = slow.peak;
	out[STAT_SLOW_P50] = percentile(sorted, known, 50);
	out[STAT_SLOW_P90] = percentile(sorted, known, 90);
	out[STAT_SLOW_P99] = percentile(sorted, known, 99);
	out[STAT_TREND] = slope_of(&slow);
}

double window_mean(const struct window *w, const struct timeline *t, uint8_t slots)
{
	struct sums sums;

	if (w->constant)
		return w->last;
	sum_up(w->ring, t, slots, &sums);
	return mean_of(&sums);
}

void window_free(struct window *window)
{
	if (window->ring)
		free(window->ring->peak);
	free(TAKE(window->ring));
}
