/* SPDX-License-Identifier: Apache-2.0 */
/* Slots: their shared memory, and giving them back when nothing listens there any more. */
#include "probe/private.h"

#include <sys/mman.h>
#include <unistd.h>

#define COUNTERS_FIRST 64U

static size_t pages(size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

static size_t slots_size(const struct probe *probe)
{
	return pages(probe->config.listeners_max * sizeof(struct forerun_slot));
}

static size_t counters_size(const struct probe *probe, uint32_t count)
{
	return pages((size_t)count * probe->stripes * sizeof(struct forerun_counters));
}

static int map_one(struct bpf_map *map, size_t size, void **out)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	if (at == MAP_FAILED) {
		int r = -errno;

		log_error("cannot map the kernel's counters (%s, %zu bytes): %s",
			  bpf_map__name(map), size, strerror(-r));
		return r;
	}
	*out = at;
	return 0;
}

/* The kernel makes every page of such a mapping resident at once: so it grows with the slots in
 * use. */
static int reach(struct probe *probe, uint32_t slot)
{
	uint32_t count = MAX(probe->counters_slots, COUNTERS_FIRST);
	void *at = NULL;
	int r;

	if (slot < probe->counters_slots)
		return 0;
	while (count <= slot)
		count *= 2;
	count = MIN(count, probe->config.listeners_max);
	r = map_one(probe->skel->maps.counters, counters_size(probe, count), &at);
	if (r < 0)
		return r;
	if (probe->counters)
		munmap(probe->counters, counters_size(probe, probe->counters_slots));
	probe->counters = at;
	probe->counters_slots = count;
	return 0;
}

int slots_map(struct probe *probe)
{
	int r = map_one(probe->skel->maps.slots, slots_size(probe), (void **)&probe->slots);

	return r < 0 ? r : slots_fill(probe);
}

void slots_unmap(struct probe *probe)
{
	if (probe->slots)
		munmap(probe->slots, slots_size(probe));
	if (probe->counters)
		munmap(probe->counters, counters_size(probe, probe->counters_slots));
	probe->slots = NULL;
	probe->counters = NULL;
	probe->counters_slots = 0;
}

/* Every slot that nobody has is free. Maps that were adopted from pins have their queue already. */
int slots_fill(struct probe *probe)
{
	int queue = bpf_map__fd(probe->skel->maps.free_slots);
	struct forerun_slot_ref peeked;
	bool used = bpf_map_lookup_elem(queue, NULL, &peeked) == 0;

	for (uint32_t slot = 0; slot < probe->config.listeners_max && !used; slot++)
		used = probe->slots[slot].generation != 0;
	/* A stack: the last one in is the first to be taken. */
	for (uint32_t slot = probe->config.listeners_max; slot-- > 0 && !used;) {
		struct forerun_slot_ref ref = {.slot = slot, .generation = 1};

		if (bpf_map_update_elem(queue, NULL, &ref, BPF_ANY)) {
			int r = -errno;

			log_error("cannot fill the table of listeners: %s", strerror(-r));
			return r;
		}
	}
	return 0;
}

struct tracked *slots_track(struct probe *probe, uint32_t slot)
{
	struct tracked *tracked = probe->tracked[slot];
	uint32_t generation = probe->slots[slot].generation;

	if (reach(probe, slot) < 0)
		return NULL;
	if (!tracked) {
		tracked = calloc(1, sizeof(*tracked));
		if (!tracked)
			return NULL;
		probe->tracked[slot] = tracked;
	}
	if (tracked->generation != generation) {
		vec_free(&tracked->sockets);
		memset(tracked, 0, sizeof(*tracked));
		tracked->generation = generation;
	}
	return tracked;
}

/*
 * First nobody can find it any more, then what still carries its generation counts for nobody, then
 * it is clean, then it can be taken again.
 */
void slots_release(struct probe *probe, uint32_t slot)
{
	struct forerun_slot *entry = &probe->slots[slot];
	struct forerun_slot_ref next = {.slot = slot, .generation = entry->generation + 1};

	bpf_map_delete_elem(bpf_map__fd(probe->skel->maps.addresses), &entry->key);
	__atomic_store_n(&entry->generation, 0, __ATOMIC_SEQ_CST);
	for (uint32_t stripe = 0; stripe < probe->stripes; stripe++)
		memset(counters_at(probe, slot, stripe), 0, sizeof(struct forerun_counters));
	if (!next.generation)
		next.generation = 1;
	if (bpf_map_update_elem(bpf_map__fd(probe->skel->maps.free_slots), NULL, &next, BPF_ANY))
		log_warning("slot %u could not be given back: %s", slot, strerror(errno));
	if (probe->tracked[slot]) {
		vec_free(&probe->tracked[slot]->sockets);
		free(TAKE(probe->tracked[slot]));
	}
}
