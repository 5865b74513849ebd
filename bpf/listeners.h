/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a listening socket to its slot. */
#ifndef FORERUN_BPF_LISTENERS_H
#define FORERUN_BPF_LISTENERS_H

#include "bpf/state.h"

static __always_inline void key_of(struct sock *sk, struct forerun_key *key)
{
	key->netns = sk->__sk_common.skc_net.net->ns.inum;
	key->family = sk->__sk_common.skc_family;
	key->port = sk->__sk_common.skc_num;
	__builtin_memset(key->address, 0, sizeof(key->address));
	if (key->family == AF_INET) {
		u32 address = sk->__sk_common.skc_rcv_saddr;

		__builtin_memcpy(key->address, &address, sizeof(address));
	} else {
		struct in6_addr address = sk->__sk_common.skc_v6_rcv_saddr;

		__builtin_memcpy(key->address, &address, sizeof(address));
	}
}

static __always_inline void set_generation(struct forerun_slot *slot, u32 number, u32 generation)
{
	for (u32 stripe = 0; stripe < FORERUN_STRIPES_MAX; stripe++) {
		struct forerun_counters *sums = stripe_of(number, stripe);

		if (sums)
			sums->generation = generation;
	}
	/* Whoever sees the generation sees the rest: an exchange is a barrier. */
	__sync_lock_test_and_set(&slot->generation, generation);
}

static __always_inline bool take_slot(const struct forerun_key *key, struct forerun_slot_ref *ref)
{
	struct forerun_slot_ref *known = bpf_map_lookup_elem(&addresses, key);
	struct forerun_slot *slot;

	if (known) {
		*ref = *known;
		return true;
	}
	if (bpf_map_pop_elem(&free_slots, ref)) {
		ADD(health.listeners_refused, 1);
		return false;
	}
	slot = bpf_map_lookup_elem(&slots, &ref->slot);
	if (!slot)
		return false;
	slot->key = *key;
	slot->edge_depth = default_edge_depth;
	slot->last_edge_ns = 0;
	set_generation(slot, ref->slot, ref->generation);
	if (bpf_map_update_elem(&addresses, key, ref, BPF_NOEXIST) == 0)
		return true;
	/* Another CPU was first with the same address: its slot is the one. */
	set_generation(slot, ref->slot, 0);
	bpf_map_push_elem(&free_slots, ref, 0);
	known = bpf_map_lookup_elem(&addresses, key);
	if (!known) {
		ADD(health.listeners_refused, 1);
		return false;
	}
	*ref = *known;
	return true;
}

/* What waits in its queue already was not seen to be established, and will be accepted. */
static __always_inline void begin_listener(struct listener *listener, struct connection *child,
					   const struct forerun_slot_ref *ref, u32 depth)
{
	struct forerun_counters *sums = counters_of(ref);

	listener->ref = *ref;
	listener->number = ADD(sockets_numbered, 1) + 1;
	child->role = ROLE_LISTENER;
	child->next_edge = 0;
	child->runs = bpf_ktime_get_ns();
	child->ref = *ref;
	if (sums && depth)
		ADD(sums->not_accepted, -(s64)depth);
}

/* Marks a listening socket, or mends a mark of a slot that has gone meanwhile. sk is what the
 * caller's context has: the helpers take a pointer of either kind, the compiler does not. */
#define MARK_LISTENER(sk, key, depth)                                                     \
	({                                                                                \
		struct listener *mark_ = bpf_sk_storage_get(&listeners, sk, 0, 0);        \
		if (!mark_ || !slot_of(&mark_->ref)) {                                    \
			struct forerun_slot_ref ref_ = {};                                \
			mark_ = NULL;                                                     \
			if (take_slot(key, &ref_)) {                                      \
				struct connection *child_;                                \
				mark_ = bpf_sk_storage_get(&listeners, sk, 0,             \
							   BPF_SK_STORAGE_GET_F_CREATE);  \
				child_ = bpf_sk_storage_get(&connections, sk, 0,          \
							    BPF_SK_STORAGE_GET_F_CREATE); \
				if (mark_ && child_)                                      \
					begin_listener(mark_, child_, &ref_, depth);      \
				else                                                      \
					ADD(health.listeners_refused, 1);                 \
			}                                                                 \
		}                                                                         \
		mark_;                                                                    \
	})

#endif
