/* SPDX-License-Identifier: Apache-2.0 */
/* Iterators: what listens, who holds it, and what was there before the programs. */
#include "probe/private.h"

#include <sys/socket.h>
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
	/* Of those that hold it the oldest is the parent of the others, but for systemd, which
	 * holds what it passes on. */
	if (tracked->pid > 1 && (holder->pid == 1 || tracked->pid < holder->pid))
		return;
	tracked->searched = tracked->newest;
	tracked->pid = holder->pid;
	memcpy(tracked->comm, holder->comm, sizeof(tracked->comm));
	tracked->comm[sizeof(tracked->comm) - 1] = '\0';
}

static void on_nothing(struct probe *probe, const void *record)
{
	(void)probe;
	(void)record;
}

/* A quarter of the table: a host full of them must not push out those that listen on the network.
 */
static uint32_t unix_places(const struct probe *probe)
{
	uint32_t most = MAX(probe->config.listeners_max / 4, 1U), used = 0;

	for (uint32_t slot = 0; slot < probe->config.listeners_max; slot++)
		used += probe->slots[slot].generation && probe->slots[slot].key.family == AF_UNIX;
	return most > used ? most - used : 0;
}

int probe_search(struct probe *probe)
{
	int r;

	probe->marks_are_stale = false;
	for (uint32_t slot = 0; slot < probe->config.listeners_max; slot++)
		if (probe->tracked[slot])
			probe->tracked[slot]->pid = 0;
	probe->skel->bss->adopt_connections = false;
	probe->skel->bss->unix_left = unix_places(probe);
	probe->skel->bss->unix_refused = 0;
	r = probe_iterate(probe, probe->skel->links.forerun_files, sizeof(struct forerun_holder),
			  on_holder);
	probe->unix_refused = probe->skel->bss->unix_refused;
	if (r < 0)
		return r;
	probe->skel->bss->adopt_connections = true;
	r = probe_iterate(probe, probe->skel->links.forerun_files, sizeof(struct forerun_holder),
			  on_nothing);
	probe->skel->bss->adopt_connections = false;
	return r;
}
