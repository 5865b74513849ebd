/* SPDX-License-Identifier: Apache-2.0 */
/* What a node of an offering is called by: its labels, and which pools may buy it. */
#include "plan/catalog.h"

#define DIGITS "0123456789"

/* Labels of karpenter.k8s.aws/instance-*. */
enum type_label {
	TYPE_CATEGORY,
	TYPE_FAMILY,
	TYPE_GENERATION,
	TYPE_SIZE,
	TYPE_FLEX,
	TYPE_CPU,
	TYPE_MEMORY,
	/* from here on only where the type is known */
	TYPE_CPU_MANUFACTURER,
	TYPE_CPU_CLOCK,
	TYPE_EBS_BANDWIDTH,
	TYPE_NETWORK_BANDWIDTH,
	TYPE_LOCAL_NVME,
	TYPE_HYPERVISOR,
	TYPE_ENCRYPTION_IN_TRANSIT,
	TYPE_TENANCY,
	TYPE_GPU_NAME,
	TYPE_GPU_MANUFACTURER,
	TYPE_GPU_COUNT,
	TYPE_GPU_MEMORY,
	TYPE_ACCELERATOR_NAME,
	TYPE_ACCELERATOR_MANUFACTURER,
	TYPE_ACCELERATOR_COUNT,
};

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

/* "m7gd.2xlarge": category m, family m7gd, generation 7, size 2xlarge; "u-6tb1.metal": category u,
 * generation 1. As Karpenter splits them (pkg/providers/instancetype/types.go):
 * (^[a-z]+)(\-[0-9]+tb)?([0-9]+).*\. */
struct name_parts {
	size_t category, family; /* lengths from the start */
	const char *generation;
	size_t digits; /* of the generation; 0: the name is not of this kind */
	const char *size; /* NULL: no dot */
};

static struct name_parts split_name(const char *name)
{
	const char *dot = strchr(name, '.');
	struct name_parts parts = {.category = strspn(name, "abcdefghijklmnopqrstuvwxyz"),
				   .family = dot ? (size_t)(dot - name) : strlen(name),
				   .size = dot ? dot + 1 : NULL};
	const char *at = name + parts.category;
	size_t digits = *at == '-' ? strspn(at + 1, DIGITS) : 0;

	if (digits && str_starts(at + 1 + digits, "tb"))
		at += 1 + digits + 2;
	parts.generation = at;
	parts.digits = parts.category && dot ? strspn(at, DIGITS) : 0;
	return parts;
}

/* "us-west-2-lax-1a" and "us-west-2b" are of us-west-2. */
static void region_of(const char *zone, char *out, size_t size)
{
	const char *at = zone;

	while ((at = strchr(at, '-'))) {
		size_t digits = strspn(++at, DIGITS);

		if (digits) {
			snprintf(out, size, "%.*s", (int)(at + digits - zone), zone);
			return;
		}
	}
	snprintf(out, size, "%s", zone);
}

static const char *copy_part(const char *text, size_t length, char *out, size_t size)
{
	if (!length)
		return NULL;
	snprintf(out, size, "%.*s", (int)length, text);
	return out;
}

/* NULL for 0: Karpenter gives no such label then. */
static const char *number_text(uint64_t number, char *out, size_t size)
{
	if (!number)
		return NULL;
	snprintf(out, size, "%llu", (unsigned long long)number);
	return out;
}

/* Labels that follow from the type's name, its cores and memory. */
static const char *name_label(const struct offering *offering, enum type_label label, char *out,
			      size_t size)
{
	const char *name = offering->instance_type;
	struct name_parts parts = split_name(name);

	switch (label) {
	case TYPE_CATEGORY:
		return copy_part(name, parts.digits ? parts.category : 0, out, size);
	case TYPE_GENERATION:
		return copy_part(parts.generation, parts.digits, out, size);
	case TYPE_FAMILY:
		return copy_part(name, parts.size ? parts.family : 0, out, size);
	case TYPE_SIZE:
		return parts.size;
	case TYPE_FLEX:
		copy_part(name, parts.family, out, size);
		return strstr(out, "-flex") ? "true" : "false";
	case TYPE_CPU:
		return number_text(offering->vcpus, out, size);
	case TYPE_MEMORY:
		return number_text(offering->memory_mib, out, size);
	default:
		return NULL;
	}
}

