/* SPDX-License-Identifier: Apache-2.0 */
#include "core/core_private.h"

bool launch_code_is_no_capacity(const char *code)
{
	/* Karpenter, pkg/errors/errors.go (unfulfillable capacity), and the EC2 API's error list
	 * ("errors-overview"): another type, zone or capacity type may do. */
	static const char *const codes[] = {
		"InsufficientInstanceCapacity",
		"InsufficientCapacity",
		"InsufficientHostCapacity",
		"InsufficientReservedInstanceCapacity",
		"InsufficientFreeAddressesInSubnet",
		"InsufficientAddressCapacity",
		"InsufficientVolumeCapacity",
		"MaxSpotInstanceCountExceeded",
		"SpotMaxPriceTooLow",
		"MaxFleetCountExceeded",
		"ReservationCapacityExceeded",
		"UnfulfillableCapacity",
		"Unsupported",
		"VcpuLimitExceeded",
		"InstanceLimitExceeded",
	};

	for (size_t i = 0; code && i < ARRAY_SIZE(codes); i++)
		if (strcmp(code, codes[i]) == 0)
			return true;
	return false;
}

const char *instance_state_text(enum instance_state state)
{
	static const char *const names[] = {
		[INSTANCE_PENDING] = "pending",
		[INSTANCE_RUNNING] = "running",
		[INSTANCE_SHUTTING_DOWN] = "shutting-down",
		[INSTANCE_TERMINATED] = "terminated",
		[INSTANCE_STOPPING] = "stopping",
		[INSTANCE_STOPPED] = "stopped",
	};

	return (size_t)state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

void launch_order_free(struct launch_order *order)
{
	vec_free(&order->overrides);
	vec_free(&order->starts);
	vec_for_each (tag, &order->tags.list) {
		free(tag->key);
		free(tag->value);
	}
	vec_free(&order->tags.list);
}

void launch_result_free(struct launch_result *result)
{
	vec_free(&result->instances);
	vec_free(&result->failures);
}

const char *launch_source_text(enum launch_source source)
{
	static const char *const names[SOURCE_COUNT] = {
		[SOURCE_ROOM] = "room",
		[SOURCE_HIBERNATED] = "hibernated",
		[SOURCE_STOPPED] = "stopped",
		[SOURCE_RESERVED] = "reserved",
		[SOURCE_SPOT] = "spot",
		[SOURCE_ON_DEMAND] = "on-demand",
		[SOURCE_GROUP] = "auto-scaling-group",
	};

	return (unsigned)source < SOURCE_COUNT ? names[source] : "unknown";
}
