/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each lane (one policy on its pool) numbers its launches 1, 2, 3 ..., and the number is in the
 * ClientToken: EC2 lets one launch alone have it. So a core asks under the lowest number that
 * nobody is known to have used; when somebody had, EC2 says so. And it asks only when all that was
 * launched under the numbers below is known: because this core was told, because EC2 shows it, or
 * because so much time has passed that EC2 would show it. docs/exactly-once.md has the argument.
 */
#include "core/core_private.h"

#define KEY_DIGITS 16

/* ---- lanes and their tokens ---- */

static uint64_t key_of(const struct core *core, const char *pool, const char *policy)
{
	char text[3 * CLOUD_NAME_SIZE];

	snprintf(text, sizeof(text), "%s/%s/%s", core->config.owner, pool, policy);
	return hash_text(text);
}

static struct lane *lane_find(const struct core *core, uint64_t key)
{
	return map_get(&core->lanes_by_key, key);
}

struct lane *lane_by_key(struct core *core, uint64_t key)
{
	struct lane *lane = lane_find(core, key);

	if (lane)
		return lane;
	lane = calloc(1, sizeof(*lane));
	if (!lane)
		abort();
	lane->key = key;
	lane->next = 1;
	*vec_push(&core->lanes) = lane;
	map_put(&core->lanes_by_key, key, lane);
	return lane;
}

struct lane *lane_of(struct core *core, const char *pool, const char *policy)
{
	struct lane *lane = lane_by_key(core, key_of(core, pool, policy));

	if (!*lane->policy) {
		set_text(lane->pool, pool);
		set_text(lane->policy, policy);
	}
	return lane;
}

void lane_free(struct lane *lane)
{
	vec_free(&lane->numbers);
	vec_free(&lane->instances);
	vec_free(&lane->orders);
	free(lane);
}

void lane_token(const struct lane *lane, uint64_t n, char *out, size_t size)
{
	snprintf(out, size, "fr-%016llx-%llu", (unsigned long long)lane->key,
		 (unsigned long long)n);
}

/* "fr-<16 hexadecimal digits>-<number>"; anything else is of the old kind. */
static bool token_parse(const char *token, uint64_t *key, uint64_t *n)
{
	char digits[KEY_DIGITS + 1];

	if (!str_starts(token, "fr-") || strspn(token + 3, "0123456789abcdef") != KEY_DIGITS ||
	    token[3 + KEY_DIGITS] != '-')
		return false;
	memcpy(digits, token + 3, KEY_DIGITS);
	digits[KEY_DIGITS] = '\0';
	*key = strtoull(digits, NULL, 16);
	return parse_u64(token + 4 + KEY_DIGITS, n) == 0 && *n > 0 && *n <= LANE_NUMBER_MAX;
}

struct lane *lane_of_token(const struct core *core, const char *token, uint64_t *n)
{
	uint64_t key;

	if (!token_parse(token, &key, n)) {
		*n = 0;
		return NULL;
	}
	return lane_find(core, key);
}

uint64_t visible_within(const struct core *core)
{
	return core->config.limits.visible_within_ns;
}

/* ---- numbers ---- */

static struct lane_number *number_make(struct lane *lane, uint64_t n, struct moment now)
{
	size_t at = 0, end = lane->numbers.count;

	while (at < end) {
		size_t middle = at + (end - at) / 2;

		if (lane->numbers.at[middle].n < n)
			at = middle + 1;
		else
			end = middle;
	}
	if (at < lane->numbers.count && lane->numbers.at[at].n == n)
		return &lane->numbers.at[at];
	vec_push(&lane->numbers);
	memmove(&lane->numbers.at[at + 1], &lane->numbers.at[at],
		(lane->numbers.count - 1 - at) * sizeof(lane->numbers.at[0]));
	lane->numbers.at[at] = (struct lane_number){.n = n,
						    .expected = COUNT_UNKNOWN,
						    .known_ns = now.mono_ns,
						    .known_wall_ns = now.wall_ns};
	return &lane->numbers.at[at];
}

static bool number_settled(const struct lane_number *number)
{
	return number->ended ||
	       (number->expected != COUNT_UNKNOWN && number->shown >= number->expected);
}

/* That EC2 shows it to this core does not mean that it shows it to every other one. */
static bool number_seen(const struct core *core, const struct lane_number *number,
			uint64_t asked_ns)
{
	return !number->expected || asked_ns > number->known_ns + visible_within(core);
}

