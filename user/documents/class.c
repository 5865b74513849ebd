/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EC2NodeClass (karpenter.k8s.aws/v1). Rules from Karpenter's provider for AWS:
 * pkg/apis/crds/karpenter.k8s.aws_ec2nodeclasses.yaml, pkg/apis/v1/labels.go; limits of tags and
 * user data from EC2.
 */
#include "documents/read.h"

#define TAG_KEY_MAX 128
#define TAG_VALUE_MAX 256
#define TAGS_MAX 44 /* EC2 takes 50, forerun sets 6 */
#define USER_DATA_BYTES_MAX 16384
#define ROLE_MAX 64
#define INSTANCE_PROFILE_MAX 128

/* ---- who the instance is, what it runs ---- */

static void check_iam_name(const struct cursor *at, const char *name, size_t most)
{
	if (strstr(name, "${"))
		warning_at(at->problems, at->node,
			   "\"%.80s\" is no name of IAM yet: put your cluster's into it", name);
	else if (str_starts(name, "arn:"))
		cursor_expected(at, "the name alone, not the ARN");
	else if (strlen(name) > most || name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
							  "abcdefghijklmnopqrstuvwxyz"
							  "0123456789_+=,.@-")] != '\0')
		cursor_expected(at, "at most %zu letters, digits and _+=,.@-", most);
}

static void read_identity(const struct cursor *spec, struct node_class *node_class)
{
	struct cursor role = cursor_field(spec, "role");
	struct cursor profile = cursor_field(spec, "instanceProfile");

	if (cursor_present(&role) && cursor_present(&profile))
		cursor_refuse(spec, "found role and instanceProfile, expected one of them");
	else if (!cursor_present(&role) && !cursor_present(&profile))
		cursor_refuse(spec, "found neither role nor instanceProfile, expected one of them");
	if (read_string(&role, &node_class->role))
		check_iam_name(&role, node_class->role, ROLE_MAX);
	if (read_string(&profile, &node_class->instance_profile))
		check_iam_name(&profile, node_class->instance_profile, INSTANCE_PROFILE_MAX);
}

static bool is_restricted_tag(const char *key)
{
	static const char *const TAGS[] = {"eks:eks-cluster-name", "karpenter.sh/nodepool",
					   "karpenter.sh/nodeclaim",
					   "karpenter.k8s.aws/ec2nodeclass"};
	static const char *const PREFIXES[] = {"kubernetes.io/cluster", "forerun.dev/", "aws:"};

	for (size_t i = 0; i < ARRAY_SIZE(TAGS); i++)
		if (strcmp(key, TAGS[i]) == 0)
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(PREFIXES); i++)
		if (str_starts(key, PREFIXES[i]))
			return true;
	return false;
}

static void read_tags(const struct cursor *spec, struct node_class *node_class)
{
	struct cursor tags = cursor_field(spec, "tags");

	read_string_map(&tags, &node_class->tags);
	if (node_class->tags.list.count > TAGS_MAX)
		cursor_refuse(
			&tags,
			"found %zu tags, expected at most %d: EC2 takes 50 and forerun sets 6",
			node_class->tags.list.count, TAGS_MAX);
	vec_for_each (tag, &node_class->tags.list) {
		struct cursor at = cursor_field(&tags, tag->key);

		if (!*tag->key)
			cursor_refuse(&at, "found an empty key, expected 1 to %d characters",
				      TAG_KEY_MAX);
		else if (is_restricted_tag(tag->key))
			cursor_refuse(&at, "the tag is restricted, expected one of your own");
		else if (strlen(tag->key) > TAG_KEY_MAX || strlen(tag->value) > TAG_VALUE_MAX)
			cursor_refuse(
				&at,
				"too long, expected at most %d characters of key and %d of value",
				TAG_KEY_MAX, TAG_VALUE_MAX);
	}
}

