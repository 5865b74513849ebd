/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/dial.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/dial_private.h"

#define ATTEMPTS_MAX 8
#define NEXT_AFTER_NS (250 * NS_PER_MS)
#define GIVE_UP_NS (10 * NS_PER_S)

struct dial {
	struct loop *loop;
	struct loop_timer *timer;
	struct lookup *lookup;
	struct addrinfo *addresses; /* all */
	const struct addrinfo *next; /* that has not been tried */
	int fds[ATTEMPTS_MAX]; /* under way; -1: none */
	size_t tried;
	uint64_t give_up_ns;
	int error; /* of the last attempt that failed */
	dial_fn done;
	void *arg;
};

static void close_attempt(struct dial *dial, size_t i)
{
	if (dial->fds[i] < 0)
		return;
	loop_fd_remove(dial->loop, dial->fds[i]);
	close_descriptor(&dial->fds[i]);
	dial->fds[i] = -1;
}

static void finish(struct dial *dial, int fd, const char *reason)
{
	loop_timer_stop(dial->timer);
	for (size_t i = 0; i < ATTEMPTS_MAX; i++)
		close_attempt(dial, i);
	dial->done(dial->arg, fd, reason);
}

static bool under_way(const struct dial *dial)
{
	for (size_t i = 0; i < ATTEMPTS_MAX; i++)
		if (dial->fds[i] >= 0)
			return true;
	return false;
}

static void on_connected(void *arg, int fd, uint32_t epoll_events);

/* 0: it is under way. Each address has one attempt. */
static int attempt(struct dial *dial, const struct addrinfo *address)
{
	int fd, r;

	fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = connect(fd, address->ai_addr, address->ai_addrlen) < 0 && errno != EINPROGRESS
		    ? -errno
		    : loop_fd_add(dial->loop, fd, EPOLLOUT, on_connected, dial);
	if (r < 0) {
		close(fd);
		return r;
	}
	dial->fds[dial->tried++] = fd;
	return 0;
}

/* The next address that can be tried at all, or the end when none is left and none under way. */
static void try_next(struct dial *dial)
{
	while (dial->next && dial->tried < ATTEMPTS_MAX) {
		const struct addrinfo *address = dial->next;
		int r = attempt(dial, address);

		dial->next = address->ai_next;
		if (r >= 0) {
			loop_timer_at(dial->timer, time_mono_ns() + NEXT_AFTER_NS);
			return;
		}
		dial->error = -r;
	}
	if (under_way(dial))
		loop_timer_at(dial->timer, dial->give_up_ns);
	else
		finish(dial, -1, strerror(dial->error ? dial->error : ETIMEDOUT));
}

static void on_connected(void *arg, int fd, uint32_t epoll_events)
{
	struct dial *dial = arg;
	socklen_t length = sizeof(dial->error);
	int error = 0;

	(void)epoll_events;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
		error = errno;
	for (size_t i = 0; i < ATTEMPTS_MAX; i++) {
		if (dial->fds[i] != fd)
			continue;
		if (error) {
			close_attempt(dial, i);
		} else {
			loop_fd_remove(dial->loop, fd);
			dial->fds[i] = -1;
		}
	}
	if (!error) {
		finish(dial, fd, NULL);
		return;
	}
	dial->error = error;
	try_next(dial);
}

static void on_timer(void *arg, uint64_t now_ns)
{
	struct dial *dial = arg;

	if (now_ns >= dial->give_up_ns) {
		finish(dial, -1, "nobody answers there");
		return;
	}
	try_next(dial);
}

static void on_addresses(void *arg, struct addrinfo *addresses, const char *reason)
{
	struct dial *dial = arg;

	dial->addresses = addresses;
	dial->next = addresses;
	if (addresses)
		try_next(dial);
	else
		finish(dial, -1, reason);
}

int dial_new(struct loop *loop, const char *host, uint16_t port, dial_fn done, void *arg,
	     struct dial **out)
{
	struct dial *dial = calloc(1, sizeof(*dial));
	int r;

	if (!dial)
		return -ENOMEM;
	*dial = (struct dial){.loop = loop, .done = done, .arg = arg};
	memset(dial->fds, -1, sizeof(dial->fds));
	dial->give_up_ns = time_mono_ns() + GIVE_UP_NS;
	r = loop_timer_new(loop, on_timer, dial, &dial->timer);
	if (r >= 0) {
		dial->addresses = lookup_numeric(host, port);
		dial->next = dial->addresses;
		if (dial->addresses)
			loop_timer_at(dial->timer, 0);
		else
			r = lookup_new(loop, host, port, on_addresses, dial, &dial->lookup);
	}
	if (r < 0) {
		dial_free(dial);
		return r;
	}
	if (!dial->addresses)
		loop_timer_at(dial->timer, dial->give_up_ns);
	*out = dial;
	return 0;
}

void dial_free(struct dial *dial)
{
	if (!dial)
		return;
	loop_timer_free(dial->timer);
	for (size_t i = 0; i < ATTEMPTS_MAX; i++)
		close_attempt(dial, i);
	lookup_free(dial->lookup);
	if (dial->addresses)
		freeaddrinfo(dial->addresses);
	free(dial);
}