static const char *device_label(const struct instance_type *type, enum type_label label, char *out,
				size_t size)
{
	bool gpu = label <= TYPE_GPU_MEMORY;
	const struct accelerator *device = gpu ? &type->gpus : &type->accelerators;

	/* A share of a GPU is one of count 0 (g6f), with its name. */
	if (!*device->name)
		return NULL;
	switch (label) {
	case TYPE_GPU_NAME:
	case TYPE_ACCELERATOR_NAME:
		return device->name;
	case TYPE_GPU_MANUFACTURER:
	case TYPE_ACCELERATOR_MANUFACTURER:
		return device->manufacturer;
	default:
		snprintf(out, size, "%u",
			 label == TYPE_GPU_MEMORY ? device->memory_mib : device->count);
		return out;
	}
}

static const char *hardware_label(const struct instance_type *type, enum type_label label,
				  char *out, size_t size)
{
	switch (label) {
	case TYPE_CPU_MANUFACTURER:
		return type->cpu_manufacturer;
	case TYPE_CPU_CLOCK: /* "0" where EC2 does not say */
		snprintf(out, size, "%u", type->cpu_clock_mhz);
		return out;
	case TYPE_EBS_BANDWIDTH:
		return number_text(type->ebs_mbps, out, size);
	case TYPE_NETWORK_BANDWIDTH:
		return number_text(type->network_mbps, out, size);
	case TYPE_LOCAL_NVME:
		return number_text(type->local_nvme_gb, out, size);
	case TYPE_HYPERVISOR: /* "" of bare metal: the label is there */
		return type->hypervisor;
	case TYPE_ENCRYPTION_IN_TRANSIT:
		return type->encryption_in_transit ? "true" : "false";
	case TYPE_TENANCY: /* what forerun launches */
		return "default";
	default:
		return device_label(type, label, out, size);
	}
}

/* Below karpenter.k8s.aws/. */
static const char *aws_label(const struct offering *offering, const char *key, char *out,
			     size_t size)
{
	static const char *const NAMES[] = {
		[TYPE_CATEGORY] = "category",
		[TYPE_FAMILY] = "family",
		[TYPE_GENERATION] = "generation",
		[TYPE_SIZE] = "size",
		[TYPE_FLEX] = "capability-flex",
		[TYPE_CPU] = "cpu",
		[TYPE_MEMORY] = "memory",
		[TYPE_CPU_MANUFACTURER] = "cpu-manufacturer",
		[TYPE_CPU_CLOCK] = "cpu-sustained-clock-speed-mhz",
		[TYPE_EBS_BANDWIDTH] = "ebs-bandwidth",
		[TYPE_NETWORK_BANDWIDTH] = "network-bandwidth",
		[TYPE_LOCAL_NVME] = "local-nvme",
		[TYPE_HYPERVISOR] = "hypervisor",
		[TYPE_ENCRYPTION_IN_TRANSIT] = "encryption-in-transit-supported",
		[TYPE_TENANCY] = "tenancy",
		[TYPE_GPU_NAME] = "gpu-name",
		[TYPE_GPU_MANUFACTURER] = "gpu-manufacturer",
		[TYPE_GPU_COUNT] = "gpu-count",
		[TYPE_GPU_MEMORY] = "gpu-memory",
		[TYPE_ACCELERATOR_NAME] = "accelerator-name",
		[TYPE_ACCELERATOR_MANUFACTURER] = "accelerator-manufacturer",
		[TYPE_ACCELERATOR_COUNT] = "accelerator-count",
	};

	for (size_t i = 0; i < ARRAY_SIZE(NAMES); i++) {
		if (strcmp(key, NAMES[i]) != 0)
			continue;
		if (i < TYPE_CPU_MANUFACTURER)
			return name_label(offering, (enum type_label)i, out, size);
		return offering->type
			       ? hardware_label(offering->type, (enum type_label)i, out, size)
			       : NULL;
	}
	return NULL;
}

