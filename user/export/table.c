/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live table. Each section says how many lines it needs, the screen is shared out, and every
 * line goes through put_line(), which alone knows the width and what may be printed.
 */
#include <math.h>
#include <sys/socket.h>

#include "base/vec.h"
#include "export/private.h"

#define LINE_SIZE 1024
#define HEIGHT_WITH_GAPS 20
#define HEIGHT_WITH_HINT 10
#define POLICY_WIDTH 74 /* without its note */
#define NOTE_WIDTH 40
#define COLOR_NONE ""
#define COLOR_BOLD "\033[1m"
#define COLOR_DIM "\033[2m"
#define COLOR_RED "\033[31m"
#define COLOR_YELLOW "\033[33m"
#define COLOR_HEAD "\033[7m"
#define COLOR_RESET "\033[0m"

struct screen {
	struct text *out;
	unsigned width, lines_left;
	bool color;
};

static void put_line(struct screen *screen, const char *color, const char *line)
{
	size_t length = strnlen(line, screen->width);

	if (!screen->lines_left)
		return;
	screen->lines_left--;
	if (screen->color && *color)
		text_add(screen->out, color);
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)line[i];

		text_add_char(screen->out, c < 0x20 || c > 0x7e ? '?' : (char)c);
	}
	if (screen->color && *color)
		text_add(screen->out, COLOR_RESET);
	text_add_char(screen->out, '\n');
}

/* ---- listeners ---- */

enum column {
	COLUMN_LISTENER,
	COLUMN_OWNER,
	COLUMN_QUEUE,
	COLUMN_PEAK,
	COLUMN_LIMIT,
	COLUMN_CONNECTIONS,
	COLUMN_REQUESTS,
	COLUMN_IN_FLIGHT,
	COLUMN_P50,
	COLUMN_P99,
	COLUMN_DROPS,
	COLUMN_DIAGNOSIS,
	COLUMN_COUNT
};

/* dropped: the order in which columns go where the terminal is narrow; 0 stays. */
static const struct {
	const char *title;
	unsigned width, dropped;
	bool left;
} columns[COLUMN_COUNT] = {
	[COLUMN_LISTENER] = {"LISTENER", 21, 0, true},
	[COLUMN_OWNER] = {"OWNER", 15, 8, true},
	[COLUMN_QUEUE] = {"QUEUE", 5, 0, false},
	[COLUMN_PEAK] = {"PEAK", 5, 6, false},
	[COLUMN_LIMIT] = {"LIMIT", 5, 4, false},
	[COLUMN_CONNECTIONS] = {"CONN/S", 6, 3, false},
	[COLUMN_REQUESTS] = {"REQ/S", 6, 0, false},
	[COLUMN_IN_FLIGHT] = {"INFL", 5, 5, false},
	[COLUMN_P50] = {"P50", 5, 1, false},
	[COLUMN_P99] = {"P99", 5, 7, false},
	[COLUMN_DROPS] = {"DROPS", 6, 2, false},
	[COLUMN_DIAGNOSIS] = {"DIAGNOSIS", 17, 0, true},
};

struct layout {
	unsigned width[COLUMN_COUNT]; /* 0: not shown */
};

static void layout_fit(struct layout *layout, unsigned width)
{
	unsigned total = 0;

	for (int c = 0; c < COLUMN_COUNT; c++) {
		layout->width[c] = columns[c].width;
		total += columns[c].width + 1;
	}
	for (unsigned turn = 1; turn <= 8 && total > width + 1; turn++)
		for (int c = 0; c < COLUMN_COUNT; c++)
			if (columns[c].dropped == turn) {
				total -= layout->width[c] + 1;
				layout->width[c] = 0;
			}
	/* What is left over goes to the names, an IPv6 address and a unit's name are long. */
	for (; total <= width && layout->width[COLUMN_LISTENER] < 30; total++)
		layout->width[COLUMN_LISTENER]++;
	for (; total <= width && layout->width[COLUMN_OWNER] && layout->width[COLUMN_OWNER] < 32;
	     total++)
		layout->width[COLUMN_OWNER]++;
}

static void add_cell(const struct layout *layout, enum column column, const char *text, char *line)
{
	size_t at = strlen(line);
	int width = (int)layout->width[column];

	if (!width)
		return;
	snprintf(line + at, LINE_SIZE - at, columns[column].left ? "%s%-*.*s" : "%s%*.*s",
		 at ? " " : "", width, width, text);
}

