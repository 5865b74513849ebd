/* SPDX-License-Identifier: Apache-2.0 */
/* The images of a class: an alias names public parameters of SSM, other terms are asked of EC2. Of
 * each architecture and variant the newest is used, as Karpenter does. */
#include "cloud/private.h"

#include <cjson/cJSON.h>

static const char FIELD[] = "amiSelectorTerms";

/* ---- what was found ---- */

/* A deprecated one only where there is no other; then the newest, then by name. */
static bool is_better(const struct image *image, const struct image *known)
{
	int order = strcmp(image->created, known->created);

	if (image->deprecated != known->deprecated)
		return known->deprecated;
	return order ? order > 0 : strcmp(image->name, known->name) > 0;
}

void image_add(struct resolver *resolver, const struct image *image)
{
	vec_for_each (known, &resolver->images) {
		if (known->architecture != image->architecture || known->variant != image->variant)
			continue;
		if (is_better(image, known))
			*known = *image;
		return;
	}
	*vec_push(&resolver->images) = *image;
}

bool is_image_id(const char *text)
{
	size_t length = text ? strlen(text) : 0;

	return length > 4 && length < CLOUD_NAME_SIZE && str_starts(text, "ami-") &&
	       strspn(text + 4, "0123456789abcdef") == length - 4;
}

/* ---- SSM ---- */

/* The image that the answer's parameter names; "" when it names none. */
void parameter_image(const struct answer *answer, char id[CLOUD_NAME_SIZE])
{
	cJSON *object = cJSON_ParseWithLength(answer->body, answer->length);
	cJSON *parameter = cJSON_GetObjectItemCaseSensitive(object, "Parameter");
	const char *value =
		cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(parameter, "Value"));

	fit_text(id, CLOUD_NAME_SIZE, is_image_id(value) ? value : "");
	cJSON_Delete(object);
}

void parameter_ask(struct resolver *resolver, const char *name, call_fn done)
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
					   .done = done,
					   .arg = resolver,
				   });
}

/* ---- by alias ---- */

static void next_parameter(struct resolver *resolver);

static void on_parameter(void *arg, const struct answer *answer)
{
	struct resolver *resolver = arg;
	const struct image_parameter *parameter = &resolver->parameters.at[resolver->image_at];
	struct image image = {.architecture = parameter->architecture};
	char words[512];

	/* Not every variant is published for every version. */
	if (answer->error && strcmp(answer->code, "ParameterNotFound") != 0) {
		resolver_fail(resolver, FIELD, answer->error, "SSM GetParameter %s: %s",
			      parameter->name, answer_text(answer, words));
		return;
	}
	if (!answer->error)
		parameter_image(answer, image.id);
	for (size_t i = 0; i < ARRAY_SIZE(parameter->variants) && *image.id; i++) {
		image.variant = parameter->variants[i];
		if (i == 0 || image.variant != IMAGE_ANY)
			image_add(resolver, &image);
	}
	resolver->image_at++;
	next_parameter(resolver);
}

static void next_parameter(struct resolver *resolver)
{
	const char *cluster = resolver->cloud->config.cluster_version;

	if (resolver->image_at < resolver->parameters.count) {
		parameter_ask(resolver, resolver->parameters.at[resolver->image_at].name,
			      on_parameter);
		return;
	}
	if (resolver->images.count)
		resolve_reservations(resolver);
	else
		resolver_fail(resolver, FIELD, 0, "SSM has no image for %s%s%s in %s%s",
			      class_alias(resolver->class), cluster ? " and Kubernetes " : "",
			      cluster ? cluster : "", resolver->cloud->identity.region,
			      class_wants(resolver->cloud, resolver->class, LABEL_OS, "linux")
				      ? ""
				      : ", and no NodePool of this class allows Linux");
}

static void resolve_alias(struct resolver *resolver, const char *alias)
{
	char problem[CLOUD_TEXT_SIZE];

	if (alias_parameters(resolver, alias, problem) < 0)
		resolver_fail(resolver, FIELD, 0, "%s: %s", alias, problem);
	else
		next_parameter(resolver);
}

const char *class_alias(const struct node_class *class)
{
	vec_for_each (term, &class->amis)
		if (term->alias)
			return term->alias;
	return NULL;
}

void resolve_images(struct resolver *resolver)
{
	const char *alias = class_alias(resolver->class);

	resolver->image_at = 0;
	if (alias)
		resolve_alias(resolver, alias);
	else
		resolve_image_terms(resolver);
}
