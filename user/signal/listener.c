/* SPDX-License-Identifier: Apache-2.0 */
/* From one sample of a listener to the values of its metrics. */
#include <sys/socket.h>

#include "signal/private.h"

struct listener *listener_new(const struct signal_config *config, const struct listener_sample *s)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (!l)
		abort();
	l->id = s->id;
	l->generation = s->generation;
	l->pid = s->pid;
	l->timeline.fast_ns = config->fast_ns;
	l->timeline.slow_ns = config->slow_ns;
	l->cpu_cores = l->cpu_utilization = l->throttled = NAN;
	l->cpu_pressure = l->memory_pressure = NAN;
	capacity_init(&l->capacity);
	return l;
}

void listener_free(struct listener *l)
{
	if (!l)
		return;
	for (int i = 0; i < METRIC_ALL; i++)
		window_free(&l->windows[i]);
	histogram_free(l->histogram);
	free(l);
}

/* ---- the interval ---- */

static struct counters counters_of(const struct listener_sample *s)
{
	return (struct counters){
		.drops = s->drops,
		.overflows = s->overflows,
		.syns = s->syns,
		.established = s->established,
		.accepted = s->accepted,
		.closed = s->closed,
		.requests = s->requests,
		.responses = s->responses,
		.wait_ns = s->accept_wait_ns,
		.waits = s->accept_waits,
	};
}

/* What is counted one by one in the kernel never shrinks by itself. */
static bool counts_anew(const struct counters *now, const struct counters *before)
{
	return now->syns < before->syns || now->established < before->established ||
	       now->requests < before->requests || now->responses < before->responses ||
	       now->closed < before->closed;
}

/* Others are differences or sums of several readings: a small step back is waited out. */
static uint64_t grow(uint64_t now, uint64_t *before)
{
	uint64_t delta = now > *before ? now - *before : 0;

	*before += delta;
	return delta;
}

static struct counters counters_grow(const struct counters *now, struct counters *before)
{
	return (struct counters){
		.drops = grow(now->drops, &before->drops),
		.overflows = grow(now->overflows, &before->overflows),
		.syns = grow(now->syns, &before->syns),
		.established = grow(now->established, &before->established),
		.accepted = grow(now->accepted, &before->accepted),
		.closed = grow(now->closed, &before->closed),
		.requests = grow(now->requests, &before->requests),
		.responses = grow(now->responses, &before->responses),
		.wait_ns = grow(now->wait_ns, &before->wait_ns),
		.waits = grow(now->waits, &before->waits),
	};
}

/* Differences since the last sample; interval.ns stays 0 where there is nothing to compare with.
 * After a gap (the process stood still) a peak is of any time since: older than every window. */
static void take_interval(struct listener *l, const struct listener_sample *s, uint64_t time_ns)
{
	struct counters now = counters_of(s);
	bool comparable =
		l->time_ns && s->generation == l->generation && !counts_anew(&now, &l->counters);

	l->interval = (struct interval){0};
	l->interval.after_gap = l->time_ns && time_ns - l->time_ns > l->timeline.slow_ns;
	l->interval.peak_depth = s->queue_depth;
	if (!l->interval.after_gap)
		l->interval.peak_depth =
			MAX(MAX(s->queue_peak, l->edge_peak), l->interval.peak_depth);
	l->generation = s->generation;
	if (!comparable) {
		l->counters = now;
		return;
	}
	l->interval.ns = time_ns - l->time_ns;
	l->interval.delta = counters_grow(&now, &l->counters);
}

/* ---- values ---- */

static double rate(const struct listener *l, uint64_t delta)
{
	if (!l->interval.ns)
		return NAN;
	return (double)delta * (double)NS_PER_S / (double)l->interval.ns;
}

/*
 * How long connections wait: measured where accept(2) is visible, else by Little's law (mean number
 * waiting / taken per second). While nothing is taken the oldest has waited at least since then.
 */