void table_count_text(double value, char *out, size_t size)
{
	if (isnan(value))
		snprintf(out, size, "-");
	else if (fabs(value) < 9.95 && trunc(value) != value)
		snprintf(out, size, "%.1f", value);
	else if (fabs(value) < 99999.5)
		snprintf(out, size, "%.0f", value);
	else if (fabs(value) < 9.995e5)
		snprintf(out, size, "%.0fk", value / 1e3);
	else if (fabs(value) < 99.95e6)
		snprintf(out, size, "%.1fM", value / 1e6);
	else if (fabs(value) < 999.5e6)
		snprintf(out, size, "%.0fM", value / 1e6);
	else
		snprintf(out, size, "%.1fG", value / 1e9);
}

void table_seconds_text(double seconds, char *out, size_t size)
{
	if (isnan(seconds))
		snprintf(out, size, "-");
	else if (seconds < 0.0009995)
		snprintf(out, size, "%.0fus", seconds * 1e6);
	else if (seconds < 0.00995)
		snprintf(out, size, "%.1fms", seconds * 1e3);
	else if (seconds < 0.9995)
		snprintf(out, size, "%.0fms", seconds * 1e3);
	else if (seconds < 99.95)
		snprintf(out, size, "%.1fs", seconds);
	else
		snprintf(out, size, "%.0fs", seconds);
}

/* A whole number of connections needs no decimals. */
static void add_whole(const struct layout *layout, enum column column, double value, char *line)
{
	char cell[32];

	table_count_text(isnan(value) ? value : round(value), cell, sizeof(cell));
	add_cell(layout, column, cell, line);
}

static void add_rate(const struct layout *layout, enum column column, double value, char *line)
{
	char cell[32];

	table_count_text(value, cell, sizeof(cell));
	add_cell(layout, column, cell, line);
}

static void add_seconds(const struct layout *layout, enum column column, double value, char *line)
{
	char cell[32];

	table_seconds_text(value, cell, sizeof(cell));
	add_cell(layout, column, cell, line);
}

static const char *owner_text(const struct indicator *indicator)
{
	if (indicator->owner.name[0])
		return indicator->owner.name;
	return indicator->owner.process[0] ? indicator->owner.process : "-";
}

/* A response time has no last value while nothing is answered: the slow window has the newest. */
static double newest(const struct indicator *indicator, enum metric metric)
{
	double fast = indicator->value[metric][STAT_FAST];

	return isnan(fast) ? indicator->value[metric][STAT_SLOW] : fast;
}

/* Of a path the end says more than the beginning. */
static const char *the_end_of(const char *address, size_t width)
{
	size_t length = strlen(address);

	return str_starts(address, "unix:") && length > width ? address + length - width : address;
}

static void listener_line(const struct layout *layout, const struct indicator *indicator,
			  char *line)
{
	char address[ADDRESS_TEXT_SIZE];
	const double(*value)[STAT_COUNT] = indicator->value;

	line[0] = '\0';
	indicator_address(indicator, address);
	add_cell(layout, COLUMN_LISTENER, the_end_of(address, layout->width[COLUMN_LISTENER]),
		 line);
	add_cell(layout, COLUMN_OWNER, owner_text(indicator), line);
	add_whole(layout, COLUMN_QUEUE, value[METRIC_ACCEPT_QUEUE_DEPTH][STAT_LAST], line);
	add_whole(layout, COLUMN_PEAK, value[METRIC_ACCEPT_QUEUE_DEPTH][STAT_SLOW_PEAK], line);
	add_whole(layout, COLUMN_LIMIT, indicator->queue_limit, line);
	add_rate(layout, COLUMN_CONNECTIONS, value[METRIC_CONNECTIONS_PER_SECOND][STAT_FAST], line);
	add_rate(layout, COLUMN_REQUESTS, value[METRIC_REQUESTS_PER_SECOND][STAT_FAST], line);
	add_whole(layout, COLUMN_IN_FLIGHT, value[METRIC_REQUESTS_IN_FLIGHT][STAT_LAST], line);
	add_seconds(layout, COLUMN_P50, newest(indicator, METRIC_RESPONSE_TIME_P50_SECONDS), line);
	add_seconds(layout, COLUMN_P99, newest(indicator, METRIC_RESPONSE_TIME_P99_SECONDS), line);
	add_whole(layout, COLUMN_DROPS,
		  indicator->family == AF_UNIX ? NAN : (double)indicator->drops, line);
	add_cell(layout, COLUMN_DIAGNOSIS, signal_diagnosis_text(indicator->diagnosis), line);
}

static const char *diagnosis_color(enum diagnosis diagnosis)
{
	if (diagnosis == DIAGNOSIS_IDLE)
		return COLOR_DIM;
	if (diagnosis == DIAGNOSIS_OK)
		return COLOR_NONE;
	return diagnosis == DIAGNOSIS_NEEDS_CAPACITY ? COLOR_RED : COLOR_YELLOW;
}

