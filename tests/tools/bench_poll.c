/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one poll of all listeners takes: bench_poll LISTENERS POLLS. The listeners are its own, on
 * 127.0.0.1. Prints one JSON object with times in microseconds.
 */
#include <arpa/inet.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "probe/probe.h"

#define PAUSE_NS (2 * NS_PER_MS)

static int open_listener(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 128) < 0)
		return -errno;
	return fd;
}

static int open_listeners(unsigned count)
{
	struct rlimit limit = {count + 256, count + 256};

	setrlimit(RLIMIT_NOFILE, &limit);
	for (unsigned i = 0; i < count; i++)
		if (open_listener() < 0)
			return -errno;
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

static int poll_many(struct probe *probe, uint64_t *took_ns, unsigned polls, size_t *seen)
{
	for (unsigned i = 0; i < polls; i++) {
		const struct timespec pause = {0, PAUSE_NS};
		const struct sample *sample;
		uint64_t start_ns = time_mono_ns();
		int r = probe_sample(probe, start_ns, &sample);

		if (r < 0)
			return r;
		took_ns[i] = time_mono_ns() - start_ns;
		*seen = sample->count;
		nanosleep(&pause, NULL);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct probe_config config;
	struct probe *probe = NULL;
	uint64_t listeners, polls, *took_ns;
	size_t seen = 0;
	int r;

	if (argc != 3 || parse_u64(argv[1], &listeners) < 0 || parse_u64(argv[2], &polls) < 0 ||
	    !polls || listeners > 60000 || polls > 100000) {
		fprintf(stderr, "usage: bench_poll LISTENERS POLLS\n");
		return 2;
	}
	took_ns = calloc(polls, sizeof(*took_ns));
	probe_config_default(&config);
	config.listeners_max = (uint32_t)listeners + 1024;
	r = took_ns ? open_listeners((unsigned)listeners) : -ENOMEM;
	if (r == 0)
		r = probe_new(&config, &probe);
	if (r == 0)
		r = poll_many(probe, took_ns, (unsigned)polls, &seen);
	probe_free(probe);
	if (r < 0) {
		fprintf(stderr, "bench_poll: %s\n", strerror(-r));
		free(took_ns);
		return 1;
	}
	qsort(took_ns, polls, sizeof(*took_ns), compare);
	printf("{\"listeners\":%zu,\"polls\":%llu,\"p50_us\":%.1f,\"p99_us\":%.1f}\n", seen,
	       (unsigned long long)polls, (double)took_ns[polls / 2] / NS_PER_US,
	       (double)took_ns[polls * 99 / 100] / NS_PER_US);
	free(took_ns);
	return 0;
}
