/* SPDX-License-Identifier: Apache-2.0 */
/* The listening socket of an address as users write it. */
#include <netinet/in.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/listen.h"

int address_split(const char *address, uint16_t default_port, char host[ADDRESS_HOST_SIZE],
		  uint16_t *port)
{
	const char *colon = strrchr(address, ':'), *from = address;
	size_t length = strlen(address);
	uint64_t number = default_port;

	if (colon && length && address[length - 1] == ']')
		colon = NULL; /* one of an IPv6 address */
	if (!colon && !default_port)
		return -EINVAL;
	if (colon && (parse_u64(colon + 1, &number) < 0 || number > UINT16_MAX))
		return -EINVAL;
	if (colon)
		length = (size_t)(colon - address);
	if (length >= 2 && address[0] == '[' && address[length - 1] == ']') {
		from++;
		length -= 2;
	} else if (memchr(address, ':', length)) {
		return -EINVAL; /* an IPv6 address without its brackets */
	}
	if (length >= ADDRESS_HOST_SIZE)
		return -EINVAL;
	memcpy(host, from, length);
	host[length] = '\0';
	*port = (uint16_t)number;
	return 0;
}

static int listen_on(const struct sockaddr *address, socklen_t length, int backlog)
{
	_cleanup_close_ int fd = -1;
	int on = 1, off = 0, kept;

	fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address->sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, address, length) < 0 || listen(fd, backlog) < 0)
		return -errno;
	kept = fd;
	fd = -1;
	return kept;
}

/* Both families on one socket; where there is no IPv6, IPv4 alone. */
static int listen_on_all(uint16_t port, int backlog)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = listen_on((struct sockaddr *)&six, sizeof(six), backlog);

	if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)
		fd = listen_on((struct sockaddr *)&four, sizeof(four), backlog);
	return fd;
}

static int listen_on_host(const char *host, uint16_t port, int backlog)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
	struct addrinfo *found = NULL;
	char service[8];
	int fd;

	if (str_equal(host, "localhost"))
		host = "127.0.0.1";
	snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(host, service, &hints, &found) != 0)
		return -EINVAL;
	fd = listen_on(found->ai_addr, found->ai_addrlen, backlog);
	freeaddrinfo(found);
	return fd;
}

static uint16_t port_of(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in four;
		struct sockaddr_in6 six;
	} address = {0};
	socklen_t length = sizeof(address);

	if (getsockname(fd, &address.any, &length) < 0)
		return 0;
	return ntohs(address.any.sa_family == AF_INET6 ? address.six.sin6_port
						       : address.four.sin_port);
}

int listen_at(const char *address, int backlog, uint16_t *port)
{
	char host[ADDRESS_HOST_SIZE];
	int fd, r;

	r = address_split(address, 0, host, port);
	if (r < 0)
		return r;
	fd = *host ? listen_on_host(host, *port, backlog) : listen_on_all(*port, backlog);
	if (fd >= 0)
		*port = port_of(fd);
	return fd;
}
