/* SPDX-License-Identifier: Apache-2.0 */
/* The one event loop of the process: epoll, timers on CLOCK_MONOTONIC, signals by signalfd. One
 * thread. */
#ifndef FORERUN_BASE_LOOP_H
#define FORERUN_BASE_LOOP_H

#include "base/base.h"

struct loop;
struct loop_timer;

typedef void (*loop_fd_fn)(void *arg, int fd, uint32_t epoll_events);
typedef void (*loop_timer_fn)(void *arg, uint64_t now_ns);
typedef void (*loop_signal_fn)(void *arg, int signo);

int loop_new(struct loop **out);
void loop_free(struct loop *loop);

/* The fd stays the caller's; remove it before closing it. */
int loop_fd_add(struct loop *loop, int fd, uint32_t epoll_events, loop_fd_fn fn, void *arg);
int loop_fd_modify(struct loop *loop, int fd, uint32_t epoll_events);
void loop_fd_remove(struct loop *loop, int fd);

/* One-shot: it fires once after loop_timer_at() and may be set again from its own function. */
int loop_timer_new(struct loop *loop, loop_timer_fn fn, void *arg, struct loop_timer **out);
void loop_timer_at(struct loop_timer *timer,
		   uint64_t deadline_ns); /* a past deadline fires in the next round */
void loop_timer_stop(struct loop_timer *timer);
void loop_timer_free(struct loop_timer *timer);

/* Blocks the signal for the process and calls fn from the loop instead. */
int loop_signal(struct loop *loop, int signo, loop_signal_fn fn, void *arg);

/* Runs until loop_quit(); returns its code or a negative errno when waiting itself failed. */
int loop_run(struct loop *loop);
void loop_quit(struct loop *loop, int code);
/* One round: waits at most timeout_ms (-1: until something happens) and handles what came. For
 * tests and tools. */
int loop_round(struct loop *loop, int timeout_ms);

#endif
