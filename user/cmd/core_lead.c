/* SPDX-License-Identifier: Apache-2.0 */
/* Who acts, and whether: the lease that one of several cores holds, and the pause. */
#include <unistd.h>

#include "cmd/run.h"

#define PAUSE_EVERY_NS NS_PER_S
#define PAUSE_FILE_LIMIT (1U << 16)

/* The first observation of a new leader acts on nothing, and the second comes at least so much
 * later: so it is asked for, instead of waiting for what agents send by themselves. */
#define SECOND_LOOK_NS (110 * NS_PER_MS)

/* ---- the lease ---- */

/* After a standstill a call may come before the look: the file counts all the same. */
static bool pause_unseen(const struct run *run)
{
	return time_mono_ns() > run->pause_looked_ns + PAUSE_EVERY_NS + PAUSE_EVERY_NS / 2 &&
	       access(run->pause_file, F_OK) == 0;
}

bool lead_may_act(void *arg)
{
	const struct run *run = arg;

	if (run->pause_why || run->lock_pause_why || pause_unseen(run))
		return false;
	if (!run->options->lock_table)
		return true;
	return run->lease && lease_held(run->lease);
}

void lead_changed(struct run *run)
{
	if (run->lease && lease_held(run->lease))
		lease_renew_now(run->lease);
}

static void on_second_look(void *arg, uint64_t now_ns)
{
	struct run *run = arg;

	(void)now_ns;
	if (run->agents)
		wire_server_poll(run->agents);
}

static void on_acquired(void *arg, uint64_t epoch, const char *state)
{
	struct run *run = arg;
	char reason[160] = "";
	int r = core_lead(run->core, epoch, state, time_now(), reason);

	if (r < 0) {
		log_error("cannot lead: what the leader before left in the table %s: %s; nothing "
			  "is launched or terminated: end all cores, and remove the item's "
			  "attribute \"state\" once no instance is on its way",
			  run->options->lock_table, reason[0] ? reason : strerror(-r));
		loop_quit(run->loop, EXIT_FAILED);
		return;
	}
	run->standing_by = false;
	log_info("leading with epoch %llu", (unsigned long long)epoch);
	notify_send("STATUS=leading");
	lead_changed(run); /* nothing may be launched before it has left word */
	cloud_describe_now(run->cloud);
	wire_server_poll(run->agents);
	loop_timer_at(run->poll_timer, time_mono_ns() + SECOND_LOOK_NS);
	core_poke(run);
}

static void on_lease_lost(void *arg, const char *why)
{
	struct run *run = arg;

	core_yield(run->core, why, time_now());
	run->standing_by = true;
	log_warning("not leading any more: %s", why);
	notify_send("STATUS=standing by");
	core_poke(run);
}

static void on_state(void *arg, struct text *out)
{
	struct run *run = arg;

	/* The lease that is being given up is not ours to act on any more. */
	core_state_write(run->core, !run->lease, out);
}

static void on_stored(void *arg)
{
	struct run *run = arg;

	core_state_stored(run->core);
	core_poke(run);
}

/* From now on it pauses, or for another reason, or not any more; true when that is new. */
static bool pause_changes(char **now, const char *why, const char *from)
{
	if ((!why && !*now) || str_equal(why, *now))
		return false;
	free(*now);
	*now = why ? strdup(why) : NULL;
	if (why)
		log_warning("paused by %s, nothing is launched or terminated: %s", from, why);
	else
		log_info("the pause by %s is over", from);
	return true;
}

static void on_lock_paused(void *arg, const char *why)
{
	struct run *run = arg;

	if (!pause_changes(&run->lock_pause_why, why, run->options->lock_table))
		return;
	core_pause(run->core, "lock", why, time_now());
	core_poke(run);
}

static int open_lease(struct run *run)
{
	struct lease_events events = {.arg = run,
				      .acquired = on_acquired,
				      .lost = on_lease_lost,
				      .state = on_state,
				      .stored = on_stored,
				      .paused = on_lock_paused};
	int r = loop_timer_new(run->loop, on_second_look, run, &run->poll_timer);

	if (r < 0)
		return r;
	/* Unique for each process, also on the same host and with the same number again. */
	snprintf(run->holder, sizeof(run->holder), "%.36s/%d/%llx", run->host, getpid(),
		 (unsigned long long)run->started.wall_ns);
	run->lease_config = (struct lease_config){.table = run->options->lock_table,
						  .name = run->options->name,
						  .holder = run->holder,
						  .ttl_ns = run->options->lease_ns,
						  .renew_every_ns = run->options->lease_ns / 3,
						  .watch_every_ns = 100 * NS_PER_MS};
	run->standing_by = true;
	r = lease_new(run->cloud, &run->lease_config, &events, &run->lease);
	if (r < 0)
		log_error("cannot watch the table %s: %s", run->options->lock_table, strerror(-r));
	else
		log_info("standing by until the lease in the table %s is free",
			 run->options->lock_table);
	return r;
}

/* ---- the pause file ---- */

/* Why it pauses; NULL when the file is not there. One that cannot be read pauses, too. */
static char *read_pause(const char *path)
{
	_cleanup_free_ char *text = NULL;
	int r = file_read(path, PAUSE_FILE_LIMIT, &text, NULL);

	if (r == -ENOENT || r == -ENOTDIR)
		return NULL;
	if (r < 0)
		return str_printf("%s is there and cannot be read: %s", path, strerror(-r));
	text[strcspn(text, "\r\n")] = '\0';
	return text[0] ? TAKE(text) : str_printf("%s is there", path);
}

static void look_at_pause(struct run *run)
{
	_cleanup_free_ char *why = read_pause(run->pause_file);

	run->pause_looked_ns = time_mono_ns();
	if (!pause_changes(&run->pause_why, why, run->pause_file))
		return;
	core_pause(run->core, "file", why, time_now());
	core_poke(run);
}

static void on_pause_timer(void *arg, uint64_t now_ns)
{
	struct run *run = arg;

	look_at_pause(run);
	if (run->role == ROLE_CORE)
		pat_watchdog(run, now_ns);
	loop_timer_at(run->pause_timer, now_ns + PAUSE_EVERY_NS);
}

char *pause_path(const struct options *options)
{
	return options->pause_file ? strdup(options->pause_file)
				   : str_printf("%s/pause", options->state_dir);
}

int lead_start(struct run *run)
{
	int r = loop_timer_new(run->loop, on_pause_timer, run, &run->pause_timer);

	run->pause_file = pause_path(run->options);
	if (r == 0 && !run->pause_file)
		r = -ENOMEM;
	if (r < 0)
		return r;
	/* Before anything can act. */
	on_pause_timer(run, time_mono_ns());
	return run->options->lock_table ? open_lease(run) : 0;
}

void lead_stop(struct run *run)
{
	lease_free(TAKE(run->lease));
	loop_timer_free(run->poll_timer);
	loop_timer_free(run->pause_timer);
	free(TAKE(run->pause_file));
	free(TAKE(run->pause_why));
	free(TAKE(run->lock_pause_why));
}
