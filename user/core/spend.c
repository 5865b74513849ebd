/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What forerun's instances cost, summed up by the hour of the wall clock. The last 24 hours are the
 * present hour, the 23 before it, and of the one before those as much as the present one lacks.
 */
#include <cjson/cJSON.h>
#include <math.h>

#include "core/core_private.h"

#define HOUR_NS (3600 * NS_PER_S)
#define WRITE_EVERY_NS (300 * NS_PER_S)

static void advance_to(struct spend *spend, uint64_t hour)
{
	if (hour <= spend->hour)
		return;
	if (!spend->hour || hour - spend->hour >= SPEND_HOURS)
		memset(spend->usd, 0, sizeof(spend->usd));
	else
		for (uint64_t h = spend->hour + 1; h <= hour; h++)
			spend->usd[h % SPEND_HOURS] = 0;
	spend->hour = hour;
}

/* From where it was counted to until now, into the hours that it falls in. */
static void spend_until(struct spend *spend, uint64_t wall_ns, uint64_t span_ns)
{
	uint64_t at_ns = wall_ns - MIN(wall_ns, span_ns);

	while (at_ns < wall_ns) {
		uint64_t hour = at_ns / HOUR_NS;
		uint64_t end_ns = MIN((hour + 1) * HOUR_NS, wall_ns);

		advance_to(spend, hour);
		if (hour + SPEND_HOURS > spend->hour)
			spend->usd[hour % SPEND_HOURS] +=
				spend->usd_per_hour * (double)(end_ns - at_ns) / HOUR_NS;
		at_ns = end_ns;
	}
	advance_to(spend, wall_ns / HOUR_NS);
}

/* The rate of what runs now holds until the next look. What ran while no core did is counted with
 * the first rate that is known after it. */
void spend_tick(struct core *core, struct moment now)
{
	struct spend *spend = &core->spend;
	uint64_t span_ns = now.mono_ns - MIN(now.mono_ns, spend->mono_ns);

	if (!core->fleet_known && core->config.mode == MODE_ACT)
		return;
	counts_refresh(core);
	if (!spend->mono_ns) {
		span_ns = spend->wall_ns ? now.wall_ns - MIN(now.wall_ns, spend->wall_ns) : 0;
		span_ns = MIN(span_ns, SPEND_HOURS * HOUR_NS);
		spend->usd_per_hour = core->usd_running;
	}
	spend_until(spend, now.wall_ns, span_ns);
	spend->wall_ns = now.wall_ns;
	spend->mono_ns = MAX(now.mono_ns, 1);
	spend->usd_per_hour = core->usd_running;
	if (now.mono_ns < spend->written_ns + WRITE_EVERY_NS || !(spend->usd_per_hour > 0))
		return;
	spend->written_ns = now.mono_ns;
	if (core->config.mode == MODE_ACT)
		journal_spend(core, now);
}

double spend_last_day(const struct spend *spend, uint64_t wall_ns)
{
	uint64_t hour = wall_ns / HOUR_NS;
	double into = (double)(wall_ns % HOUR_NS) / HOUR_NS, sum = 0;

	for (uint64_t h = hour >= 24 ? hour - 24 : 0; h <= hour; h++) {
		if (h > spend->hour || h + SPEND_HOURS <= spend->hour)
			continue;
		sum += spend->usd[h % SPEND_HOURS] * (h + 24 == hour ? 1 - into : 1);
	}
	return sum;
}

void spend_write(const struct spend *spend, struct text *out)
{
	bool first = true;

	text_printf(out, "{\"wall_s\":%llu,\"hour\":%llu,\"usd\":[",
		    (unsigned long long)(spend->wall_ns / NS_PER_S),
		    (unsigned long long)spend->hour);
	/* The newest first, and no further back than there is anything. */
	for (uint64_t i = 0; i < SPEND_HOURS && i <= spend->hour; i++) {
		text_printf(out, "%s%.6g", first ? "" : ",",
			    spend->usd[(spend->hour - i) % SPEND_HOURS]);
		first = false;
	}
	text_add(out, "]}");
}

/* What is told later holds more: the larger of both, hour by hour. */
int spend_read(struct spend *spend, const struct cJSON *json)
{
	const cJSON *wall = cJSON_GetObjectItemCaseSensitive(json, "wall_s");
	const cJSON *hour = cJSON_GetObjectItemCaseSensitive(json, "hour");
	const cJSON *usd = cJSON_GetObjectItemCaseSensitive(json, "usd"), *it;
	uint64_t h;

	if (!cJSON_IsNumber(wall) || !cJSON_IsNumber(hour) || !cJSON_IsArray(usd) ||
	    !(wall->valuedouble >= 0 && wall->valuedouble < 1e10) ||
	    !(hour->valuedouble >= 0 && hour->valuedouble < 1e7))
		return -EBADMSG;
	h = (uint64_t)hour->valuedouble;
	advance_to(spend, h);
	cJSON_ArrayForEach (it, usd) {
		double *known = &spend->usd[h % SPEND_HOURS];

		if (h + SPEND_HOURS > spend->hour && cJSON_IsNumber(it) &&
		    it->valuedouble > *known && isfinite(it->valuedouble))
			*known = it->valuedouble;
		if (!h--)
			break;
	}
	spend->wall_ns = MAX(spend->wall_ns, (uint64_t)wall->valuedouble * NS_PER_S);
	return 0;
}
