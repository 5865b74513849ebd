/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an instance was launched from, as a number: it is kept as a tag, and an instance whose
 * number is not today's has drifted. The same fields count as in Karpenter's ec2nodeclass-hash and
 * nodepool-hash; lists are sets, and what is not given adds nothing, so a field that a later
 * version learns leaves the numbers of those who do not use it.
 */
#include <inttypes.h>

#include "base/text.h"
#include "documents/documents.h"

/* Sums are the same in whatever order they are made. */
static void add(uint64_t *sum, const char *field, const char *value)
{
	_cleanup_text_ struct text pair = {0};

	if (!value || !*value)
		return;
	text_add(&pair, field);
	text_add_char(&pair, '=');
	text_add(&pair, value);
	*sum += hash_bytes(pair.data, pair.length);
}

static void add_number(uint64_t *sum, const char *field, int64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRId64, value);
	add(sum, field, text);
}

static void add_given(uint64_t *sum, const char *field, int64_t value)
{
	if (value >= 0)
		add_number(sum, field, value);
}

static void add_some(uint64_t *sum, const char *field, uint64_t value)
{
	if (value)
		add_number(sum, field, value);
}

/* A structure within: its parts belong together. */
static void add_sum(uint64_t *sum, const char *field, uint64_t part)
{
	if (part)
		add_number(sum, field, (int64_t)part);
}

static void add_pairs(uint64_t *sum, const char *field, const struct key_values *pairs)
{
	vec_for_each (pair, &pairs->list) {
		uint64_t part = 0;

		add(&part, "key", pair->key);
		add(&part, "value", pair->value);
		add_sum(sum, field, part);
	}
}

static void add_resources(uint64_t *sum, const char *field, const struct resources *resources)
{
	vec_for_each (resource, &resources->list) {
		uint64_t part = 0;
		char amount[32];

		snprintf(amount, sizeof(amount), "%.17g", resource->amount);
		add(&part, "name", resource->name);
		add(&part, "amount", amount);
		add_sum(sum, field, part);
	}
}

static void add_thresholds(uint64_t *sum, const char *field,
			   const struct eviction_thresholds *thresholds)
{
	vec_for_each (threshold, &thresholds->list) {
		uint64_t part = 0;

		add(&part, "signal", threshold->signal);
		add(&part, "value", threshold->value);
		add_sum(sum, field, part);
	}
}

static uint64_t kubelet_sum(const struct kubelet *kubelet)
{
	uint64_t sum = 0;

	if (!kubelet->given)
		return 0;
	vec_for_each (address, &kubelet->cluster_dns)
		add(&sum, "clusterDNS", *address);
	add_given(&sum, "maxPods", kubelet->max_pods);
	add_given(&sum, "podsPerCore", kubelet->pods_per_core);
	add_resources(&sum, "systemReserved", &kubelet->system_reserved);
	add_resources(&sum, "kubeReserved", &kubelet->kube_reserved);
	add_thresholds(&sum, "evictionHard", &kubelet->eviction_hard);
	add_thresholds(&sum, "evictionSoft", &kubelet->eviction_soft);
	add_thresholds(&sum, "evictionSoftGracePeriod", &kubelet->eviction_soft_grace_period);
	add_given(&sum, "evictionMaxPodGracePeriod", kubelet->eviction_max_pod_grace_period_s);
	add_given(&sum, "imageGCHighThresholdPercent", kubelet->image_gc_high_threshold_percent);
	add_given(&sum, "imageGCLowThresholdPercent", kubelet->image_gc_low_threshold_percent);
	add_given(&sum, "cpuCFSQuota", kubelet->cpu_cfs_quota);
	return sum;
}

static uint64_t device_sum(const struct block_device *device)
{
	uint64_t sum = 0;

	add(&sum, "deviceName", device->device_name);
	add_given(&sum, "encrypted", device->encrypted_set ? device->encrypted : -1);
	add_given(&sum, "deleteOnTermination",
		  device->delete_on_termination_set ? device->delete_on_termination : -1);
	add_some(&sum, "iops", device->iops);
	add_some(&sum, "throughput", device->throughput);
	add(&sum, "kmsKeyID", device->kms_key_id);
	add(&sum, "snapshotID", device->snapshot_id);
	add(&sum, "volumeType", device->volume_type);
	add_some(&sum, "volumeSize", device->volume_size_bytes);
	add_some(&sum, "rootVolume", device->root_volume);
	add_some(&sum, "volumeInitializationRate", device->volume_initialization_rate);
	return sum;
}