static unsigned urgency(const struct indicator *indicator)
{
	if (indicator->diagnosis == DIAGNOSIS_IDLE)
		return 0;
	return indicator->diagnosis == DIAGNOSIS_OK ? 1 : 2;
}

/* What needs somebody first, then what works, then what idles; within that the order of slots, so
 * that rows stay where they are. */
static int by_urgency(const void *a, const void *b)
{
	const struct indicator *x = *(const struct indicator *const *)a;
	const struct indicator *y = *(const struct indicator *const *)b;

	if (urgency(x) != urgency(y))
		return urgency(x) < urgency(y) ? 1 : -1;
	return x->slot < y->slot ? -1 : x->slot > y->slot;
}

static void listeners_section(struct screen *screen, const struct indicator **sorted, size_t count,
			      unsigned lines)
{
	struct layout layout;
	char line[LINE_SIZE] = "";
	size_t shown = count < lines ? count : lines - 1;

	layout_fit(&layout, screen->width);
	for (int c = 0; c < COLUMN_COUNT; c++)
		add_cell(&layout, c, columns[c].title, line);
	put_line(screen, COLOR_BOLD, line);
	if (!count)
		put_line(screen, COLOR_DIM, "no listener on this host yet");
	for (size_t i = 0; i < shown; i++) {
		listener_line(&layout, sorted[i], line);
		put_line(screen, diagnosis_color(sorted[i]->diagnosis), line);
	}
	if (shown < count) {
		snprintf(line, sizeof(line), "and %zu more (all of them: /v1/signals)",
			 count - shown);
		put_line(screen, COLOR_DIM, line);
	}
}

/* Writes text over several lines, each indented and broken between words. */
static unsigned put_wrapped(struct screen *screen, const char *color, const char *text,
			    unsigned lines)
{
	unsigned used = 0, room = screen->width > 8 ? screen->width - 2 : 6;

	while (*text && used < lines) {
		size_t length = strnlen(text, room);
		char line[LINE_SIZE];

		if (text[length] && used + 1 < lines)
			while (length > room / 2 && text[length] != ' ')
				length--;
		snprintf(line, sizeof(line), "  %.*s", (int)MIN(length, (size_t)LINE_SIZE - 4),
			 text);
		put_line(screen, color, line);
		text += length;
		text += strspn(text, " ");
		used++;
	}
	return used;
}

static void reasons_section(struct screen *screen, const struct indicator **sorted, size_t count,
			    unsigned lines)
{
	for (size_t i = 0; i < count && lines && urgency(sorted[i]) > 1; i++) {
		char address[ADDRESS_TEXT_SIZE], line[LINE_SIZE];

		indicator_address(sorted[i], address);
		snprintf(line, sizeof(line), "%s %s: %s", address,
			 signal_diagnosis_text(sorted[i]->diagnosis), sorted[i]->reason);
		lines -= put_wrapped(screen, diagnosis_color(sorted[i]->diagnosis), line, lines);
	}
}

/* ---- policies, decisions, log ---- */

/* All of ours begin with the same word. */
static const char *short_metric(const char *name)
{
	static const char prefix[] = "forerun_";

	return str_starts(name, prefix) ? name + sizeof(prefix) - 1 : name;
}

/* What holds a policy stands behind its figures, below them where the screen is narrow. */
static bool notes_beside(const struct table *table)
{
	return table->width >= POLICY_WIDTH + 2 + NOTE_WIDTH;
}

static unsigned policies_lines(const struct table *table)
{
	unsigned lines = table->no_policies ? 0 : 1 + (unsigned)table->policies_count;

	for (size_t i = 0; i < table->policies_count && !notes_beside(table); i++) {
		size_t length = strlen(table->policies[i].note);

		lines += length ? (length + 2 > table->width ? 2 : 1) : 0;
	}
	return lines;
}

/* An empty line above, where there is room for beauty. */
static void put_gap(struct screen *screen, const struct table *table)
{
	if (table->height >= HEIGHT_WITH_GAPS)
		put_line(screen, COLOR_NONE, "");
}

