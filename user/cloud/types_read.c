/* SPDX-License-Identifier: Apache-2.0 */
/* One instance type as DescribeInstanceTypes tells of it. What counts of several cards and devices
 * is what Karpenter's provider takes (pkg/providers/instancetype/types.go). */
#include <ctype.h>

#include "cloud/private.h"

static uint32_t small_number(const char *text)
{
	uint64_t number = 0;

	return parse_u64(text, &number) == 0 ? (uint32_t)MIN(number, UINT32_MAX) : 0;
}

/* "Gaudi HL-205" is "gaudi-hl-205". */
static void kebab(char *out, size_t size, const char *text)
{
	fit_text(out, size, text);
	for (char *c = out; *c; c++)
		*c = *c == ' ' ? '-' : (char)tolower((unsigned char)*c);
}

static bool general(struct type_reader *reader, const char *path, const char *text)
{
	struct instance_type *type = &reader->type;
	bool yes = strcmp(text, "true") == 0;
	uint64_t number = 0;

	if (strcmp(path, "/instanceType") == 0)
		set_text(type->name, text);
	else if (strcmp(path, "/bareMetal") == 0)
		type->bare_metal = yes;
	else if (strcmp(path, "/currentGeneration") == 0)
		type->current_generation = yes;
	else if (strcmp(path, "/burstablePerformanceSupported") == 0)
		type->burstable = yes;
	else if (strcmp(path, "/hypervisor") == 0)
		set_text(type->hypervisor, text);
	else if (strcmp(path, "/vCpuInfo/defaultVCpus") == 0)
		type->vcpus = small_number(text);
	else if (strcmp(path, "/memoryInfo/sizeInMiB") == 0)
		type->memory_mib = parse_u64(text, &number) == 0 ? number : 0;
	else if (strcmp(path, "/supportedUsageClasses/item") == 0) {
		type->spot |= strcmp(text, "spot") == 0;
		type->on_demand |= strcmp(text, "on-demand") == 0;
	} else {
		return false;
	}
	return true;
}

static void processor(struct type_reader *reader, const char *path, const char *text)
{
	struct instance_type *type = &reader->type;
	double ghz = 0;

	if (strcmp(path, "/supportedArchitectures/item") == 0) {
		type->amd64 |= strcmp(text, "x86_64") == 0;
		type->arm64 |= strcmp(text, "arm64") == 0;
	} else if (strcmp(path, "/manufacturer") == 0) {
		kebab(type->cpu_manufacturer, sizeof(type->cpu_manufacturer), text);
	} else if (strcmp(path, "/sustainedClockSpeedInGhz") == 0) {
		if (parse_double(text, &ghz) == 0 && ghz > 0 && ghz < 1000)
			type->cpu_clock_mhz = (uint32_t)lround(ghz * 1000);
	}
}

static void storage(struct type_reader *reader, const char *path, const char *text)
{
	uint64_t number = 0;

	if (strcmp(path, "/instanceStorageInfo/totalSizeInGB") == 0)
		reader->type.local_disk_gb = parse_u64(text, &number) == 0 ? number : 0;
	else if (strcmp(path, "/instanceStorageInfo/nvmeSupport") == 0)
		reader->nvme_unsupported = strcmp(text, "unsupported") == 0;
	else if (strcmp(path, "/ebsInfo/ebsOptimizedSupport") == 0)
		reader->ebs_optimized = strcmp(text, "default") == 0;
	else if (strcmp(path, "/ebsInfo/ebsOptimizedInfo/maximumBandwidthInMbps") == 0)
		reader->type.ebs_mbps = small_number(text);
}

static void network(struct type_reader *reader, const char *path, const char *text)
{
	struct instance_type *type = &reader->type;
	double gbps = 0;

	if (strcmp(path, "/networkCards/item") == 0)
		reader->cards = MIN(reader->cards + 1, NETWORK_CARDS_MAX - 1);
	else if (strcmp(path, "/networkCards/item/maximumNetworkInterfaces") == 0)
		reader->card_interfaces[reader->cards] = small_number(text);
	else if (strcmp(path, "/networkCards/item/baselineBandwidthInGbps") == 0) {
		if (parse_double(text, &gbps) == 0 && gbps > 0 && gbps < 1e5)
			reader->card_gbps += gbps;
	} else if (strcmp(path, "/defaultNetworkCardIndex") == 0)
		reader->default_card = MIN(small_number(text), NETWORK_CARDS_MAX - 1);
	else if (strcmp(path, "/ipv4AddressesPerInterface") == 0)
		type->addresses_per_interface = (uint16_t)MIN(small_number(text), UINT16_MAX);
	else if (strcmp(path, "/encryptionInTransitSupported") == 0)
		type->encryption_in_transit = strcmp(text, "true") == 0;
	else if (strcmp(path, "/efaInfo/maximumEfaInterfaces") == 0)
		type->efa_interfaces = small_number(text);
}

