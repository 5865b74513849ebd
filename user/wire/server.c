/* SPDX-License-Identifier: Apache-2.0 */
/* Takes connections in and looks after them. A storm of thousands that come at once is served in
 * small portions, between the frames of those who are there already. */
#include "wire/server_private.h"

#include <arpa/inet.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/listen.h"
#include "base/log.h"

#define BACKLOG 1024 /* more would have given up before their turn comes */
#define ACCEPTS_PER_ROUND 64
#define SHAKES_PER_ROUND 4 /* a step takes a fraction of a millisecond */
#define TOLD_PER_ROUND 256
#define NEW_MAX 512 /* without a hello, at once; the others wait in the kernel */
#define SWEEP_TURNS 10 /* a connection is looked at in one of so many sweeps */
#define SWEEP_EVERY_MOST_NS (100 * NS_PER_MS)
#define COMPLAINTS_PER_SECOND 5
#define FULL_SAID_EVERY_NS (10 * NS_PER_S)

/* ---- those that came and did not say hello yet ---- */

void server_new_peer(struct peer *peer)
{
	struct wire_server *server = peer->server;

	peer->older = server->newest;
	if (server->newest)
		server->newest->newer = peer;
	else
		server->oldest = peer;
	server->newest = peer;
	server->new_count++;
}

void server_not_new(struct peer *peer)
{
	struct wire_server *server = peer->server;

	if (peer->older)
		peer->older->newer = peer->newer;
	else
		server->oldest = peer->newer;
	if (peer->newer)
		peer->newer->older = peer->older;
	else
		server->newest = peer->older;
	peer->older = peer->newer = NULL;
	server->new_count--;
}

/* Anybody can fill the log by connecting again and again; nobody shall. */
void server_complain(struct wire_server *server, const struct peer *peer, const char *reason,
		     uint64_t now_ns)
{
	if (!bucket_allows(&server->complaints, 1, COMPLAINTS_PER_SECOND,
			   10.0 * COMPLAINTS_PER_SECOND, now_ns)) {
		server->unsaid++;
		return;
	}
	if (server->unsaid)
		log_warning("%llu more connections were refused",
			    (unsigned long long)server->unsaid);
	server->unsaid = 0;
	log_warning("connection from %s refused: %s", peer->address, reason);
}

/* ---- listening ---- */

static void accept_if(struct wire_server *server, bool accepting)
{
	if (server->accepting == accepting)
		return;
	server->accepting = accepting;
	loop_fd_modify(server->loop, server->fd, accepting ? EPOLLIN : 0);
}

/* One that uses up half of its time makes room when there are so many. */
static bool oldest_is_stuck(const struct wire_server *server, uint64_t now_ns)
{
	return server->oldest &&
	       now_ns - MIN(now_ns, server->oldest->began_ns) > server->config.hello_within_ns / 2;
}

/* Room for one more, made of one that has been about to say hello for long if need be. */
static bool room_for_new(struct wire_server *server, uint64_t now_ns)
{
	if (server->new_count < NEW_MAX)
		return true;
	if (!oldest_is_stuck(server, now_ns))
		return false;
	peer_end(server->oldest, "too many others wait to be let in");
	return true;
}

union address {
	struct sockaddr any;
	struct sockaddr_in four;
	struct sockaddr_in6 six;
};

static void address_text(const union address *address, char out[PEER_ADDRESS_SIZE])
{
	const struct sockaddr_in6 *six = &address->six;
	char digits[INET6_ADDRSTRLEN] = "";

	if (address->any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &address->four.sin_addr, digits, sizeof(digits));
		snprintf(out, PEER_ADDRESS_SIZE, "%s:%u", digits, ntohs(address->four.sin_port));
	} else if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
		inet_ntop(AF_INET, six->sin6_addr.s6_addr + 12, digits, sizeof(digits));
		snprintf(out, PEER_ADDRESS_SIZE, "%s:%u", digits, ntohs(six->sin6_port));
	} else {
		inet_ntop(AF_INET6, &six->sin6_addr, digits, sizeof(digits));
		snprintf(out, PEER_ADDRESS_SIZE, "[%s]:%u", digits, ntohs(six->sin6_port));
	}
}

