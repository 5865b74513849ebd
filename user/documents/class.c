/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EC2NodeClass (karpenter.k8s.aws/v1). Rules from Karpenter's provider for AWS:
 * pkg/apis/crds/karpenter.k8s.aws_ec2nodeclasses.yaml, pkg/apis/v1/labels.go; limits of tags and
 * user data from EC2.
 */
#include "documents/read.h"

#define TERMS_MAX 30
#define TERM_TAGS_MAX 20
#define TAG_KEY_MAX 128
#define TAG_VALUE_MAX 256
#define TAGS_MAX 44 /* EC2 takes 50, forerun sets 6 */
#define USER_DATA_BYTES_MAX 16384
#define ROLE_MAX 64
#define INSTANCE_PROFILE_MAX 128

/* ---- subnets and security groups ---- */

static bool read_id(const struct cursor *at, const char *prefix, char **out)
{
	size_t length = strlen(prefix);
	const char *rest;

	if (!read_string(at, out))
		return false;
	rest = *out + length;
	if (str_starts(*out, prefix) && *rest &&
	    rest[strspn(rest, "0123456789abcdefghijklmnopqrstuvwxyz")] == '\0')
		return true;
	cursor_expected(at, "an id such as %s0123456789abcdef0", prefix);
	return false;
}

static void read_term_tags(const struct cursor *at, struct key_values *tags)
{
	if (read_string_map(at, tags) && (!tags->list.count || tags->list.count > TERM_TAGS_MAX))
		cursor_refuse(at, "found %zu tags, expected 1 to %d", tags->list.count,
			      TERM_TAGS_MAX);
	vec_for_each (tag, &tags->list) {
		struct cursor item = cursor_field(at, tag->key);

		if (!*tag->key || !*tag->value)
			cursor_refuse(&item,
				      "found an empty key or value, expected both, or the value "
				      "\"*\" for any");
	}
}

/* A term chooses by one of id, tags and (security groups) name. */
static void read_term(const struct cursor *at, const struct field *fields, size_t fields_count,
		      const char *prefix, struct selector_terms *terms)
{
	struct cursor id = cursor_field(at, "id"), name = cursor_field(at, "name");
	struct cursor tags = cursor_field(at, "tags");
	struct selector_term *term;
	size_t given;

	if (!cursor_present(at)) {
		cursor_expected(at, "a mapping");
		return;
	}
	if (!read_mapping(at, fields, fields_count))
		return;
	given = (size_t)cursor_present(&id) + cursor_present(&tags);
	if (fields_count == 3)
		given += cursor_present(&name);
	if (given != 1) {
		cursor_refuse(at, "found %s, expected exactly one of %s",
			      given ? "more than one" : "none of them",
			      fields_count == 3 ? "id, tags and name" : "id and tags");
		return;
	}
	term = vec_push(&terms->list);
	read_id(&id, prefix, &term->id);
	read_term_tags(&tags, &term->tags);
	if (fields_count == 3)
		read_string(&name, &term->name);
}

static void read_terms(const struct cursor *spec, const char *name, size_t fields_count,
		       const char *prefix, struct selector_terms *terms)
{
	static const struct field FIELDS[] = {{"id"}, {"tags"}, {"name"}};
	struct cursor list = cursor_field(spec, name);

	if (!read_list(&list, TERMS_MAX))
		return;
	if (!list.node->count)
		cursor_expected(&list, "at least one term");
	for (size_t i = 0; i < list.node->count; i++) {
		struct cursor item = cursor_item(&list, i);

		read_term(&item, FIELDS, fields_count, prefix, terms);
	}
}

/* ---- images ---- */

/* "latest" or "v20250101". */
static bool is_al2023_version(const char *text)
{
	return strcmp(text, "latest") == 0 || (text[0] == 'v' && strlen(text) == 9 &&
					       text[1 + strspn(text + 1, "0123456789")] == '\0');
}

static void read_alias(const struct cursor *at, struct node_class *node_class)
{
	static const char *const LATER[] = {"al2", "bottlerocket", "windows2019", "windows2022",
					    "windows2025"};
	const char *sign;

	if (!read_string(at, &node_class->ami_alias))
		return;
	sign = strchr(node_class->ami_alias, '@');
	for (size_t i = 0; sign && i < ARRAY_SIZE(LATER); i++) {
		if (strlen(LATER[i]) == (size_t)(sign - node_class->ami_alias) &&
		    str_starts(node_class->ami_alias, LATER[i])) {
			cursor_refuse(at, "not supported yet: images of family %s, expected al2023",
				      LATER[i]);
			return;
		}
	}
	if (!sign || !str_starts(node_class->ami_alias, "al2023@") || !is_al2023_version(sign + 1))
		cursor_expected(at, "al2023@latest or al2023@vYYYYMMDD");
}

