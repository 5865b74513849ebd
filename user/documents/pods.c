/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pods and the workloads that make them. Rules from Kubernetes: pkg/apis/core/validation,
 * pkg/apis/apps/validation. What does not bear on where a pod may run is accepted by its name and
 * not looked at.
 */
#include "documents/pods_private.h"

#define REPLICAS_MAX 1000000

enum pod_kind {
	KIND_POD,
	KIND_POD_TEMPLATE,
	KIND_DEPLOYMENT,
	KIND_STATEFUL_SET,
	KIND_REPLICA_SET,
	KIND_DAEMON_SET,
	KIND_JOB,
	POD_KINDS,
};

static const struct {
	const char *kind, *version;
	enum pod_source source;
	const char *replicas; /* the field of spec that says how many */
} POD_KIND[POD_KINDS] = {
	[KIND_POD] = {"Pod", "v1", POD_SINGLE, NULL},
	[KIND_POD_TEMPLATE] = {"PodTemplate", "v1", POD_TEMPLATE, NULL},
	[KIND_DEPLOYMENT] = {"Deployment", "apps/v1", POD_REPLICAS, "replicas"},
	[KIND_STATEFUL_SET] = {"StatefulSet", "apps/v1", POD_REPLICAS, "replicas"},
	[KIND_REPLICA_SET] = {"ReplicaSet", "apps/v1", POD_REPLICAS, "replicas"},
	[KIND_DAEMON_SET] = {"DaemonSet", "apps/v1", POD_DAEMON, NULL},
	[KIND_JOB] = {"Job", "batch/v1", POD_REPLICAS, "parallelism"},
};

/* ---- metadata ---- */

static void read_labels(const struct cursor *metadata, struct pod_template *pod)
{
	struct cursor labels = cursor_field(metadata, "labels");
	struct cursor annotations = cursor_field(metadata, "annotations");

	read_string_map(&labels, &pod->labels);
	vec_for_each (label, &pod->labels.list) {
		struct cursor at = cursor_field(&labels, label->key);

		if (check_label_key(&at, label->key))
			check_label_value(&at, label->value);
	}
	read_string_map(&annotations, &pod->annotations);
}

/* A pod that its workload has yet to name has a generateName. */
static void read_names(const struct cursor *document, struct pod_template *pod)
{
	struct cursor metadata = cursor_field(document, "metadata");
	struct cursor name = cursor_field(&metadata, "name");
	struct cursor generated = cursor_field(&metadata, "generateName");
	struct cursor namespace_ = cursor_field(&metadata, "namespace");

	if (!cursor_present(&metadata)) {
		cursor_refuse(document, "missing field metadata, expected a mapping with the "
					"object's name");
		return;
	}
	if (metadata.node->kind != YAML_MAPPING) {
		cursor_expected(&metadata, "a mapping with the object's name");
		return;
	}
	if (!cursor_present(&name) && cursor_present(&generated))
		name = generated;
	if (!cursor_present(&name))
		cursor_refuse(&metadata, "missing field name, expected the object's name");
	else if (read_string(&name, &pod->name) && name.node != generated.node)
		check_subdomain(&name, pod->name);
	if (read_string(&namespace_, &pod->namespace_) && !is_dns_label(pod->namespace_))
		cursor_expected(&namespace_, "lower case letters, digits and '-'");
	if (!pod->namespace_)
		pod->namespace_ = strdup("default");
}

/* "pod-deletion-cost" is a number in a string; what is none counts as 0 in Kubernetes, too. */
static void read_annotations(const struct cursor *metadata, struct pod_template *pod)
{
	const char *disrupt = key_values_get(&pod->annotations, "karpenter.sh/do-not-disrupt");
	const char *cost =
		key_values_get(&pod->annotations, "controller.kubernetes.io/pod-deletion-cost");
	char *end = NULL;
	long value = cost ? strtol(cost, &end, 10) : 0;

	pod->do_not_disrupt = str_equal(disrupt, "true");
	if (cost && (!*cost || *end || value > INT32_MAX || value < INT32_MIN)) {
		struct cursor annotations = cursor_field(metadata, "annotations");
		struct cursor at =
			cursor_field(&annotations, "controller.kubernetes.io/pod-deletion-cost");

		cursor_expected(&at, "a whole number in quotes");
		return;
	}
	pod->deletion_cost = (int32_t)value;
}

/* ---- kinds ---- */

