/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only room that knows AWS: credentials, signing, EC2, SSM, IAM, pricing, IMDS. Everything is
 * asynchronous on the event loop; answers come through the callbacks given at the start, never from
 * inside the call that asked.
 */
#ifndef FORERUN_CLOUD_CLOUD_H
#define FORERUN_CLOUD_CLOUD_H

#include "base/http.h"
#include "core/core.h"

struct cloud;

struct cloud_events {
	void *arg;
	void (*catalog)(void *arg, const struct catalog *catalog);
	void (*class_resolved)(void *arg, const struct class_view *view);
	void (*fleet)(void *arg, const struct fleet_view *view);
	void (*launched)(void *arg, const struct launch_result *result);
	void (*terminated)(void *arg, const struct terminate_result *result);
	void (*stopped)(void *arg, const struct stop_result *result);
	void (*marked)(void *arg, const struct mark_result *result);
	void (*targets)(void *arg, const struct target_result *result);
	/* Of the queue: EC2's word on the end of an instance, and states on the way to it. False:
	 * to be said again later. */
	bool (*noticed)(void *arg, const char *instance_id, const struct notice *notice);
	bool (*state_changed)(void *arg, const char *instance_id, enum instance_state state);
	/* Asked in the moment in which a call with an effect (CreateFleet, TerminateInstances,
	 * CreateTags, CreateLaunchTemplate) would be written, each try anew; false: it is not sent
	 * (error code "NotLeader": LAUNCH_REFUSED when no try of this cloud_launch() was written,
	 * else LAUNCH_UNKNOWN). NULL: always true. Cheap, and calls nothing here. */
	bool (*may_act)(void *arg);
};

struct cloud_config {
	const char *region; /* NULL: AWS_REGION, AWS_DEFAULT_REGION, profile, IMDS */
	const char *cluster_version; /* "1.34": the EKS-optimised image for al2023@...; NULL: plain
					Amazon Linux */
	/* The cluster that nodes join; its name NULL: none, and the others are of no use. Without
	 * endpoint and certificate authority (base64) a class whose images need them has a problem
	 * that says so. */
	const char *cluster_name, *cluster_endpoint, *cluster_ca;
	const char *cluster_cidr; /* of services */
	const char *cluster_dns; /* address; NULL: each image's own way to find it */
	const char *name; /* marks what this installation owns: tag forerun.dev/owner; default
			     "default" */
	uint64_t fleet_every_ns; /* DescribeInstances while something is pending / otherwise */
	uint64_t fleet_idle_every_ns; /* defaults 1 s / 30 s */
	uint64_t refresh_every_ns; /* classes 5 min; catalog and prices 12 h, spot prices 10 min */
	bool read_only; /* observe mode: nothing is made in AWS, launch templates are only named */
	uint64_t template_keep_ns; /* a launch template that is of no use is kept so long; 24 h */
	const char *cache_path; /* directory for catalog and prices; NULL: none */
};

void cloud_config_default(struct cloud_config *config);

/* documents must outlive it. Nothing is sent before cloud_start(). */
int cloud_new(struct loop *loop, struct http_client *http, const struct cloud_config *config,
	      const struct documents *documents, const struct cloud_events *events,
	      struct cloud **out);
void cloud_free(struct cloud *cloud);

/* Finds region and credentials, resolves every class, keeps its launch templates, fetches catalog
 * and prices, watches the fleet, keeps a warm connection to EC2. Failures are logged and tried
 * again. */
void cloud_start(struct cloud *cloud);

/* One CreateFleet, or StartInstances and CreateTags where the order names instances; on the wire
 * before it returns when the connection is warm. Of a dry_run order the result is LAUNCH_REFUSED
 * with the code "DryRunOperation" when EC2 would have done it, else with what it would have
 * refused. */
void cloud_launch(struct cloud *cloud, const struct launch_order *order);
void cloud_terminate(struct cloud *cloud, const struct terminate_order *order);
/* The tag forerun.dev/draining, and ELB's target groups; answered by marked() and targets(). */
void cloud_mark(struct cloud *cloud, const struct mark_order *order);
void cloud_targets(struct cloud *cloud, const struct target_order *order);
void cloud_stop(struct cloud *cloud, const struct stop_order *order);
void cloud_describe_now(struct cloud *cloud); /* the fleet, ahead of its time */

/* ---- leadership: a conditional write to one DynamoDB item ---- */

#define LEASE_HOLDER_SIZE 160

struct lease_config {
	const char *table; /* with the partition key "name" (string) */
	const char *name; /* the item: one for each installation (cloud_config.name) */
	const char *holder; /* who we are; unique for each process; shorter than
			       LEASE_HOLDER_SIZE */
	uint64_t ttl_ns; /* 0: 5 s; from 100 ms to 60 s */
	uint64_t renew_every_ns; /* 0: ttl / 3; at most half of it */
	uint64_t watch_every_ns; /* of a standby; 0: 100 ms */
};
struct lease_events {
	void *arg;
	/* state: what the holder before left, "" when there is none. */
	void (*acquired)(void *arg, uint64_t epoch, const char *state);
	/* From here on lease_held() is false. */
	void (*lost)(void *arg, const char *why);
	/* What goes into the item at the next renewal. */
	void (*state)(void *arg, struct text *out);
	/* What state() gave last is in the item now, or was already. */
	void (*stored)(void *arg);
	/* The item's attribute "paused": its reason, NULL when it is not there; at each change. */
	void (*paused)(void *arg, const char *why);
};
struct lease;