static void read_image_term(const struct cursor *at, size_t terms, struct node_class *node_class)
{
	static const struct field FIELDS[] = {
		{"alias"},
		{"id"},
		{"name", FIELD_LATER},
		{"owner", FIELD_LATER},
		{"ssmParameter", FIELD_LATER},
		{"tags", FIELD_LATER},
	};
	struct cursor alias = cursor_field(at, "alias"), id = cursor_field(at, "id");
	char *image = NULL;

	if (!cursor_present(at)) {
		cursor_expected(at, "a mapping");
		return;
	}
	if (!read_mapping(at, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	if (cursor_present(&alias) && cursor_present(&id))
		cursor_refuse(at, "found alias and id, expected one of them");
	else if (cursor_present(&alias) && terms > 1)
		cursor_refuse(&alias, "found an alias beside other terms, expected it alone");
	else if (!at->node->count)
		cursor_refuse(at, "found none of them, expected alias or id");
	read_alias(&alias, node_class);
	if (read_id(&id, "ami-", &image))
		*vec_push(&node_class->ami_ids) = TAKE(image);
	free(image);
}

static void read_family(const struct cursor *spec, struct node_class *node_class)
{
	static const char *const FAMILIES[] = {"AL2023",       "Custom",      "AL2",
					       "Bottlerocket", "Windows2019", "Windows2022",
					       "Windows2025"};
	struct cursor at = cursor_field(spec, "amiFamily");
	size_t chosen = 0;

	node_class->family = AMI_AL2023;
	if (!cursor_present(&at)) {
		if (!node_class->ami_alias && node_class->ami_ids.count)
			problem_at(spec->problems, spec->node,
				   "missing field spec.amiFamily, expected AL2023 or Custom where "
				   "amiSelectorTerms has no alias");
		return;
	}
	if (!read_enum_of(&at, FAMILIES, ARRAY_SIZE(FAMILIES), AMI_CUSTOM + 1, &chosen))
		return;
	if (chosen > AMI_CUSTOM)
		cursor_refuse(&at, "not supported yet: %s, expected AL2023 or Custom",
			      FAMILIES[chosen]);
	else
		node_class->family = (enum ami_family)chosen;
}

static void read_images(const struct cursor *spec, struct node_class *node_class)
{
	struct cursor terms = cursor_field(spec, "amiSelectorTerms");

	if (!read_list(&terms, TERMS_MAX))
		return;
	if (!terms.node->count)
		cursor_expected(&terms, "at least one term");
	for (size_t i = 0; i < terms.node->count; i++) {
		struct cursor item = cursor_item(&terms, i);

		read_image_term(&item, terms.node->count, node_class);
	}
	read_family(spec, node_class);
}

/* ---- who the instance is, what it runs ---- */

static void check_iam_name(const struct cursor *at, const char *name, size_t most)
{
	if (str_starts(name, "arn:"))
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
	static const char *const PREFIXES[] = {"kubernetes.io/cluster", "karpenter.sh/",
					       "forerun.dev/", "aws:"};

	for (size_t i = 0; i < ARRAY_SIZE(PREFIXES); i++)
		if (str_starts(key, PREFIXES[i]))
			return true;
	return strcmp(key, "eks:eks-cluster-name") == 0 ||
	       strcmp(key, "karpenter.k8s.aws/ec2nodeclass") == 0;
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
	node_class->kubelet = (struct kubelet){
		.max_pods = -1,
		.pods_per_core = -1,
		.eviction_max_pod_grace_period_s = -1,
		.image_gc_high_threshold_percent = -1,
		.image_gc_low_threshold_percent = -1,
		.cpu_cfs_quota = -1,
	};
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
		{"associatePublicIPAddress", FIELD_LATER},
		{"capacityReservationSelectorTerms", FIELD_LATER},
		{"connectionTracking", FIELD_LATER},
		{"context", FIELD_LATER},
		{"cpuOptions", FIELD_LATER},
		{"detailedMonitoring", FIELD_LATER},
		{"enclaveOptions", FIELD_LATER},
		{"instanceStorePolicy", FIELD_LATER},
		{"ipPrefixCount", FIELD_LATER},
		{"kubelet", FIELD_LATER},
		{"networkInterfaces", FIELD_LATER},
		{"placementGroupSelector", FIELD_LATER},
	};
	struct cursor spec = cursor_field(document, "spec");

	nothing_given(node_class);
	if (!read_mapping(document, DOCUMENT, ARRAY_SIZE(DOCUMENT)))
		return;
	read_metadata(document, &node_class->name);
	if (!read_mapping(&spec, SPEC, ARRAY_SIZE(SPEC)))
		return;
	read_images(&spec, node_class);
	read_terms(&spec, "subnetSelectorTerms", 2, "subnet-", &node_class->subnets);
	read_terms(&spec, "securityGroupSelectorTerms", 3, "sg-", &node_class->security_groups);
	read_identity(&spec, node_class);
	read_user_data(&spec, node_class);
	read_tags(&spec, node_class);
	read_block_devices(&spec, node_class);
	read_metadata_options(&spec, node_class);
}