static double wait_seconds(const struct listener *l, const struct listener_sample *s,
			   uint64_t time_ns)
{
	const struct counters *d = &l->interval.delta;
	double mean_depth = ((double)l->depth + (double)s->queue_depth) / 2;
	uint64_t since = l->evidence.still_since_ns;

	/* Of an AF_UNIX listener's accepts only the least number is known: no law applies. */
	if (s->family == AF_UNIX && (d->accepted || !s->queue_depth))
		return s->queue_depth || d->accepted ? NAN : 0;
	if (d->waits)
		return (double)d->wait_ns / (double)d->waits / (double)NS_PER_S;
	if (s->queue_depth && !d->accepted)
		return since && l->interval.ns ? (double)(time_ns - since) / (double)NS_PER_S : NAN;
	if (!l->interval.ns)
		return s->queue_depth ? NAN : 0;
	if (!d->accepted)
		return 0;
	return mean_depth * (double)l->interval.ns / (double)d->accepted / (double)NS_PER_S;
}

static double utilization(uint32_t depth, uint32_t limit)
{
	return (double)depth / ((double)limit + 1);
}

static void fill_values(const struct listener *l, const struct listener_sample *s, uint64_t time_ns,
			double value[METRIC_ALL])
{
	const struct counters *d = &l->interval.delta;

	value[METRIC_ACCEPT_QUEUE_DEPTH] = s->queue_depth;
	value[METRIC_ACCEPT_QUEUE_UTILIZATION] =
		utilization(s->queue_worst_depth, s->queue_worst_limit);
	value[METRIC_ACCEPT_QUEUE_WAIT_SECONDS] = wait_seconds(l, s, time_ns);
	value[METRIC_SYN_QUEUE_DEPTH] = s->syn_queue;
	value[METRIC_DROPS_PER_SECOND] = rate(l, d->drops);
	value[METRIC_OVERFLOWS_PER_SECOND] = rate(l, d->overflows);
	value[METRIC_CONNECTIONS_PER_SECOND] = rate(l, d->established);
	value[METRIC_ACCEPTS_PER_SECOND] = rate(l, d->accepted);
	value[METRIC_REQUESTS_PER_SECOND] = rate(l, d->requests);
	value[METRIC_RESPONSES_PER_SECOND] = rate(l, d->responses);
	value[METRIC_REQUESTS_IN_FLIGHT] = s->in_flight;
	value[METRIC_OPEN_CONNECTIONS] = s->open_connections;
	value[METRIC_CPU_CORES] = l->cpu_cores;
	value[METRIC_CPU_UTILIZATION] = l->cpu_utilization;
	value[METRIC_CPU_THROTTLED_RATIO] = l->throttled;
	value[METRIC_CPU_PRESSURE_RATIO] = l->cpu_pressure;
	value[METRIC_MEMORY_PRESSURE_RATIO] = l->memory_pressure;
	value[METRIC_SYNS_PER_SECOND] = rate(l, d->syns);
	value[METRIC_CLOSES_PER_SECOND] = rate(l, d->closed);
}

/* What no hook shows of an AF_UNIX listener is not known: its counters stand still. */
static void unknown_of_unix(double value[METRIC_ALL])
{
	static const unsigned metrics[] = {
		METRIC_SYN_QUEUE_DEPTH,	     METRIC_DROPS_PER_SECOND,
		METRIC_OVERFLOWS_PER_SECOND, METRIC_CONNECTIONS_PER_SECOND,
		METRIC_ACCEPTS_PER_SECOND,   METRIC_REQUESTS_PER_SECOND,
		METRIC_RESPONSES_PER_SECOND, METRIC_REQUESTS_IN_FLIGHT,
		METRIC_OPEN_CONNECTIONS,     METRIC_SYNS_PER_SECOND,
		METRIC_CLOSES_PER_SECOND,
	};

	for (size_t i = 0; i < ARRAY_SIZE(metrics); i++)
		value[metrics[i]] = NAN;
}

static void fill_peaks(const struct listener *l, const struct listener_sample *s,
		       const double value[METRIC_ALL], double peak[METRIC_ALL])
{
	memcpy(peak, value, METRIC_ALL * sizeof(*peak));
	peak[METRIC_ACCEPT_QUEUE_DEPTH] = l->interval.peak_depth;
	if (l->interval.after_gap)
		return;
	/* The peak is of one socket, as utilization is. */
	peak[METRIC_ACCEPT_QUEUE_UTILIZATION] =
		fmax(value[METRIC_ACCEPT_QUEUE_UTILIZATION],
		     utilization(MAX(s->queue_peak, l->edge_peak),
				 MAX(s->queue_worst_limit, l->edge_worst_limit)));
}

