/* SPDX-License-Identifier: Apache-2.0 */
/* What EC2 says of a host's end, as the host itself hears it. Part of the wire room's door
 * (wire/wire.h). */
#ifndef FORERUN_WIRE_NOTICE_H
#define FORERUN_WIRE_NOTICE_H

#include "base/base.h"

#define NOTICES_MAX 4U /* of one host at a time */

enum notice_kind {
	NOTICE_OTHER, /* of a newer version */
	NOTICE_SPOT, /* EC2 takes the instance back at that time */
	NOTICE_REBALANCE, /* it may do so sooner than for others */
	NOTICE_MAINTENANCE, /* something is scheduled for it */
	NOTICE_KINDS
};

struct notice {
	enum notice_kind kind;
	char what[48]; /* EC2's word: "terminate", "instance-retirement"; "" for none */
	uint64_t when_wall_ms; /* of what it announces, milliseconds since 1970; 0: not said */
	uint64_t age_ns; /* when sent: for how long the host has known it */
};

const char *notice_kind_text(enum notice_kind kind); /* "spot", "rebalance", "maintenance" */

#endif
