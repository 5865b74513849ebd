/* SPDX-License-Identifier: Apache-2.0 */
/* An agent and a core on one loop, over real TLS on loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
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
};

/* ---- events ---- */

static void on_connected(void *arg)
{
	((struct side *)arg)->connected++;
}

static void on_lost(void *arg, const char *reason)
{
	struct side *side = arg;

	side->losses++;
	snprintf(side->lost, sizeof(side->lost), "%s", reason);
}

static void on_interest(void *arg, const struct wire_interest *interest)
{
	(void)interest;
	((struct side *)arg)->interests++;
}

static void on_poll(void *arg)
{
	((struct side *)arg)->polls++;
}

static void on_frame(void *arg, const struct frame *frame)
{
	struct side *side = arg;

	side->frames++;
	side->last = *frame;
	side->last.indicators = side->seen;
	assert_true(frame->count <= ARRAY_SIZE(side->seen));
	memcpy(side->seen, frame->indicators, frame->count * sizeof(*side->seen));
}

static int on_admit(void *arg, const struct wire_hello *hello, char reason[WIRE_REASON_SIZE])
{
	struct side *side = arg;

	snprintf(side->host, sizeof(side->host), "%s", hello->host);
	if (side->admit < 0)
		snprintf(reason, WIRE_REASON_SIZE, "not this one");
	return side->admit;
}

static void on_joined(void *arg, const struct wire_hello *hello)
{
	struct side *side = arg;

	assert_string_equal(hello->host, side->host);
	side->joins++;
}

static void on_left(void *arg, const char *host, const char *reason)
{
	struct side *side = arg;

	assert_string_equal(host, side->host);
	side->leaves++;
	snprintf(side->left, sizeof(side->left), "%s", reason);
}

/* ---- the two sides ---- */

static void write_text(const char *path, const char *text)
{
	assert_int_equal(file_write_atomic(path, text, strlen(text), 0600), 0);
}

static int setup(void **state)
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

static int teardown(void **state)
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

static void start_server(struct side *side)
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

static void start_agent(struct side *side)
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

static void run_until(struct side *side, const unsigned *count, unsigned wanted)
{
	uint64_t end_ns = time_mono_ns() + WITHIN_NS;

	while (*count < wanted && time_mono_ns() < end_ns)
		assert_int_equal(loop_round(side->loop, 20), 0);
	if (*count < wanted)
		fail_msg("waited for %u, there were %u; the agent lost: %s; the core: %s", wanted,
			 *count, side->lost, side->left);
}

static void connect_both(struct side *side)
{
	start_server(side);
	start_agent(side);
	run_until(side, &side->connected, 1);
}

static void fill_listener(struct indicator *to, unsigned i, uint64_t now_ns)
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

static void send_frame(struct side *side, enum frame_kind kind, unsigned count, double depth)
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
static void use_certificates(struct side *side, const char *core_name, const char *host)
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

/* ---- tests ---- */

static void what_is_sent_arrives_whole(void **state)
{
	struct side *side = *state;

	connect_both(side);
	assert_int_equal(side->joins, 1);
	assert_string_equal(side->host, "web-1");
	assert_int_equal(side->interests, 1);
	send_frame(side, FRAME_TICK, LISTENERS, 7);
	run_until(side, &side->frames, 1);
	assert_int_equal(side->last.count, LISTENERS);
	assert_string_equal(side->last.host, "web-1");
	assert_string_equal(side->last.instance_id, "i-0123456789abcdef0");
	assert_string_equal(side->last.services, "api,web");
	assert_true(side->seen[0].value[METRIC_ACCEPT_QUEUE_DEPTH][STAT_LAST] == 7);
	assert_true(side->seen[2].value[METRIC_CPU_CORES][STAT_TREND] ==
		    METRIC_CPU_CORES * 10 + STAT_TREND + 2 / 3.0);
	assert_string_equal(side->seen[1].owner.name, "web-1.service");

	send_frame(side, FRAME_EDGE, LISTENERS - 1, 9);
	run_until(side, &side->frames, 2);
	assert_int_equal(side->last.kind, FRAME_EDGE);
	assert_int_equal(side->last.count, LISTENERS - 1);
	assert_true(side->seen[0].value[METRIC_ACCEPT_QUEUE_DEPTH][STAT_LAST] == 9);
	assert_true(side->last.edge_ns <= time_mono_ns());
	assert_true(side->last.edge_ns >= time_mono_ns() - NS_PER_S);
}

