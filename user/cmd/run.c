/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process on one loop, in one of three roles. Parts start from the bottom up, so that nothing
 * acts before everything that it would act on stands, and stop in the opposite order.
 */
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cmd/run.h"

/* What start-up waits for at most: an answer of the instance's own metadata or the API server. */
#define ANSWER_WAIT_NS (3 * NS_PER_S)

static void read_policies(struct run *run, struct problems *problems)
{
	const struct options *options = run->options;

	cluster_check(options, problems);
	if (options->config)
		config_read(options->config, option_where(options, "config"), options->expand_env,
			    &run->documents, problems);
	if (options->interruption_queue && !queue_name_valid(options->interruption_queue))
		problem_add(problems, option_where(options, "interruption-queue"),
			    "found \"%s\", expected the name of an SQS queue (at most 80 letters, "
			    "digits, '-' and '_') or its URL",
			    options->interruption_queue);
	if (options->mode == MODE_ACT && !problems->errors && !run->documents.policies.count)
		problem_add(problems, option_where(options, "mode"),
			    "found \"act\" and no policy, expected a HorizontalPodAutoscaler in "
			    "the directory that --config names");
}

/* Everything that can be wrong before anything is touched. */
static int check(struct run *run)
{
	_cleanup_(problems_free)
	struct problems problems = {0};

	if (run->role == ROLE_AGENT)
		agent_check(run, &problems);
	else
		read_policies(run, &problems);
	if (run->role == ROLE_CORE)
		core_check(run, &problems);
	problems_print(&problems, stderr);
	if (problems.errors)
		return -EINVAL;
	if (run->role != ROLE_AGENT && !run->options->config)
		log_info("no policies: signals only (--config DIR reads policies)");
	return 0;
}

void wait_for_answer(struct run *run)
{
	uint64_t until_ns = time_mono_ns() + ANSWER_WAIT_NS;

	while (!run->asked && time_mono_ns() < until_ns)
		loop_round(run->loop, 50);
}

void pat_watchdog(struct run *run, uint64_t now_ns)
{
	if (!run->watchdog_ns || now_ns < run->watchdog_at_ns)
		return;
	run->watchdog_at_ns = now_ns + run->watchdog_ns;
	notify_send("WATCHDOG=1");
}

static void on_stop_signal(void *arg, int signo)
{
	struct run *run = arg;

	log_info("stopping on %s", signo == SIGINT ? "SIGINT" : "SIGTERM");
	loop_quit(run->loop, EXIT_DONE);
}

static void on_reload_signal(void *arg, int signo)
{
	struct run *run = arg;

	(void)signo;
	agent_side_reload(run);
	agents_reload(run);
	if (run->role != ROLE_AGENT)
		log_warning("SIGHUP: reading the documents again is not supported: restart "
			    "forerun; the journal keeps what was decided");
}

static void on_duration(void *arg, uint64_t now_ns)
{
	struct run *run = arg;

	(void)now_ns;
	loop_quit(run->loop, EXIT_DONE);
}

static int open_loop(struct run *run)
{
	int r = loop_new(&run->loop);

	if (r == 0)
		r = loop_signal(run->loop, SIGINT, on_stop_signal, run);
	if (r == 0)
		r = loop_signal(run->loop, SIGTERM, on_stop_signal, run);
	if (r == 0)
		r = loop_signal(run->loop, SIGHUP, on_reload_signal, run);
	if (r == 0 && run->options->duration_ns)
		r = loop_timer_new(run->loop, on_duration, run, &run->stop_timer);
	if (r == 0)
		r = http_client_new(run->loop, &run->http);
	if (r < 0)
		log_error("cannot prepare the event loop: %s", strerror(-r));
	run->watchdog_ns = notify_watchdog_ns();
	return r;
}

static int open_record(struct run *run)
{
	if (!run->options->record)
		return 0;
	run->record = fopen(run->options->record, "we");
	if (run->record)
		return 0;
	log_error("%s: cannot write the recording %s: %s", option_where(run->options, "record"),
		  run->options->record, strerror(errno));
	return -errno;
}

/* Each agent is a descriptor of the core, and the usual soft limit is 1,024. */
static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warning("cannot raise the limit of open files: %s", strerror(errno));
}

static void gather_facts(struct run *run)
{
	run->facts = (struct facts){.role = run->role,
				    .options = run->options,
				    .host = run->host,
				    .started = run->started,
				    .signal = run->signal,
				    .core = run->core,
				    .cloud = run->core ? run->cloud : NULL,
				    .lease = run->lease,
				    .server = run->agents,
				    .connections = run->connections,
				    .connections_count = run->links_count};
	if (!run->signal)
		return;
	run->facts.health = &run->health;
	run->facts.sampled_ns = &run->sampled_ns;
	run->facts.tick_overruns = &run->tick_overruns;
}

static int start_parts(struct run *run)
{
	int r = open_loop(run);

	if (r == 0)
		r = open_record(run);
	if (r == 0 && run->role != ROLE_AGENT)
		r = core_side_start(run);
	if (r == 0 && run->role == ROLE_CORE)
		r = agents_start(run);
	if (r == 0 && run->role == ROLE_AGENT)
		r = agent_side_start(run);
	if (r == 0 && run->role != ROLE_CORE)
		r = feed_start(run);
	if (r == 0 && run->role != ROLE_AGENT)
		r = lead_start(run);
	gather_facts(run);
	if (r == 0)
		r = serve_start(run->loop, &run->facts, &run->server);
	if (r == 0)
		r = report_start(run);
	return r;
}

static int start(struct run *run)
{
	char state[64];
	int r = start_parts(run);

	if (r < 0)
		return r;
	if (run->core)
		core_side_go(run);
	/* From here: loading the programs takes longer on a busy host. */
	if (run->stop_timer)
		loop_timer_at(run->stop_timer, time_mono_ns() + run->options->duration_ns);
	if (run->server)
		log_info("serving http on port %u: /metrics /healthz /readyz /v1/%s",
			 http_server_port(run->server),
			 run->role == ROLE_AGENT ? "signals" : "decisions");
	snprintf(state, sizeof(state), "READY=1\nSTATUS=%s",
		 run->role == ROLE_AGENT	  ? "reporting"
		 : run->options->mode == MODE_ACT ? "act mode"
						  : "observe mode");
	notify_send(state);
	return 0;
}

static void stop(struct run *run)
{
	notify_send("STOPPING=1");
	report_stop(run);
	http_server_free(run->server);
	feed_stop(run);
	agents_stop(run);
	lead_stop(run);
	agent_side_stop(run);
	core_side_stop(run);
	http_client_free(run->http);
	close_file(&run->record);
	loop_timer_free(run->stop_timer);
	loop_free(run->loop);
	documents_free(&run->documents);
}

int run_as(struct options *options, enum role role)
{
	struct run run = {
		.role = role, .options = options, .format = (enum output_format)options->format};
	int r;

	signal(SIGPIPE, SIG_IGN);
	if (role == ROLE_CORE)
		raise_descriptors();
	run.started = time_now();
	host_name(run.host, sizeof(run.host));
	if (check(&run) < 0) {
		agent_side_stop(&run);
		documents_free(&run.documents);
		return EXIT_USAGE;
	}
	r = start(&run);
	if (r == 0)
		r = loop_run(run.loop);
	stop(&run);
	return r < 0 ? EXIT_FAILED : r;
}

int command_run(struct options *options)
{
	if (options->check)
		return command_check(options);
	return run_as(options, ROLE_RUN);
}