/* What waiting settled has no entry, or one that is as old as that. */
static void lane_advance(const struct core *core, struct lane *lane, uint64_t asked_ns)
{
	size_t at = lane->numbers.count;
	uint64_t seen;

	/* They stand in their order, and most often only the newest is not settled yet. */
	while (at && lane->numbers.at[at - 1].n > lane->settled)
		at--;
	for (; at < lane->numbers.count; at++)
		if (lane->numbers.at[at].n == lane->settled + 1 &&
		    number_settled(&lane->numbers.at[at]))
			lane->settled++;
	seen = lane->settled;
	vec_for_each (number, &lane->numbers)
		if (number->n <= seen && !number_seen(core, number, asked_ns)) {
			seen = number->n - 1;
			break;
		}
	lane->seen = MAX(lane->seen, seen);
	while (lane->numbers.count && lane->numbers.at[0].n <= lane->seen)
		vec_remove(&lane->numbers, 0);
}

static bool has_gap(const struct lane *lane)
{
	return lane->blind || lane->settled + 1 < lane->next;
}

/* Only the time of a lead counts: what another core launches meanwhile is not known to us. */
static void lane_check(const struct core *core, struct lane *lane, struct moment now)
{
	if (!has_gap(lane)) {
		lane->wait_ns = lane->wait_wall_ns = 0;
		lane->lost = false;
		return;
	}
	if (!core->leads || (lane->wait_ns && lane->wait_to + 1 >= lane->next))
		return;
	lane->wait_ns = now.mono_ns;
	lane->wait_wall_ns = now.wall_ns;
	lane->wait_to = lane->next - 1;
}

/* This core was told what was launched under that number (0: of the old kind). */
void lane_ended(struct core *core, struct lane *lane, uint64_t n, uint32_t launched,
		struct moment now)
{
	struct lane_number *number;

	lane->known = true;
	lane->taken = 0;
	lane->next = MAX(lane->next, n + 1);
	if (n <= lane->seen)
		return;
	number = number_make(lane, n, now);
	number->known_ns = now.mono_ns;
	number->known_wall_ns = now.wall_ns;
	number->ended = number->exact = true;
	number->expected = launched;
	lane_advance(core, lane, 0);
	lane_check(core, lane, now);
}

/* Somebody used it. exact: and launched as many as expected. */
void lane_used(struct lane *lane, uint64_t n, uint32_t expected, bool exact, struct moment now)
{
	struct lane_number *number;

	lane->next = MAX(lane->next, n + 1);
	if (n <= lane->seen)
		return;
	number = number_make(lane, n, now);
	if (number->exact || expected == COUNT_UNKNOWN)
		return;
	number->exact = exact;
	number->expected = exact || number->expected == COUNT_UNKNOWN
				   ? expected
				   : MAX(number->expected, expected);
}

/* EC2 refused our launch because another has that number. When nothing had told of it, history was
 * lost: after the wait it goes on far above all that can have been used. */
void lane_taken(struct core *core, struct lane *lane, uint64_t n, struct moment now)
{
	lane_used(lane, n, COUNT_UNKNOWN, false, now);
	lane->lost |= !lane->known || lane->taken > 0;
	lane->taken++;
	lane_advance(core, lane, 0);
	lane_check(core, lane, now);
}

/* An order was made then under that number (0: of the old kind): so the lane was free, and all that
 * was launched below known. */
void lane_replay_order(const struct core *core, struct lane *lane, uint64_t n, uint64_t wall_ns)
{
	if (!n)
		return;
	lane->settled = MAX(lane->settled, n - 1);
	lane->next = MAX(lane->next, n);
	lane->known |= n > 1;
	lane->lost = false;
	lane->wait_wall_ns = 0;
	while (lane->numbers.count && lane->numbers.at[0].n <= lane->settled &&
	       lane->numbers.at[0].known_wall_ns + visible_within(core) < wall_ns) {
		lane->seen = lane->numbers.at[0].n;
		vec_remove(&lane->numbers, 0);
	}
}

void lane_replay_number(struct lane *lane, const struct lane_number *number)
{
	struct moment then = {0, number->known_wall_ns};

	if (number->n > lane->seen)
		*number_make(lane, number->n, then) = *number;
}

/* All numbers below next were used, and all up to seen are behind us. */
void lane_record(struct lane *lane, uint64_t next, uint64_t seen)
{
	lane->known = true;
	lane->next = MAX(lane->next, next);
	lane->settled = MAX(lane->settled, seen);
	lane->seen = MAX(lane->seen, seen);
	while (lane->numbers.count && lane->numbers.at[0].n <= lane->seen)
		vec_remove(&lane->numbers, 0);
}

/* One instance of a view. count: asked for in its call, 0 when it does not say. */
void lane_shown(struct lane *lane, uint64_t n, uint32_t count, struct moment now)
{
	if (n <= lane->seen)
		return;
	lane_used(lane, n, count ?: COUNT_UNKNOWN, false, now);
	number_make(lane, n, now)->showing++;
}

