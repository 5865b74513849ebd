/* SPDX-License-Identifier: Apache-2.0 */
/* Iterators: what listens, who holds it, and what was there before the programs. */
#include "probe/private.h"

#include <unistd.h>

#define READ_BYTES (64 * 1024)

int probe_iterate(struct probe *probe, struct bpf_link *link, size_t size,
		  void (*fn)(struct probe *probe, const void *record))
{
	_cleanup_close_ int fd = bpf_iter_create(bpf_link__fd(link));
	_cleanup_free_ char *buffer = malloc(READ_BYTES);
	size_t kept = 0;

	if (fd < 0)
		return -errno;
	if (!buffer)
		return -ENOMEM;
	for (;;) {
		ssize_t got = read(fd, buffer + kept, READ_BYTES - kept);
		size_t at = 0;

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return kept ? -EBADMSG : 0;
		for (kept += (size_t)got; kept - at >= size; at += size)
			fn(probe, buffer + at);
		memmove(buffer, buffer + at, kept - at);
		kept -= at;
	}
}

static void on_holder(struct probe *probe, const void *record)
{
	const struct forerun_holder *holder = record;
	struct tracked *tracked;

	if (holder->slot >= probe->config.listeners_max ||
	    probe->slots[holder->slot].generation != holder->generation)
		return;
	tracked = slots_track(probe, holder->slot);
	if (!tracked)
		return;
	/* The oldest process that holds it is the parent of the others. */
	if (tracked->pid && tracked->pid < holder->pid)
		return;
	tracked->pid = holder->pid;
	memcpy(tracked->comm, holder->comm, sizeof(tracked->comm));
	tracked->comm[sizeof(tracked->comm) - 1] = '\0';
}

static void on_nothing(struct probe *probe, const void *record)
{
	(void)probe;
	(void)record;
}

int probe_search(struct probe *probe, bool connections)
{
	int r;

	for (uint32_t slot = 0; slot < probe->config.listeners_max; slot++)
		if (probe->tracked[slot])
			probe->tracked[slot]->pid = 0;
	probe->skel->bss->adopt_connections = false;
	r = probe_iterate(probe, probe->skel->links.forerun_files, sizeof(struct forerun_holder),
			  on_holder);
	if (r < 0 || !connections)
		return r;
	probe->skel->bss->adopt_connections = true;
	r = probe_iterate(probe, probe->skel->links.forerun_files, sizeof(struct forerun_holder),
			  on_nothing);
	probe->skel->bss->adopt_connections = false;
	return r;
}

/* A search reads every file of the host: at most one a second, and at most a hundredth of the time.
 */
#define HOLDER_SEARCH_EVERY_NS NS_PER_S
#define HOLDER_SEARCH_COST 100

void probe_search_holders(struct probe *probe, uint64_t now_ns)
{
	uint64_t started = time_mono_ns();
	size_t orphans = 0;

	vec_for_each (listener, &probe->listeners)
		orphans += listener->sockets && !listener->pid;
	/* Some are never found: held by the kernel, or in a PID namespace beside this one. */
	if (orphans <= probe->orphans) {
		probe->orphans = orphans;
		return;
	}
	if (now_ns < probe->next_holder_search_ns)
		return;
	if (probe_search(probe, false) < 0)
		probe->iterator_errors++;
	probe->orphans = orphans;
	probe->next_holder_search_ns =
		now_ns +
		MAX(HOLDER_SEARCH_EVERY_NS, HOLDER_SEARCH_COST * (time_mono_ns() - started));
	vec_for_each (listener, &probe->listeners) {
		struct tracked *tracked = probe->tracked[listener->slot];

		listener->pid = tracked->pid;
		memcpy(listener->comm, tracked->comm, sizeof(listener->comm));
	}
}
