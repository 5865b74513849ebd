/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a launch template says. The name holds a hash of the content, so that one which exists under
 * that name says the same, whoever made it.
 */
#include "cloud/private.h"

#define GIB (UINT64_C(1) << 30)

/* ---- content ---- */

static void add_base64(struct text *out, const char *data)
{
	static const char ALPHABET[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t length = strlen(data);

	for (size_t i = 0; i < length; i += 3) {
		uint32_t bits = (uint32_t)(unsigned char)data[i] << 16;

		if (i + 1 < length)
			bits |= (uint32_t)(unsigned char)data[i + 1] << 8;
		if (i + 2 < length)
			bits |= (unsigned char)data[i + 2];
		text_add_char(out, ALPHABET[bits >> 18]);
		text_add_char(out, ALPHABET[bits >> 12 & 63]);
		text_add_char(out, i + 1 < length ? ALPHABET[bits >> 6 & 63] : '=');
		text_add_char(out, i + 2 < length ? ALPHABET[bits & 63] : '=');
	}
}

static void add_number(struct text *out, uint32_t value, const char *prefix, const char *name)
{
	char number[16];

	if (!value)
		return;
	snprintf(number, sizeof(number), "%u", value);
	form_add(out, number, "%s.%s", prefix, name);
}

/* 0 is one, too. */
static void add_index(struct text *out, uint32_t value, const char *prefix, const char *name)
{
	char number[16];

	snprintf(number, sizeof(number), "%u", value);
	form_add(out, number, "%s.%s", prefix, name);
}

static void add_switch(struct text *out, bool set, bool value, const char *prefix, const char *name)
{
	if (set)
		form_add(out, value ? "true" : "false", "%s.%s", prefix, name);
}

static void add_word(struct text *out, const char *value, const char *prefix, const char *name)
{
	if (value)
		form_add(out, value, "%s.%s", prefix, name);
}

static void add_block_device(struct text *out, const struct block_device *device, size_t index)
{
	_cleanup_free_ char *prefix =
		str_printf("LaunchTemplateData.BlockDeviceMapping.%zu.Ebs", index);

	form_add(out, device->device_name, "LaunchTemplateData.BlockDeviceMapping.%zu.DeviceName",
		 index);
	add_switch(out, device->encrypted_set, device->encrypted, prefix, "Encrypted");
	add_switch(out, device->delete_on_termination_set, device->delete_on_termination, prefix,
		   "DeleteOnTermination");
	add_number(out, device->iops, prefix, "Iops");
	add_word(out, device->kms_key_id, prefix, "KmsKeyId");
	add_word(out, device->snapshot_id, prefix, "SnapshotId");
	add_number(out, (uint32_t)((device->volume_size_bytes + GIB - 1) / GIB), prefix,
		   "VolumeSize"); /* EC2 counts whole GiB */
	add_word(out, device->volume_type, prefix, "VolumeType");
	add_number(out, device->throughput, prefix, "Throughput");
	add_number(out, device->volume_initialization_rate, prefix, "VolumeInitializationRate");
}

/* Karpenter's, by family, where the class says none: a root of its own size, encrypted. What runs
 * on Bottlerocket lives on a volume beside its root. */
static void add_default_devices(enum ami_family family, struct text *out)
{
	struct block_device root = {.device_name = "/dev/xvda",
				    .encrypted_set = true,
				    .encrypted = true,
				    .volume_type = "gp3",
				    .volume_size_bytes = 20 * GIB};
	struct block_device data = root;

	if (family != AMI_AL2023 && family != AMI_AL2 && family != AMI_BOTTLEROCKET)
		return;
	if (family == AMI_BOTTLEROCKET)
		root.volume_size_bytes = 4 * GIB;
	add_block_device(out, &root, 1);
	data.device_name = "/dev/xvdb";
	if (family == AMI_BOTTLEROCKET)
		add_block_device(out, &data, 2);
}

static void add_devices(const struct node_class *class, struct text *out)
{
	size_t count = 0;

	vec_for_each (device, &class->block_devices)
		add_block_device(out, device, ++count);
	if (!count)
		add_default_devices(class->family, out);
}

/* ---- network ---- */

static bool is_ipv6(const struct cluster *cluster)
{
	return cluster->name && cluster->dns && strchr(cluster->dns, ':');
}

static void add_groups(const struct resolver *resolver, const char *prefix, struct text *out)
{
	size_t count = 0;

	vec_for_each (group, &resolver->groups)
		form_add(out, *group, "%s.SecurityGroupId.%zu", prefix, ++count);
}

static void add_tracking(const struct connection_tracking *tracking, const char *interface,
			 struct text *out)
{
	_cleanup_free_ char *prefix = str_printf("%s.ConnectionTrackingSpecification", interface);

	add_number(out, tracking->tcp_established_s, prefix, "TcpEstablishedTimeout");
	add_number(out, tracking->udp_stream_s, prefix, "UdpStreamTimeout");
	add_number(out, tracking->udp_s, prefix, "UdpTimeout");
}

/* An interface for EFA alone has no addresses, and EC2 refuses what is about them. */
static void add_interface(const struct resolver *resolver, size_t index,
			  const struct network_interface *interface, struct text *out)
{
	_cleanup_free_ char *prefix = str_printf("LaunchTemplateData.NetworkInterface.%zu", index);
	const struct node_class *class = resolver->class;
	bool ipv6 = is_ipv6(&resolver->cloud->cluster);
	bool addressed = !interface || !interface->efa_only;

	if (interface) {
		add_index(out, interface->card, prefix, "NetworkCardIndex");
		form_add(out, interface->efa_only ? "efa-only" : "interface", "%s.InterfaceType",
			 prefix);
	}
	add_index(out, interface ? interface->device : 0, prefix, "DeviceIndex");
	add_groups(resolver, prefix, out);
	if (!addressed)
		return;
	add_switch(out, class->associate_public_ip >= 0, class->associate_public_ip > 0, prefix,
		   "AssociatePublicIpAddress");
	if (class->ip_prefix_count >= 0)
		add_number(out, (uint32_t) class->ip_prefix_count, prefix,
			   ipv6 ? "Ipv6PrefixCount" : "Ipv4PrefixCount");
	add_switch(out, ipv6, true, prefix, "PrimaryIpv6");
	add_number(out, ipv6, prefix, "Ipv6AddressCount");
	add_tracking(&class->connection_tracking, prefix, out);
}

static bool says_something(const struct connection_tracking *tracking)
{
	return tracking->tcp_established_s || tracking->udp_stream_s || tracking->udp_s;
}

/* Groups stand in the interface where there is one to describe, else beside it: EC2 takes them in
 * one place. */
static void add_network(const struct resolver *resolver, struct text *out)
{
	const struct node_class *class = resolver->class;
	size_t count = 0;

	vec_for_each (interface, &class->network_interfaces)
		add_interface(resolver, ++count, interface, out);
	if (count)
		return;
	if (class->associate_public_ip >= 0 || class->ip_prefix_count >= 0 ||
	    says_something(&class->connection_tracking) || is_ipv6(&resolver->cloud->cluster))
		add_interface(resolver, 1, NULL, out);
	else
		add_groups(resolver, "LaunchTemplateData", out);
}

static void add_placement(const struct node_class *class, struct text *out)
{
	add_word(out, class->placement_group_id, "LaunchTemplateData.Placement", "GroupId");
	add_word(out, class->placement_group_name, "LaunchTemplateData.Placement", "GroupName");
	if (class->nested_virtualization >= 0)
		form_add(out, class->nested_virtualization ? "enabled" : "disabled",
			 "LaunchTemplateData.CpuOptions.NestedVirtualization");
}

/* ---- reservations ---- */

static const struct capacity_reservation *reservation_of(const struct resolver *resolver,
							 const char *id)
{
	vec_for_each (reservation, &resolver->reservations)
		if (strcmp(reservation->id, id) == 0)
			return reservation;
	return NULL;
}

/* What a class selects is not used up by its other launches. */
static void add_reservation(const struct resolver *resolver, const struct launch_template *template,
			    struct text *out)
{
	static const char prefix[] = "LaunchTemplateData.CapacityReservationSpecification";
	static const char market[] = "LaunchTemplateData.InstanceMarketOptions.MarketType";
	const struct capacity_reservation *reservation =
		reservation_of(resolver, template->reservation);

	if (!resolver->class->reservations.count)
		return;
	form_add(out, reservation ? "capacity-reservations-only" : "none",
		 "%s.CapacityReservationPreference", prefix);
	if (!reservation)
		return;
	form_add(out, reservation->id, "%s.CapacityReservationTarget.CapacityReservationId",
		 prefix);
	if (reservation->kind == RESERVATION_CAPACITY_BLOCK)
		form_add(out, "capacity-block", "%s", market);
	else if (reservation->kind == RESERVATION_INTERRUPTIBLE)
		form_add(out, "interruptible-capacity-reservation", "%s", market);
}

/* Karpenter's defaults: enabled, no IPv6, one hop, version 2 only. */
static void add_metadata(struct text *out, const struct metadata_options *options)
{
	static const char prefix[] = "LaunchTemplateData.MetadataOptions";
	uint32_t hops = options->http_put_response_hop_limit;

	add_word(out, options->http_tokens ? options->http_tokens : "required", prefix,
		 "HttpTokens");
	add_number(out, hops ? hops : 1, prefix, "HttpPutResponseHopLimit");
	add_word(out, options->http_endpoint ? options->http_endpoint : "enabled", prefix,
		 "HttpEndpoint");
	add_word(out, options->http_protocol_ipv6 ? options->http_protocol_ipv6 : "disabled",
		 prefix, "HttpProtocolIpv6");
	/* Whatever the account's default: with it EC2 refuses tag keys that have a slash. */
	add_word(out, "disabled", prefix, "InstanceMetadataTags");
}

/* ---- tags ---- */

static void add_tag(struct text *out, const char *prefix, size_t index, const char *key,
		    const char *value)
{
	form_add(out, key, "%s.Tag.%zu.Key", prefix, index);
	form_add(out, value, "%s.Tag.%zu.Value", prefix, index);
}

static void add_tags(const struct resolver *resolver, struct text *out, const char *prefix)
{
	const struct cluster *cluster = &resolver->cloud->cluster;
	size_t count = 0;

	vec_for_each (tag, &resolver->class->tags.list)
		add_tag(out, prefix, ++count, tag->key, tag->value);
	add_tag(out, prefix, ++count, TAG_OWNER, resolver->cloud->config.name);
	if (cluster->name) {
		_cleanup_free_ char *key = str_printf("kubernetes.io/cluster/%s", cluster->name);

		add_tag(out, prefix, ++count, key, "owned");
		add_tag(out, prefix, ++count, "eks:eks-cluster-name", cluster->name);
	}
}

/* EC2 refuses spot-instances-request tags where no spot request is made. The instance's own are the
 * order's; a cluster looks for its tag on it too. */
static void add_tag_specifications(const struct resolver *resolver, enum capacity_type type,
				   struct text *out)
{
	static const char *const RESOURCES[] = {"volume", "network-interface", "instance",
						"spot-instances-request"};
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(RESOURCES); i++) {
		_cleanup_free_ char *prefix = NULL;

		if ((i == 2 && !resolver->cloud->cluster.name) || (i == 3 && type != CAPACITY_SPOT))
			continue;
		prefix = str_printf("LaunchTemplateData.TagSpecification.%zu", ++count);
		form_add(out, RESOURCES[i], "%s.ResourceType", prefix);
		add_tags(resolver, out, prefix);
	}
}

