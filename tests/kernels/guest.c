/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs inside an emulated machine on one kernel: loads the kernel programs through the probe's
 *door, makes real TCP traffic itself, and compares what was counted with what it did. Linked
 *statically; prints "ok N what" or "not ok N what".
 *
 *	guest [--unprivileged]	--unprivileged: as uid 65534 with CAP_BPF, CAP_PERFMON and
 *CAP_NET_ADMIN alone
 */
#include <arpa/inet.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "probe/probe.h"

#define REQUESTS 250
#define DEADLINE_NS (20 * NS_PER_S)

struct world {
	struct probe *probe;
	struct loop *loop;
	unsigned checks, failed;
	uint64_t edges;
	uint32_t deepest_edge;
};

static void check(struct world *world, bool good, const char *what, double seen, double expected)
{
	world->checks++;
	world->failed += !good;
	printf("%s %u %s", good ? "ok" : "not ok", world->checks, what);
	if (!good)
		printf(" (seen %g, expected %g)", seen, expected);
	printf("\n");
}

static void check_equal(struct world *world, const char *what, double seen, double expected)
{
	check(world, seen == expected, what, seen, expected);
}

static int listen_on(int family, uint16_t port, int backlog)
{
	struct sockaddr_in6 any6 = {.sin6_family = AF_INET6,
				    .sin6_port = htons(port),
				    .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_in any4 = {.sin_family = AF_INET,
				   .sin_port = htons(port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 ||
	    bind(fd, family == AF_INET ? (void *)&any4 : (void *)&any6,
		 family == AF_INET ? sizeof(any4) : sizeof(any6)) ||
	    listen(fd, backlog)) {
		printf("Bail out! cannot listen on port %u: %s\n", port, strerror(errno));
		exit(1);
	}
	return fd;
}

static int connect_to(int family, uint16_t port, bool wait)
{
	struct sockaddr_in6 to6 = {.sin6_family = AF_INET6,
				   .sin6_port = htons(port),
				   .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_in to4 = {.sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | (wait ? 0 : SOCK_NONBLOCK), 0);
	int r = connect(fd, family == AF_INET ? (void *)&to4 : (void *)&to6,
			family == AF_INET ? sizeof(to4) : sizeof(to6));

	if (r < 0 && (wait || errno != EINPROGRESS)) {
		printf("Bail out! cannot connect to port %u: %s\n", port, strerror(errno));
		exit(1);
	}
	return fd;
}

static const struct listener_sample *sample_port(struct world *world, uint16_t port,
						 uint32_t not_netns)
{
	const struct sample *sample;

	if (probe_sample(world->probe, time_mono_ns(), &sample) < 0)
		return NULL;
	for (size_t i = 0; i < sample->count; i++)
		if (sample->listeners[i].port == port && sample->listeners[i].sockets &&
		    (!not_netns || sample->listeners[i].netns != not_netns))
			return &sample->listeners[i];
	return NULL;
}

/* The final ACK may reach the queue after connect() has returned: looks until the field reads as
 * expected, or too long. */
static uint64_t wait_for(struct world *world, uint16_t port, size_t offset, size_t size,
			 uint64_t expected)
{
	uint64_t until = time_mono_ns() + DEADLINE_NS;
	uint64_t seen = UINT64_MAX;

	while (seen != expected && time_mono_ns() < until) {
		const struct listener_sample *listener = sample_port(world, port, 0);

		seen = UINT64_MAX;
		if (listener)
			seen = size == 4 ? *(const uint32_t *)((const char *)listener + offset)
					 : *(const uint64_t *)((const char *)listener + offset);
		loop_round(world->loop, 5);
	}
	return seen;
}

#define WAIT_FOR(world, port, field, expected)                                        \
	check_equal(world, #field " on port " #port,                                  \
		    wait_for(world, port, offsetof(struct listener_sample, field),    \
			     sizeof(((struct listener_sample *)0)->field), expected), \
		    expected)

static void on_edge(void *arg, const struct edge *edge)
{
	struct world *world = arg;

	world->edges++;
	world->deepest_edge = MAX(world->deepest_edge, edge->depth);
}

/* The queue, step by step, up to its overflow. */
static void queue_fills(struct world *world, int family, uint16_t port)
{
	int client[8];

	for (unsigned i = 0; i < 4; i++) {
		client[i] = connect_to(family, port, true);
		uint64_t depth = wait_for(world, port,
					  offsetof(struct listener_sample, queue_depth), 4, i + 1);
		check_equal(world, "depth grows by one with each connection", depth, i + 1);
	}
	const struct listener_sample *listener = sample_port(world, port, 0);

	check_equal(world, "limit is the backlog", listener ? listener->queue_limit : 0, 3);
	check_equal(world, "owner's cgroup is known", listener ? listener->cgroup_id != 0 : 0, 1);
	client[4] = connect_to(family, port, false);
	uint64_t until = time_mono_ns() + DEADLINE_NS;
	uint64_t overflows = 0;

	while (!overflows && time_mono_ns() < until) {
		listener = sample_port(world, port, 0);
		overflows = listener ? listener->overflows : 0;
		loop_round(world->loop, 5);
	}
	check(world, overflows > 0, "overflow is counted", overflows, 1);
	check(world, world->edges > 0, "an edge arrived", world->edges, 1);
	check(world, world->deepest_edge >= 3, "the edge says how deep", world->deepest_edge, 3);
	for (unsigned i = 0; i < 5; i++)
		close(client[i]);
}

static void exchange(int client, int server, unsigned times)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
	static const char response[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	char buffer[256];

	for (unsigned i = 0; i < times; i++) {
		if (write(client, request, sizeof(request) - 1) < 0 ||
		    read(server, buffer, sizeof(buffer)) <= 0 ||
		    write(server, response, sizeof(response) - 1) < 0 ||
		    read(client, buffer, sizeof(buffer)) <= 0) {
			printf("Bail out! the traffic itself failed: %s\n", strerror(errno));
			exit(1);
		}
	}
}

static int accept_one(int listener)
{
	struct sockaddr_storage from;
	socklen_t length = sizeof(from);

	return accept4(listener, (struct sockaddr *)&from, &length, SOCK_CLOEXEC);
}

static void requests_are_counted(struct world *world, int family, uint16_t port, int listener)
{
	int client = connect_to(family, port, true);
	int server = accept_one(listener);

	exchange(client, server, REQUESTS);
	check_equal(world, "requests counted",
		    wait_for(world, port, offsetof(struct listener_sample, requests), 8, REQUESTS),
		    REQUESTS);
	check_equal(world, "responses counted",
		    wait_for(world, port, offsetof(struct listener_sample, responses), 8, REQUESTS),
		    REQUESTS);
	check_equal(world, "nothing in flight",
		    wait_for(world, port, offsetof(struct listener_sample, in_flight), 4, 0), 0);
	close(client);
	close(server);
	check_equal(world, "closed connections are gone",
		    wait_for(world, port, offsetof(struct listener_sample, open_connections), 4, 0),
		    0);
}

static void send_all(int fd, const void *bytes, size_t length)
{
	if (write(fd, bytes, length) != (ssize_t)length) {
		printf("Bail out! the traffic itself failed: %s\n", strerror(errno));
		exit(1);
	}
}

/* A peer answers what it has read: until then the segments may still be on their way. */
static void read_all(int fd, size_t length)
{
	char buffer[512];
	ssize_t n;

	for (; length; length -= (size_t)n) {
		n = read(fd, buffer, length < sizeof(buffer) ? length : sizeof(buffer));
		if (n <= 0) {
			printf("Bail out! the traffic itself failed: %s\n", strerror(errno));
			exit(1);
		}
	}
}

/* Three streams, of which the server ends one by END_STREAM, one by RST_STREAM, and one stays open;
 * the client's bytes one by one, so that every header is cut. */
static void http2_is_counted(struct world *world, uint16_t port, int listener)
{
	static const char asks[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
				   "\0\0\0\4\0\0\0\0\0"
				   "\0\0\1\1\5\0\0\0\1\x82"
				   "\0\0\1\1\5\0\0\0\3\x82"
				   "\0\0\1\1\5\0\0\0\5\x82";
	static const char answers[] = "\0\0\0\4\0\0\0\0\0"
				      "\0\0\1\1\4\0\0\0\1\x88"
				      "\0\0\2\0\1\0\0\0\1ok"
				      "\0\0\4\3\0\0\0\0\3\0\0\0\2";
	int client = connect_to(AF_INET, port, true);
	int server = accept_one(listener), one = 1;

	setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	for (size_t i = 0; i < sizeof(asks) - 1; i++)
		send_all(client, asks + i, 1);
	read_all(server, sizeof(asks) - 1);
	send_all(server, answers, sizeof(answers) - 1);
	check_equal(world, "HTTP/2 streams are requests",
		    wait_for(world, port, offsetof(struct listener_sample, requests), 8, 3), 3);
	check_equal(world, "HTTP/2 ends of streams are responses",
		    wait_for(world, port, offsetof(struct listener_sample, responses), 8, 2), 2);
	check_equal(world, "one HTTP/2 stream is in flight",
		    wait_for(world, port, offsetof(struct listener_sample, in_flight), 4, 1), 1);
	close(client);
	close(server);
	check_equal(world, "nothing in flight behind the HTTP/2 connection",
		    wait_for(world, port, offsetof(struct listener_sample, in_flight), 4, 0), 0);
}

/* A handshake of TLS 1.3 as it looks from outside, then one request. */
static void tls_is_counted(struct world *world, uint16_t port, int listener)
{
	char hello[5 + 200] = {22, 3, 1, 0, (char)200, 1};
	char server_hello[5 + 4 + 2 + 32 + 1 + 5 + 6] = {22, 3, 3, 0, 50, 2};
	char finished[5 + 53] = {23, 3, 3, 0, 53}, data[5 + 100] = {23, 3, 3, 0, 100};
	int client = connect_to(AF_INET, port, true);
	int server = accept_one(listener);

	memcpy(server_hello + 5 + 4 + 2 + 32 + 1 + 3, "\0\6\0\x2b\0\2\3\4", 8);
	send_all(client, hello, sizeof(hello));
	read_all(server, sizeof(hello));
	send_all(server, server_hello, sizeof(server_hello));
	read_all(client, sizeof(server_hello));
	send_all(client, finished, sizeof(finished));
	send_all(client, data, sizeof(data));
	read_all(server, sizeof(finished) + sizeof(data));
	send_all(server, data, sizeof(data));
	check_equal(world, "a TLS handshake is no request",
		    wait_for(world, port, offsetof(struct listener_sample, responses), 8, 1), 1);
	check_equal(world, "what TLS carries is one",
		    wait_for(world, port, offsetof(struct listener_sample, requests), 8, 1), 1);
	close(client);
	close(server);
}

static int unprivileged(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	static const int keep[] = {CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN};
	struct __user_cap_data_struct data[2] = {0};

	for (size_t i = 0; i < ARRAY_SIZE(keep); i++)
		data[keep[i] / 32].permitted |= 1U << (keep[i] % 32);
	if (prctl(PR_SET_KEEPCAPS, 1) || setgid(65534) || setuid(65534))
		return -errno;
	for (size_t i = 0; i < 2; i++)
		data[i].effective = data[i].inheritable = data[i].permitted;
	if (syscall(SYS_capset, &header, data))
		return -errno;
	return 0;
}

/* A listener in another network namespace, in a child that lives until its pipe is closed. */
static pid_t other_namespace(uint16_t port, int *keep)
{
	int ready[2], alive[2];
	char byte;

	if (pipe(ready) || pipe(alive))
		exit(1);
	pid_t child = fork();

	if (child == 0) {
		close(alive[1]);
		if (unshare(CLONE_NEWNET) || system("ip link set lo up") != 0)
			exit(1);
		listen_on(AF_INET, port, 16);
		if (write(ready[1], "", 1) != 1 || read(alive[0], &byte, 1) != 0)
			exit(1);
		exit(0);
	}
	close(alive[0]);
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		printf("Bail out! no listener in another network namespace\n");
	*keep = alive[1];
	return child;
}

static void other_namespace_is_seen(struct world *world)
{
	const struct listener_sample *mine = sample_port(world, 7001, 0);
	uint32_t netns = mine ? mine->netns : 0;
	uint64_t until = time_mono_ns() + DEADLINE_NS;
	const struct listener_sample *other = NULL;

	while (!other && time_mono_ns() < until) {
		other = sample_port(world, 7009, netns);
		loop_round(world->loop, 5);
	}
	check(world, other != NULL, "a listener of another network namespace is seen",
	      other != NULL, 1);
}

/* ---- AF_UNIX ---- */

/* name: as in sun_path. */
static int unix_listen(const char *name, size_t length, unsigned queued)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, name, length);
	unlink(address.sun_path);
	if (bind(server, (void *)&address, size) || listen(server, 5)) {
		printf("Bail out! cannot listen on an AF_UNIX socket: %s\n", strerror(errno));
		exit(1);
	}
	for (unsigned i = 0; i < queued; i++)
		if (connect(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), (void *)&address, size))
			exit(1);
	return server;
}

static void unix_is_seen(struct world *world, const char *path, int server, unsigned queued)
{
	for (unsigned taken = 0; taken <= queued; taken++) {
		const struct sample *sample;
		unsigned seen = 0;

		if (probe_sample(world->probe, time_mono_ns(), &sample) < 0)
			break;
		for (size_t i = 0; i < sample->count; i++) {
			const struct listener_sample *l = &sample->listeners[i];

			seen += l->family == AF_UNIX && str_equal(l->path, path) &&
				l->queue_depth == queued - taken && l->queue_limit == 5 &&
				l->accepted == taken;
		}
		check_equal(world, "an AF_UNIX listener's name, depth and limit", seen, 1);
		if (taken < queued)
			accept4(server, NULL, NULL, SOCK_CLOEXEC);
	}
}

int main(int argc, char **argv)
{
	struct world world = {0};
	struct probe_config config;
	int keep = -1;

	setvbuf(stdout, NULL, _IOLBF, 0);
	log_set_level(LOG_LEVEL_INFO);
	int older4 = listen_on(AF_INET, 7001, 3);
	int older_client = connect_to(AF_INET, 7001, true);
	int older_server = accept_one(older4);
	int unix_path = unix_listen("/t/app.sock", sizeof("/t/app.sock"), 3);
	int unix_abstract = unix_listen("\0app", 4, 2);
	pid_t other = other_namespace(7009, &keep);

	if (argc > 1 && str_equal(argv[1], "--unprivileged")) {
		int r = unprivileged();

		check_equal(&world, "root was given up", r, 0);
	}
	probe_config_default(&config);
	config.edge_depth = 3;
	int r = probe_new(&config, &world.probe);

	check_equal(&world, "the programs load and attach", r, 0);
	if (r < 0 || loop_new(&world.loop) < 0 ||
	    probe_watch_edges(world.probe, world.loop, on_edge, &world) < 0)
		goto out;

	int server4 = listen_on(AF_INET, 7002, 3);
	int server6 = listen_on(AF_INET6, 7003, 3);
	int busy4 = listen_on(AF_INET, 7004, 128);
	int busy6 = listen_on(AF_INET6, 7005, 128);
	int http2 = listen_on(AF_INET, 7006, 128);
	int tls = listen_on(AF_INET, 7007, 128);

	WAIT_FOR(&world, 7001, open_connections, 1);
	exchange(older_client, older_server, REQUESTS);
	WAIT_FOR(&world, 7001, requests, REQUESTS);
	close(older_client);
	close(older_server);
	queue_fills(&world, AF_INET, 7001);
	queue_fills(&world, AF_INET, 7002);
	queue_fills(&world, AF_INET6, 7003);
	requests_are_counted(&world, AF_INET, 7004, busy4);
	requests_are_counted(&world, AF_INET6, 7005, busy6);
	http2_is_counted(&world, 7006, http2);
	tls_is_counted(&world, 7007, tls);
	unix_is_seen(&world, "/t/app.sock", unix_path, 3);
	unix_is_seen(&world, "@app", unix_abstract, 2);
	other_namespace_is_seen(&world);
	close(server4);
	close(server6);
out:
	probe_free(world.probe);
	loop_free(world.loop);
	close(keep);
	waitpid(other, NULL, 0);
	printf("1..%u\n", world.checks);
	return world.failed || world.checks < 43;
}
