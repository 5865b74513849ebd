/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Launch templates: one for each architecture and capacity type of a class. The name holds a hash
 * of the content, so that one which exists under that name says the same, whoever made it.
 */
#include "cloud/private.h"

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
	add_number(out, device->volume_size_gib, prefix, "VolumeSize");
	add_word(out, device->volume_type, prefix, "VolumeType");
	add_number(out, device->throughput, prefix, "Throughput");
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

static void add_tags(const struct resolver *resolver, struct text *out, const char *prefix)
{
	size_t count = 0;

	vec_for_each (tag, &resolver->class->tags.list) {
		form_add(out, tag->key, "%s.Tag.%zu.Key", prefix, ++count);
		form_add(out, tag->value, "%s.Tag.%zu.Value", prefix, count);
	}
	form_add(out, TAG_OWNER, "%s.Tag.%zu.Key", prefix, ++count);
	form_add(out, resolver->cloud->config.name, "%s.Tag.%zu.Value", prefix, count);
}

/* EC2 refuses spot-instances-request tags where no spot request is made. */
static void add_tag_specifications(const struct resolver *resolver, enum capacity_type type,
				   struct text *out)
{
	static const char *const RESOURCES[] = {"volume", "network-interface",
						"spot-instances-request"};
	size_t count = type == CAPACITY_SPOT ? 3 : 2;

	for (size_t i = 0; i < count; i++) {
		_cleanup_free_ char *prefix =
			str_printf("LaunchTemplateData.TagSpecification.%zu", i + 1);

		form_add(out, RESOURCES[i], "%s.ResourceType", prefix);
		add_tags(resolver, out, prefix);
	}
}

static void add_data(const struct resolver *resolver, const struct image *image,
		     enum capacity_type type, struct text *out)
{
	const struct node_class *class = resolver->class;
	_cleanup_text_ struct text user_data = {0};
	size_t count = 0;

	form_add(out, image->id, "LaunchTemplateData.ImageId");
	form_add(out, resolver->profile, "LaunchTemplateData.IamInstanceProfile.Name");
	if (class->user_data && *class->user_data) {
		add_base64(&user_data, class->user_data);
		form_add(out, user_data.data, "LaunchTemplateData.UserData");
	}
	vec_for_each (group, &resolver->groups)
		form_add(out, *group, "LaunchTemplateData.SecurityGroupId.%zu", ++count);
	count = 0;
	vec_for_each (device, &class->block_devices)
		add_block_device(out, device, ++count);
	add_metadata(out, &class->metadata);
	add_tag_specifications(resolver, type, out);
}

void template_request(const struct resolver *resolver, const struct image *image,
		      enum capacity_type type, bool dry_run, struct text *out, char name[128])
{
	_cleanup_text_ struct text data = {0};
	const struct cloud *cloud = resolver->cloud;

	add_data(resolver, image, type, &data);
	snprintf(name, 128, "forerun-%s-%s-%s-%016llx", resolver->class->name,
		 architecture_text(image->architecture), capacity_type_text(type),
		 (unsigned long long)hash_bytes(data.data, data.length));
	/* Without ClientToken: the name is taken once, and the token of a template that was deleted
	 * would be answered with what is not there any more. */
	form_begin(out, "CreateLaunchTemplate");
	if (dry_run)
		form_add(out, "true", "DryRun");
	form_add(out, name, "LaunchTemplateName");
	text_add_char(out, '&');
	text_add_bytes(out, data.data, data.length);
	form_add(out, "launch-template", "TagSpecification.1.ResourceType");
	form_add(out, TAG_OWNER, "TagSpecification.1.Tag.1.Key");
	form_add(out, cloud->config.name, "TagSpecification.1.Tag.1.Value");
}

/* ---- making them ---- */

static void next_template(struct resolver *resolver);

static bool is_made(const struct resolver *resolver, const char *name)
{
	vec_for_each (made, &resolver->made)
		if (strcmp(*made, name) == 0)
			return true;
	return false;
}

static void template_there(struct resolver *resolver)
{
	if (!resolver->check && !is_made(resolver, resolver->template.name))
		*vec_push(&resolver->made) = strdup(resolver->template.name);
	*vec_push(&resolver->templates) = resolver->template;
	resolver->template_at++;
	next_template(resolver);
}

static void on_template(void *arg, const struct answer *answer)
{
	struct resolver *resolver = arg;
	char words[512];

	if (!answer->error || strstr(answer->code, "AlreadyExists") ||
	    (resolver->check && strcmp(answer->code, "DryRunOperation") == 0))
		template_there(resolver);
	else
		resolver_fail(resolver, "", answer->error, "CreateLaunchTemplate %s: %s",
			      resolver->template.name, answer_text(answer, words));
}

/* Whether templates are made now: not in observe mode, and not by who does not lead; the one who
 * leads has made them, under the same names. */
static bool makes_templates(struct resolver *resolver)
{
	const struct cloud *cloud = resolver->cloud;

	if (resolver->check)
		return true;
	resolver->named_only = cloud->events.may_act && !cloud->events.may_act(cloud->events.arg);
	return !cloud->config.read_only && !resolver->named_only;
}

/* Position among images × capacity types. */
static void next_template(struct resolver *resolver)
{
	for (; resolver->template_at < 2 * resolver->images.count; resolver->template_at++) {
		const struct image *image = &resolver->images.at[resolver->template_at / 2];
		enum capacity_type type =
			resolver->template_at % 2 ? CAPACITY_SPOT : CAPACITY_ON_DEMAND;
		_cleanup_text_ struct text body = {0};

		if (!class_wants(resolver->cloud, resolver->class, LABEL_CAPACITY_TYPE,
				 capacity_type_text(type)))
			continue;
		resolver->template = (struct launch_template){image->architecture, type, "", ""};
		set_text(resolver->template.image_id, image->id);
		template_request(resolver, image, type, resolver->check, &body,
				 resolver->template.name);
		if (is_made(resolver, resolver->template.name) || !makes_templates(resolver)) {
			*vec_push(&resolver->templates) = resolver->template;
			continue;
		}
		call_send(resolver->cloud,
			  &(struct call_request){
				  .service = SERVICE_EC2,
				  .body = body.data,
				  .flags = resolver->flags | (resolver->check ? 0 : CALL_ACTS),
				  .done = on_template,
				  .arg = resolver,
			  });
		return;
	}
	resolver_finish(resolver);
}

void resolve_templates(struct resolver *resolver)
{
	resolver->template_at = 0;
	next_template(resolver);
}
