/* SPDX-License-Identifier: Apache-2.0 */
/* `forerun agent`: what this host sees goes to every core that it was told of. */
#include "cmd/run.h"

/* The instance's metadata is asked again for so long, at most so far apart. */
#define ASK_FOR_NS (300 * NS_PER_S)
#define ASK_EVERY_MOST_NS (30 * NS_PER_S)

static void ask_instance(struct run *run);

/* ---- options ---- */

/* "core.internal", "10.0.0.1:9911", "[fd00::1]:9911". */
bool core_address_valid(const char *text)
{
	_cleanup_free_ char *host = NULL;
	const char *port;
	uint64_t number;

	if (text[0] == '[') {
		const char *end = strchr(text, ']');

		if (!end)
			return false;
		host = strndup(text + 1, (size_t)(end - text - 1));
		port = end + 1;
	} else {
		host = strndup(text, strcspn(text, ":"));
		port = text + strlen(host);
	}
	if (!host || !name_or_address_valid(host) || (text[0] != '[' && strchr(host, ':')))
		return false;
	return !*port ||
	       (*port == ':' && parse_u64(port + 1, &number) == 0 && number > 0 && number < 65536);
}

static void check_cores(struct run *run, struct problems *problems)
{
	const struct options *options = run->options;
	const char *where = option_where(options, "core"), *text = options->core;

	if (!text)
		problem_add(problems, "--core",
			    "found nothing, expected the address of a core, such as "
			    "core.internal:9911");
	for (size_t length; text && *text; text += length + (text[length] == ',')) {
		length = strcspn(text, ",");
		if (run->links_count == RUN_CORES_MOST) {
			problem_add(problems, where, "found more than %d cores", RUN_CORES_MOST);
			return;
		}
		run->links[run->links_count].run = run;
		run->links[run->links_count].address = strndup(text, length);
		if (!core_address_valid(run->links[run->links_count++].address))
			problem_add(problems, where,
				    "found \"%.*s\", expected HOST or HOST:PORT, several with a "
				    "comma between",
				    (int)length, text);
	}
}

static void check_services(struct run *run, struct problems *problems)
{
	const char *where = option_where(run->options, "service"), *text = run->options->service;

	if (!text)
		return;
	if (strlen(text) >= sizeof(run->services))
		problem_add(problems, where, "found more than the %zu characters that fit",
			    sizeof(run->services) - 1);
	else
		memcpy(run->services, text, strlen(text) + 1);
	for (size_t length; *text; text += length + (text[length] == ',')) {
		_cleanup_free_ char *name = NULL;

		length = strcspn(text, ",");
		name = strndup(text, length);
		if (!name || !name_valid(name, CLOUD_NAME_SIZE - 1))
			problem_add(problems, where,
				    "found \"%.*s\", expected a service's name of letters, digits, "
				    "'-' and '.', several with a comma between",
				    (int)length, text);
	}
}

void agent_check(struct run *run, struct problems *problems)
{
	const struct options *options = run->options;

	check_cores(run, problems);
	check_services(run, problems);
	if (options->host && !name_valid(options->host, HOST_NAME_MOST))
		problem_add(problems, option_where(options, "host"),
			    "found \"%s\", expected a host's name of at most 63 letters, digits, "
			    "'-' and '.'",
			    options->host);
	else if (options->host)
		snprintf(run->host, sizeof(run->host), "%s", options->host);
	auth_from_options(options, &run->auth, problems);
}

/* ---- connections ---- */

static void on_connected(void *arg)
{
	struct core_link *link = arg;

	link->reason[0] = '\0';
	log_info("connected to the core %s", link->address);
	feed_report(link->run, link->agent);
}

/* Said once for each reason: it is tried again and again. */
static void on_lost(void *arg, const char *reason)
{
	struct core_link *link = arg;

	if (str_equal(link->reason, reason))
		return;
	snprintf(link->reason, sizeof(link->reason), "%s", reason);
	log_warning("the core %s: %s", link->address, reason);
}

/* What no core reads need not be made. */
static void on_interest(void *arg, const struct wire_interest *interest)
{
	struct core_link *link = arg;
	struct run *run = link->run;

	link->interest = *interest;
	run->policy_metrics = 0;
	run->wire_edge_depth = 0;
	for (size_t i = 0; i < run->links_count; i++) {
		uint32_t depth = run->links[i].interest.edge_depth;

		for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
			if (run->links[i].interest.statistics[metric])
				run->policy_metrics |= 1U << metric;
		if (depth && (!run->wire_edge_depth || depth < run->wire_edge_depth))
			run->wire_edge_depth = depth;
	}
}

static void on_poll(void *arg)
{
	struct core_link *link = arg;

	feed_report(link->run, link->agent);
}

