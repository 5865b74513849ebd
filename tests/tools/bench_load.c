/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounded loads for the benches, all on 127.0.0.1:
 *   bench_load rate LISTENERS PER_SECOND SECONDS   connections, each with one request and its
 * answer bench_load hold CONNECTIONS                    established, until standard input ends
 *   bench_load proc POLLS                          finds the listeners in /proc/net/tcp at 10 Hz
 * Each prints one JSON object.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"

#define PER_PROCESS 8000

struct listener {
	int fd;
	struct sockaddr_in address;
};

static int listener_open(struct listener *listener)
{
	socklen_t length = sizeof(listener->address);

	listener->address = (struct sockaddr_in){.sin_family = AF_INET,
						 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	listener->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener->fd < 0 ||
	    bind(listener->fd, (struct sockaddr *)&listener->address, length) < 0 ||
	    listen(listener->fd, 512) < 0 ||
	    getsockname(listener->fd, (struct sockaddr *)&listener->address, &length) < 0)
		return -errno;
	return 0;
}

static struct listener *listeners_open(uint64_t count)
{
	struct listener *listeners = calloc(count, sizeof(*listeners));

	for (uint64_t i = 0; listeners && i < count; i++)
		if (listener_open(&listeners[i]) < 0) {
			free(listeners);
			return NULL;
		}
	return listeners;
}

static int pair_open(const struct listener *listener, int *client, int *server)
{
	*client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*client < 0 || connect(*client, (const struct sockaddr *)&listener->address,
				   sizeof(listener->address)) < 0)
		return -errno;
	*server = accept(listener->fd, NULL, NULL);
	return *server < 0 ? -errno : 0;
}

/* One connection with one request and its answer. The client resets, so that no TIME_WAIT piles up.
 */
static int exchange(const struct listener *listener)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n";
	static const char response[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	const struct linger reset = {1, 0};
	char buffer[256];
	int client = -1, server = -1;
	int r = pair_open(listener, &client, &server);

	if (r == 0 && (write(client, request, sizeof(request) - 1) < 0 ||
		       read(server, buffer, sizeof(buffer)) <= 0 ||
		       write(server, response, sizeof(response) - 1) < 0 ||
		       read(client, buffer, sizeof(buffer)) <= 0))
		r = -EIO;
	if (server >= 0)
		close(server);
	if (client >= 0) {
		setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(client);
	}
	return r;
}

static void sleep_until(uint64_t mono_ns)
{
	struct timespec until = {(time_t)(mono_ns / NS_PER_S), (long)(mono_ns % NS_PER_S)};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static int run_rate(uint64_t count, uint64_t per_second, uint64_t seconds)
{
	struct listener *listeners = listeners_open(count);
	uint64_t start_ns = time_mono_ns(), total = per_second * seconds;

	if (!listeners)
		return -errno;
	for (uint64_t i = 0; i < total; i++) {
		int r = exchange(&listeners[i % count]);

		if (r < 0) {
			free(listeners);
			return r;
		}
		sleep_until(start_ns + (i + 1) * NS_PER_S / per_second);
	}
	printf("{\"connections\":%llu,\"per_second\":%.1f}\n", (unsigned long long)total,
	       (double)total * NS_PER_S / (double)(time_mono_ns() - start_ns));
	free(listeners);
	return 0;
}

static int hold_share(uint64_t connections, int ready)
{
	struct listener listener;
	int r = listener_open(&listener);

	for (uint64_t i = 0; r == 0 && i < connections; i++) {
		int client, server;

		r = pair_open(&listener, &client, &server);
	}
	if (r == 0 && write(ready, "+", 1) != 1)
		r = -errno;
	return r;
}

static void wait_for_end(void)
{
	char byte;

	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

/* Both ends of each are here: shares them among processes, so that none needs more descriptors than
 * it may have. */
static int run_hold(uint64_t connections)
{
	uint64_t shares = (connections + PER_PROCESS - 1) / PER_PROCESS;
	int pipe_fds[2], r = 0;
	char byte;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	for (uint64_t i = 0; i < shares; i++) {
		uint64_t share = connections / shares + (i < connections % shares);

		if (fork() != 0)
			continue;
		close(pipe_fds[0]);
		if (hold_share(share, pipe_fds[1]) == 0)
			wait_for_end();
		_exit(0);
	}
	close(pipe_fds[1]);
	for (uint64_t i = 0; i < shares; i++)
		if (read(pipe_fds[0], &byte, 1) != 1)
			r = -EMFILE; /* a share ended before it stood */
	if (r == 0) {
		printf("{\"connections\":%llu}\n", (unsigned long long)connections);
		fflush(stdout);
		wait_for_end();
	}
	while (wait(NULL) > 0)
		;
	return r;
}

/* State 0A is LISTEN; the queue is the rx_queue column. */
static int read_table(uint64_t *found)
{
	_cleanup_file_ FILE *file = fopen("/proc/net/tcp", "re");
	char line[256];

	*found = 0;
	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		unsigned state, tx, rx;

		if (sscanf(line, "%*s %*s %*s %x %x:%x", &state, &tx, &rx) == 3 && state == 0x0A)
			++*found;
	}
	return 0;
}

static double cpu_ms(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return 1e3 * (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       1e-3 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static int run_proc(uint64_t polls)
{
	double before_ms = cpu_ms();
	uint64_t found = 0, at_ns = time_mono_ns();

	for (uint64_t i = 0; i < polls; i++) {
		int r = read_table(&found);

		if (r < 0)
			return r;
		at_ns += 100 * NS_PER_MS;
		sleep_until(at_ns);
	}
	printf("{\"listeners\":%llu,\"cpu_ms_per_poll\":%.4f}\n", (unsigned long long)found,
	       (cpu_ms() - before_ms) / (double)polls);
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t n[3] = {0};
	const char *mode = argc > 1 ? argv[1] : "";
	int r = -EINVAL;

	for (int i = 2; i < argc && i < 5; i++)
		if (parse_u64(argv[i], &n[i - 2]) < 0 || !n[i - 2])
			mode = "";
	if (str_equal(mode, "rate") && argc == 5)
		r = run_rate(n[0], n[1], n[2]);
	else if (str_equal(mode, "hold") && argc == 3)
		r = run_hold(n[0]);
	else if (str_equal(mode, "proc") && argc == 3)
		r = run_proc(n[0]);
	if (r == -EINVAL)
		fprintf(stderr, "usage: bench_load rate LISTENERS PER_SECOND SECONDS | hold "
				"CONNECTIONS | proc POLLS\n");
	else if (r < 0)
		fprintf(stderr, "bench_load %s: %s\n", mode, strerror(-r));
	return r < 0;
}