/* Karpenter's defaults are the same as saying them. */
static uint64_t metadata_sum(const struct metadata_options *options)
{
	uint32_t hops = options->http_put_response_hop_limit;
	uint64_t sum = 0;

	add(&sum, "httpEndpoint", options->http_endpoint ? options->http_endpoint : "enabled");
	add(&sum, "httpProtocolIPv6",
	    options->http_protocol_ipv6 ? options->http_protocol_ipv6 : "disabled");
	add(&sum, "httpTokens", options->http_tokens ? options->http_tokens : "required");
	add_some(&sum, "httpPutResponseHopLimit", hops ? hops : 1);
	return sum;
}

static uint64_t tracking_sum(const struct connection_tracking *tracking)
{
	uint64_t sum = 0;

	add_some(&sum, "tcpEstablishedTimeout", tracking->tcp_established_s);
	add_some(&sum, "udpStreamTimeout", tracking->udp_stream_s);
	add_some(&sum, "udpTimeout", tracking->udp_s);
	return sum;
}

static void add_interfaces(uint64_t *sum, const struct node_class *node_class)
{
	vec_for_each (interface, &node_class->network_interfaces) {
		uint64_t part = 0;

		add_number(&part, "networkCardIndex", interface->card);
		add_number(&part, "deviceIndex", interface->device);
		add(&part, "interfaceType", interface->efa_only ? "efa-only" : "interface");
		add_sum(sum, "networkInterfaces", part);
	}
}

uint64_t documents_class_hash(const struct node_class *node_class)
{
	uint64_t sum = 0;

	add_number(&sum, "amiFamily", node_class->family);
	add(&sum, "role", node_class->role);
	add(&sum, "instanceProfile", node_class->instance_profile);
	add(&sum, "userData", node_class->user_data);
	add_pairs(&sum, "tags", &node_class->tags);
	vec_for_each (device, &node_class->block_devices)
		add_sum(&sum, "blockDeviceMappings", device_sum(device));
	add_sum(&sum, "metadataOptions", metadata_sum(&node_class->metadata));
	add_sum(&sum, "kubelet", kubelet_sum(&node_class->kubelet));
	add_some(&sum, "instanceStorePolicy", node_class->instance_store_raid0);
	add_given(&sum, "associatePublicIPAddress", node_class->associate_public_ip);
	add(&sum, "context", node_class->context);
	add_some(&sum, "detailedMonitoring", node_class->detailed_monitoring);
	add_sum(&sum, "connectionTracking", tracking_sum(&node_class->connection_tracking));
	add_interfaces(&sum, node_class);
	add_given(&sum, "cpuOptions", node_class->nested_virtualization);
	add(&sum, "placementGroupID", node_class->placement_group_id);
	add(&sum, "placementGroupName", node_class->placement_group_name);
	return sum;
}

static void add_taints(uint64_t *sum, const char *field, const struct taints *taints)
{
	vec_for_each (taint, &taints->list) {
		uint64_t part = 0;

		add(&part, "key", taint->key);
		add(&part, "value", taint->value);
		add_number(&part, "effect", taint->effect);
		add_sum(sum, field, part);
	}
}

uint64_t documents_pool_hash(const struct pool *pool)
{
	uint64_t sum = 0;

	add_pairs(&sum, "labels", &pool->labels);
	add_pairs(&sum, "annotations", &pool->annotations);
	add(&sum, "nodeClassRef", pool->node_class);
	add_taints(&sum, "taints", &pool->taints);
	add_taints(&sum, "startupTaints", &pool->startup_taints);
	if (pool->expire_after_s != DURATION_NEVER)
		add_number(&sum, "expireAfter", (int64_t)pool->expire_after_s);
	if (pool->termination_grace_given)
		add_number(&sum, "terminationGracePeriod", (int64_t)pool->termination_grace_s);
	return sum;
}
