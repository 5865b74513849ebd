/* SPDX-License-Identifier: Apache-2.0 */
/* The list: title, column heads with the order, one line a listener, keys at the bottom. */
#include <math.h>

#include "export/top_private.h"

#define HISTORY_LEAST 8
#define DETAIL_LEAST 10 /* lines; below it the detail pane takes the whole screen */

static const char *const series_names[SERIES_COUNT] = {"QUEUE", "REQ/S", "P99"};

/* dropped: the order in which columns go where the terminal is narrow; 0 stays. */
static const struct {
	unsigned width, dropped;
	bool left;
} shapes[TOP_COLUMNS] = {
	[TOP_LISTENER] = {15, 0, true}, [TOP_OWNER] = {13, 0, true},
	[TOP_QUEUE] = {5, 0, false},	[TOP_PEAK] = {5, 7, false},
	[TOP_LIMIT] = {5, 5, false},	[TOP_CONNECTIONS] = {6, 4, false},
	[TOP_REQUESTS] = {6, 0, false}, [TOP_IN_FLIGHT] = {5, 6, false},
	[TOP_P50] = {6, 3, false},	[TOP_P99] = {6, 0, false},
	[TOP_DROPS] = {6, 2, false},	[TOP_CPU] = {5, 1, false},
};

struct layout {
	unsigned width[TOP_COLUMNS];
	unsigned history;
};

/* One byte or one UTF-8 character is one column; what is neither becomes '?'. */
static size_t fit(const char *text, unsigned width, char *out, size_t size)
{
	size_t at = 0;
	unsigned column = 0;

	while (*text && column < width) {
		size_t length = utf8_length(text, strlen(text));
		bool plain = (unsigned char)*text >= 0x20 && *text != 0x7f;

		if (at + MAX(length, 1U) + 1 > size)
			break;
		if (!length || !plain) {
			out[at++] = '?';
			text++;
		} else {
			memcpy(out + at, text, length);
			at += length;
			text += length;
		}
		column++;
	}
	out[at] = '\0';
	return at;
}

void top_line(struct top_screen *screen, enum top_style style, const char *format, ...)
{
	char line[TOP_LINE_SIZE], cut[TOP_LINE_SIZE];
	va_list arguments;

	if (screen->row >= screen->height)
		return;
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	fit(line, screen->width, cut, sizeof(cut));
	screen->put(screen->arg, screen->row++, style, cut);
}

/* ---- sparkline ---- */

void top_sparkline(const struct top *top, const struct top_row *row, unsigned width, char *out,
		   size_t size)
{
	static const char *const blocks[] = {" ",      "\u2581", "\u2582", "\u2583", "\u2584",
					     "\u2585", "\u2586", "\u2587", "\u2588"};
	static const char *const plain[] = {" ", ".", ":", "-", "=", "+", "*", "#", "@"};
	const float *history = row->history[top->series];
	unsigned kept = MIN(row->history_count, (unsigned)TOP_HISTORY), shown = MIN(width, kept);
	float most = 0;
	size_t at = 0;

	for (unsigned back = 1; back <= kept; back++)
		most = fmaxf(most, history[(row->history_count - back) % TOP_HISTORY]);
	for (unsigned i = 0; i < width - shown && at + 1 < size; i++)
		out[at++] = ' ';
	for (unsigned back = shown; back > 0 && at + 4 < size; back--) {
		float value = history[(row->history_count - back) % TOP_HISTORY];
		unsigned level = most > 0 && value > 0 ? (unsigned)ceilf(8 * value / most) : 0;

		at += (size_t)snprintf(out + at, size - at, "%s",
				       (top->utf8 ? blocks : plain)[MIN(level, 8U)]);
	}
	out[at] = '\0';
}

/* ---- the list ---- */