static void an_agent_that_is_asked_sends(void **state)
{
	struct side *side = *state;

	connect_both(side);
	wire_server_poll(side->server);
	run_until(side, &side->polls, 1);
}

static void certificates_let_in_as_a_key_does(void **state)
{
	struct side *side = *state;

	use_certificates(side, "127.0.0.1", "web-1");
	connect_both(side);
	send_frame(side, FRAME_TICK, LISTENERS, 1);
	run_until(side, &side->frames, 1);
	assert_string_equal(side->last.host, "web-1");
}

static void a_host_speaks_for_itself_alone(void **state)
{
	struct side *side = *state;

	use_certificates(side, "127.0.0.1", "web-2");
	start_server(side);
	start_agent(side);
	run_until(side, &side->losses, 1);
	assert_string_equal(side->lost, "its certificate or key is not for host web-1");
	assert_int_equal(side->joins, 0);
}

static void a_core_under_another_name_is_not_spoken_to(void **state)
{
	struct side *side = *state;

	use_certificates(side, "core.example", "web-1");
	start_server(side);
	start_agent(side);
	run_until(side, &side->losses, 1);
	assert_string_equal(side->lost, "the other side's certificate is refused: IP address "
					"mismatch");
	assert_int_equal(side->joins, 0);
}

static void what_is_of_interest_changes_while_connected(void **state)
{
	struct side *side = *state;
	struct wire_interest interest = {.statistics[METRIC_ACCEPT_QUEUE_DEPTH] = 1 << STAT_LAST};

	connect_both(side);
	send_frame(side, FRAME_TICK, LISTENERS, 7);
	run_until(side, &side->frames, 1);
	wire_server_interest(side->server, &interest);
	run_until(side, &side->interests, 2);
	send_frame(side, FRAME_TICK, LISTENERS, 8);
	run_until(side, &side->frames, 2);
	assert_true(side->seen[0].value[METRIC_ACCEPT_QUEUE_DEPTH][STAT_LAST] == 8);
	assert_true(isnan(side->seen[0].value[METRIC_CPU_CORES][STAT_LAST]));
	interest.statistics[METRIC_CPU_CORES] = 1 << STAT_LAST;
	wire_server_interest(side->server, &interest);
	run_until(side, &side->interests, 3);
	send_frame(side, FRAME_TICK, LISTENERS, 9);
	run_until(side, &side->frames, 3);
	assert_true(side->seen[0].value[METRIC_ACCEPT_QUEUE_DEPTH][STAT_LAST] == 9);
	assert_true(side->seen[0].value[METRIC_CPU_CORES][STAT_LAST] == METRIC_CPU_CORES * 10);
}

static void who_is_not_admitted_learns_why(void **state)
{
	struct side *side = *state;
	struct wire_server_status status;

	side->admit = -EACCES;
	start_server(side);
	start_agent(side);
	run_until(side, &side->losses, 2);
	assert_string_equal(side->lost, "not this one");
	assert_int_equal(side->joins + side->leaves + side->connected, 0);
	wire_server_status(side->server, &status);
	assert_true(status.refused >= 2);
	assert_int_equal(status.handshakes_failed, 0);
}

static void a_core_takes_so_many_connections_and_no_more(void **state)
{
	struct side *side = *state;
	struct wire_agent *first;

	side->server_config.connections_max = 1;
	connect_both(side);
	first = TAKE(side->agent);
	side->agent_config.host = "web-2";
	start_agent(side);
	run_until(side, &side->losses, 1);
	assert_string_equal(side->lost, "the core has as many connections as it takes");
	assert_int_equal(side->leaves, 0);
	wire_agent_free(first);
}

