/* SPDX-License-Identifier: Apache-2.0 */
/* The families of /metrics that are about the fleet's connections and who leads. */
#include <math.h>

#include "cmd/facts.h"

struct figure {
	const char *name, *type, *unit, *help;
	double value;
};

static void figures(struct export_metrics *metrics, const struct figure *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		export_metrics_family(metrics, list[i].name, list[i].type, list[i].unit,
				      list[i].help);
		export_metrics_value(metrics, list[i].name, list[i].type, list[i].value, NULL);
	}
}

/* ---- who leads ---- */

static void lead_families(const struct facts *facts, struct export_metrics *metrics)
{
	struct lease_status status = {.held = true};

	if (facts->lease)
		lease_status(facts->lease, &status);
	const struct figure leading = {"forerun_leading", "gauge", NULL,
				       "1 where this process may launch and terminate.",
				       status.held};
	const struct figure lease[] = {
		{"forerun_lease_epoch", "gauge", NULL,
		 "Epoch of the lease: one more each time that another core takes it.",
		 (double)status.epoch},
		{"forerun_lease_left_seconds", "gauge", "seconds",
		 "What is left of this core's lease.",
		 status.held ? (double)status.left_ns / NS_PER_S : NAN},
		{"forerun_lease_renewals", "counter", NULL, "Writes of the lease that worked.",
		 (double)status.renewals},
		{"forerun_lease_failures", "counter", NULL, "Writes of the lease that did not.",
		 (double)status.failures},
	};

	figures(metrics, &leading, 1);
	if (facts->lease)
		figures(metrics, lease, ARRAY_SIZE(lease));
}

/* ---- a core's agents ---- */

static void agents_families(const struct facts *facts, struct export_metrics *metrics)
{
	struct wire_server_status status;

	wire_server_status(facts->server, &status);
	const struct figure list[] = {
		{"forerun_agents_connected", "gauge", NULL, "Connections of agents.",
		 status.connections},
		{"forerun_agent_connections_accepted", "counter", NULL,
		 "Connections that were opened to the port for agents.", (double)status.accepted},
		{"forerun_agent_connections_admitted", "counter", NULL,
		 "Of these, those that said who they are and were let in.",
		 (double)status.admitted},
		{"forerun_agent_connections_refused", "counter", NULL,
		 "Connections that were refused, whatever the cause.", (double)status.refused},
		{"forerun_agent_handshakes_failed", "counter", NULL,
		 "TLS handshakes with agents that failed: a wrong key or certificate.",
		 (double)status.handshakes_failed},
		{"forerun_agent_frames", "counter", NULL, "Frames of agents that were taken.",
		 (double)status.frames},
		{"forerun_agent_edges", "counter", NULL, "Of these, those that an edge sent.",
		 (double)status.edges},
		{"forerun_agent_received_bytes", "counter", "bytes", "Bytes of these frames.",
		 (double)status.bytes},
		{"forerun_agent_memory_bytes", "gauge", "bytes",
		 "Memory that the agents' states take, without TLS.", (double)status.memory_bytes},
	};

	figures(metrics, list, ARRAY_SIZE(list));
}

/* ---- an agent's cores ---- */

typedef double (*link_value_fn)(const struct wire_agent_status *status);

static double link_connected(const struct wire_agent_status *status)
{
	return status->connected;
}

static double link_connects(const struct wire_agent_status *status)
{
	return (double)status->connects;
}

static double link_frames(const struct wire_agent_status *status)
{
	return (double)status->frames;
}

static double link_edges(const struct wire_agent_status *status)
{
	return (double)status->edges;
}

static double link_bytes(const struct wire_agent_status *status)
{
	return (double)status->bytes;
}

static double link_replaced(const struct wire_agent_status *status)
{
	return (double)status->replaced;
}

static void links_families(const struct facts *facts, struct export_metrics *metrics)
{
	static const struct {
		const char *name, *type, *unit, *help;
		link_value_fn value;
	} families[] = {
		{"forerun_core_connected", "gauge", NULL, "1 while this core takes our frames.",
		 link_connected},
		{"forerun_core_connects", "counter", NULL, "Connections to this core.",
		 link_connects},
		{"forerun_core_frames", "counter", NULL, "Frames sent to this core.", link_frames},
		{"forerun_core_edges", "counter", NULL, "Of these, those that an edge sent.",
		 link_edges},
		{"forerun_core_sent_bytes", "counter", "bytes", "Bytes of these frames.",
		 link_bytes},
		{"forerun_core_frames_replaced", "counter", NULL,
		 "States that a newer one took the place of before this core could take them.",
		 link_replaced},
	};

	for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
		export_metrics_family(metrics, families[f].name, families[f].type, families[f].unit,
				      families[f].help);
		for (size_t i = 0; i < facts->connections_count; i++) {
			struct wire_agent_status status;
			const char *labels[] = {"core", status.address, NULL};

			wire_agent_status(facts->connections[i], &status);
			export_metrics_value(metrics, families[f].name, families[f].type,
					     families[f].value(&status), labels);
		}
	}
}

void links_metrics(const struct facts *facts, struct export_metrics *metrics)
{
	if (facts->core)
		lead_families(facts, metrics);
	if (facts->server)
		agents_families(facts, metrics);
	if (facts->connections_count)
		links_families(facts, metrics);
}
