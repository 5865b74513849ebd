/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/agent_private.h"

#define FULL_EVERY_NS (30 * NS_PER_S)
#define BACKOFF_FIRST_NS (500 * NS_PER_MS)
#define BACKOFF_MOST_NS (30 * NS_PER_S)

static int copy_text(const char **text)
{
	if (!*text)
		return 0;
	*text = strdup(*text);
	return *text ? 0 : -ENOMEM;
}

/* The strings become the agent's own, also of those that could not be copied (NULL then). */
static int copy_config(struct wire_agent *agent, const struct wire_agent_config *config)
{
	struct wire_agent_config *own = &agent->config;
	const char **texts[] = {
		&own->auth.ca_file,   &own->auth.certificate_file,
		&own->auth.key_file,  &own->auth.shared_key_file,
		&own->address,	      &own->host,
		&own->instance_id,    &own->identity_document,
		&own->identity_pkcs7,
	};
	int r = 0;

	*own = *config;
	own->instance_id = own->instance_id ? own->instance_id : "";
	own->identity_document = own->identity_document ? own->identity_document : "";
	own->identity_pkcs7 = own->identity_pkcs7 ? own->identity_pkcs7 : "";
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		r = copy_text(texts[i]) < 0 ? -ENOMEM : r;
	if (!own->full_every_ns)
		own->full_every_ns = FULL_EVERY_NS;
	if (!own->backoff_first_ns)
		own->backoff_first_ns = BACKOFF_FIRST_NS;
	if (!own->backoff_most_ns)
		own->backoff_most_ns = BACKOFF_MOST_NS;
	return r;
}

static int read_keys(const struct wire_agent *agent, struct tls_context **out,
		     char reason[WIRE_REASON_SIZE])
{
	const struct wire_auth *auth = &agent->config.auth;
	const struct tls_config config = {
		.ca_file = auth->ca_file,
		.certificate_file = auth->certificate_file,
		.key_file = auth->key_file,
		.shared_key_file = auth->shared_key_file,
	};

	return tls_context_new(&config, out, reason);
}

static int fill(struct wire_agent *agent, const struct wire_agent_config *config,
		char reason[WIRE_REASON_SIZE])
{
	int r;

	r = copy_config(agent, config);
	if (r < 0 ||
	    address_split(config->address, WIRE_PORT, agent->core_host, &agent->core_port) < 0 ||
	    !*agent->core_host || !agent->core_port) {
		snprintf(reason, WIRE_REASON_SIZE, "%s is no address of a core: HOST or HOST:PORT",
			 config->address);
		return r < 0 ? r : -EINVAL;
	}
	if (!*config->host || strlen(config->host) >= WIRE_HOST_SIZE) {
		snprintf(reason, WIRE_REASON_SIZE, "a host's name has 1 to %d characters",
			 WIRE_HOST_SIZE - 1);
		return -EINVAL;
	}
	snprintf(agent->status.address, sizeof(agent->status.address), "%s", config->address);
	snprintf(agent->status.reason, sizeof(agent->status.reason), "not connected yet");
	agent->backoff_ns = agent->config.backoff_first_ns;
	if (config->keys_of)
		agent->context = tls_context_ref(config->keys_of->context);
	else
		r = read_keys(agent, &agent->context, reason);
	return r < 0 ? r : agent_timer_new(agent);
}

int wire_agent_new(struct loop *loop, const struct wire_agent_config *config,
		   const struct wire_agent_events *events, struct wire_agent **out,
		   char reason[WIRE_REASON_SIZE])
{
	struct wire_agent *agent = calloc(1, sizeof(*agent));
	int r;

	snprintf(reason, WIRE_REASON_SIZE, "no memory");
	if (!agent)
		return -ENOMEM;
	agent->loop = loop;
	agent->events = *events;
	r = fill(agent, config, reason);
	if (r < 0) {
		wire_agent_free(agent);
		return r;
	}
	agent_start(agent);
	*out = agent;
	return 0;
}

static void say_goodbye(struct wire_agent *agent)
{
	_cleanup_text_ struct text out = {0};

	if (agent->phase != AGENT_OPEN)
		return;
	bye_add(&out, "the agent stops");
	tls_stream_write(agent->stream, out.data, out.length);
	tls_stream_end(agent->stream);
}

void wire_agent_free(struct wire_agent *agent)
{
	const struct wire_agent_config *config;

	if (!agent)
		return;
	config = &agent->config;
	say_goodbye(agent);
	agent_drop_connection(agent);
	loop_timer_free(agent->timer);
	tls_context_unref(agent->context);
	owners_free(&agent->owners);
	text_free(&agent->kept);
	free((void *)config->auth.ca_file);
	free((void *)config->auth.certificate_file);
	free((void *)config->auth.key_file);
	free((void *)config->auth.shared_key_file);
	free((void *)config->address);
	free((void *)config->host);
	free((void *)config->instance_id);
	free((void *)config->identity_document);
	free((void *)config->identity_pkcs7);
	free(agent);
}

int wire_agent_reload(struct wire_agent *agent, char reason[WIRE_REASON_SIZE])
{
	struct tls_context *context;
	int r;

	r = read_keys(agent, &context, reason);
	if (r < 0)
		return r;
	tls_context_unref(agent->context);
	agent->context = context;
	/* Perhaps the new ones are what was missing. */
	if (agent->phase == AGENT_WAITING) {
		agent->backoff_ns = agent->config.backoff_first_ns;
		agent_start(agent);
	}
	return 0;
}

void wire_agent_status(const struct wire_agent *agent, struct wire_agent_status *out)
{
	*out = agent->status;
	if (agent->stream)
		out->bytes += tls_stream_bytes(agent->stream);
}
