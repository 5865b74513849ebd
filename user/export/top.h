/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `forerun top` without its terminal: rows with their history from the JSON of /v1/signals, keys
 * in, lines out. Part of the export room's door (export/export.h). Nothing here depends on colour.
 */
#ifndef FORERUN_EXPORT_TOP_H
#define FORERUN_EXPORT_TOP_H

#include "base/base.h"

/* Printable keys are their own characters. */
enum top_key {
	TOP_KEY_UP = 0x100,
	TOP_KEY_DOWN,
	TOP_KEY_LEFT,
	TOP_KEY_RIGHT,
	TOP_KEY_PAGE_UP,
	TOP_KEY_PAGE_DOWN,
	TOP_KEY_HOME,
	TOP_KEY_END,
	TOP_KEY_ENTER,
	TOP_KEY_ESCAPE,
	TOP_KEY_BACKSPACE,
};

enum top_style { TOP_PLAIN, TOP_HEAD, TOP_SELECTED, TOP_WARNING, TOP_TITLE };

struct top;

/* source: where the signals come from, for the title. utf8: block characters may be drawn. */
struct top *top_new(const char *source, bool utf8);
void top_free(struct top *top);
/* Takes one answer of /v1/signals; NUL-terminated. -EBADMSG with a person's words. */
int top_feed(struct top *top, const char *json, char reason[128]);
/* Why nothing new comes; shown until the next feed. */
void top_problem(struct top *top, const char *text);
/* False: the key asks to leave. */
bool top_press(struct top *top, int key);
/* Calls put for each line from row 0 on, each at most width columns wide, at most height of them.
 */
typedef void (*top_put_fn)(void *arg, unsigned row, enum top_style style, const char *text);
void top_draw(struct top *top, unsigned width, unsigned height, top_put_fn put, void *arg);

#endif
