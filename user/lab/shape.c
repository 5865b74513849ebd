/* SPDX-License-Identifier: Apache-2.0 */
/* "step:at=10s,from=50,to=400,capacity=100" */
#include <math.h>

#include "lab/lab_private.h"

#define RATE_MAX 1e6

static const char *const KINDS[] = {"step", "ramp", "spike", "wave"};

struct key {
	const char *name;
	size_t offset;
	bool duration;
	double least, most;
};
#define KEY(name, field, duration, least, most)                            \
	{                                                                  \
		name, offsetof(struct shape, field), duration, least, most \
	}
static const struct key KEYS[] = {
	KEY("at", at_s, true, 0, 1e9),
	KEY("over", over_s, true, 0.001, 1e9),
	KEY("from", from, false, 0, RATE_MAX),
	KEY("to", to, false, 0, RATE_MAX),
	KEY("capacity", capacity, false, 0.001, RATE_MAX),
	KEY("service", service_s, true, 0.0001, 60),
	KEY("port", port, false, 1, 65535),
	KEY("backlog", backlog, false, 1, 1e6),
};

static int parse_value(const struct key *key, const char *text, double *value)
{
	uint64_t ns;

	if (key->duration) {
		if (parse_duration_ns(text, &ns) < 0)
			return -EINVAL;
		*value = (double)ns / NS_PER_S;
	} else if (parse_double(text, value) < 0) {
		return -EINVAL;
	}
	return *value >= key->least && *value <= key->most ? 0 : -EINVAL;
}

static int parse_pair(char *pair, struct shape *out, char reason[200])
{
	char *value = strchr(pair, '=');
	double number;

	if (value)
		*value++ = '\0';
	for (size_t i = 0; value && i < ARRAY_SIZE(KEYS); i++) {
		const struct key *key = &KEYS[i];

		if (strcmp(key->name, pair) != 0)
			continue;
		if (parse_value(key, value, &number) == 0) {
			memcpy((char *)out + key->offset, &number, sizeof(number));
			return 0;
		}
		snprintf(reason, 200, "found %.40s=%.40s, expected %s from %g to %g%s", pair, value,
			 key->duration ? "a duration such as 10s" : "a number", key->least,
			 key->most, key->duration ? " seconds" : "");
		return -EINVAL;
	}
	snprintf(reason, 200,
		 "found \"%.60s\", expected KEY=VALUE with at, over, from, to, capacity, service, "
		 "port or backlog",
		 pair);
	return -EINVAL;
}

int shape_parse(const char *text, struct shape *out, char reason[200])
{
	_cleanup_free_ char *copy = strdup(text);
	char *rest = copy, *kind = strsep(&rest, ":"), *pair;
	size_t found = ARRAY_SIZE(KINDS);

	*out = (struct shape){.at_s = 10,
			      .over_s = 30,
			      .from = 50,
			      .to = 400,
			      .capacity = 100,
			      .service_s = 0.05,
			      .port = 80,
			      .backlog = 511};
	for (size_t i = 0; kind && i < ARRAY_SIZE(KINDS); i++)
		if (strcmp(KINDS[i], kind) == 0)
			found = i;
	if (found == ARRAY_SIZE(KINDS)) {
		snprintf(reason, 200,
			 "found \"%.40s\", expected step, ramp, spike or wave, as in "
			 "step:at=10s,from=50,to=400,capacity=100",
			 kind ? kind : "");
		return -EINVAL;
	}
	out->kind = (enum shape_kind)found;
	while ((pair = strsep(&rest, ",")))
		if (parse_pair(pair, out, reason) < 0)
			return -EINVAL;
	return 0;
}

/* Requests a second that arrive at that moment. */
double shape_rate(const struct shape *shape, double seconds)
{
	double since = seconds - shape->at_s, part = since / shape->over_s;

	if (since < 0)
		return shape->from;
	switch (shape->kind) {
	case SHAPE_STEP:
		return shape->to;
	case SHAPE_RAMP:
		return shape->from + (shape->to - shape->from) * MIN(part, 1);
	case SHAPE_SPIKE:
		return part < 1 ? shape->to : shape->from;
	case SHAPE_WAVE:
		return shape->from + (shape->to - shape->from) * (1 - cos(2 * M_PI * part)) / 2;
	}
	return shape->from;
}
