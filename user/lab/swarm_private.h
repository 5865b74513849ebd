/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the swarm share. */
#ifndef FORERUN_LAB_SWARM_PRIVATE_H
#define FORERUN_LAB_SWARM_PRIVATE_H

#include "base/pki.h"
#include "base/vec.h"
#include "lab/swarm.h"

#define SWARM_REASONS 16
#define SWARM_INSTANCE_SIZE sizeof(((struct frame *)0)->instance_id)

struct swarm;

struct simulated {
	struct swarm *swarm;
	char host[WIRE_HOST_SIZE], instance_id[SWARM_INSTANCE_SIZE];
	char services[sizeof(((struct frame *)0)->services)];
	struct wire_agent *wire;
	struct loop_timer *timer;
	uint64_t started_ns, tick_ns, edge_ns; /* when the next ones are due */
	uint64_t sequence;
	uint32_t depth;
	bool silent, connected;
};

/* Why connections ended, and how often. */
struct ended {
	char reason[WIRE_REASON_SIZE];
	uint64_t count;
};

struct swarm {
	const struct swarm_config *config;
	struct loop *loop;
	struct moment started;
	struct pki *authority;
	VEC(struct simulated *) agents;
	struct indicator *indicators; /* filled anew for each frame: thousands share them */
	struct loop_timer *birth_timer, *second_timer, *stop_timer;
	size_t born; /* of config->agents */
	uint32_t depth;
	uint64_t random; /* state of a generator, so that a run can be repeated */
	uint64_t frames, edges, connects; /* also of agents that are gone */
	uint32_t connected, connected_most;
	struct ended ended[SWARM_REASONS];
	struct text pending; /* of a line of standard input */
};

/* ---- swarm_agent.c ---- */
/* service and instance_id may be "". Logs what is wrong. */
int simulated_new(struct swarm *swarm, const char *host, const char *instance_id,
		  const char *service);
void simulated_free(struct simulated *agent);
struct simulated *simulated_find(const struct swarm *swarm, const char *host);
void simulated_send(struct simulated *agent, enum frame_kind kind);
/* 0 up to 1, without 1. */
double swarm_random(struct swarm *swarm);

/* ---- swarm_commands.c ---- */
void swarm_read_input(struct swarm *swarm);

#endif