static void layout_fit(struct layout *layout, unsigned width)
{
	unsigned total = 2 + HISTORY_LEAST + 12; /* marker, history, diagnosis */

	for (int c = 0; c < TOP_COLUMNS; c++) {
		layout->width[c] = shapes[c].width;
		total += shapes[c].width + 1;
	}
	for (unsigned turn = 1; turn <= TOP_COLUMNS && total > width; turn++)
		for (int c = 0; c < TOP_COLUMNS; c++)
			if (shapes[c].dropped == turn && total > width) {
				total -= layout->width[c] + 1;
				layout->width[c] = 0;
			}
	layout->history = HISTORY_LEAST;
	for (; total < width && layout->width[TOP_LISTENER] < 28; total++)
		layout->width[TOP_LISTENER]++;
	for (; total < width && layout->width[TOP_OWNER] < 28; total++)
		layout->width[TOP_OWNER]++;
	for (; total < width && layout->history < 60; total++)
		layout->history++;
}

static void cell_text(const struct top_row *row, enum top_column column, char *out, size_t size)
{
	double value = row->value[column];

	switch (column) {
	case TOP_LISTENER:
		snprintf(out, size, "%s", row->listener);
		break;
	case TOP_OWNER:
		snprintf(out, size, "%s", row->owner[0] ? row->owner : "-");
		break;
	case TOP_P50:
	case TOP_P99:
		table_seconds_text(value, out, size);
		break;
	case TOP_QUEUE:
	case TOP_PEAK:
	case TOP_LIMIT:
	case TOP_IN_FLIGHT:
		table_count_text(isnan(value) ? value : round(value), out, size);
		break;
	default:
		table_count_text(value, out, size);
	}
}

/* Cut and padded to its width, in columns. */
static void add_cell(struct text *line, const char *cell, unsigned width, bool left)
{
	char cut[256];
	size_t bytes = fit(cell, width, cut, sizeof(cut));
	unsigned columns = 0;

	for (size_t i = 0; i < bytes; i++)
		columns += ((unsigned char)cut[i] & 0xc0) != 0x80;
	for (unsigned i = columns; !left && i < width; i++)
		text_add_char(line, ' ');
	text_add(line, cut);
	for (unsigned i = columns; left && i < width; i++)
		text_add_char(line, ' ');
	text_add_char(line, ' ');
}

static void draw_heads(const struct top *top, struct top_screen *screen,
		       const struct layout *layout)
{
	_cleanup_text_ struct text line = {0};
	char title[32];

	text_add(&line, "  ");
	for (int c = 0; c < TOP_COLUMNS; c++) {
		if (!layout->width[c])
			continue;
		/* The order stands in the head itself. */
		snprintf(title, sizeof(title), "%s%s", top_titles[c],
			 c != (int)top->sort ? ""
			 : top->ascending    ? "^"
					     : "v");
		add_cell(&line, title, layout->width[c], shapes[c].left);
	}
	add_cell(&line, series_names[top->series], layout->history, true);
	text_add(&line, "DIAGNOSIS");
	top_line(screen, TOP_HEAD, "%-*s", (int)screen->width, line.data);
}

static bool is_warning(const struct top_row *row)
{
	return !str_equal(row->diagnosis, "ok") && !str_equal(row->diagnosis, "idle");
}

static void draw_row(const struct top *top, struct top_screen *screen, const struct layout *layout,
		     const struct top_row *row)
{
	_cleanup_text_ struct text line = {0};
	bool selected = row->key == top->selected;
	char cell[256];

	text_add(&line, selected ? ">" : " ");
	text_add(&line, is_warning(row) ? "!" : " ");
	for (int c = 0; c < TOP_COLUMNS; c++) {
		if (!layout->width[c])
			continue;
		cell_text(row, (enum top_column)c, cell, sizeof(cell));
		add_cell(&line, cell, layout->width[c], shapes[c].left);
	}
	top_sparkline(top, row, layout->history, cell, sizeof(cell));
	add_cell(&line, cell, layout->history, true);
	text_add(&line, row->diagnosis);
	top_line(screen,
		 selected	   ? TOP_SELECTED
		 : is_warning(row) ? TOP_WARNING
				   : TOP_PLAIN,
		 "%s", line.data);
}

