/* SPDX-License-Identifier: Apache-2.0 */
/* One listener: who it is, its diagnosis in words, its response times as a histogram, its history,
 * every metric. */
#include <math.h>

#include "export/top_private.h"

#define BARS_MOST 12
#define BAR_WIDTH 30

/* Words of the text, as many as fit in a line. */
static void draw_wrapped(struct top_screen *screen, const char *text)
{
	unsigned width = screen->width > 4 ? screen->width - 2 : screen->width;

	while (*text) {
		size_t length = strlen(text), cut = MIN(length, width);

		if (cut < length) {
			while (cut && text[cut] != ' ')
				cut--;
			if (!cut)
				cut = width;
		}
		top_line(screen, TOP_PLAIN, "  %.*s", (int)cut, text);
		text += cut;
		text += strspn(text, " ");
	}
}

static void draw_labels(struct top_screen *screen, const struct top_row *row)
{
	_cleanup_text_ struct text line = {0};

	vec_for_each (label, &row->labels)
		text_printf(&line, "%s%s=%s", line.length ? "  " : "", label->name, label->value);
	if (line.length)
		draw_wrapped(screen, line.data);
}

static void draw_history(const struct top *top, struct top_screen *screen,
			 const struct top_row *row)
{
	static const char *const names[SERIES_COUNT] = {"queue", "req/s", "p99"};
	unsigned width = screen->width > 30 ? MIN(screen->width - 24, 100U) : 4;
	char line[TOP_LINE_SIZE], highest[32];
	struct top shown = *top;

	for (int s = 0; s < SERIES_COUNT; s++) {
		float most = 0;

		shown.series = (enum top_series)s;
		for (unsigned i = 0; i < MIN(row->history_count, (unsigned)TOP_HISTORY); i++)
			most = fmaxf(most, row->history[s][i]);
		top_sparkline(&shown, row, width, line, sizeof(line));
		if (s == SERIES_P99)
			table_seconds_text(most > 0 ? (double)most : NAN, highest, sizeof(highest));
		else
			table_count_text((double)most, highest, sizeof(highest));
		top_line(screen, TOP_PLAIN, "  %-5s %s %s at most", names[s], line, highest);
	}
}

/* The fine buckets joined to one bar for each power of two microseconds, so that a page holds
 * them. */
static size_t join_buckets(const struct top_row *row, struct top_bucket bars[BARS_MOST])
{
	size_t count = 0;

	vec_for_each (bucket, &row->buckets) {
		double upper = isinf(bucket->upper_seconds)
				       ? INFINITY
				       : exp2(ceil(log2(bucket->upper_seconds * 1e6) - 1e-9)) / 1e6;

		if (count && bars[count - 1].upper_seconds == upper) {
			bars[count - 1].count += bucket->count;
			continue;
		}
		if (count == BARS_MOST) { /* the fast end is the least interesting one */
			bars[1].count += bars[0].count;
			memmove(bars, bars + 1, (BARS_MOST - 1) * sizeof(*bars));
			count--;
		}
		bars[count++] = (struct top_bucket){upper, bucket->count};
	}
	return count;
}

static void draw_bar(const struct top *top, struct top_screen *screen, const struct top_bucket *bar,
		     double sum, double most)
{
	_cleanup_text_ struct text line = {0};
	char bound[24], upper[32] = "longer";

	if (!isinf(bar->upper_seconds)) {
		table_seconds_text(bar->upper_seconds, bound, sizeof(bound));
		snprintf(upper, sizeof(upper), "< %s", bound);
	}
	text_printf(&line, "  %-8s %5.1f %% ", upper, 100 * bar->count / sum);
	for (unsigned n = (unsigned)ceil(BAR_WIDTH * bar->count / most); n; n--)
		text_add(&line, top->utf8 ? "\u2588" : "#");
	top_line(screen, TOP_PLAIN, "%s", line.data);
}

static void draw_histogram(const struct top *top, struct top_screen *screen,
			   const struct top_row *row)
{
	struct top_bucket bars[BARS_MOST];
	size_t count = join_buckets(row, bars);
	double sum = 0, most = 0;

	if (!count) {
		top_line(screen, TOP_PLAIN, "  response times: none seen yet");
		return;
	}
	for (size_t i = 0; i < count; i++) {
		sum += bars[i].count;
		most = fmax(most, bars[i].count);
	}
	top_line(screen, TOP_PLAIN, "  response times since its counters began, %.0f responses",
		 sum);
	for (size_t i = 0; i < count; i++)
		draw_bar(top, screen, &bars[i], sum, most);
}

void top_draw_detail(struct top *top, struct top_screen *screen, const struct top_row *row)
{
	top_line(screen, TOP_HEAD, "%-*s", (int)screen->width, row->listener);
	top_line(screen, TOP_WARNING, "  %s", row->diagnosis);
	draw_wrapped(screen, row->reason);
	draw_history(top, screen, row);
	draw_histogram(top, screen, row);
	draw_labels(screen, row);
	vec_for_each (metric, &row->metrics)
		top_line(screen, TOP_PLAIN, "  %-28s %s", metric->name, metric->value);
}
