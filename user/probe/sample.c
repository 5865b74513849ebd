/* SPDX-License-Identifier: Apache-2.0 */
/* Reads all listeners: the sockets' rows from the iterator, counters from the mapping. */
#include "probe/private.h"

#include <sys/socket.h>

/* A slot that nobody listens on or is connected to is kept so long: a server that restarts finds
 * its counters again. */
#define RELEASE_AFTER_NS (10 * NS_PER_S)
/* Connections that stood in a queue when the programs came have no file yet: one early look finds
 * most of them. Not sooner than that for any other reason either. */
#define EARLY_SEARCH_NS (2 * NS_PER_S)

static void on_row(struct probe *probe, const void *record)
{
	const struct forerun_row *row = record;

	if (row->slot >= probe->config.listeners_max || !row->generation)
		return;
	if (probe->slots[row->slot].generation == row->generation)
		*vec_push(&probe->rows) = *row;
	else
		probe->marks_are_stale = true;
}

/* ---- one slot ---- */

static void add_counters(const struct probe *probe, uint32_t slot, struct tracked *tracked,
			 struct listener_sample *out)
{
	uint64_t unanswered = 0;
	int64_t open = 0, in_flight;

	tracked->not_accepted = 0;
	for (uint32_t stripe = 0; stripe < probe->stripes; stripe++) {
		struct forerun_counters *from = counters_at(probe, slot, stripe);
		uint64_t peak =
			from->peak ? __atomic_exchange_n(&from->peak, 0, __ATOMIC_RELAXED) : 0;

		out->syns += from->syns;
		out->overflows += from->overflows;
		out->established += from->established;
		out->closed += from->closed;
		out->requests += from->requests;
		out->responses += from->responses;
		out->accept_waits += from->accept_waits;
		out->accept_wait_ns += from->accept_wait_ns;
		out->response_ns += from->response_ns;
		for (size_t i = 0; i < PROBE_PROTOCOLS; i++)
			out->protocols[i] += from->protocols[i];
		out->lower_bounds += from->lower_bounds;
		open += from->open;
		unanswered += from->unanswered;
		tracked->not_accepted += from->not_accepted;
		out->queue_peak = MAX(out->queue_peak, (uint32_t)peak);
	}
	/* The stripes are read one after the other: a connection that ends meanwhile may show in
	 * the second only. */
	out->open_connections = open > 0 ? (uint32_t)open : 0;
	in_flight = (int64_t)(out->requests - out->responses - unanswered);
	out->in_flight = in_flight > 0 ? (uint32_t)in_flight : 0;
}

static void read_buckets(const struct probe *probe, uint32_t slot, struct tracked *tracked,
			 uint64_t responses)
{
	if (tracked->buckets_at_responses == responses)
		return;
	memset(tracked->buckets, 0, sizeof(tracked->buckets));
	for (uint32_t stripe = 0; stripe < probe->stripes; stripe++) {
		const uint64_t *from = (const uint64_t *)counters_at(probe, slot, stripe)->buckets;

		for (size_t i = 0; i < PROBE_BUCKETS; i++)
			tracked->buckets[i] += from[i];
	}
	tracked->buckets_at_responses = responses;
}

static bool describe_slot(struct probe *probe, uint32_t slot, struct listener_sample *out)
{
	const struct forerun_slot *entry = &probe->slots[slot];
	struct tracked *tracked = slots_track(probe, slot);

	if (!tracked)
		return false;
	*out = (struct listener_sample){
		.id = listener_id(slot, tracked->generation),
		.slot = slot,
		.generation = tracked->generation,
		.netns = entry->key.netns,
		.family = entry->key.family,
		.port = entry->key.port,
		.drops = tracked->drops,
		.response_buckets = tracked->buckets,
		.path = tracked->path,
		.pid = tracked->pid,
	};
	memcpy(out->address, entry->key.address, sizeof(out->address));
	memcpy(out->comm, tracked->comm, sizeof(out->comm));
	if (out->family == AF_UNIX)
		path_read(probe, slot, tracked);
	add_counters(probe, slot, tracked, out);
	read_buckets(probe, slot, tracked, out->responses);
	for (struct socket_drops *it = tracked->sockets.at;
	     it && it < tracked->sockets.at + tracked->sockets.count; it++)
		it->seen = false;
	return true;
}

