/* SPDX-License-Identifier: Apache-2.0 */
/* Bottlerocket: settings in TOML. What the user says stays, but for what the node has to know. */
#include "cloud/private.h"
#include "cloud/toml.h"
#include "cloud/userdata.h"

static void put(cJSON *table, const char *key, cJSON *value)
{
	if (!cJSON_ReplaceItemInObjectCaseSensitive(table, key, value))
		cJSON_AddItemToObject(table, key, value);
}

static void put_string(cJSON *table, const char *key, const char *value)
{
	if (value)
		put(table, key, cJSON_CreateString(value));
}

static void put_number(cJSON *table, const char *key, int32_t value)
{
	if (value >= 0)
		put(table, key, cJSON_CreateNumber(value));
}

/* A percentage is a string there. */
static void put_percent(cJSON *table, const char *key, int32_t value)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", value);
	if (value >= 0)
		put_string(table, key, text);
}

static void put_map(cJSON *table, const char *key, cJSON *map)
{
	if (map->child)
		put(table, key, map);
	else
		cJSON_Delete(map);
}

/* The table of that name, made when it is not there. NULL: something else has the name. */
static cJSON *table_of(cJSON *table, const char *key, char problem[USER_DATA_PROBLEM_SIZE])
{
	cJSON *there = cJSON_GetObjectItemCaseSensitive(table, key);

	if (!there)
		return cJSON_AddObjectToObject(table, key);
	if (cJSON_IsObject(there))
		return there;
	snprintf(problem, USER_DATA_PROBLEM_SIZE, "%s in the user data is no table, expected one",
		 key);
	return NULL;
}

static void put_kubelet(cJSON *kubernetes, const struct user_data *data)
{
	const struct kubelet *kubelet = data->kubelet;

	put_string(kubernetes, "cluster-dns-ip", cluster_dns(data));
	if (!kubelet->given)
		return;
	put_number(kubernetes, "max-pods", kubelet->max_pods);
	put_map(kubernetes, "system-reserved", resources_json(&kubelet->system_reserved));
	put_map(kubernetes, "kube-reserved", resources_json(&kubelet->kube_reserved));
	put_map(kubernetes, "eviction-hard", thresholds_json(&kubelet->eviction_hard, false));
	put_map(kubernetes, "eviction-soft", thresholds_json(&kubelet->eviction_soft, false));
	put_map(kubernetes, "eviction-soft-grace-period",
		thresholds_json(&kubelet->eviction_soft_grace_period, true));
	put_number(kubernetes, "eviction-max-pod-grace-period",
		   kubelet->eviction_max_pod_grace_period_s);
	put_percent(kubernetes, "image-gc-high-threshold-percent",
		    kubelet->image_gc_high_threshold_percent);
	put_percent(kubernetes, "image-gc-low-threshold-percent",
		    kubelet->image_gc_low_threshold_percent);
	if (kubelet->cpu_cfs_quota >= 0)
		put(kubernetes, "cpu-cfs-quota-enforced", cJSON_CreateBool(kubelet->cpu_cfs_quota));
}

/* The pool's taints are all there are; a key may have several. */
static void put_taints(cJSON *kubernetes, const struct user_data *data)
{
	cJSON *taints = cJSON_CreateObject();

	vec_for_each (taint, &data->taints.list) {
		_cleanup_free_ char *value = str_printf("%s:%s", taint->value ? taint->value : "",
							taint_effect_text(taint->effect));
		cJSON *list = cJSON_GetObjectItemCaseSensitive(taints, taint->key);

		if (!list)
			list = cJSON_AddArrayToObject(taints, taint->key);
		cJSON_AddItemToArray(list, cJSON_CreateString(value));
	}
	put(kubernetes, "node-taints", taints);
}

static int put_kubernetes(cJSON *settings, const struct user_data *data,
			  char problem[USER_DATA_PROBLEM_SIZE])
{
	cJSON *kubernetes = table_of(settings, "kubernetes", problem), *labels;

	if (!kubernetes)
		return -EINVAL;
	put_string(kubernetes, "cluster-name", data->cluster->name);
	put_string(kubernetes, "api-server", data->cluster->endpoint);
	put_string(kubernetes, "cluster-certificate", data->cluster->certificate_authority);
	put_kubelet(kubernetes, data);
	put_taints(kubernetes, data);
	if (!data->labels.list.count)
		return 0;
	labels = table_of(kubernetes, "node-labels", problem);
	if (!labels)
		return -EINVAL;
	vec_for_each (label, &data->labels.list)
		put_string(labels, label->key, label->value);
	return 0;
}

static cJSON *command_of(const char *const *words, size_t count)
{
	cJSON *command = cJSON_CreateArray();

	for (size_t i = 0; i < count; i++)
		cJSON_AddItemToArray(command, cJSON_CreateString(words[i]));
	return command;
}

static int put_instance_store(cJSON *settings, const struct user_data *data,
			      char problem[USER_DATA_PROBLEM_SIZE])
{
	static const char *const INIT[] = {"apiclient", "ephemeral-storage", "init"};
	static const char *const BIND[] = {
		"apiclient",	       "ephemeral-storage", "bind",	    "--dirs",
		"/var/lib/containerd", "/var/lib/kubelet",  "/var/log/pods"};
	cJSON *commands = table_of(settings, "bootstrap-commands", problem);
	cJSON *command, *list;

	if (!commands)
		return -EINVAL;
	command = cJSON_CreateObject();
	list = cJSON_AddArrayToObject(command, "commands");
	cJSON_AddItemToArray(list, command_of(INIT, ARRAY_SIZE(INIT)));
	cJSON_AddItemToArray(list, command_of(BIND, data->bind_by_name ? ARRAY_SIZE(BIND) : 3));
	cJSON_AddStringToObject(command, "mode", "always");
	cJSON_AddBoolToObject(command, "essential", true);
	put(commands, "000-mount-instance-storage", command);
	return 0;
}

int bottlerocket_user_data(const struct user_data *data, struct text *out,
			   char problem[USER_DATA_PROBLEM_SIZE])
{
	const char *given = data->given ? data->given : "";
	char words[TOML_PROBLEM_SIZE];
	cJSON *tree = toml_read(given, strlen(given), words);
	cJSON *settings;
	int r = -EINVAL;

	if (!tree) {
		snprintf(problem, USER_DATA_PROBLEM_SIZE, "the user data is no TOML: %s", words);
		return -EINVAL;
	}
	settings = table_of(tree, "settings", problem);
	if (settings)
		r = data->cluster ? put_kubernetes(settings, data, problem) : 0;
	if (r == 0 && data->raid0)
		r = put_instance_store(settings, data, problem);
	if (r == 0 && !data->cluster && !data->raid0)
		text_add(out, given);
	else if (r == 0)
		toml_write(tree, out);
	cJSON_Delete(tree);
	return r;
}
