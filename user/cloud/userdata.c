/* SPDX-License-Identifier: Apache-2.0 */
/* Which family merges user data how; labels and taints of a pool's nodes. */
#include "cloud/private.h"
#include "cloud/userdata.h"

int user_data_make(const struct user_data *data, struct text *out,
		   char problem[USER_DATA_PROBLEM_SIZE])
{
	int r = 0;

	problem[0] = '\0';
	switch (data->family) {
	case AMI_AL2023:
		r = nodeadm_user_data(data, out, problem);
		break;
	case AMI_AL2:
		r = al2_user_data(data, out, problem);
		break;
	case AMI_BOTTLEROCKET:
		r = bottlerocket_user_data(data, out, problem);
		break;
	case AMI_CUSTOM:
		text_add(out, data->given ? data->given : "");
		break;
	case AMI_WINDOWS2019:
	case AMI_WINDOWS2022:
	case AMI_WINDOWS2025:
		snprintf(problem, USER_DATA_PROBLEM_SIZE,
			 "forerun reads the Linux kernel and launches no Windows nodes");
		return -EINVAL;
	}
	if (r < 0)
		return r;
	if (out->length > USER_DATA_BYTES_MAX) {
		snprintf(problem, USER_DATA_PROBLEM_SIZE,
			 "%zu bytes with what the node has to know, of which the class gives %zu; "
			 "EC2 takes at most %d: fetch the rest from the instance",
			 out->length, data->given ? strlen(data->given) : 0, USER_DATA_BYTES_MAX);
		return -EINVAL;
	}
	return 0;
}

/* ---- labels and taints ---- */

static void set_label(struct user_data *data, const char *key, const char *value)
{
	struct key_value *label;
	size_t at = 0;

	vec_for_each (known, &data->labels.list) {
		if (strcmp(known->key, key) == 0) {
			free(known->value);
			known->value = strdup(value);
			return;
		}
		at += strcmp(known->key, key) < 0;
	}
	vec_push(&data->labels.list);
	label = &data->labels.list.at[at];
	memmove(label + 1, label, (data->labels.list.count - 1 - at) * sizeof(*label));
	*label = (struct key_value){strdup(key), strdup(value)};
}

/* The API server lets no kubelet give itself these. */
static bool is_forbidden(const char *key)
{
	const char *slash = strchr(key, '/');
	_cleanup_free_ char *domain = slash ? strndup(key, (size_t)(slash - key)) : NULL;

	return domain && (str_equal(domain, "kubernetes.io") || str_equal(domain, "k8s.io") ||
			  str_ends(domain, ".kubernetes.io") || str_ends(domain, ".k8s.io"));
}

static void add_taint(struct user_data *data, const char *key, const char *value,
		      enum taint_effect effect)
{
	struct taint *taint = vec_push(&data->taints.list);

	*taint = (struct taint){strdup(key), strdup(value ? value : ""), effect};
}

/* What keeps pods away until the node is known to be the one that was launched. */
static void add_unregistered(struct user_data *data)
{
	static const char KEY[] = "karpenter.sh/unregistered";

	vec_for_each (taint, &data->taints.list)
		if (strcmp(taint->key, KEY) == 0 && taint->effect == TAINT_NO_EXECUTE)
			return;
	add_taint(data, KEY, "", TAINT_NO_EXECUTE);
}

void user_data_for_pool(struct user_data *data, const struct pool *pool, const char *class_name,
			enum capacity_type type)
{
	vec_for_each (label, &pool->labels.list)
		if (!is_forbidden(label->key))
			set_label(data, label->key, label->value);
	set_label(data, "karpenter.sh/nodepool", pool->name);
	set_label(data, "karpenter.k8s.aws/ec2nodeclass", class_name);
	set_label(data, LABEL_CAPACITY_TYPE, capacity_type_text(type));
	if (data->family != AMI_CUSTOM)
		set_label(data, "karpenter.sh/do-not-sync-taints", "true");
	vec_for_each (taint, &pool->taints.list)
		add_taint(data, taint->key, taint->value, taint->effect);
	vec_for_each (taint, &pool->startup_taints.list)
		add_taint(data, taint->key, taint->value, taint->effect);
	add_unregistered(data);
}

void user_data_free(struct user_data *data)
{
	vec_for_each (label, &data->labels.list) {
		free(label->key);
		free(label->value);
	}
	vec_free(&data->labels.list);
	vec_for_each (taint, &data->taints.list) {
		free(taint->key);
		free(taint->value);
	}
	vec_free(&data->taints.list);
}
