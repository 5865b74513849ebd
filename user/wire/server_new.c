/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/server_private.h"

#define CONNECTIONS_MAX 20000
#define FRAMES_PER_SECOND_MAX 50
#define HELLO_WITHIN_NS (10 * NS_PER_S)
#define SILENT_AFTER_NS (15 * NS_PER_S)
#define MEMORY_MAX (1ULL << 30)

static int copy_text(const char **text)
{
	if (!*text)
		return 0;
	*text = strdup(*text);
	return *text ? 0 : -ENOMEM;
}

static int copy_config(struct wire_server *server, const struct wire_server_config *config)
{
	struct wire_server_config *own = &server->config;
	const char **texts[] = {
		&own->auth.ca_file,  &own->auth.certificate_file,
		&own->auth.key_file, &own->auth.shared_key_file,
		&own->listen,
	};
	int r = 0;

	*own = *config;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		r = copy_text(texts[i]) < 0 ? -ENOMEM : r;
	if (!own->connections_max)
		own->connections_max = CONNECTIONS_MAX;
	if (!own->frames_per_second_max)
		own->frames_per_second_max = FRAMES_PER_SECOND_MAX;
	if (!own->hello_within_ns)
		own->hello_within_ns = HELLO_WITHIN_NS;
	if (!own->silent_after_ns)
		own->silent_after_ns = SILENT_AFTER_NS;
	if (!own->memory_max)
		own->memory_max = MEMORY_MAX;
	return r;
}

static int read_keys(const struct wire_server *server, struct tls_context **out,
		     char reason[WIRE_REASON_SIZE])
{
	const struct wire_auth *auth = &server->config.auth;
	const struct tls_config config = {
		.server = true,
		.ca_file = auth->ca_file,
		.certificate_file = auth->certificate_file,
		.key_file = auth->key_file,
		.shared_key_file = auth->shared_key_file,
	};

	return tls_context_new(&config, out, reason);
}

static int fill(struct wire_server *server, const struct wire_server_config *config,
		char reason[WIRE_REASON_SIZE])
{
	int r;

	server->fd = -1;
	server->layout = layout_new(&config->interest);
	r = copy_config(server, config);
	if (r < 0)
		return r;
	r = read_keys(server, &server->context, reason);
	if (r < 0)
		return r;
	r = server_listen(server);
	if (r < 0) {
		snprintf(reason, WIRE_REASON_SIZE, "cannot listen at %s: %s", config->listen,
			 r == -EINVAL ? "HOST:PORT or :PORT is expected" : strerror(-r));
		return r;
	}
	return server_timers(server);
}

int wire_server_new(struct loop *loop, const struct wire_server_config *config,
		    const struct wire_server_events *events, struct wire_server **out,
		    char reason[WIRE_REASON_SIZE])
{
	struct wire_server *server = calloc(1, sizeof(*server));
	int r;

	snprintf(reason, WIRE_REASON_SIZE, "no memory");
	if (!server)
		return -ENOMEM;
	server->loop = loop;
	server->events = *events;
	r = fill(server, config, reason);
	if (r < 0) {
		wire_server_free(server);
		return r;
	}
	*out = server;
	return 0;
}

static void end_all(struct wire_server *server)
{
	server->events = (struct wire_server_events){0};
	while (server->peers.count) {
		struct peer *peer = server->peers.at[server->peers.count - 1];

		peer_end(peer, "the core stops");
		peer_free(peer);
	}
}

void wire_server_free(struct wire_server *server)
{
	struct wire_server_config *config;

	if (!server)
		return;
	config = &server->config;
	end_all(server);
	vec_free(&server->peers);
	if (server->fd >= 0)
		loop_fd_remove(server->loop, server->fd);
	close_descriptor(&server->fd);
	loop_timer_free(server->round_timer);
	loop_timer_free(server->sweep_timer);
	loop_timer_free(server->tell_timer);
	map_free(&server->by_host);
	scratch_free(&server->scratch);
	layout_unref(server->layout);
	owners_free(&server->owners);
	tls_context_unref(server->context);
	free((void *)config->auth.ca_file);
	free((void *)config->auth.certificate_file);
	free((void *)config->auth.key_file);
	free((void *)config->auth.shared_key_file);
	free((void *)config->listen);
	free(server);
}

uint16_t wire_server_port(const struct wire_server *server)
{
	return server->port;
}

void wire_server_poll(struct wire_server *server)
{
	vec_for_each (peer, &server->peers)
		(*peer)->wants_poll = true;
	server_tell_all(server);
}

void wire_server_interest(struct wire_server *server, const struct wire_interest *interest)
{
	if (memcmp(&server->config.interest, interest, sizeof(*interest)) == 0)
		return;
	server->config.interest = *interest;
	layout_unref(server->layout);
	server->layout = layout_new(interest);
	vec_for_each (peer, &server->peers)
		(*peer)->wants_interest = true;
	server_tell_all(server);
}

int wire_server_reload(struct wire_server *server, char reason[WIRE_REASON_SIZE])
{
	struct tls_context *context;
	int r;

	r = read_keys(server, &context, reason);
	if (r < 0)
		return r;
	tls_context_unref(server->context);
	server->context = context;
	return 0;
}

void wire_server_status(const struct wire_server *server, struct wire_server_status *out)
{
	*out = server->status;
	out->connections = (uint32_t)server->open_count;
	out->memory_bytes = server->state_bytes + server->owners.bytes +
			    server->peers.count * sizeof(struct peer);
	vec_for_each (peer, &server->peers)
		out->bytes += tls_stream_bytes((*peer)->stream);
}
