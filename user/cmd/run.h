/* SPDX-License-Identifier: Apache-2.0 */
/* `forerun run`: the state of the one process that is agent and core. */
#ifndef FORERUN_CMD_RUN_H
#define FORERUN_CMD_RUN_H

#include "base/http.h"
#include "base/map.h"
#include "cloud/cloud.h"
#include "cmd/cmd.h"
#include "cmd/journal.h"
#include "cmd/facts.h"
#include "cmd/output.h"
#include "core/core.h"
#include "export/export.h"
#include "lab/lab.h"
#include "place/place.h"
#include "probe/probe.h"
#include "signal/signal.h"

#define RUN_LOG_LINES 8
#define RUN_HOST_SAMPLES 64 /* of host CPU, to look back over the fast window */
#define RUN_DECISIONS_SHOWN 5

struct host_sample {
	uint64_t time_ns, cpu_ns;
};

struct run {
	struct options *options;
	enum output_format format;
	struct loop *loop;
	struct moment started;
	char host[WIRE_HOST_SIZE];

	struct probe *probe;
	struct place *place;
	struct signal *signal;
	struct probe_health health; /* of the newest sample */
	uint64_t sampled_ns;
	struct map thresholds; /* listener id -> its sockets + 1 when its edge depth was set */

	uint32_t policy_metrics; /* of which the core reads values, a bit each */
	uint64_t replicas_hash; /* of all policies, when the edge depths were set */

	struct usage host_usage;
	double host_cpu_cores, host_cpus;
	struct host_sample host_samples[RUN_HOST_SAMPLES];
	size_t host_count; /* ever taken */
	uint64_t sequence; /* of frames */

	struct documents documents;
	struct core *core;
	struct journal *journal;
	struct http_client *http;
	struct cloud *cloud; /* NULL without documents */
	char instance_id[32]; /* of this host on EC2 */
	char cluster_version[16];
	bool asked; /* an answer that start-up waits for has come */

	struct facts facts; /* what is told of all this */
	struct http_server *server;
	FILE *record;
	struct loop_timer *tick_timer, *core_timer, *second_timer, *report_timer, *stop_timer;
	uint64_t tick_at_ns, tick_overruns;

	struct output output;
	char *log_lines[RUN_LOG_LINES]; /* the newest last */
	size_t log_count;
	struct {
		VEC(char *) list;
	} changed; /* ids of decisions to report */
	struct map told; /* hash of a decision's id -> said in the log */
	uint64_t watchdog_ns, watchdog_at_ns;
};

/* ---- run_feed.c: kernel -> signals -> core ---- */
int feed_start(struct run *run);
void feed_stop(struct run *run);

/* ---- run_core.c: core <-> cloud and journal ---- */
int core_side_start(struct run *run); /* up to the replayed journal; nothing is asked of AWS */
void core_side_go(struct run *run); /* from here on it acts */
void core_side_stop(struct run *run);
void core_poke(struct run *run); /* core_tick() in the next round */

/* ---- run_report.c: JSON lines, the table ---- */
int report_start(struct run *run);
void report_stop(struct run *run);
void report_decision(struct run *run, const char *id); /* soon, not at once */

#endif
