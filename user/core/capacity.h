/* SPDX-License-Identifier: Apache-2.0 */
/* What can be bought, what was ordered, what came of it. Part of the core room's door
 * (core/core.h); user/cloud fills it. */
#ifndef FORERUN_CORE_CAPACITY_H
#define FORERUN_CORE_CAPACITY_H

#include "plan/catalog.h"

#define CLOUD_NAME_SIZE 64
#define CLOUD_TEXT_SIZE 256
#define GROUP_NAME_SIZE 256 /* of an Auto Scaling group */

struct subnet {
	char id[CLOUD_NAME_SIZE];
	char zone[32];
	uint32_t free_addresses;
};

/* Which types an image is for: aliases of EKS have images of their own for GPUs and Neuron chips.
 */
enum image_variant {
	IMAGE_ANY,
	IMAGE_STANDARD, /* no GPU, no accelerator */
	IMAGE_NVIDIA, /* with GPUs */
	IMAGE_NEURON, /* with accelerators */
};

/* What some offerings of a class are launched from. Its name holds a hash of its content: what it
 * says never changes. */
struct launch_template {
	enum architecture architecture;
	enum capacity_type capacity_type;
	char name[128];
	char image_id[CLOUD_NAME_SIZE];
	enum image_variant variant;
	char pool[CLOUD_NAME_SIZE]; /* its labels and taints are in the user data; "": any pool */
	char reservation[32]; /* of CAPACITY_RESERVED: the id of the one that it launches into */
	bool hibernates; /* for a warm pool that hibernates: EC2 is told so at the launch */
};

/* A capacity reservation that the class selects and that is active. */
struct capacity_reservation {
	char id[32]; /* "cr-..." */
	char instance_type[32], zone[32];
	enum reservation_kind kind;
	uint32_t available; /* instances that still fit, when it was looked up */
	uint64_t ends_wall_ns; /* 0: until somebody cancels it */
};

/* One EC2NodeClass as AWS has it now. The lists are the cloud's: whoever keeps one copies it. */
struct class_view {
	char name[CLOUD_NAME_SIZE];
	bool ready;
	char problem[CLOUD_TEXT_SIZE]; /* why not */
	const struct subnet *subnets;
	size_t subnets_count;
	const struct launch_template *templates;
	size_t templates_count;
	const struct capacity_reservation *reservations;
	size_t reservations_count;
	char *const *security_groups; /* ids, ascending */
	size_t security_groups_count;
	uint64_t groups_hash; /* the sum of hash_text() of each: of the set, in whatever order */
};

/* Whether an image of that variant is for that type; NULL: a type of which nothing is known. */
bool image_variant_fits(enum image_variant variant, const struct instance_type *type);
/* The one that an offering of that pool is launched from, NULL: there is none. reservation: the id
 * of the reservation for CAPACITY_RESERVED, else "". */
const struct launch_template *launch_template_for(const struct launch_template *templates,
						  size_t count, const struct offering *offering,
						  const char *pool, const char *reservation);

struct launch_override {
	char instance_type[32];
	char subnet_id[CLOUD_NAME_SIZE];
	char zone[32];
	double priority; /* < 0: not given */
	char launch_template[128];
	double usd_per_hour;
	uint32_t vcpus; /* 0: not known; for the pool's limits, also when its requirements change */
	uint64_t memory_mib;
};

/* Where an instance comes from, the fastest first. */
enum launch_source {
	SOURCE_ROOM, /* it runs, and nobody has it: prepared for a warm pool and not stopped yet */
	SOURCE_HIBERNATED, /* StartInstances of a warm pool */
	SOURCE_STOPPED, /* likewise */
	SOURCE_RESERVED, /* CreateFleet into a capacity reservation */
	SOURCE_SPOT, /* CreateFleet */
	SOURCE_ON_DEMAND, /* likewise */
	SOURCE_GROUP, /* SetDesiredCapacity of an Auto Scaling group */
	SOURCE_COUNT
};
const char *launch_source_text(enum launch_source source); /* "room", "hibernated", ... */

struct launched_instance {
	char id[32];
	char instance_type[32];
	char zone[32];
};

/* One CreateFleet call, complete: the same order always makes the same bytes. Or, where it names
 * instances to start, StartInstances and the tags that make them its policy's; or, where it names a
 * group, SetDesiredCapacity. */
struct launch_order {
	char token[64]; /* ClientToken: "fr-<lane>-<number>"; an old journal's: a decision's id */
	char decision[48];
	char pool[CLOUD_NAME_SIZE];
	char policy[CLOUD_NAME_SIZE];
	uint64_t sequence; /* of its lane (policy on pool); 0: a token of the old kind */
	uint64_t epoch; /* fencing epoch of the lead that it was made under; 0: no lease */
	bool dry_run; /* observe mode: ask whether it would be allowed, launch nothing */
	enum capacity_type capacity_type;
	uint32_t count;
	VEC(struct launch_override) overrides;
	VEC(struct launched_instance) starts; /* of a warm pool; then there are no overrides */
	struct key_values tags; /* of instance, volume and fleet */
	char context[CLOUD_TEXT_SIZE]; /* of the class; "": none */
	enum reservation_kind reservation; /* of CAPACITY_RESERVED: all its overrides are of one */
	/* Bought through this Auto Scaling group, "": CreateFleet. Then the overrides only say what
	 * it may cost at most, and the group is to have so many members altogether. */
	char group[GROUP_NAME_SIZE];
	uint32_t desired;
};

/* UNKNOWN with this code: the group has been told, and the fleet will show what it launches. */
#define CODE_GROUP_LAUNCHES "GroupLaunches"

