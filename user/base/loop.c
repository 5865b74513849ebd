/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/vec.h"

#define EVENTS_PER_ROUND 64
#define NOT_ARMED SIZE_MAX

/* What waits on a descriptor. The generation tells an event that the kernel had already handed out
 * from one of a new handler on the same number. */
struct watch {
	loop_fd_fn fn; /* NULL: nobody */
	void *arg;
	uint32_t generation;
};

struct loop_timer {
	struct loop *loop;
	loop_timer_fn fn;
	void *arg;
	uint64_t deadline_ns;
	uint64_t order; /* of arming: equal deadlines fire in that order */
	size_t at; /* in the heap, or NOT_ARMED */
};

struct loop {
	int epoll_fd, signal_fd;
	VEC(struct watch) watches; /* by descriptor */
	VEC(struct loop_timer *) heap; /* the earliest first */
	uint64_t next_order;
	uint64_t firing_ns; /* while timers are called: the moment they are called for */
	sigset_t signals;
	struct {
		loop_signal_fn fn;
		void *arg;
	} handlers[_NSIG];
	bool quitting;
	int code;
};

int loop_new(struct loop **out)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return -ENOMEM;
	loop->signal_fd = -1;
	sigemptyset(&loop->signals);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		int r = -errno;

		free(loop);
		return r;
	}
	*out = loop;
	return 0;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	/* Timers are their owners'; those still armed only stop belonging to a heap. */
	vec_for_each (timer, &loop->heap) {
		(*timer)->at = NOT_ARMED;
		(*timer)->loop = NULL;
	}
	close_descriptor(&loop->signal_fd);
	close_descriptor(&loop->epoll_fd);
	vec_free(&loop->watches);
	vec_free(&loop->heap);
	free(loop);
}

/* ---- descriptors ---- */

static struct watch *watch_of(struct loop *loop, int fd)
{
	if (fd < 0 || (size_t)fd >= loop->watches.count || !loop->watches.at[fd].fn)
		return NULL;
	return &loop->watches.at[fd];
}

static int control(struct loop *loop, int operation, int fd, uint32_t epoll_events)
{
	struct epoll_event event = {
		.events = epoll_events,
		.data.u64 = (uint64_t)loop->watches.at[fd].generation << 32 | (uint32_t)fd,
	};

	return epoll_ctl(loop->epoll_fd, operation, fd, &event) < 0 ? -errno : 0;
}

int loop_fd_add(struct loop *loop, int fd, uint32_t epoll_events, loop_fd_fn fn, void *arg)
{
	struct watch *watch;
	int r;

	if (fd < 0)
		return -EBADF;
	if (watch_of(loop, fd))
		return -EEXIST;
	while (loop->watches.count <= (size_t)fd)
		(void)vec_push(&loop->watches);
	watch = &loop->watches.at[fd];
	watch->generation++;
	r = control(loop, EPOLL_CTL_ADD, fd, epoll_events);
	if (r < 0)
		return r;
	watch->fn = fn;
	watch->arg = arg;
	return 0;
}

int loop_fd_modify(struct loop *loop, int fd, uint32_t epoll_events)
{
	if (!watch_of(loop, fd))
		return -ENOENT;
	return control(loop, EPOLL_CTL_MOD, fd, epoll_events);
}

void loop_fd_remove(struct loop *loop, int fd)
{
	struct watch *watch = watch_of(loop, fd);

	if (!watch)
		return;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	watch->fn = NULL;
	watch->arg = NULL;
}

static void call_watch(struct loop *loop, const struct epoll_event *event)
{
	struct watch *watch = watch_of(loop, (int)(uint32_t)event->data.u64);

	/* Removed, or replaced, by a handler earlier in this round. */
	if (!watch || watch->generation != event->data.u64 >> 32)
		return;
	watch->fn(watch->arg, (int)(uint32_t)event->data.u64, event->events);
}

/* ---- timers ---- */

static bool earlier(const struct loop_timer *a, const struct loop_timer *b)
{
	if (a->deadline_ns != b->deadline_ns)
		return a->deadline_ns < b->deadline_ns;
	return a->order < b->order;
}

static void heap_set(struct loop *loop, size_t at, struct loop_timer *timer)
{
	loop->heap.at[at] = timer;
	timer->at = at;
}

