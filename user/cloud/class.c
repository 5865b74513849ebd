/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks an EC2NodeClass up: subnets, security groups, images, instance profile, launch templates,
 * one after the other.
 */
#include "cloud/private.h"

static void next_subnets(struct resolver *resolver);
static void next_groups(struct resolver *resolver);

void resolver_init(struct resolver *resolver, struct cloud *cloud, const struct node_class *class)
{
	resolver->cloud = cloud;
	resolver->class = class;
	resolver->flags = CALL_RETRY;
}

static void clear_strings(struct resolver *resolver)
{
	vec_for_each (group, &resolver->groups)
		free(*group);
	vec_clear(&resolver->groups);
	vec_for_each (id, &resolver->image_ids)
		free(*id);
	vec_clear(&resolver->image_ids);
	vec_for_each (parameter, &resolver->parameters)
		free(parameter->name);
	vec_clear(&resolver->parameters);
}

void resolver_free(struct resolver *resolver)
{
	clear_strings(resolver);
	vec_for_each (made, &resolver->made)
		free(*made);
	vec_free(&resolver->made);
	vec_for_each (group, &resolver->view_groups)
		free(*group);
	vec_free(&resolver->groups);
	vec_free(&resolver->image_ids);
	vec_free(&resolver->parameters);
	vec_free(&resolver->subnets);
	vec_free(&resolver->images);
	vec_free(&resolver->reservations);
	vec_free(&resolver->wanted);
	vec_free(&resolver->templates);
	vec_free(&resolver->view_subnets);
	vec_free(&resolver->view_templates);
	vec_free(&resolver->view_reservations);
	vec_free(&resolver->view_groups);
	if (resolver->timer)
		loop_timer_free(resolver->timer);
}

bool class_wants(const struct cloud *cloud, const struct node_class *class, const char *label,
		 const char *value)
{
	vec_for_each (pool, &cloud->documents->pools) {
		bool wanted = str_equal(pool->node_class, class->name);

		vec_for_each (term, &pool->requirements.list)
			if (strcmp(term->key, label) == 0)
				wanted &= label_term_matches(term, value);
		if (wanted)
			return true;
	}
	return false;
}

static unsigned variant_bit(enum architecture architecture, enum image_variant variant)
{
	return 1U << ((unsigned)architecture * 4 + (unsigned)variant);
}

unsigned class_variants(const struct cloud *cloud, const struct node_class *class)
{
	static const enum image_variant SPECIAL[] = {IMAGE_NVIDIA, IMAGE_NEURON};
	unsigned bits = 0;

	for (int arch = ARCH_AMD64; arch <= ARCH_ARM64; arch++)
		bits |= variant_bit((enum architecture)arch, IMAGE_ANY) |
			variant_bit((enum architecture)arch, IMAGE_STANDARD);
	vec_for_each (offering, &cloud->catalog.offerings.list)
		for (size_t i = 0; i < ARRAY_SIZE(SPECIAL); i++) {
			unsigned bit = variant_bit(offering->architecture, SPECIAL[i]);

			if ((bits & bit) || !image_variant_fits(SPECIAL[i], offering->type))
				continue;
			vec_for_each (pool, &cloud->documents->pools)
				if (str_equal(pool->node_class, class->name) &&
				    offering_matches(offering, pool))
					bits |= bit;
		}
	return bits;
}

bool class_needs_image(const struct resolver *resolver, enum architecture architecture,
		       enum image_variant variant)
{
	return resolver->variants & variant_bit(architecture, variant);
}

void resolver_fail(struct resolver *resolver, const char *field, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(resolver->problem, sizeof(resolver->problem), format, args);
	va_end(args);
	set_text(resolver->field, field);
	resolver->problem_error = error;
	resolver->busy = false;
	resolver->done(resolver);
}

void resolver_finish(struct resolver *resolver)
{
	resolver->problem[0] = '\0';
	resolver->busy = false;
	resolver->done(resolver);
}

/* "id subnet-1" or "tags service=web": for messages. */
static void term_text(const struct selector_term *term, char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	if (term->id || term->name) {
		snprintf(out, size, "%s %s", term->id ? "id" : "name",
			 term->id ? term->id : term->name);
		return;
	}
	vec_for_each (tag, &term->tags.list) {
		int wrote = snprintf(out + used, size - used, "%s%s=%s", used ? ", " : "tags ",
				     tag->key, tag->value);

		used += wrote > 0 ? (size_t)wrote : 0;
		if (used >= size)
			return;
	}
}

/* Filters rather than ids: an id that does not exist then is a list of none, and no error. */
static void term_filters(const struct selector_term *term, const char *id_filter,
			 struct text *query)
{
	size_t count = 0;

	if (term->id) {
		form_add(query, id_filter, "Filter.1.Name");
		form_add(query, term->id, "Filter.1.Value.1");
	} else if (term->name) {
		form_add(query, "group-name", "Filter.1.Name");
		form_add(query, term->name, "Filter.1.Value.1");
	}
	vec_for_each (tag, &term->tags.list) {
		bool any = strcmp(tag->value, "*") == 0;

		count++;
		if (any) {
			form_add(query, "tag-key", "Filter.%zu.Name", count);
			form_add(query, tag->key, "Filter.%zu.Value.1", count);
		} else {
			_cleanup_free_ char *name = str_printf("tag:%s", tag->key);

			form_add(query, name, "Filter.%zu.Name", count);
			form_add(query, tag->value, "Filter.%zu.Value.1", count);
		}
	}
}