static void read_metadata_options(const struct cursor *spec, struct node_class *node_class)
{
	static const struct field FIELDS[] = {{"httpEndpoint"},
					      {"httpProtocolIPv6"},
					      {"httpPutResponseHopLimit"},
					      {"httpTokens"}};
	static const char *const SWITCH[] = {"enabled", "disabled"};
	static const char *const TOKENS[] = {"required", "optional"};
	struct cursor options = cursor_field(spec, "metadataOptions");
	struct cursor endpoint = cursor_field(&options, "httpEndpoint");
	struct cursor ipv6 = cursor_field(&options, "httpProtocolIPv6");
	struct cursor hops = cursor_field(&options, "httpPutResponseHopLimit");
	struct cursor tokens = cursor_field(&options, "httpTokens");
	struct metadata_options *out = &node_class->metadata;
	int64_t limit = 1;
	size_t chosen = 0;

	out->http_put_response_hop_limit = 1;
	if (!read_mapping(&options, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	if (read_enum(&endpoint, SWITCH, ARRAY_SIZE(SWITCH), &chosen))
		out->http_endpoint = strdup(SWITCH[chosen]);
	if (read_enum(&ipv6, SWITCH, ARRAY_SIZE(SWITCH), &chosen))
		out->http_protocol_ipv6 = strdup(SWITCH[chosen]);
	if (read_enum(&tokens, TOKENS, ARRAY_SIZE(TOKENS), &chosen))
		out->http_tokens = strdup(TOKENS[chosen]);
	read_integer(&hops, 1, 64, &limit);
	out->http_put_response_hop_limit = (uint32_t)limit;
}

static void read_user_data(const struct cursor *spec, struct node_class *node_class)
{
	struct cursor at = cursor_field(spec, "userData");

	if (read_string_or_empty(&at, &node_class->user_data) &&
	    strlen(node_class->user_data) > USER_DATA_BYTES_MAX)
		cursor_refuse(&at, "found %zu bytes, expected at most %d: EC2 takes no more",
			      strlen(node_class->user_data), USER_DATA_BYTES_MAX);
}

/* Where 0 would say something. */
static void nothing_given(struct node_class *node_class)
{
	node_class->associate_public_ip = -1;
	node_class->ip_prefix_count = -1;
	node_class->nested_virtualization = -1;
	node_class->kubelet = KUBELET_DEFAULTS;
}

static void read_rest(const struct cursor *spec, struct node_class *node_class)
{
	static const char *const POLICIES[] = {"RAID0"};
	struct cursor store = cursor_field(spec, "instanceStorePolicy");
	struct cursor context = cursor_field(spec, "context");
	struct cursor monitoring = cursor_field(spec, "detailedMonitoring");
	size_t chosen = 0;

	node_class->instance_store_raid0 =
		read_enum(&store, POLICIES, ARRAY_SIZE(POLICIES), &chosen);
	read_string(&context, &node_class->context);
	read_bool(&monitoring, &node_class->detailed_monitoring);
}

void read_node_class(const struct cursor *document, struct node_class *node_class)
{
	static const struct field DOCUMENT[] = {
		{"apiVersion"},
		{"kind"},
		{"metadata", FIELD_REQUIRED, "a mapping with the object's name"},
		{"spec", FIELD_REQUIRED, "a mapping"},
		{"status"},
	};
	static const struct field SPEC[] = {
		{"amiSelectorTerms", FIELD_REQUIRED, "a list with an alias or ids"},
		{"subnetSelectorTerms", FIELD_REQUIRED, "a list of ids or tags"},
		{"securityGroupSelectorTerms", FIELD_REQUIRED, "a list of ids, names or tags"},
		{"amiFamily"},
		{"role"},
		{"instanceProfile"},
		{"userData"},
		{"tags"},
		{"blockDeviceMappings"},
		{"metadataOptions"},
		{"associatePublicIPAddress"},
		{"capacityReservationSelectorTerms"},
		{"connectionTracking"},
		{"context"},
		{"cpuOptions"},
		{"detailedMonitoring"},
		{"instanceStorePolicy"},
		{"ipPrefixCount"},
		{"kubelet"},
		{"networkInterfaces"},
		{"placementGroupSelector"},
	};
	struct cursor spec = cursor_field(document, "spec");

	nothing_given(node_class);
	if (!read_mapping(document, DOCUMENT, ARRAY_SIZE(DOCUMENT)))
		return;
	read_metadata(document, &node_class->name);
	if (!read_mapping(&spec, SPEC, ARRAY_SIZE(SPEC)))
		return;
	read_images(&spec, node_class);
	read_selectors(&spec, node_class);
	read_identity(&spec, node_class);
	read_user_data(&spec, node_class);
	read_tags(&spec, node_class);
	read_block_devices(&spec, node_class);
	read_metadata_options(&spec, node_class);
	read_kubelet(&spec, node_class);
	read_network(&spec, node_class);
	read_rest(&spec, node_class);
}