/* ---- its sockets ---- */

static void add_drops(struct tracked *tracked, const struct forerun_row *row)
{
	struct socket_drops *found = NULL;

	vec_for_each (it, &tracked->sockets)
		if (it->number == row->number)
			found = it;
	if (!found) {
		found = vec_push(&tracked->sockets);
		found->number = row->number;
	}
	tracked->drops += row->drops - found->last; /* 32 bits that wrap */
	found->last = row->drops;
	found->seen = true;
}

static bool is_fuller(const struct forerun_row *row, const struct listener_sample *than)
{
	return (uint64_t)row->depth * (than->queue_worst_limit + 1ULL) >
	       (uint64_t)than->queue_worst_depth * (row->limit + 1ULL);
}

/* A socket that is younger than the last search is known by who called listen(2). */
static void take_opener(const struct tracked *tracked, const struct forerun_row *row,
			struct listener_sample *out)
{
	if (!row->pid || (tracked->pid && row->number <= tracked->searched))
		return;
	out->pid = row->pid;
	memcpy(out->comm, row->comm, sizeof(out->comm));
	out->comm[sizeof(out->comm) - 1] = '\0';
}

static void add_row(struct probe *probe, const struct forerun_row *row)
{
	uint32_t index = probe->index_of_slot.at[row->slot];
	struct tracked *tracked = probe->tracked[row->slot];
	struct listener_sample *out;

	if (!index)
		return;
	out = &probe->listeners.at[index - 1];
	if (!out->sockets || is_fuller(row, out)) {
		out->queue_worst_depth = row->depth;
		out->queue_worst_limit = row->limit;
	}
	if (!out->sockets || row->number > tracked->newest) {
		tracked->newest = row->number;
		out->cgroup_id = row->cgroup_id;
		take_opener(tracked, row, out);
	}
	out->sockets++;
	out->queue_depth += row->depth;
	out->queue_limit += row->limit;
	out->syn_queue += row->syn_queue;
	out->syn_queue_young += row->syn_queue_young;
	out->queue_peak = MAX(out->queue_peak, row->depth);
	if (out->family == AF_UNIX)
		tracked->accepted = MAX(tracked->accepted, row->taken);
	add_drops(tracked, row);
	out->drops = tracked->drops;
}

/* ---- what is over ---- */

static void forget_closed_sockets(struct tracked *tracked)
{
	for (size_t i = tracked->sockets.count; i-- > 0;)
		if (!tracked->sockets.at[i].seen)
			vec_remove(&tracked->sockets, i);
}

/* True when the slot was given back: at once where another needs it. */
static bool release_if_over(struct probe *probe, const struct listener_sample *listener,
			    uint64_t now_ns)
{
	struct tracked *tracked = probe->tracked[listener->slot];

	forget_closed_sockets(tracked);
	if (listener->sockets || listener->open_connections) {
		tracked->empty_since_ns = 0;
		return false;
	}
	if (!tracked->empty_since_ns)
		tracked->empty_since_ns = now_ns;
	if (now_ns - tracked->empty_since_ns < RELEASE_AFTER_NS && !probe->somebody_waits)
		return false;
	slots_release(probe, listener->slot);
	probe->marks_are_stale |= probe->somebody_waits; /* a search gives it to who needs it */
	return true;
}

