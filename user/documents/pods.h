/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pods as a scheduler sees them: what they ask for and where they may run. Read from Pod and
 * PodTemplate (v1) and from the templates of Deployment, StatefulSet, ReplicaSet, DaemonSet
 * (apps/v1) and Job (batch/v1), as kubectl prints them; a List of them too. Part of the room's
 * door.
 */
#ifndef FORERUN_DOCUMENTS_PODS_H
#define FORERUN_DOCUMENTS_PODS_H

#include "documents/documents.h"

enum pod_source {
	POD_SINGLE, /* one Pod */
	POD_REPLICAS, /* replicas of a workload */
	POD_DAEMON, /* one on every node that it may run on */
	POD_TEMPLATE, /* none by itself: policies name it (annotation forerun.dev/replica) */
};

/* A node selector term: all must hold. Of several terms one must. */
struct node_term {
	struct label_terms labels;
	int32_t weight; /* of a preferred one: 1 to 100; else 0 */
};

enum toleration_operator { TOLERATE_EQUAL, TOLERATE_EXISTS };
struct toleration {
	char *key; /* NULL: every key (operator Exists) */
	char *value;
	enum toleration_operator op;
	bool effect_given;
	enum taint_effect effect;
};

/* matchLabels and matchExpressions together; nothing selects every pod, !given selects none. */
struct pod_selector {
	bool given;
	struct label_terms labels;
};

struct pod_affinity_term {
	struct pod_selector selector;
	char *topology_key;
	VEC(char *) namespaces;
	/* By their label kubernetes.io/metadata.name, the only one that is known here. With neither
	 * it is the pod's own namespace. */
	struct pod_selector namespace_selector;
	int32_t weight; /* of a preferred one; else 0 */
};
struct pod_affinity_terms {
	VEC(struct pod_affinity_term) list;
};

#define LABEL_NAMESPACE_NAME "kubernetes.io/metadata.name" /* which every namespace has */

struct spread_constraint {
	int32_t max_skew, min_domains; /* min_domains 0: not given */
	char *topology_key;
	bool schedule_anyway; /* else DoNotSchedule */
	bool ignore_affinity; /* nodeAffinityPolicy: Ignore; else Honor */
	bool honor_taints; /* nodeTaintsPolicy: Honor; else Ignore */
	struct pod_selector selector; /* matchLabelKeys are merged into it */
};

enum port_protocol { PORT_TCP, PORT_UDP, PORT_SCTP };
struct host_port {
	uint16_t port;
	enum port_protocol protocol;
	char *ip; /* NULL: every address of the host */
};

struct pod_template {
	struct origin origin;
	enum pod_source source;
	uint32_t replicas; /* 1 of a single pod */
	char *namespace_, *name; /* of replicas: the workload's; each is NAME-0, NAME-1, ... */
	struct key_values labels, annotations;
	struct resources requests; /* of all containers, as the scheduler adds them up (init
				      containers, sidecars and overhead too); without "pods" */
	struct key_values node_selector;
	VEC(struct node_term) node_required, node_preferred;
	VEC(struct toleration) tolerations;
	struct pod_affinity_terms affinity, affinity_preferred, anti_affinity,
		anti_affinity_preferred;
	VEC(struct spread_constraint) spread;
	int32_t priority;
	char *node_name; /* of a pod that is placed already; NULL */
	bool of_daemon_set; /* by its owner: one pod that a DaemonSet made */
	VEC(struct host_port) host_ports;
	uint64_t termination_grace_s; /* default 30 */
	bool do_not_disrupt; /* annotation karpenter.sh/do-not-disrupt: "true" */
	int32_t deletion_cost; /* annotation controller.kubernetes.io/pod-deletion-cost */
};

/* A node of a cluster (v1). */
struct node_object {
	struct origin origin;
	char *name;
	struct key_values labels;
	struct taints taints;
	struct resources capacity, allocatable; /* allocatable as capacity where it is not given */
	bool unschedulable;
};
struct node_objects {
	VEC(struct node_object) list;
};

/* Adds the nodes of a text, and to documents the pods that run on them. As pods_parse() otherwise.
 */
int nodes_parse(struct node_objects *nodes, struct documents *documents, const char *file,
		const char *text, size_t length, struct problems *problems);
void node_objects_free(struct node_objects *nodes);

/* Adds the pods and workloads of a text of YAML or JSON, as kubectl prints them: several documents,
 * Lists. Objects of Kubernetes that run no pods (Service, ConfigMap, ...) are passed over. As
 * documents_parse() otherwise. */
int pods_parse(struct documents *documents, const char *file, const char *text, size_t length,
	       struct problems *problems);
/* The template or workload of that name, for a policy's replica; NULL: there is none. */
const struct pod_template *documents_pod(const struct documents *documents, const char *name);
void pod_template_free(struct pod_template *pod);

/* Whether the pod tolerates the taint (Kubernetes, component-helpers, TolerationsTolerateTaint). */
bool pod_tolerates(const struct pod_template *pod, const struct taint *taint);
bool pod_selector_matches(const struct pod_selector *selector, const struct key_values *labels);
/* Whether the term of a pod in that namespace selects the other pod. */
bool pod_affinity_selects(const struct pod_affinity_term *term, const char *namespace_,
			  const struct pod_template *other);
const char *key_values_get(const struct key_values *values, const char *key); /* NULL: none */

#endif
