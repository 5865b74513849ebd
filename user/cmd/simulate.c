/* SPDX-License-Identifier: Apache-2.0 */

#include "cmd/cmd.h"
#include "lab/lab.h"

#define DEFAULT_SECONDS 120.0

static int check_options(const struct options *options, struct problems *problems)
{
	if (!options->config)
		problem_add(problems, "--config",
			    "found nothing, expected a directory with policies");
	if (!options->replay == !options->shape)
		problem_add(problems, "--replay",
			    options->replay ? "found together with --shape, expected one of them"
					    : "found neither it nor --shape, expected one of them");
	return problems->errors ? -EINVAL : 0;
}

static void print_result(const struct lab_result *result, bool json)
{
	if (json)
		printf("{\"type\":\"summary\",\"seconds\":%.3f,\"samples\":%llu,\"decisions\":%llu,"
		       "\"instances_launched\":%llu,\"instances_terminated\":%llu,"
		       "\"instance_hours\":%.4f,\"usd\":%.4f}\n",
		       result->seconds, (unsigned long long)result->samples,
		       (unsigned long long)result->decisions,
		       (unsigned long long)result->instances_launched,
		       (unsigned long long)result->instances_terminated, result->instance_hours,
		       result->usd);
	else
		printf("%.1f s simulated from %llu samples: %llu decisions, %llu instances "
		       "launched, %llu terminated, %.3f instance hours, %.4f USD\n",
		       result->seconds, (unsigned long long)result->samples,
		       (unsigned long long)result->decisions,
		       (unsigned long long)result->instances_launched,
		       (unsigned long long)result->instances_terminated, result->instance_hours,
		       result->usd);
}

static int simulate(const struct options *options, const struct documents *documents)
{
	struct lab_result result = {0};
	struct lab_config config;
	double seconds = options->duration_ns ? (double)options->duration_ns / (double)NS_PER_S
					      : DEFAULT_SECONDS;
	int r;

	lab_config_default(&config);
	limits_from_options(options, &config.limits);
	config.documents = documents;
	config.boot_ns = options->boot_ns;
	config.serve_ns = options->serve_ns;
	if (options->price > 0)
		config.usd_per_hour = options->price;
	config.out = stdout;
	config.json = options->json;
	if (options->replay)
		r = lab_replay(&config, options->replay, &result);
	else
		r = lab_generate(&config, options->shape, seconds, &result);
	if (r < 0)
		return EXIT_FAILED; /* the laboratory said why */
	print_result(&result, options->json);
	return EXIT_DONE;
}

int command_simulate(struct options *options)
{
	_cleanup_(problems_free)
	struct problems problems = {0};
	_cleanup_(documents_free)
	struct documents documents = {0};

	if (check_options(options, &problems) == 0)
		config_read(options->config, option_where(options, "config"), options->expand_env,
			    &documents, &problems);
	problems_print(&problems, stderr);
	if (problems.errors)
		return EXIT_USAGE;
	return simulate(options, &documents);
}
