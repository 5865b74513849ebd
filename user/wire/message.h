/* SPDX-License-Identifier: Apache-2.0 */
/* What agents and cores say to each other. docs/wire.md has it byte by byte. */
#ifndef FORERUN_WIRE_MESSAGE_H
#define FORERUN_WIRE_MESSAGE_H

#include "wire/item.h"
#include "wire/wire.h"

#define SESSION_MAJOR 1U
#define SESSION_MINOR 2U /* 1: the services of a host; 2: notices of its end */

/* u16 bytes that follow the head, u8 kind, u8 flags. A message fits in one record of TLS. */
#define MESSAGE_HEAD_BYTES 4
#define MESSAGE_BYTES_MAX (16384 - MESSAGE_HEAD_BYTES)
#define MESSAGE_CONTINUES 1 /* the next message of this kind goes on with this one's content */
#define MESSAGE_CONTINUED 2 /* this one does */

enum message_kind {
	MESSAGE_HELLO = 1, /* agent: the first */
	MESSAGE_WELCOME, /* core: the first */
	MESSAGE_FRAME, /* agent */
	MESSAGE_POLL, /* core: send the newest state now */
	MESSAGE_INTEREST, /* core: what of it is read here */
	MESSAGE_PING, /* both, where nothing else was said */
	MESSAGE_BYE, /* both: the last, with the reason */
};

struct message {
	uint8_t kind, flags;
	struct part body;
};

struct hello {
	uint16_t major, minor;
	char host[WIRE_HOST_SIZE];
	char version[32];
	char instance_id[32];
	char identity_document[4096], identity_pkcs7[8192];
};

struct welcome {
	uint16_t major, minor;
	char version[32];
	uint32_t speak_within_ms; /* the agent says something at least so often */
	uint32_t silent_after_ms; /* the core itself does at least so often */
	struct wire_interest interest;
};

struct bye {
	char reason[WIRE_REASON_SIZE];
};

/* Takes a message off the front of data: 1, 0 when more is needed, -EMSGSIZE for one too long. */
int message_next(struct part *data, struct message *out, char reason[REASON_SIZE]);
/* A message is what is added between the two calls. -EMSGSIZE: too long, and taken back. */
size_t message_begin(struct text *out, enum message_kind kind);
int message_end(struct text *out, size_t mark);
/* The same for a message whose length is known. */
void message_set_head(struct text *out, size_t mark, size_t length, enum message_kind kind,
		      uint8_t flags);

int hello_add(struct text *out, const struct hello *hello);
int hello_read(struct part body, struct hello *out, char reason[REASON_SIZE]);
void welcome_add(struct text *out, const struct welcome *welcome);
int welcome_read(struct part body, struct welcome *out, char reason[REASON_SIZE]);
void interest_add(struct text *out, const struct wire_interest *interest);
int interest_read(struct part body, struct wire_interest *out, char reason[REASON_SIZE]);
void bye_add(struct text *out, const char *text);
int bye_read(struct part body, struct bye *out, char reason[REASON_SIZE]);

/* Bytes that came and make no whole message yet; usually none. */
struct inbox {
	struct text kept;
};
/* Calls take() for each whole message, until it returns something negative, which is returned. */
int inbox_feed(struct inbox *inbox, const void *data, size_t length,
	       int (*take)(void *arg, const struct message *message), void *arg,
	       char reason[REASON_SIZE]);
void inbox_free(struct inbox *inbox);

#endif
