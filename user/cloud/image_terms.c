/* SPDX-License-Identifier: Apache-2.0 */
/* Images by id, parameter, name, owner and tags: any term may match. As Karpenter's
 * DescribeImageQueries. */
#include "cloud/private.h"

static const char FIELD[] = "amiSelectorTerms";

static void next_term(struct resolver *resolver);

/* ---- DescribeImages ---- */

static void end_image(struct resolver *resolver)
{
	struct image *image = &resolver->image;

	if (is_image_id(image->id) && image->usable)
		image_add(resolver, image);
	resolver->images_seen += is_image_id(image->id);
	*image = (struct image){0};
}

static void on_image_element(void *arg, const char *path, const char *text)
{
	static const char prefix[] = "imagesSet/item";
	struct resolver *resolver = arg;
	struct image *image = &resolver->image;
	uint64_t deprecated_ns = 0;

	if (!str_starts(path, prefix))
		return;
	path += sizeof(prefix) - 1;
	if (!*path) {
		end_image(resolver);
	} else if (strcmp(path, "/imageId") == 0) {
		set_text(image->id, text);
	} else if (strcmp(path, "/creationDate") == 0) {
		set_text(image->created, text);
	} else if (strcmp(path, "/name") == 0) {
		set_text(image->name, text);
	} else if (strcmp(path, "/architecture") == 0) {
		image->usable = strcmp(text, "x86_64") == 0 || strcmp(text, "arm64") == 0;
		image->architecture = str_starts(text, "arm64") ? ARCH_ARM64 : ARCH_AMD64;
	} else if (strcmp(path, "/deprecationTime") == 0) {
		image->deprecated =
			time_parse(text, &deprecated_ns) == 0 && deprecated_ns <= time_wall_ns();
	}
}

static void say_none_matches(struct resolver *resolver)
{
	if (resolver->term < resolver->class->amis.count)
		resolver_fail(resolver, FIELD, 0,
			      "term %zu: no image in %s matches that this account may use, "
			      "expected at least one",
			      resolver->term + 1, resolver->cloud->identity.region);
	else
		resolver_fail(resolver, FIELD, 0, "%s is not in %s or not shared with this account",
			      resolver->image_ids.at[0], resolver->cloud->identity.region);
}

static void on_images(void *arg, const struct answer *answer)
{
	struct resolver *resolver = arg;
	char words[512];

	if (answer->error) {
		resolver_fail(resolver, FIELD, answer->error, "DescribeImages: %s",
			      answer_text(answer, words));
		return;
	}
	if (resolver->check && !resolver->images_seen) {
		say_none_matches(resolver);
		return;
	}
	resolver->term++;
	next_term(resolver);
}

static void add_filter(struct text *query, size_t *count, const char *name, const char *value)
{
	form_add(query, name, "Filter.%zu.Name", ++*count);
	form_add(query, value, "Filter.%zu.Value.1", *count);
}

/* A deprecated image is listed too: it is used when there is no other. */
static void ask(struct resolver *resolver, struct text *query, size_t filters)
{
	add_filter(query, &filters, "state", "available");
	form_add(query, "true", "IncludeDeprecated");
	form_add(query, "1000", "MaxResults");
	resolver->image = (struct image){0};
	resolver->images_seen = 0;
	describe_send(resolver->cloud, &(struct describe_request){
					       .query = query->data,
					       .flags = resolver->flags,
					       .on_element = on_image_element,
					       .done = on_images,
					       .arg = resolver,
				       });
}

/* A name alone is looked for among our own and Amazon's: anybody may publish an image of any name.
 */
static void ask_term(struct resolver *resolver, const struct ami_term *term)
{
	_cleanup_text_ struct text query = {0};
	size_t filters = 0;

	form_begin(&query, "DescribeImages");
	if (term->owner) {
		form_add(&query, term->owner, "Owner.1");
	} else if (term->name) {
		form_add(&query, "self", "Owner.1");
		form_add(&query, "amazon", "Owner.2");
	}
	if (term->name)
		add_filter(&query, &filters, "name", term->name);
	vec_for_each (tag, &term->tags.list) {
		_cleanup_free_ char *name = str_printf("tag:%s", tag->key);

		if (strcmp(tag->value, "*") == 0)
			add_filter(&query, &filters, "tag-key", tag->key);
		else
			add_filter(&query, &filters, name, tag->value);
	}
	ask(resolver, &query, filters);
}

/* A filter: an id that is not there then is a list of none, and no error. */
static void ask_ids(struct resolver *resolver)
{
	_cleanup_text_ struct text query = {0};
	size_t count = 0;

	form_begin(&query, "DescribeImages");
	form_add(&query, "image-id", "Filter.1.Name");
	vec_for_each (id, &resolver->image_ids)
		form_add(&query, *id, "Filter.1.Value.%zu", ++count);
	ask(resolver, &query, 1);
}

/* ---- parameters ---- */

static void on_parameter(void *arg, const struct answer *answer)
{
	struct resolver *resolver = arg;
	const char *name = resolver->class->amis.at[resolver->term].ssm_parameter;
	bool missing = strcmp(answer->code, "ParameterNotFound") == 0;
	char id[CLOUD_NAME_SIZE] = "", words[512];

	if (answer->error && !missing) {
		resolver_fail(resolver, FIELD, answer->error, "SSM GetParameter %s: %s", name,
			      answer_text(answer, words));
		return;
	}
	if (!answer->error)
		parameter_image(answer, id);
	if (!*id && resolver->check) {
		resolver_fail(resolver, FIELD, 0, "SSM parameter %s %s", name,
			      missing ? "does not exist" : "holds no image id (ami-...)");
		return;
	}
	if (*id)
		*vec_push(&resolver->image_ids) = strdup(id);
	resolver->term++;
	next_term(resolver);
}

/* ---- term after term ---- */

static void end_terms(struct resolver *resolver)
{
	if (resolver->images.count)
		resolve_reservations(resolver);
	else
		resolver_fail(resolver, FIELD, 0,
			      "no image in %s matches that this account may use: compare with "
			      "`aws ec2 describe-images`",
			      resolver->cloud->identity.region);
}

/* Those with an id are asked for together, at the end. */
static void next_term(struct resolver *resolver)
{
	const struct node_class *class = resolver->class;

	for (; resolver->term < class->amis.count; resolver->term++) {
		const struct ami_term *term = &class->amis.at[resolver->term];

		if (term->id) {
			*vec_push(&resolver->image_ids) = strdup(term->id);
		} else if (term->ssm_parameter) {
			parameter_ask(resolver, term->ssm_parameter, on_parameter);
			return;
		} else {
			ask_term(resolver, term);
			return;
		}
	}
	if (resolver->term == class->amis.count && resolver->image_ids.count)
		ask_ids(resolver);
	else
		end_terms(resolver);
}

void resolve_image_terms(struct resolver *resolver)
{
	resolver->term = 0;
	next_term(resolver);
}
