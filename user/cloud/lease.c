/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leadership as a lease: one item of a DynamoDB table, written under a condition each time.
 *
 * No clock of two hosts is compared. The holder trusts its lease from the moment in which it began
 * a write that succeeded, for the ttl less a tenth. A standby takes it when the version has not
 * changed for a whole ttl since it first saw that version, which was after that write. Both measure
 * on their own CLOCK_BOOTTIME, which goes on while a host sleeps; the tenth is for clocks that do
 * not run equally fast, and for the way from the question to the wire.
 *
 * A write without an answer goes out again with the same bytes: when it had its effect the
 * condition fails, and the item that comes with the failure has its version.
 */
#include "cloud/lease.h"

#include <time.h>

#define TTL_NS (5 * NS_PER_S)
#define TTL_LEAST_NS (100 * NS_PER_MS)
#define TTL_MOST_NS (60 * NS_PER_S)
#define WATCH_NS (100 * NS_PER_MS)
#define HOLDER_WATCH_NS (500 * NS_PER_MS) /* the holder looks whether it is paused */
#define SLOW_NS (2 * NS_PER_S)

uint64_t lease_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint32_t lease_try_ms(const struct lease *lease)
{
	return (uint32_t)(lease->config.ttl_ns / 5 / NS_PER_MS);
}

bool lease_held(const struct lease *lease)
{
	return lease->held && !lease->ending && lease_clock_ns() < lease->until_ns;
}

void lease_say(struct lease *lease, char known[CLOUD_TEXT_SIZE], const char *problem)
{
	size_t code = strcspn(problem, ":");

	if (*problem && (strncmp(known, problem, code) != 0 || known[code] != ':'))
		log_error("lock table %s: %s", lease->config.table, problem);
	fit_text(known, CLOUD_TEXT_SIZE, problem);
}

/* ---- what the item says ---- */

void lease_note_pause(struct lease *lease, const struct lease_item *item)
{
	if (item->is_paused == lease->is_paused && strcmp(item->paused, lease->paused) == 0)
		return;
	lease->is_paused = item->is_paused;
	set_text(lease->paused, item->paused);
	if (lease->events.paused && !lease->ending)
		lease->events.paused(lease->events.arg, item->is_paused ? lease->paused : NULL);
}

/* Takes the item over. */
void lease_observe(struct lease *lease, struct lease_item *item)
{
	if (!lease->known || item->there != lease->seen.there ||
	    strcmp(item->rvn, lease->seen.rvn) != 0)
		lease->seen_ns = lease_clock_ns();
	lease->known = true;
	lease_item_free(&lease->seen);
	lease->seen = *item;
	free(TAKE(lease->seen.state));
	*item = (struct lease_item){0};
	lease_note_pause(lease, &lease->seen);
}

void lease_lose(struct lease *lease, const char *format, ...)
{
	char why[CLOUD_TEXT_SIZE];
	va_list args;

	if (!lease->held)
		return;
	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	lease->held = false;
	lease->renew_wanted = false;
	lease->state_hash = 0;
	if (!lease->ending)
		lease->events.lost(lease->events.arg, why);
}

void lease_lose_to(struct lease *lease, const struct lease_item *item)
{
	if (!item->there)
		lease_lose(lease, "the item %s was deleted", lease->config.name);
	else
		lease_lose(lease, "%s has it (epoch %llu)", *item->holder ? item->holder : "nobody",
			   (unsigned long long)item->epoch);
}

/* ---- reading ---- */

static void on_read(void *arg, const struct answer *answer)
{
	struct lease *lease = arg;
	struct lease_item item = {0};
	char problem[CLOUD_TEXT_SIZE] = "";

	lease->reading = false;
	lease->read_slowly = answer->error && answer->error != -EAGAIN;
	if (answer->error) {
		lease->failures++;
		lease_problem(lease->cloud, lease->config.table, answer, problem);
	} else if (lease_item_read(answer->body, answer->length, &item, problem) == 0) {
		/* What was asked before the lease was taken or renewed may be older than that. */
		if (lease->held && lease->read_began_ns > lease->confirmed_ns &&
		    strcmp(item.holder, lease->config.holder) != 0)
			lease_lose_to(lease, &item);
		/* It answers again; a standby has nothing to write that would show it. */
		if (lease->write_late && !lease->held)
			lease_say(lease, lease->write_problem, "");
		lease->write_late = false;
		lease_observe(lease, &item);
	}
	lease_say(lease, lease->read_problem, problem);
	lease_step(lease);
}