static void fill_health(struct probe *probe, uint64_t started_ns)
{
	const struct forerun_health *kernel = &probe->skel->bss->health;

	probe->sample.health = (struct probe_health){
		.listeners_refused = kernel->listeners_refused,
		.connections_refused = kernel->connections_refused,
		.unix_refused = probe->unix_refused,
		.edges_lost = kernel->edges_lost,
		.iterator_errors = probe->iterator_errors,
		.listeners = (uint32_t)probe->listeners.count,
		.listeners_max = probe->config.listeners_max,
		.kernel_ns = kernel->sampled_ns,
		.kernel_runs = kernel->sampled_runs,
		.poll_ns = time_mono_ns() - started_ns,
	};
}

static bool more_were_refused(struct probe *probe)
{
	uint64_t before = probe->listeners_refused;

	probe->listeners_refused = probe->skel->bss->health.listeners_refused;
	return probe->listeners_refused != before;
}

static void search_when_due(struct probe *probe, uint64_t now_ns)
{
	int r;

	if (!probe->next_search_ns)
		probe->next_search_ns = now_ns + EARLY_SEARCH_NS;
	if (now_ns < probe->next_search_ns &&
	    !(probe->marks_are_stale && now_ns - probe->searched_ns >= EARLY_SEARCH_NS))
		return;
	probe->searched_ns = now_ns;
	probe->next_search_ns = now_ns + probe->config.rescan_ms * NS_PER_MS;
	more_were_refused(probe);
	r = probe_search(probe);
	probe->somebody_waits = more_were_refused(probe);
	if (r < 0) {
		probe->iterator_errors++;
		log_warning("searching for listeners failed: %s; tried again in %u s", strerror(-r),
			    probe->config.rescan_ms / 1000);
	}
}

/*
 * Established, no more waiting, and not lost with its listener: accept(2) has taken it. The queue
 * is read a moment before the counters, so that one sample may be too high by what came between:
 * the next ones wait for it.
 */
static uint64_t accepted(struct tracked *tracked, const struct listener_sample *listener)
{
	int64_t taken;

	if (listener->family == AF_UNIX)
		return tracked->accepted;
	taken = (int64_t)listener->established - listener->queue_depth - tracked->not_accepted;

	if (taken > 0 && (uint64_t)taken > tracked->accepted)
		tracked->accepted = (uint64_t)taken;
	return tracked->accepted;
}

static void collect_slots(struct probe *probe)
{
	vec_clear(&probe->listeners);
	for (uint32_t slot = 0; slot < probe->config.listeners_max; slot++) {
		probe->index_of_slot.at[slot] = 0;
		if (!probe->slots[slot].generation)
			continue;
		if (!describe_slot(probe, slot, vec_push(&probe->listeners)))
			probe->listeners.count--;
		else
			probe->index_of_slot.at[slot] = (uint32_t)probe->listeners.count;
	}
}

static void drop_released(struct probe *probe, uint64_t now_ns)
{
	size_t kept = 0;

	probe->somebody_waits |= more_were_refused(probe);
	vec_for_each (listener, &probe->listeners) {
		if (release_if_over(probe, listener, now_ns))
			continue;
		listener->accepted = accepted(probe->tracked[listener->slot], listener);
		probe->listeners.at[kept++] = *listener;
	}
	probe->listeners.count = kept;
}

int probe_sample(struct probe *probe, uint64_t now_ns, const struct sample **out)
{
	uint64_t started = time_mono_ns();
	int r;

	search_when_due(probe, now_ns);
	vec_clear(&probe->rows);
	r = probe_iterate(probe, probe->skel->links.forerun_rows, sizeof(struct forerun_row),
			  on_row);
	if (r < 0) {
		probe->iterator_errors++;
		return r;
	}
	collect_slots(probe);
	vec_for_each (row, &probe->rows)
		add_row(probe, row);
	drop_released(probe, now_ns);
	probe->sample.time_ns = now_ns;
	probe->sample.listeners = probe->listeners.at;
	probe->sample.count = probe->listeners.count;
	fill_health(probe, started);
	*out = &probe->sample;
	return 0;
}