static void say_full(struct wire_server *server, int error, uint64_t now_ns)
{
	if (now_ns - server->full_said_ns < FULL_SAID_EVERY_NS)
		return;
	server->full_said_ns = now_ns;
	log_warning("no more than %zu connections can be taken: %s%s", server->peers.count,
		    strerror(error), error == EMFILE ? " (raise LimitNOFILE=, ulimit -n)" : "");
}

/* False when nobody else waits, or nobody else can be taken. */
static bool accept_one(struct wire_server *server, uint64_t now_ns)
{
	union address address = {0};
	socklen_t length = sizeof(address);
	char text[PEER_ADDRESS_SIZE];
	int fd, r;

	fd = accept4(server->fd, &address.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			say_full(server, errno, now_ns);
			accept_if(server, false); /* the next sweep tries again */
		}
		return errno == ECONNABORTED || errno == EINTR;
	}
	server->status.accepted++;
	address_text(&address, text);
	r = peer_new(server, fd, text, now_ns);
	if (r < 0) {
		log_warning("cannot take the connection from %s: %s", text, strerror(-r));
		close(fd);
	}
	return true;
}

static void on_connections(void *arg, int fd, uint32_t epoll_events)
{
	struct wire_server *server = arg;
	uint64_t now_ns = time_mono_ns();

	(void)fd;
	(void)epoll_events;
	for (int i = 0; i < ACCEPTS_PER_ROUND; i++) {
		if (!room_for_new(server, now_ns)) {
			accept_if(server, false);
			return;
		}
		if (!accept_one(server, now_ns))
			return;
	}
}

int server_listen(struct wire_server *server)
{
	int fd = listen_at(server->config.listen, BACKLOG, &server->port), r;

	if (fd < 0)
		return fd;
	server->fd = fd;
	server->accepting = true;
	r = loop_fd_add(server->loop, fd, EPOLLIN, on_connections, server);
	return r;
}

/* ---- time ---- */

/* Called at the end of the round that asked first: the timer's moment has always passed. */
static void on_round(void *arg, uint64_t now_ns)
{
	struct wire_server *server = arg;

	(void)now_ns;
	server->shakes = 0;
}

bool server_may_shake(struct wire_server *server)
{
	if (!server->shakes)
		loop_timer_at(server->round_timer, 0);
	if (server->shakes >= SHAKES_PER_ROUND)
		return false;
	server->shakes++;
	return true;
}

static void on_sweep(void *arg, uint64_t now_ns)
{
	struct wire_server *server = arg;
	unsigned turn = server->sweep_turn++ % SWEEP_TURNS;
	struct peer *oldest;

	while ((oldest = server->oldest) &&
	       now_ns - MIN(now_ns, oldest->began_ns) > server->config.hello_within_ns)
		peer_end(oldest, "no hello came in time");
	for (size_t i = turn; i < server->peers.count; i += SWEEP_TURNS)
		peer_look_after(server->peers.at[i], now_ns);
	if (server->new_count < NEW_MAX || oldest_is_stuck(server, now_ns))
		accept_if(server, true);
	loop_timer_at(server->sweep_timer, now_ns + server->sweep_every_ns);
}

static void on_tell(void *arg, uint64_t now_ns)
{
	struct wire_server *server = arg;
	size_t end = MIN(server->tell_next + TOLD_PER_ROUND, server->peers.count);

	(void)now_ns;
	for (; server->tell_next < end; server->tell_next++)
		peer_tell(server->peers.at[server->tell_next]);
	if (server->tell_next < server->peers.count)
		loop_timer_at(server->tell_timer, 0);
}

void server_tell_all(struct wire_server *server)
{
	server->tell_next = 0;
	loop_timer_at(server->tell_timer, 0);
}

int server_timers(struct wire_server *server)
{
	int r;

	r = loop_timer_new(server->loop, on_round, server, &server->round_timer);
	if (r >= 0)
		r = loop_timer_new(server->loop, on_sweep, server, &server->sweep_timer);
	if (r >= 0)
		r = loop_timer_new(server->loop, on_tell, server, &server->tell_timer);
	if (r < 0)
		return r;
	/* Each is looked at fifteen times before it counts as silent. */
	server->sweep_every_ns = CLAMP(server->config.silent_after_ns / (15ULL * SWEEP_TURNS),
				       NS_PER_MS, SWEEP_EVERY_MOST_NS);
	loop_timer_at(server->sweep_timer, time_mono_ns() + server->sweep_every_ns);
	return 0;
}
