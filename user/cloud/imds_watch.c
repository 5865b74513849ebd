/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the instance's own metadata says of its end: spot/instance-action,
 * events/recommendations/rebalance and events/maintenance/scheduled, asked one after the other on
 * one connection that is kept, two and a half times a second. EC2 has no way to be told.
 */
#include "cloud/private.h"

#include <cjson/cJSON.h>
#include <time.h>

#define EVERY_NS (400 * NS_PER_MS)

struct imds_watch {
	struct cloud *cloud;
	struct loop_timer *timer;
	void (*changed)(void *arg, const struct notice *notices, size_t count);
	void *arg;
	size_t at; /* of the paths */
	uint64_t begun_ns; /* of this round */
	struct notice found[NOTICES_MAX]; /* in this round */
	size_t found_count;
	struct notice notices[NOTICES_MAX]; /* as told; the age is since when, CLOCK_MONOTONIC */
	size_t count;
};

static const struct {
	const char *path;
	enum notice_kind kind;
} PATHS[] = {
	{"meta-data/spot/instance-action", NOTICE_SPOT},
	{"meta-data/events/recommendations/rebalance", NOTICE_REBALANCE},
	{"meta-data/events/maintenance/scheduled", NOTICE_MAINTENANCE},
};

/* ---- reading ---- */

static const char *text_of(const cJSON *json, const char *key)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key));

	return text ? text : "";
}

/* "21 Jan 2019 09:00:43 GMT", or RFC 3339. 0: neither. */
uint64_t notice_time_ms(const char *text)
{
	struct tm tm = {0};
	uint64_t wall_ns;
	const char *end;

	if (time_parse(text, &wall_ns) == 0)
		return wall_ns / NS_PER_MS;
	end = strptime(text, "%d %b %Y %H:%M:%S", &tm);
	if (!end || (*end && strcmp(end, " GMT") != 0))
		return 0;
	return (uint64_t)MAX(timegm(&tm), (time_t)0) * 1000;
}

static void add(struct imds_watch *watch, enum notice_kind kind, const char *what, const char *when)
{
	struct notice *notice = &watch->found[watch->found_count];

	if (watch->found_count == NOTICES_MAX)
		return;
	watch->found_count++;
	*notice = (struct notice){.kind = kind, .when_wall_ms = notice_time_ms(when)};
	set_text(notice->what, what);
	make_plain(notice->what);
}

/* The next of what is scheduled; the rest comes later than that. */
static void add_scheduled(struct imds_watch *watch, const cJSON *list)
{
	const cJSON *it, *first = NULL;

	cJSON_ArrayForEach (it, list) {
		uint64_t when = notice_time_ms(text_of(it, "NotBefore"));

		if (strcmp(text_of(it, "State"), "active") == 0 && when &&
		    (!first || when < notice_time_ms(text_of(first, "NotBefore"))))
			first = it;
	}
	if (first)
		add(watch, NOTICE_MAINTENANCE, text_of(first, "Code"), text_of(first, "NotBefore"));
}

static void read_answer(struct imds_watch *watch, enum notice_kind kind, const char *body)
{
	cJSON *json = cJSON_Parse(body);

	if (kind == NOTICE_SPOT && cJSON_IsObject(json))
		add(watch, kind, text_of(json, "action"), text_of(json, "time"));
	else if (kind == NOTICE_REBALANCE && cJSON_IsObject(json))
		add(watch, kind, "", "");
	else if (kind == NOTICE_MAINTENANCE && cJSON_IsArray(json))
		add_scheduled(watch, json);
	cJSON_Delete(json);
}

/* IMDS did not answer: what stood stands. */
static void keep(struct imds_watch *watch, enum notice_kind kind)
{
	for (size_t i = 0; i < watch->count; i++)
		if (watch->notices[i].kind == kind && watch->found_count < NOTICES_MAX)
			watch->found[watch->found_count++] = watch->notices[i];
}

/* ---- a round ---- */

static const struct notice *same(const struct imds_watch *watch, const struct notice *notice)
{
	for (size_t i = 0; i < watch->count; i++)
		if (watch->notices[i].kind == notice->kind &&
		    watch->notices[i].when_wall_ms == notice->when_wall_ms &&
		    strcmp(watch->notices[i].what, notice->what) == 0)
			return &watch->notices[i];
	return NULL;
}

static void finish(struct imds_watch *watch)
{
	bool changed = watch->found_count != watch->count;
	uint64_t now_ns = time_mono_ns();

	for (size_t i = 0; i < watch->found_count; i++) {
		const struct notice *before = same(watch, &watch->found[i]);

		changed |= !before;
		watch->found[i].age_ns = before ? before->age_ns : now_ns;
	}
	loop_timer_at(watch->timer, MAX(watch->begun_ns + EVERY_NS, now_ns + NS_PER_MS));
	if (!changed)
		return;
	memcpy(watch->notices, watch->found, sizeof(watch->notices));
	watch->count = watch->found_count;
	watch->changed(watch->arg, watch->notices, watch->count);
}

static void on_answer(struct cloud *cloud, void *arg, int status, const char *body,
		      const char *error)
{
	struct imds_watch *watch = arg;
	enum notice_kind kind = PATHS[watch->at].kind;

	(void)error;
	if (status == 200)
		read_answer(watch, kind, body);
	else if (status != 404)
		keep(watch, kind);
	if (++watch->at < ARRAY_SIZE(PATHS))
		imds_get(cloud, PATHS[watch->at].path, on_answer, watch);
	else
		finish(watch);
}

static void on_timer(void *arg, uint64_t now_ns)
{
	struct imds_watch *watch = arg;

	watch->begun_ns = now_ns;
	watch->at = watch->found_count = 0;
	imds_get(watch->cloud, PATHS[0].path, on_answer, watch);
}

int cloud_watch_notices(struct cloud *cloud,
			void (*changed)(void *arg, const struct notice *notices, size_t count),
			void *arg)
{
	struct imds_watch *watch;
	int r;

	if (cloud->imds.watch || imds_disabled())
		return 0;
	watch = calloc(1, sizeof(*watch));
	if (!watch)
		return -ENOMEM;
	*watch = (struct imds_watch){.cloud = cloud, .changed = changed, .arg = arg};
	r = loop_timer_new(cloud->loop, on_timer, watch, &watch->timer);
	if (r < 0) {
		free(watch);
		return r;
	}
	cloud->imds.watch = watch;
	loop_timer_at(watch->timer, 0);
	return 0;
}

void imds_watch_free(struct cloud *cloud)
{
	struct imds_watch *watch = TAKE(cloud->imds.watch);

	if (!watch)
		return;
	loop_timer_free(watch->timer);
	free(watch);
}