/* An interruptible one is of the default type, as Karpenter has it. */
static const char *reservation_label(const struct offering *offering, const char *key)
{
	if (offering->capacity_type != CAPACITY_RESERVED || !*offering->reservation)
		return NULL;
	if (strcmp(key, LABEL_RESERVATION_ID) == 0)
		return offering->reservation;
	if (strcmp(key, LABEL_RESERVATION_TYPE) == 0)
		return offering->reservation_kind == RESERVATION_CAPACITY_BLOCK ? "capacity-block"
										: "default";
	return offering->reservation_kind == RESERVATION_INTERRUPTIBLE ? "true" : "false";
}

static bool is_reservation_key(const char *key)
{
	return strcmp(key, LABEL_RESERVATION_ID) == 0 || strcmp(key, LABEL_RESERVATION_TYPE) == 0 ||
	       strcmp(key, LABEL_RESERVATION_INTERRUPTIBLE) == 0;
}

static const char *known_label(const struct offering *offering, const struct pool *pool,
			       const char *key, char *out, size_t size)
{
	static const char prefix[] = "karpenter.k8s.aws/instance-";

	if (str_starts(key, prefix))
		return aws_label(offering, key + sizeof(prefix) - 1, out, size);
	if (strcmp(key, LABEL_INSTANCE_TYPE) == 0)
		return offering->instance_type;
	if (strcmp(key, LABEL_ZONE) == 0)
		return offering->zone;
	if (strcmp(key, LABEL_ARCH) == 0)
		return architecture_text(offering->architecture);
	if (strcmp(key, LABEL_CAPACITY_TYPE) == 0)
		return capacity_type_text(offering->capacity_type);
	if (strcmp(key, LABEL_OS) == 0)
		return "linux";
	if (is_reservation_key(key))
		return reservation_label(offering, key);
	if (strcmp(key, LABEL_ZONE_ID) == 0)
		return *offering->zone_id ? offering->zone_id : NULL;
	if (strcmp(key, "topology.kubernetes.io/region") == 0) {
		region_of(offering->zone, out, size);
		return out;
	}
	if (pool && strcmp(key, "karpenter.sh/nodepool") == 0)
		return pool->name;
	if (pool && strcmp(key, "karpenter.k8s.aws/ec2nodeclass") == 0)
		return pool->node_class;
	return NULL;
}

/* The value of a label that a node of this offering would carry; NULL: it has none. */
const char *offering_label(const struct offering *offering, const struct pool *pool,
			   const char *key, char *out, size_t size)
{
	const char *value;

	*out = '\0';
	value = known_label(offering, pool, key, out, size);
	if (value || !pool)
		return value;
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

/* As in Karpenter, a label that instances do not have by themselves holds none back: the node is
 * given it. */
static bool term_leaves(const struct offering *offering, const struct pool *pool,
			const struct label_term *term)
{
	char text[128];
	const char *value = offering_label(offering, pool, term->key, text, sizeof(text));

	if (offering->capacity_type == CAPACITY_RESERVED && !*offering->reservation &&
	    is_reservation_key(term->key))
		return true;

	return (!value && !is_requirement_key(term->key)) || label_term_matches(term, value);
}

/* Whether the pool's requirements leave it. Bare metal only when a requirement names it: it boots
 * for many minutes. */
bool offering_matches(const struct offering *offering, const struct pool *pool)
{
	if (!offering->vcpus || (offering->bare_metal && !names_bare_metal(pool)))
		return false;
	vec_for_each (term, &pool->requirements.list)
		if (!term_leaves(offering, pool, term))
			return false;
	return true;
}
