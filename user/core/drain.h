/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way back of one instance: chosen -> its replacement serves, where one is wanted first ->
 * drains -> terminated. Who chooses (a policy that shrinks, consolidation, drift, an interruption)
 * calls retire_begin() and is done with it. docs/exactly-once.md says what a restart and a takeover
 * do to it.
 */
#ifndef FORERUN_CORE_DRAIN_H
#define FORERUN_CORE_DRAIN_H

#include "core/core_private.h"

struct retire_request {
	enum retire_reason reason;
	enum replacing replacing;
	/* A decision whose launches are the replacement: nothing is bought here. NULL: is bought.
	 */
	const char *replacement;
	/* By then it is over, ready or not; wall clock, 0: what the pool's terminationGracePeriod
	 * allows. */
	uint64_t deadline_wall_ns;
	const char *why; /* one line for explain: what was seen, the arithmetic */
	struct record *record; /* that chose it; NULL: a decision of its own is made */
};

/* Begins, and writes it down. -EINVAL: it is not ours to end (not launched by forerun, not shown by
 * EC2, this host itself); -EALREADY: it drains already (for a more urgent reason it is hurried, 0);
 * -EPERM: nothing may be called now (observe mode, paused, another core leads; of an instance of
 * ours a decision is recorded in observe mode all the same). */
int retire_begin(struct core *core, struct instance *instance, const struct retire_request *request,
		 struct moment now);
/* The same for many of one decision, which is given; the list's order is kept. */
int retire_all(struct core *core, struct instance *const *instances, size_t count,
	       const struct retire_request *request, struct moment now);
/* Room that exists: it goes back to serving, is a replica again and is registered again. -EBUSY:
 * too late (it is being terminated), or its end is not ours to put off (an interruption). */
int retire_cancel(struct core *core, struct instance *instance, const char *why, struct moment now);
/* The instance of that lane that can be called back and has drained for the shortest time; NULL. */
struct instance *retire_last(const struct lane *lane);

/* Whether it leaves: it is no replica any more, what is bought for it counts instead. One that
 * waits for a replacement that is not ordered yet does not leave. */
bool instance_leaves(const struct instance *instance);
/* Whether it may be chosen: ours, shown by EC2, not this host, not leaving already. */
bool instance_may_go(const struct core *core, const struct instance *instance);

/* ---- of the room's other files ---- */

/* drain.c */
void drain_gone(struct core *core, struct instance *instance, struct moment now);
void drain_seen(struct core *core, struct instance *instance, const struct instance_view *view,
		struct moment now);
/* EC2 refused to terminate it. */
void drain_refused(struct core *core, struct instance *instance, const char *why,
		   struct moment now);
void drains_start(struct core *core, struct moment now);
void drains_yield(struct core *core, const char *why, struct moment now);
uint64_t drains_tick(struct core *core, struct moment now);
struct drain *drain_new(struct core *core, struct instance *instance, const char *decision,
			enum retire_reason reason, struct moment now);
void drain_free(struct core *core, struct drain *drain);
void drain_begins(struct core *core, struct drain *drain, const char *why, struct moment now);

/* interrupt.c */
void notices_take(struct core *core, const struct frame *frame, struct moment now);

/* drain_wait.c: what it waits for */
/* Whether nothing is left to wait for; why: what is, or why not. */
bool drain_over(const struct core *core, const struct drain *drain, struct moment now,
		char why[CLOUD_TEXT_SIZE]);
bool drain_in_time(const struct core *core, const struct drain *drain, struct moment now);
/* Whether it must begin now for its time to suffice. */
bool drain_is_urgent(const struct core *core, const struct drain *drain, struct moment now);
void drain_hear(struct core *core, struct instance *instance, const struct frame *frame,
		struct moment now);

/* drain_mark.c: the tag */
void drains_mark(struct core *core, struct moment now);
void drain_unmark(struct core *core, const struct drain *drain);

/* drain_replace.c */
void drains_replace(struct core *core, struct moment now);
bool drain_is_replaced(struct core *core, struct drain *drain, struct moment now);

/* drain_journal.c: releases: it is the moment in which a replacement is used up. */
int journal_drain(struct core *core, const struct drain *drain, bool releases, struct moment now);
void journal_drain_end(struct core *core, const struct drain *drain, bool stays, struct moment now);
/* RETIRE_TAGGED for a word of somebody else. */
enum retire_reason retire_reason_of(const char *text);

/* targets.c */
void route_look(struct core *core, struct instance *instance);
void route_forget(struct core *core, const struct instance *instance);
void routes_start(struct core *core);
uint64_t routes_tick(struct core *core, struct moment now);
/* The least that any target group of its policy knows; TARGET_UNUSED where there is none. */
enum target_state route_state(const struct core *core, const struct instance *instance,
			      uint64_t *since_ns);

#endif
