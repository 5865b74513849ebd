/* SPDX-License-Identifier: Apache-2.0 */
/* What an EC2NodeClass says of network, processor and place. */
#include "documents/read.h"

#define INTERFACES_MAX 150

static void read_timeout(const struct cursor *at, const char *name, int64_t low, int64_t high,
			 uint32_t *out)
{
	struct cursor field = cursor_field(at, name);
	int64_t value = 0;

	if (read_integer(&field, low, high, &value))
		*out = (uint32_t)value;
}

static void read_connection_tracking(const struct cursor *spec, struct connection_tracking *out)
{
	static const struct field FIELDS[] = {
		{"tcpEstablishedTimeout"}, {"udpStreamTimeout"}, {"udpTimeout"}};
	struct cursor at = cursor_field(spec, "connectionTracking");
	size_t given = 0;

	if (!read_mapping(&at, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(FIELDS); i++) {
		struct cursor field = cursor_field(&at, FIELDS[i].name);

		given += cursor_present(&field);
	}
	if (!given)
		cursor_refuse(&at, "found none of them, expected tcpEstablishedTimeout, "
				   "udpStreamTimeout or udpTimeout");
	read_timeout(&at, "tcpEstablishedTimeout", 60, 432000, &out->tcp_established_s);
	read_timeout(&at, "udpStreamTimeout", 60, 180, &out->udp_stream_s);
	read_timeout(&at, "udpTimeout", 30, 60, &out->udp_s);
}

static void read_interface(const struct cursor *at, struct node_class *node_class)
{
	static const struct field FIELDS[] = {
		{"deviceIndex", FIELD_REQUIRED, "a whole number from 0"},
		{"networkCardIndex", FIELD_REQUIRED, "a whole number from 0"},
		{"interfaceType", FIELD_REQUIRED, "interface or efa-only"},
	};
	static const char *const TYPES[] = {"interface", "efa-only"};
	struct cursor device = cursor_field(at, "deviceIndex");
	struct cursor card = cursor_field(at, "networkCardIndex");
	struct cursor type = cursor_field(at, "interfaceType");
	struct network_interface out = {0};
	size_t before = at->problems->errors, chosen = 0;
	int64_t value = 0;

	if (!cursor_present(at)) {
		cursor_expected(at, "a network interface");
		return;
	}
	if (!read_mapping(at, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	if (read_integer(&device, 0, INT32_MAX, &value))
		out.device = (uint32_t)value;
	if (read_integer(&card, 0, INT32_MAX, &value))
		out.card = (uint32_t)value;
	if (read_enum(&type, TYPES, ARRAY_SIZE(TYPES), &chosen))
		out.efa_only = chosen == 1;
	if (at->problems->errors > before)
		return;
	vec_for_each (other, &node_class->network_interfaces) {
		if (other->card == out.card && other->device == out.device)
			cursor_refuse(at, "found a second interface with card %u and device %u",
				      out.card, out.device);
		else if (other->card == out.card && other->efa_only && out.efa_only)
			cursor_refuse(at,
				      "found a second efa-only interface of card %u, expected one",
				      out.card);
	}
	*vec_push(&node_class->network_interfaces) = out;
}

static void read_interfaces(const struct cursor *spec, struct node_class *node_class)
{
	struct cursor list = cursor_field(spec, "networkInterfaces");
	size_t before = spec->problems->errors;
	bool primary = false;

	if (!read_list(&list, INTERFACES_MAX))
		return;
	for (size_t i = 0; i < list.node->count; i++) {
		struct cursor item = cursor_item(&list, i);

		read_interface(&item, node_class);
	}
	vec_for_each (it, &node_class->network_interfaces)
		primary |= it->card == 0 && it->device == 0 && !it->efa_only;
	if (list.node->count && !primary && spec->problems->errors == before)
		cursor_refuse(&list, "found no primary interface, expected one with "
				     "networkCardIndex 0, deviceIndex 0 and interfaceType "
				     "interface");
}

static void read_placement(const struct cursor *spec, struct node_class *node_class)
{
	static const struct field FIELDS[] = {{"id"}, {"name"}};
	struct cursor at = cursor_field(spec, "placementGroupSelector");
	struct cursor id = cursor_field(&at, "id"), name = cursor_field(&at, "name");

	if (!read_mapping(&at, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	if (cursor_present(&id) == cursor_present(&name))
		cursor_refuse(&at, "found %s, expected exactly one of id and name",
			      cursor_present(&id) ? "both" : "neither");
	read_matching(&id, "^pg-[0-9a-z]+$", "an id such as pg-0123456789abcdef0",
		      &node_class->placement_group_id);
	read_string(&name, &node_class->placement_group_name);
}

static void read_processor(const struct cursor *spec, struct node_class *node_class)
{
	static const struct field FIELDS[] = {{"nestedVirtualization"}};
	static const char *const SWITCH[] = {"disabled", "enabled"};
	struct cursor at = cursor_field(spec, "cpuOptions");
	struct cursor nested = cursor_field(&at, "nestedVirtualization");
	size_t chosen = 0;

	if (read_mapping(&at, FIELDS, ARRAY_SIZE(FIELDS)) &&
	    read_enum(&nested, SWITCH, ARRAY_SIZE(SWITCH), &chosen))
		node_class->nested_virtualization = (int8_t)chosen;
}

void read_network(const struct cursor *spec, struct node_class *node_class)
{
	struct cursor public_ip = cursor_field(spec, "associatePublicIPAddress");
	struct cursor prefixes = cursor_field(spec, "ipPrefixCount");
	int64_t count = 0;
	bool value = false;

	if (read_bool(&public_ip, &value))
		node_class->associate_public_ip = value;
	if (read_integer(&prefixes, 0, INT32_MAX, &count))
		node_class->ip_prefix_count = (int32_t)count;
	read_connection_tracking(spec, &node_class->connection_tracking);
	read_interfaces(spec, node_class);
	read_placement(spec, node_class);
	read_processor(spec, node_class);
}
