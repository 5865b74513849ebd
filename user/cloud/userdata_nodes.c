/* SPDX-License-Identifier: Apache-2.0 */
/* Amazon Linux: nodeadm's NodeConfig (AL2023) and bootstrap.sh (AL2), each a part of an archive. */
#include <arpa/inet.h>

#include "base/yaml.h"
#include "cloud/private.h"
#include "cloud/userdata.h"

#define TYPE_SCRIPT "text/x-shellscript; charset=\"us-ascii\""
#define TYPE_SCRIPT_PER_BOOT "text/x-shellscript-per-boot; charset=\"us-ascii\""
#define TYPE_CLOUD_CONFIG "text/cloud-config; charset=\"us-ascii\""
#define TYPE_NODE_CONFIG "application/node.eks.aws"

/* EKS' images have a script for it, plain Amazon Linux has mdadm. The label finds it after a
 * reboot; after a stop the disks are empty, and it is made anew. */
const char INSTANCE_STORE_SCRIPT[] =
	"#!/bin/sh\n"
	"# instanceStorePolicy: RAID0\n"
	"set -eu\n"
	"if command -v setup-local-disks >/dev/null; then\n"
	"\texec setup-local-disks raid0\n"
	"fi\n"
	"mountpoint -q /mnt/instance-store && exit 0\n"
	"device=$(blkid -L instance-store || true)\n"
	"if [ -z \"$device\" ]; then\n"
	"\tset -- $(for disk in /dev/disk/by-id/nvme-Amazon_EC2_NVMe_Instance_Storage_*; do\n"
	"\t\t[ ! -e \"$disk\" ] || readlink -f \"$disk\"\n"
	"\tdone | sort -u)\n"
	"\t[ $# -gt 0 ] || exit 0\n"
	"\tdevice=$1\n"
	"\tif [ $# -gt 1 ]; then\n"
	"\t\tcommand -v mdadm >/dev/null || yum -q -y install mdadm\n"
	"\t\tdevice=/dev/md/instance-store\n"
	"\t\tmdadm --create --run --level=0 --raid-devices=$# \"$device\" \"$@\"\n"
	"\tfi\n"
	"\tmkfs.xfs -f -L instance-store \"$device\"\n"
	"fi\n"
	"mkdir -p /mnt/instance-store\n"
	"mount -o noatime \"$device\" /mnt/instance-store\n";

static bool is_yaml_mapping(const char *text)
{
	struct yaml_file file = {0};
	struct problems problems = {0};
	bool mapping = yaml_parse("userData", text, strlen(text), &file, &problems) == 0 &&
		       file.count && file.documents[0]->kind == YAML_MAPPING;

	yaml_file_free(&file);
	problems_free(&problems);
	return mapping;
}

/* A script says so in its first line, whatever else its lines look like. */
static const char *type_of(const char *text, bool node_config)
{
	if (str_starts(text, "#cloud-config"))
		return TYPE_CLOUD_CONFIG;
	if (node_config && !str_starts(text, "#!") && is_yaml_mapping(text))
		return TYPE_NODE_CONFIG;
	return TYPE_SCRIPT;
}

static int add_given(const struct user_data *data, struct mime *mime,
		     char problem[USER_DATA_PROBLEM_SIZE])
{
	if (!data->given || !*data->given)
		return 0;
	if (mime_is_archive(data->given))
		return mime_read(data->given, mime, problem);
	mime_add(mime, type_of(data->given, data->family == AMI_AL2023), data->given);
	return 0;
}

/* ---- without a cluster ---- */

static int alone(const struct user_data *data, struct text *out,
		 char problem[USER_DATA_PROBLEM_SIZE])
{
	_cleanup_(mime_free)
	struct mime mime = {0};
	int r;

	if (!data->raid0) {
		text_add(out, data->given ? data->given : "");
		return 0;
	}
	/* First, so that the user's own scripts find it. cloud-init of AL2 knows nothing that runs
	 * at each boot. */
	mime_add(&mime, data->family == AMI_AL2023 ? TYPE_SCRIPT_PER_BOOT : TYPE_SCRIPT,
		 INSTANCE_STORE_SCRIPT);
	r = add_given(data, &mime, problem);
	if (r == 0)
		mime_write(&mime, out);
	return r;
}

/* ---- nodeadm ---- */

