/* SPDX-License-Identifier: Apache-2.0 */
/* User data: what Karpenter makes of the same (recorded by tests/peers/bootstrap), where forerun
 * goes its own way, and what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cloud/private.h"
#include "cloud/toml.h"
#include "cloud/userdata.h"

#define RECORDED "tests/peers/bootstrap/bootstrap.json"

static struct cluster shop = {
	.name = "shop",
	.endpoint = "https://0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com",
	.certificate_authority = "Zm9yZXJ1biB0ZXN0IGNlcnRpZmljYXRlIGF1dGhvcml0eQ==",
	.cidr = "172.20.0.0/16",
};

/* ---- a recorded case ---- */

static const char *word(const cJSON *object, const char *key)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));

	return text ? text : "";
}

static int32_t number(const cJSON *object, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	return item ? (int32_t)item->valuedouble : -1;
}

static void read_resources(const cJSON *map, struct resources *out)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, map) {
		struct resource_amount *amount = vec_push(&out->list);

		amount->name = item->string;
		assert_int_equal(quantity_parse(item->valuestring, &amount->amount), 0);
	}
}

static void read_thresholds(const cJSON *map, struct eviction_thresholds *out)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, map)
		*vec_push(&out->list) =
			(struct eviction_threshold){item->string, item->valuestring};
}

static struct kubelet read_kubelet(const cJSON *json)
{
	const cJSON *quota = cJSON_GetObjectItemCaseSensitive(json, "cpuCFSQuota"), *item;
	struct kubelet kubelet = KUBELET_DEFAULTS;

	kubelet.given = json != NULL;
	cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(json, "clusterDNS"))
		*vec_push(&kubelet.cluster_dns) = item->valuestring;
	kubelet.max_pods = number(json, "maxPods");
	kubelet.pods_per_core = number(json, "podsPerCore");
	kubelet.eviction_max_pod_grace_period_s = number(json, "evictionMaxPodGracePeriod");
	kubelet.image_gc_high_threshold_percent = number(json, "imageGCHighThresholdPercent");
	kubelet.image_gc_low_threshold_percent = number(json, "imageGCLowThresholdPercent");
	kubelet.cpu_cfs_quota = quota ? (int8_t)cJSON_IsTrue(quota) : -1;
	read_resources(cJSON_GetObjectItemCaseSensitive(json, "systemReserved"),
		       &kubelet.system_reserved);
	read_resources(cJSON_GetObjectItemCaseSensitive(json, "kubeReserved"),
		       &kubelet.kube_reserved);
	read_thresholds(cJSON_GetObjectItemCaseSensitive(json, "evictionHard"),
			&kubelet.eviction_hard);
	read_thresholds(cJSON_GetObjectItemCaseSensitive(json, "evictionSoft"),
			&kubelet.eviction_soft);
	read_thresholds(cJSON_GetObjectItemCaseSensitive(json, "evictionSoftGracePeriod"),
			&kubelet.eviction_soft_grace_period);
	return kubelet;
}

static void kubelet_clear(struct kubelet *kubelet)
{
	vec_free(&kubelet->cluster_dns);
	vec_free(&kubelet->system_reserved.list);
	vec_free(&kubelet->kube_reserved.list);
	vec_free(&kubelet->eviction_hard.list);
	vec_free(&kubelet->eviction_soft.list);
	vec_free(&kubelet->eviction_soft_grace_period.list);
}

static enum ami_family family_of(const char *name)
{
	static const char *const NAMES[] = {"AL2023", "Custom", "AL2", "Bottlerocket"};

	for (size_t i = 0; i < ARRAY_SIZE(NAMES); i++)
		if (strcmp(NAMES[i], name) == 0)
			return (enum ami_family)i;
	fail_msg("no family %s", name);
	return AMI_CUSTOM;
}

static enum taint_effect effect_of(const char *name)
{
	for (int i = TAINT_NO_SCHEDULE; i <= TAINT_NO_EXECUTE; i++)
		if (strcmp(taint_effect_text((enum taint_effect)i), name) == 0)
			return (enum taint_effect)i;
	fail_msg("no effect %s", name);
	return TAINT_NO_SCHEDULE;
}

static int label_compare(const void *a, const void *b)
{
	return strcmp(((const struct key_value *)a)->key, ((const struct key_value *)b)->key);
}

static void read_nodes(const cJSON *json, struct user_data *data)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(json, "labels"))
		*vec_push(&data->labels.list) = (struct key_value){item->string, item->valuestring};
	if (data->labels.list.count)
		qsort(data->labels.list.at, data->labels.list.count, sizeof(struct key_value),
		      label_compare);
	cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(json, "taints")) {
		struct taint *taint = vec_push(&data->taints.list);

		taint->key = (char *)word(item, "key");
		taint->value = (char *)word(item, "value");
		taint->effect = effect_of(word(item, "effect"));
	}
}

