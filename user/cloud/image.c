/* SPDX-License-Identifier: Apache-2.0 */
/* The images of a class: by alias from SSM's public parameters, or by id. */
#include "cloud/private.h"

#include <cjson/cJSON.h>

static void next_alias(struct resolver *resolver);

static void add_image(struct resolver *resolver, const char *id, enum architecture architecture,
		      const char *created)
{
	struct image *image = NULL;

	vec_for_each (known, &resolver->images)
		if (known->architecture == architecture)
			image = known;
	if (image && strcmp(image->created, created) >= 0)
		return; /* the newest of an architecture is used, as Karpenter does */
	if (!image)
		image = vec_push(&resolver->images);
	set_text(image->id, id);
	set_text(image->created, created);
	image->architecture = architecture;
}

/* ---- by alias ---- */

static const char *aws_architecture(enum architecture architecture)
{
	return architecture == ARCH_ARM64 ? "arm64" : "x86_64";
}

/* "al2023@latest" or "al2023@v20250101". NULL: there is no such parameter. */
static char *parameter_name(const struct resolver *resolver, enum architecture architecture)
{
	const char *cluster = resolver->cloud->config.cluster_version;
	const char *version = strchr(resolver->class->ami_alias, '@');
	const char *arch = aws_architecture(architecture);
	bool latest = version && strcmp(version, "@latest") == 0;

	if (!cluster && latest)
		return str_printf("/aws/service/ami-amazon-linux-latest/"
				  "al2023-ami-kernel-default-%s",
				  arch);
	if (!cluster)
		return NULL;
	if (latest)
		return str_printf("/aws/service/eks/optimized-ami/%s/amazon-linux-2023/%s/standard/"
				  "recommended/image_id",
				  cluster, arch);
	return str_printf("/aws/service/eks/optimized-ami/%s/amazon-linux-2023/%s/standard/"
			  "amazon-eks-node-al2023-%s-standard-%s-%s/image_id",
			  cluster, arch, arch, cluster, version + 1);
}

static bool is_image_id(const char *text)
{
	size_t length = text ? strlen(text) : 0;

	return length > 4 && length < CLOUD_NAME_SIZE && str_starts(text, "ami-") &&
	       strspn(text + 4, "0123456789abcdef") == length - 4;
}

static void on_parameter(void *arg, const struct answer *answer)
{
	struct resolver *resolver = arg;
	enum architecture architecture = (enum architecture)resolver->image_at;
	cJSON *object, *parameter;
	const char *id;
	char words[512];

	if (answer->error && strcmp(answer->code, "ParameterNotFound") != 0) {
		resolver_fail(resolver, "amiSelectorTerms", answer->error,
			      "SSM GetParameter for %s: %s", resolver->class->ami_alias,
			      answer_text(answer, words));
		return;
	}
	if (!answer->error) {
		object = cJSON_ParseWithLength(answer->body, answer->length);
		parameter = cJSON_GetObjectItemCaseSensitive(object, "Parameter");
		id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(parameter, "Value"));
		if (is_image_id(id))
			add_image(resolver, id, architecture, "");
		cJSON_Delete(object);
	}
	resolver->image_at++;
	next_alias(resolver);
}

static void ask_parameter(struct resolver *resolver, const char *name)
{
	_cleanup_text_ struct text body = {0};

	text_add(&body, "{\"Name\":");
	text_add_json(&body, name);
	text_add(&body, "}");
	call_send(resolver->cloud, &(struct call_request){
					   .service = SERVICE_SSM,
					   .target = "AmazonSSM.GetParameter",
					   .body = body.data,
					   .flags = resolver->flags | CALL_JSON,
					   .done = on_parameter,
					   .arg = resolver,
				   });
}

static void next_alias(struct resolver *resolver)
{
	for (; resolver->image_at <= ARCH_ARM64; resolver->image_at++) {
		enum architecture architecture = (enum architecture)resolver->image_at;
		_cleanup_free_ char *name = NULL;

		if (!class_wants(resolver->cloud, resolver->class, LABEL_ARCH,
				 architecture_text(architecture)))
			continue;
		name = parameter_name(resolver, architecture);
		if (!name) {
			resolver_fail(resolver, "amiSelectorTerms", 0,
				      "%s: a pinned version is only published for EKS: give "
				      "--cluster-version, al2023@latest, or the image's id",
				      resolver->class->ami_alias);
			return;
		}
		ask_parameter(resolver, name);
		return;
	}
	if (!resolver->images.count)
		resolver_fail(resolver, "amiSelectorTerms", 0,
			      "SSM has no image for %s%s%s in %s%s", resolver->class->ami_alias,
			      resolver->cloud->config.cluster_version ? " and Kubernetes " : "",
			      resolver->cloud->config.cluster_version
				      ? resolver->cloud->config.cluster_version
				      : "",
			      resolver->cloud->identity.region,
			      class_wants(resolver->cloud, resolver->class, LABEL_OS, "linux")
				      ? ""
				      : ", and no NodePool of this class allows Linux");
	else
		resolve_profile(resolver);
}

/* ---- by id ---- */

static void on_image_element(void *arg, const char *path, const char *text)
{
	struct resolver *resolver = arg;
	struct image *image = &resolver->image;

	if (strcmp(path, "imagesSet/item/imageId") == 0)
		set_text(image->id, text);
	else if (strcmp(path, "imagesSet/item/creationDate") == 0)
		set_text(image->created, text);
	else if (strcmp(path, "imagesSet/item/architecture") == 0)
		image->architecture = str_starts(text, "arm64") ? ARCH_ARM64 : ARCH_AMD64;
	else if (strcmp(path, "imagesSet/item") == 0) {
		if (is_image_id(image->id))
			add_image(resolver, image->id, image->architecture, image->created);
		*image = (struct image){0};
	}
}

static void on_images(void *arg, const struct answer *answer)
{
	struct resolver *resolver = arg;
	char words[512];

	if (answer->error)
		resolver_fail(resolver, "amiSelectorTerms", answer->error, "DescribeImages: %s",
			      answer_text(answer, words));
	else if (!resolver->images.count)
		resolver_fail(resolver, "amiSelectorTerms", 0,
			      "%s is not in %s or not shared with this account",
			      resolver->class->ami_ids.at[0], resolver->cloud->identity.region);
	else
		resolve_profile(resolver);
}

static void ask_images(struct resolver *resolver)
{
	_cleanup_text_ struct text query = {0};
	size_t count = 0;

	form_begin(&query, "DescribeImages");
	vec_for_each (id, &resolver->class->ami_ids)
		form_add(&query, *id, "ImageId.%zu", ++count);
	resolver->image = (struct image){0};
	describe_send(resolver->cloud, &(struct describe_request){
					       .query = query.data,
					       .flags = resolver->flags,
					       .on_element = on_image_element,
					       .done = on_images,
					       .arg = resolver,
				       });
}

void resolve_images(struct resolver *resolver)
{
	resolver->image_at = 0;
	if (resolver->class->ami_alias)
		next_alias(resolver);
	else
		ask_images(resolver);
}