/* ---- user data ---- */

/* "v1.46.0" of an alias, or of a name as "bottlerocket-aws-k8s-1.33-x86_64-v1.46.0-431fe75a". */
static const char *release_in(const char *name)
{
	for (const char *at = name; at; at = strpbrk(at + 1, "-@"))
		if (at[strspn(at, "-@")] == 'v' && strchr(at, '.'))
			return at + strspn(at, "-@");
	return NULL;
}

/* Before 1.46 Bottlerocket has to be told which directories go to the instance store, as in
 * Karpenter's version.SupportsDefaultBind. Nothing known: told, which every release takes. */
bool bottlerocket_binds_by_name(const struct node_class *class, const char *image_name)
{
	const char *alias = class_alias(class), *release = alias ? release_in(alias) : NULL;
	unsigned major = 0, minor = 0;

	if (alias && str_ends(alias, "@latest"))
		return false;
	vec_for_each (term, &class->amis)
		if (!release && term->name)
			release = release_in(term->name);
	if (!release && strstr(image_name, "bottlerocket"))
		release = release_in(image_name);
	if (!release || sscanf(release, "v%9u.%9u.", &major, &minor) != 2)
		return true;
	return major < 1 || (major == 1 && minor < 46);
}

static const char *image_name(const struct resolver *resolver, const char *id)
{
	vec_for_each (image, &resolver->images)
		if (strcmp(image->id, id) == 0)
			return image->name;
	return "";
}

