/* SPDX-License-Identifier: Apache-2.0 */
/* Facts about the fleet: the connections between agents and cores, and who leads. */
#include "cmd/facts.h"

void agents_json(const struct facts *facts, struct text *out)
{
	struct wire_server_status status;

	wire_server_status(facts->server, &status);
	text_printf(out,
		    "{\"port\":%u,\"connected\":%u,\"accepted\":%llu,\"admitted\":%llu,"
		    "\"refused\":%llu,\"ended\":%llu,\"handshakes_failed\":%llu,\"frames\":%llu,"
		    "\"edges\":%llu,\"bytes\":%llu,\"memory_bytes\":%llu}",
		    wire_server_port(facts->server), status.connections,
		    (unsigned long long)status.accepted, (unsigned long long)status.admitted,
		    (unsigned long long)status.refused, (unsigned long long)status.ended,
		    (unsigned long long)status.handshakes_failed, (unsigned long long)status.frames,
		    (unsigned long long)status.edges, (unsigned long long)status.bytes,
		    (unsigned long long)status.memory_bytes);
}

void lease_json(const struct facts *facts, struct text *out)
{
	struct lease_status status;

	if (!facts->lease) {
		text_add(out, "null");
		return;
	}
	lease_status(facts->lease, &status);
	text_printf(out,
		    "{\"leading\":%s,\"epoch\":%llu,\"holder\":", status.held ? "true" : "false",
		    (unsigned long long)status.epoch);
	text_add_json(out, status.holder);
	text_printf(out, ",\"left_seconds\":%.3f,\"renewals\":%llu,\"failures\":%llu,\"problem\":",
		    status.held ? (double)status.left_ns / NS_PER_S : 0.0,
		    (unsigned long long)status.renewals, (unsigned long long)status.failures);
	text_add_json(out, status.problem);
	text_add_char(out, '}');
}

static void core_json(const struct wire_agent *connection, struct text *out)
{
	struct wire_agent_status status;

	wire_agent_status(connection, &status);
	text_add(out, "{\"core\":");
	text_add_json(out, status.address);
	text_printf(out, ",\"connected\":%s,\"reason\":", status.connected ? "true" : "false");
	text_add_json(out, status.connected ? "" : status.reason);
	text_printf(out,
		    ",\"connects\":%llu,\"frames\":%llu,\"edges\":%llu,\"full\":%llu,"
		    "\"bytes\":%llu,\"replaced\":%llu}",
		    (unsigned long long)status.connects, (unsigned long long)status.frames,
		    (unsigned long long)status.edges, (unsigned long long)status.full,
		    (unsigned long long)status.bytes, (unsigned long long)status.replaced);
}

void cores_json(const struct facts *facts, struct text *out)
{
	text_add_char(out, '[');
	for (size_t i = 0; i < facts->connections_count; i++) {
		text_add(out, i ? "," : "");
		core_json(facts->connections[i], out);
	}
	text_add_char(out, ']');
}
