/* SPDX-License-Identifier: Apache-2.0 */
/* spec.kubelet of an EC2NodeClass. */
#include "documents/read.h"

#define DNS_SERVERS_MAX 1000
#define QUANTITY                                                                             \
	"(\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\\+|-)?((" \
	"[0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))))?"

static const char *const SIGNALS[] = {"memory.available",   "nodefs.available",
				      "nodefs.inodesFree",  "imagefs.available",
				      "imagefs.inodesFree", "pid.available"};
static const char *const RESERVED[] = {"cpu", "memory", "ephemeral-storage", "pid"};

static bool check_name(const struct cursor *at, const char *const *names, size_t count)
{
	_cleanup_free_ char *all = names_text(names, count);
	const char *near = nearest_name(at->name, names, count);

	for (size_t i = 0; i < count; i++)
		if (strcmp(at->name, names[i]) == 0)
			return true;
	if (near)
		cursor_refuse(at, "unknown name, did you mean %s?", near);
	else
		cursor_refuse(at, "unknown name, expected %s", all);
	return false;
}

/* ---- reserved resources ---- */

static void read_reserved(const struct cursor *kubelet, const char *name, struct resources *out)
{
	struct cursor at = cursor_field(kubelet, name);
	struct key_values values = {0};

	read_string_map(&at, &values);
	vec_for_each (it, &values.list) {
		struct cursor item = cursor_field(&at, it->key);
		double amount = 0;

		if (!check_name(&item, RESERVED, ARRAY_SIZE(RESERVED)))
			continue;
		if (!text_matches(it->value, "^" QUANTITY "$") ||
		    quantity_parse(it->value, &amount) < 0 || it->value[0] == '-')
			cursor_expected(&item, "a quantity such as 100m or 1Gi, from 0");
		else
			*vec_push(&out->list) =
				(struct resource_amount){.name = TAKE(it->key), .amount = amount};
	}
	key_values_free(&values);
}

/* ---- evictions ---- */

/* A percentage, a quantity, or nothing at all. */
static bool is_threshold(const char *text)
{
	double amount;

	if (!*text || text_matches(text, "^([0-9]{1,2}(\\.[0-9]{1,2})?|100(\\.0{1,2})?)%$"))
		return true;
	return text_matches(text, "^" QUANTITY "$") && quantity_parse(text, &amount) == 0;
}

static void read_evictions(const struct cursor *kubelet, const char *name, bool thresholds,
			   struct eviction_thresholds *out)
{
	struct cursor at = cursor_field(kubelet, name);
	struct key_values values = {0};

	read_string_map(&at, &values);
	vec_for_each (it, &values.list) {
		struct cursor item = cursor_field(&at, it->key);

		if (!check_name(&item, SIGNALS, ARRAY_SIZE(SIGNALS)))
			continue;
		if (thresholds && !is_threshold(it->value))
			cursor_expected(&item, "a threshold such as 5%% or 100Mi");
		else
			*vec_push(&out->list) = (struct eviction_threshold){
				.signal = TAKE(it->key), .value = TAKE(it->value)};
	}
	key_values_free(&values);
}

static bool has_signal(const struct eviction_thresholds *thresholds, const char *signal)
{
	vec_for_each (it, &thresholds->list)
		if (strcmp(it->signal, signal) == 0)
			return true;
	return false;
}

/* Each soft threshold has its grace period, and each grace period its threshold. */
static void check_pairs(const struct cursor *at, const char *missing,
			const struct eviction_thresholds *these,
			const struct eviction_thresholds *others)
{
	vec_for_each (it, &these->list) {
		struct cursor item = cursor_field(at, it->signal);

		if (!has_signal(others, it->signal))
			cursor_refuse(&item, "found no %s for it, expected one", missing);
	}
}

