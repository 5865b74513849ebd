/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Terms of an EC2NodeClass that choose subnets, security groups and capacity reservations. That an
 * id excludes other fields is refused by Karpenter's rules only when every term breaks it; where
 * some do, their id decides alone, as in its providers.
 */
#include "documents/read.h"

#define TERMS_MAX 30
#define TERM_TAGS_MAX 20

void read_term_tags(const struct cursor *at, struct key_values *tags)
{
	if (!read_string_map(at, tags))
		return;
	if (tags->list.count > TERM_TAGS_MAX)
		cursor_refuse(at, "found %zu tags, expected at most %d", tags->list.count,
			      TERM_TAGS_MAX);
	if (!tags->list.count)
		warning_at(at->problems, at->node,
			   "empty tags choose everything that the account may see");
	vec_for_each (tag, &tags->list) {
		struct cursor item = cursor_field(at, tag->key);

		if (!*tag->key || !*tag->value)
			cursor_refuse(&item,
				      "found an empty key or value, expected both, or the value "
				      "\"*\" for any");
	}
}

/* The names of the fields that a kind of term has, the id first, and which of them choose. */
struct term_kind {
	struct field fields[4];
	size_t count;
	size_t choosing; /* so many of the first */
	const char *id_pattern, *id_example, *names;
};

static size_t given(const struct cursor *at, const struct term_kind *kind, size_t count)
{
	size_t result = 0;

	for (size_t i = 0; i < count; i++) {
		struct cursor field = cursor_field(at, kind->fields[i].name);

		result += cursor_present(&field);
	}
	return result;
}

static bool has(const struct cursor *at, const char *name)
{
	struct cursor field = cursor_field(at, name);

	return cursor_present(&field);
}

static bool open_term(const struct cursor *at, const struct term_kind *kind)
{
	if (!cursor_present(at)) {
		cursor_expected(at, "a mapping");
		return false;
	}
	if (!read_mapping(at, kind->fields, kind->count))
		return false;
	if (!given(at, kind, kind->choosing)) {
		cursor_refuse(at, "found none of them, expected %s", kind->names);
		return false;
	}
	return true;
}

/* Whether that field has company in each of the list's terms, which no list may have. */
static bool never_alone(const struct cursor *list, const struct term_kind *kind, const char *name)
{
	for (size_t i = 0; i < list->node->count; i++) {
		struct cursor item = cursor_item(list, i);

		if (!cursor_present(&item) || item.node->kind != YAML_MAPPING ||
		    !has(&item, name) || given(&item, kind, kind->count) < 2)
			return false;
	}
	return true;
}

static void refuse_company(const struct cursor *list, const char *name)
{
	for (size_t i = 0; i < list->node->count; i++) {
		struct cursor item = cursor_item(list, i);

		cursor_refuse(&item, "found %s beside other fields, expected it alone", name);
	}
}

static void read_id(const struct cursor *at, const struct term_kind *kind, char **out)
{
	struct cursor id = cursor_field(at, "id");

	read_matching(&id, kind->id_pattern, kind->id_example, out);
}

static void read_terms(const struct cursor *spec, const char *name, const struct term_kind *kind,
		       struct selector_terms *terms)
{
	struct cursor list = cursor_field(spec, name);

	if (!read_list(&list, TERMS_MAX))
		return;
	if (!list.node->count)
		cursor_expected(&list, "at least one term");
	else if (never_alone(&list, kind, "id"))
		refuse_company(&list, "id");
	else if (never_alone(&list, kind, "name"))
		refuse_company(&list, "name");
	for (size_t i = 0; i < list.node->count; i++) {
		struct cursor item = cursor_item(&list, i);
		struct cursor tags = cursor_field(&item, "tags");
		struct cursor group = cursor_field(&item, "name");
		struct selector_term *term;

		if (!open_term(&item, kind))
			continue;
		term = vec_push(&terms->list);
		read_id(&item, kind, &term->id);
		if (kind->count == 3)
			read_string(&group, &term->name);
		read_term_tags(&tags, &term->tags);
		if (!term->id)
			continue;
		free(TAKE(term->name));
		key_values_free(&term->tags);
	}
}

static void read_reservation(const struct cursor *at, const struct term_kind *kind,
			     struct reservation_term *term)
{
	static const char *const CRITERIA[] = {"open", "targeted"};
	struct cursor owner = cursor_field(at, "ownerID"), tags = cursor_field(at, "tags");
	struct cursor match = cursor_field(at, "instanceMatchCriteria");
	size_t chosen = 0;

	read_id(at, kind, &term->id);
	read_matching(&owner, "^[0-9]{12}$", "an account of 12 digits in quotes", &term->owner_id);
	if (read_enum(&match, CRITERIA, ARRAY_SIZE(CRITERIA), &chosen))
		term->instance_match_criteria = strdup(CRITERIA[chosen]);
	read_term_tags(&tags, &term->tags);
	if (!term->id)
		return;
	free(TAKE(term->owner_id));
	free(TAKE(term->instance_match_criteria));
	key_values_free(&term->tags);
}

static void read_reservations(const struct cursor *spec, struct node_class *node_class)
{
	static const struct term_kind KIND = {
		.fields = {{"id"}, {"tags"}, {"instanceMatchCriteria"}, {"ownerID"}},
		.count = 4,
		.choosing = 3,
		.id_pattern = "^cr-[0-9a-z]+$",
		.id_example = "an id such as cr-0123456789abcdef0",
		.names = "id, tags or instanceMatchCriteria",
	};
	struct cursor list = cursor_field(spec, "capacityReservationSelectorTerms");

	if (!read_list(&list, TERMS_MAX))
		return;
	if (!list.node->count)
		cursor_expected(&list, "at least one term, or no such field");
	else if (never_alone(&list, &KIND, "id"))
		refuse_company(&list, "id");
	for (size_t i = 0; i < list.node->count; i++) {
		struct cursor item = cursor_item(&list, i);

		if (open_term(&item, &KIND))
			read_reservation(&item, &KIND, vec_push(&node_class->reservations));
	}
}

void read_selectors(const struct cursor *spec, struct node_class *node_class)
{
	static const struct term_kind SUBNETS = {
		.fields = {{"id"}, {"tags"}},
		.count = 2,
		.choosing = 2,
		.id_pattern = "^subnet-[0-9a-z]+$",
		.id_example = "an id such as subnet-0123456789abcdef0",
		.names = "id or tags",
	};
	static const struct term_kind GROUPS = {
		.fields = {{"id"}, {"tags"}, {"name"}},
		.count = 3,
		.choosing = 3,
		.id_pattern = "^sg-[0-9a-z]+$",
		.id_example = "an id such as sg-0123456789abcdef0",
		.names = "id, tags or name",
	};

	read_terms(spec, "subnetSelectorTerms", &SUBNETS, &node_class->subnets);
	read_terms(spec, "securityGroupSelectorTerms", &GROUPS, &node_class->security_groups);
	read_reservations(spec, node_class);
}
