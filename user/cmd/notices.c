/* SPDX-License-Identifier: Apache-2.0 */
/* What EC2 says of this host's end: into the log, and in a frame of its own to every core. */
#include "cmd/run.h"

static void tell(const struct run *run, const struct notice *notice)
{
	char when[TIME_TEXT_SIZE] = "time not said";

	if (notice->when_wall_ms)
		time_format(notice->when_wall_ms * NS_PER_MS, when);
	log_warning("EC2 says of this host (%s): %s%s%s, %s%s", run->instance_id,
		    notice_kind_text(notice->kind), *notice->what ? " " : "", notice->what, when,
		    run->role == ROLE_RUN
			    ? "; agent and core are in this process: both end with the host"
			    : "");
}

static bool is_told(const struct run *run, const struct notice *notice)
{
	for (size_t i = 0; i < run->notices_count; i++)
		if (run->notices[i].kind == notice->kind &&
		    run->notices[i].age_ns == notice->age_ns)
			return true;
	return false;
}

static void on_changed(void *arg, const struct notice *notices, size_t count)
{
	struct run *run = arg;

	for (size_t i = 0; i < count; i++)
		if (!is_told(run, &notices[i]))
			tell(run, &notices[i]);
	run->notices_count = (uint32_t)count;
	memcpy(run->notices, notices, count * sizeof(*notices));
	feed_notices(run);
}

void notices_start(struct run *run)
{
	if (cloud_watch_notices(run->cloud, on_changed, run) < 0)
		log_warning("cannot watch the instance's metadata for its end: out of memory");
}

void notices_fill(const struct run *run, struct frame *frame, uint64_t now_ns)
{
	frame->notices_count = run->notices_count;
	for (size_t i = 0; i < run->notices_count; i++) {
		frame->notices[i] = run->notices[i];
		frame->notices[i].age_ns = now_ns - MIN(now_ns, run->notices[i].age_ns);
	}
}
