/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FORERUN_LAB_PRIVATE_H
#define FORERUN_LAB_PRIVATE_H

#include "base/log.h"
#include "base/vec.h"
#include "lab/lab.h"

/* ---- one recorded moment: record.c writes it, reading.c reads it ---- */

struct recorded {
	struct sample sample;
	struct usage host;
	VEC(struct listener_sample) listeners;
	VEC(struct owner) owners; /* one for each listener */
	VEC(struct placed) placed;
	uint64_t *buckets; /* PROBE_BUCKETS for each listener */
	size_t buckets_capacity;
};

void recorded_clear(struct recorded *recorded);
void recorded_free(struct recorded *recorded);
/* After the listeners are in: makes the pointers between the arrays. */
void recorded_link(struct recorded *recorded);
/* One line of a recording. -EBADMSG with the reason. */
int recorded_parse(const char *json, size_t length, struct recorded *out, char reason[160]);

enum field_type { FIELD_U16, FIELD_U32, FIELD_U64, FIELD_BOOL, FIELD_DOUBLE };
struct lab_field {
	const char *name;
	size_t offset;
	enum field_type type;
};
extern const struct lab_field lab_listener_fields[], lab_usage_fields[];
extern const size_t lab_listener_fields_count, lab_usage_fields_count;

/* ---- simulation.c, market.c: signal and core on a simulated clock ---- */

struct lab_instance {
	struct instance_view view;
	uint64_t launched_ns, running_ns, ended_ns; /* 0: not ended */
	double rested_s; /* stopped, in a warm pool; until the last start */
	uint64_t stopped_ns; /* since when; 0: it is not */
	double usd_per_hour; /* NaN: not known */
};

struct lab_reply {
	uint64_t at_ns;
	struct launch_result launched;
	struct terminate_result terminated;
	bool is_launch;
};

struct told { /* how much of a decision was printed */
	char id[48];
	size_t steps;
};

struct simulation {
	struct lab_config config;
	struct lab_result *result;
	struct signal *signal;
	struct core *core;
	struct catalog *catalog; /* what is for sale */
	struct moment now;
	uint64_t start_ns, describe_ns, core_ns, state_ns, sequence;
	struct usage host;
	uint64_t host_time_ns;
	double host_cpu_cores;
	VEC(struct lab_instance) instances;
	VEC(struct lab_reply) replies;
	VEC(struct told) told;
	char held[CLOUD_TEXT_SIZE];
};

int simulation_new(const struct lab_config *config, struct lab_result *result,
		   struct simulation *simulation);
void simulation_free(struct simulation *simulation);
/* Goes on to the moment of the sample, feeds it, lets the core decide. -EINVAL: not later than the
 * one before. */
int simulation_step(struct simulation *simulation, const struct sample *sample,
		    const struct placed *placed, const struct usage *host);
void simulation_end(struct simulation *simulation);
/* Instances that serve now, this host counted. */
uint32_t simulation_serving(const struct simulation *simulation);
double simulation_seconds(const struct simulation *simulation);

int market_offer(struct simulation *simulation);
void market_reply_due(struct simulation *simulation);
void market_describe(struct simulation *simulation);
uint64_t market_next_ns(const struct simulation *simulation);
void market_launch(void *arg, const struct launch_order *order);
void market_stop(void *arg, const struct stop_order *order);
void market_terminate(void *arg, const struct terminate_order *order);

/* ---- timeline.c ---- */
void timeline_decided(void *arg, const struct decision *decision);
void timeline_state(struct simulation *simulation);
void timeline_held(struct simulation *simulation);

/* ---- shape.c ---- */
enum shape_kind { SHAPE_STEP, SHAPE_RAMP, SHAPE_SPIKE, SHAPE_WAVE };
struct shape {
	enum shape_kind kind;
	double at_s, over_s; /* when it begins; how long the ramp, the spike or one wave is */
	double from, to, capacity; /* per second */
	double service_s; /* what one request takes on an idle server */
	double port, backlog;
};
/* -EINVAL with the reason: what was found, what is expected. */
int shape_parse(const char *text, struct shape *out, char reason[200]);
double shape_rate(const struct shape *shape, double seconds);

#endif
