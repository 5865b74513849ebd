/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user data of a node: what the user gave, merged with what the node has to know, in the way of
 * its image's family. As Karpenter's provider for AWS does it (pkg/providers/amifamily/bootstrap);
 * tests/peers/bootstrap records what that makes.
 */
#ifndef FORERUN_CLOUD_USERDATA_H
#define FORERUN_CLOUD_USERDATA_H

#include <cjson/cJSON.h>

#include "base/text.h"
#include "plan/catalog.h"

#define USER_DATA_BYTES_MAX 16384
#define USER_DATA_PROBLEM_SIZE 256

/* The cluster that nodes join. */
struct cluster {
	char *name, *endpoint;
	char *certificate_authority; /* base64 of PEM */
	char *cidr; /* of services; may be NULL for families other than AL2023 */
	char *dns; /* address; NULL: as the image finds out */
};

struct user_data {
	enum ami_family family;
	const char *given; /* by the class; NULL: nothing */
	const struct kubelet *kubelet;
	bool raid0; /* instanceStorePolicy */
	const struct cluster
		*cluster; /* NULL: the instance joins none, and the rest is of no use */
	struct key_values labels;
	struct taints taints;
	bool bind_by_name; /* a Bottlerocket before 1.46, which has to be told its directories */
};

/* -EINVAL: the given text does not merge, or all of it is too long; problem says how. */
int user_data_make(const struct user_data *data, struct text *out,
		   char problem[USER_DATA_PROBLEM_SIZE]);
/* Labels and taints of a node of that pool, as Karpenter gives them; owned by data. */
void user_data_for_pool(struct user_data *data, const struct pool *pool, const char *class_name,
			enum capacity_type type);
void user_data_free(struct user_data *data); /* labels and taints */

/* ---- between the files of userdata*.c ---- */

struct mime_part {
	char *headers; /* lines, each with its newline */
	char *content;
};
struct mime {
	VEC(struct mime_part) parts;
};
void mime_free(struct mime *mime);
bool mime_is_archive(const char *text); /* or claims to be */
/* The parts of a multipart archive. -EINVAL with problem. */
int mime_read(const char *text, struct mime *mime, char problem[USER_DATA_PROBLEM_SIZE]);
void mime_add(struct mime *mime, const char *type, const char *content);
void mime_write(const struct mime *mime, struct text *out);

/* A tree as YAML, block style, in its own order. */
void yaml_write(const cJSON *tree, struct text *out);

/* KubeletConfiguration, keys in order; taints too. */
cJSON *kubelet_config(const struct user_data *data);
/* Arguments of the kubelet, blank between them. */
void kubelet_arguments(const struct user_data *data, struct text *out);
void kubelet_label_argument(const struct user_data *data, struct text *out);
/* Of clusterDNS of the class, else the cluster's; NULL: neither. */
const char *cluster_dns(const struct user_data *data);
cJSON *resources_json(const struct resources *resources);
cJSON *thresholds_json(const struct eviction_thresholds *thresholds, bool durations);
const char *taint_effect_text(enum taint_effect effect);

int nodeadm_user_data(const struct user_data *data, struct text *out,
		      char problem[USER_DATA_PROBLEM_SIZE]);
int al2_user_data(const struct user_data *data, struct text *out,
		  char problem[USER_DATA_PROBLEM_SIZE]);
int bottlerocket_user_data(const struct user_data *data, struct text *out,
			   char problem[USER_DATA_PROBLEM_SIZE]);
/* Where no bootstrap of a cluster sets the instance store up. */
extern const char INSTANCE_STORE_SCRIPT[];

#endif
