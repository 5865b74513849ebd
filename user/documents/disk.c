/* SPDX-License-Identifier: Apache-2.0 */
/* spec.blockDeviceMappings of an EC2NodeClass; ranges from Karpenter's
 * karpenter.k8s.aws_ec2nodeclasses.yaml. */
#include "documents/read.h"

#define BLOCK_DEVICES_MAX 50

static const struct field EBS[] = {
	{"deleteOnTermination"},
	{"encrypted"},
	{"iops"},
	{"kmsKeyID"},
	{"snapshotID"},
	{"throughput"},
	{"volumeSize"},
	{"volumeType"},
	{"volumeInitializationRate"},
};

static const char *const VOLUME_TYPES[] = {"gp3", "gp2", "io1", "io2", "sc1", "st1", "standard"};

/* The definition's own pattern. Its empty alternatives ("Ti" alone) are no quantity: left out. */
#define VOLUME_SIZE                                                                              \
	"^(([1-9][0-9]{0,3}|[1-4][0-9]{4}|5[0-8][0-9]{3}|59000)Gi|([1-9][0-9]{0,3}|[1-5][0-9]{4" \
	"}|6[0-3][0-9]{3}|64000)G|([1-9]|[1-5][0-7]|58)Ti|([1-9]|[1-5][0-9]|6[0-3]|64)T)$"

static void read_volume_size(const struct cursor *at, uint64_t *bytes)
{
	_cleanup_free_ char *text = NULL;
	double size = 0;

	if (read_matching(at, VOLUME_SIZE,
			  "a size such as 20Gi: 1 to 59000 Gi, 64000 G, 58 Ti or 64 T", &text) &&
	    quantity_parse(text, &size) == 0)
		*bytes = (uint64_t)size;
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
	struct cursor rate = cursor_field(ebs, "volumeInitializationRate");
	int64_t mib_per_second = 0;
	size_t chosen = 0;

	if (!read_mapping(ebs, EBS, ARRAY_SIZE(EBS)))
		return;
	device->delete_on_termination_set = read_bool(&delete, &device->delete_on_termination);
	device->encrypted_set = read_bool(&encrypted, &device->encrypted);
	read_rate(ebs, "iops", &device->iops);
	read_rate(ebs, "throughput", &device->throughput);
	read_string(&key, &device->kms_key_id);
	read_string(&snapshot, &device->snapshot_id);
	read_volume_size(&size, &device->volume_size_bytes);
	if (read_enum(&type, VOLUME_TYPES, ARRAY_SIZE(VOLUME_TYPES), &chosen))
		device->volume_type = strdup(VOLUME_TYPES[chosen]);
	if (read_integer(&rate, 100, 300, &mib_per_second))
		device->volume_initialization_rate = (uint32_t)mib_per_second;
	if (cursor_present(&rate) && !cursor_present(&snapshot))
		cursor_refuse(&rate, "found no snapshotID beside it, expected one");
	if (!cursor_present(&snapshot) && !cursor_present(&size))
		cursor_refuse(ebs,
			      "found neither volumeSize nor snapshotID, expected at least one");
}

static void read_device(const struct cursor *at, struct node_class *node_class)
{
	static const struct field FIELDS[] = {
		{"deviceName", FIELD_REQUIRED, "a device such as /dev/xvda"},
		{"ebs", FIELD_REQUIRED, "a mapping with volumeSize or snapshotID"},
		{"rootVolume"},
	};
	struct cursor name = cursor_field(at, "deviceName"), ebs = cursor_field(at, "ebs");
	struct cursor root = cursor_field(at, "rootVolume");
	struct block_device *device;

	if (!cursor_present(at)) {
		cursor_expected(at, "a mapping");
		return;
	}
	if (!read_mapping(at, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	device = vec_push(&node_class->block_devices);
	read_ebs(&ebs, device);
	read_bool(&root, &device->root_volume);
	for (size_t i = 0; i + 1 < node_class->block_devices.count && device->root_volume; i++)
		if (node_class->block_devices.at[i].root_volume)
			cursor_refuse(&root, "found a second root volume, expected one at most");
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
