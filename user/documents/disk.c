/* SPDX-License-Identifier: Apache-2.0 */
/* spec.blockDeviceMappings of an EC2NodeClass; ranges from Karpenter's
 * karpenter.k8s.aws_ec2nodeclasses.yaml. */
#include "documents/read.h"

#include <math.h>

#define BLOCK_DEVICES_MAX 50
#define GIB 1073741824.0

static const struct field EBS[] = {
	{"deleteOnTermination"},
	{"encrypted"},
	{"iops"},
	{"kmsKeyID"},
	{"snapshotID"},
	{"throughput"},
	{"volumeSize"},
	{"volumeType"},
	{"volumeInitializationRate", FIELD_LATER},
};

static const char *const VOLUME_TYPES[] = {"gp3", "gp2", "io1", "io2", "sc1", "st1", "standard"};

struct size_unit {
	const char *suffix;
	uint64_t most;
};
static const struct size_unit SIZE_UNITS[] = {{"Gi", 59000}, {"G", 64000}, {"Ti", 58}, {"T", 64}};

/* A whole number of a size unit, rounded up to the GiB in which EC2 counts. */
static void read_volume_size(const struct cursor *at, uint32_t *gib)
{
	_cleanup_free_ char *text = NULL;
	double bytes = 0;

	if (!read_string(at, &text))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(SIZE_UNITS); i++) {
		size_t digits = strspn(text, "0123456789");
		uint64_t number = strtoull(text, NULL, 10);

		if (text[0] == '0' || digits == 0 || digits > 6 ||
		    strcmp(text + digits, SIZE_UNITS[i].suffix) != 0 ||
		    number > SIZE_UNITS[i].most || quantity_parse(text, &bytes) < 0)
			continue;
		*gib = (uint32_t)ceil(bytes / GIB);
		return;
	}
	cursor_expected(at, "a size such as 20Gi: 1 to 59000 Gi, 64000 G, 58 Ti or 64 T");
}

static void read_rate(const struct cursor *ebs, const char *name, uint32_t *out)
{
	struct cursor at = cursor_field(ebs, name);
	int64_t value = 0;

	if (read_integer(&at, 1, INT32_MAX, &value))
		*out = (uint32_t)value;
}

static void read_ebs(const struct cursor *ebs, struct block_device *device)
{
	struct cursor delete = cursor_field(ebs, "deleteOnTermination");
	struct cursor encrypted = cursor_field(ebs, "encrypted");
	struct cursor key = cursor_field(ebs, "kmsKeyID");
	struct cursor snapshot = cursor_field(ebs, "snapshotID");
	struct cursor size = cursor_field(ebs, "volumeSize");
	struct cursor type = cursor_field(ebs, "volumeType");
	size_t chosen = 0;

	if (!read_mapping(ebs, EBS, ARRAY_SIZE(EBS)))
		return;
	device->delete_on_termination_set = read_bool(&delete, &device->delete_on_termination);
	device->encrypted_set = read_bool(&encrypted, &device->encrypted);
	read_rate(ebs, "iops", &device->iops);
	read_rate(ebs, "throughput", &device->throughput);
	read_string(&key, &device->kms_key_id);
	read_string(&snapshot, &device->snapshot_id);
	read_volume_size(&size, &device->volume_size_gib);
	if (read_enum(&type, VOLUME_TYPES, ARRAY_SIZE(VOLUME_TYPES), &chosen))
		device->volume_type = strdup(VOLUME_TYPES[chosen]);
	if (!cursor_present(&snapshot) && !cursor_present(&size))
		cursor_refuse(ebs,
			      "found neither volumeSize nor snapshotID, expected at least one");
}

static void read_device(const struct cursor *at, struct node_class *node_class)
{
	static const struct field FIELDS[] = {
		{"deviceName", FIELD_REQUIRED, "a device such as /dev/xvda"},
		{"ebs", FIELD_REQUIRED, "a mapping with volumeSize or snapshotID"},
		{"rootVolume", FIELD_LATER},
	};
	struct cursor name = cursor_field(at, "deviceName"), ebs = cursor_field(at, "ebs");
	struct block_device *device;

	if (!cursor_present(at)) {
		cursor_expected(at, "a mapping");
		return;
	}
	if (!read_mapping(at, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	device = vec_push(&node_class->block_devices);
	read_ebs(&ebs, device);
	if (!read_string(&name, &device->device_name))
		return;
	for (size_t i = 0; i + 1 < node_class->block_devices.count; i++)
		if (str_equal(node_class->block_devices.at[i].device_name, device->device_name))
			cursor_refuse(&name, "found \"%.60s\" twice, expected each device once",
				      device->device_name);
}

void read_block_devices(const struct cursor *spec, struct node_class *node_class)
{
	struct cursor list = cursor_field(spec, "blockDeviceMappings");

	if (!read_list(&list, BLOCK_DEVICES_MAX))
		return;
	for (size_t i = 0; i < list.node->count; i++) {
		struct cursor item = cursor_item(&list, i);

		read_device(&item, node_class);
	}
}
