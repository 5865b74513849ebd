/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * AF_UNIX stream and seqpacket listeners: what waits is in the listener's receive queue, each
 * connection as one buffer (net/unix/af_unix.c, unix_stream_connect()). No hook runs when one is
 * made or taken, so they are found and read by the iterators alone.
 */
#ifndef FORERUN_BPF_UNIX_H
#define FORERUN_BPF_UNIX_H

#include "bpf/listeners.h"

/* Byte by byte, as the verifier lets the kernel's arrays be read. */
static __always_inline void read_path(struct sock *sk, struct forerun_path *path)
{
	struct unix_sock *unix_sk = bpf_skc_to_unix_sock(sk);
	struct unix_address *address;

	path->length = 0;
	if (!unix_sk)
		return;
	address = unix_sk->addr;
	if (!address)
		return;
	path->length = address->len - sizeof(unsigned short);
#pragma unroll
	for (u32 i = 0; i < sizeof(path->bytes); i++)
		path->bytes[i] = address->name[0].sun_path[i];
}

static __always_inline struct listener *take_unix(struct sock *sk, u64 inode)
{
	struct forerun_key key = {.netns = sk->__sk_common.skc_net.net->ns.inum, .family = AF_UNIX};
	struct forerun_slot_ref ref = {};
	struct forerun_path *path;
	struct listener *listener;

	if (!unix_left) {
		unix_refused++;
		return NULL;
	}
	__builtin_memcpy(key.address, &inode, sizeof(inode));
	if (!take_slot(&key, &ref))
		return NULL;
	unix_left--;
	listener = bpf_sk_storage_get(&listeners, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	path = bpf_map_lookup_elem(&paths, &ref.slot);
	if (!listener || !path)
		return NULL;
	listener->ref = ref;
	listener->number = ADD(sockets_numbered, 1) + 1;
	read_path(sk, path);
	return listener;
}

/* A socket's file that the search came across; NULL: no listener, or there is no room. */
static __always_inline struct listener *mark_unix(struct sock *sk, struct file *file)
{
	struct listener *listener;

	if (adopt_connections || sk->__sk_common.skc_state != TCP_LISTEN)
		return NULL;
	listener = bpf_sk_storage_get(&listeners, sk, 0, 0);
	if (listener && slot_of(&listener->ref))
		return listener;
	return take_unix(sk, file->f_inode->i_ino);
}

/* Another head than at the last reading: that one was taken. */
static __always_inline void unix_row(struct sock *sk, struct listener *listener,
				     struct forerun_row *row)
{
	u64 head = (u64)sk->sk_receive_queue.next;

	row->depth = sk->sk_receive_queue.qlen;
	row->limit = sk->sk_max_ack_backlog;
	if (listener->head && listener->head != head)
		listener->taken++;
	listener->head = row->depth ? head : 0;
	row->taken = listener->taken;
}

#endif
