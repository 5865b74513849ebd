/* SPDX-License-Identifier: Apache-2.0 */
/* `forerun core`: what agents report goes to the core. */
#include <math.h>

#include "cmd/run.h"

#define CERTIFICATES_LIMIT (1U << 20)
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
	_cleanup_free_ char *text = NULL;
	int r = 0;

	auth_from_options(options, &run->auth, problems);
	lock_table_check(options, problems);
	if (options->identity_certificates)
		r = file_read(options->identity_certificates, CERTIFICATES_LIMIT, &text, NULL);
	if (r < 0)
		problem_add(problems, option_where(options, "identity-certificates"),
			    "cannot read %s: %s", options->identity_certificates, strerror(-r));
}

/* ---- agents ---- */

/* The depth of one listener at which this metric may ask for more replicas: an average holds for
 * each of them, a plain value for all together. */
static uint32_t edge_depth_of(const struct policy *policy, const struct policy_metric *metric)
{
	double depth = metric->target;

	if (metric->target_type == TARGET_VALUE)
		depth /= MAX(policy->min_replicas, 1);
	depth = floor(depth * (1 + policy->up.tolerance)) + 1;
	return (uint32_t)CLAMP(depth, 1.0, (double)EDGE_DEPTH_MOST);
}

/* Of each metric what the policies compare and what their forecast is made of (user/core/reading.c)
 * is sent, whether there was a response (user/core/stages.c) and what is open while an instance
 * drains (user/core/drain_wait.c), and nothing else. */
static void interest_of(const struct documents *documents, struct wire_interest *interest)
{
	static const uint16_t always = 1U << STAT_FAST | 1U << STAT_TREND;

	*interest = (struct wire_interest){0};
	interest->statistics[METRIC_RESPONSES_PER_SECOND] = 1U << STAT_SLOW;
	interest->statistics[METRIC_OPEN_CONNECTIONS] = 1U << STAT_LAST;
	interest->statistics[METRIC_REQUESTS_IN_FLIGHT] = 1U << STAT_LAST;
	vec_for_each (policy, &documents->policies)
		vec_for_each (metric, &policy->metrics) {
			uint32_t depth = edge_depth_of(policy, metric);

			if (metric->source != SOURCE_EXTERNAL) {
				interest->statistics[METRIC_CPU_CORES] |= always;
				interest->statistics[METRIC_CPU_UTILIZATION] |= always;
				continue;
			}
			interest->statistics[metric->metric] |=
				(uint16_t)(always | 1U << metric->statistic);
			if (metric->metric == METRIC_ACCEPT_QUEUE_DEPTH &&
			    (!interest->edge_depth || depth < interest->edge_depth))
				interest->edge_depth = depth;
		}
}

static void on_frame(void *arg, const struct frame *frame)
{
	struct run *run = arg;

	core_wanted(run, core_frame(run->core, frame, time_now()));
}

/* The document is signed by AWS: it says which instance this is, whatever the agent says. */
static int on_admit(void *arg, const struct wire_hello *hello, char reason[WIRE_REASON_SIZE])
{
	const struct run *run = arg;
	const char *certificates = run->options->identity_certificates;
	char instance_id[32] = "", why[128] = "";
	int r;

	if (!certificates)
		return 0;
	if (!hello->identity_document[0]) {
		snprintf(reason, WIRE_REASON_SIZE,
			 "no instance identity document came, and this core asks for one: the "
			 "agent must run on EC2 with its metadata service in reach");
		return -EACCES;
	}
	r = cloud_identity_verify(hello->identity_document, hello->identity_pkcs7, certificates,
				  instance_id, why);
	if (r < 0) {
		snprintf(reason, WIRE_REASON_SIZE, "the instance identity document: %s", why);
		return r;
	}
	if (str_equal(instance_id, hello->instance_id))
		return 0;
	snprintf(reason, WIRE_REASON_SIZE,
		 "the instance identity document is of %s, but the agent says it is on %.31s",
		 instance_id, hello->instance_id[0] ? hello->instance_id : "no instance");
	return -EACCES;
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
	struct wire_server_events events = {.arg = run,
					    .frame = on_frame,
					    .admit = on_admit,
					    .joined = on_joined,
					    .left = on_left};
	struct wire_server_config config = {.auth = run->auth,
					    .listen = run->options->listen_agents};
	char reason[WIRE_REASON_SIZE] = "";
	int r;

	interest_of(&run->documents, &config.interest);
	r = wire_server_new(run->loop, &config, &events, &run->agents, reason);
	if (r < 0)
		log_error("cannot take agents: %s (--listen-agents says where, the keys come from "
			  "forerun core init)",
			  reason[0] ? reason : strerror(-r));
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
