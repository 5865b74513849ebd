/* SPDX-License-Identifier: Apache-2.0 */
/* The two halves of dialling: lookup.c finds addresses, dial.c tries them. */
#ifndef FORERUN_WIRE_DIAL_PRIVATE_H
#define FORERUN_WIRE_DIAL_PRIVATE_H

#include <netdb.h>

#include "base/loop.h"

struct lookup;

/* Called once, from the loop; addresses are the callee's (freeaddrinfo()), NULL with a reason. */
typedef void (*lookup_fn)(void *arg, struct addrinfo *addresses, const char *reason);

/* Of an address in digits without asking anybody: NULL when host is none. */
struct addrinfo *lookup_numeric(const char *host, uint16_t port);
int lookup_new(struct loop *loop, const char *host, uint16_t port, lookup_fn done, void *arg,
	       struct lookup **out);
void lookup_free(struct lookup *lookup);

#endif
