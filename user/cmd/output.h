/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Standard output that never makes the event loop wait: what a slow reader or a stopped terminal
 * does not take is kept, up to a limit, and after that the droppable lines are dropped and counted.
 */
#ifndef FORERUN_CMD_OUTPUT_H
#define FORERUN_CMD_OUTPUT_H

#include "base/loop.h"
#include "base/text.h"

struct output {
	struct loop *loop;
	int fd; /* own description where it could be had, else 1 */
	bool own, watched, closed;
	struct text pending;
	size_t taken; /* of pending */
	uint64_t dropped;
	void (*on_closed)(void *arg); /* the reader went away */
	void *arg;
};

int output_open(struct output *output, struct loop *loop, void (*on_closed)(void *arg), void *arg);
/* Waits a little for what is pending, then lets go. */
void output_close(struct output *output);
/* droppable: left out while more than a megabyte waits. */
void output_write(struct output *output, const char *data, size_t length, bool droppable);
bool output_busy(const struct output *output); /* something still waits */

/* ---- the alternate screen ---- */

/* Draws nothing yet; restores on exit and when the process crashes. -ENOTTY where standard output
 * is none. */
int terminal_enter(void);
void terminal_leave(void);
void terminal_size(unsigned *width, unsigned *height);

/* ---- systemd, sd_notify(3): nothing without $NOTIFY_SOCKET ---- */

/* "READY=1\nSTATUS=..." and the like. */
void notify_send(const char *state);
/* How often the watchdog wants to be patted, in ns; 0: it does not. */
uint64_t notify_watchdog_ns(void);

#endif
