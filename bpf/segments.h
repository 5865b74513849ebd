/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a packet to its TCP segment. */
#ifndef FORERUN_BPF_SEGMENTS_H
#define FORERUN_BPF_SEGMENTS_H

#include "bpf/state.h"

/* False: not TCP, or cut. The packet starts with its IP header. */
static __always_inline bool segment_of(struct __sk_buff *skb, struct segment *segment)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data;
	struct ipv6hdr *ip6 = data;
	struct tcphdr *tcp;
	u32 header;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if ((void *)(ip + 1) > end || ip->protocol != IPPROTO_TCP)
			return false;
		header = ip->ihl * 4;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if ((void *)(ip6 + 1) > end || ip6->nexthdr != IPPROTO_TCP)
			return false;
		header = sizeof(*ip6);
	} else {
		return false;
	}
	tcp = data + header;
	if ((void *)(tcp + 1) > end)
		return false;
	header += tcp->doff * 4;
	segment->header = header;
	segment->payload = skb->len > header ? skb->len - header : 0;
	segment->sequence = bpf_ntohl(tcp->seq);
	segment->acknowledged = bpf_ntohl(tcp->ack_seq);
	segment->syn = tcp->syn;
	segment->ack = tcp->ack;
	segment->rst = tcp->rst;
	return true;
}

/* Egress runs before TCP moves snd_nxt over new data, so what lies before it is sent again. */
static __always_inline bool is_sent_again(struct bpf_sock *sk, const struct segment *segment)
{
	struct bpf_tcp_sock *tcp = bpf_tcp_sock(sk);

	return tcp && (int)(segment->sequence - tcp->snd_nxt) < 0;
}

#endif