enum launch_outcome {
	LAUNCH_DONE, /* 200: instances and failures say what came of it */
	LAUNCH_REFUSED, /* certainly without effect */
	LAUNCH_UNKNOWN, /* may have had its effect: ask again with the same order */
};

struct launch_failure {
	char instance_id[32]; /* that could not be started; "" of CreateFleet */
	char instance_type[32]; /* "" when it is about the whole call */
	char zone[32];
	char code[CLOUD_NAME_SIZE];
	char message[CLOUD_TEXT_SIZE];
};

struct launch_result {
	char token[64];
	enum launch_outcome outcome;
	bool throttled; /* ask again later, same order */
	bool no_capacity; /* all failures are of the kind that another pool may not have */
	char request_id[CLOUD_NAME_SIZE];
	char fleet_id[CLOUD_NAME_SIZE];
	char error_code[CLOUD_NAME_SIZE]; /* of REFUSED and UNKNOWN */
	char error_text[CLOUD_TEXT_SIZE];
	VEC(struct launched_instance) instances;
	VEC(struct launch_failure) failures;
	uint64_t started_ns, sent_ns, done_ns; /* CLOCK_MONOTONIC; 0: did not happen */
};

enum instance_state {
	INSTANCE_PENDING,
	INSTANCE_RUNNING,
	INSTANCE_SHUTTING_DOWN,
	INSTANCE_TERMINATED,
	INSTANCE_STOPPING,
	INSTANCE_STOPPED
};

struct instance_view {
	char id[32];
	enum instance_state state;
	char instance_type[32];
	char zone[32];
	enum capacity_type capacity_type;
	uint64_t launched_wall_ns;
	char decision[48], pool[CLOUD_NAME_SIZE], policy[CLOUD_NAME_SIZE],
		token[64]; /* from its tags */
	char service[CLOUD_NAME_SIZE]; /* tag forerun.dev/service, "" when there is none */
	uint64_t sequence, epoch; /* of its token and its tag forerun.dev/epoch; 0: none */
	uint32_t launch_count; /* tag forerun.dev/count: instances asked for in its call */
	char class_hash[20], pool_hash[20]; /* tags forerun.dev/class-hash and -pool-hash */
	bool owned; /* carries our forerun.dev/owner; false: only a host of some service */
	bool grouped; /* without it, and a member of the Auto Scaling group of a NodePool: then pool
			 and policy are from the documents, and it is owned */
	bool pause; /* tag forerun.dev/pause with any value but "false" */
	char private_address[48];
	char draining[96]; /* tag forerun.dev/draining: "<reason>@<decision>" */
	char image_id[CLOUD_NAME_SIZE], subnet_id[CLOUD_NAME_SIZE];
	char launch_template_id[32]; /* "" where EC2 does not say */
	char reservation_id[32]; /* that it runs in; "": none */
	uint64_t groups_hash; /* of its security groups, as class_view.groups_hash */
};

/* All instances with forerun's tags of these pools, and those that say which service they run. */
struct fleet_view {
	const struct instance_view *instances;
	size_t count;
	uint64_t asked_ns; /* CLOCK_MONOTONIC when the first page was asked for: what was launched
			      later may be missing */
};

struct terminate_order {
	char decision[48];
	uint32_t number; /* of one decision there may be several */
	VEC(struct launched_instance) instances;
	char group[GROUP_NAME_SIZE]; /* they are members of it, and it shrinks by them; "": none */
};
struct terminate_result {
	char decision[48];
	uint32_t number;
	int error; /* 0, or -EAGAIN: not known or throttled, ask again; -EINVAL: refused */
	char request_id[CLOUD_NAME_SIZE];
	char error_code[CLOUD_NAME_SIZE];
	char error_text[CLOUD_TEXT_SIZE];
	uint64_t sent_ns, done_ns;
};

/* StopInstances of one that a warm pool prepared. */
struct stop_order {
	char id[32];
	bool hibernate;
};
struct stop_result {
	char id[32];
	int error; /* 0, -EAGAIN: not known or throttled, -EINVAL: refused */
	char error_code[CLOUD_NAME_SIZE];
	char error_text[CLOUD_TEXT_SIZE];
};

struct instance_id {
	char id[32];
};

/* The tag forerun.dev/draining of instances: what is to be known of them even if all else is lost.
 */
struct mark_order {
	uint64_t number;
	char value[CLOUD_TEXT_SIZE]; /* "<reason>@<decision>"; "": the tag is taken off */
	VEC(struct instance_id) instances;
};
struct mark_result {
	uint64_t number;
	int error; /* 0, -EAGAIN: ask again, or another: refused */
	char error_code[CLOUD_NAME_SIZE], error_text[CLOUD_TEXT_SIZE];
};

enum target_action { TARGETS_REGISTER, TARGETS_DEREGISTER, TARGETS_HEALTH };
struct target_order {
	uint64_t number;
	enum target_action action;
	const char *group; /* its ARN; belongs to the documents */
	VEC(struct instance_id) instances;
};
struct target_result {
	uint64_t number;
	int error; /* as of a mark */
	bool group_gone; /* there is no such target group */
	char error_code[CLOUD_NAME_SIZE], error_text[CLOUD_TEXT_SIZE];
	VEC(struct instance_id) failed; /* the error is about these alone; none: about all */
	VEC(struct instance_id) unused; /* of TARGETS_HEALTH: the group has nothing of these */
};

/* "InsufficientInstanceCapacity" and its kin: this (type, zone, capacity type) has none now,
 * another may. */
bool launch_code_is_no_capacity(const char *code);
const char *instance_state_text(enum instance_state state);

void launch_order_free(struct launch_order *order);
void launch_result_free(struct launch_result *result);

#endif