static int add_user_data(const struct resolver *resolver, const struct launch_template *template,
			 struct text *out, char problem[CLOUD_TEXT_SIZE])
{
	const struct node_class *class = resolver->class;
	const struct cloud *cloud = resolver->cloud;
	const struct pool *pool = documents_pool(cloud->documents, template->pool);
	struct user_data data = {.family = class->family,
				 .given = class->user_data,
				 .kubelet = &class->kubelet,
				 .raid0 = class->instance_store_raid0};
	_cleanup_text_ struct text plain = {0}, encoded = {0};
	int r;

	data.bind_by_name =
		bottlerocket_binds_by_name(class, image_name(resolver, template->image_id));
	if (cloud->cluster.name && pool) {
		data.cluster = &cloud->cluster;
		user_data_for_pool(&data, pool, class->name, template->capacity_type);
	}
	r = user_data_make(&data, &plain, problem);
	user_data_free(&data);
	if (r < 0 || !plain.length)
		return r;
	add_base64(&encoded, plain.data);
	form_add(out, encoded.data, "LaunchTemplateData.UserData");
	return 0;
}

/* ---- all of it ---- */

static int add_data(const struct resolver *resolver, const struct launch_template *template,
		    struct text *out, char problem[CLOUD_TEXT_SIZE])
{
	const struct node_class *class = resolver->class;
	int r;

