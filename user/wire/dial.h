/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to whichever address of a host answers first: names are looked up beside the loop,
 * then one address after the other is tried, a quarter of a second apart (RFC 8305), and the first
 * that is there wins.
 */
#ifndef FORERUN_WIRE_DIAL_H
#define FORERUN_WIRE_DIAL_H

#include "base/loop.h"

struct dial;

/* Called once, from the loop: a connected socket that is the callee's from then on, or -1 and why.
 */
typedef void (*dial_fn)(void *arg, int fd, const char *reason);

int dial_new(struct loop *loop, const char *host, uint16_t port, dial_fn done, void *arg,
	     struct dial **out);
/* Before or after it called back; what is under way is given up. */
void dial_free(struct dial *dial);

#endif
