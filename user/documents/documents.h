/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the user wrote: HorizontalPodAutoscaler (autoscaling/v2), NodePool (karpenter.sh/v1) and
 * EC2NodeClass (karpenter.k8s.aws/v1), as structs. The door of the room; pods are in
 * documents/pods.h.
 */
#ifndef FORERUN_DOCUMENTS_DOCUMENTS_H
#define FORERUN_DOCUMENTS_DOCUMENTS_H

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
	LABEL_LT,
	LABEL_GTE,
	LABEL_LTE
};

/* One term of a label selector or one NodePool requirement. All terms must hold. */
struct label_term {
	char *key;
	enum label_operator op;
	char **values;
	size_t count;
	uint32_t min_values; /* of a NodePool's requirement: so many different values must stay
				possible; 0: none asked */
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

/* Durations of Kubernetes ("1h30m"), in seconds. */
#define DURATION_NEVER UINT64_MAX

enum taint_effect { TAINT_NO_SCHEDULE, TAINT_PREFER_NO_SCHEDULE, TAINT_NO_EXECUTE };
struct taint {
	char *key, *value; /* value "" when none is given */
	enum taint_effect effect;
};
struct taints {
	VEC(struct taint) list;
};

/* Amounts by resource name: "cpu" in cores, "memory" and "ephemeral-storage" in bytes, "pods",
 * "nvidia.com/gpu", ... in pieces. */
struct resource_amount {
	char *name;
	double amount;
};
struct resources {
	VEC(struct resource_amount) list;
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
	char *replica; /* annotation forerun.dev/replica: the Pod, PodTemplate or workload (kind of
			  documents/pods.h) that says what one replica asks for; NULL: an instance
			  whatever its size */
	bool on_demand; /* annotation forerun.dev/capacity-type: on-demand: no spot for it */
	VEC(char *)
	target_groups; /* annotation forerun.dev/target-groups: ARNs of ALB and NLB
			  target groups that its instances are registered with */
	char *pool; /* spec.scaleTargetRef.name */
	unsigned pool_line, pool_column; /* where it says so */
	int32_t min_replicas, max_replicas;
	VEC(struct policy_metric) metrics;
	bool behavior; /* spec.behavior is there; without it upstream limits and stabilises
			  differently, and up and down hold the defaults */
	struct scaling_rules up, down;
};

/* Label keys that Karpenter and its provider for AWS know: values as the instance type provider
 * computes them (pkg/providers/instancetype/types.go). Requirements may name others too: then they
 * are labels of the pool's own nodes. */
#define LABEL_INSTANCE_TYPE "node.kubernetes.io/instance-type"
#define LABEL_ARCH "kubernetes.io/arch"
#define LABEL_OS "kubernetes.io/os"
#define LABEL_ZONE "topology.kubernetes.io/zone"
#define LABEL_ZONE_ID "topology.k8s.aws/zone-id"
#define LABEL_REGION "topology.kubernetes.io/region"
#define LABEL_CAPACITY_TYPE "karpenter.sh/capacity-type"
#define LABEL_WINDOWS_BUILD "node.kubernetes.io/windows-build"
#define LABEL_AWS(name) "karpenter.k8s.aws/" name
#define LABEL_INSTANCE_CATEGORY LABEL_AWS("instance-category") /* "c" of c7g.2xlarge */
#define LABEL_INSTANCE_FAMILY LABEL_AWS("instance-family") /* "c7g" */
#define LABEL_INSTANCE_GENERATION LABEL_AWS("instance-generation") /* "7" */
#define LABEL_INSTANCE_SIZE LABEL_AWS("instance-size") /* "2xlarge" */
#define LABEL_INSTANCE_CPU LABEL_AWS("instance-cpu") /* vCPUs */
#define LABEL_INSTANCE_CPU_MANUFACTURER LABEL_AWS("instance-cpu-manufacturer")
#define LABEL_INSTANCE_CPU_CLOCK LABEL_AWS("instance-cpu-sustained-clock-speed-mhz")
#define LABEL_INSTANCE_MEMORY LABEL_AWS("instance-memory") /* MiB */
#define LABEL_INSTANCE_EBS_BANDWIDTH LABEL_AWS("instance-ebs-bandwidth") /* Mbit/s */
#define LABEL_INSTANCE_NETWORK_BANDWIDTH LABEL_AWS("instance-network-bandwidth") /* Mbit/s */
#define LABEL_INSTANCE_LOCAL_NVME LABEL_AWS("instance-local-nvme") /* GB */
#define LABEL_INSTANCE_HYPERVISOR LABEL_AWS("instance-hypervisor")
#define LABEL_INSTANCE_ENCRYPTION LABEL_AWS("instance-encryption-in-transit-supported")
#define LABEL_INSTANCE_FLEX LABEL_AWS("instance-capability-flex")
#define LABEL_INSTANCE_TENANCY LABEL_AWS("instance-tenancy")
#define LABEL_GPU_NAME LABEL_AWS("instance-gpu-name")
#define LABEL_GPU_MANUFACTURER LABEL_AWS("instance-gpu-manufacturer")
#define LABEL_GPU_COUNT LABEL_AWS("instance-gpu-count")
#define LABEL_GPU_MEMORY LABEL_AWS("instance-gpu-memory") /* MiB */
#define LABEL_ACCELERATOR_NAME LABEL_AWS("instance-accelerator-name")
#define LABEL_ACCELERATOR_MANUFACTURER LABEL_AWS("instance-accelerator-manufacturer")
#define LABEL_ACCELERATOR_COUNT LABEL_AWS("instance-accelerator-count")
#define LABEL_RESERVATION_ID LABEL_AWS("capacity-reservation-id")
#define LABEL_RESERVATION_TYPE LABEL_AWS("capacity-reservation-type")
#define LABEL_RESERVATION_INTERRUPTIBLE LABEL_AWS("capacity-reservation-interruptible")
#define LABEL_PLACEMENT_GROUP_ID LABEL_AWS("placement-group-id")
#define LABEL_PLACEMENT_GROUP_PARTITION LABEL_AWS("placement-group-partition")
#define LABEL_NODE_CLASS LABEL_AWS("ec2nodeclass")
/* All of them; NULL past the end. */
const char *documents_requirement_key(size_t index);
bool is_requirement_key(const char *key);

enum consolidation_policy {
	CONSOLIDATE_WHEN_EMPTY_OR_UNDERUTILIZED,
	CONSOLIDATE_WHEN_EMPTY,
	CONSOLIDATE_BALANCED,
};
enum disruption_reason {
	REASON_UNDERUTILIZED,
	REASON_EMPTY,
	REASON_DRIFTED,
	DISRUPTION_REASONS,
};
const char *disruption_reason_text(enum disruption_reason reason); /* "Underutilized", ... */

/* A schedule of cron in UTC, each field as the set of its allowed values. As in cron a day matches
 * when either field does, unless one of them is "*" (github.com/robfig/cron, ParseStandard). */
struct cron_schedule {
	uint64_t minutes; /* bits 0 to 59 */
	uint32_t hours, month_days, months; /* bits 0 to 23, 1 to 31, 1 to 12 */
	uint8_t week_days; /* bits 0 (Sunday) to 6 */
	bool any_month_day, any_week_day;
};
/* -EINVAL: it is none, and what is wrong with it is in *why (a constant). */
int cron_parse(const char *text, struct cron_schedule *out, const char **why);
/* The newest moment of the schedule at or before that; 0 when no day of the years before has one.
 */
uint64_t cron_last(const struct cron_schedule *schedule, uint64_t wall_ns);

struct disruption_budget {
	uint32_t reasons; /* bits by enum disruption_reason; all of them when none is named */
	bool percent;
	uint32_t nodes; /* that may be disrupted at once, or percent of the pool, rounded up */
	bool scheduled;
	struct cron_schedule schedule; /* active from each moment of it ... */
	uint64_t duration_s; /* ... for so long */
};
/* A schedule's moment lies less than the duration ago, or there is no schedule. */
bool disruption_budget_active(const struct disruption_budget *budget, uint64_t wall_ns);

/* Annotation forerun.dev/warm-pool of a NodePool: "size=3,state=stopped,refresh=168h". */
enum warm_state { WARM_STOPPED, WARM_HIBERNATED };
struct warm_pool {
	uint32_t size; /* 0: none */
	enum warm_state state;
	uint64_t refresh_s; /* an instance older than this is prepared anew; DURATION_NEVER */
};

/* Annotation forerun.dev/spot-share: "70-80%" or "75%": the share of instances on spot that is kept
 * over the life of the pool. */
struct spot_share {
	bool given;
	double low, high; /* 0 to 1 */
};

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
	struct resources limits; /* of spec.limits, cpu and memory too; "nodes" */

