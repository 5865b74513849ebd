/* SPDX-License-Identifier: Apache-2.0 */
/* What a node of a type has and can give away, by the formulas of Karpenter's provider for AWS
 * (v1.14.1, pkg/providers/instancetype/types.go). Amounts are whole bytes, pieces and thousandths
 * of a core, so that doubles hold them exactly. */
#include <math.h>

#include "plan/plan.h"

#define MIB 1048576.0
#define GIB 1073741824.0
#define DEFAULT_VOLUME (20 * GIB)
#define PODS_WITHOUT_ENI_LIMIT 110

/* pkg/providers/amifamily: FeatureFlags() and the devices of each. */
struct family {
	const char *device; /* that pods write to; NULL: not known */
	double volume; /* bytes of it, unless the class says */
	bool reserves_by_eni; /* memory for the kubelet by the pods that addresses allow */
	bool pods_per_core, eni_limited_pods;
};

static const struct family FAMILIES[] = {
	[AMI_AL2023] = {"/dev/xvda", DEFAULT_VOLUME, true, true, true},
	[AMI_AL2] = {"/dev/xvda", DEFAULT_VOLUME, true, true, true},
	[AMI_CUSTOM] = {NULL, DEFAULT_VOLUME, true, true, true},
	[AMI_BOTTLEROCKET] = {"/dev/xvdb", DEFAULT_VOLUME, false, false, true},
	[AMI_WINDOWS2019] = {"/dev/sda1", 50 * GIB, false, true, false},
	[AMI_WINDOWS2022] = {"/dev/sda1", 50 * GIB, false, true, false},
	[AMI_WINDOWS2025] = {"/dev/sda1", 50 * GIB, false, true, false},
};

/* What the kubelet keeps for itself and the system, and where it evicts. */
struct overhead {
	double cpu_milli, memory, storage;
};

static double amount_of(const struct resources *resources, const char *name, double otherwise)
{
	vec_for_each (amount, &resources->list)
		if (strcmp(amount->name, name) == 0)
			return amount->amount;
	return otherwise;
}

static void put(struct resources *resources, const char *name, double amount)
{
	struct resource_amount *added = vec_push(&resources->list);

	added->name = strdup(name);
	if (!added->name)
		abort();
	added->amount = amount;
}

static double memory_bytes(const struct instance_type *type, double overhead_percent)
{
	/* Gravitons keep 64 MiB for contiguous allocations of devices. */
	uint64_t reserved = type->arm64 && !type->amd64 ? MIN(type->memory_mib, 64) : 0;
	double bytes = (double)(type->memory_mib - reserved) * MIB;

	return bytes - ceil(bytes * overhead_percent / 1024 / 1024) * MIB;
}

/* By the interfaces of the default card that carry addresses of pods. */
static double pods_by_addresses(const struct instance_type *type, const struct node_class *class,
				uint32_t reserved_enis)
{
	uint32_t others = reserved_enis;

	if (class)
		vec_for_each (interface, &class->network_interfaces)
			others += interface->efa_only && interface->card == 0;
	if (type->interfaces <= others)
		return 0;
	return (double)(type->interfaces - others) * (type->addresses_per_interface - 1) + 2;
}

static double pods_of(const struct instance_type *type, const struct node_class *class,
		      const struct family *family, uint32_t reserved_enis)
{
	double pods = family->eni_limited_pods ? pods_by_addresses(type, class, reserved_enis)
					       : PODS_WITHOUT_ENI_LIMIT;

	if (class && class->kubelet.max_pods >= 0 && class->kubelet.given)
		pods = class->kubelet.max_pods;
	if (class && class->kubelet.pods_per_core > 0 && family->pods_per_core)
		pods = MIN(pods, (double)class->kubelet.pods_per_core * type->vcpus);
	return pods;
}

static double storage_bytes(const struct instance_type *type, const struct node_class *class,
			    const struct family *family)
{
	const struct block_device *own = NULL;

	if (class && class->instance_store_raid0 && type->local_disk_gb)
		return (double)type->local_disk_gb * 1e9;
	if (!class || !class->block_devices.count)
		return family->volume;
	vec_for_each (device, &class->block_devices)
		if (device->root_volume && device->volume_size_bytes)
			return (double)device->volume_size_bytes;
	if (!family->device)
		own = &class->block_devices.at[class->block_devices.count - 1];
	else
		vec_for_each (device, &class->block_devices)
			if (!own && str_equal(device->device_name, family->device))
				own = device;
	return own && own->volume_size_bytes ? (double)own->volume_size_bytes : family->volume;
}

/* Of each range of cores a smaller share, whole thousandths each. */
static double reserved_cpu_milli(uint32_t vcpus)
{
	static const struct {
		int64_t start, end;
		double share;
	} RANGES[] = {{0, 1000, 0.06},
		      {1000, 2000, 0.01},
		      {2000, 4000, 0.005},
		      {4000, INT64_C(1) << 31, 0.0025}};
	int64_t cpu = (int64_t)vcpus * 1000, sum = 0;

	for (size_t i = 0; i < ARRAY_SIZE(RANGES); i++)
		if (cpu >= RANGES[i].start)
			sum += (int64_t)((double)(MIN(cpu, RANGES[i].end) - RANGES[i].start) *
					 RANGES[i].share);
	return (double)sum;
}

