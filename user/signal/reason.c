/* SPDX-License-Identifier: Apache-2.0 */
/* The diagnosis in one sentence: the figures, what they mean, what to do. */
#include <sys/socket.h>

#include "signal/private.h"

/* Formatting costs more than all the rest: the same diagnosis is not said anew each time. */
#define SAY_QUIET_EVERY_NS NS_PER_S
#define SAY_EVERY_NS (300 * NS_PER_MS)

/* STAT_LAST, STAT_FAST or STAT_SLOW. */
static double at(const struct listener *l, const struct indicator *i, unsigned metric,
		 enum statistic statistic)
{
	double value = listener_value(l, i, metric, statistic);

	return isnan(value) ? 0 : value;
}

/* The highest depth in the slow window: reason_write() has seen to it that it is made. */
static double depth_peak(const struct indicator *i)
{
	double value = i->value[METRIC_ACCEPT_QUEUE_DEPTH][STAT_SLOW_PEAK];

	return isnan(value) ? 0 : value;
}

static const char *who(const struct indicator *i)
{
	switch (i->owner.kind) {
	case OWNER_UNIT:
		return "the unit";
	case OWNER_CONTAINER:
		return "the container";
	case OWNER_POD:
		return "the pod";
	default:
		return "the process";
	}
}

/* "the unit used 0.02 cores", "the CPU use of the unit is not known" */
static void cpu_text(const struct listener *l, const struct indicator *i, char *out, size_t size)
{
	double cores = listener_value(l, i, METRIC_CPU_CORES, STAT_FAST);

	if (isnan(cores))
		snprintf(out, size, "the CPU use of %s is not known", who(i));
	else if (l->usage.cpu_limit_known)
		snprintf(out, size, "%s used %.2f of %.2f cores", who(i), cores,
			 l->usage.cpu_limit_cores);
	else
		snprintf(out, size, "%s used %.2f cores", who(i), cores);
}

/* "12 accepted/s, 3 in flight, "; nothing where neither is counted. */
static void flow_text(const struct listener *l, const struct indicator *i, bool in_flight,
		      char *out, size_t size)
{
	size_t length;

	out[0] = '\0';
	if (i->family == AF_UNIX)
		return;
	length = (size_t)snprintf(out, size, "%.0f accepted/s, ",
				  at(l, i, METRIC_ACCEPTS_PER_SECOND, STAT_FAST));
	if (in_flight && length < size)
		snprintf(out + length, size - length, "%.0f in flight, ",
			 at(l, i, METRIC_REQUESTS_IN_FLIGHT, STAT_LAST));
}

static double seconds(uint64_t since_ns, uint64_t now_ns)
{
	return since_ns && now_ns > since_ns ? (double)(now_ns - since_ns) / (double)NS_PER_S : 0;
}

static void say_needs_capacity(const struct signal *signal, const struct listener *l,
			       struct indicator *i, uint64_t now_ns)
{
	const char *meaning = "more arrives than is taken: add capacity";
	double depth = at(l, i, METRIC_ACCEPT_QUEUE_DEPTH, STAT_LAST);
	double peak = depth_peak(i);
	char cpu[80], flow[80];

	cpu_text(l, i, cpu, sizeof(cpu));
	flow_text(l, i, true, flow, sizeof(flow));
	if (depth <= 0 && peak < edge_level(&signal->config, l) && cpu_is_full(l, i)) {
		snprintf(i->reason, sizeof(i->reason),
			 "%s, at %.0f requests/s and %.0f in flight: it works at its CPU limit; "
			 "add capacity before a queue forms",
			 cpu, at(l, i, METRIC_REQUESTS_PER_SECOND, STAT_FAST),
			 at(l, i, METRIC_REQUESTS_IN_FLIGHT, STAT_LAST));
		return;
	}
	if (at(l, i, METRIC_CPU_THROTTLED_RATIO, STAT_SLOW) > 0.1)
		meaning = "its CPU quota holds it back: raise the limit or add capacity";
	else if (cpu_is_low(&signal->config, l, i) &&
		 seconds(l->evidence.waiting_since_ns, now_ns) > 1)
		meaning = "it waits for something else than CPU: more instances help if that is "
			  "not shared";
	snprintf(i->reason, sizeof(i->reason),
		 "accept queue at %.0f of %u (peak %.0f in %.0f s), %s%s: %s", depth,
		 i->queue_limit, peak, (double)l->timeline.slow_ns / (double)NS_PER_S, flow, cpu,
		 meaning);
}

static void say_stalled(const struct signal *signal, const struct listener *l, struct indicator *i,
			uint64_t now_ns)
{
	double depth = at(l, i, METRIC_ACCEPT_QUEUE_DEPTH, STAT_LAST);
	double still = seconds(l->evidence.still_since_ns, now_ns);
	char cpu[80], flow[80];

	cpu_text(l, i, cpu, sizeof(cpu));
	flow_text(l, i, false, flow, sizeof(flow));
	if (l->evidence.moving_since_ns && still < 0.5) {
		snprintf(
			i->reason, sizeof(i->reason),
			"accept queue at %.0f of %u, %s%s: it was stalled and may be moving again; "
			"more instances would not help",
			depth, i->queue_limit, flow, cpu);
		return;
	}
	if (!isnan(listener_value(l, i, METRIC_CPU_CORES, STAT_FAST)) &&
	    !cpu_is_low(&signal->config, l, i)) {
		snprintf(
			i->reason, sizeof(i->reason),
			"accept queue stood at %.0f of %u for %.1f s, nothing was accepted, %s: it "
			"is busy with something else; look at its threads (perf top, gdb, py-spy) "
			"or restart it",
			depth, i->queue_limit, still, cpu);
		return;
	}
	snprintf(i->reason, sizeof(i->reason),
		 "accept queue stood at %.0f of %u for %.1f s, nothing was accepted, %s: it is "
		 "stalled, more instances would not help; look at its threads (gdb, py-spy) or "
		 "restart it",
		 depth, i->queue_limit, still, cpu);
}

