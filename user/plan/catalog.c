/* SPDX-License-Identifier: Apache-2.0 */
/* What a node of an offering is called by: its labels, and which pools may buy it. */
#include <ctype.h>

#include "plan/catalog.h"

const char *capacity_type_text(enum capacity_type type)
{
	static const char *const names[] = {
		[CAPACITY_ON_DEMAND] = "on-demand",
		[CAPACITY_SPOT] = "spot",
		[CAPACITY_RESERVED] = "reserved",
	};

	return (size_t)type < ARRAY_SIZE(names) ? names[type] : "unknown";
}

const char *architecture_text(enum architecture architecture)
{
	return architecture == ARCH_ARM64 ? "arm64" : "amd64";
}

/* "m7gd.2xlarge": category m, family m7gd, generation 7, size 2xlarge, as Karpenter splits them
 * (pkg/providers/instancetype/types.go). */
static void type_label(const char *type, const char *key, char *out, size_t size)
{
	const char *dot = strchr(type, '.');
	size_t letters = 0, family = dot ? (size_t)(dot - type) : strlen(type);
	const char *digits;

	*out = '\0';
	while (isalpha((unsigned char)type[letters]))
		letters++;
	if (strcmp(key, "instance-family") == 0) {
		snprintf(out, size, "%.*s", (int)family, type);
	} else if (strcmp(key, "instance-size") == 0) {
		snprintf(out, size, "%s", dot ? dot + 1 : "");
	} else if (strcmp(key, "instance-category") == 0) {
		snprintf(out, size, "%.*s", (int)letters, type);
	} else if (strcmp(key, "instance-generation") == 0) {
		digits = type + letters;
		if (str_starts(digits, "-")) /* u-6tb1: the number behind the memory */
			digits = strpbrk(digits, "b") ? strpbrk(digits, "b") + 1 : digits;
		snprintf(out, size, "%.*s", (int)strspn(digits, "0123456789"), digits);
	}
}

/* "us-west-2-lax-1a" and "us-west-2b" are of us-west-2. */
static void region_of(const char *zone, char *out, size_t size)
{
	const char *at = zone;

	while ((at = strchr(at, '-'))) {
		size_t digits = strspn(++at, "0123456789");

		if (digits) {
			snprintf(out, size, "%.*s", (int)(at + digits - zone), zone);
			return;
		}
	}
	snprintf(out, size, "%s", zone);
}

/* The value of a label that a node of this offering would carry; NULL: it has none. */
const char *offering_label(const struct offering *offering, const struct pool *pool,
			   const char *key, char *out, size_t size)
{
	static const char prefix[] = "karpenter.k8s.aws/";

	*out = '\0';
	if (strcmp(key, "node.kubernetes.io/instance-type") == 0)
		return offering->instance_type;
	if (strcmp(key, "topology.kubernetes.io/zone") == 0)
		return offering->zone;
	if (strcmp(key, "kubernetes.io/arch") == 0)
		return architecture_text(offering->architecture);
	if (strcmp(key, "karpenter.sh/capacity-type") == 0)
		return capacity_type_text(offering->capacity_type);
	if (strcmp(key, "kubernetes.io/os") == 0)
		return "linux";
	if (strcmp(key, "karpenter.sh/nodepool") == 0)
		return pool ? pool->name : NULL;
	if (strcmp(key, "topology.kubernetes.io/region") == 0)
		region_of(offering->zone, out, size);
	else if (strcmp(key, "karpenter.k8s.aws/instance-cpu") == 0)
		snprintf(out, size, "%u", offering->vcpus);
	else if (strcmp(key, "karpenter.k8s.aws/instance-memory") == 0)
		snprintf(out, size, "%llu", (unsigned long long)offering->memory_mib);
	else if (str_starts(key, prefix))
		type_label(offering->instance_type, key + sizeof(prefix) - 1, out, size);
	if (*out)
		return out;
	if (!pool)
		return NULL;
	vec_for_each (label, &pool->labels.list)
		if (strcmp(label->key, key) == 0)
			return label->value;
	return NULL;
}

static bool names_bare_metal(const struct pool *pool)
{
	vec_for_each (term, &pool->requirements.list) {
		if (term->op != LABEL_IN)
			continue;
		for (size_t i = 0; i < term->count; i++)
			if (strstr(term->values[i], "metal"))
				return true;
	}
	return false;
}

/* Whether the pool's requirements leave it. Bare metal only when a requirement names it: it boots
 * for many minutes. */
bool offering_matches(const struct offering *offering, const struct pool *pool)
{
	char value[128];

	if (!offering->vcpus || (offering->bare_metal && !names_bare_metal(pool)))
		return false;
	vec_for_each (term, &pool->requirements.list)
		if (!label_term_matches(
			    term, offering_label(offering, pool, term->key, value, sizeof(value))))
			return false;
	return true;
}
