/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Segments, and whose turn it is on a connection: payload from the client after payload from the
 * server is a request, the other way round a response. */
#ifndef FORERUN_BPF_REQUESTS_H
#define FORERUN_BPF_REQUESTS_H

#include "bpf/buckets.h"
#include "bpf/state.h"

struct segment {
	u32 payload;
	u32 header; /* where the payload starts */
	u32 sequence;
	bool syn, ack, rst;
};

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
	segment->syn = tcp->syn;
	segment->ack = tcp->ack;
	segment->rst = tcp->rst;
	return true;
}

/* The hook sees segments before TCP has checked them: what was seen already is not a new turn. */
static __always_inline bool is_new(struct connection *connection, const struct segment *segment)
{
	u32 end = segment->sequence + segment->payload;

	if (connection->received_known && (int)(end - connection->received) <= 0)
		return false;
	connection->received = end;
	connection->received_known = 1;
	return true;
}

/* Egress runs before TCP moves snd_nxt over new data, so what lies before it is sent again. */
static __always_inline bool is_sent_again(struct bpf_sock *sk, const struct segment *segment)
{
	struct bpf_tcp_sock *tcp = bpf_tcp_sock(sk);

	return tcp && (int)(segment->sequence - tcp->snd_nxt) < 0;
}

/* "HTTP/1.1 100 Continue" comes alone and short: the client goes on with its request then, and what
 * follows is no other one. */
#define INTERIM_BYTES_MAX 64

static __always_inline bool is_interim(struct __sk_buff *skb, const struct segment *segment)
{
	char line[12];

	if (segment->payload > INTERIM_BYTES_MAX || segment->payload < sizeof(line) ||
	    bpf_skb_load_bytes(skb, segment->header, line, sizeof(line)))
		return false;
	return line[0] == 'H' && line[1] == 'T' && line[4] == '/' && line[8] == ' ' &&
	       line[9] == '1' && line[10] == '0' && line[11] == '0';
}

static __always_inline void request_begins(struct connection *connection,
					   struct forerun_counters *sums)
{
	connection->turn = TURN_CLIENT;
	connection->request_ns = bpf_ktime_get_ns();
	ADD(sums->requests, 1);
}

static __always_inline void response_begins(struct connection *connection,
					    struct forerun_counters *sums)
{
	u64 took = bpf_ktime_get_ns() - connection->request_ns;
	u32 bucket = forerun_bucket_of(took);

	connection->turn = TURN_SERVER;
	ADD(sums->responses, 1);
	ADD(sums->response_ns, took);
	if (bucket < FORERUN_BUCKETS)
		ADD(sums->buckets[bucket], 1);
}

#endif