	struct key_values annotations; /* of spec.template.metadata.annotations */
	struct taints taints, startup_taints;
	uint64_t expire_after_s; /* DURATION_NEVER; Karpenter's default: 720h */
	bool termination_grace_given;
	uint64_t termination_grace_s; /* spec.template.spec.terminationGracePeriod */
	int64_t replicas; /* static capacity: spec.replicas; -1: not given */
	enum consolidation_policy consolidation;
	uint64_t consolidate_after_s; /* DURATION_NEVER; default 0 */
	bool budgets_given; /* false: one budget of 10 %, as Karpenter's default; it is in the list.
			       An empty list holds nothing back */
	VEC(struct disruption_budget) budgets;

	/* Annotations of metadata.annotations that are forerun's own. */
	struct warm_pool warm;
	struct spot_share spot_share;
	char *auto_scaling_group; /* forerun.dev/auto-scaling-group: bought through this group
				     instead of CreateFleet; NULL */
};

struct selector_term { /* of subnets and security groups; all given fields must match, and a term
			  with none (empty tags) matches all that there are */
	char *id, *name;
	struct key_values tags; /* value "*" means: the key exists */
};
struct selector_terms {
	VEC(struct selector_term) list;
};

enum ami_family {
	AMI_AL2023,
	AMI_CUSTOM,
	AMI_AL2,
	AMI_BOTTLEROCKET,
	AMI_WINDOWS2019,
	AMI_WINDOWS2022,
	AMI_WINDOWS2025,
};