static int connect_core(struct run *run, struct core_link *link)
{
	struct wire_agent_events events = {.arg = link,
					   .connected = on_connected,
					   .lost = on_lost,
					   .interest = on_interest,
					   .poll = on_poll};
	struct wire_agent_config config = {
		.auth = run->auth,
		.address = link->address,
		.host = run->host,
		.instance_id = run->instance_id,
		.identity_document = run->identity_document ? run->identity_document : "",
		.identity_pkcs7 = run->identity_pkcs7 ? run->identity_pkcs7 : "",
	};

	char reason[WIRE_REASON_SIZE] = "";
	int r = wire_agent_new(run->loop, &config, &events, &link->agent, reason);

	if (r < 0)
		log_error("cannot report to the core %s: %s", link->address,
			  reason[0] ? reason : strerror(-r));
	return r;
}

/* ---- who this host is ---- */

static void on_ask_again(void *arg, uint64_t now_ns)
{
	(void)now_ns;
	ask_instance(arg);
}

/* Says hello anew, as another than before. */
static void connect_again(struct run *run)
{
	for (size_t i = 0; i < run->links_count; i++) {
		wire_agent_free(TAKE(run->links[i].agent));
		if (connect_core(run, &run->links[i]) < 0)
			loop_quit(run->loop, EXIT_FAILED);
		run->connections[i] = run->links[i].agent;
	}
}

/* While a host boots, its metadata may come later than its agent. */
static void answered(struct run *run, bool complete)
{
	uint64_t now_ns = time_mono_ns();

	run->asked = true;
	if (complete && run->links[0].agent)
		connect_again(run);
	if (complete || now_ns - run->started.mono_ns > ASK_FOR_NS)
		return;
	run->ask_wait_ns = CLAMP(2 * run->ask_wait_ns, NS_PER_S, ASK_EVERY_MOST_NS);
	loop_timer_at(run->ask_timer, now_ns + run->ask_wait_ns);
}

static void on_identity(void *arg, const char *document, const char *pkcs7)
{
	struct run *run = arg;

	free(run->identity_document);
	free(run->identity_pkcs7);
	run->identity_document = strdup(document);
	run->identity_pkcs7 = strdup(pkcs7);
	answered(run, document[0] != '\0');
}

static void on_whoami(void *arg, const char *instance_id, const char *instance_type,
		      const char *zone)
{
	struct run *run = arg;

	if (!instance_id[0]) {
		answered(run, false);
		return;
	}
	if (!run->instance_id[0])
		log_info("this host is %s (%s in %s)", instance_id, instance_type, zone);
	snprintf(run->instance_id, sizeof(run->instance_id), "%s", instance_id);
	notices_start(run);
	cloud_identity_document(run->cloud, on_identity, run);
}

static void ask_instance(struct run *run)
{
	cloud_whoami(run->cloud, on_whoami, run);
}

/* Only the instance's own metadata is asked; an agent needs no permission in AWS. */
static int find_instance(struct run *run)
{
	struct cloud_events events = cloud_events_none();
	struct cloud_config config;
	int r = loop_timer_new(run->loop, on_ask_again, run, &run->ask_timer);

	if (r < 0)
		return r;
	cloud_config_default(&config);
	config.read_only = true;
	if (cloud_new(run->loop, run->http, &config, &run->documents, &events, &run->cloud) < 0)
		return 0;
	ask_instance(run);
	wait_for_answer(run);
	return 0;
}

int agent_side_start(struct run *run)
{
	int r = find_instance(run);

	for (size_t i = 0; r == 0 && i < run->links_count; i++) {
		r = connect_core(run, &run->links[i]);
		run->connections[i] = run->links[i].agent;
	}
	return r;
}

void agent_side_stop(struct run *run)
{
	loop_timer_free(run->ask_timer);
	for (size_t i = 0; i < run->links_count; i++) {
		wire_agent_free(run->links[i].agent);
		free(run->links[i].address);
	}
	run->links_count = 0;
	free(TAKE(run->identity_document));
	free(TAKE(run->identity_pkcs7));
}

void agent_side_reload(struct run *run)
{
	char reason[WIRE_REASON_SIZE] = "";

	for (size_t i = 0; i < run->links_count; i++)
		if (wire_agent_reload(run->links[i].agent, reason) < 0) {
			log_error("SIGHUP: %s; the keys from before stay in use", reason);
			return;
		}
	if (run->links_count)
		log_info("SIGHUP: the keys were read again");
}

void agent_send(struct run *run, const struct frame *frame)
{
	for (size_t i = 0; i < run->links_count; i++)
		wire_agent_send(run->links[i].agent, frame);
}

int command_agent(struct options *options)
{
	return run_as(options, ROLE_AGENT);
}
