/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whose turn it is on a connection: payload from the client after payload from the server is a
 * request, the other way round a response. */
#ifndef FORERUN_BPF_REQUESTS_H
#define FORERUN_BPF_REQUESTS_H

#include "bpf/buckets.h"
#include "bpf/connection.h"

/* The hook sees segments before TCP has checked them: the part that was seen already is not new.
 * False: nothing is. gap: what came before it is missing, and will pass by later. */
static __always_inline bool new_part(struct connection *connection, const struct segment *segment,
				     struct span *span, bool *gap)
{
	u32 end = segment->sequence + segment->payload;
	int ahead = segment->sequence - connection->received; /* < 0: an overlap */

	span->at = segment->header;
	span->end = segment->header + segment->payload;
	*gap = false;
	if (connection->received_known) {
		if ((int)(end - connection->received) <= 0)
			return false;
		*gap = ahead > 0;
		if (ahead < 0)
			span->at -= ahead;
	}
	connection->received = end;
	connection->heard = segment->acknowledged;
	connection->received_known = 1;
	return true;
}

/* Statuses that change what the client's next payload means: after 100 Continue it is the rest of
 * the same request, after 101 Switching Protocols it is no HTTP/1 any more. 0: another one. */
static __always_inline u32 special_status(struct __sk_buff *skb, const struct span *span)
{
	char line[12];

	if (span->end - span->at < sizeof(line) || PAYLOAD_LOAD(skb, span->at, line, sizeof(line)))
		return 0;
	if (line[0] != 'H' || line[1] != 'T' || line[4] != '/' || line[8] != ' ' ||
	    line[9] != '1' || line[10] != '0')
		return 0;
	return line[11] == '0' ? 100 : line[11] == '1' ? 101 : 0;
}

static __always_inline void request_begins(struct connection *connection,
					   struct forerun_counters *sums)
{
	connection->turn = TURN_CLIENT;
	connection->request_ns = bpf_ktime_get_ns();
	ADD(sums->requests, 1);
}

/* It goes on behind what counted as its response: in flight again, and not asked again. */
static __always_inline void request_goes_on(struct connection *connection,
					    struct forerun_counters *sums)
{
	connection->turn = TURN_CLIENT;
	connection->answered = 1;
	ADD(sums->unanswered, -1);
}

static __always_inline void response_begins(struct connection *connection,
					    struct forerun_counters *sums)
{
	u64 took = bpf_ktime_get_ns() - connection->request_ns;
	u32 bucket = forerun_bucket_of(took);

	connection->turn = TURN_SERVER;
	if (connection->answered) {
		connection->answered = 0;
		ADD(sums->unanswered, 1);
		return;
	}
	ADD(sums->responses, 1);
	ADD(sums->response_ns, took);
	if (bucket < FORERUN_BUCKETS)
		ADD(sums->buckets[bucket], 1);
}

#endif