/* ---- response times ---- */

static const enum metric quantile_metric[QUANTILES] = {
	METRIC_RESPONSE_TIME_P50_SECONDS,
	METRIC_RESPONSE_TIME_P90_SECONDS,
	METRIC_RESPONSE_TIME_P99_SECONDS,
};

static struct histogram *histogram_start(const struct listener *l, const struct listener_sample *s,
					 struct indicator *indicator)
{
	struct histogram *h = calloc(1, sizeof(*h));

	if (!h)
		abort();
	/* The first sample tells where the counters stand, unless they started at 0 before our
	 * eyes. */
	if (!l->interval.ns || l->counters.responses != l->interval.delta.responses)
		memcpy(indicator->response_buckets, s->response_buckets,
		       sizeof(indicator->response_buckets));
	return h;
}

static void response_values(struct listener *l, const struct listener_sample *s,
			    struct indicator *indicator, const struct timeline_step *step,
			    double value[METRIC_ALL])
{
	struct histogram_counts interval;
	double q[QUANTILES] = {NAN, NAN, NAN};

	if (!l->histogram && s->responses && s->response_buckets)
		l->histogram = histogram_start(l, s, indicator);
	if (l->histogram)
		histogram_evict(l->histogram, step);
	if (l->histogram && s->response_buckets &&
	    (l->interval.delta.responses || !l->interval.ns)) {
		histogram_push(l->histogram, &l->timeline, s->response_buckets,
			       indicator->response_buckets, !l->interval.ns, &interval);
		histogram_quantiles(&interval, q);
	}
	for (size_t i = 0; i < QUANTILES; i++)
		value[quantile_metric[i]] = q[i];
}

/* The quantile of all responses in the window, not the mean of quantiles. */
static void response_statistics(const struct listener *l, struct indicator *indicator)
{
	struct histogram_counts fast;
	double q_fast[QUANTILES], q_slow[QUANTILES];

	if (!l->histogram || !l->histogram->length)
		return;
	histogram_within(l->histogram, &l->timeline, l->timeline.fast_count, &fast);
	histogram_quantiles(&fast, q_fast);
	histogram_quantiles(&l->histogram->slow, q_slow);
	for (size_t i = 0; i < QUANTILES; i++) {
		double *value = indicator->value[quantile_metric[i]];

		value[STAT_FAST] = q_fast[i];
		value[STAT_SLOW] = q_slow[i];
		value[STAT_FAST_PEAK] = fmax(value[STAT_FAST_PEAK], value[STAT_FAST]);
		value[STAT_SLOW_PEAK] =
			fmax(fmax(value[STAT_SLOW_PEAK], value[STAT_SLOW]), value[STAT_FAST_PEAK]);
	}
}

/* ---- waits, by connection and not by time ---- */

static void wait_push(struct listener *l)
{
	uint8_t slot = l->timeline.newest;

	if (!l->timeline.merged)
		l->wait_ns[slot] = l->waits[slot] = 0;
	l->wait_ns[slot] += (float)l->interval.delta.wait_ns;
	l->waits[slot] += (float)l->interval.delta.waits;
}

static void wait_mean(const struct listener *l, uint8_t slots, double peak, double *mean)
{
	double sum = 0, count = 0;

	for (uint8_t i = 0; i < slots; i++) {
		sum += (double)l->wait_ns[timeline_slot(&l->timeline, i)];
		count += (double)l->waits[timeline_slot(&l->timeline, i)];
	}
	if (count > 0)
		*mean = fmin(sum / count / (double)NS_PER_S, peak);
}

static void wait_statistics(const struct listener *l, struct indicator *indicator)
{
	double *value = indicator->value[METRIC_ACCEPT_QUEUE_WAIT_SECONDS];

	if (!l->counters.waits)
		return;
	wait_mean(l, l->timeline.fast_count, value[STAT_FAST_PEAK], &value[STAT_FAST]);
	wait_mean(l, l->timeline.count, value[STAT_SLOW_PEAK], &value[STAT_SLOW]);
}