static cJSON *node_config(const struct user_data *data)
{
	_cleanup_text_ struct text labels = {0};
	const struct cluster *cluster = data->cluster;
	cJSON *config = cJSON_CreateObject(), *spec, *part;

	cJSON_AddStringToObject(config, "apiVersion", "node.eks.aws/v1alpha1");
	cJSON_AddStringToObject(config, "kind", "NodeConfig");
	spec = cJSON_AddObjectToObject(config, "spec");
	part = cJSON_AddObjectToObject(spec, "cluster");
	cJSON_AddStringToObject(part, "apiServerEndpoint", cluster->endpoint);
	if (cluster->certificate_authority)
		cJSON_AddStringToObject(part, "certificateAuthority",
					cluster->certificate_authority);
	cJSON_AddStringToObject(part, "cidr", cluster->cidr);
	cJSON_AddStringToObject(part, "name", cluster->name);
	if (data->raid0) {
		part = cJSON_AddObjectToObject(spec, "instance");
		part = cJSON_AddObjectToObject(part, "localStorage");
		cJSON_AddStringToObject(part, "strategy", "RAID0");
	}
	part = cJSON_AddObjectToObject(spec, "kubelet");
	cJSON_AddItemToObject(part, "config", kubelet_config(data));
	kubelet_label_argument(data, &labels);
	if (labels.length)
		cJSON_AddItemToArray(cJSON_AddArrayToObject(part, "flags"),
				     cJSON_CreateString(labels.data));
	return config;
}

int nodeadm_user_data(const struct user_data *data, struct text *out,
		      char problem[USER_DATA_PROBLEM_SIZE])
{
	_cleanup_(mime_free)
	struct mime mime = {0};
	_cleanup_text_ struct text yaml = {0};
	cJSON *config;
	int r;

	if (!data->cluster)
		return alone(data, out, problem);
	if (!data->cluster->cidr) {
		snprintf(problem, USER_DATA_PROBLEM_SIZE,
			 "nodes of AL2023 have to know the cluster's service addresses: give "
			 "--cluster-cidr");
		return -EINVAL;
	}
	r = add_given(data, &mime, problem);
	if (r < 0)
		return r;
	config = node_config(data);
	yaml_write(config, &yaml);
	cJSON_Delete(config);
	mime_add(&mime, TYPE_NODE_CONFIG, yaml.data);
	mime_write(&mime, out);
	return 0;
}

/* ---- bootstrap.sh ---- */

static void add_bootstrap(const struct user_data *data, struct text *script)
{
	_cleanup_text_ struct text arguments = {0};
	const struct cluster *cluster = data->cluster;
	const char *dns = cluster_dns(data);
	struct in6_addr address;

	text_add(script, "#!/bin/bash -xe\n"
			 "exec > >(tee /var/log/user-data.log|logger -t user-data -s "
			 "2>/dev/console) 2>&1\n");
	text_printf(script, "/etc/eks/bootstrap.sh '%s' --apiserver-endpoint '%s' ", cluster->name,
		    cluster->endpoint);
	if (cluster->certificate_authority)
		text_printf(script, "--b64-cluster-ca '%s'", cluster->certificate_authority);
	if (dns && inet_pton(AF_INET6, dns, &address) == 1)
		text_add(script, " \\\n--ip-family ipv6");
	if (dns)
		text_printf(script, " \\\n--dns-cluster-ip '%s'", dns);
	if (data->kubelet->given && data->kubelet->max_pods >= 0)
		text_add(script, " \\\n--use-max-pods false");
	kubelet_arguments(data, &arguments);
	text_printf(script, " \\\n--kubelet-extra-args '%s'", arguments.data);
	if (data->raid0)
		text_add(script, " \\\n--local-disks raid0");
}

int al2_user_data(const struct user_data *data, struct text *out,
		  char problem[USER_DATA_PROBLEM_SIZE])
{
	_cleanup_(mime_free)
	struct mime mime = {0};
	_cleanup_text_ struct text script = {0};
	int r;

	if (!data->cluster)
		return alone(data, out, problem);
	r = add_given(data, &mime, problem);
	if (r < 0)
		return r;
	add_bootstrap(data, &script);
	mime_add(&mime, TYPE_SCRIPT, script.data);
	mime_write(&mime, out);
	return 0;
}
