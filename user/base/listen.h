/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as users write them, and sockets that listen there. */
#ifndef FORERUN_BASE_LISTEN_H
#define FORERUN_BASE_LISTEN_H

#include "base/base.h"

#define ADDRESS_HOST_SIZE 256

/* "HOST:PORT", "[HOST]:PORT" or ":PORT" (host is "" then); "HOST" alone where there is a
 * default_port. -EINVAL when it is none of these. */
int address_split(const char *address, uint16_t default_port, char host[ADDRESS_HOST_SIZE],
		  uint16_t *port);
/* A non-blocking listening socket, and the real port when 0 was asked for. Host "" stands for all
 * addresses of both families, "localhost" for 127.0.0.1; other names are not looked up. -EINVAL:
 * not such an address. */
int listen_at(const char *address, int backlog, uint16_t *port);

#endif