/* Karpenter's name and its empty mappings are left out. */
static char *normal_script(const char *script)
{
	static const char *const LEFT_OUT[] = {"# Karpenter Generated NodeConfig\n",
					       "metadata: {}\n", "  containerd: {}\n",
					       "  instance:\n    localStorage: {}\n"};
	struct text out = {0};

	while (*script) {
		size_t skip = 0;

		for (size_t i = 0; i < ARRAY_SIZE(LEFT_OUT) && !skip; i++)
			if (str_starts(script, LEFT_OUT[i]))
				skip = strlen(LEFT_OUT[i]);
		if (skip)
			script += skip;
		else
			text_add_char(&out, *script++);
	}
	return text_take(&out);
}

/* go-toml's integers are numbers here. */
static void numbers_from_raw(cJSON *tree)
{
	cJSON *item;

	cJSON_ArrayForEach (item, tree) {
		if (cJSON_IsRaw(item)) {
			item->type = cJSON_Number;
			item->valuedouble = strtod(item->valuestring, NULL);
			free(item->valuestring);
			item->valuestring = NULL;
		}
		numbers_from_raw(item);
	}
}

static void assert_tree(const char *toml, const cJSON *expected)
{
	char problem[TOML_PROBLEM_SIZE];
	cJSON *tree = toml_read(toml, strlen(toml), problem);

	assert_string_equal(problem, "");
	numbers_from_raw(tree);
	if (!cJSON_Compare(tree, expected, true))
		fail_msg("found %s\nexpected %s", cJSON_Print(tree), cJSON_Print(expected));
	cJSON_Delete(tree);
}

static void compare(const cJSON *json)
{
	struct kubelet kubelet = read_kubelet(cJSON_GetObjectItemCaseSensitive(json, "kubelet"));
	struct user_data data = {
		.family = family_of(word(json, "family")),
		.given = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "userData")),
		.kubelet = &kubelet,
		.raid0 = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "raid0")),
		.cluster = &shop,
		.bind_by_name = strcmp(word(json, "imageVersion"), "latest") != 0,
	};
	_cleanup_free_ char *expected = normal_script(word(json, "script"));
	_cleanup_text_ struct text out = {0};
	char problem[USER_DATA_PROBLEM_SIZE];
	bool refused = cJSON_HasObjectItem(json, "error");
	int r;

	print_message("%s: %s\n", word(json, "family"), word(json, "name"));
	read_nodes(json, &data);
	r = user_data_make(&data, &out, problem);
	assert_int_equal(r, refused ? -EINVAL : 0);
	assert_int_equal(*problem != '\0', refused);
	if (!refused && data.family == AMI_BOTTLEROCKET)
		assert_tree(out.data, cJSON_GetObjectItemCaseSensitive(json, "tree"));
	else if (!refused)
		assert_string_equal(out.length ? out.data : "", expected);
	kubelet_clear(&kubelet);
	vec_free(&data.labels.list);
	vec_free(&data.taints.list);
}

static void all_that_karpenter_makes_is_made(void **unused)
{
	_cleanup_free_ char *text = NULL;
	const cJSON *item;
	size_t length = 0;
	cJSON *cases;

	(void)unused;
	assert_int_equal(file_read(RECORDED, 1 << 20, &text, &length), 0);
	cases = cJSON_ParseWithLength(text, length);
	assert_true(cJSON_GetArraySize(cases) >= 35);
	cJSON_ArrayForEach (item, cases)
		compare(item);
	cJSON_Delete(cases);
}

/* ---- forerun's own ways ---- */

static char *made(enum ami_family family, const char *given, bool raid0,
		  const struct cluster *cluster)
{
	struct kubelet kubelet = KUBELET_DEFAULTS;
	struct user_data data = {.family = family,
				 .given = given,
				 .kubelet = &kubelet,
				 .raid0 = raid0,
				 .cluster = cluster};
	struct text out = {0};
	char problem[USER_DATA_PROBLEM_SIZE];

	assert_int_equal(user_data_make(&data, &out, problem), 0);
	return text_take(&out);
}

