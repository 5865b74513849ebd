/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token buckets as EC2 has them for each action of an account in a region ("Request throttling for
 * the Amazon EC2 API", EC2 Developer Guide): a call that EC2 would refuse is not sent but waits,
 * for its own action alone. A second's worth is kept back: calls that leave apart may arrive
 * together. Other users of the account take from the same buckets, so that a throttle empties ours.
 */
#include "cloud/private.h"

struct rate {
	const char *action;
	double size, per_second;
	bool per_instance; /* EC2's resource bucket: one token an instance */
};

static const struct rate RATES[BUCKETS_COUNT] = {
	{"CreateFleet", 50, 5, false},
	{"TerminateInstances", 100, 5, false},
	{"TerminateInstances", 1000, 20, true},
	{"StartInstances", 5, 2, false},
	{"StartInstances", 1000, 2, true},
	{"StopInstances", 50, 5, false},
	{"StopInstances", 1000, 20, true},
	{"CreateLaunchTemplate", 50, 5, false},
	{"DescribeInstances", 100, 20, false},
	{"DescribeSubnets", 100, 20, false},
	{"DescribeSecurityGroups", 100, 20, false},
	{"DescribeImages", 100, 20, false},
	{"DescribeInstanceTypes", 100, 20, false},
	{"DescribeInstanceTypeOfferings", 100, 20, false},
	{"DescribeSpotPriceHistory", 100, 20, false},
	{"CreateTags", 100, 10, false},
	{"DeleteTags", 100, 10, false},
};

/* Whether the form begins with that action: form_begin() made it. */
static bool is_action(const struct call_request *request, const char *action)
{
	static const char prefix[] = "Action=";
	size_t length = strlen(action);
	const char *body = request->body;

	return request->service == SERVICE_EC2 && str_starts(body, prefix) &&
	       strncmp(body + sizeof(prefix) - 1, action, length) == 0 &&
	       body[sizeof(prefix) - 1 + length] == '&';
}

static double size_of(const struct rate *rate)
{
	return rate->size - rate->per_second;
}

static double tokens_at(const struct bucket *bucket, const struct rate *rate, uint64_t now_ns)
{
	if (!bucket->filled_ns)
		return size_of(rate);
	return MIN(size_of(rate), bucket->tokens + (double)(now_ns - bucket->filled_ns) / NS_PER_S *
							   rate->per_second);
}

/* Who finds it empty takes what will be there: so they go out in the order in which they came. */
static uint64_t take(struct bucket *bucket, const struct rate *rate, double tokens, uint64_t now_ns)
{
	uint64_t wait_ns = 0;

	bucket->tokens = tokens_at(bucket, rate, now_ns) - tokens;
	bucket->filled_ns = now_ns;
	if (bucket->tokens < 0)
		wait_ns = (uint64_t)(-bucket->tokens / rate->per_second * NS_PER_S);
	if (bucket->closed_until_ns > now_ns)
		wait_ns = MAX(wait_ns, bucket->closed_until_ns - now_ns);
	if (wait_ns) {
		bucket->waits++;
		bucket->waited_ns += wait_ns;
	}
	return wait_ns;
}

uint64_t bucket_take(struct cloud *cloud, const struct call_request *request)
{
	uint64_t now_ns = time_mono_ns(), wait_ns = 0;

	for (size_t i = 0; i < BUCKETS_COUNT; i++) {
		const struct rate *rate = &RATES[i];
		double tokens = rate->per_instance ? request->instances : 1;
		uint64_t its_ns;

		if (!is_action(request, rate->action))
			continue;
		its_ns = take(&cloud->buckets[i], rate, tokens, now_ns);
		if (its_ns)
			log_write(request->flags & CALL_ACTS ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG,
				  "AWS: %s waits %.1f s for EC2's rate (%.0f %s at once, %.0f a "
				  "second)",
				  rate->action, (double)its_ns / NS_PER_S, rate->size,
				  rate->per_instance ? "instances" : "calls", rate->per_second);
		wait_ns = MAX(wait_ns, its_ns);
	}
	return wait_ns;
}

void bucket_throttled(struct cloud *cloud, const struct call_request *request, uint64_t after_ns)
{
	uint64_t now_ns = time_mono_ns();

	for (size_t i = 0; i < BUCKETS_COUNT; i++) {
		struct bucket *bucket = &cloud->buckets[i];

		if (!is_action(request, RATES[i].action) || RATES[i].per_instance)
			continue;
		bucket->tokens = MIN(tokens_at(bucket, &RATES[i], now_ns), 0);
		bucket->filled_ns = now_ns;
		bucket->closed_until_ns = MAX(bucket->closed_until_ns, now_ns + after_ns);
	}
}

size_t cloud_rates(const struct cloud *cloud, struct cloud_rate *out, size_t most)
{
	uint64_t now_ns = time_mono_ns();
	size_t count = MIN(most, (size_t)BUCKETS_COUNT);

	for (size_t i = 0; i < count; i++) {
		const struct bucket *bucket = &cloud->buckets[i];

		out[i] = (struct cloud_rate){
			.action = RATES[i].action,
			.per_instance = RATES[i].per_instance,
			.tokens = MAX(tokens_at(bucket, &RATES[i], now_ns), 0),
			.size = size_of(&RATES[i]),
			.waits = bucket->waits,
			.waited_ns = bucket->waited_ns,
		};
	}
	return count;
}
