/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames as messages: what changed since the frame before it on this connection, or all of it.
 * TCP keeps the order and loses nothing, so what was sent counts as known to the other side.
 */
#ifndef FORERUN_WIRE_DELTA_H
#define FORERUN_WIRE_DELTA_H

#include "wire/message.h"
#include "wire/state.h"

/* ---- the agent's side ---- */

struct frame_writer {
	struct host_state sent; /* what the other side has */
	struct map keys; /* id of a listener -> its key + 1 */
	uint32_t stamp;
};

void frame_writer_init(struct frame_writer *writer, struct owners *owners, struct layout *layout);
void frame_writer_free(struct frame_writer *writer);
/* Appends the messages of one frame; full: nothing that the other side has is built upon. -EMSGSIZE
 * above WIRE_INDICATORS_MAX. */
int frame_write(struct frame_writer *writer, const struct frame *frame, bool full, uint64_t now_ns,
		struct text *out);

/* ---- the core's side ---- */

struct frame_reader {
	struct host_state state;
	size_t listeners_max;
	bool open; /* a frame has begun and its next part is waited for */
	bool begun; /* its head is read */
	bool notices_begun; /* one of its notices is */
	uint64_t read_ns; /* when it came */
	/* Of the frame that is being read, or was last: */
	uint64_t flags, sequence;
	uint64_t age_ns, edge_ns;
	uint64_t newest_ns; /* of its values, on our clock */
};

void frame_reader_init(struct frame_reader *reader, struct owners *owners, struct layout *layout);
void frame_reader_free(struct frame_reader *reader);
/* One message of kind MESSAGE_FRAME. layout: what is of interest by now; a full frame takes it on.
 * 1: the frame is whole (frame_reader_expand()), 0: parts are missing, -EBADMSG with a reason. */
int frame_read(struct frame_reader *reader, const struct message *message, struct layout *layout,
	       uint64_t now_ns, char reason[REASON_SIZE]);
/* The whole state of the host; its indicators and texts are valid as long as scratch is not used
 * for another one. */
void frame_reader_expand(const struct frame_reader *reader, struct scratch *scratch,
			 struct frame *out);

/* ---- tags of both ---- */

enum {
	FRAME_FLAG_FULL = 1,
	FRAME_FLAG_EDGE = 2,
};

enum frame_tag {
	FRAME_SEQUENCE = 1,
	FRAME_FLAGS,
	FRAME_AGE,
	FRAME_EDGE_AGE,
	FRAME_CPU_CORES,
	FRAME_CPUS,
	FRAME_USAGE,
	FRAME_INSTANCE_ID,
	FRAME_LISTENER,
	FRAME_GONE,
	FRAME_SERVICES,
	FRAME_NOTICE,
};

enum listener_tag {
	LISTENER_ID = 1,
	LISTENER_SLOT,
	LISTENER_NETNS,
	LISTENER_FAMILY,
	LISTENER_PORT,
	LISTENER_ADDRESS,
	LISTENER_SOCKETS,
	LISTENER_QUEUE_LIMIT,
	LISTENER_OWNER,
	LISTENER_BEHIND,
	LISTENER_FIRST_SEEN,
	LISTENER_CAPACITY,
	LISTENER_DIAGNOSIS,
	LISTENER_REASON,
	LISTENER_VALUES,
	LISTENER_BUCKETS,
	LISTENER_COUNTER, /* and the eight after it */
};

/* How a value stands in LISTENER_VALUES: u8 metric, u8 form << 4 | statistic, then the value. */
enum value_form {
	VALUE_DOUBLE, /* 8 bytes */
	VALUE_UNKNOWN, /* none: not known any more */
	VALUE_FLOAT, /* 4 bytes, where that is exact */
	VALUE_WHOLE, /* 2 bytes: 0 to 65,535 */
};

#endif
