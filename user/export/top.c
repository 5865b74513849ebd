/* SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <ctype.h>
#include <math.h>

#include "export/top_private.h"

/* Where each number stands in the JSON; a statistic that is not known gives way to the next. */
static const struct {
	enum top_column column;
	const char *metric, *statistic, *otherwise;
} sources[] = {
	{TOP_QUEUE, "forerun_accept_queue_depth", "last", "fast"},
	{TOP_PEAK, "forerun_accept_queue_depth", "slow_peak", "fast_peak"},
	{TOP_CONNECTIONS, "forerun_connections_per_second", "fast", "last"},
	{TOP_REQUESTS, "forerun_requests_per_second", "fast", "last"},
	{TOP_IN_FLIGHT, "forerun_requests_in_flight", "last", "fast"},
	{TOP_P50, "forerun_response_time_p50_seconds", "fast", "slow"},
	{TOP_P99, "forerun_response_time_p99_seconds", "fast", "slow"},
	{TOP_DROPS, "forerun_drops_per_second", "fast", "last"},
	{TOP_CPU, "forerun_cpu_cores", "fast", "last"},
};

const char *const top_titles[TOP_COLUMNS] = {
	[TOP_LISTENER] = "LISTENER", [TOP_OWNER] = "OWNER",    [TOP_QUEUE] = "QUEUE",
	[TOP_PEAK] = "PEAK",	     [TOP_LIMIT] = "LIMIT",    [TOP_CONNECTIONS] = "CONN/S",
	[TOP_REQUESTS] = "REQ/S",    [TOP_IN_FLIGHT] = "INFL", [TOP_P50] = "P50",
	[TOP_P99] = "P99",	     [TOP_DROPS] = "DROP/S",   [TOP_CPU] = "CPU",
};

static void json_free(cJSON **json)
{
	cJSON_Delete(*json);
}

static void facts_free(struct top_fact *facts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(facts[i].name);
		free(facts[i].value);
	}
}

static void row_clear(struct top_row *row)
{
	free(row->listener);
	free(row->owner);
	free(row->diagnosis);
	free(row->reason);
	facts_free(row->labels.at, row->labels.count);
	facts_free(row->metrics.at, row->metrics.count);
	vec_clear(&row->labels);
	vec_clear(&row->metrics);
	vec_clear(&row->buckets);
}

void top_row_free(struct top_row *row)
{
	row_clear(row);
	vec_free(&row->labels);
	vec_free(&row->metrics);
	vec_free(&row->buckets);
	free(row);
}

struct top *top_new(const char *source, bool utf8)
{
	struct top *top = calloc(1, sizeof(*top));

	if (!top)
		abort();
	top->source = str_printf("%s", source);
	top->utf8 = utf8;
	top->sort = TOP_REQUESTS;
	return top;
}

void top_free(struct top *top)
{
	if (!top)
		return;
	vec_for_each (row, &top->rows)
		top_row_free(*row);
	vec_free(&top->rows);
	vec_free(&top->shown);
	free(top->source);
	free(top);
}

/* ---- reading ---- */

static const cJSON *field(const cJSON *object, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(object, name);
}

static char *text_of(const cJSON *item)
{
	return str_printf("%s", cJSON_IsString(item) ? item->valuestring : "");
}

static double number_of(const cJSON *item)
{
	return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static void read_numbers(struct top_row *row, const cJSON *listener)
{
	const cJSON *metrics = field(listener, "metrics");

	for (int c = 0; c < TOP_COLUMNS; c++)
		row->value[c] = NAN;
	row->value[TOP_LIMIT] = number_of(field(listener, "queue_limit"));
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		const cJSON *metric = field(metrics, sources[i].metric);
		double value = number_of(field(metric, sources[i].statistic));

		row->value[sources[i].column] =
			isnan(value) ? number_of(field(metric, sources[i].otherwise)) : value;
	}
}

static void read_labels(struct top_row *row, const cJSON *labels)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, labels) {
		struct top_fact *fact = vec_push(&row->labels);

		fact->name = str_printf("%s", item->string ? item->string : "");
		fact->value = text_of(item);
	}
}

/* What its connections speak, and how sure the counts are. */
static void read_protocols(struct top_row *row, const cJSON *listener)
{
	const cJSON *protocols = field(field(listener, "counters"), "protocols"), *item;
	const cJSON *quality = field(field(listener, "quality"), "requests");
	struct text spoken = {0};
	struct top_fact *fact;

	cJSON_ArrayForEach (item, protocols)
		if (item->string && number_of(item) > 0)
			text_printf(&spoken, "%s%s %.0f", spoken.length ? ", " : "", item->string,
				    number_of(item));
	if (spoken.length) {
		fact = vec_push(&row->labels);
		fact->name = str_printf("connections");
		fact->value = text_take(&spoken);
	}
	if (cJSON_IsString(quality)) {
		fact = vec_push(&row->labels);
		fact->name = str_printf("requests");
		fact->value = text_of(quality);
	}
}

