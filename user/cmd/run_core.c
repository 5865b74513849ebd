/* SPDX-License-Identifier: Apache-2.0 */
/* The core with its effects: the journal in the state directory, and the cloud. */
#include "cmd/run.h"
#include "kube/kube.h"

/* ---- core -> world ---- */

static int on_journal(void *arg, const char *json, size_t length, bool sync)
{
	struct run *run = arg;

	return journal_write(run->journal, json, length, sync);
}

static void on_launch(void *arg, const struct launch_order *order)
{
	struct run *run = arg;

	if (run->cloud)
		cloud_launch(run->cloud, order);
}

static void on_terminate(void *arg, const struct terminate_order *order)
{
	struct run *run = arg;

	if (run->cloud)
		cloud_terminate(run->cloud, order);
}

static void on_mark(void *arg, const struct mark_order *order)
{
	struct run *run = arg;

	if (run->cloud)
		cloud_mark(run->cloud, order);
}

static void on_targets(void *arg, const struct target_order *order)
{
	struct run *run = arg;

	if (run->cloud)
		cloud_targets(run->cloud, order);
}

static void on_stop(void *arg, const struct stop_order *order)
{
	struct run *run = arg;

	if (run->cloud)
		cloud_stop(run->cloud, order);
}

static void on_decided(void *arg, const struct decision *decision)
{
	report_decision(arg, decision->id);
}

static void on_braked(void *arg, enum brake brake, bool holds, const char *text)
{
	(void)arg;
	/* At every start, and no reason to look up. */
	if (brake == BRAKE_FIRST_OBSERVATION || brake == BRAKE_STANDBY)
		log_debug("brake %s %s: %s", brake_name(brake), holds ? "holds" : "lets go", text);
	else if (holds)
		log_warning("brake %s holds: %s", brake_name(brake), text);
	else
		log_info("brake %s holds nothing any more", brake_name(brake));
}

/* A moment later, behind what is called now. */
static void on_outdated(void *arg)
{
	lead_changed(arg);
}

static void on_core_timer(void *arg, uint64_t now_ns)
{
	struct run *run = arg;

	(void)now_ns;
	run->core_due_ns = core_tick(run->core, time_now());
	loop_timer_at(run->core_timer, run->core_due_ns);
}

void core_wanted(struct run *run, uint64_t at_ns)
{
	if (!run->core_timer || at_ns >= run->core_due_ns)
		return;
	run->core_due_ns = at_ns;
	loop_timer_at(run->core_timer, at_ns);
}

void core_poke(struct run *run)
{
	run->core_due_ns = 0;
	if (run->core_timer)
		loop_timer_at(run->core_timer, 0);
}

/* ---- cloud -> core ---- */

static void on_catalog(void *arg, const struct catalog *catalog)
{
	struct run *run = arg;

	core_catalog(run->core, catalog);
	core_poke(run);
}

static void on_class(void *arg, const struct class_view *view)
{
	struct run *run = arg;

	core_class(run->core, view);
	core_poke(run);
}

static void on_fleet(void *arg, const struct fleet_view *view)
{
	struct run *run = arg;

	core_fleet(run->core, view, time_now());
	core_poke(run);
}

static void on_launched(void *arg, const struct launch_result *result)
{
	struct run *run = arg;

	core_launched(run->core, result, time_now());
	lead_changed(run);
	core_poke(run);
}

static void on_terminated(void *arg, const struct terminate_result *result)
{
	struct run *run = arg;

	core_terminated(run->core, result, time_now());
	core_poke(run);
}

static void on_marked(void *arg, const struct mark_result *result)
{
	struct run *run = arg;

	core_marked(run->core, result, time_now());
	core_poke(run);
}

static void on_targets_told(void *arg, const struct target_result *result)
{
	struct run *run = arg;

	core_targets(run->core, result, time_now());
	core_poke(run);
}

static bool on_noticed(void *arg, const char *instance_id, const struct notice *notice)
{
	struct run *run = arg;
	bool taken = core_notice(run->core, instance_id, notice, NOTICE_BY_QUEUE, time_now());

	core_poke(run);
	return taken;
}

static bool on_state_changed(void *arg, const char *instance_id, enum instance_state state)
{
	struct run *run = arg;
	bool taken = core_instance_state(run->core, instance_id, state, time_now());

	core_poke(run);
	return taken;
}

static void on_stopped(void *arg, const struct stop_result *result)
{
	struct run *run = arg;

	core_stopped(run->core, result, time_now());
	core_poke(run);
}

/* ---- what must be known before the core starts ---- */

