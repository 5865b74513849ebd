/* SPDX-License-Identifier: Apache-2.0 */
/* spec.amiSelectorTerms and spec.amiFamily of an EC2NodeClass. */
#include "documents/read.h"

#define TERMS_MAX 30
#define ALIAS_MAX 30

static const char *const FAMILIES[] = {
	[AMI_AL2023] = "AL2023",
	[AMI_CUSTOM] = "Custom",
	[AMI_AL2] = "AL2",
	[AMI_BOTTLEROCKET] = "Bottlerocket",
	[AMI_WINDOWS2019] = "Windows2019",
	[AMI_WINDOWS2022] = "Windows2022",
	[AMI_WINDOWS2025] = "Windows2025",
};

/* What an alias says before and, as a pattern, behind its '@'. */
static const struct {
	const char *name, *versions, *example;
	enum ami_family family;
} ALIASES[] = {
	{"al2023", "^(latest|v[0-9]{8})$", "al2023@latest or al2023@vYYYYMMDD", AMI_AL2023},
	{"al2", "^(latest|v[0-9]{8})$", "al2@latest or al2@vYYYYMMDD", AMI_AL2},
	{"bottlerocket", "^(latest|v?[0-9]+\\.[0-9]+\\.[0-9]+(-[0-9a-f]+)?)$",
	 "bottlerocket@latest or bottlerocket@v1.2.3", AMI_BOTTLEROCKET},
	{"windows2019", "^latest$", "windows2019@latest", AMI_WINDOWS2019},
	{"windows2022", "^latest$", "windows2022@latest", AMI_WINDOWS2022},
	{"windows2025", "^latest$", "windows2025@latest", AMI_WINDOWS2025},
};

const char *ami_family_text(enum ami_family family)
{
	return FAMILIES[family];
}

/* family is left alone unless it names one. */
static void read_alias(const struct cursor *at, char **alias, enum ami_family *family)
{
	const char *sign;

	if (!read_string_or_empty(at, alias))
		return;
	sign = strchr(*alias, '@');
	for (size_t i = 0; sign && i < ARRAY_SIZE(ALIASES); i++) {
		if (strlen(ALIASES[i].name) != (size_t)(sign - *alias) ||
		    !str_starts(*alias, ALIASES[i].name))
			continue;
		*family = ALIASES[i].family;
		if (strlen(*alias) > ALIAS_MAX || !text_matches(sign + 1, ALIASES[i].versions))
			cursor_expected(at, "%s", ALIASES[i].example);
		return;
	}
	cursor_expected(at, "family@version with the family al2023, al2, bottlerocket, "
			    "windows2019, windows2022 or windows2025");
}

/* One of the fields must choose; id and alias choose alone. */
static void check_fields(const struct cursor *at, size_t terms)
{
	struct cursor alias = cursor_field(at, "alias"), id = cursor_field(at, "id");
	struct cursor name = cursor_field(at, "name"), owner = cursor_field(at, "owner");
	struct cursor tags = cursor_field(at, "tags"), ssm = cursor_field(at, "ssmParameter");
	bool others = cursor_present(&name) || cursor_present(&owner) || cursor_present(&tags);

	if (cursor_present(&alias) && cursor_present(&id))
		cursor_refuse(at, "found alias and id, expected one of them");
	else if (cursor_present(&alias) && others)
		cursor_refuse(at, "found an alias beside other fields, expected it alone");
	else if (cursor_present(&id) && others)
		cursor_refuse(at, "found an id beside other fields, expected it alone");
	else if (cursor_present(&alias) && terms > 1)
		cursor_refuse(&alias, "found an alias beside other terms, expected it alone");
	else if (!cursor_present(&alias) && !cursor_present(&id) && !cursor_present(&name) &&
		 !cursor_present(&tags) && !cursor_present(&ssm))
		cursor_refuse(at, "found none of them, expected alias, id, name, tags or "
				  "ssmParameter");
}

static void read_term(const struct cursor *at, size_t terms, struct node_class *node_class,
		      enum ami_family *alias_family)
{
	static const struct field FIELDS[] = {{"alias"}, {"id"},	   {"name"},
					      {"owner"}, {"ssmParameter"}, {"tags"}};
	struct cursor alias = cursor_field(at, "alias"), id = cursor_field(at, "id");
	struct cursor name = cursor_field(at, "name"), owner = cursor_field(at, "owner");
	struct cursor tags = cursor_field(at, "tags"), ssm = cursor_field(at, "ssmParameter");
	struct ami_term *term;

	if (!cursor_present(at)) {
		cursor_expected(at, "a mapping");
		return;
	}
	if (!read_mapping(at, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	check_fields(at, terms);
	term = vec_push(&node_class->amis);
	read_alias(&alias, &term->alias, alias_family);
	read_matching(&id, "^ami-[0-9a-z]+$", "an id such as ami-0123456789abcdef0", &term->id);
	read_string(&name, &term->name);
	read_string(&owner, &term->owner);
	read_string(&ssm, &term->ssm_parameter);
	read_term_tags(&tags, &term->tags);
}

static const char *alias_of(const struct node_class *node_class)
{
	vec_for_each (term, &node_class->amis)
		if (term->alias)
			return term->alias;
	return NULL;
}

/* An alias says its family; beside it only Custom may be said. */
static void read_family(const struct cursor *spec, enum ami_family of_alias,
			struct node_class *node_class)
{
	struct cursor at = cursor_field(spec, "amiFamily");
	const char *alias = alias_of(node_class);
	size_t chosen = 0;

	node_class->family = of_alias;
	if (!cursor_present(&at)) {
		if (!alias && node_class->amis.count)
			problem_at(spec->problems, spec->node,
				   "missing field spec.amiFamily, expected AL2023, AL2, "
				   "Bottlerocket, Custom or a Windows family where "
				   "amiSelectorTerms has no alias");
		return;
	}
	if (!read_enum(&at, FAMILIES, ARRAY_SIZE(FAMILIES), &chosen))
		return;
	node_class->family = (enum ami_family)chosen;
	if (alias && chosen != AMI_CUSTOM && chosen != of_alias)
		cursor_expected(&at, "%s or Custom, as the alias is %s", FAMILIES[of_alias], alias);
}

void read_images(const struct cursor *spec, struct node_class *node_class)
{
	struct cursor terms = cursor_field(spec, "amiSelectorTerms");
	enum ami_family of_alias = AMI_AL2023;

	if (!read_list(&terms, TERMS_MAX))
		return;
	if (!terms.node->count)
		cursor_expected(&terms, "at least one term");
	for (size_t i = 0; i < terms.node->count; i++) {
		struct cursor item = cursor_item(&terms, i);

		read_term(&item, terms.node->count, node_class, &of_alias);
	}
	read_family(spec, of_alias, node_class);
}
