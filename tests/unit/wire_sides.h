/* SPDX-License-Identifier: Apache-2.0 */
/* An agent and a core on one loop, over real TLS on loopback, and what they told. */
#ifndef FORERUN_TESTS_WIRE_SIDES_H
#define FORERUN_TESTS_WIRE_SIDES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <unistd.h>

#include "base/pki.h"
#include "wire/wire.h"

#define LISTENERS 3
#define WITHIN_NS (5 * NS_PER_S)

struct side {
	struct loop *loop;
	char folder[64], ca[96], certificate[96], key[96], shared_key[96];
	char core_certificate[96], core_key[96];
	struct wire_server *server;
	struct wire_agent *agent;
	char address[64];
	struct wire_server_config server_config;
	struct wire_agent_config agent_config;
	/* What happened. */
	unsigned connected, polls, interests, losses, joins, leaves, frames;
	char lost[WIRE_REASON_SIZE], left[WIRE_REASON_SIZE], host[WIRE_HOST_SIZE];
	struct frame last; /* without its indicators */
	struct indicator seen[64];
	int admit;
	bool sends_when_connected;
};

/* ---- events ---- */

static inline void send_frame(struct side *side, enum frame_kind kind, unsigned count,
			      double depth);

static inline void on_connected(void *arg)
{
	struct side *side = arg;

	side->connected++;
	if (side->sends_when_connected)
		send_frame(side, FRAME_TICK, LISTENERS, 3);
}

static inline void on_lost(void *arg, const char *reason)
{
	struct side *side = arg;

	side->losses++;
	snprintf(side->lost, sizeof(side->lost), "%s", reason);
}

static inline void on_interest(void *arg, const struct wire_interest *interest)
{
	(void)interest;
	((struct side *)arg)->interests++;
}

static inline void on_poll(void *arg)
{
	((struct side *)arg)->polls++;
}

static inline void on_frame(void *arg, const struct frame *frame)
{
	struct side *side = arg;

	side->frames++;
	side->last = *frame;
	side->last.indicators = side->seen;
	assert_true(frame->count <= ARRAY_SIZE(side->seen));
	memcpy(side->seen, frame->indicators, frame->count * sizeof(*side->seen));
}

static inline int on_admit(void *arg, const struct wire_hello *hello, char reason[WIRE_REASON_SIZE])
{
	struct side *side = arg;

	snprintf(side->host, sizeof(side->host), "%s", hello->host);
	if (side->admit < 0)
		snprintf(reason, WIRE_REASON_SIZE, "not this one");
	return side->admit;
}

static inline void on_joined(void *arg, const struct wire_hello *hello)
{
	struct side *side = arg;

	assert_string_equal(hello->host, side->host);
	side->joins++;
}

static inline void on_left(void *arg, const char *host, const char *reason)
{
	struct side *side = arg;

	assert_string_equal(host, side->host);
	side->leaves++;
	snprintf(side->left, sizeof(side->left), "%s", reason);
}

/* ---- the two sides ---- */

static inline void write_text(const char *path, const char *text)
{
	assert_int_equal(file_write_atomic(path, text, strlen(text), 0600), 0);
}

static inline int setup(void **state)
{
	struct side *side = calloc(1, sizeof(*side));

	*state = side;
	assert_int_equal(loop_new(&side->loop), 0);
	snprintf(side->folder, sizeof(side->folder), "/tmp/forerun-session-XXXXXX");
	assert_non_null(mkdtemp(side->folder));
	snprintf(side->ca, sizeof(side->ca), "%s/ca", side->folder);
	snprintf(side->certificate, sizeof(side->certificate), "%s/certificate", side->folder);
	snprintf(side->key, sizeof(side->key), "%s/key", side->folder);
	snprintf(side->core_certificate, sizeof(side->core_certificate), "%s/core", side->folder);
	snprintf(side->core_key, sizeof(side->core_key), "%s/core-key", side->folder);
	snprintf(side->shared_key, sizeof(side->shared_key), "%s/shared", side->folder);
	write_text(side->shared_key,
		   "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n");
	side->server_config.listen = "127.0.0.1:0";
	side->server_config.auth.shared_key_file = side->shared_key;
	side->agent_config.host = "web-1";
	side->agent_config.auth.shared_key_file = side->shared_key;
	side->agent_config.backoff_first_ns = 10 * NS_PER_MS;
	return 0;
}

static inline int teardown(void **state)
{
	struct side *side = *state;

	wire_agent_free(side->agent);
	wire_server_free(side->server);
	loop_free(side->loop);
	unlink(side->ca);
	unlink(side->certificate);
	unlink(side->key);
	unlink(side->core_certificate);
	unlink(side->core_key);
	unlink(side->shared_key);
	assert_int_equal(rmdir(side->folder), 0);
	free(side);
	return 0;
}

