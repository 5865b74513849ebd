/* SPDX-License-Identifier: Apache-2.0 */
/* The writes of a lease: one at a time, each under its condition, none behind another call. */
#include "cloud/lease.h"

#define ACQUIRE_TRIES 3
#define STATE_BYTES_MAX 350000 /* an item may have 400 KB */

void lease_write_ended(struct lease *lease)
{
	/* Until it is confirmed nobody knows which state the item has. */
	if (lease->write.with_state)
		lease->state_hash = 0;
	free(lease->write.body);
	lease->write = (struct lease_write){0};
}

/* The write had its effect; state is what the item had, of an acquisition. */
static void confirm(struct lease *lease, const char *state)
{
	struct lease_write write = lease->write;
	bool acquired = write.kind == WRITE_ACQUIRE;
	struct lease_item mine = lease->seen;

	lease->write.body = NULL;
	free(write.body);
	lease_write_ended(lease);
	mine.there = true;
	mine.epoch = write.epoch;
	mine.ttl_ms = lease->config.ttl_ns / NS_PER_MS;
	set_text(mine.rvn, write.rvn);
	set_text(mine.holder, write.kind == WRITE_RELEASE ? "" : lease->config.holder);
	lease_observe(lease, &mine);
	if (write.kind == WRITE_RELEASE || (!acquired && !lease->held))
		return;
	lease->confirmed_ns = lease_clock_ns();
	lease->renewed_ns = write.began_ns;
	lease->until_ns = write.began_ns + lease->config.ttl_ns - lease->config.ttl_ns / 10;
	lease->state_hash = acquired ? 0 : write.state_hash;
	set_text(lease->rvn, write.rvn);
	lease->renewals += !acquired;
	if (write.with_state && lease->events.stored)
		lease->events.stored(lease->events.arg);
	if (!acquired || lease->confirmed_ns >= lease->until_ns)
		return;
	lease->held = true;
	lease->epoch = write.epoch;
	classes_lead(lease->cloud);
	lease->events.acquired(lease->events.arg, write.epoch, state ? state : "");
}

/* The condition failed: somebody else has it, or an earlier try of this write had its effect. */
static void refused(struct lease *lease, const struct answer *answer)
{
	enum write_kind kind = lease->write.kind;
	struct lease_item item = {0};
	char problem[CLOUD_TEXT_SIZE] = "";

	if (lease_item_read(answer->body, answer->length, &item, problem) < 0) {
		lease->renew_wanted = kind == WRITE_RENEW;
		lease->not_before_ns = lease_clock_ns() + lease->config.ttl_ns / 5;
		lease_write_ended(lease);
		lease_say(lease, lease->write_problem, problem);
		return;
	}
	if (item.there && strcmp(item.rvn, lease->write.rvn) == 0) {
		lease_note_pause(lease, &item);
		confirm(lease, item.state);
		lease_item_free(&item);
		lease_say(lease, lease->write_problem, "");
		return;
	}
	lease_write_ended(lease);
	/* That it was too late is an answer: writing works. */
	lease_say(lease, lease->write_problem, "");
	if (kind == WRITE_RENEW && strcmp(item.holder, lease->config.holder) == 0) {
		/* A write that was given up had its effect all the same: go on from it. */
		set_text(lease->rvn, item.rvn);
		lease->renew_wanted = true;
	} else if (kind == WRITE_RENEW) {
		lease_lose_to(lease, &item);
	}
	lease_observe(lease, &item);
}

/* DynamoDB takes the item with this state for too large: better without than without the lease. */
static bool state_refused(struct lease *lease, const struct answer *answer)
{
	if (!lease->write.with_state || strcmp(answer->code, "ValidationException") != 0)
		return false;
	lease->state_refused_bytes = lease->state_bytes;
	lease->renew_wanted = true;
	return true;
}

/* Once more at once, on another connection, then a little later each time. */
static void write_later(struct lease *lease, const struct answer *answer)
{
	char problem[CLOUD_TEXT_SIZE];

	lease->failures++;
	lease_problem(lease->cloud, lease->config.table, answer, problem);
	lease_say(lease, lease->write_problem, problem);
	lease->write.waiting = true;
	lease->write.again_ns = lease->write.tries > 1
					? lease_clock_ns() + lease->config.ttl_ns / 20
					: lease_clock_ns();
}

static void write_failed(struct lease *lease, const struct answer *answer)
{
	char problem[CLOUD_TEXT_SIZE];

	lease->failures++;
	lease->not_before_ns = lease_clock_ns() + lease->config.ttl_ns / 5;
	lease->write_late = answer->error == -EAGAIN;
	lease_problem(lease->cloud, lease->config.table, answer, problem);
	lease_say(lease, lease->write_problem, problem);
	lease_write_ended(lease);
}

