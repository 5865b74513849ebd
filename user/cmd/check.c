/* SPDX-License-Identifier: Apache-2.0 */
/* `forerun run --check`: documents, references, and what AWS says of them, without launching. */
#include "cmd/check.h"

struct waiting {
	struct loop *loop;
	bool done;
};

static void on_checked(void *arg)
{
	struct waiting *waiting = arg;

	waiting->done = true;
}

static void on_catalog(void *arg, const struct catalog *catalog)
{
	(void)arg;
	(void)catalog;
}

static void on_class(void *arg, const struct class_view *view)
{
	(void)arg;
	(void)view;
}

static void on_fleet(void *arg, const struct fleet_view *view)
{
	(void)arg;
	(void)view;
}

static void on_launched(void *arg, const struct launch_result *result)
{
	(void)arg;
	(void)result;
}

static void on_terminated(void *arg, const struct terminate_result *result)
{
	(void)arg;
	(void)result;
}

static void on_stopped(void *arg, const struct stop_result *result)
{
	(void)arg;
	(void)result;
}

struct cloud_events cloud_events_none(void)
{
	return (struct cloud_events){.catalog = on_catalog,
				     .class_resolved = on_class,
				     .fleet = on_fleet,
				     .launched = on_launched,
				     .terminated = on_terminated,
				     .stopped = on_stopped};
}

static int ask(struct loop *loop, struct cloud *cloud, struct problems *problems)
{
	struct waiting waiting = {.loop = loop};
	uint64_t until_ns = time_mono_ns() + CHECK_WAIT_NS;

	cloud_check(cloud, problems, on_checked, &waiting);
	while (!waiting.done && time_mono_ns() < until_ns) {
		int r = loop_round(loop, 100);

		if (r < 0)
			return r;
	}
	return waiting.done ? 0 : -ETIMEDOUT;
}

int check_cloud(const struct options *options, const struct documents *documents,
		struct problems *problems, struct cloud_status *status)
{
	struct cloud_events events = cloud_events_none();
	struct cloud_config config;
	struct http_client *http = NULL;
	struct cloud *cloud = NULL;
	struct loop *loop = NULL;
	int r = loop_new(&loop);

	if (r == 0)
		r = http_client_new(loop, &http);
	cloud_config_default(&config);
	config.region = options->region;
	config.cluster_version = options->cluster_version;
	config.name = options->name;
	cluster_from_options(options, &config);
	if (r == 0)
		r = cloud_new(loop, http, &config, documents, &events, &cloud);
	if (r == 0)
		r = ask(loop, cloud, problems);
	if (r == -ETIMEDOUT)
		problem_add(problems, "AWS", "did not answer everything within %llu s",
			    (unsigned long long)(CHECK_WAIT_NS / NS_PER_S));
	else if (r < 0)
		problem_add(problems, "AWS", "cannot be asked: %s", strerror(-r));
	if (cloud)
		cloud_status(cloud, status);
	cloud_free(cloud);
	http_client_free(http);
	loop_free(loop);
	return problems->errors ? -EINVAL : 0;
}

static void print_clean(const struct documents *documents, const struct cloud_status *status)
{
	printf("clean: %zu policies, %zu pools, %zu classes\n", documents->policies.count,
	       documents->pools.count, documents->classes.count);
	if (documents->classes.count)
		printf("AWS: region %s, credentials from %s\n", status->region,
		       status->credentials);
}

int command_check(struct options *options)
{
	_cleanup_(problems_free)
	struct problems problems = {0};
	_cleanup_(documents_free)
	struct documents documents = {0};
	struct cloud_status status = {0};

	if (!options->config) {
		fprintf(stderr, "--check: found no --config, expected the directory to check\n");
		return EXIT_USAGE;
	}
	cluster_check(options, &problems);
	config_read(options->config, option_where(options, "config"), options->expand_env,
		    &documents, &problems);
	if (!problems.errors && documents.classes.count)
		check_cloud(options, &documents, &problems, &status);
	problems_print(&problems, stdout);
	if (problems.errors) {
		printf("%zu problem%s\n", problems.errors, problems.errors == 1 ? "" : "s");
		return EXIT_FAILED;
	}
	print_clean(&documents, &status);
	return EXIT_DONE;
}