const char *ami_family_text(enum ami_family family); /* "AL2023", ... */

struct ami_term { /* of amiSelectorTerms: an image that matches any term may be used */
	char *alias; /* "al2023@latest", alone */
	char *id; /* decides before the others */
	char *name, *owner; /* owner: an account, "self" or "amazon"; NULL: self and amazon */
	char *ssm_parameter; /* name or ARN; decides before name, owner and tags */
	struct key_values tags;
};

struct reservation_term { /* of capacityReservationSelectorTerms */
	char *id, *owner_id;
	char *instance_match_criteria; /* "open" or "targeted"; NULL: both */
	struct key_values tags;
};

/* Amounts by signal ("memory.available"), as kubelet writes them: "5%" or a quantity. */
struct eviction_threshold {
	char *signal;
	char *value;
};
struct eviction_thresholds {
	VEC(struct eviction_threshold) list;
};

struct kubelet { /* spec.kubelet; -1 and NULL: not given, and nothing counts unless given */
	bool given;
	VEC(char *) cluster_dns;
	int32_t max_pods, pods_per_core;
	struct resources system_reserved, kube_reserved; /* bytes, cores, pieces of pid */
	struct eviction_thresholds eviction_hard, eviction_soft, eviction_soft_grace_period;
	int32_t eviction_max_pod_grace_period_s;
	int32_t image_gc_high_threshold_percent, image_gc_low_threshold_percent;
	int8_t cpu_cfs_quota; /* -1, 0, 1 */
};

/* None of them given. */
extern const struct kubelet KUBELET_DEFAULTS;

struct block_device {
	char *device_name;
	bool encrypted_set, encrypted, delete_on_termination_set, delete_on_termination;
	uint32_t iops, throughput; /* 0: not given */
	char *kms_key_id, *snapshot_id, *volume_type;
	uint64_t volume_size_bytes; /* 0: not given */
	bool root_volume; /* its size is the node's ephemeral storage */
	uint32_t volume_initialization_rate; /* MiB/s; 0: not given */
};

struct metadata_options { /* NULL: Karpenter's default: enabled, disabled, 1, required */
	char *http_endpoint, *http_protocol_ipv6, *http_tokens;
	uint32_t http_put_response_hop_limit;
};

struct connection_tracking { /* timeouts in seconds; 0: not given */
	uint32_t tcp_established_s, udp_stream_s, udp_s;
};

struct network_interface {
	uint32_t card, device;
	bool efa_only; /* interfaceType: efa-only; else interface */
};

/* EC2NodeClass. */
struct node_class {
	struct origin origin;
	char *name;
	enum ami_family family;
	VEC(struct ami_term) amis;
	struct selector_terms subnets, security_groups;
	VEC(struct reservation_term) reservations;
	char *role, *instance_profile; /* exactly one */
	char *user_data;
	struct key_values tags;
	VEC(struct block_device) block_devices;
	struct metadata_options metadata;
	struct kubelet kubelet;
	bool instance_store_raid0; /* spec.instanceStorePolicy: RAID0 */
	int8_t associate_public_ip; /* -1: as the subnet says; 0, 1 */
	int32_t ip_prefix_count; /* -1: not given */
	char *context; /* of the fleet request; NULL */
	bool detailed_monitoring;
	struct connection_tracking connection_tracking;
	int8_t nested_virtualization; /* spec.cpuOptions: -1: not given; 0, 1 */
	VEC(struct network_interface) network_interfaces; /* none: one primary interface */
	char *placement_group_id, *placement_group_name; /* at most one; NULL */
};

struct pod_template; /* documents/pods.h */

struct documents {
	VEC(struct policy) policies;
	VEC(struct pool) pools;
	VEC(struct node_class) classes;
	VEC(struct pod_template *) pods; /* what the files say of pods and workloads, in order */
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

/* A number for what an instance is launched from: the fields whose change is drift in Karpenter
 * (ec2nodeclass-hash, nodepool-hash), in whatever order lists are written. Tags
 * forerun.dev/class-hash and forerun.dev/pool-hash keep it in hex. */
uint64_t documents_class_hash(const struct node_class *node_class);
uint64_t documents_pool_hash(const struct pool *pool);

/* Kubernetes resource quantity ("500m", "1Gi", "2e3"). -EINVAL when it is none. */
int quantity_parse(const char *text, double *value);

/* A label of a selector that is asked of the host and not of its listener: host, instance_id. */
bool is_host_label(const char *key);

/* value: NULL when the label does not exist. Gt and Lt compare integers. */
bool label_term_matches(const struct label_term *term, const char *value);

#endif