static void on_whoami(void *arg, const char *instance_id, const char *instance_type,
		      const char *zone)
{
	struct run *run = arg;

	run->asked = true;
	if (!instance_id[0])
		return;
	snprintf(run->instance_id, sizeof(run->instance_id), "%s", instance_id);
	log_info("this host is %s (%s in %s)%s", instance_id, instance_type, zone,
		 run->role == ROLE_RUN ? ": it counts as one replica" : "");
	if (run->role == ROLE_RUN)
		notices_start(run);
}

static void on_version(void *arg, const char *version, const char *error)
{
	struct run *run = arg;

	run->asked = true;
	if (version)
		snprintf(run->cluster_version, sizeof(run->cluster_version), "%s", version);
	else
		log_warning("cannot read the cluster's version: %s; give --cluster-version for the "
			    "EKS-optimised image",
			    error);
}

/* Only where forerun itself runs in a pod and was not told. */
static void find_cluster_version(struct run *run)
{
	struct kube_config config = {0};
	struct kube *kube = NULL;

	if (run->options->cluster_version) {
		snprintf(run->cluster_version, sizeof(run->cluster_version), "%s",
			 run->options->cluster_version);
		return;
	}
	if (kube_new(run->http, &config, &kube) < 0)
		return;
	run->asked = false;
	if (kube_server_version(kube, on_version, run) == 0)
		wait_for_answer(run);
	kube_free(kube);
}

static int open_cloud(struct run *run)
{
	struct cloud_events events = {.arg = run,
				      .catalog = on_catalog,
				      .class_resolved = on_class,
				      .fleet = on_fleet,
				      .launched = on_launched,
				      .terminated = on_terminated,
				      .marked = on_marked,
				      .targets = on_targets_told,
				      .noticed = on_noticed,
				      .state_changed = on_state_changed,
				      .stopped = on_stopped,
				      .may_act = lead_may_act};
	struct cloud_config config;
	int r;

	if (!run->documents.classes.count && !run->options->lock_table)
		return 0;
	cloud_config_default(&config);
	config.region = run->options->region;
	config.name = run->options->name;
	cluster_from_options(run->options, &config);
	config.cache_path = run->options->state_dir;
	config.read_only = run->options->mode == MODE_OBSERVE;
	config.cluster_version = run->cluster_version[0] ? run->cluster_version : NULL;
	r = cloud_new(run->loop, run->http, &config, &run->documents, &events, &run->cloud);
	if (r < 0 && run->options->mode == MODE_OBSERVE && !run->options->lock_table) {
		log_warning("cannot prepare the AWS client: %s; observing without it",
			    strerror(-r));
		return 0;
	}
	if (r < 0) {
		log_error("cannot prepare the AWS client: %s", strerror(-r));
		return r;
	}
	run->asked = false;
	cloud_whoami(run->cloud, on_whoami, run);
	wait_for_answer(run);
	return 0;
}

static int open_core(struct run *run)
{
	struct core_effects effects = {.arg = run,
				       .journal = on_journal,
				       .launch = on_launch,
				       .terminate = on_terminate,
				       .decided = on_decided,
				       .braked = on_braked,
				       .mark = on_mark,
				       .targets = on_targets,
				       .outdated = on_outdated,
				       .stop = on_stop};
	struct core_config config = {.mode = (enum core_mode)run->options->mode,
				     .fleet = run->role == ROLE_CORE,
				     .standby = run->options->lock_table != NULL,
				     .spot_to_spot = run->options->spot_to_spot};

	limits_from_options(run->options, &config.limits);
	memcpy(config.host, run->host, sizeof(config.host));
	memcpy(config.instance_id, run->instance_id, sizeof(config.instance_id));
	snprintf(config.owner, sizeof(config.owner), "%s", run->options->name);
	return core_new(&config, &run->documents, &effects, &run->core);
}

int core_side_start(struct run *run)
{
	int r;

	find_cluster_version(run);
	r = open_cloud(run);
	if (r < 0)
		return r;
	r = open_core(run);
	if (r < 0)
		return r;
	return journal_open(run->loop, run->options->state_dir, run->core, &run->journal);
}

void core_side_go(struct run *run)
{
	if (loop_timer_new(run->loop, on_core_timer, run, &run->core_timer) < 0)
		return;
	if (run->cloud)
		cloud_start(run->cloud);
	if (run->cloud && run->options->interruption_queue)
		cloud_watch_queue(run->cloud, run->options->interruption_queue);
	core_start(run->core, time_now());
	core_poke(run);
}

void core_side_stop(struct run *run)
{
	loop_timer_free(run->core_timer);
	cloud_free(run->cloud);
	journal_close(run->journal);
	core_free(run->core);
}