/* A renewal as long as there is something to renew. */
static bool goes_again(const struct lease *lease, const struct answer *answer)
{
	if (lease->write.kind == WRITE_RENEW)
		return lease->held;
	return lease->write.kind == WRITE_ACQUIRE && answer->error == -EAGAIN &&
	       lease->write.tries < ACQUIRE_TRIES;
}

static void on_write(void *arg, const struct answer *answer)
{
	struct lease *lease = arg;
	struct lease_item item = {0};
	char problem[CLOUD_TEXT_SIZE] = "";

	if (!answer->error) {
		if (lease->write.kind == WRITE_ACQUIRE)
			lease_item_read(answer->body, answer->length, &item, problem);
		if (item.there)
			lease_note_pause(lease, &item);
		confirm(lease, item.state);
		lease_item_free(&item);
		lease_say(lease, lease->write_problem, "");
	} else if (strcmp(answer->code, "ConditionalCheckFailedException") == 0) {
		refused(lease, answer);
	} else if (state_refused(lease, answer)) {
		lease_write_ended(lease);
	} else if (goes_again(lease, answer)) {
		write_later(lease, answer);
	} else {
		write_failed(lease, answer);
	}
	lease_step(lease);
}

void lease_write_again(struct lease *lease)
{
	lease->write.waiting = false;
	call_send(lease->cloud,
		  &(struct call_request){
			  .service = SERVICE_DYNAMODB,
			  .target = "DynamoDB_20120810.UpdateItem",
			  .body = lease->write.body,
			  .flags = CALL_JSON | (lease->write.tries++ ? CALL_FRESH : 0),
			  .timeout_ms = lease_try_ms(lease),
			  .done = on_write,
			  .arg = lease,
		  });
}

static bool too_large(struct lease *lease, const struct text *state)
{
	bool is = state->length > STATE_BYTES_MAX ||
		  (lease->state_refused_bytes && state->length >= lease->state_refused_bytes);

	if (is && !lease->state_too_large)
		log_error("lock table %s: the state (%zu bytes) does not fit an item and is left "
			  "out: nothing is launched",
			  lease->config.table, state->length);
	lease->state_too_large = is;
	return is;
}

/* The state, when it is not in the item yet. The caller frees. */
static char *state_to_write(struct lease *lease, uint64_t *hash)
{
	struct text state = {0};

	*hash = lease->state_hash;
	if (!lease->events.state)
		return NULL;
	lease->events.state(lease->events.arg, &state);
	if (too_large(lease, &state)) {
		text_free(&state);
		return NULL;
	}
	*hash = state.length ? hash_bytes(state.data, state.length) : 0;
	if (!state.length || *hash == lease->state_hash) {
		if (state.length && lease->events.stored)
			lease->events.stored(lease->events.arg);
		text_free(&state);
		return NULL;
	}
	lease->state_bytes = state.length;
	return text_take(&state);
}

void lease_write_begin(struct lease *lease, enum write_kind kind)
{
	struct lease_write *write = &lease->write;
	_cleanup_free_ char *state = NULL;
	_cleanup_text_ struct text body = {0};
	struct lease_update update = {.rvn = write->rvn,
				      .ttl_ms = lease->config.ttl_ns / NS_PER_MS,
				      .holder = kind == WRITE_RELEASE ? "" : lease->config.holder,
				      .return_item = kind == WRITE_ACQUIRE};

	*write = (struct lease_write){.busy = true, .kind = kind, .began_ns = lease_clock_ns()};
	snprintf(write->rvn, sizeof(write->rvn), "%016llx%016llx", (unsigned long long)random_u64(),
		 (unsigned long long)random_u64());
	if (kind == WRITE_ACQUIRE) {
		update.if_absent = !lease->seen.there;
		update.if_rvn = lease->seen.there ? lease->seen.rvn : NULL;
		write->epoch = lease->seen.epoch + 1;
	} else {
		state = state_to_write(lease, &write->state_hash);
		update.if_holder = lease->config.holder;
		update.if_rvn = kind == WRITE_RENEW ? lease->rvn : NULL;
		write->epoch = lease->epoch;
	}
	update.state = state;
	write->with_state = state != NULL;
	update.epoch = write->epoch;
	lease_update_body(&lease->config, &update, &body);
	write->body = text_take(&body);
	lease->renew_wanted = false;
	lease_write_again(lease);
}