static void read_template(const struct cursor *template, struct pod_template *pod)
{
	static const struct field FIELDS[] = {
		{"metadata"},
		{"spec", FIELD_REQUIRED, "the spec of a pod"},
	};
	struct cursor metadata = cursor_field(template, "metadata");
	struct cursor spec = cursor_field(template, "spec");

	if (!read_mapping(template, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	read_labels(&metadata, pod);
	read_annotations(&metadata, pod);
	read_pod_spec(&spec, pod);
}

/* A Job of more completions than it runs at once goes on with the others later; one that is
 * suspended runs none. */
static void read_job_replicas(const struct cursor *spec, struct pod_template *pod)
{
	struct cursor completions = cursor_field(spec, "completions");
	struct cursor suspend = cursor_field(spec, "suspend");
	int64_t value = 0;
	bool suspended = false;

	if (read_integer(&completions, 0, REPLICAS_MAX, &value))
		pod->replicas = MIN(pod->replicas, (uint32_t)value);
	if (read_bool(&suspend, &suspended) && suspended)
		pod->replicas = 0;
}

static void read_workload(const struct cursor *document, enum pod_kind kind,
			  struct pod_template *pod)
{
	struct cursor spec = cursor_field(document, "spec");
	struct cursor template = cursor_field(&spec, "template");
	const char *field = POD_KIND[kind].replicas;
	int64_t value = 0;

	if (!cursor_present(&spec) || spec.node->kind != YAML_MAPPING) {
		cursor_refuse(document, "missing field spec, expected a mapping with template");
		return;
	}
	if (!cursor_present(&template)) {
		cursor_refuse(&spec, "missing field template, expected a pod's metadata and spec");
		return;
	}
	if (field) {
		struct cursor at = cursor_field(&spec, field);

		if (read_integer(&at, 0, REPLICAS_MAX, &value))
			pod->replicas = (uint32_t)value;
	}
	if (kind == KIND_JOB)
		read_job_replicas(&spec, pod);
	read_template(&template, pod);
}

/* A pod that has ended, or is about to, wants no place. */
static void read_phase(const struct cursor *document, struct pod_template *pod)
{
	struct cursor status = cursor_field(document, "status");
	struct cursor phase = cursor_field(&status, "phase");
	_cleanup_free_ char *text = NULL;

	if (read_string(&phase, &text) &&
	    (strcmp(text, "Succeeded") == 0 || strcmp(text, "Failed") == 0))
		pod->replicas = 0;
}

static void read_owners(const struct cursor *metadata, struct pod_template *pod)
{
	struct cursor owners = cursor_field(metadata, "ownerReferences");

	if (!read_list(&owners, SIZE_MAX))
		return;
	for (size_t i = 0; i < owners.node->count; i++) {
		struct cursor owner = cursor_item(&owners, i);
		struct cursor kind = cursor_field(&owner, "kind");
		_cleanup_free_ char *text = NULL;

		if (read_string(&kind, &text) && strcmp(text, "DaemonSet") == 0)
			pod->of_daemon_set = true;
	}
}

static void read_pod(const struct cursor *document, struct pod_template *pod)
{
	static const struct field FIELDS[] = {
		{"apiVersion"}, {"kind"},
		{"metadata"},	{"spec", FIELD_REQUIRED, "the spec of a pod"},
		{"status"},
	};
	struct cursor metadata = cursor_field(document, "metadata");
	struct cursor spec = cursor_field(document, "spec");

	if (!read_mapping(document, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	read_labels(&metadata, pod);
	read_annotations(&metadata, pod);
	read_pod_spec(&spec, pod);
	read_phase(document, pod);
	read_owners(&metadata, pod);
}

static void read_kind(const struct cursor *document, enum pod_kind kind, struct documents *out)
{
	struct pod_template *pod = calloc(1, sizeof(*pod));
	struct cursor template = cursor_field(document, "template");

	if (!pod)
		abort();
	*vec_push(&out->pods) = pod;
	pod->origin = (struct origin){
		.file = strdup(document->node->file ? document->node->file : ""),
		.line = document->node->line,
		.column = document->node->column,
	};
	pod->source = POD_KIND[kind].source;
	pod->replicas = 1;
	read_names(document, pod);
	if (kind == KIND_POD)
		read_pod(document, pod);
	else if (kind == KIND_POD_TEMPLATE)
		read_template(&template, pod);
	else
		read_workload(document, kind, pod);
}

bool read_pod_document(const struct cursor *document, const char *version, const char *kind,
		       struct documents *out)
{
	for (int i = 0; i < POD_KINDS; i++) {
		if (strcmp(kind, POD_KIND[i].kind) != 0)
			continue;
		if (strcmp(version, POD_KIND[i].version) == 0) {
			read_kind(document, (enum pod_kind)i, out);
		} else {
			struct cursor at = cursor_field(document, "apiVersion");

			cursor_expected(&at, "%s", POD_KIND[i].version);
		}
		return true;
	}
	return false;
}

const struct pod_template *documents_pod(const struct documents *documents, const char *name)
{
	vec_for_each (pod, &documents->pods)
		if (str_equal((*pod)->name, name) && (*pod)->source != POD_DAEMON)
			return *pod;
	return NULL;
}
