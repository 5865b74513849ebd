/* SPDX-License-Identifier: Apache-2.0 */
/* spec.kubelet of a class, as a KubeletConfiguration and as arguments. */
#include "cloud/private.h"
#include "cloud/userdata.h"

#define KIB 1024.0

const char *taint_effect_text(enum taint_effect effect)
{
	static const char *const TEXTS[] = {"NoSchedule", "PreferNoSchedule", "NoExecute"};

	return TEXTS[effect];
}

const char *cluster_dns(const struct user_data *data)
{
	if (data->kubelet->given && data->kubelet->cluster_dns.count)
		return data->kubelet->cluster_dns.at[0];
	return data->cluster ? data->cluster->dns : NULL;
}

/* The shortest that says exactly that: "100m", "2", "1Gi", "1000". */
static void quantity_text(const char *resource, double amount, char out[32])
{
	static const char UNITS[] = "\0KMGTPE";
	size_t unit = 0;

	if (strcmp(resource, "cpu") == 0 && amount != floor(amount)) {
		snprintf(out, 32, "%.17gm",
			 amount * 1000 == round(amount * 1000) ? amount * 1000
							       : ceil(amount * 1000));
		return;
	}
	while (strcmp(resource, "cpu") != 0 && strcmp(resource, "pid") != 0 && amount >= KIB &&
	       fmod(amount, KIB) == 0 && unit + 2 < sizeof(UNITS)) {
		amount /= KIB;
		unit++;
	}
	snprintf(out, 32, unit ? "%.17g%ci" : "%.17g", ceil(amount), UNITS[unit]);
}

/* As Go prints a duration, which is how Karpenter hands it on. */
static void duration_text(const char *given, char out[48])
{
	uint64_t ns = 0;
	char hours[24] = "", minutes[16] = "";

	if (parse_duration_ns(given, &ns) < 0 || (ns && ns < NS_PER_S)) {
		snprintf(out, 48, "%s", given);
		return;
	}
	if (ns >= 3600 * NS_PER_S)
		snprintf(hours, sizeof(hours), "%lluh",
			 (unsigned long long)(ns / (3600 * NS_PER_S)));
	if (ns >= 60 * NS_PER_S)
		snprintf(minutes, sizeof(minutes), "%llum",
			 (unsigned long long)(ns / (60 * NS_PER_S) % 60));
	snprintf(out, 48, "%s%s%.9gs", hours, minutes, (double)(ns % (60 * NS_PER_S)) / NS_PER_S);
}

/* Keys in order, as maps of Go are written. */
static void add_sorted(cJSON *object, const char *key, const char *value)
{
	cJSON *item, *made = cJSON_CreateString(value);
	int at = 0;

	cJSON_ArrayForEach (item, object) {
		if (strcmp(item->string, key) > 0)
			break;
		at++;
	}
	made->string = strdup(key);
	if (!cJSON_InsertItemInArray(object, at, made))
		abort();
}

cJSON *resources_json(const struct resources *resources)
{
	cJSON *object = cJSON_CreateObject();
	char amount[32];

	vec_for_each (resource, &resources->list) {
		quantity_text(resource->name, resource->amount, amount);
		add_sorted(object, resource->name, amount);
	}
	return object;
}

cJSON *thresholds_json(const struct eviction_thresholds *thresholds, bool durations)
{
	cJSON *object = cJSON_CreateObject();
	char duration[48];

	vec_for_each (threshold, &thresholds->list) {
		if (durations)
			duration_text(threshold->value, duration);
		add_sorted(object, threshold->signal, durations ? duration : threshold->value);
	}
	return object;
}

/* ---- as a configuration ---- */

static void add_map(cJSON *config, const char *key, cJSON *map)
{
	if (map->child)
		cJSON_AddItemToObject(config, key, map);
	else
		cJSON_Delete(map);
}

static void add_number(cJSON *config, const char *key, int32_t value)
{
	if (value >= 0)
		cJSON_AddNumberToObject(config, key, value);
}

static cJSON *taints_json(const struct user_data *data)
{
	cJSON *list = cJSON_CreateArray();

	vec_for_each (taint, &data->taints.list) {
		cJSON *item = cJSON_CreateObject();

		cJSON_AddStringToObject(item, "effect", taint_effect_text(taint->effect));
		cJSON_AddStringToObject(item, "key", taint->key);
		if (taint->value && *taint->value)
			cJSON_AddStringToObject(item, "value", taint->value);
		cJSON_AddItemToArray(list, item);
	}
	return list;
}