static void read_item(struct lease *lease)
{
	_cleanup_text_ struct text body = {0};

	lease->reading = true;
	lease->read_began_ns = lease_clock_ns();
	lease_read_body(&lease->config, &body);
	call_send(lease->cloud, &(struct call_request){
					.service = SERVICE_DYNAMODB,
					.target = "DynamoDB_20120810.GetItem",
					.body = body.data,
					.flags = CALL_JSON,
					.timeout_ms = lease_try_ms(lease),
					.done = on_read,
					.arg = lease,
				});
}

/* ---- what is to be done now ---- */

/* When it may be taken, as far as is known; UINT64_MAX: not known. */
static uint64_t free_at(const struct lease *lease)
{
	uint64_t ttl_ns = lease->config.ttl_ns;

	if (!lease->known)
		return UINT64_MAX;
	if (!lease->seen.there || !*lease->seen.holder ||
	    strcmp(lease->seen.holder, lease->config.holder) == 0)
		return lease->not_before_ns;
	if (lease->seen.ttl_ms <= TTL_MOST_NS / NS_PER_MS)
		ttl_ns = MAX(ttl_ns, lease->seen.ttl_ms * NS_PER_MS);
	return MAX(lease->seen_ns + ttl_ns, lease->not_before_ns);
}

static uint64_t read_at(const struct lease *lease)
{
	uint64_t every_ns = lease->config.watch_every_ns;

	if (lease->reading)
		return UINT64_MAX;
	if (lease->held)
		every_ns = MAX(every_ns, MIN(lease->config.renew_every_ns, HOLDER_WATCH_NS));
	if (lease->read_slowly)
		every_ns = MAX(every_ns, SLOW_NS);
	return lease->read_began_ns ? lease->read_began_ns + every_ns : 0;
}

/* One item takes 1,000 write units a second, a unit for each KB of it at each write: half of that
 * is left alone, so that a large state does not get its own renewals throttled. */
static uint64_t least_apart_ns(const struct lease *lease)
{
	uint64_t apart_ns = lease->state_bytes * NS_PER_S / ((uint64_t)500 << 10);

	return MIN(apart_ns, lease->config.renew_every_ns);
}

static uint64_t write_at(const struct lease *lease)
{
	if (lease->write.busy)
		return lease->write.waiting ? lease->write.again_ns : UINT64_MAX;
	if (!lease->held)
		return free_at(lease);
	return lease->renewed_ns +
	       (lease->renew_wanted ? least_apart_ns(lease) : lease->config.renew_every_ns);
}

static void write_now(struct lease *lease)
{
	if (!lease->write.busy)
		lease_write_begin(lease, lease->held ? WRITE_RENEW : WRITE_ACQUIRE);
	else if (lease->write.kind == WRITE_RENEW && !lease->held)
		lease_write_ended(lease); /* it was lost meanwhile */
	else
		lease_write_again(lease);
}

void lease_step(struct lease *lease)
{
	uint64_t now_ns = lease_clock_ns(), next_ns;

	if (lease->ending)
		return;
	if (lease->held && now_ns >= lease->until_ns)
		lease_lose(lease, "no renewal came through in time%s%s",
			   *lease->write_problem ? ": " : "", lease->write_problem);
	if (now_ns >= read_at(lease))
		read_item(lease);
	if (now_ns >= write_at(lease))
		write_now(lease);
	next_ns = MIN(read_at(lease), write_at(lease));
	if (lease->held)
		next_ns = MIN(next_ns, lease->until_ns);
	now_ns = lease_clock_ns();
	if (next_ns != UINT64_MAX)
		loop_timer_at(lease->timer, time_mono_ns() + (next_ns - MIN(next_ns, now_ns)));
}