/* ---- the wait ---- */

static bool wait_over(const struct core *core, struct lane *lane, uint64_t asked_ns,
		      struct moment now)
{
	if (!lane->wait_ns || asked_ns <= lane->wait_ns + visible_within(core))
		return false;
	lane->settled = MAX(lane->settled, lane->wait_to);
	lane->blind = false;
	lane->known = true;
	if (lane->lost) {
		lane->next = MAX(lane->next, now.wall_ns / NS_PER_S);
		lane->settled = lane->next - 1;
		lane->lost = false;
	}
	lane_advance(core, lane, asked_ns);
	return true;
}

/* Instances whose tokens say nothing of a sequence, and no other word of it. Members of a group are
 * no launch of ours to know the history of. */
static bool is_blind(const struct core *core, const struct lane *lane)
{
	if (!core->leads || lane->known || lane->next > 1 || lane->orders.count)
		return false;
	vec_for_each (it, &lane->instances)
		if (!(*it)->gone && !(*it)->grouped)
			return true;
	return false;
}

/* After a view: asked for at asked_ns. */
void lanes_shown(struct core *core, uint64_t asked_ns, struct moment now)
{
	vec_for_each (it, &core->lanes) {
		struct lane *lane = *it;
		bool waited = lane->wait_ns != 0, over;

		vec_for_each (number, &lane->numbers) {
			number->shown = MAX(number->shown, number->showing);
			number->showing = 0;
		}
		lane->blind |= is_blind(core, lane);
		lane_advance(core, lane, asked_ns);
		over = wait_over(core, lane, asked_ns, now);
		lane_check(core, lane, now);
		if (!waited || lane->wait_ns)
			continue;
		if (!over)
			lane->taken = 0;
		evaluate_soon(core, lane->policy); /* it decides anew, now */
	}
}

/* After the replay, and when the lead begins: a wait goes on from when it began. */
void lanes_start(struct core *core, struct moment now)
{
	vec_for_each (it, &core->lanes) {
		struct lane *lane = *it;

		lane->wait_ns = lane->wait_wall_ns ? mono_of(lane->wait_wall_ns, now) : 0;
		vec_for_each (number, &lane->numbers)
			number->known_ns = mono_of(number->known_wall_ns, now);
		lane_advance(core, lane, 0);
		lane_check(core, lane, now);
	}
}

static void say_gap(const struct core *core, const struct lane *lane, struct moment now, char *why,
		    size_t size)
{
	uint64_t end_ns = lane->wait_ns + visible_within(core);
	uint64_t left_s = end_ns > now.mono_ns ? (end_ns - now.mono_ns) / NS_PER_S + 1 : 0;
	const struct lane_number *first = lane->numbers.count ? &lane->numbers.at[0] : NULL;
	char token[CLOUD_NAME_SIZE];

	if (lane->blind) {
		snprintf(why, size,
			 "its instances run and their history is not known: held until every "
			 "launch must be visible, %llu s at most",
			 (unsigned long long)left_s);
		return;
	}
	lane_token(lane, lane->settled + 1, token, sizeof(token));
	vec_for_each (number, &lane->numbers)
		if (number->n <= lane->settled + 1)
			first = number;
	if (first && first->n == lane->settled + 1 && first->expected != COUNT_UNKNOWN)
		snprintf(why, size,
			 "launch %s is not of this core: held until EC2 shows its instances (%u of "
			 "%u so far), %llu s at most",
			 token, first->shown, first->expected, (unsigned long long)left_s);
	else
		snprintf(why, size,
			 "launch %s is not of this core: held until EC2 shows its instances, %llu "
			 "s at most",
			 token, (unsigned long long)left_s);
}

enum lane_state lane_state(const struct core *core, const struct lane *lane, struct moment now,
			   char *why, size_t size)
{
	uint64_t left_ns;

	if (lane->orders.count) {
		snprintf(why, size,
			 "launch %s has no known end yet: what is wanted more is ordered after it",
			 lane->orders.at[0]->order.token);
		return LANE_BUSY;
	}
	if (group_shrinks(core, lane)) {
		snprintf(why, size,
			 "the Auto Scaling group is being made smaller: what is wanted more is "
			 "ordered after it");
		return LANE_BUSY;
	}
	if (has_gap(lane)) {
		say_gap(core, lane, now, why, size);
		return LANE_HELD;
	}
	if (starts_hidden((struct core *)core, lane, now, &left_ns)) {
		snprintf(why, size,
			 "nothing tells which instances of the warm pool were started: held until "
			 "EC2 must show it, %llu s at most",
			 (unsigned long long)left_ns / NS_PER_S + 1);
		return LANE_HELD;
	}
	return LANE_FREE;
}
