/* SPDX-License-Identifier: Apache-2.0 */
/* The core's side: server.c listens and looks after all connections, peer.c speaks on one of them,
 * server_new.c makes and ends the server. */
#ifndef FORERUN_WIRE_SERVER_PRIVATE_H
#define FORERUN_WIRE_SERVER_PRIVATE_H

#include "base/tls.h"
#include "base/vec.h"
#include "wire/delta.h"

#define PEER_ADDRESS_SIZE 64

/* So many at once, filled again at a rate. */
struct bucket {
	double level;
	uint64_t filled_ns;
};

enum peer_phase {
	PEER_NEW, /* until its hello was found good */
	PEER_OPEN,
	PEER_ENDING, /* goodbye was said, by either side */
};

struct peer {
	struct wire_server *server;
	struct tls_stream *stream;
	size_t index; /* in server->peers */
	struct peer *older, *newer; /* of the new ones, in the order of their coming */
	enum peer_phase phase;
	bool wants_poll, wants_interest; /* to be told so */
	char *host; /* NULL: no hello yet */
	char instance_id[32]; /* as it said when it was admitted */
	char address[PEER_ADDRESS_SIZE];
	uint64_t began_ns, heard_ns, spoken_ns;
	uint64_t now_ns; /* when what is being read came */
	uint64_t bytes_seen; /* of the stream, at the last look */
	struct bucket messages, bytes;
	struct inbox inbox;
	struct frame_reader reader; /* from the hello on */
};

struct wire_server {
	struct loop *loop;
	struct wire_server_config config; /* texts are its own */
	struct wire_server_events events;
	struct tls_context *context;
	int fd;
	uint16_t port;
	bool accepting;
	VEC(struct peer *) peers;
	struct peer *oldest, *newest; /* of the new ones */
	size_t new_count, open_count;
	struct map by_host; /* hash of the name -> the open connection of that host */
	struct owners owners;
	struct layout *layout;
	struct scratch scratch;
	char problem[REASON_SIZE]; /* with what a peer said last */
	unsigned shakes; /* steps of handshakes in this round of the loop */
	struct loop_timer *round_timer, *sweep_timer, *tell_timer;
	uint64_t sweep_every_ns;
	unsigned sweep_turn;
	size_t tell_next; /* of the peers that are told something */
	size_t state_bytes; /* of all readers */
	struct bucket complaints; /* lines in the log */
	uint64_t unsaid; /* complaints that were too many */
	uint64_t full_said_ns; /* when it was said that there are no descriptors left */
	struct wire_server_status status;
};

bool bucket_allows(struct bucket *bucket, double amount, double per_second, double most,
		   uint64_t now_ns);

/* Takes over the connected socket. */
int peer_new(struct wire_server *server, int fd, const char *address, uint64_t now_ns);
/* Says goodbye with the reason; the peer is gone when its stream is. */
void peer_end(struct peer *peer, const char *reason);
/* At once, without another word. */
void peer_free(struct peer *peer);
void peer_tell(struct peer *peer); /* what it is to be told */
/* Looks whether it is silent or says too much, and says something if nothing was said for long. */
void peer_look_after(struct peer *peer, uint64_t now_ns);

int server_listen(struct wire_server *server);
void server_new_peer(struct peer *peer); /* it came: links it */
void server_not_new(struct peer *peer); /* admitted, or at its end */
void server_complain(struct wire_server *server, const struct peer *peer, const char *reason,
		     uint64_t now_ns);
int server_timers(struct wire_server *server);
void server_tell_all(struct wire_server *server);
bool server_may_shake(struct wire_server *server);

#endif
