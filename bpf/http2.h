/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * HTTP/2 in clear text (RFC 9113): frames are walked by their headers alone. A stream that the
 * client opens is a request, its end by the server (END_STREAM or RST_STREAM) the response. Frame
 * types that are not named here do not count, whatever they are.
 */
#ifndef FORERUN_BPF_HTTP2_H
#define FORERUN_BPF_HTTP2_H

#include "bpf/buckets.h"
#include "bpf/records.h"

#define H2_PREFACE 24 /* bytes of "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" */
#define H2_FRAME_HEAD 9
#define H2_DATA 0
#define H2_HEADERS 1
#define H2_RST_STREAM 3
#define H2_END_STREAM 1
/* Frames in one segment that are looked at: 64 KiB of the smallest ones that clients send in
 * earnest. What lies behind is not followed any more, and said so. */
#define H2_FRAMES_MAX 4096
/* Ids of streams grow by two, so that neighbours never share a place. */
#define H2_STREAMS 128

struct stream {
	u32 id; /* 0: free */
	u32 begun_us;
	u32 took_us; /* until the first HEADERS of the server; 0: not yet */
};

struct http2 {
	struct half halves[2]; /* client, server */
	u32 last; /* the highest stream that the client opened */
	u32 open;
	u32 lost; /* not followed any more */
	u32 pad;
	struct stream streams[H2_STREAMS];
};

struct h2_walk {
	struct __sk_buff *skb;
	struct http2 *http2;
	struct forerun_counters *sums;
	u64 now_us;
	struct span span;
	u32 server;
	u32 pad;
};

static __always_inline u32 h2_stream_id(const u8 *head)
{
	return (head[5] & 0x7fU) << 24 | (u32)head[6] << 16 | (u32)head[7] << 8 | head[8];
}

static __always_inline void h2_opened(struct h2_walk *walk, u32 id)
{
	struct http2 *http2 = walk->http2;
	struct stream *stream = &http2->streams[id >> 1 & (H2_STREAMS - 1)];

	if (!(id & 1) || id <= http2->last)
		return; /* trailers, or an old one again */
	http2->last = id;
	if (stream->id) { /* one that has been open for 128 others: let go of */
		ADD(walk->sums->unanswered, 1);
		ADD(walk->sums->lower_bounds, 1);
		http2->open--;
	}
	stream->id = id;
	stream->begun_us = walk->now_us;
	stream->took_us = 0;
	http2->open++;
	ADD(walk->sums->requests, 1);
}

/* Its place becomes free; false: it was not open any more. */
static __always_inline bool h2_closed(struct http2 *http2, struct stream *stream, u32 id)
{
	if (!id || stream->id != id)
		return false;
	stream->id = 0;
	http2->open--;
	return true;
}

static __always_inline u32 h2_took_us(const struct h2_walk *walk, const struct stream *stream)
{
	u32 took = (u32)walk->now_us - stream->begun_us;

	return took ? took : 1;
}

static __always_inline void h2_answered(struct h2_walk *walk, u32 took_us)
{
	u32 bucket = forerun_bucket_of((u64)took_us * 1000);

	ADD(walk->sums->responses, 1);
	ADD(walk->sums->response_ns, (u64)took_us * 1000);
	if (bucket < FORERUN_BUCKETS)
		ADD(walk->sums->buckets[bucket], 1);
}

static __always_inline void h2_client_frame(struct h2_walk *walk, const u8 *head)
{
	u32 id = h2_stream_id(head);
	struct stream *stream = &walk->http2->streams[id >> 1 & (H2_STREAMS - 1)];

	if (head[3] == H2_HEADERS)
		h2_opened(walk, id);
	else if (head[3] == H2_RST_STREAM && h2_closed(walk->http2, stream, id))
		ADD(walk->sums->unanswered, 1); /* the client does not wait any more */
}

static __always_inline void h2_server_frame(struct h2_walk *walk, const u8 *head)
{
	u32 id = h2_stream_id(head), took;
	struct stream *stream = &walk->http2->streams[id >> 1 & (H2_STREAMS - 1)];
	bool ends = head[3] == H2_RST_STREAM ||
		    ((head[3] == H2_DATA || head[3] == H2_HEADERS) && head[4] & H2_END_STREAM);

	if (!id || stream->id != id)
		return;
	if (head[3] == H2_HEADERS && !stream->took_us)
		stream->took_us = h2_took_us(walk, stream);
	took = stream->took_us ? stream->took_us : h2_took_us(walk, stream);
	if (ends && h2_closed(walk->http2, stream, id))
		h2_answered(walk, took);
}

/* bpf_loop()'s callback: 1 ends the loop. */
static long h2_step(u32 index, void *context)
{
	struct h2_walk *walk = context;
	struct half *half = &walk->http2->halves[walk->server & 1];
	int r = record_next(walk->skb, half, &walk->span, H2_FRAME_HEAD);

	(void)index;
	if (r < 0)
		return 1;
	if (r == 0)
		return 0;
	half->left = (u32)half->head[0] << 16 | (u32)half->head[1] << 8 | half->head[2];
	if (walk->server & 1)
		h2_server_frame(walk, half->head);
	else
		h2_client_frame(walk, half->head);
	return 0;
}

/* What is counted from now on would be guessed: nothing is. */
static __always_inline void h2_lose(struct http2 *http2, struct forerun_counters *sums)
{
	if (http2->lost)
		return;
	http2->lost = 1;
	ADD(sums->lower_bounds, 1);
	ADD(sums->unanswered, http2->open);
	http2->open = 0;
}

static __always_inline void h2_payload(struct __sk_buff *skb, struct http2 *http2,
				       struct forerun_counters *sums, struct span span, u32 server)
{
	struct h2_walk walk = {.skb = skb,
			       .http2 = http2,
			       .sums = sums,
			       .now_us = bpf_ktime_get_ns() / 1000,
			       .span = span,
			       .server = server};

	if (http2->lost)
		return;
	/* A header and a body are two steps. */
	bpf_loop(2 * H2_FRAMES_MAX, h2_step, &walk, 0);
	if (walk.span.at < walk.span.end)
		h2_lose(http2, sums);
}

#endif
