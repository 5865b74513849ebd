/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/output.h"

#define PENDING_MOST (1U << 20)
#define CLOSE_WAIT_MS 500

/* O_NONBLOCK belongs to the open file, which the shell shares: so pipes and terminals are opened
 * once more. A regular file never blocks, and opened again it would start at offset 0. */
static int own_description(void)
{
	struct stat status;

	if (fstat(STDOUT_FILENO, &status) < 0)
		return -errno;
	if (!S_ISFIFO(status.st_mode) && !S_ISCHR(status.st_mode))
		return -ENOTSUP;
	return open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

int output_open(struct output *output, struct loop *loop, void (*on_closed)(void *arg), void *arg)
{
	int fd = own_description();

	*output = (struct output){.loop = loop, .fd = fd, .own = fd >= 0};
	output->on_closed = on_closed;
	output->arg = arg;
	if (fd < 0)
		output->fd = STDOUT_FILENO;
	return 0;
}

bool output_busy(const struct output *output)
{
	return output->taken < output->pending.length;
}

static void unwatch(struct output *output)
{
	if (output->watched)
		loop_fd_remove(output->loop, output->fd);
	output->watched = false;
}

static void fail(struct output *output)
{
	unwatch(output);
	output->closed = true;
	text_clear(&output->pending);
	output->taken = 0;
	if (output->on_closed)
		output->on_closed(output->arg);
}

/* True when everything is written or nothing ever will be. */
static bool flush(struct output *output)
{
	while (output_busy(output)) {
		ssize_t n = write(output->fd, output->pending.data + output->taken,
				  output->pending.length - output->taken);

		if (n > 0) {
			output->taken += (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			return false;
		} else if (n < 0 && errno != EINTR) {
			fail(output);
			return true;
		}
	}
	text_clear(&output->pending);
	output->taken = 0;
	return true;
}

static void on_writable(void *arg, int fd, uint32_t events)
{
	struct output *output = arg;

	(void)fd;
	(void)events;
	if (flush(output))
		unwatch(output);
}

void output_write(struct output *output, const char *data, size_t length, bool droppable)
{
	if (output->closed)
		return;
	if (droppable && output->pending.length - output->taken > PENDING_MOST) {
		output->dropped++;
		return;
	}
	text_add_bytes(&output->pending, data, length);
	if (output->watched || flush(output))
		return;
	if (loop_fd_add(output->loop, output->fd, EPOLLOUT, on_writable, output) == 0)
		output->watched = true;
}

void output_close(struct output *output)
{
	struct pollfd waiting = {.fd = output->fd, .events = POLLOUT};

	output->on_closed = NULL;
	unwatch(output);
	if (!output->closed && !flush(output) && poll(&waiting, 1, CLOSE_WAIT_MS) > 0)
		flush(output);
	if (output->own)
		close(output->fd);
	text_free(&output->pending);
	output->own = false;
	output->closed = true;
}
