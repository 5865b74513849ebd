/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process tells of itself: /metrics, /v1, health, and the JSON lines are made from this one
 * picture. Each role fills in what it has; NULL is what it lacks, and nothing is told of it.
 */
#ifndef FORERUN_CMD_FACTS_H
#define FORERUN_CMD_FACTS_H

#include "base/http.h"
#include "base/map.h"
#include "cloud/cloud.h"
#include "cmd/cmd.h"
#include "export/export.h"
#include "probe/probe.h"

enum role { ROLE_RUN, ROLE_AGENT, ROLE_CORE };

/* Everything it points to is the process's own and may change between two questions. */
struct facts {
	enum role role;
	const struct options *options;
	const char *host;
	struct moment started;

	/* What watches the kernel: run and agent. */
	struct signal *signal;
	const struct probe_health *health; /* of the newest sample */
	const uint64_t *sampled_ns; /* when; 0: not yet */
	const uint64_t *tick_overruns;

	/* What decides: run and core. */
	struct core *core;
	struct cloud *cloud;

	/* The fleet's connections: core and agent. */
	struct lease *lease;
	struct wire_server *server;
	struct wire_agent *const *connections; /* of an agent, one for each core */
	size_t connections_count;
};

const char *role_text(enum role role); /* "run", "agent", "core" */

/* ---- serve.c ---- */

/* Answers everything under address ("none": nothing, and *out stays NULL). Logs what is wrong with
 * it. facts must outlive the server. */
int serve_start(struct loop *loop, struct facts *facts, struct http_server **out);

/* ---- serve_metrics.c ---- */

/* Every family that this role has, but for the end mark. */
void facts_metrics(const struct facts *facts, struct export_metrics *metrics);

/* ---- serve_fleet.c ---- */

/* Of these, the ones about launches, pools and money. Only with a core. */
void fleet_metrics(const struct facts *facts, struct export_metrics *metrics);

/* ---- serve_links.c ---- */

/* Of these, the ones about connections between agents and cores, and who leads. */
void links_metrics(const struct facts *facts, struct export_metrics *metrics);

/* ---- serve_aws.c ---- */

/* Of these, the ones about calls at AWS. Only with a cloud. */
void aws_metrics(const struct facts *facts, struct export_metrics *metrics);

/* ---- facts_leaving.c: what is on its way out ---- */

void leaving_json(const struct facts *facts, struct moment now, size_t most, struct text *out);
void queue_json(const struct facts *facts, struct text *out); /* of interruptions; null: none */
void leaving_metrics(const struct facts *facts, struct export_metrics *metrics);

/* ---- facts_giving.c: what could be given back ---- */

void giving_json(const struct facts *facts, struct moment now, struct text *out);
void giving_metrics(const struct facts *facts, struct export_metrics *metrics);

/* ---- facts_status.c ---- */

/* What `forerun status` prints, as one JSON object. Without all, of services and instances only
 * those that are looked at first: what wants or waits for something. */
void status_json(const struct facts *facts, struct moment now, bool all, struct text *out);

/* ---- facts_hosts.c ---- */

struct host_count {
	uint32_t reporting, silent;
};
struct host_counts {
	struct host_count all;
	struct map by_service; /* hash of its name -> struct host_count */
};
void host_counts_take(const struct core *core, struct moment now, struct host_counts *counts);
void host_counts_free(struct host_counts *counts);
struct host_count host_count_of(const struct host_counts *counts, const char *service);
/* {"hosts":[...]}: each host with its services and when it was heard. */
void hosts_json(const struct facts *facts, struct moment now, struct text *out);

/* ---- facts.c: pieces of JSON ---- */

/* The value that a policy's metric shows beside its target: per replica, in percent or plain. NaN:
 * not known. */
double policy_metric_value(const struct policy_status *status, size_t metric);
void policy_metric_name(const struct policy_metric *metric, char *out, size_t size);
void policy_json(const struct policy_status *status, struct text *out);
void policies_json(const struct facts *facts, struct text *out);
void totals_json(const struct facts *facts, struct text *out);
void cloud_json(const struct facts *facts, struct text *out);
double age_seconds(uint64_t wall_ns); /* of what was then; NaN of 0 */
void agents_json(const struct facts *facts, struct text *out); /* of a core: its connections */
void lease_json(const struct facts *facts, struct text *out); /* null without a lock */
void cores_json(const struct facts *facts, struct text *out); /* of an agent: its connections */
/* CPU seconds and resident bytes of this process. */
void own_usage(double *cpu_seconds, uint64_t *resident_bytes);

#endif
