/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames: what one host reports to a core, on every edge and every tick. In `forerun run` they are
 * handed over in the process; their bytes are the recording format of `forerun run --record` and
 * `forerun simulate`. docs/wire.md has it byte by byte.
 */
#ifndef FORERUN_WIRE_WIRE_H
#define FORERUN_WIRE_WIRE_H

#include "base/base.h"
#include "base/text.h"
#include "signal/signal.h"
#include "wire/notice.h"

#define WIRE_VERSION 1
#define WIRE_FRAME_BYTES_MAX (16U << 20)
#define WIRE_INDICATORS_MAX 16384U
#define WIRE_HOST_SIZE 64

enum frame_kind { FRAME_TICK = 1, FRAME_EDGE = 2 };

/* Ages, not times, so that no two hosts' clocks are compared. */
struct frame {
	enum frame_kind kind;
	char host[WIRE_HOST_SIZE];
	uint64_t sequence; /* from 1, gapless for one host and start */
	uint64_t age_ns; /* when sent: how old the newest value in it is */
	uint64_t edge_ns; /* FRAME_EDGE: CLOCK_MONOTONIC of the kernel's edge on the sender, else 0
			   */
	struct usage host_usage;
	double host_cpu_cores; /* cores in use on the whole host, fast window; NaN: not known */
	double host_cpus;
	char instance_id[32]; /* of the host on EC2, "" elsewhere */
	char services[256]; /* that the host runs: "api,web"; "": it does not say */
	struct notice notices[NOTICES_MAX]; /* that stand now */
	uint32_t notices_count;
	const struct indicator *indicators; /* decoded frames own them: frame_free() */
	size_t count;
};

/* Appends one length-delimited frame. -EMSGSIZE above WIRE_FRAME_BYTES_MAX or
 * WIRE_INDICATORS_MAX, -EINVAL for another kind; nothing is appended then. */
int frame_encode(const struct frame *frame, struct text *out);
/* Takes one frame off the front of data: returns the bytes taken, 0 when more are needed, -EBADMSG
 * for damage (reason says which), -EPROTONOSUPPORT for another major version. */
ssize_t frame_decode(const void *data, size_t length, struct frame *out, char reason[128]);
void frame_free(struct frame *frame);

#include "wire/session.h"

#endif