static inline void start_server(struct side *side)
{
	const struct wire_server_events events = {.arg = side,
						  .frame = on_frame,
						  .admit = on_admit,
						  .joined = on_joined,
						  .left = on_left};
	char reason[WIRE_REASON_SIZE];

	if (wire_server_new(side->loop, &side->server_config, &events, &side->server, reason) < 0)
		fail_msg("%s", reason);
	snprintf(side->address, sizeof(side->address), "127.0.0.1:%u",
		 wire_server_port(side->server));
	side->agent_config.address = side->address;
}

static inline void start_agent(struct side *side)
{
	const struct wire_agent_events events = {.arg = side,
						 .connected = on_connected,
						 .lost = on_lost,
						 .interest = on_interest,
						 .poll = on_poll};
	char reason[WIRE_REASON_SIZE];

	if (wire_agent_new(side->loop, &side->agent_config, &events, &side->agent, reason) < 0)
		fail_msg("%s", reason);
}

static inline void run_until(struct side *side, const unsigned *count, unsigned wanted)
{
	uint64_t end_ns = time_mono_ns() + WITHIN_NS;

	while (*count < wanted && time_mono_ns() < end_ns)
		assert_int_equal(loop_round(side->loop, 20), 0);
	if (*count < wanted)
		fail_msg("waited for %u, there were %u; the agent lost: %s; the core: %s", wanted,
			 *count, side->lost, side->left);
}

static inline void connect_both(struct side *side)
{
	start_server(side);
	start_agent(side);
	run_until(side, &side->connected, 1);
}

static inline void fill_listener(struct indicator *to, unsigned i, uint64_t now_ns)
{
	*to = (struct indicator){.id = 1000 + i,
				 .slot = i,
				 .family = 2,
				 .port = (uint16_t)(80 + i),
				 .sockets = 1,
				 .queue_limit = 511,
				 .time_ns = now_ns,
				 .first_seen_ns = now_ns - NS_PER_S,
				 .capacity_per_second = NAN,
				 .diagnosis = DIAGNOSIS_OK};
	snprintf(to->owner.name, sizeof(to->owner.name), "web-%u.service", i);
	to->owner.kind = OWNER_UNIT;
	for (unsigned m = 0; m < METRIC_COUNT; m++)
		for (unsigned s = 0; s < STAT_COUNT; s++)
			to->value[m][s] = m * 10 + s + i / 3.0;
}

static inline void send_frame(struct side *side, enum frame_kind kind, unsigned count, double depth)
{
	struct indicator listeners[LISTENERS];
	uint64_t now_ns = time_mono_ns();
	struct frame frame = {.kind = kind,
			      .host = "web-1",
			      .instance_id = "i-0123456789abcdef0",
			      .services = "api,web",
			      .age_ns = NS_PER_MS,
			      .edge_ns = kind == FRAME_EDGE ? now_ns - NS_PER_MS : 0,
			      .host_cpu_cores = 1.5,
			      .host_cpus = 4,
			      .indicators = listeners,
			      .count = count};

	for (unsigned i = 0; i < count; i++)
		fill_listener(&listeners[i], i, now_ns - NS_PER_MS);
	listeners[0].value[METRIC_ACCEPT_QUEUE_DEPTH][STAT_LAST] = depth;
	wire_agent_send(side->agent, &frame);
}

/* A CA of their own, a certificate for the core and one for the agent. */
static inline void use_certificates(struct side *side, const char *core_name, const char *host)
{
	struct pki_pair authority, core, agent;
	char reason[PKI_REASON_SIZE];
	struct pki *pki;

	assert_int_equal(pki_authority("forerun", 2, &authority, reason), 0);
	assert_int_equal(pki_open(authority.certificate, authority.key, &pki, reason), 0);
	assert_int_equal(pki_issue(pki, PKI_CORE, &core_name, 1, 1, &core, reason), 0);
	assert_int_equal(pki_issue(pki, PKI_AGENT, &host, 1, 1, &agent, reason), 0);
	write_text(side->ca, authority.certificate);
	write_text(side->certificate, agent.certificate);
	write_text(side->key, agent.key);
	write_text(side->core_certificate, core.certificate);
	write_text(side->core_key, core.key);
	pki_close(pki);
	pki_pair_free(&authority);
	pki_pair_free(&core);
	pki_pair_free(&agent);
	side->server_config.auth = (struct wire_auth){.ca_file = side->ca,
						      .certificate_file = side->core_certificate,
						      .key_file = side->core_key};
	side->agent_config.auth = (struct wire_auth){
		.ca_file = side->ca, .certificate_file = side->certificate, .key_file = side->key};
}

#endif
