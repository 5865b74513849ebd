/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a queue is what it is. docs/signals.md has the conditions as a table; the constants below are
 * the numbers in it.
 */
#include "signal/private.h"

#define HOLD_NS NS_PER_S /* needs-capacity stays so long after its last evidence */
#define SHORT_BURST_NS NS_PER_S
#define BURST_MEMORY_NS (10 * NS_PER_S)
#define SMALL_BACKLOG 4096 /* net.core.somaxconn's default since Linux 5.4 */
#define LOW_UTILIZATION 0.5 /* of the accept queue, mean of the slow window */
#define FLOOD_SYNS_PER_SECOND 30
#define FLOOD_SHARE 0.8
#define SCAN_REQUESTS_SHARE 0.01
#define FLOOD_CONFIRM_NS NS_PER_S
#define FLOOD_HOLD_NS (3 * NS_PER_S)
#define FULL_CPU 0.9
#define LOW_CPU_CORES 0.1
#define LOW_CPU_SHARE 0.25
#define THROTTLED 0.1
#define BLIND_STALLS 5 /* times the stall time, where CPU use says nothing */
#define BUSY_STALLS 10 /* ... and where it is used */
#define TRICKLE_SHARE 0.05 /* of the learned capacity */

static double or_zero(double value)
{
	return isnan(value) ? 0 : value;
}

uint32_t edge_level(const struct signal_config *config, const struct listener *l)
{
	uint64_t half = ((uint64_t)l->worst_limit + 1) / 2;

	return (uint32_t)CLAMP(half, 1, MAX(config->edge_depth, 1));
}

bool cpu_is_low(const struct signal_config *config, const struct listener *l,
		const struct indicator *i)
{
	double cores = listener_value(l, i, METRIC_CPU_CORES, STAT_FAST);
	double limit = l->usage.cpu_limit_known ? l->usage.cpu_limit_cores : config->host_cpus;
	double low = limit > 0 ? fmin(LOW_CPU_CORES, limit * LOW_CPU_SHARE) : LOW_CPU_CORES;

	/* A quota that holds the owner back is no sign of having nothing to do. */
	if (or_zero(listener_value(l, i, METRIC_CPU_THROTTLED_RATIO, STAT_FAST)) >= THROTTLED)
		return false;
	return !isnan(cores) && cores < low;
}

/* A mean is not above all its values, so that most need not be made. Of a listener that was only
 * just found the mean is that of a moment, in which its unit, or whoever shares its cgroup, may
 * have been starting up. */
bool cpu_is_full(const struct listener *l, const struct indicator *i)
{
	return l->evidence.cpu_full_ns && l->time_ns - l->first_seen_ns >= l->timeline.slow_ns &&
	       l->time_ns - l->evidence.cpu_full_ns < 2 * l->timeline.slow_ns &&
	       or_zero(listener_value(l, i, METRIC_CPU_UTILIZATION, STAT_SLOW)) >= FULL_CPU;
}

/* ---- evidence ---- */

static bool depth_is_drained(const struct listener *l)
{
	return l->depth == 0 || (uint64_t)l->depth * 4 <= (uint64_t)l->worst_limit + 1;
}

static void update_activity(struct listener *l, const struct counters *d, uint64_t now_ns)
{
	if (d->syns || d->established || d->requests || d->responses || l->depth || l->in_flight ||
	    l->syn_queue || l->interval.peak_depth)
		l->evidence.active_ns = now_ns;
}

/* Waiting, standing still, moving again. */
static void update_progress(struct listener *l, const struct counters *d, uint64_t now_ns)
{
	struct evidence *e = &l->evidence;
	bool moved = d->accepted || d->responses;

	if (moved) {
		if (!e->moving_since_ns || now_ns - e->moved_ns > l->timeline.fast_ns)
			e->moving_since_ns = now_ns;
		e->moved_ns = now_ns;
	} else if (e->moving_since_ns && now_ns - e->moved_ns > l->timeline.fast_ns) {
		e->moving_since_ns = 0;
	}
	if (!l->depth) {
		e->waiting_since_ns = e->still_since_ns = 0;
		return;
	}
	if (!e->waiting_since_ns)
		e->waiting_since_ns = now_ns;
	if (moved || !e->still_since_ns)
		e->still_since_ns = now_ns;
}