static void ask_term(struct resolver *resolver, const struct selector_term *term,
		     const char *action, const char *id_filter, xml_fn on_element, call_fn done)
{
	_cleanup_text_ struct text query = {0};

	form_begin(&query, action);
	term_filters(term, id_filter, &query);
	form_add(&query, "500", "MaxResults");
	describe_send(resolver->cloud, &(struct describe_request){
					       .query = query.data,
					       .flags = resolver->flags,
					       .on_element = on_element,
					       .done = done,
					       .arg = resolver,
				       });
}

/* ---- security groups ---- */

static void on_group_element(void *arg, const char *path, const char *text)
{
	struct resolver *resolver = arg;

	if (strcmp(path, "securityGroupInfo/item/groupId") != 0 || !str_starts(text, "sg-"))
		return;
	vec_for_each (group, &resolver->groups)
		if (strcmp(*group, text) == 0)
			return;
	*vec_push(&resolver->groups) = strdup(text);
}

/* The same groups make the same template, in whatever order EC2 lists them. */
static int compare_groups(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void on_groups(void *arg, const struct answer *answer)
{
	static const char field[] = "securityGroupSelectorTerms";
	struct resolver *resolver = arg;
	const struct selector_term *term =
		&resolver->class->security_groups.list.at[resolver->term];
	char words[512];

	if (answer->error) {
		resolver_fail(resolver, field, answer->error, "DescribeSecurityGroups: %s",
			      answer_text(answer, words));
		return;
	}
	if (resolver->groups.count == resolver->found_before && resolver->check) {
		term_text(term, words, sizeof(words));
		resolver_fail(resolver, field, 0,
			      "no security group in %s has %s, expected at least one",
			      resolver->cloud->identity.region, words);
		return;
	}
	resolver->term++;
	next_groups(resolver);
}

static void next_groups(struct resolver *resolver)
{
	if (resolver->term < resolver->class->security_groups.list.count) {
		resolver->found_before = resolver->groups.count;
		ask_term(resolver, &resolver->class->security_groups.list.at[resolver->term],
			 "DescribeSecurityGroups", "group-id", on_group_element, on_groups);
		return;
	}
	if (!resolver->groups.count) {
		resolver_fail(resolver, "securityGroupSelectorTerms", 0,
			      "no security group matches");
		return;
	}
	qsort(resolver->groups.at, resolver->groups.count, sizeof(char *), compare_groups);
	resolve_images(resolver);
}

/* ---- subnets ---- */

static void end_subnet(struct resolver *resolver)
{
	struct subnet *subnet = &resolver->subnet;
	bool known = false;

	vec_for_each (other, &resolver->subnets)
		known |= strcmp(other->id, subnet->id) == 0;
	if (!known && str_starts(subnet->id, "subnet-") && *subnet->zone)
		*vec_push(&resolver->subnets) = *subnet;
	*subnet = (struct subnet){0};
}

void subnet_element(struct subnet *subnet, const char *path, const char *text)
{
	uint64_t number = 0;

	if (strcmp(path, "subnetSet/item/subnetId") == 0)
		set_text(subnet->id, text);
	else if (strcmp(path, "subnetSet/item/availabilityZone") == 0)
		set_text(subnet->zone, text);
	else if (strcmp(path, "subnetSet/item/availableIpAddressCount") == 0 &&
		 parse_u64(text, &number) == 0)
		subnet->free_addresses = (uint32_t)MIN(number, UINT32_MAX);
}

static void on_subnet_element(void *arg, const char *path, const char *text)
{
	struct resolver *resolver = arg;

	if (strcmp(path, "subnetSet/item") == 0)
		end_subnet(resolver);
	else
		subnet_element(&resolver->subnet, path, text);
}

static void on_subnets(void *arg, const struct answer *answer)
{
	static const char field[] = "subnetSelectorTerms";
	struct resolver *resolver = arg;
	const struct selector_term *term = &resolver->class->subnets.list.at[resolver->term];
	char words[512];

	if (answer->error) {
		resolver_fail(resolver, field, answer->error, "DescribeSubnets: %s",
			      answer_text(answer, words));
		return;
	}
	if (resolver->subnets.count == resolver->found_before && resolver->check) {
		term_text(term, words, sizeof(words));
		resolver_fail(resolver, field, 0, "no subnet in %s has %s, expected at least one",
			      resolver->cloud->identity.region, words);
		return;
	}
	resolver->term++;
	next_subnets(resolver);
}

static void next_subnets(struct resolver *resolver)
{
	if (resolver->term < resolver->class->subnets.list.count) {
		resolver->found_before = resolver->subnets.count;
		ask_term(resolver, &resolver->class->subnets.list.at[resolver->term],
			 "DescribeSubnets", "subnet-id", on_subnet_element, on_subnets);
		return;
	}
	if (!resolver->subnets.count) {
		resolver_fail(resolver, "subnetSelectorTerms", 0, "no subnet matches");
		return;
	}
	resolver->term = 0;
	next_groups(resolver);
}

void resolver_run(struct resolver *resolver)
{
	resolver->busy = true;
	resolver->term = 0;
	vec_clear(&resolver->subnets);
	clear_strings(resolver);
	vec_clear(&resolver->images);
	vec_clear(&resolver->reservations);
	vec_clear(&resolver->templates);
	resolver->variants = class_variants(resolver->cloud, resolver->class);
	next_subnets(resolver);
}