/* ---- one sample ---- */

static void copy_facts(struct indicator *i, const struct listener_sample *s,
		       const struct placed *placed, const struct listener *l)
{
	i->id = s->id;
	i->slot = s->slot;
	i->netns = s->netns;
	i->family = s->family;
	i->port = s->port;
	memcpy(i->address, s->address, sizeof(i->address));
	i->sockets = s->sockets;
	i->queue_limit = s->queue_limit;
	i->owner = *placed->owner;
	i->time_ns = l->time_ns;
	i->first_seen_ns = l->first_seen_ns;
	i->requests = s->requests;
	i->responses = s->responses;
	i->established = s->established;
	i->accepted = s->accepted;
	i->closed = s->closed;
	i->drops = s->drops;
	i->overflows = s->overflows;
	i->syns = s->syns;
	i->response_ns = s->response_ns;
	memcpy(i->protocols, s->protocols, sizeof(i->protocols));
	i->lower_bounds = s->lower_bounds;
}

static void learn_capacity(const struct signal *signal, struct listener *l,
			   const struct listener_sample *s, const struct indicator *indicator)
{
	/* Waiting at both ends, and everything that was taken left somebody behind. */
	bool waiting = l->depth > 0 && s->queue_depth > 0 && l->interval.ns > 0;
	bool saturated = waiting && l->interval.delta.responses > 0 &&
			 !cpu_is_low(&signal->config, l, indicator);

	capacity_interval(&l->capacity, l->time_ns, l->interval.ns, l->interval.delta.responses,
			  saturated);
}

static bool other_owner(const struct listener *l, const struct listener_sample *s,
			const struct indicator *indicator, const struct owner *owner)
{
	bool process = owner->kind == OWNER_PROCESS || owner->kind == OWNER_UNKNOWN;

	return l->timeline.count &&
	       (indicator->owner.kind != owner->kind ||
		indicator->owner.cgroup_id != owner->cgroup_id || (process && l->pid != s->pid));
}

static void arrivals_push(struct listener *l, const struct timeline_step *step)
{
	uint64_t more = MAX(l->interval.delta.syns, l->interval.delta.established);
	uint32_t *newest = &l->arrivals[l->timeline.newest];

	for (uint8_t i = 0; i < step->evicted_count; i++) {
		l->arrivals_sum -= l->arrivals[step->evicted[i]];
		l->arrivals[step->evicted[i]] = 0;
	}
	more = MIN(more, UINT32_MAX - *newest);
	*newest += (uint32_t)more;
	l->arrivals_sum += more;
}

#define BIT(metric) (1U << (metric))
#define QUANTILE_BITS                                                                    \
	(BIT(METRIC_RESPONSE_TIME_P50_SECONDS) | BIT(METRIC_RESPONSE_TIME_P90_SECONDS) | \
	 BIT(METRIC_RESPONSE_TIME_P99_SECONDS))
_Static_assert(METRIC_ALL <= 32, "a bit for each metric must fit in uint32_t");

static void push_all(struct listener *l, const struct listener_sample *s, struct indicator *i,
		     uint64_t time_ns)
{
	double value[METRIC_ALL], peak[METRIC_ALL];
	struct timeline_step step;

	timeline_advance(&l->timeline, time_ns, &step);
	fill_values(l, s, time_ns, value);
	if (s->family == AF_UNIX)
		unknown_of_unix(value);
	response_values(l, s, i, &step, value);
	fill_peaks(l, s, value, peak);
	for (unsigned m = 0; m < METRIC_ALL; m++)
		if (window_push(&l->windows[m], &l->timeline, value[m], peak[m]))
			l->stale |= BIT(m);
	wait_push(l);
	arrivals_push(l, &step);
	if (l->edge_peak) /* an edge wrote over them */
		l->stale |= BIT(METRIC_ACCEPT_QUEUE_DEPTH) | BIT(METRIC_ACCEPT_QUEUE_UTILIZATION);
	if (l->counters.waits)
		l->stale |= BIT(METRIC_ACCEPT_QUEUE_WAIT_SECONDS);
	if (l->histogram && l->histogram->length)
		l->stale |= QUANTILE_BITS;
}

