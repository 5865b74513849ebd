/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The laboratory: drives signal and core with a simulated clock and a simulated cloud, from a
 * recording of `forerun run --record` or from a generated load. `forerun simulate` shows what a
 * policy would have done.
 */
#ifndef FORERUN_LAB_LAB_H
#define FORERUN_LAB_LAB_H

#include "core/core.h"

/* ---- recording: samples with their owners, one JSON object a line ---- */
int lab_record(FILE *file, const struct sample *sample, const struct placed *placed,
	       const struct usage *host);

struct lab_config {
	const struct documents *documents;
	uint64_t boot_ns; /* simulated: call -> running, default 30 s */
	uint64_t serve_ns; /* running -> serving, default 10 s */
	double usd_per_hour; /* of every instance; NaN, the default: as the snapshot's types cost */
	struct core_limits limits;
	FILE *out; /* timeline: one line an event */
	bool json;
};

struct lab_result {
	uint64_t samples, decisions, instances_launched, instances_terminated;
	double instance_hours;
	double usd; /* of instances whose price is known */
	double seconds; /* simulated */
};

void lab_config_default(struct lab_config *config);
/* Replays a recording. Messages name file:line. */
int lab_replay(const struct lab_config *config, const char *path, struct lab_result *result);
/* A generated load: "step:at=10s,from=50,to=400,capacity=100": requests/s arriving at servers that
 * each serve capacity; queue, in-flight and response time follow. Shapes: step, ramp, spike, wave;
 * keys: at, over, from, to, capacity, service, port, backlog (docs/capacity.md). All servers are
 * shown as one listener. What is wrong with the shape is logged. */
int lab_generate(const struct lab_config *config, const char *shape, double seconds,
		 struct lab_result *result);

#include "lab/swarm.h"

#endif