static void on_timer(void *arg, uint64_t now_ns)
{
	(void)now_ns;
	lease_step(arg);
}

void lease_renew_now(struct lease *lease)
{
	if (!lease->held || lease->ending)
		return;
	lease->renew_wanted = true;
	if (!lease->write.busy)
		loop_timer_at(lease->timer, 0); /* lease_step() knows when it is due */
}

/* ---- life ---- */

static int copy_config(struct lease *lease, const struct lease_config *config)
{
	lease->config = *config;
	if (!is_table_name(config->table) || !config->name || !*config->name || !config->holder ||
	    !*config->holder || strlen(config->holder) >= LEASE_HOLDER_SIZE)
		return -EINVAL;
	lease->config.table = lease->table = strdup(config->table);
	lease->config.name = lease->name = strdup(config->name);
	lease->config.holder = lease->holder = strdup(config->holder);
	if (!lease->table || !lease->name || !lease->holder)
		return -ENOMEM;
	if (!config->ttl_ns)
		lease->config.ttl_ns = TTL_NS;
	if (!config->renew_every_ns)
		lease->config.renew_every_ns = lease->config.ttl_ns / 3;
	if (!config->watch_every_ns)
		lease->config.watch_every_ns = WATCH_NS;
	if (lease->config.ttl_ns < TTL_LEAST_NS || lease->config.ttl_ns > TTL_MOST_NS ||
	    lease->config.renew_every_ns > lease->config.ttl_ns / 2)
		return -EINVAL;
	return 0;
}

static void release_memory(struct lease *lease)
{
	calls_forget(lease->cloud, lease);
	if (lease->timer)
		loop_timer_free(lease->timer);
	lease_write_ended(lease);
	lease_item_free(&lease->seen);
	free(lease->table);
	free(lease->name);
	free(lease->holder);
	free(lease);
}

int lease_new(struct cloud *cloud, const struct lease_config *config,
	      const struct lease_events *events, struct lease **out)
{
	struct lease *lease = calloc(1, sizeof(*lease));
	int r;

	if (!lease)
		return -ENOMEM;
	lease->cloud = cloud;
	lease->events = *events;
	r = copy_config(lease, config);
	if (r >= 0)
		r = loop_timer_new(cloud->loop, on_timer, lease, &lease->timer);
	if (r < 0) {
		release_memory(lease);
		return r;
	}
	loop_timer_at(lease->timer, 0);
	*out = lease;
	return 0;
}

/* What is on its way is dropped: its condition fails once the item is given up. */
static void give_up(struct lease *lease)
{
	uint64_t until_ns = lease_clock_ns() + MIN(lease->config.ttl_ns / 2, NS_PER_S);

	lease->ending = true;
	loop_timer_stop(lease->timer);
	calls_forget(lease->cloud, lease);
	lease_write_ended(lease);
	lease_write_begin(lease, WRITE_RELEASE);
	while (lease->write.busy && lease_clock_ns() < until_ns)
		if (loop_round(lease->cloud->loop, 10) < 0)
			break;
	if (lease->write.busy)
		log_warning("lock table %s: could not give the lease up: a standby takes it in "
			    "%.1f s",
			    lease->config.table, (double)lease->config.ttl_ns / NS_PER_S);
}

void lease_free(struct lease *lease)
{
	if (!lease)
		return;
	if (lease->held)
		give_up(lease);
	release_memory(lease);
}

void lease_status(const struct lease *lease, struct lease_status *out)
{
	uint64_t now_ns = lease_clock_ns();

	*out = (struct lease_status){
		.held = lease_held(lease),
		.epoch = lease->held ? lease->epoch : lease->seen.epoch,
		.renewals = lease->renewals,
		.failures = lease->failures,
	};
	if (out->held)
		out->left_ns = lease->until_ns - MIN(now_ns, lease->until_ns);
	set_text(out->holder, lease->held ? lease->config.holder : lease->seen.holder);
	set_text(out->problem, *lease->write_problem ? lease->write_problem : lease->read_problem);
}