static void read_all_evictions(const struct cursor *at, struct kubelet *kubelet)
{
	struct cursor soft = cursor_field(at, "evictionSoft");
	struct cursor grace = cursor_field(at, "evictionSoftGracePeriod");

	read_evictions(at, "evictionHard", true, &kubelet->eviction_hard);
	read_evictions(at, "evictionSoft", true, &kubelet->eviction_soft);
	read_evictions(at, "evictionSoftGracePeriod", false, &kubelet->eviction_soft_grace_period);
	if (cursor_present(&soft) && soft.node->kind == YAML_MAPPING)
		check_pairs(&soft, "evictionSoftGracePeriod", &kubelet->eviction_soft,
			    &kubelet->eviction_soft_grace_period);
	if (cursor_present(&grace) && grace.node->kind == YAML_MAPPING)
		check_pairs(&grace, "evictionSoft", &kubelet->eviction_soft_grace_period,
			    &kubelet->eviction_soft);
}

/* ---- the whole ---- */

const struct kubelet KUBELET_DEFAULTS = {
	.max_pods = -1,
	.pods_per_core = -1,
	.eviction_max_pod_grace_period_s = -1,
	.image_gc_high_threshold_percent = -1,
	.image_gc_low_threshold_percent = -1,
	.cpu_cfs_quota = -1,
};

static void read_number(const struct cursor *kubelet, const char *name, int64_t low, int64_t high,
			int32_t *out)
{
	struct cursor at = cursor_field(kubelet, name);
	int64_t value = 0;

	if (read_integer(&at, low, high, &value))
		*out = (int32_t)value;
}

static void read_image_collection(const struct cursor *at, struct kubelet *kubelet)
{
	struct cursor high_at = cursor_field(at, "imageGCHighThresholdPercent");
	int32_t *high = &kubelet->image_gc_high_threshold_percent;
	int32_t *low = &kubelet->image_gc_low_threshold_percent;

	read_number(at, "imageGCHighThresholdPercent", 0, 100, high);
	read_number(at, "imageGCLowThresholdPercent", 0, 100, low);
	if (*high >= 0 && *low >= 0 && *high <= *low)
		cursor_expected(&high_at, "more than imageGCLowThresholdPercent, which is %d",
				*low);
}

static void read_dns(const struct cursor *kubelet_at, struct kubelet *kubelet)
{
	struct cursor dns = cursor_field(kubelet_at, "clusterDNS");

	if (!read_list(&dns, DNS_SERVERS_MAX))
		return;
	for (size_t i = 0; i < dns.node->count; i++) {
		struct cursor item = cursor_item(&dns, i);
		char *address = NULL;

		if (!cursor_present(&item))
			cursor_expected(&item, "an address");
		else if (read_string(&item, &address))
			*vec_push(&kubelet->cluster_dns) = TAKE(address);
		free(address);
	}
}

void read_kubelet(const struct cursor *spec, struct node_class *node_class)
{
	static const struct field FIELDS[] = {
		{"clusterDNS"},
		{"maxPods"},
		{"podsPerCore"},
		{"systemReserved"},
		{"kubeReserved"},
		{"evictionHard"},
		{"evictionSoft"},
		{"evictionSoftGracePeriod"},
		{"evictionMaxPodGracePeriod"},
		{"imageGCHighThresholdPercent"},
		{"imageGCLowThresholdPercent"},
		{"cpuCFSQuota"},
	};
	struct kubelet *kubelet = &node_class->kubelet;
	struct cursor at = cursor_field(spec, "kubelet");
	struct cursor quota = cursor_field(&at, "cpuCFSQuota");
	bool value = false;

	kubelet->given = read_mapping(&at, FIELDS, ARRAY_SIZE(FIELDS));
	if (read_bool(&quota, &value))
		kubelet->cpu_cfs_quota = value;
	read_number(&at, "maxPods", 0, INT32_MAX, &kubelet->max_pods);
	read_number(&at, "podsPerCore", 0, INT32_MAX, &kubelet->pods_per_core);
	read_number(&at, "evictionMaxPodGracePeriod", 0, INT32_MAX,
		    &kubelet->eviction_max_pod_grace_period_s);
	read_image_collection(&at, kubelet);
	if (!kubelet->given)
		return;
	read_dns(&at, kubelet);
	read_reserved(&at, "systemReserved", &kubelet->system_reserved);
	read_reserved(&at, "kubeReserved", &kubelet->kube_reserved);
	read_all_evictions(&at, kubelet);
}