static void draw_title(const struct top *top, struct top_screen *screen)
{
	size_t warnings = 0;

	vec_for_each (row, &top->rows)
		warnings += is_warning(*row);
	if (top->problem[0])
		top_line(screen, TOP_WARNING, "! %s", top->problem);
	else
		top_line(screen, TOP_TITLE, "forerun top  %s  %zu listeners, %zu to look at%s  %s",
			 strlen(top->time) == 19 ? top->time + 11 : top->time, top->rows.count,
			 warnings, top->paused ? "  PAUSED" : "", top->source);
	if (top->typing || top->filter[0])
		top_line(screen, TOP_PLAIN, "filter: %s%s  (%zu shown)", top->filter,
			 top->typing ? "_" : "", top->shown.count);
}

static void draw_list(struct top *top, struct top_screen *screen, unsigned lines)
{
	size_t at = top_selected_index(top);
	struct layout layout;

	layout_fit(&layout, screen->width);
	draw_heads(top, screen, &layout);
	top->page = lines > 1 ? lines - 1 : 1;
	if (at != SIZE_MAX && at < top->first)
		top->first = at;
	if (at != SIZE_MAX && at >= top->first + top->page)
		top->first = at - top->page + 1;
	if (top->first + top->page > top->shown.count)
		top->first = top->shown.count - MIN(top->shown.count, top->page);
	for (size_t i = top->first; i < top->shown.count && i < top->first + top->page; i++)
		draw_row(top, screen, &layout, top->shown.at[i]);
	if (!top->shown.count)
		top_line(screen, TOP_PLAIN, "  %s",
			 top->rows.count ? "no listener matches the filter"
					 : "no listener is known yet");
}

static void draw_help(struct top_screen *screen)
{
	static const char *const lines[] = {
		"",
		"  up, down, j, k, PgUp, PgDn, Home, End   choose a listener",
		"  Enter                                   show or hide its details",
		"  left, right, <, >                       sort by another column",
		"  r                                       turn the order round",
		"  h                                       history of queue, requests, p99",
		"  /                                       filter by owner, address or label",
		"  Esc                                     close, or drop the filter",
		"  p, space                                hold the picture",
		"  q                                       leave",
		"",
		"  > chosen   ! not ok   v ^ order of the column   - not known",
		"  QUEUE now and PEAK of 3 s of LIMIT; rates and times are of the last 300 ms",
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		top_line(screen, TOP_PLAIN, "%s", lines[i]);
}

void top_draw(struct top *top, unsigned width, unsigned height, top_put_fn put, void *arg)
{
	struct top_screen screen = {put, arg, MIN(width, TOP_LINE_SIZE / 4), height, 0};
	size_t at = top_selected_index(top);
	const struct top_row *row = at == SIZE_MAX ? NULL : top->shown.at[at];
	unsigned body;

	if (!width || height < 2)
		return;
	screen.height = height - 1;
	draw_title(top, &screen);
	body = screen.height - MIN(screen.height, screen.row);
	if (top->help) {
		draw_help(&screen);
	} else if (top->detail && row) {
		if (body >= 2 * DETAIL_LEAST) {
			draw_list(top, &screen, body - body * 3 / 5);
			screen.row = MAX(screen.row, screen.height - body * 3 / 5);
		}
		top_draw_detail(top, &screen, row);
	} else {
		draw_list(top, &screen, body);
	}
	screen.height = height;
	screen.row = height - 1;
	top_line(
		&screen, TOP_HEAD, "%-*s", (int)screen.width,
		"q quit  Enter details  < > sort  r reverse  / filter  h history  p pause  ? help");
}