static void say_backlog(const struct listener *l, struct indicator *i)
{
	snprintf(i->reason, sizeof(i->reason),
		 "short bursts overflowed a backlog of %u (%.0f overflows/s) though the queue is "
		 "%.0f %% full on average: raise the backlog of listen(2) and net.core.somaxconn; "
		 "more instances are not needed",
		 l->worst_limit, at(l, i, METRIC_OVERFLOWS_PER_SECOND, STAT_SLOW),
		 100 * at(l, i, METRIC_ACCEPT_QUEUE_UTILIZATION, STAT_SLOW));
}

static void say_attack(const struct listener *l, struct indicator *i)
{
	if (l->evidence.scan) {
		snprintf(
			i->reason, sizeof(i->reason),
			"%.0f connections/s were opened and closed with %.0f requests/s in them: a "
			"scan or a health check gone wild; filter the source, more instances would "
			"only be scanned too",
			at(l, i, METRIC_CONNECTIONS_PER_SECOND, STAT_SLOW),
			at(l, i, METRIC_REQUESTS_PER_SECOND, STAT_SLOW));
		return;
	}
	snprintf(i->reason, sizeof(i->reason),
		 "%.0f SYNs/s but %.0f connections/s came about, SYN queue %u, %.0f drops/s: a SYN "
		 "flood or a scan; keep net.ipv4.tcp_syncookies on and filter the source, do not "
		 "scale",
		 at(l, i, METRIC_SYNS_PER_SECOND, STAT_SLOW),
		 at(l, i, METRIC_CONNECTIONS_PER_SECOND, STAT_SLOW), l->syn_queue,
		 at(l, i, METRIC_DROPS_PER_SECOND, STAT_SLOW));
}

static void say_ok(const struct listener *l, struct indicator *i)
{
	char cpu[80];

	cpu_text(l, i, cpu, sizeof(cpu));
	if (i->family == AF_UNIX) {
		snprintf(i->reason, sizeof(i->reason),
			 "the accept queue was at most at %.0f of %u in the last %.0f s, %s: "
			 "nothing to do",
			 depth_peak(i), i->queue_limit,
			 (double)l->timeline.slow_ns / (double)NS_PER_S, cpu);
		return;
	}
	snprintf(i->reason, sizeof(i->reason),
		 "%.0f connections/s and %.0f requests/s, the accept queue was at most at %.0f of "
		 "%u "
		 "in the last %.0f s, %s: nothing to do",
		 at(l, i, METRIC_CONNECTIONS_PER_SECOND, STAT_SLOW),
		 at(l, i, METRIC_REQUESTS_PER_SECOND, STAT_SLOW), depth_peak(i), i->queue_limit,
		 (double)l->timeline.slow_ns / (double)NS_PER_S, cpu);
}

static void say_idle(const struct listener *l, struct indicator *i)
{
	if (i->family == AF_UNIX) {
		snprintf(i->reason, sizeof(i->reason),
			 "nobody %s in the last %.0f s; of a Unix socket only what waits is seen: "
			 "nothing "
			 "to do",
			 i->sockets ? "waited" : "listened",
			 (double)l->timeline.slow_ns / (double)NS_PER_S);
		return;
	}
	if (i->sockets == 0) {
		snprintf(i->reason, sizeof(i->reason),
			 "nobody listens here any more, %.0f connections live on: nothing to do",
			 at(l, i, METRIC_OPEN_CONNECTIONS, STAT_LAST));
		return;
	}
	snprintf(i->reason, sizeof(i->reason),
		 "no connection and no request in the last %.0f s, %.0f connections are open: "
		 "nothing to do",
		 (double)l->timeline.slow_ns / (double)NS_PER_S,
		 at(l, i, METRIC_OPEN_CONNECTIONS, STAT_LAST));
}

void reason_write(const struct signal *signal, struct listener *l, struct indicator *i,
		  uint64_t now_ns)
{
	struct evidence *e = &l->evidence;
	bool quiet = i->diagnosis == DIAGNOSIS_OK || i->diagnosis == DIAGNOSIS_IDLE;
	bool changed = e->diagnosed_ns == now_ns;

	if (!changed && !l->edge_peak && i->reason[0] &&
	    now_ns - e->said_ns < (quiet ? SAY_QUIET_EVERY_NS : SAY_EVERY_NS))
		return;
	e->said_ns = now_ns;
	listener_refresh(l, i, 1U << METRIC_ACCEPT_QUEUE_DEPTH);
	switch (i->diagnosis) {
	case DIAGNOSIS_NEEDS_CAPACITY:
		say_needs_capacity(signal, l, i, now_ns);
		return;
	case DIAGNOSIS_APP_STALLED:
		say_stalled(signal, l, i, now_ns);
		return;
	case DIAGNOSIS_BACKLOG_TOO_SMALL:
		say_backlog(l, i);
		return;
	case DIAGNOSIS_ATTACK_OR_SCAN:
		say_attack(l, i);
		return;
	case DIAGNOSIS_OK:
		say_ok(l, i);
		return;
	default:
		say_idle(l, i);
	}
}
