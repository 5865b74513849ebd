/* SPDX-License-Identifier: Apache-2.0 */
/* `forerun plan --refresh`: what EC2 sells, asked of AWS. */
#include "cmd/check.h"
#include "cmd/plan.h"

struct fetch {
	struct catalog *catalog;
	struct problems *problems;
	bool done;
};

static void on_fetched(void *arg, struct catalog *catalog, const char *problem)
{
	struct fetch *fetch = arg;

	fetch->done = true;
	fetch->catalog = catalog;
	if (problem && !catalog)
		problem_add(fetch->problems, "AWS", "%s", problem);
	else if (problem)
		fprintf(stderr, "AWS: warning: %s\n", problem);
}

static int ask(struct loop *loop, struct cloud *cloud, struct fetch *fetch)
{
	uint64_t until_ns = time_mono_ns() + CHECK_WAIT_NS;

	cloud_refresh_catalog(cloud, on_fetched, fetch);
	while (!fetch->done && time_mono_ns() < until_ns) {
		int r = loop_round(loop, 100);

		if (r < 0)
			return r;
	}
	return fetch->done ? 0 : -ETIMEDOUT;
}

void plan_fetch(const struct options *options, struct catalog **out, struct problems *problems)
{
	static const struct documents none;
	struct cloud_events events = cloud_events_none();
	struct cloud_config config;
	struct http_client *http = NULL;
	struct cloud *cloud = NULL;
	struct loop *loop = NULL;
	struct fetch fetch = {.problems = problems};
	int r = loop_new(&loop);

	if (r == 0)
		r = http_client_new(loop, &http);
	cloud_config_default(&config);
	config.region = options->region;
	config.cache_path = options->state_dir;
	if (r == 0)
		r = cloud_new(loop, http, &config, &none, &events, &cloud);
	if (r == 0)
		r = ask(loop, cloud, &fetch);
	if (r == -ETIMEDOUT)
		problem_add(problems, "AWS", "did not answer everything within %llu s",
			    (unsigned long long)(CHECK_WAIT_NS / NS_PER_S));
	else if (r < 0)
		problem_add(problems, "AWS", "cannot be asked: %s", strerror(-r));
	*out = fetch.catalog;
	cloud_free(cloud);
	http_client_free(http);
	loop_free(loop);
}