static void heap_rise(struct loop *loop, struct loop_timer *timer)
{
	size_t at = timer->at;

	while (at > 0 && earlier(timer, loop->heap.at[(at - 1) / 2])) {
		heap_set(loop, at, loop->heap.at[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	heap_set(loop, at, timer);
}

static void heap_sink(struct loop *loop, struct loop_timer *timer)
{
	size_t at = timer->at;

	for (;;) {
		size_t child = 2 * at + 1;

		if (child + 1 < loop->heap.count &&
		    earlier(loop->heap.at[child + 1], loop->heap.at[child]))
			child++;
		if (child >= loop->heap.count || !earlier(loop->heap.at[child], timer))
			break;
		heap_set(loop, at, loop->heap.at[child]);
		at = child;
	}
	heap_set(loop, at, timer);
}

int loop_timer_new(struct loop *loop, loop_timer_fn fn, void *arg, struct loop_timer **out)
{
	struct loop_timer *timer = calloc(1, sizeof(*timer));

	if (!timer)
		return -ENOMEM;
	timer->loop = loop;
	timer->fn = fn;
	timer->arg = arg;
	timer->at = NOT_ARMED;
	*out = timer;
	return 0;
}

void loop_timer_stop(struct loop_timer *timer)
{
	struct loop *loop = timer->loop;
	struct loop_timer *last;
	size_t at = timer->at;

	if (at == NOT_ARMED)
		return;
	timer->at = NOT_ARMED;
	last = loop->heap.at[--loop->heap.count];
	if (last == timer)
		return;
	heap_set(loop, at, last);
	heap_rise(loop, last);
	heap_sink(loop, last);
}

void loop_timer_at(struct loop_timer *timer, uint64_t deadline_ns)
{
	struct loop *loop = timer->loop;

	loop_timer_stop(timer);
	/* A timer that sets itself to the past must not keep descriptors from being served. */
	if (loop->firing_ns && deadline_ns <= loop->firing_ns)
		deadline_ns = loop->firing_ns + 1;
	timer->deadline_ns = deadline_ns;
	timer->order = loop->next_order++;
	*vec_push(&loop->heap) = timer;
	timer->at = loop->heap.count - 1;
	heap_rise(loop, timer);
}

void loop_timer_free(struct loop_timer *timer)
{
	if (!timer)
		return;
	loop_timer_stop(timer);
	free(timer);
}

static void fire_timers(struct loop *loop)
{
	uint64_t now_ns;

	if (!loop->heap.count)
		return;
	now_ns = time_mono_ns();
	loop->firing_ns = now_ns;
	while (loop->heap.count && loop->heap.at[0]->deadline_ns <= now_ns) {
		struct loop_timer *timer = loop->heap.at[0];

		loop_timer_stop(timer);
		timer->fn(timer->arg, now_ns); /* may free the timer */
	}
	loop->firing_ns = 0;
}

/* ---- signals ---- */

static void read_signals(void *arg, int fd, uint32_t epoll_events)
{
	struct loop *loop = arg;
	struct signalfd_siginfo info;

	(void)epoll_events;
	while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		int signo = (int)info.ssi_signo;

		if (signo < _NSIG && loop->handlers[signo].fn)
			loop->handlers[signo].fn(loop->handlers[signo].arg, signo);
	}
}

int loop_signal(struct loop *loop, int signo, loop_signal_fn fn, void *arg)
{
	sigset_t one, all = loop->signals;
	int fd;

	if (signo <= 0 || signo >= _NSIG)
		return -EINVAL;
	sigemptyset(&one);
	sigaddset(&one, signo);
	sigaddset(&all, signo);
	if (sigprocmask(SIG_BLOCK, &one, NULL) < 0)
		return -errno;
	fd = signalfd(loop->signal_fd, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (loop->signal_fd < 0) {
		int r = loop_fd_add(loop, fd, EPOLLIN, read_signals, loop);

		if (r < 0) {
			close(fd);
			return r;
		}
		loop->signal_fd = fd;
	}
	loop->signals = all;
	loop->handlers[signo].fn = fn;
	loop->handlers[signo].arg = arg;
	return 0;
}

/* ---- running ---- */

/* How long may be waited: until the earliest timer, at most timeout_ms. NULL: without end. */
static struct timespec *time_to_wait(struct loop *loop, int timeout_ms, struct timespec *ts)
{
	uint64_t wait_ns = timeout_ms < 0 ? UINT64_MAX : (uint64_t)timeout_ms * NS_PER_MS;

	if (loop->heap.count) {
		uint64_t now_ns = time_mono_ns(), deadline_ns = loop->heap.at[0]->deadline_ns;

		wait_ns = MIN(wait_ns, deadline_ns > now_ns ? deadline_ns - now_ns : 0);
	}
	if (wait_ns == UINT64_MAX)
		return NULL;
	ts->tv_sec = (time_t)(wait_ns / NS_PER_S);
	ts->tv_nsec = (long)(wait_ns % NS_PER_S);
	return ts;
}

int loop_round(struct loop *loop, int timeout_ms)
{
	struct epoll_event events[EVENTS_PER_ROUND];
	struct timespec ts;
	int count;

	count = epoll_pwait2(loop->epoll_fd, events, EVENTS_PER_ROUND,
			     time_to_wait(loop, timeout_ms, &ts), NULL);
	if (count < 0 && errno != EINTR)
		return -errno;
	for (int i = 0; i < count; i++)
		call_watch(loop, &events[i]);
	fire_timers(loop);
	return 0;
}

int loop_run(struct loop *loop)
{
	int r = 0;

	while (!loop->quitting && r >= 0)
		r = loop_round(loop, -1);
	if (r < 0) {
		log_error("could not wait for events: %s", strerror(-r));
		return r;
	}
	loop->quitting = false;
	return loop->code;
}

void loop_quit(struct loop *loop, int code)
{
	loop->quitting = true;
	loop->code = code;
}
