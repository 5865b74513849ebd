/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What EC2 sells: instance types as DescribeInstanceTypes tells of them, and offerings (type × zone
 * × capacity type) with their prices. Filled by user/cloud, or read from a snapshot. Part of the
 * plan room's door (plan/plan.h).
 */
#ifndef FORERUN_PLAN_CATALOG_H
#define FORERUN_PLAN_CATALOG_H

#include "documents/documents.h"

enum capacity_type { CAPACITY_ON_DEMAND, CAPACITY_SPOT, CAPACITY_RESERVED, CAPACITY_TYPES };
enum reservation_kind {
	RESERVATION_DEFAULT,
	RESERVATION_CAPACITY_BLOCK,
	RESERVATION_INTERRUPTIBLE, /* its owner may take the capacity back */
};
enum architecture { ARCH_AMD64, ARCH_ARM64 };

/* One kind of GPU or accelerator that a type has; name "": none. */
struct accelerator {
	char manufacturer[16]; /* "nvidia", "amd", "aws", "habana", "xilinx", ... in lower case */
	char name[24]; /* "a10g", "t4", "inferentia2": in lower case, "-" for spaces */
	uint32_t count; /* 0: a share of one */
	uint32_t memory_mib; /* of each; 0: not known */
};

struct instance_type {
	char name[32];
	bool amd64, arm64;
	bool bare_metal, current_generation, burstable;
	bool spot, on_demand; /* supported usage classes */
	bool encryption_in_transit;
	char hypervisor[8]; /* "nitro", "xen", "" of bare metal */
	char cpu_manufacturer[8]; /* "intel", "amd", "aws" */
	uint32_t cpu_clock_mhz; /* sustained; 0: not known */
	uint32_t vcpus;
	uint64_t memory_mib; /* as EC2 says; what a node can give away is less (node_capacity()) */
	uint16_t interfaces, addresses_per_interface; /* ENIs of the default card, IPv4 of each */
	uint32_t network_mbps; /* baseline; 0: EC2 gives no number */
	uint32_t ebs_mbps; /* at most; 0: not optimised for EBS by default */
	uint64_t local_disk_gb; /* instance store, all disks */
	uint64_t local_nvme_gb; /* the same where it is NVMe, else 0 */
	struct accelerator gpus;
	struct accelerator accelerators; /* inference and training chips */
	uint32_t neuron_devices, neuron_cores;
	uint32_t efa_interfaces; /* 0: no EFA */
	uint32_t pod_eni; /* branch interfaces of the trunk; 0: none */
	double usd_per_hour; /* on demand, of the region; NaN: not known */
};

struct offering {
	char instance_type[32];
	char zone[32];
	char zone_id[16]; /* "use1-az4"; "": not known */
	enum capacity_type capacity_type;
	char reservation[32]; /* of CAPACITY_RESERVED: "cr-..."; "": not known which one */
	enum reservation_kind reservation_kind;
	enum architecture architecture;
	uint32_t vcpus;
	uint64_t memory_mib;
	bool bare_metal;
	double usd_per_hour; /* NaN: not known */
	bool price_assumed; /* no spot price is known: the one on demand, as Karpenter does */
	const struct instance_type *type; /* in the catalog that it is from; NULL: only what stands
					     here is known */
};

/* One of the account's quotas of running vCPUs (Service Quotas, "Running On-Demand Standard
 * instances" and its kin). */
struct vcpu_quota {
	char name[96];
	enum capacity_type capacity_type;
	char categories[64]; /* instance categories that it covers: "a,c,d,h,i,m,r,t,z" */
	double vcpus;
};

/* Which place a zone of this account is. */
struct zone_id {
	char zone[32], id[16];
};

/* A type is offered in that zone. */
struct type_zone {
	char type[32], zone[32];
	char zone_id[16]; /* "": not known */
	double spot_usd_per_hour; /* NaN: not known */
};

struct catalog {
	const struct offering *offerings; /* by type, zone, capacity type */
	size_t count;
	const struct instance_type *types; /* by name, ascending */
	size_t types_count;
	const struct type_zone *zones; /* by type and zone, ascending */
	size_t zones_count;
	char region[32];
	uint64_t fetched_wall_ns; /* types and zones */
	uint64_t priced_wall_ns, spot_wall_ns; /* prices on demand and on spot; 0: never */
	bool snapshot; /* what forerun ships, not what this account sees */
	char filter[20]; /* names the types that were asked for; "": all of the region */
	const struct vcpu_quota *quotas; /* those that are known */
	size_t quotas_count;
};

/* The value of a label that a node of this offering would carry; NULL: it has none. pool: whose
 * labels it gets too; NULL: none. out is used where the text has to be made. */
const char *offering_label(const struct offering *offering, const struct pool *pool,
			   const char *key, char *out, size_t size);
/* Whether the pool's requirements (and labels) leave it. Where it is not known yet which
 * reservation it would be of, those that ask for one leave it. */
bool offering_matches(const struct offering *offering, const struct pool *pool);
const char *capacity_type_text(
	enum capacity_type type); /* "on-demand", "spot", "reserved": as labels and EC2 write it */
const char *architecture_text(
	enum architecture architecture); /* "amd64", "arm64": as Kubernetes writes it */

/* ---- catalogs that own what they point to (offers.c) ---- */

struct offerings {
	VEC(struct offering) list;
};
/* Adds what is offered of types in zones (both sorted): on demand and on spot as the type may be
 * bought; wanted: which; NULL: all. Where no spot price is known the one on demand is assumed. */
void catalog_offer(const struct catalog *catalog,
		   bool (*wanted)(void *arg, const struct offering *offering), void *arg,
		   struct offerings *out);

/* Sorts and copies types and zones. A name that comes twice counts once, a zone of an unknown type
 * not at all. Offers all. Region and times are the caller's to fill in. */
struct catalog *catalog_new(const struct instance_type *types, size_t types_count,
			    const struct type_zone *zones, size_t zones_count);
void catalog_free(struct catalog *catalog);
/* NULL: not in it. */
const struct instance_type *catalog_type(const struct catalog *catalog, const char *name);

/* ---- as JSON: the cache, the snapshot, --catalog FILE (snapshot.c) ---- */

#define CATALOG_VERSION 2

/* file is what messages call it. -EBADMSG: damaged, -ESTALE: of another version; problems says
 * where and what to do. A type or zone that makes no sense is left out, a price that cannot be is
 * taken as not known: with a warning each. */
int catalog_read(const char *file, const char *text, size_t length, struct catalog **out,
		 struct problems *problems);
void catalog_write(const struct catalog *catalog, struct text *out);
/* What forerun ships: every type of us-east-1 with its price on demand; spot prices are not known.
 */
struct catalog *catalog_shipped(void);

#endif
