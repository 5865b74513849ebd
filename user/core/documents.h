/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the user wrote: HorizontalPodAutoscaler (autoscaling/v2), NodePool (karpenter.sh/v1) and
 * EC2NodeClass (karpenter.k8s.aws/v1), as structs. Part of the core room's door (core/core.h).
 */
#ifndef FORERUN_CORE_DOCUMENTS_H
#define FORERUN_CORE_DOCUMENTS_H

#include "base/yaml.h"
#include "signal/signal.h"

/* Where a document stood, for messages. */
struct origin {
	char *file;
	unsigned line, column;
};

enum label_operator {
	LABEL_IN,
	LABEL_NOT_IN,
	LABEL_EXISTS,
	LABEL_DOES_NOT_EXIST,
	LABEL_GT,
	LABEL_LT
};

/* One term of a label selector or one NodePool requirement. All terms must hold. */
struct label_term {
	char *key;
	enum label_operator op;
	char **values;
	size_t count;
};

struct label_terms {
	VEC(struct label_term) list;
};

struct key_value {
	char *key, *value;
};
struct key_values {
	VEC(struct key_value) list;
};

enum metric_source { SOURCE_EXTERNAL, SOURCE_RESOURCE_CPU, SOURCE_CONTAINER_CPU };
enum target_type { TARGET_VALUE, TARGET_AVERAGE_VALUE, TARGET_UTILIZATION };

struct policy_metric {
	enum metric_source source;
	enum metric metric; /* of SOURCE_EXTERNAL */
	enum statistic statistic; /* from the labels window and statistic */
	struct label_terms selector; /* without window and statistic */
	char *container; /* of SOURCE_CONTAINER_CPU: unit, container or process name */
	enum target_type target_type;
	double target; /* a quantity as a plain number (cores, seconds, count); utilisation in
			  percent */
};

enum scaling_type { SCALING_PODS, SCALING_PERCENT };
struct scaling_policy {
	enum scaling_type type;
	int32_t value;
	uint32_t period_s;
};
enum select_policy { SELECT_MAX, SELECT_MIN, SELECT_DISABLED };
struct scaling_rules {
	uint32_t stabilization_s;
	enum select_policy select;
	VEC(struct scaling_policy) policies;
	double tolerance; /* 0.1 unless given */
};

/* One HorizontalPodAutoscaler. A replica is an instance of its pool. minReplicas 0 is accepted with
 * an External metric, as upstream does with its feature gate HPAScaleToZero. */
struct policy {
	struct origin origin;
	char *name;
	char *service; /* annotation forerun.dev/service; without it the policy's name */
	bool service_given; /* by the annotation */
	char *pool; /* spec.scaleTargetRef.name */
	unsigned pool_line, pool_column; /* where it says so */
	int32_t min_replicas, max_replicas;
	VEC(struct policy_metric) metrics;
	bool behavior; /* spec.behavior is there; without it upstream limits and stabilises
			  differently, and up and down hold the defaults */
	struct scaling_rules up, down;
};

/* The label keys that a NodePool's requirements may name. */
#define LABEL_INSTANCE_TYPE "node.kubernetes.io/instance-type"
#define LABEL_ARCH "kubernetes.io/arch"
#define LABEL_OS "kubernetes.io/os"
#define LABEL_ZONE "topology.kubernetes.io/zone"
#define LABEL_CAPACITY_TYPE "karpenter.sh/capacity-type"
#define LABEL_INSTANCE_CATEGORY "karpenter.k8s.aws/instance-category" /* "c" of c7g.2xlarge */
#define LABEL_INSTANCE_FAMILY "karpenter.k8s.aws/instance-family" /* "c7g" */
#define LABEL_INSTANCE_GENERATION "karpenter.k8s.aws/instance-generation" /* "7" */
#define LABEL_INSTANCE_SIZE "karpenter.k8s.aws/instance-size" /* "2xlarge" */
#define LABEL_INSTANCE_CPU "karpenter.k8s.aws/instance-cpu" /* vCPUs */
#define LABEL_INSTANCE_MEMORY "karpenter.k8s.aws/instance-memory" /* MiB */
/* All of them; NULL past the end. */
const char *documents_requirement_key(size_t index);

/* NodePool. */
struct pool {
	struct origin origin;
	char *name;
	char *node_class;
	unsigned node_class_line, node_class_column;
	int32_t weight; /* 0: none given */
	struct label_terms requirements; /* of spec.template.spec.requirements, and of labels with
					    such a key */
	struct key_values labels; /* of spec.template.metadata.labels */
	bool cpu_limited, memory_limited;
	double limit_cpus, limit_memory_bytes;
};

struct selector_term { /* of subnets and security groups; all given fields must match */
	char *id, *name;
	struct key_values tags; /* value "*" means: the key exists */
};
struct selector_terms {
	VEC(struct selector_term) list;
};

enum ami_family { AMI_AL2023, AMI_CUSTOM };

struct block_device {
	char *device_name;
	bool encrypted_set, encrypted, delete_on_termination_set, delete_on_termination;
	uint32_t iops, throughput; /* 0: not given */
	char *kms_key_id, *snapshot_id, *volume_type;
	uint32_t volume_size_gib;
};

struct metadata_options { /* NULL: Karpenter's default: enabled, disabled, 1, required */
	char *http_endpoint, *http_protocol_ipv6, *http_tokens;
	uint32_t http_put_response_hop_limit;
};

/* EC2NodeClass. */
struct node_class {
	struct origin origin;
	char *name;
	enum ami_family family;
	char *ami_alias; /* "al2023@latest"; NULL when by id */
	VEC(char *) ami_ids;
	struct selector_terms subnets, security_groups;
	char *role, *instance_profile; /* exactly one */
	char *user_data;
	struct key_values tags;
	VEC(struct block_device) block_devices;
	struct metadata_options metadata;
};

struct documents {
	VEC(struct policy) policies;
	VEC(struct pool) pools;
	VEC(struct node_class) classes;
};

/* Adds the documents of one YAML text. Every problem is reported (place, found, expected); nothing
 * is added when there is one. */
int documents_parse(struct documents *documents, const char *file, const char *text, size_t length,
		    struct problems *problems);
/* References between them (policy -> pool -> class, names taken twice). Once, after all were
 * parsed. */
int documents_check(const struct documents *documents, struct problems *problems);
void documents_free(struct documents *documents);
const struct pool *documents_pool(const struct documents *documents, const char *name);
const struct node_class *documents_class(const struct documents *documents, const char *name);

/* Kubernetes resource quantity ("500m", "1Gi", "2e3"). -EINVAL when it is none. */
int quantity_parse(const char *text, double *value);

/* A label of a selector that is asked of the host and not of its listener: host, instance_id. */
bool is_host_label(const char *key);

/* value: NULL when the label does not exist. Gt and Lt compare integers. */
bool label_term_matches(const struct label_term *term, const char *value);

#endif