static void update_queue(const struct signal *signal, struct listener *l, const struct counters *d,
			 uint64_t waiting_since_ns, uint64_t now_ns)
{
	struct evidence *e = &l->evidence;
	uint64_t burst_from = waiting_since_ns ? waiting_since_ns : now_ns - l->interval.ns;

	if (l->interval.peak_depth >= edge_level(&signal->config, l))
		e->hot_ns = now_ns;
	if (d->overflows)
		e->overflow_ns = now_ns;
	/* A burst is over: it overflowed, and it did not last. */
	if (e->overflow_ns && depth_is_drained(l)) {
		if (e->overflow_ns >= burst_from && now_ns - burst_from <= SHORT_BURST_NS)
			e->short_burst_ns = now_ns;
		e->overflow_ns = 0;
	}
}

static bool too_few_for_flood(const struct listener *l)
{
	const struct timeline *t = &l->timeline;
	uint64_t span_ns = t->time_ns[t->newest] - t->time_ns[timeline_slot(t, t->count - 1)];

	/* With room for how the rates are weighted and rounded. */
	return (double)l->arrivals_sum * (double)NS_PER_S <
	       FLOOD_SYNS_PER_SECOND / 2.0 * (double)span_ns;
}

/*
 * Handshakes that are begun and never completed, or connections completed and closed without a
 * request. SYNs that found the accept queue full are not counted against the sender.
 */
static bool looks_like_flood(const struct signal *signal, const struct listener *l,
			     const struct indicator *i, bool *scan)
{
	double syns = or_zero(listener_value(l, i, METRIC_SYNS_PER_SECOND, STAT_SLOW));
	double opened = or_zero(listener_value(l, i, METRIC_CONNECTIONS_PER_SECOND, STAT_SLOW));
	double enough = FLOOD_SHARE * opened;

	*scan = false;
	if (syns >= FLOOD_SYNS_PER_SECOND) {
		double overflows =
			or_zero(listener_value(l, i, METRIC_OVERFLOWS_PER_SECOND, STAT_SLOW));

		if (syns - opened - overflows >= FLOOD_SHARE * syns)
			return true;
	}
	*scan = true;
	return signal->requests_seen && opened >= FLOOD_SYNS_PER_SECOND &&
	       or_zero(listener_value(l, i, METRIC_REQUESTS_PER_SECOND, STAT_SLOW)) <=
		       SCAN_REQUESTS_SHARE * opened &&
	       or_zero(listener_value(l, i, METRIC_ACCEPTS_PER_SECOND, STAT_SLOW)) >= enough &&
	       or_zero(listener_value(l, i, METRIC_CLOSES_PER_SECOND, STAT_SLOW)) >= enough;
}

static void update_flood(const struct signal *signal, struct listener *l, const struct indicator *i,
			 uint64_t now_ns)
{
	struct evidence *e = &l->evidence;
	bool scan;

	if (too_few_for_flood(l) || !looks_like_flood(signal, l, i, &scan)) {
		e->flood_since_ns = 0;
		return;
	}
	if (!e->flood_since_ns)
		e->flood_since_ns = now_ns;
	/* Real clients need a round trip to complete: a moment of SYNs alone is no attack. */
	if (now_ns - e->flood_since_ns < FLOOD_CONFIRM_NS)
		return;
	e->flood_ns = now_ns;
	e->scan = scan;
}

void evidence_update(const struct signal *signal, struct listener *l, const struct indicator *i)
{
	const struct counters *d = &l->interval.delta;
	uint64_t now_ns = l->time_ns;
	uint64_t waiting_since_ns = l->evidence.waiting_since_ns;

	if (l->cpu_utilization >= FULL_CPU)
		l->evidence.cpu_full_ns = now_ns;
	update_activity(l, d, now_ns);
	update_progress(l, d, now_ns);
	update_queue(signal, l, d, waiting_since_ns, now_ns);
	update_flood(signal, l, i, now_ns);
}

/* ---- the rules, in their order ---- */

static uint64_t for_ns(uint64_t since_ns, uint64_t now_ns)
{
	return since_ns && now_ns > since_ns ? now_ns - since_ns : 0;
}

static bool recent(uint64_t when_ns, uint64_t now_ns, uint64_t period_ns)
{
	return when_ns && now_ns - MIN(when_ns, now_ns) < period_ns;
}

static bool is_standing(const struct signal *signal, const struct listener *l,
			const struct indicator *i, uint64_t now_ns)
{
	double level = edge_level(&signal->config, l);

	return for_ns(l->evidence.waiting_since_ns, now_ns) >= signal->config.fast_ns &&
	       listener_value(l, i, METRIC_ACCEPT_QUEUE_DEPTH, STAT_FAST) >= fmax(1, level / 2);
}

static bool is_attack(const struct signal *signal, const struct listener *l,
		      const struct indicator *i, uint64_t now_ns)
{
	const struct evidence *e = &l->evidence;

	if (!recent(e->flood_ns, now_ns, FLOOD_HOLD_NS))
		return false;
	/* Real connections wait and are served, all the time: that is load, whatever else. */
	return !(is_standing(signal, l, i, now_ns) &&
		 for_ns(e->waiting_since_ns, now_ns) >= signal->config.stall_ns &&
		 for_ns(e->moving_since_ns, now_ns) >= signal->config.fast_ns);
}