	form_add(out, template->image_id, "LaunchTemplateData.ImageId");
	form_add(out, resolver->profile, "LaunchTemplateData.IamInstanceProfile.Name");
	r = add_user_data(resolver, template, out, problem);
	if (r < 0)
		return r;
	add_network(resolver, out);
	add_placement(class, out);
	add_devices(class, out);
	add_metadata(out, &class->metadata);
	if (class->detailed_monitoring)
		form_add(out, "true", "LaunchTemplateData.Monitoring.Enabled");
	if (template->hibernates)
		form_add(out, "true", "LaunchTemplateData.HibernationOptions.Configured");
	add_reservation(resolver, template, out);
	add_tag_specifications(resolver, template->capacity_type, out);
	return 0;
}

/* The hash tells what the words of the name leave open. */
static void set_name(const struct resolver *resolver, struct launch_template *template,
		     const struct text *data)
{
	snprintf(template->name, sizeof(template->name), "forerun-%.63s-%s-%s-%016llx",
		 resolver->class->name, architecture_text(template->architecture),
		 capacity_type_text(template->capacity_type),
		 (unsigned long long)hash_bytes(data->data, data->length));
}

int template_request(const struct resolver *resolver, struct launch_template *template,
		     bool dry_run, struct text *out, char problem[CLOUD_TEXT_SIZE])
{
	_cleanup_text_ struct text data = {0};
	int r = add_data(resolver, template, &data, problem);

	if (r < 0)
		return r;
	set_name(resolver, template, &data);
	/* Without ClientToken: the name is taken once, and the token of a template that was deleted
	 * would be answered with what is not there any more. */
	form_begin(out, "CreateLaunchTemplate");
	if (dry_run)
		form_add(out, "true", "DryRun");
	form_add(out, template->name, "LaunchTemplateName");
	text_add_char(out, '&');
	text_add_bytes(out, data.data, data.length);
	form_add(out, "launch-template", "TagSpecification.1.ResourceType");
	form_add(out, TAG_OWNER, "TagSpecification.1.Tag.1.Key");
	form_add(out, resolver->cloud->config.name, "TagSpecification.1.Tag.1.Value");
	return 0;
}