/* Starts to watch, and takes the lease when it is free. All must outlive it. -EINVAL: a table name,
 * holder or time that cannot be. */
int lease_new(struct cloud *cloud, const struct lease_config *config,
	      const struct lease_events *events, struct lease **out);
/* Gives it up when it is held, as far as one write of at most a second allows; not from inside a
 * callback. */
void lease_free(struct lease *lease);
/* Whether this process may act now: by its own CLOCK_BOOTTIME, with a margin. Cheap. */
bool lease_held(const struct lease *lease);
/* The state changed: renew now instead of at the next turn (at most one write at a time). */
void lease_renew_now(struct lease *lease);
/* `forerun core pause`: one conditional update of the item, why NULL lifts it. */
void lease_pause(struct cloud *cloud, const struct lease_config *config, const char *why,
		 void (*done)(void *arg, int error, const char *text), void *arg);
struct lease_status {
	bool held;
	uint64_t epoch, renewals, failures;
	char holder[LEASE_HOLDER_SIZE]; /* who holds it as far as is known */
	uint64_t left_ns;
	char problem[CLOUD_TEXT_SIZE];
};
void lease_status(const struct lease *lease, struct lease_status *out);

/* ---- the end of this host, as its own metadata says ---- */

/* Calls at each change, with all that stands; of a notice age_ns is since when, CLOCK_MONOTONIC.
 * Once; nothing where the metadata service is switched off. */
int cloud_watch_notices(struct cloud *cloud,
			void (*changed)(void *arg, const struct notice *notices, size_t count),
			void *arg);

/* ---- the end of any host: a queue (SQS) that EventBridge fills ---- */

bool queue_name_valid(const char *text); /* a queue's name, or its URL */
/* Reads it while may_act() says so. Once; -EINVAL: neither a name nor a URL. */
int cloud_watch_queue(struct cloud *cloud, const char *name);
struct queue_status {
	bool reads; /* this process does now */
	uint64_t received, deleted, errors;
	uint64_t unknown; /* messages that nobody here understands; deleted */
	char problem[CLOUD_TEXT_SIZE];
};
bool cloud_queue_status(const struct cloud *cloud, struct queue_status *out); /* false: none */

/* ---- the signed instance identity document ---- */

/* From IMDS, for an agent's hello: the document and its PKCS7 signature; "" where there is none. */
void cloud_identity_document(struct cloud *cloud,
			     void (*done)(void *arg, const char *document, const char *pkcs7),
			     void *arg);
/* Checks the signature against the certificates of that PEM file (AWS publishes one a region) and
 * reads the instance id. -EKEYREJECTED with a reason when it does not hold. */
int cloud_identity_verify(const char *document, const char *pkcs7, const char *certificates_file,
			  char instance_id[32], char reason[128]);

struct cloud_status {
	char region[32];
	char credentials[48]; /* the source: "environment", "shared file, profile x", "container",
				 "web identity", "IMDSv2" */
	bool ready; /* credentials and every class */
	char problem[CLOUD_TEXT_SIZE];
	uint64_t calls, errors, throttled;
	uint64_t hedged; /* sent again because the connection was dead */
	size_t types; /* in the catalog */
	/* When types and zones, prices on demand and on spot were fetched; 0: never. */
	uint64_t types_wall_ns, prices_wall_ns, spot_wall_ns;
	double clock_offset_s; /* how far AWS' clock is ahead of ours, by its Date headers */
};
void cloud_status(const struct cloud *cloud, struct cloud_status *out);

/* What is left of EC2's rate for each action, as this process counts it. */
struct cloud_rate {
	const char *action; /* "CreateFleet" */
	bool per_instance; /* a token an instance (EC2's resource bucket), else a token a call */
	double tokens, size; /* EC2's, less what it refills in a second */
	uint64_t waits, waited_ns; /* calls that had to wait, and how long all together */
};
/* At most so many; returns how many there are in out. */
size_t cloud_rates(const struct cloud *cloud, struct cloud_rate *out, size_t most);

/* For `run --check`: everything that can be asked without launching (region, credentials,
 * CreateFleet as DryRun, AMI, subnets, security groups, instance profile, types that the
 * requirements leave). Problems name file:line:column. Calls done once. */
void cloud_check(struct cloud *cloud, struct problems *problems, void (*done)(void *arg),
		 void *arg);

/* Every type, zone and price of the region, once, written to cache_path; needs no cloud_start() and
 * no documents. catalog is the caller's (catalog_free()), NULL when the types could not be had;
 * problem: NULL, or what failed (prices may be missing then). */
void cloud_refresh_catalog(struct cloud *cloud,
			   void (*done)(void *arg, struct catalog *catalog, const char *problem),
			   void *arg);

/* This host on EC2: instance id, type, zone from IMDSv2; done is called with "" where there is
 * none. */
void cloud_whoami(struct cloud *cloud,
		  void (*done)(void *arg, const char *instance_id, const char *instance_type,
			       const char *zone),
		  void *arg);

#endif