static void without_a_cluster_it_passes_as_it_is(void **unused)
{
	static const enum ami_family FAMILIES[] = {AMI_AL2023, AMI_AL2, AMI_CUSTOM};
	static const char SCRIPT[] = "#!/bin/sh\r\necho hello\n", TOML[] = "[settings.ntp]\n# x\n";

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(FAMILIES); i++) {
		_cleanup_free_ char *text = made(FAMILIES[i], SCRIPT, false, NULL);
		_cleanup_free_ char *nothing = made(FAMILIES[i], NULL, false, NULL);

		assert_string_equal(text, SCRIPT);
		assert_string_equal(nothing, "");
	}
	_cleanup_free_ char *text = made(AMI_BOTTLEROCKET, TOML, false, NULL);

	assert_string_equal(text, TOML);
}

static void without_a_cluster_the_instance_store_is_made_by_a_script(void **unused)
{
	_cleanup_free_ char *al2023 = made(AMI_AL2023, "#!/bin/sh\necho mine\n", true, NULL);
	_cleanup_free_ char *al2 = made(AMI_AL2, NULL, true, NULL);
	_cleanup_free_ char *rocket = made(AMI_BOTTLEROCKET, NULL, true, NULL);
	_cleanup_free_ char *custom = made(AMI_CUSTOM, "x", true, NULL);
	const char *script = strstr(al2023, INSTANCE_STORE_SCRIPT);

	(void)unused;
	assert_non_null(script);
	assert_non_null(strstr(al2023, "Content-Type: text/x-shellscript-per-boot;"));
	assert_non_null(strstr(script, "\n#!/bin/sh\necho mine\n\n--//--\n"));
	assert_non_null(strstr(al2, "Content-Type: text/x-shellscript; charset=\"us-ascii\"\n\n"
				    "#!/bin/sh\n# instanceStorePolicy"));
	assert_non_null(strstr(rocket, "[settings.bootstrap-commands.000-mount-instance-storage]\n"
				       "commands = [[\"apiclient\", \"ephemeral-storage\", "
				       "\"init\"], [\"apiclient\", \"ephemeral-storage\", "
				       "\"bind\"]]\n"));
	assert_null(strstr(rocket, "kubernetes"));
	assert_string_equal(custom, "x");
}

static void a_script_is_a_script_whatever_its_lines_look_like(void **unused)
{
	_cleanup_free_ char *script = made(AMI_AL2023, "#!/bin/sh\necho \"a: b\"\n", false, &shop);
	_cleanup_free_ char *config = made(AMI_AL2023, "#cloud-config\nruncmd: []\n", false, &shop);

	(void)unused;
	assert_non_null(strstr(script, "Content-Type: text/x-shellscript; charset=\"us-ascii\"\n\n"
				       "#!/bin/sh\necho \"a: b\"\n"));
	assert_non_null(strstr(config, "Content-Type: text/cloud-config; charset=\"us-ascii\"\n\n"
				       "#cloud-config\n"));
}

static void headers_of_parts_stay_and_a_taken_boundary_is_not_used(void **unused)
{
	static const char GIVEN[] = "Content-Type: multipart/mixed;\n\tboundary=b1; x=y\n"
				    "MIME-Version: 1.0\n\n--b1\n"
				    "Content-Transfer-Encoding: base64\n"
				    "Content-Type: text/x-shellscript\n\nZWNobw==\n--//--\n\n"
				    "--b1\n\nno header\n--b1--\n";
	_cleanup_free_ char *text = made(AMI_AL2, GIVEN, false, &shop);

	(void)unused;
	assert_true(str_starts(text, "MIME-Version: 1.0\nContent-Type: multipart/mixed; "
				     "boundary=\"//1\"\n\n--//1\n"
				     "Content-Transfer-Encoding: base64\n"
				     "Content-Type: text/x-shellscript\n\nZWNobw==\n--//--\n\n"
				     "--//1\n\nno header\n--//1\n"));
	assert_true(str_ends(text, "\n--//1--\n"));
}

/* ---- refused ---- */