/* A device's own fields; true at its end. */
static bool device(struct type_reader *reader, const char *path, const char *text)
{
	struct accelerator *found = &reader->device;

	if (strcmp(path, "/name") == 0)
		kebab(found->name, sizeof(found->name), text);
	else if (strcmp(path, "/manufacturer") == 0)
		kebab(found->manufacturer, sizeof(found->manufacturer), text);
	else if (strcmp(path, "/count") == 0)
		found->count = small_number(text);
	else if (strcmp(path, "/memoryInfo/sizeInMiB") == 0)
		found->memory_mib = small_number(text);
	else if (strcmp(path, "/coreInfo/count") == 0)
		reader->device_cores = small_number(text);
	return !*path;
}

/* The first of its kind is kept; where there are several kinds, none is a label. */
static void keep_device(struct type_reader *reader, uint32_t *kinds, struct accelerator *out)
{
	if (!(*kinds)++)
		*out = reader->device;
	else if (strcmp(out->manufacturer, reader->device.manufacturer) == 0)
		out->count += reader->device.count;
	reader->device = (struct accelerator){0};
}

static void devices(struct type_reader *reader, const char *path, const char *text)
{
	static const char gpu[] = "/gpuInfo/gpus/item";
	static const char neuron[] = "/neuronInfo/neuronDevices/item";
	static const char inference[] = "/inferenceAcceleratorInfo/accelerators/item";
	static const char member[] = "/inferenceAcceleratorInfo/accelerators/member";
	struct instance_type *type = &reader->type;

	if (str_starts(path, gpu) && device(reader, path + sizeof(gpu) - 1, text)) {
		keep_device(reader, &reader->gpu_kinds, &type->gpus);
	} else if (str_starts(path, neuron) && device(reader, path + sizeof(neuron) - 1, text)) {
		type->neuron_devices += reader->device.count;
		if (!reader->neuron_kinds)
			type->neuron_cores = reader->device.count * reader->device_cores;
		set_text(reader->device.manufacturer, "aws");
		keep_device(reader, &reader->neuron_kinds, &type->accelerators);
	} else if ((str_starts(path, inference) &&
		    device(reader, path + sizeof(inference) - 1, text)) ||
		   (str_starts(path, member) && /* as the service's own model has it */
		    device(reader, path + sizeof(member) - 1, text))) {
		keep_device(reader, &reader->inference_kinds, &reader->inference);
	}
}

void type_element(struct type_reader *reader, const char *path, const char *text)
{
	static const char cpu[] = "/processorInfo", net[] = "/networkInfo";

	if (general(reader, path, text))
		return;
	if (str_starts(path, cpu))
		processor(reader, path + sizeof(cpu) - 1, text);
	else if (str_starts(path, net))
		network(reader, path + sizeof(net) - 1, text);
	else if (str_starts(path, "/instanceStorageInfo") || str_starts(path, "/ebsInfo"))
		storage(reader, path, text);
	else
		devices(reader, path, text);
}

bool type_end(struct type_reader *reader, struct instance_type *out)
{
	struct instance_type *type = &reader->type;
	bool whole = *type->name && type->vcpus && (type->amd64 || type->arm64);

	type->interfaces = (uint16_t)MIN(reader->card_interfaces[reader->default_card], UINT16_MAX);
	type->network_mbps = (uint32_t)lround(MIN(reader->card_gbps * 1000, 4e9));
	type->local_nvme_gb = reader->nvme_unsupported ? 0 : type->local_disk_gb;
	if (!reader->ebs_optimized)
		type->ebs_mbps = 0;
	if (!reader->neuron_kinds)
		type->accelerators = reader->inference;
	if (reader->gpu_kinds > 1)
		type->gpus.name[0] = '\0';
	if ((reader->neuron_kinds ? reader->neuron_kinds : reader->inference_kinds) > 1)
		type->accelerators = (struct accelerator){0};
	type->usd_per_hour = NAN;
	*out = *type;
	*reader = (struct type_reader){0};
	return whole;
}