void listener_refresh(struct listener *l, struct indicator *i, uint32_t metrics)
{
	uint32_t due = l->stale & metrics;

	if (due & QUANTILE_BITS)
		due |= QUANTILE_BITS;
	for (unsigned m = 0; m < METRIC_COUNT && due; m++)
		if (due & BIT(m))
			window_statistics(&l->windows[m], &l->timeline, i->value[m]);
	if (due & QUANTILE_BITS)
		response_statistics(l, i);
	if (due & BIT(METRIC_ACCEPT_QUEUE_WAIT_SECONDS))
		wait_statistics(l, i);
	l->stale &= ~due;
}

double listener_value(const struct listener *l, const struct indicator *i, unsigned metric,
		      enum statistic statistic)
{
	const struct timeline *t = &l->timeline;

	if (metric < METRIC_COUNT && !(l->stale & BIT(metric)))
		return i->value[metric][statistic];
	if (statistic == STAT_LAST)
		return l->windows[metric].last;
	return window_mean(&l->windows[metric], t,
			   statistic == STAT_FAST ? t->fast_count : t->count);
}

void listener_feed(const struct signal *signal, struct listener *l, struct indicator *indicator,
		   const struct listener_sample *s, const struct placed *placed, uint64_t time_ns)
{
	bool rebase = other_owner(l, s, indicator, placed->owner);

	if (!l->first_seen_ns)
		l->first_seen_ns = time_ns;
	take_interval(l, s, time_ns);
	usage_update(&signal->config, l, &placed->usage, rebase, time_ns);
	l->pid = s->pid;
	push_all(l, s, indicator, time_ns);
	l->time_ns = time_ns;
	copy_facts(indicator, s, placed, l);
	learn_capacity(signal, l, s, indicator);
	indicator->capacity_per_second = l->capacity.learned;
	l->syn_queue = s->syn_queue;
	l->in_flight = s->in_flight;
	l->worst_limit = s->queue_worst_limit;
	l->edge_peak = l->edge_worst_limit = 0;
	/* Last: the interval was measured against the depth before. */
	l->depth = s->queue_depth;
}

/* ---- an edge between two samples ---- */

static void raise_to(double *statistic, double value)
{
	*statistic = fmax(*statistic, value);
}

/* As if a sample had been taken at the edge: the depth holds for the time since the last one. */
static void raise_metric(struct listener *l, struct indicator *i, enum metric metric, double value,
			 uint64_t since_ns)
{
	double *v = i->value[metric];
	double share = (double)since_ns / ((double)since_ns + (double)l->timeline.fast_ns);

	raise_to(&v[STAT_LAST], value);
	raise_to(&v[STAT_FAST_PEAK], v[STAT_LAST]);
	raise_to(&v[STAT_SLOW_PEAK], v[STAT_LAST]);
	if (isnan(v[STAT_FAST]))
		v[STAT_FAST] = value;
	else if (value > v[STAT_FAST])
		v[STAT_FAST] += (value - v[STAT_FAST]) * share;
}

void listener_edge(struct listener *l, struct indicator *i, const struct edge *edge)
{
	uint64_t since_ns = edge->time_ns - i->time_ns;

	listener_refresh(l, i,
			 BIT(METRIC_ACCEPT_QUEUE_DEPTH) | BIT(METRIC_ACCEPT_QUEUE_UTILIZATION));
	l->edge_peak = MAX(l->edge_peak, edge->depth);
	l->edge_worst_limit = MAX(l->edge_worst_limit, edge->limit);
	raise_metric(l, i, METRIC_ACCEPT_QUEUE_DEPTH, edge->depth, since_ns);
	raise_metric(l, i, METRIC_ACCEPT_QUEUE_UTILIZATION, utilization(edge->depth, edge->limit),
		     since_ns);
	i->time_ns = edge->time_ns;
	l->evidence.hot_ns = edge->time_ns;
}