/* "last 3, mean 2.1 over 300 ms, 1.9 over 3 s, peak 5" */
static char *metric_text(const cJSON *metric)
{
	static const struct {
		const char *statistic, *label;
	} parts[] = {{"last", "now"},
		     {"fast", "mean 300ms"},
		     {"slow", "mean 3s"},
		     {"slow_peak", "peak 3s"},
		     {"trend", "trend/s"}};
	struct text text = {0};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		double value = number_of(field(metric, parts[i].statistic));

		if (!isnan(value))
			text_printf(&text, "%s%s %.4g", text.length ? "  " : "", parts[i].label,
				    value);
	}
	return text_take(&text);
}

static void read_metrics(struct top_row *row, const cJSON *metrics)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, metrics) {
		struct top_fact *fact = vec_push(&row->metrics);
		const char *name = item->string ? item->string : "";

		fact->name = str_printf("%s", str_starts(name, "forerun_") ? name + 8 : name);
		fact->value = metric_text(item);
	}
}

static void read_buckets(struct top_row *row, const cJSON *buckets)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, buckets) {
		struct top_bucket bucket = {number_of(cJSON_GetArrayItem(item, 0)),
					    number_of(cJSON_GetArrayItem(item, 1))};

		if (isnan(bucket.upper_seconds))
			bucket.upper_seconds = INFINITY;
		if (bucket.count > 0)
			*vec_push(&row->buckets) = bucket;
	}
}

static struct top_row *row_find(struct top *top, uint64_t key)
{
	struct top_row *row;

	vec_for_each (it, &top->rows)
		if ((*it)->key == key)
			return *it;
	row = calloc(1, sizeof(*row));
	if (!row)
		abort();
	row->key = key;
	*vec_push(&top->rows) = row;
	return row;
}

static uint64_t key_of(const cJSON *listener)
{
	_cleanup_free_ char *name = text_of(field(listener, "listener"));
	_cleanup_free_ char *netns = text_of(field(field(listener, "labels"), "netns"));

	return hash_text(name) * 31 + hash_text(netns) + 1;
}

static void push_history(struct top_row *row)
{
	static const enum top_column columns[SERIES_COUNT] = {TOP_QUEUE, TOP_REQUESTS, TOP_P99};

	for (int s = 0; s < SERIES_COUNT; s++)
		row->history[s][row->history_count % TOP_HISTORY] = (float)row->value[columns[s]];
	row->history_count++;
}

static void read_row(struct top *top, const cJSON *listener)
{
	struct top_row *row = row_find(top, key_of(listener));
	const cJSON *labels = field(listener, "labels");
	const cJSON *owner = field(labels, "owner");

	if (row->seen) /* one address twice in a namespace: the first stands */
		return;
	row_clear(row);
	row->seen = true;
	row->listener = text_of(field(listener, "listener"));
	row->owner = text_of(owner ? owner : field(labels, "process"));
	row->diagnosis = text_of(field(listener, "diagnosis"));
	row->reason = text_of(field(listener, "reason"));
	read_numbers(row, listener);
	read_labels(row, labels);
	read_protocols(row, listener);
	read_metrics(row, field(listener, "metrics"));
	read_buckets(row, field(listener, "response_buckets"));
	push_history(row);
}

static void remove_unseen(struct top *top)
{
	for (size_t i = top->rows.count; i-- > 0;) {
		if (top->rows.at[i]->seen)
			continue;
		top_row_free(top->rows.at[i]);
		vec_remove(&top->rows, i);
	}
}

int top_feed(struct top *top, const char *json, char reason[128])
{
	_cleanup_(json_free)
	cJSON *answer = cJSON_Parse(json);
	const cJSON *listeners = field(answer, "listeners"), *item;

	if (!cJSON_IsArray(listeners)) {
		snprintf(reason, 128, "the answer is no list of listeners: is it forerun?");
		return -EBADMSG;
	}
	top->problem[0] = '\0';
	if (top->paused)
		return 0;
	if (cJSON_IsString(field(answer, "time")))
		snprintf(top->time, sizeof(top->time), "%.19s", field(answer, "time")->valuestring);
	vec_for_each (row, &top->rows)
		(*row)->seen = false;
	cJSON_ArrayForEach (item, listeners)
		read_row(top, item);
	remove_unseen(top);
	top_arrange(top);
	return 0;
}

void top_problem(struct top *top, const char *text)
{
	snprintf(top->problem, sizeof(top->problem), "%s", text);
}

/* ---- filter and order ---- */

static bool contains(const char *text, const char *part)
{
	return strcasestr(text, part) != NULL;
}

