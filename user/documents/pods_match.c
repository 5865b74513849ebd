/* SPDX-License-Identifier: Apache-2.0 */
/* What selectors and tolerations of pods say of other pods and of nodes, and the end of pods. */
#include "documents/pods_private.h"

const char *key_values_get(const struct key_values *values, const char *key)
{
	vec_for_each (it, &values->list)
		if (strcmp(it->key, key) == 0)
			return it->value;
	return NULL;
}

static bool tolerates(const struct toleration *toleration, const struct taint *taint)
{
	if (toleration->effect_given && toleration->effect != taint->effect)
		return false;
	if (toleration->key && strcmp(toleration->key, taint->key) != 0)
		return false;
	return toleration->op == TOLERATE_EXISTS ||
	       strcmp(toleration->value ? toleration->value : "",
		      taint->value ? taint->value : "") == 0;
}

bool pod_tolerates(const struct pod_template *pod, const struct taint *taint)
{
	vec_for_each (toleration, &pod->tolerations)
		if (tolerates(toleration, taint))
			return true;
	return false;
}

bool pod_selector_matches(const struct pod_selector *selector, const struct key_values *labels)
{
	if (!selector->given)
		return false;
	vec_for_each (term, &selector->labels.list)
		if (!label_term_matches(term, key_values_get(labels, term->key)))
			return false;
	return true;
}

static bool namespace_selected(const struct pod_affinity_term *term, const char *own,
			       const char *other)
{
	struct key_value label = {.key = LABEL_NAMESPACE_NAME, .value = (char *)other};
	struct key_values labels = {.list = {.at = &label, .count = 1}};

	vec_for_each (name, &term->namespaces)
		if (strcmp(*name, other) == 0)
			return true;
	if (term->namespace_selector.given)
		return pod_selector_matches(&term->namespace_selector, &labels);
	return !term->namespaces.count && strcmp(own, other) == 0;
}

bool pod_affinity_selects(const struct pod_affinity_term *term, const char *namespace_,
			  const struct pod_template *other)
{
	return namespace_selected(term, namespace_, other->namespace_) &&
	       pod_selector_matches(&term->selector, &other->labels);
}

static void affinity_terms_free(struct pod_affinity_terms *terms)
{
	vec_for_each (term, &terms->list) {
		label_terms_free(&term->selector.labels);
		label_terms_free(&term->namespace_selector.labels);
		vec_for_each (name, &term->namespaces)
			free(*name);
		vec_free(&term->namespaces);
		free(term->topology_key);
	}
	vec_free(&terms->list);
}

static void spec_free(struct pod_template *pod)
{
	vec_for_each (it, &pod->requests.list)
		free(it->name);
	vec_free(&pod->requests.list);
	vec_for_each (term, &pod->node_required)
		label_terms_free(&term->labels);
	vec_free(&pod->node_required);
	vec_for_each (term, &pod->node_preferred)
		label_terms_free(&term->labels);
	vec_free(&pod->node_preferred);
	vec_for_each (toleration, &pod->tolerations) {
		free(toleration->key);
		free(toleration->value);
	}
	vec_free(&pod->tolerations);
	vec_for_each (port, &pod->host_ports)
		free(port->ip);
	vec_free(&pod->host_ports);
}

void pod_template_free(struct pod_template *pod)
{
	if (!pod)
		return;
	spec_free(pod);
	affinity_terms_free(&pod->affinity);
	affinity_terms_free(&pod->affinity_preferred);
	affinity_terms_free(&pod->anti_affinity);
	affinity_terms_free(&pod->anti_affinity_preferred);
	vec_for_each (spread, &pod->spread) {
		label_terms_free(&spread->selector.labels);
		free(spread->topology_key);
	}
	vec_free(&pod->spread);
	key_values_free(&pod->labels);
	key_values_free(&pod->annotations);
	key_values_free(&pod->node_selector);
	free(pod->origin.file);
	free(pod->namespace_);
	free(pod->name);
	free(pod->node_name);
	free(pod);
}
