/* SPDX-License-Identifier: Apache-2.0 */
/* Names as Kubernetes checks them (apimachinery, pkg/util/validation/validation.go), and the
 * metadata that every object has. */
#include "documents/read.h"

#define DNS_LABEL_MAX 63
#define DNS_SUBDOMAIN_MAX 253
#define LABEL_MAX 63

static bool is_lower_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_letter_or_digit(char c)
{
	return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z');
}

static bool is_dns_part(const char *text, size_t length)
{
	if (length == 0 || !is_lower_or_digit(text[0]) || !is_lower_or_digit(text[length - 1]))
		return false;
	for (size_t i = 0; i < length; i++)
		if (!is_lower_or_digit(text[i]) && text[i] != '-')
			return false;
	return true;
}

bool is_dns_label(const char *text)
{
	size_t length = strlen(text);

	return length <= DNS_LABEL_MAX && is_dns_part(text, length);
}

static bool is_subdomain(const char *text, size_t length)
{
	const char *end = text + length;

	if (length > DNS_SUBDOMAIN_MAX)
		return false;
	for (;;) {
		const char *dot = memchr(text, '.', (size_t)(end - text));

		if (!is_dns_part(text, (size_t)((dot ? dot : end) - text)))
			return false;
		if (!dot)
			return true;
		text = dot + 1;
	}
}

/* The part of a label's key behind the slash, and a label's value that is not empty. */
static bool is_label_name(const char *text)
{
	size_t length = strlen(text);

	if (length == 0 || length > LABEL_MAX || !is_letter_or_digit(text[0]) ||
	    !is_letter_or_digit(text[length - 1]))
		return false;
	for (size_t i = 0; i < length; i++)
		if (!is_letter_or_digit(text[i]) && !strchr("-_.", text[i]))
			return false;
	return true;
}

bool check_subdomain(const struct cursor *cursor, const char *text)
{
	if (is_subdomain(text, strlen(text)))
		return true;
	cursor_expected(
		cursor,
		"lower case letters, digits, '-' and '.', with a letter or digit at both ends");
	return false;
}

bool check_label_key(const struct cursor *cursor, const char *text)
{
	const char *slash = strchr(text, '/');
	const char *name = slash ? slash + 1 : text;

	if (is_label_name(name) && (!slash || is_subdomain(text, (size_t)(slash - text))))
		return true;
	cursor_refuse(
		cursor,
		"found the label key \"%.80s\", expected [domain/]name with a name of at most "
		"63 letters, digits, '-', '_' and '.'",
		text);
	return false;
}

bool check_label_value(const struct cursor *cursor, const char *text)
{
	if (*text == '\0' || is_label_name(text))
		return true;
	cursor_expected(cursor,
			"a label value: at most 63 letters, digits, '-', '_' and '.', with a "
			"letter or digit at both ends");
	return false;
}

static void check_labels(const struct cursor *labels)
{
	struct key_values values = {0};

	read_string_map(labels, &values);
	vec_for_each (it, &values.list) {
		struct cursor at = cursor_field(labels, it->key);

		check_label_key(&at, it->key);
		check_label_value(&at, it->value);
	}
	key_values_free(&values);
}

/* What kubectl prints of an object that was in a cluster is no mistake; what nobody has is. */
static const struct field METADATA[] = {
	{"name", FIELD_REQUIRED, "the object's name"},
	{"namespace"},
	{"labels"},
	{"annotations"},
	{"generateName"},
	{"uid"},
	{"resourceVersion"},
	{"generation"},
	{"creationTimestamp"},
	{"deletionTimestamp"},
	{"deletionGracePeriodSeconds"},
	{"finalizers"},
	{"ownerReferences"},
	{"managedFields"},
	{"selfLink"},
};

bool read_metadata(const struct cursor *document, char **name)
{
	struct cursor metadata = cursor_field(document, "metadata");
	struct cursor labels = cursor_field(&metadata, "labels");
	struct cursor annotations = cursor_field(&metadata, "annotations");
	struct cursor at = cursor_field(&metadata, "name");
	struct key_values values = {0};

	if (!read_mapping(&metadata, METADATA, ARRAY_SIZE(METADATA)))
		return false;
	check_labels(&labels);
	read_string_map(&annotations, &values);
	key_values_free(&values);
	if (!read_string(&at, name) || !check_subdomain(&at, *name))
		return false;
	if (strlen(*name) > DOCUMENT_NAME_MAX) {
		cursor_refuse(&at, "found %zu characters, expected at most %d", strlen(*name),
			      DOCUMENT_NAME_MAX);
		return false;
	}
	return true;
}