static void what_is_wrong_is_said(void **unused)
{
	static char long_text[USER_DATA_BYTES_MAX + 2];
	static const struct {
		enum ami_family family;
		const char *given, *says;
	} CASES[] = {
		{AMI_AL2023, "MIME-Version: 1.0\nContent-Type: text/plain\n\n",
		 "the MIME archive has no header Content-Type: multipart/"},
		{AMI_AL2, "MIME-Version: 1.0\nnonsense\n\n",
		 "the MIME archive has a line among its headers that is none"},
		{AMI_AL2023,
		 "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n",
		 "the MIME archive does not end: a line --b-- is missing"},
		{AMI_BOTTLEROCKET, "[settings]\nx = 1\nx = 2\n",
		 "the user data is no TOML: line 3: x is said twice"},
		{AMI_BOTTLEROCKET, "settings = 1", "settings in the user data is no table"},
		{AMI_BOTTLEROCKET, "settings.kubernetes.node-labels = 1",
		 "node-labels in the user data is no table"},
		{AMI_WINDOWS2022, NULL, "no Windows nodes"},
		{AMI_CUSTOM, long_text, "EC2 takes at most 16384"},
	};
	struct kubelet kubelet = KUBELET_DEFAULTS;
	struct key_value label = {"team", "web"};

	(void)unused;
	memset(long_text, 'x', sizeof(long_text) - 1);
	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct user_data data = {.family = CASES[i].family,
					 .given = CASES[i].given,
					 .kubelet = &kubelet,
					 .labels = {{&label, 1, 0}},
					 .cluster = &shop};
		_cleanup_text_ struct text out = {0};
		char problem[USER_DATA_PROBLEM_SIZE];

		assert_int_equal(user_data_make(&data, &out, problem), -EINVAL);
		if (!strstr(problem, CASES[i].says))
			fail_msg("found \"%s\", expected \"%s\"", problem, CASES[i].says);
	}
}

static void al2023_without_the_addresses_of_services_is_refused(void **unused)
{
	struct kubelet kubelet = KUBELET_DEFAULTS;
	struct cluster cluster = shop;
	struct user_data data = {.family = AMI_AL2023, .kubelet = &kubelet, .cluster = &cluster};
	_cleanup_text_ struct text out = {0};
	char problem[USER_DATA_PROBLEM_SIZE];

	(void)unused;
	cluster.cidr = NULL;
	assert_int_equal(user_data_make(&data, &out, problem), -EINVAL);
	assert_non_null(strstr(problem, "--cluster-cidr"));
}

/* ---- a pool's nodes ---- */

static void nodes_get_the_pools_labels_and_taints(void **unused)
{
	static struct key_value labels[] = {{"team", "web"},
					    {"node.kubernetes.io/exclude-balancer", "true"},
					    {"app.k8s.io/x", "y"},
					    {"karpenter.sh/nodepool", "forged"}};
	static struct taint taint = {"dedicated", "web", TAINT_NO_SCHEDULE};
	static struct taint startup = {"example.com/starting", "", TAINT_NO_EXECUTE};
	struct pool pool = {.name = "pool-1",
			    .labels = {{labels, 4, 0}},
			    .taints = {{&taint, 1, 0}},
			    .startup_taints = {{&startup, 1, 0}}};
	struct kubelet kubelet = KUBELET_DEFAULTS;
	struct user_data data = {.family = AMI_AL2, .kubelet = &kubelet, .cluster = &shop};
	_cleanup_text_ struct text arguments = {0};

	(void)unused;
	user_data_for_pool(&data, &pool, "class-1", CAPACITY_SPOT);
	kubelet_arguments(&data, &arguments);
	assert_string_equal(arguments.data,
			    "--node-labels=\"karpenter.k8s.aws/ec2nodeclass=class-1,"
			    "karpenter.sh/capacity-type=spot,karpenter.sh/do-not-sync-taints=true,"
			    "karpenter.sh/nodepool=pool-1,team=web\" "
			    "--register-with-taints=\"dedicated=web:NoSchedule,"
			    "example.com/starting:NoExecute,karpenter.sh/unregistered:NoExecute\"");
	user_data_free(&data);
}

static void the_clusters_dns_is_used_where_the_class_has_none(void **unused)
{
	struct kubelet kubelet = KUBELET_DEFAULTS;
	struct cluster cluster = shop;
	struct user_data data = {.family = AMI_AL2, .kubelet = &kubelet, .cluster = &cluster};
	char *own = "10.0.0.10";

	(void)unused;
	assert_null(cluster_dns(&data));
	cluster.dns = "172.20.0.10";
	assert_string_equal(cluster_dns(&data), "172.20.0.10");
	kubelet.given = true;
	kubelet.cluster_dns.at = &own;
	kubelet.cluster_dns.count = 1;
	assert_string_equal(cluster_dns(&data), "10.0.0.10");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_karpenter_makes_is_made),
		cmocka_unit_test(without_a_cluster_it_passes_as_it_is),
		cmocka_unit_test(without_a_cluster_the_instance_store_is_made_by_a_script),
		cmocka_unit_test(a_script_is_a_script_whatever_its_lines_look_like),
		cmocka_unit_test(headers_of_parts_stay_and_a_taken_boundary_is_not_used),
		cmocka_unit_test(what_is_wrong_is_said),
		cmocka_unit_test(al2023_without_the_addresses_of_services_is_refused),
		cmocka_unit_test(nodes_get_the_pools_labels_and_taints),
		cmocka_unit_test(the_clusters_dns_is_used_where_the_class_has_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
