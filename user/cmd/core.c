/* SPDX-License-Identifier: Apache-2.0 */
/* `forerun core`: what agents report goes to the core. */
#include "cmd/run.h"

#define TABLE_NAME_LEAST 3 /* of DynamoDB */
#define TABLE_NAME_MOST 255

/* ---- options ---- */

static bool is_table_name(const char *name)
{
	size_t length = strlen(name);

	return length >= TABLE_NAME_LEAST && length <= TABLE_NAME_MOST &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") ==
		       length;
}

void lock_table_check(const struct options *options, struct problems *problems)
{
	if (options->lock_table && !is_table_name(options->lock_table))
		problem_add(problems, option_where(options, "lock-table"),
			    "found \"%s\", expected the name of a DynamoDB table: 3 to 255 "
			    "letters, digits, '_', '.' and '-'",
			    options->lock_table);
}

void core_check(struct run *run, struct problems *problems)
{
	const struct options *options = run->options;

	auth_from_options(options, &run->auth, problems);
	lock_table_check(options, problems);
}

/* ---- agents ---- */

/* Of each metric what the policies compare and what their forecast is made of (user/core/reading.c)
 * is sent, and whether there was a response (user/core/stages.c), and nothing else. */
static void interest_of(const struct documents *documents, struct wire_interest *interest)
{
	static const uint16_t always = 1U << STAT_FAST | 1U << STAT_TREND;

	memset(interest, 0, sizeof(*interest));
	interest->statistics[METRIC_RESPONSES_PER_SECOND] = 1U << STAT_SLOW;
	vec_for_each (policy, &documents->policies)
		vec_for_each (metric, &policy->metrics) {
			if (metric->source == SOURCE_EXTERNAL) {
				interest->statistics[metric->metric] |=
					(uint16_t)(always | 1U << metric->statistic);
				continue;
			}
			interest->statistics[METRIC_CPU_CORES] |= always;
			interest->statistics[METRIC_CPU_UTILIZATION] |= always;
		}
}

static void on_frame(void *arg, const struct frame *frame)
{
	struct run *run = arg;

	core_wanted(run, core_frame(run->core, frame, time_now()));
}

static void on_joined(void *arg, const struct wire_hello *hello)
{
	(void)arg;
	log_debug("agent of %s at %s: connected, forerun %s", hello->host, hello->address,
		  hello->version);
}

static void on_left(void *arg, const char *host, const char *reason)
{
	(void)arg;
	log_debug("agent of %s: gone: %s", host, reason);
}

int agents_start(struct run *run)
{
	struct wire_server_events events = {
		.arg = run, .frame = on_frame, .joined = on_joined, .left = on_left};
	struct wire_server_config config = {.auth = run->auth,
					    .listen = run->options->listen_agents};
	const char *where = option_where(run->options, "listen-agents");
	char reason[WIRE_REASON_SIZE] = "";
	int r;

	interest_of(&run->documents, &config.interest);
	r = wire_server_new(run->loop, &config, &events, &run->agents, reason);
	if (r < 0 && reason[0])
		log_error("cannot take agents: %s", reason);
	else if (r == -EINVAL)
		log_error("%s: found \"%s\", expected an address such as 10.0.0.1:9911 or :9911",
			  where ? where : "--listen-agents", run->options->listen_agents);
	else if (r < 0)
		log_error("cannot listen on %s: %s; give another address with --listen-agents",
			  run->options->listen_agents, strerror(-r));
	else
		log_info("taking agents on port %u", wire_server_port(run->agents));
	return r;
}

void agents_stop(struct run *run)
{
	wire_server_free(TAKE(run->agents));
}

void agents_reload(struct run *run)
{
	char reason[WIRE_REASON_SIZE] = "";

	if (!run->agents)
		return;
	if (wire_server_reload(run->agents, reason) < 0)
		log_error("SIGHUP: %s; the keys from before stay in use", reason);
	else
		log_info("SIGHUP: the keys were read again");
}

int command_core(struct options *options)
{
	if (options->check)
		return command_check(options);
	return run_as(options, ROLE_CORE);
}
