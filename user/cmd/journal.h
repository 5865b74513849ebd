/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core's journal as a file of the state directory: written before a call, on the disk right
 * after it, and kept small. For `forerun run` and `forerun core`.
 */
#ifndef FORERUN_CMD_JOURNAL_H
#define FORERUN_CMD_JOURNAL_H

#include "base/loop.h"
#include "core/core.h"

struct journal;

/* Makes the directory, locks the file and replays it into the core, which must not have started.
 * Problems are logged. loop and core must outlive it. */
int journal_open(struct loop *loop, const char *state_dir, struct core *core, struct journal **out);
/* For core_effects.journal. With sync everything so far is synced when the loop has done what it
 * is at: one sync for all lines of one round. */
int journal_write(struct journal *journal, const char *json, size_t length, bool sync);
/* Syncs what is not yet. */
void journal_close(struct journal *journal);

#endif