static void policies_section(struct screen *screen, const struct table *table, unsigned lines)
{
	char line[LINE_SIZE], value[32], target[32];

	if (table->no_policies)
		return;
	put_gap(screen, table);
	if (!table->policies_count) {
		put_line(screen, COLOR_DIM, "no policies: signals only (--config DIR reads them)");
		return;
	}
	snprintf(line, sizeof(line), "%-14s %-28s %8s %8s %12s%s", "POLICY", "METRIC", "NOW",
		 "TARGET", "REPLICAS", notes_beside(table) ? "  NOTE" : "");
	put_line(screen, COLOR_BOLD, line);
	lines--;
	for (size_t i = 0; i < table->policies_count && lines; i++) {
		const struct table_policy *policy = &table->policies[i];
		char replicas[48];

		table_count_text(policy->value, value, sizeof(value));
		table_count_text(policy->target, target, sizeof(target));
		snprintf(replicas, sizeof(replicas), "%d (%d) -> %d", policy->replicas,
			 policy->ready, policy->wanted);
		snprintf(line, sizeof(line), "%-14.14s %-28.28s %8s %8s %12s%s%s", policy->name,
			 short_metric(policy->metric), value, target, replicas,
			 notes_beside(table) ? "  " : "", notes_beside(table) ? policy->note : "");
		put_line(screen, policy->wanted != policy->replicas ? COLOR_YELLOW : COLOR_NONE,
			 line);
		lines--;
		if (!notes_beside(table) && policy->note[0])
			lines -= put_wrapped(screen, COLOR_NONE, policy->note, MIN(lines, 2));
	}
}

static void decisions_section(struct screen *screen, const struct table *table, unsigned lines)
{
	if (!table->decisions_count)
		return;
	put_gap(screen, table);
	put_line(screen, COLOR_BOLD, "DECISIONS (why: forerun explain ID)");
	for (size_t i = 0; i < table->decisions_count && i + 1 < lines; i++) {
		const struct table_decision *decision = &table->decisions[i];
		char time[TIME_TEXT_SIZE], line[LINE_SIZE];

		time_format(decision->wall_ns, time);
		snprintf(line, sizeof(line), "%.8s  %s  %s", time + 11, decision->id,
			 decision->text);
		put_line(screen, COLOR_NONE, line);
	}
}

static bool has_hint(const struct table *table)
{
	return table->hint && table->height >= HEIGHT_WITH_HINT;
}

/* How the lines are shared: below the listeners each section has at most a part of the screen, and
 * what it does not need is the listeners'. */
struct shares {
	unsigned notices, listeners, reasons, policies, decisions, log;
};

static void share_out(const struct table *table, size_t urgent, struct shares *shares)
{
	unsigned gaps = table->height >= HEIGHT_WITH_GAPS ? 2 : 0;
	unsigned left = table->height - 2 - gaps - has_hint(table), below;

	shares->notices = MIN((unsigned)table->notices_count, MAX(left / 4, 1));
	left -= MIN(shares->notices, left);
	shares->policies = MIN(policies_lines(table), MAX(left / (table->no_listeners ? 2 : 4), 1));
	shares->decisions = table->decisions_count ? MIN(1 + (unsigned)table->decisions_count,
							 MIN(MAX(left / 5, 2), 6))
						   : 0;
	shares->reasons = MIN(3 * (unsigned)urgent, left / 5);
	shares->log = MIN((unsigned)table->log_count, MAX(left / 6, 1));
	below = shares->policies + shares->decisions + shares->reasons + shares->log;
	shares->listeners = below < left ? left - below : 1;
}

/* Nobody listens there any more and nobody is connected: its counters are kept for a restart, but
 * it is no row. */
static bool is_over(const struct indicator *indicator)
{
	return indicator->sockets == 0 &&
	       !(indicator->value[METRIC_OPEN_CONNECTIONS][STAT_LAST] > 0);
}

void export_table(struct text *out, const struct table *table)
{
	struct screen screen = {out, table->width, table->height, table->color};
	_cleanup_free_ const struct indicator **sorted =
		calloc(table->count ? table->count : 1, sizeof(*sorted));
	struct shares shares;
	size_t urgent = 0, shown = 0;

	if (!sorted || table->height < 4)
		return;
	for (size_t i = 0; i < table->count; i++) {
		if (is_over(&table->indicators[i]))
			continue;
		sorted[shown++] = &table->indicators[i];
		urgent += urgency(&table->indicators[i]) > 1;
	}
	qsort(sorted, shown, sizeof(*sorted), by_urgency);
	share_out(table, urgent, &shares);
	put_line(&screen, COLOR_HEAD, table->title);
	if (has_hint(table))
		put_line(&screen, COLOR_DIM, table->hint);
	for (size_t i = 0; i < shares.notices; i++)
		put_line(&screen, table->notices[i].warns ? COLOR_YELLOW : COLOR_NONE,
			 table->notices[i].text);
	if (!table->no_listeners)
		listeners_section(&screen, sorted, shown, shares.listeners);
	reasons_section(&screen, sorted, shown, shares.reasons);
	policies_section(&screen, table, shares.policies);
	decisions_section(&screen, table, shares.decisions);
	for (size_t i = table->log_count - MIN(table->log_count, shares.log); i < table->log_count;
	     i++)
		put_line(&screen, COLOR_DIM, table->log_lines[i]);
}