/* "5%" of the whole, or an amount. 100 % is the kubelet's way to say: never. */
static double threshold(const char *value, double whole, double otherwise)
{
	double amount = otherwise;
	char *end;

	if (!str_ends(value, "%")) {
		quantity_parse(value, &amount);
		return amount;
	}
	amount = strtod(value, &end);
	if (strcmp(end, "%") != 0)
		return otherwise;
	return amount == 100 ? 0 : ceil(whole / 100 * amount);
}

static double eviction_of(const struct node_class *class, const char *signal, double whole,
			  double otherwise)
{
	if (class)
		vec_for_each (hard, &class->kubelet.eviction_hard.list)
			if (strcmp(hard->signal, signal) == 0)
				return threshold(hard->value, whole, otherwise);
	return otherwise;
}

static struct overhead overhead_of(const struct node_class *class, uint32_t vcpus,
				   double pods_reserved_for, double memory, double storage)
{
	static const struct resources NONE;
	const struct resources *kube = class ? &class->kubelet.kube_reserved : &NONE;
	const struct resources *system = class ? &class->kubelet.system_reserved : &NONE;
	double milli = reserved_cpu_milli(vcpus);

	return (struct overhead){
		.cpu_milli = round(amount_of(kube, "cpu", milli / 1000) * 1000) +
			     round(amount_of(system, "cpu", 0) * 1000),
		.memory = amount_of(kube, "memory", (11 * pods_reserved_for + 255) * MIB) +
			  amount_of(system, "memory", 0) +
			  eviction_of(class, "memory.available", memory, 100 * MIB),
		.storage =
			amount_of(kube, "ephemeral-storage", GIB) +
			amount_of(system, "ephemeral-storage", 0) +
			eviction_of(class, "nodefs.available", storage, ceil(storage / 100 * 10)),
	};
}

/* A class that names its interfaces says which of them are EFAs. */
static uint32_t efas_of(const struct instance_type *type, const struct node_class *class)
{
	uint32_t count = 0;

	if (!class || !class->network_interfaces.count)
		return type->efa_interfaces;
	vec_for_each (interface, &class->network_interfaces)
		count += interface->efa_only;
	return count;
}

/* Devices; nothing is kept back of them. */
static void put_devices(struct resources *out, const struct instance_type *type,
			const struct node_class *class)
{
	static const char *const GPUS[][2] = {{"nvidia", "nvidia.com/gpu"},
					      {"amd", "amd.com/gpu"},
					      {"habana", "habana.ai/gaudi"}};
	const struct {
		const char *name;
		uint32_t count;
	} OTHERS[] = {{"aws.amazon.com/neuron", type->neuron_devices},
		      {"aws.amazon.com/neuroncore", type->neuron_cores},
		      {"vpc.amazonaws.com/efa", efas_of(type, class)},
		      {"vpc.amazonaws.com/pod-eni", type->pod_eni}};

	for (size_t i = 0; i < ARRAY_SIZE(GPUS); i++)
		if (type->gpus.count && strcmp(type->gpus.manufacturer, GPUS[i][0]) == 0)
			put(out, GPUS[i][1], type->gpus.count);
	for (size_t i = 0; i < ARRAY_SIZE(OTHERS); i++)
		if (OTHERS[i].count)
			put(out, OTHERS[i].name, OTHERS[i].count);
}

void node_capacity_reserving(const struct instance_type *type, const struct node_class *class,
			     double vm_memory_overhead_percent, uint32_t reserved_enis,
			     struct node_capacity *out)
{
	const struct family *family = &FAMILIES[class ? class->family : AMI_AL2023];
	double memory = memory_bytes(type, vm_memory_overhead_percent);
	double pods = pods_of(type, class, family, reserved_enis);
	double storage = storage_bytes(type, class, family);
	struct overhead overhead =
		overhead_of(class, type->vcpus,
			    family->reserves_by_eni ? pods_by_addresses(type, class, 0) : pods,
			    memory, storage);

	*out = (struct node_capacity){0};
	put(&out->capacity, "cpu", type->vcpus);
	put(&out->capacity, "memory", memory);
	put(&out->capacity, "ephemeral-storage", storage);
	put(&out->capacity, "pods", pods);
	put_devices(&out->capacity, type, class);
	put(&out->allocatable, "cpu", (type->vcpus * 1000.0 - overhead.cpu_milli) / 1000);
	put(&out->allocatable, "memory", memory - overhead.memory);
	put(&out->allocatable, "ephemeral-storage", storage - overhead.storage);
	put(&out->allocatable, "pods", pods);
	put_devices(&out->allocatable, type, class);
}

void node_capacity(const struct instance_type *type, const struct node_class *class,
		   double vm_memory_overhead_percent, struct node_capacity *out)
{
	node_capacity_reserving(type, class, vm_memory_overhead_percent, 0, out);
}

static void free_amounts(struct resources *resources)
{
	vec_for_each (amount, &resources->list)
		free(amount->name);
	vec_free(&resources->list);
}

void node_capacity_free(struct node_capacity *capacity)
{
	free_amounts(&capacity->capacity);
	free_amounts(&capacity->allocatable);
}