static void a_core_keeps_so_much_of_its_agents_and_no_more(void **state)
{
	struct side *side = *state;

	side->server_config.memory_max = 4096;
	connect_both(side);
	send_frame(side, FRAME_TICK, LISTENERS, 1);
	run_until(side, &side->losses, 1);
	assert_string_equal(side->lost, "the core keeps as much of its agents as it may");
	assert_string_equal(side->left, side->lost);
	assert_int_equal(side->frames, 0);
}

static void who_stops_says_so(void **state)
{
	struct side *side = *state;

	connect_both(side);
	wire_agent_free(TAKE(side->agent));
	run_until(side, &side->leaves, 1);
	assert_string_equal(side->left, "the agent stops");
	start_agent(side);
	run_until(side, &side->connected, 2);
	wire_server_free(TAKE(side->server));
	run_until(side, &side->losses, 1);
	assert_string_equal(side->lost, "the core stops");
}

/* Frames that nobody takes: the newest is sent when somebody does, and an edge is not lost. */
static void what_was_missed_is_the_newest_and_an_edge(void **state)
{
	struct side *side = *state;
	struct wire_agent_status status;

	start_server(side);
	start_agent(side);
	send_frame(side, FRAME_TICK, LISTENERS, 1);
	send_frame(side, FRAME_EDGE, LISTENERS, 2);
	send_frame(side, FRAME_TICK, LISTENERS, 3);
	run_until(side, &side->frames, 1);
	assert_int_equal(side->last.kind, FRAME_EDGE);
	assert_true(side->seen[0].value[METRIC_ACCEPT_QUEUE_DEPTH][STAT_LAST] == 3);
	assert_true(side->last.age_ns > NS_PER_MS); /* it waited */
	wire_agent_status(side->agent, &status);
	assert_int_equal(status.replaced, 2);
	assert_int_equal(status.frames, 1);
	assert_int_equal(status.edges, 1);
}

static void bad_keys_are_named(void **state)
{
	struct side *side = *state;
	char reason[WIRE_REASON_SIZE];
	const struct wire_agent_events nothing = {0};

	side->agent_config.address = "127.0.0.1";
	write_text(side->shared_key, "00ff");
	assert_int_equal(
		wire_agent_new(side->loop, &side->agent_config, &nothing, &side->agent, reason),
		-EINVAL);
	assert_non_null(strstr(reason, "/shared: one line of 64 hex digits is expected"));
	side->agent_config.auth.shared_key_file = NULL;
	assert_int_equal(
		wire_agent_new(side->loop, &side->agent_config, &nothing, &side->agent, reason),
		-EINVAL);
	side->agent_config.auth.ca_file = side->agent_config.auth.certificate_file =
		side->agent_config.auth.key_file = "/nowhere";
	assert_int_equal(
		wire_agent_new(side->loop, &side->agent_config, &nothing, &side->agent, reason),
		-ENOENT);
	assert_string_equal(reason, "cannot read the CA's certificate /nowhere: No such file or "
				    "directory");
	side->agent_config.address = "[::1";
	assert_int_equal(
		wire_agent_new(side->loop, &side->agent_config, &nothing, &side->agent, reason),
		-EINVAL);
	assert_string_equal(reason, "[::1 is no address of a core: HOST or HOST:PORT");
	side->agent = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_sent_arrives_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(an_agent_that_is_asked_sends, setup, teardown),
		cmocka_unit_test_setup_teardown(certificates_let_in_as_a_key_does, setup, teardown),
		cmocka_unit_test_setup_teardown(a_host_speaks_for_itself_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(a_core_under_another_name_is_not_spoken_to, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_is_of_interest_changes_while_connected, setup,
						teardown),
		cmocka_unit_test_setup_teardown(who_is_not_admitted_learns_why, setup, teardown),
		cmocka_unit_test_setup_teardown(a_core_takes_so_many_connections_and_no_more, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_core_keeps_so_much_of_its_agents_and_no_more,
						setup, teardown),
		cmocka_unit_test_setup_teardown(who_stops_says_so, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_missed_is_the_newest_and_an_edge, setup,
						teardown),
		cmocka_unit_test_setup_teardown(bad_keys_are_named, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
