/* SPDX-License-Identifier: Apache-2.0 */
/* Start and end of the probe, and its edges. */
#include "probe/private.h"

#include <sys/epoll.h>

void probe_config_default(struct probe_config *config)
{
	*config = (struct probe_config){
		.listeners_max = 1024,
		.connections_max = 262144,
		.edge_depth = 4,
		.rescan_ms = 30000,
	};
}

static int check_config(const struct probe_config *config)
{
	if (config->listeners_max >= 1 && config->listeners_max <= 1U << 20 &&
	    config->edge_depth >= 1 && config->rescan_ms >= 100)
		return 0;
	log_error("the probe cannot work with listeners_max %u (1 to 1048576), edge_depth %u (1 or "
		  "more), rescan %u ms (100 or more)",
		  config->listeners_max, config->edge_depth, config->rescan_ms);
	return -EINVAL;
}

int probe_new(const struct probe_config *config, struct probe **out)
{
	struct probe *probe;
	int r = check_config(config);

	if (r < 0)
		return r;
	probe = calloc(1, sizeof(*probe));
	if (!probe)
		return -ENOMEM;
	probe->config = *config;
	probe->tracked = calloc(config->listeners_max, sizeof(*probe->tracked));
	for (uint32_t slot = 0; slot < config->listeners_max; slot++)
		*vec_push(&probe->index_of_slot) = 0;
	r = probe->tracked ? probe_load(probe) : -ENOMEM;
	/* Maps that were adopted have the threshold of the agent before. */
	if (!r)
		r = probe_set_edge_depth(probe, UINT32_MAX, config->edge_depth);
	if (!r) {
		r = probe_search(probe);
		if (r < 0)
			log_error("cannot search for what listens already: %s; %s", strerror(-r),
				  probe_failure_hint(r));
	}
	if (r < 0) {
		probe_free(probe);
		return r;
	}
	*out = probe;
	return 0;
}

void probe_free(struct probe *probe)
{
	if (!probe)
		return;
	if (probe->loop)
		loop_fd_remove(probe->loop, ring_buffer__epoll_fd(probe->ring));
	ring_buffer__free(probe->ring);
	probe_unload(probe);
	for (uint32_t slot = 0; probe->tracked && slot < probe->config.listeners_max; slot++) {
		if (probe->tracked[slot])
			vec_free(&probe->tracked[slot]->sockets);
		free(probe->tracked[slot]);
	}
	free(probe->tracked);
	vec_free(&probe->listeners);
	vec_free(&probe->rows);
	vec_free(&probe->index_of_slot);
	free(probe);
}

/* ---- edges ---- */

static int take_edge(void *arg, void *data, size_t size)
{
	struct probe *probe = arg;
	const struct forerun_edge *from = data;

	if (size < sizeof(*from))
		return 0;
	struct edge edge = {
		.time_ns = from->time_ns,
		.listener_id = listener_id(from->slot, from->generation),
		.slot = from->slot,
		.depth = from->depth,
		.limit = from->limit,
		.full = from->full != 0,
	};

	probe->on_edge(probe->on_edge_arg, &edge);
	return 0;
}

static void edges_ready(void *arg, int fd, uint32_t events)
{
	struct probe *probe = arg;

	(void)fd;
	(void)events;
	ring_buffer__consume(probe->ring);
}

int probe_watch_edges(struct probe *probe, struct loop *loop,
		      void (*fn)(void *arg, const struct edge *edge), void *arg)
{
	int r;

	if (probe->ring)
		return -EBUSY;
	probe->on_edge = fn;
	probe->on_edge_arg = arg;
	probe->ring =
		ring_buffer__new(bpf_map__fd(probe->skel->maps.edges), take_edge, probe, NULL);
	if (!probe->ring)
		return -errno;
	r = loop_fd_add(loop, ring_buffer__epoll_fd(probe->ring), EPOLLIN, edges_ready, probe);
	if (r < 0) {
		ring_buffer__free(TAKE(probe->ring));
		return r;
	}
	probe->loop = loop;
	return 0;
}

int probe_set_edge_depth(struct probe *probe, uint32_t slot, uint32_t depth)
{
	if (depth < 1 || (slot != UINT32_MAX && slot >= probe->config.listeners_max))
		return -EINVAL;
	if (slot == UINT32_MAX) /* also of those that come later */
		probe->skel->data->default_edge_depth = depth;
	for (uint32_t i = 0; i < probe->config.listeners_max; i++)
		if (slot == UINT32_MAX || slot == i)
			__atomic_store_n(&probe->slots[i].edge_depth, depth, __ATOMIC_RELAXED);
	return 0;
}
