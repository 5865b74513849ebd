/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agents of a fleet without their kernels: real connections to a core, with a load that is told
 * on standard input. Part of the lab room's door (lab/lab.h).
 */
#ifndef FORERUN_LAB_SWARM_H
#define FORERUN_LAB_SWARM_H

#include "wire/wire.h"

struct swarm_config {
	struct wire_auth auth; /* with ca_key_file: only the authority's certificate of it */
	const char *ca_key_file; /* certificates of the agents are issued with it; NULL: none */
	const char *core; /* "HOST:PORT" */
	const char *host; /* first part of the agents' names: "swarm" gives swarm-1, swarm-2, ... */
	const char *service; /* "" or NULL: they do not say */
	const char *instance_id; /* of the first agent, the others count on; NULL: on no instance */
	size_t agents;
	uint32_t listeners;
	uint16_t port; /* of the first listener */
	double rate, edges; /* frames and edges per second of each agent */
	uint32_t depth; /* connections waiting in the first listener */
	uint64_t duration_ns; /* 0: until it is told to stop */
};

/*
 * Runs until its time is over, SIGINT or SIGTERM comes, or standard input says "quit". Every second
 * it writes a JSON line to standard output, and a summary at its end. What standard input may say:
 *
 *	depth N [HOST]			connections waiting from now on
 *	edge [HOST]			an edge now
 *	silence N% | silence HOST	these report nothing any more; "silence 0%": all do again
 *	host add NAME INSTANCE SERVICE	one agent more ("-": no instance, no service)
 *	host remove NAME		and one less
 *	quit
 *
 * What is wrong is logged. 0, or a negative errno.
 */
int lab_swarm(const struct swarm_config *config);

#endif
