/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of `forerun top` share: top.c reads and sorts, top_draw.c draws the rows,
 * top_detail.c one listener. */
#ifndef FORERUN_EXPORT_TOP_PRIVATE_H
#define FORERUN_EXPORT_TOP_PRIVATE_H

#include "base/text.h"
#include "base/vec.h"
#include "export/private.h"
#include "export/top.h"

#define TOP_HISTORY 240
#define TOP_LINE_SIZE 1024

enum top_column {
	TOP_LISTENER,
	TOP_OWNER,
	TOP_QUEUE,
	TOP_PEAK,
	TOP_LIMIT,
	TOP_CONNECTIONS,
	TOP_REQUESTS,
	TOP_IN_FLIGHT,
	TOP_P50,
	TOP_P99,
	TOP_DROPS,
	TOP_CPU,
	TOP_COLUMNS
};

/* What the sparkline shows. */
enum top_series { SERIES_QUEUE, SERIES_REQUESTS, SERIES_P99, SERIES_COUNT };

struct top_fact {
	char *name, *value;
};
struct top_bucket {
	double upper_seconds; /* INFINITY: the last */
	double count;
};

struct top_row {
	char *listener, *owner, *diagnosis, *reason;
	uint64_t key; /* of listener and namespace: finds its history again */
	double value[TOP_COLUMNS]; /* NaN: not known */
	VEC(struct top_fact) labels, metrics; /* for the detail pane */
	VEC(struct top_bucket) buckets;
	float history[SERIES_COUNT][TOP_HISTORY];
	unsigned history_count; /* ever taken */
	bool seen;
};

struct top {
	char *source;
	bool utf8;
	VEC(struct top_row *) rows;
	VEC(struct top_row *) shown; /* filtered and sorted */
	char time[32], problem[160], filter[64];
	enum top_column sort;
	enum top_series series;
	bool ascending, paused, typing, detail, help;
	uint64_t selected; /* key of the row */
	size_t first; /* row at the top of the list */
	size_t page; /* rows of the last drawing */
};

extern const char *const top_titles[TOP_COLUMNS];

/* The rows that pass the filter, in order. */
void top_arrange(struct top *top);
size_t top_selected_index(const struct top *top);
void top_row_free(struct top_row *row);
/* Width columns of the newest values, the newest at the right. out takes 3 bytes a column. */
void top_sparkline(const struct top *top, const struct top_row *row, unsigned width, char *out,
		   size_t size);

struct top_screen {
	top_put_fn put;
	void *arg;
	unsigned width, height, row;
};
/* Cut to the width; control characters become '?'. */
void top_line(struct top_screen *screen, enum top_style style, const char *format, ...)
	_printf_(3, 4);
void top_draw_detail(struct top *top, struct top_screen *screen, const struct top_row *row);

#endif
