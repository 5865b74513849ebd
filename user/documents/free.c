/* SPDX-License-Identifier: Apache-2.0 */
#include "documents/pods.h"
#include "documents/read.h"

void label_terms_free(struct label_terms *terms)
{
	vec_for_each (term, &terms->list) {
		for (size_t i = 0; i < term->count; i++)
			free(term->values[i]);
		free(term->values);
		free(term->key);
	}
	vec_free(&terms->list);
}

void key_values_free(struct key_values *values)
{
	vec_for_each (it, &values->list) {
		free(it->key);
		free(it->value);
	}
	vec_free(&values->list);
}

static void selector_terms_free(struct selector_terms *terms)
{
	vec_for_each (term, &terms->list) {
		free(term->id);
		free(term->name);
		key_values_free(&term->tags);
	}
	vec_free(&terms->list);
}

static void policy_free(struct policy *policy)
{
	vec_for_each (metric, &policy->metrics) {
		label_terms_free(&metric->selector);
		free(metric->container);
	}
	vec_free(&policy->metrics);
	vec_free(&policy->up.policies);
	vec_free(&policy->down.policies);
	free(policy->origin.file);
	free(policy->name);
	free(policy->service);
	free(policy->replica);
	vec_for_each (group, &policy->target_groups)
		free(*group);
	vec_free(&policy->target_groups);
	free(policy->pool);
}

static void taints_free(struct taints *taints)
{
	vec_for_each (taint, &taints->list) {
		free(taint->key);
		free(taint->value);
	}
	vec_free(&taints->list);
}

static void resources_free(struct resources *resources)
{
	vec_for_each (resource, &resources->list)
		free(resource->name);
	vec_free(&resources->list);
}

static void pool_free(struct pool *pool)
{
	label_terms_free(&pool->requirements);
	key_values_free(&pool->labels);
	key_values_free(&pool->annotations);
	taints_free(&pool->taints);
	taints_free(&pool->startup_taints);
	resources_free(&pool->limits);
	vec_free(&pool->budgets);
	free(pool->auto_scaling_group);
	free(pool->origin.file);
	free(pool->name);
	free(pool->node_class);
}

static void ami_terms_free(struct node_class *node_class)
{
	vec_for_each (term, &node_class->amis) {
		free(term->alias);
		free(term->id);
		free(term->name);
		free(term->owner);
		free(term->ssm_parameter);
		key_values_free(&term->tags);
	}
	vec_free(&node_class->amis);
}

static void reservation_terms_free(struct node_class *node_class)
{
	vec_for_each (term, &node_class->reservations) {
		free(term->id);
		free(term->owner_id);
		free(term->instance_match_criteria);
		key_values_free(&term->tags);
	}
	vec_free(&node_class->reservations);
}

static void thresholds_free(struct eviction_thresholds *thresholds)
{
	vec_for_each (threshold, &thresholds->list) {
		free(threshold->signal);
		free(threshold->value);
	}
	vec_free(&thresholds->list);
}

static void kubelet_free(struct kubelet *kubelet)
{
	vec_for_each (address, &kubelet->cluster_dns)
		free(*address);
	vec_free(&kubelet->cluster_dns);
	resources_free(&kubelet->system_reserved);
	resources_free(&kubelet->kube_reserved);
	thresholds_free(&kubelet->eviction_hard);
	thresholds_free(&kubelet->eviction_soft);
	thresholds_free(&kubelet->eviction_soft_grace_period);
}

static void block_device_free(struct block_device *device)
{
	free(device->device_name);
	free(device->kms_key_id);
	free(device->snapshot_id);
	free(device->volume_type);
}

static void node_class_free(struct node_class *node_class)
{
	vec_for_each (device, &node_class->block_devices)
		block_device_free(device);
	vec_free(&node_class->block_devices);
	selector_terms_free(&node_class->subnets);
	selector_terms_free(&node_class->security_groups);
	key_values_free(&node_class->tags);
	free(node_class->metadata.http_endpoint);
	free(node_class->metadata.http_protocol_ipv6);
	free(node_class->metadata.http_tokens);
	free(node_class->origin.file);
	free(node_class->name);
	ami_terms_free(node_class);
	reservation_terms_free(node_class);
	kubelet_free(&node_class->kubelet);
	vec_free(&node_class->network_interfaces);
	free(node_class->context);
	free(node_class->placement_group_id);
	free(node_class->placement_group_name);
	free(node_class->role);
	free(node_class->instance_profile);
	free(node_class->user_data);
}

void documents_free(struct documents *documents)
{
	vec_for_each (policy, &documents->policies)
		policy_free(policy);
	vec_for_each (pool, &documents->pools)
		pool_free(pool);
	vec_for_each (node_class, &documents->classes)
		node_class_free(node_class);
	vec_for_each (pod, &documents->pods)
		pod_template_free(*pod);
	vec_free(&documents->pods);
	vec_free(&documents->policies);
	vec_free(&documents->pools);
	vec_free(&documents->classes);
}