static bool passes(const struct top *top, const struct top_row *row)
{
	if (!top->filter[0] || contains(row->listener, top->filter) ||
	    contains(row->owner, top->filter) || contains(row->diagnosis, top->filter))
		return true;
	vec_for_each (label, &row->labels)
		if (contains(label->value, top->filter))
			return true;
	return false;
}

/* Before b: the larger number, or the earlier name. What is not known stands last either way. */
static bool stands_before(const struct top *top, const struct top_row *a, const struct top_row *b)
{
	int order;

	if (top->sort <= TOP_OWNER) {
		order = top->sort == TOP_OWNER ? strcmp(a->owner, b->owner)
					       : strcmp(a->listener, b->listener);
		if (order)
			return top->ascending ? order > 0 : order < 0;
	} else {
		double x = a->value[top->sort], y = b->value[top->sort];

		if (isnan(x) != isnan(y))
			return isnan(y);
		if (!isnan(x) && x != y)
			return top->ascending ? x < y : x > y;
	}
	order = strcmp(a->listener, b->listener);
	return order ? order < 0 : a->key < b->key;
}

void top_arrange(struct top *top)
{
	vec_clear(&top->shown);
	vec_for_each (row, &top->rows) {
		size_t at = top->shown.count;

		if (!passes(top, *row))
			continue;
		vec_push(&top->shown);
		for (; at && stands_before(top, *row, top->shown.at[at - 1]); at--)
			top->shown.at[at] = top->shown.at[at - 1];
		top->shown.at[at] = *row;
	}
	if (top->shown.count && top_selected_index(top) == SIZE_MAX)
		top->selected = top->shown.at[0]->key;
}

size_t top_selected_index(const struct top *top)
{
	for (size_t i = 0; i < top->shown.count; i++)
		if (top->shown.at[i]->key == top->selected)
			return i;
	return SIZE_MAX;
}

/* ---- keys ---- */

static void move(struct top *top, long by)
{
	size_t at = top_selected_index(top);
	long to;

	if (!top->shown.count)
		return;
	to = (at == SIZE_MAX ? 0 : (long)at) + by;
	to = CLAMP(to, 0, (long)top->shown.count - 1);
	top->selected = top->shown.at[to]->key;
}

static void sort_by(struct top *top, int by)
{
	top->sort = (enum top_column)(((int)top->sort + by + TOP_COLUMNS) % TOP_COLUMNS);
	top_arrange(top);
}

static bool type(struct top *top, int key)
{
	size_t length = strlen(top->filter);

	if (key == TOP_KEY_ENTER || key == TOP_KEY_ESCAPE) {
		top->typing = false;
		if (key == TOP_KEY_ESCAPE)
			top->filter[0] = '\0';
	} else if (key == TOP_KEY_BACKSPACE && length) {
		top->filter[length - 1] = '\0';
	} else if (key >= ' ' && key < 0x7f && length + 1 < sizeof(top->filter)) {
		top->filter[length] = (char)key;
		top->filter[length + 1] = '\0';
	}
	top_arrange(top);
	return true;
}

static void navigate(struct top *top, int key)
{
	switch (key) {
	case TOP_KEY_UP:
	case 'k':
		move(top, -1);
		break;
	case TOP_KEY_DOWN:
	case 'j':
		move(top, 1);
		break;
	case TOP_KEY_PAGE_UP:
		move(top, -(long)MAX(top->page, 1));
		break;
	case TOP_KEY_PAGE_DOWN:
		move(top, (long)MAX(top->page, 1));
		break;
	case TOP_KEY_HOME:
		move(top, -(long)top->shown.count);
		break;
	case TOP_KEY_END:
		move(top, (long)top->shown.count);
		break;
	case TOP_KEY_LEFT:
	case '<':
		sort_by(top, -1);
		break;
	case TOP_KEY_RIGHT:
	case '>':
		sort_by(top, 1);
		break;
	default:
		break;
	}
}

/* Back from the innermost of what is open. */
static void back(struct top *top)
{
	if (top->help) {
		top->help = false;
	} else if (top->detail) {
		top->detail = false;
	} else {
		top->filter[0] = '\0';
		top_arrange(top);
	}
}

bool top_press(struct top *top, int key)
{
	if (top->typing)
		return type(top, key);
	switch (key) {
	case 'q':
		return false;
	case TOP_KEY_ESCAPE:
		back(top);
		break;
	case TOP_KEY_ENTER:
		top->detail = !top->detail;
		break;
	case '/':
		top->typing = true;
		break;
	case 'r':
		top->ascending = !top->ascending;
		top_arrange(top);
		break;
	case 'h':
		top->series = (enum top_series)((top->series + 1) % SERIES_COUNT);
		break;
	case 'p':
	case ' ':
		top->paused = !top->paused;
		break;
	case '?':
		top->help = !top->help;
		break;
	default:
		navigate(top, key);
	}
	return true;
}
