/* SPDX-License-Identifier: Apache-2.0 */
/* `forerun lab swarm` */
#include <signal.h>

#include "cmd/run.h"
#include "lab/lab.h"

static void check_keys(const struct options *options, struct wire_auth *auth,
		       struct problems *problems)
{
	if (!options->ca_key) {
		auth_from_options(options, auth, problems);
		if (auth->certificate_file && options->agents > 1)
			problem_add(problems, "--agents",
				    "found %llu with one --cert, expected 1, or --ca-key to issue "
				    "a certificate for each",
				    (unsigned long long)options->agents);
		return;
	}
	if (!options->ca)
		problem_add(problems, "--ca", "found nothing, expected it together with --ca-key");
	if (options->certificate || options->key || options->shared_key)
		problem_add(problems, "--ca-key",
			    "found together with --cert, --key or --shared-key, expected it with "
			    "--ca alone");
	auth->ca_file = options->ca;
}

static void check(const struct options *options, struct swarm_config *config,
		  struct problems *problems)
{
	const char *host = config->host;

	if (!options->core)
		problem_add(problems, "--core",
			    "found nothing, expected the address of a core, such as "
			    "127.0.0.1:9911");
	else if (!core_address_valid(options->core))
		problem_add(problems, option_where(options, "core"),
			    "found \"%s\", expected HOST or HOST:PORT", options->core);
	if (!name_valid(host, 40))
		problem_add(problems, option_where(options, "host"),
			    "found \"%s\", expected a name of at most 40 letters, digits, '-' and "
			    "'.'",
			    host);
	if (options->port + options->listeners > 65536)
		problem_add(problems, "--listeners", "found %llu from port %llu on, expected fewer",
			    (unsigned long long)options->listeners,
			    (unsigned long long)options->port);
	check_keys(options, &config->auth, problems);
}

int command_lab_swarm(struct options *options)
{
	_cleanup_(problems_free)
	struct problems problems = {0};
	struct swarm_config config = {
		.ca_key_file = options->ca_key,
		.core = options->core,
		.host = options->host ? options->host : "swarm",
		.service = options->service,
		.instance_id = options->instance_id,
		.agents = options->agents,
		.listeners = (uint32_t)options->listeners,
		.port = (uint16_t)options->port,
		.rate = options->rate,
		.edges = options->edges,
		.depth = (uint32_t)options->depth,
		.duration_ns = options->duration_ns,
	};

	signal(SIGPIPE, SIG_IGN);
	check(options, &config, &problems);
	problems_print(&problems, stderr);
	if (problems.errors)
		return EXIT_USAGE;
	return lab_swarm(&config) < 0 ? EXIT_FAILED : EXIT_DONE;
}
