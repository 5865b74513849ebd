/* SPDX-License-Identifier: Apache-2.0 */
/* The state of one process: agent (`forerun agent`), core (`forerun core`), or both in one
 * (`forerun run`). What a role does not have stays NULL. */
#ifndef FORERUN_CMD_RUN_H
#define FORERUN_CMD_RUN_H

#include "base/http.h"
#include "base/map.h"
#include "cloud/cloud.h"
#include "cmd/check.h"
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
#define RUN_CORES_MOST 8 /* that one agent reports to */
#define EDGE_DEPTH_MOST (1 << 20)

struct host_sample {
	uint64_t time_ns, cpu_ns;
};

/* An agent's connection to one core. */
struct core_link {
	struct run *run;
	struct wire_agent *agent;
	char *address;
	struct wire_interest interest; /* what this core reads */
	char reason[WIRE_REASON_SIZE]; /* why it is not connected, as the log said it */
};

/* What of an edge is passed on at once: so many, and so many more in a second. */
struct edge_budget {
	double left;
	uint64_t time_ns;
};

struct run {
	enum role role;
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

	struct wire_auth auth;
	char services[sizeof(((struct frame *)0)->services)];
	char *identity_document, *identity_pkcs7; /* of this host on EC2; NULL: none */
	struct loop_timer *ask_timer; /* for the two above */
	uint64_t ask_wait_ns;
	struct core_link links[RUN_CORES_MOST];
	struct wire_agent *connections[RUN_CORES_MOST]; /* the same, as facts has them */
	size_t links_count;
	uint32_t wire_edge_depth; /* the smallest that a core asks for; 0: none does */
	uint64_t reported_ns, lively_until_ns; /* after an edge every tick is reported */
	struct edge_budget edges;

	struct wire_server *agents; /* of a core */
	struct lease *lease;
	struct lease_config lease_config;
	char holder[128]; /* who we are in the lease */
	struct loop_timer *poll_timer, *pause_timer;
	char *pause_file, *pause_why; /* why: what the file says; NULL: it is not there */
	char *lock_pause_why; /* the same of the lock */
	uint64_t pause_looked_ns; /* when the file was looked for last */
	bool standing_by; /* there is a lock and this core does not have it */

	struct documents documents;
	struct core *core;
	struct journal *journal;
	struct http_client *http;
	struct cloud *cloud; /* NULL without documents */
	char instance_id[32]; /* of this host on EC2 */
	struct notice notices[NOTICES_MAX]; /* of its end; the age is since when */
	uint32_t notices_count;
	char cluster_version[16];
	bool asked; /* an answer that start-up waits for has come */

	struct facts facts; /* what is told of all this */
	struct http_server *server;
	FILE *record;
	uint64_t core_due_ns; /* when core_tick() is called next */
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

/* ---- run.c ---- */
/* Runs the process in this role; its exit code. */
int run_as(struct options *options, enum role role);
void pat_watchdog(struct run *run, uint64_t now_ns);
/* Waits until run->asked, for some seconds at most. */
void wait_for_answer(struct run *run);

/* ---- run_feed.c: kernel -> signals -> core ---- */
int feed_start(struct run *run);
void feed_stop(struct run *run);
/* Samples now and sends the state to this core alone. */
void feed_report(struct run *run, struct wire_agent *agent);

/* A frame now, beside the ticks, because the notices changed. */
void feed_notices(struct run *run);

/* ---- notices.c: the end of this host ---- */
void notices_start(struct run *run); /* once it is known to be on EC2 */
void notices_fill(const struct run *run, struct frame *frame, uint64_t now_ns);

/* ---- auth.c: the keys ---- */
/* Exactly one of certificates and shared key. */
void auth_from_options(const struct options *options, struct wire_auth *auth,
		       struct problems *problems);

/* ---- agent.c: this host -> the cores ---- */
/* "core.internal", "10.0.0.1:9911", "[fd00::1]:9911" */
bool core_address_valid(const char *text);
void agent_check(struct run *run, struct problems *problems);
int agent_side_start(struct run *run);
void agent_side_stop(struct run *run);
void agent_side_reload(struct run *run);
void agent_send(struct run *run, const struct frame *frame);

/* ---- core.c: agents -> the core ---- */
void core_check(struct run *run, struct problems *problems);
int agents_start(struct run *run);
void agents_stop(struct run *run);
void agents_reload(struct run *run);

/* ---- core_lead.c: who acts, and whether ---- */
int lead_start(struct run *run);
void lead_stop(struct run *run);
bool lead_may_act(void *run);
void lock_table_check(const struct options *options, struct problems *problems);
char *pause_path(const struct options *options); /* of the pause file */
void lead_changed(struct run *run); /* what a successor must know has changed */

/* ---- run_core.c: core <-> cloud and journal ---- */
int core_side_start(struct run *run); /* up to the replayed journal; nothing is asked of AWS */
void core_side_go(struct run *run); /* from here on it acts */
void core_side_stop(struct run *run);
void core_poke(struct run *run); /* core_tick() in the next round */
void core_wanted(struct run *run, uint64_t at_ns); /* core_tick() by then */

/* ---- run_report.c: JSON lines, the table ---- */
int report_start(struct run *run);
void report_stop(struct run *run);
void report_decision(struct run *run, const char *id); /* soon, not at once */

const char *mode_text(const struct run *run); /* "act", "observe" */
void decision_summary(const struct decision *decision, char *out, size_t size);

/* ---- run_table.c: the table ---- */
int table_start(struct run *run); /* -ENOTTY: standard output is no terminal */
void table_stop(struct run *run);
void table_draw(struct run *run);

#endif