static bool starts_stalling(const struct signal *signal, const struct listener *l,
			    const struct indicator *i, uint64_t now_ns)
{
	const struct signal_config *config = &signal->config;
	uint64_t still = for_ns(l->evidence.still_since_ns, now_ns);
	bool known = !isnan(listener_value(l, i, METRIC_CPU_CORES, STAT_FAST));

	if (cpu_is_low(config, l, i)) {
		if (still >= config->stall_ns)
			return true;
		/* Not quite still: hardly anything of what it could do. */
		return l->depth >= edge_level(config, l) &&
		       for_ns(l->evidence.waiting_since_ns, now_ns) >= config->slow_ns &&
		       or_zero(listener_value(l, i, METRIC_RESPONSES_PER_SECOND, STAT_SLOW)) <
			       TRICKLE_SHARE * l->capacity.learned;
	}
	if (known)
		return still >= BUSY_STALLS * config->stall_ns;
	return still >= (l->in_flight ? BLIND_STALLS : 1) * config->stall_ns;
}

static bool is_stalled(const struct signal *signal, const struct listener *l,
		       const struct indicator *i, uint64_t now_ns)
{
	if (!l->depth)
		return false;
	if (starts_stalling(signal, l, i, now_ns))
		return true;
	/* It has to move for as long as it stood before it is believed. */
	return i->diagnosis == DIAGNOSIS_APP_STALLED &&
	       for_ns(l->evidence.moving_since_ns, now_ns) < signal->config.stall_ns;
}

static bool is_small_backlog(const struct listener *l, const struct indicator *i, uint64_t now_ns)
{
	const struct evidence *e = &l->evidence;

	return recent(e->short_burst_ns, now_ns, BURST_MEMORY_NS) &&
	       l->worst_limit < SMALL_BACKLOG &&
	       for_ns(e->waiting_since_ns, now_ns) < SHORT_BURST_NS &&
	       listener_value(l, i, METRIC_ACCEPT_QUEUE_UTILIZATION, STAT_SLOW) < LOW_UTILIZATION &&
	       !cpu_is_full(l, i);
}

static bool needs_capacity(const struct signal *signal, const struct listener *l,
			   const struct indicator *i, uint64_t now_ns)
{
	const struct evidence *e = &l->evidence;

	if (i->sockets == 0)
		return false;
	if (recent(e->hot_ns, now_ns, HOLD_NS) || is_standing(signal, l, i, now_ns))
		return true;
	return cpu_is_full(l, i) && recent(e->moved_ns, now_ns, HOLD_NS);
}

static enum diagnosis decide(const struct signal *signal, const struct listener *l,
			     const struct indicator *i, uint64_t now_ns)
{
	if (is_attack(signal, l, i, now_ns))
		return DIAGNOSIS_ATTACK_OR_SCAN;
	if (is_stalled(signal, l, i, now_ns))
		return DIAGNOSIS_APP_STALLED;
	if (is_small_backlog(l, i, now_ns))
		return DIAGNOSIS_BACKLOG_TOO_SMALL;
	if (needs_capacity(signal, l, i, now_ns))
		return DIAGNOSIS_NEEDS_CAPACITY;
	if (!recent(l->evidence.active_ns, now_ns, signal->config.slow_ns))
		return DIAGNOSIS_IDLE;
	return DIAGNOSIS_OK;
}

/* Whether another cause explained the queue so far. */
static bool explains_queue(enum diagnosis diagnosis)
{
	return diagnosis == DIAGNOSIS_APP_STALLED || diagnosis == DIAGNOSIS_BACKLOG_TOO_SMALL ||
	       diagnosis == DIAGNOSIS_ATTACK_OR_SCAN;
}

void diagnose(const struct signal *signal, struct listener *l, struct indicator *i, uint64_t now_ns)
{
	enum diagnosis before = i->diagnosis;
	enum diagnosis after = decide(signal, l, i, now_ns);

	/* What was hot under the other cause is no evidence for capacity afterwards. */
	if (explains_queue(before) && after == DIAGNOSIS_NEEDS_CAPACITY && !l->depth &&
	    !l->edge_peak) {
		l->evidence.hot_ns = 0;
		after = decide(signal, l, i, now_ns);
	}
	i->diagnosis = after;
	if (after != before || !l->evidence.diagnosed_ns)
		l->evidence.diagnosed_ns = now_ns;
	reason_write(signal, l, i, now_ns);
}
