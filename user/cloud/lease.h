/* SPDX-License-Identifier: Apache-2.0 */
/* The item of a lease: what is read of it and what is asked of DynamoDB. Private to the room. */
#ifndef FORERUN_CLOUD_LEASE_H
#define FORERUN_CLOUD_LEASE_H

#include "cloud/private.h"

#define LEASE_RVN_SIZE 33

struct lease_item {
	bool there;
	char holder[LEASE_HOLDER_SIZE]; /* "": free */
	char rvn[LEASE_RVN_SIZE]; /* record version: another one at each write */
	uint64_t epoch, ttl_ms;
	bool is_paused;
	char paused[CLOUD_TEXT_SIZE];
	char *state; /* NULL: was not asked for, or there is none */
};
void lease_item_free(struct lease_item *item);
/* "Item" or "Attributes" of an answer of DynamoDB, also of a failed condition; without one the item
 * is not there. -EBADMSG: it is no answer, or no item of forerun's, with a person's words. */
int lease_item_read(const char *body, size_t length, struct lease_item *out,
		    char problem[CLOUD_TEXT_SIZE]);

/* One conditional UpdateItem. */
struct lease_update {
	const char *holder; /* "": gives it up */
	const char *rvn;
	uint64_t epoch, ttl_ms;
	const char *state; /* NULL: stays as it is */
	/* It holds only when: */
	bool if_absent; /* the item is not there */
	const char *if_holder; /* it is held by that one; NULL: whoever */
	const char *if_rvn; /* its version is that; "": it has none; NULL: whatever */
	bool return_item; /* the answer has the whole item */
};
void lease_update_body(const struct lease_config *config, const struct lease_update *update,
		       struct text *out);
/* GetItem, consistent, without the state. */
void lease_read_body(const struct lease_config *config, struct text *out);
/* What is wrong and what to do about it. */
void lease_problem(const struct cloud *cloud, const char *table, const struct answer *answer,
		   char out[CLOUD_TEXT_SIZE]);
bool is_table_name(const char *table);

/* ---- the lease itself (lease.c, lease_write.c) ---- */

enum write_kind { WRITE_ACQUIRE, WRITE_RENEW, WRITE_RELEASE };

struct lease_write {
	bool busy, waiting, with_state; /* waiting: to go out again */
	enum write_kind kind;
	char rvn[LEASE_RVN_SIZE];
	uint64_t epoch;
	uint64_t began_ns; /* its first try */
	uint64_t again_ns;
	uint64_t state_hash;
	unsigned tries;
	char *body;
};

/* All times are of CLOCK_BOOTTIME. */
struct lease {
	struct cloud *cloud;
	struct lease_config config;
	char *table, *name, *holder;
	struct lease_events events;
	struct loop_timer *timer;

	bool known; /* the item was read */
	struct lease_item seen;
	uint64_t seen_ns; /* when this version was seen first */
	bool reading, read_slowly; /* slowly: it is refused, not only late */
	uint64_t read_began_ns;

	struct lease_write write;
	bool held, renew_wanted, ending, state_too_large;
	uint64_t not_before_ns; /* to try to take it */
	char rvn[LEASE_RVN_SIZE]; /* of the last write that succeeded */
	uint64_t epoch, until_ns, renewed_ns, confirmed_ns;
	uint64_t state_hash; /* of what is in the item; 0: not known */
	size_t state_bytes; /* of the last one that was written */
	size_t state_refused_bytes; /* of one that DynamoDB found too large; 0: none */

	bool is_paused;
	char paused[CLOUD_TEXT_SIZE];
	uint64_t renewals, failures;
	char read_problem[CLOUD_TEXT_SIZE], write_problem[CLOUD_TEXT_SIZE];
	bool write_late; /* the last write was given up because no answer came in time */
};

uint64_t lease_clock_ns(void);
uint32_t lease_try_ms(const struct lease *lease);
void lease_step(struct lease *lease); /* does what is due */
/* Logs a problem when it is of another kind ("NoAnswer: ...") than before; "": there is none. */
void lease_say(struct lease *lease, char known[CLOUD_TEXT_SIZE], const char *problem);
/* Takes the item over. */
void lease_observe(struct lease *lease, struct lease_item *item);
void lease_note_pause(struct lease *lease, const struct lease_item *item);
void lease_lose(struct lease *lease, const char *format, ...) _printf_(2, 3);
void lease_lose_to(struct lease *lease, const struct lease_item *item);
void lease_write_begin(struct lease *lease, enum write_kind kind);
void lease_write_again(struct lease *lease);
void lease_write_ended(struct lease *lease);

#endif