static void add_dns(cJSON *config, const struct user_data *data)
{
	const struct kubelet *kubelet = data->kubelet;
	cJSON *list;

	if (!cluster_dns(data))
		return;
	list = cJSON_AddArrayToObject(config, "clusterDNS");
	if (kubelet->given && kubelet->cluster_dns.count)
		vec_for_each (address, &kubelet->cluster_dns)
			cJSON_AddItemToArray(list, cJSON_CreateString(*address));
	else
		cJSON_AddItemToArray(list, cJSON_CreateString(data->cluster->dns));
}

cJSON *kubelet_config(const struct user_data *data)
{
	const struct kubelet *kubelet = data->kubelet->given ? data->kubelet : &KUBELET_DEFAULTS;
	cJSON *config = cJSON_CreateObject();

	add_dns(config, data);
	if (kubelet->cpu_cfs_quota >= 0)
		cJSON_AddBoolToObject(config, "cpuCFSQuota", kubelet->cpu_cfs_quota);
	add_map(config, "evictionHard", thresholds_json(&kubelet->eviction_hard, false));
	add_number(config, "evictionMaxPodGracePeriod", kubelet->eviction_max_pod_grace_period_s);
	add_map(config, "evictionSoft", thresholds_json(&kubelet->eviction_soft, false));
	add_map(config, "evictionSoftGracePeriod",
		thresholds_json(&kubelet->eviction_soft_grace_period, true));
	add_number(config, "imageGCHighThresholdPercent", kubelet->image_gc_high_threshold_percent);
	add_number(config, "imageGCLowThresholdPercent", kubelet->image_gc_low_threshold_percent);
	add_map(config, "kubeReserved", resources_json(&kubelet->kube_reserved));
	add_number(config, "maxPods", kubelet->max_pods);
	add_number(config, "podsPerCore", kubelet->pods_per_core);
	cJSON_AddItemToObject(config, "registerWithTaints", taints_json(data));
	add_map(config, "systemReserved", resources_json(&kubelet->system_reserved));
	return config;
}

/* ---- as arguments ---- */

void kubelet_label_argument(const struct user_data *data, struct text *out)
{
	const char *before = "--node-labels=\"";

	vec_for_each (label, &data->labels.list) {
		text_printf(out, "%s%s=%s", before, label->key, label->value);
		before = ",";
	}
	if (data->labels.list.count)
		text_add_char(out, '"');
}

static void add_taint_argument(const struct user_data *data, struct text *out)
{
	const char *before = "";

	text_printf(out, "%s--register-with-taints=\"", out->length ? " " : "");
	vec_for_each (taint, &data->taints.list) {
		bool valued = taint->value && *taint->value;

		text_printf(out, "%s%s%s%s:%s", before, taint->key, valued ? "=" : "",
			    valued ? taint->value : "", taint_effect_text(taint->effect));
		before = ",";
	}
	text_add_char(out, '"');
}

static void add_map_argument(struct text *out, const char *name, char sign, cJSON *map)
{
	const char *before = "=\"";
	const cJSON *item;

	if (map->child)
		text_printf(out, " --%s", name);
	cJSON_ArrayForEach (item, map) {
		text_printf(out, "%s%s%c%s", before, item->string, sign, item->valuestring);
		before = ",";
	}
	if (map->child)
		text_add_char(out, '"');
	cJSON_Delete(map);
}

static void add_number_argument(struct text *out, const char *name, int32_t value)
{
	if (value >= 0)
		text_printf(out, " --%s=%d", name, value);
}

void kubelet_arguments(const struct user_data *data, struct text *out)
{
	const struct kubelet *kubelet = data->kubelet;

	kubelet_label_argument(data, out);
	add_taint_argument(data, out);
	if (!kubelet->given)
		return;
	add_number_argument(out, "max-pods", kubelet->max_pods);
	add_number_argument(out, "pods-per-core", kubelet->pods_per_core);
	add_map_argument(out, "system-reserved", '=', resources_json(&kubelet->system_reserved));
	add_map_argument(out, "kube-reserved", '=', resources_json(&kubelet->kube_reserved));
	add_map_argument(out, "eviction-hard", '<',
			 thresholds_json(&kubelet->eviction_hard, false));
	add_map_argument(out, "eviction-soft", '<',
			 thresholds_json(&kubelet->eviction_soft, false));
	add_map_argument(out, "eviction-soft-grace-period", '=',
			 thresholds_json(&kubelet->eviction_soft_grace_period, true));
	add_number_argument(out, "eviction-max-pod-grace-period",
			    kubelet->eviction_max_pod_grace_period_s);
	add_number_argument(out, "image-gc-high-threshold",
			    kubelet->image_gc_high_threshold_percent);
	add_number_argument(out, "image-gc-low-threshold", kubelet->image_gc_low_threshold_percent);
	if (kubelet->cpu_cfs_quota >= 0)
		text_printf(out, " --cpu-cfs-quota=%s", kubelet->cpu_cfs_quota ? "true" : "false");
}
