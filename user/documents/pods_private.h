/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that read pods call of each other. Private to the room. */
#ifndef FORERUN_DOCUMENTS_PODS_PRIVATE_H
#define FORERUN_DOCUMENTS_PODS_PRIVATE_H

#include "documents/pods.h"
#include "documents/read.h"

/* True when the kind is one of pods or of workloads: then it was read into out, or what is wrong
 * with it reported. */
bool read_pod_document(const struct cursor *document, const char *version, const char *kind,
		       struct documents *out);
/* spec of a pod. */
void read_pod_spec(const struct cursor *spec, struct pod_template *pod);
/* spec.containers, spec.initContainers, spec.overhead, spec.resources: requests and host ports. */
void read_pod_requests(const struct cursor *spec, struct pod_template *pod);
/* spec.affinity and spec.topologySpreadConstraints. */
void read_pod_affinity(const struct cursor *spec, struct pod_template *pod);
void read_pod_spread(const struct cursor *spec, struct pod_template *pod);
/* A node object, read into out. */
void read_node_object(const struct cursor *document, struct node_object *out);
bool read_taint_effect(const struct cursor *at, enum taint_effect *out);
/* A LabelSelector. */
void read_pod_selector(const struct cursor *at, struct pod_selector *out);
/* Adds "key op value of the pod's own label" for each of the list's keys that the pod has. */
void read_label_keys(const struct cursor *keys, enum label_operator op,
		     const struct key_values *labels, struct pod_selector *out);
/* matchExpressions of selectors and of node selector terms. */
bool read_label_expression(const struct cursor *at, bool of_nodes, struct label_terms *out);

#endif
