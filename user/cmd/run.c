/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `forerun run`: agent and core in one process, on one loop. Parts start from the bottom up, so
 * that nothing acts before everything that it would act on stands, and stop in the opposite order.
 */
#include <signal.h>
#include <unistd.h>

#include "cmd/run.h"

static int read_documents(struct run *run)
{
	_cleanup_(problems_free)
	struct problems problems = {0};
	const struct options *options = run->options;
	const char *where = option_where(options, "config");

	if (options->config)
		config_read(options->config, where, options->expand_env, &run->documents,
			    &problems);
	if (options->mode == MODE_ACT && !problems.errors && !run->documents.policies.count)
		problem_add(&problems, option_where(options, "mode"),
			    "found \"act\" and no policy, expected a HorizontalPodAutoscaler in "
			    "the directory that --config names");
	problems_print(&problems, stderr);
	if (problems.errors)
		return -EINVAL;
	if (!options->config)
		log_info("no policies: signals only (--config DIR reads policies)");
	return 0;
}

static void on_stop_signal(void *arg, int signo)
{
	struct run *run = arg;

	log_info("stopping on %s", signo == SIGINT ? "SIGINT" : "SIGTERM");
	loop_quit(run->loop, EXIT_DONE);
}

static void on_reload_signal(void *arg, int signo)
{
	(void)arg;
	(void)signo;
	log_warning("SIGHUP: reading the documents again is not supported: restart forerun; the "
		    "journal keeps what was decided");
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
	if (r < 0)
		log_error("cannot prepare the event loop: %s", strerror(-r));
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

static void gather_facts(struct run *run)
{
	run->facts = (struct facts){.role = ROLE_RUN,
				    .options = run->options,
				    .host = run->host,
				    .started = run->started,
				    .signal = run->signal,
				    .health = &run->health,
				    .sampled_ns = &run->sampled_ns,
				    .tick_overruns = &run->tick_overruns,
				    .core = run->core,
				    .cloud = run->cloud};
}

static int start(struct run *run)
{
	int r = open_loop(run);

	if (r == 0)
		r = open_record(run);
	if (r == 0)
		r = core_side_start(run);
	if (r == 0)
		r = feed_start(run);
	gather_facts(run);
	if (r == 0)
		r = serve_start(run->loop, &run->facts, &run->server);
	if (r == 0)
		r = report_start(run);
	if (r < 0)
		return r;
	core_side_go(run);
	/* From here: loading the programs takes longer on a busy host. */
	if (run->stop_timer)
		loop_timer_at(run->stop_timer, time_mono_ns() + run->options->duration_ns);
	if (run->server)
		log_info("serving http on port %u: /metrics /healthz /readyz /v1/signals "
			 "/v1/decisions",
			 http_server_port(run->server));
	notify_send(run->options->mode == MODE_ACT ? "READY=1\nSTATUS=act mode"
						   : "READY=1\nSTATUS=observe mode");
	return 0;
}

static void stop(struct run *run)
{
	notify_send("STOPPING=1");
	report_stop(run);
	http_server_free(run->server);
	feed_stop(run);
	core_side_stop(run);
	close_file(&run->record);
	loop_timer_free(run->stop_timer);
	loop_free(run->loop);
	documents_free(&run->documents);
}

int command_run(struct options *options)
{
	struct run run = {.options = options, .format = (enum output_format)options->format};
	int r;

	if (options->check)
		return command_check(options);
	signal(SIGPIPE, SIG_IGN);
	run.started = time_now();
	host_name(run.host, sizeof(run.host));
	if (read_documents(&run) < 0) {
		documents_free(&run.documents);
		return EXIT_USAGE;
	}
	r = start(&run);
	if (r == 0)
		r = loop_run(run.loop);
	stop(&run);
	return r < 0 ? EXIT_FAILED : r;
}
