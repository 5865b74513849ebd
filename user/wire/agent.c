/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's side of one connection: dial, handshake, hello, welcome; then frames until it is
 * lost, and again after a while. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "wire/agent_private.h"

#define WELCOME_WITHIN_NS (10 * NS_PER_S)
#define STEADY_AFTER_NS (10 * NS_PER_S) /* a connection that lived so long was a good one */

static void on_ready(void *arg);
static void on_data(void *arg, const void *data, size_t length);
static void on_drained(void *arg);
static void on_closed(void *arg, const char *reason);

static const struct tls_events stream_events = {
	.ready = on_ready,
	.data = on_data,
	.drained = on_drained,
	.closed = on_closed,
};

/* ---- the end of a connection, and the next one ---- */

/* Full jitter: thousands of agents that lost one core must not come back together. */
static uint64_t next_wait(struct wire_agent *agent)
{
	uint64_t random = 0, most = agent->backoff_ns;

	agent->backoff_ns = MIN(2 * agent->backoff_ns, agent->config.backoff_most_ns);
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = time_mono_ns() * 0x9e3779b97f4a7c15ULL;
	return random % (most + 1);
}

void agent_drop_connection(struct wire_agent *agent)
{
	dial_free(TAKE(agent->dial));
	if (agent->stream)
		agent->status.bytes += tls_stream_bytes(agent->stream);
	tls_stream_free(TAKE(agent->stream));
	inbox_free(&agent->inbox);
	text_free(&agent->kept);
	if (agent->layout)
		frame_writer_free(&agent->writer);
	layout_unref(TAKE(agent->layout));
	agent->status.connected = false;
}

static void lose(struct wire_agent *agent, const char *reason)
{
	uint64_t now_ns = time_mono_ns();
	char why[WIRE_REASON_SIZE];

	snprintf(why, sizeof(why), "%s", *agent->bye ? agent->bye : reason);
	if (agent->status.connected && now_ns - agent->status.connected_ns >= STEADY_AFTER_NS)
		agent->backoff_ns = agent->config.backoff_first_ns;
	agent_drop_connection(agent);
	agent->phase = AGENT_WAITING;
	agent->bye[0] = '\0';
	memcpy(agent->status.reason, why, sizeof(why));
	loop_timer_at(agent->timer, now_ns + next_wait(agent));
	agent->events.lost(agent->events.arg, why);
}

/* Says goodbye, as far as the other side still listens. */
static void part(struct wire_agent *agent, const char *reason)
{
	_cleanup_text_ struct text out = {0};

	if (agent->stream && tls_stream_ready(agent->stream)) {
		bye_add(&out, reason);
		tls_stream_write(agent->stream, out.data, out.length);
	}
	if (!*agent->bye)
		snprintf(agent->bye, sizeof(agent->bye), "%s", reason);
	agent->phase = AGENT_ENDING;
	tls_stream_end(agent->stream);
}

/* ---- a connection begins ---- */

static void on_dialled(void *arg, int fd, const char *reason)
{
	struct wire_agent *agent = arg;
	struct tls_stream_config config = {
		.fd = fd,
		.out_max = SIZE_MAX / 2, /* one frame at a time */
		.peer_name = agent->core_host,
		.identity = agent->config.host,
	};
	int r, on = 1;

	dial_free(TAKE(agent->dial));
	if (fd < 0) {
		lose(agent, reason);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	r = tls_stream_new(agent->loop, agent->context, &config, &stream_events, agent,
			   &agent->stream);
	if (r < 0) {
		close(fd);
		lose(agent, strerror(-r));
		return;
	}
	agent->phase = AGENT_SHAKING;
	loop_timer_at(agent->timer, time_mono_ns() + WELCOME_WITHIN_NS);
}

static void connect_now(struct wire_agent *agent)
{
	int r;

	agent->phase = AGENT_DIALLING;
	r = dial_new(agent->loop, agent->core_host, agent->core_port, on_dialled, agent,
		     &agent->dial);
	if (r < 0)
		lose(agent, strerror(-r));
}

static int fill_hello(const struct wire_agent *agent, struct hello *hello)
{
	const struct wire_agent_config *config = &agent->config;

	*hello = (struct hello){.major = SESSION_MAJOR, .minor = SESSION_MINOR};
	if (strlen(config->identity_document) >= sizeof(hello->identity_document) ||
	    strlen(config->identity_pkcs7) >= sizeof(hello->identity_pkcs7))
		return -EMSGSIZE;
	snprintf(hello->host, sizeof(hello->host), "%s", config->host);
	snprintf(hello->version, sizeof(hello->version), "%s", FORERUN_VERSION);
	snprintf(hello->instance_id, sizeof(hello->instance_id), "%s", config->instance_id);
	snprintf(hello->identity_document, sizeof(hello->identity_document), "%s",
		 config->identity_document);
	snprintf(hello->identity_pkcs7, sizeof(hello->identity_pkcs7), "%s",
		 config->identity_pkcs7);
	return 0;
}

static void on_ready(void *arg)
{
	_cleanup_text_ struct text out = {0};
	_cleanup_free_ struct hello *hello = calloc(1, sizeof(*hello));
	struct wire_agent *agent = arg;

	if (!hello || fill_hello(agent, hello) < 0 || hello_add(&out, hello) < 0 ||
	    tls_stream_write(agent->stream, out.data, out.length) < 0)
		part(agent, "the hello could not be sent");
}

/* ---- frames ---- */

static bool full_is_due(const struct wire_agent *agent, uint64_t now_ns)
{
	return !agent->writer.sent.sequence || agent->full_wanted ||
	       now_ns - agent->full_ns >= agent->config.full_every_ns;
}

static void count_frame(struct wire_agent *agent, const struct frame *frame, bool full)
{
	agent->status.frames++;
	agent->status.edges += frame->kind == FRAME_EDGE;
	agent->status.full += full;
}

static void send_now(struct wire_agent *agent, const struct frame *frame, uint64_t now_ns)
{
	_cleanup_text_ struct text out = {0};
	bool full = full_is_due(agent, now_ns);
	struct frame merged = *frame;
	int r;

	/* What an edge said while nothing could be sent is in the newest state, but not its haste.
	 */
	if (agent->unsent_edge_ns && merged.kind != FRAME_EDGE) {
		merged.kind = FRAME_EDGE;
		merged.edge_ns = agent->unsent_edge_ns;
	}
	agent->unsent_edge_ns = 0;
	r = frame_write(&agent->writer, &merged, full, now_ns, &out);
	if (r < 0) {
		log_warning("a frame of %zu listeners cannot be sent: at most %u can", frame->count,
			    WIRE_INDICATORS_MAX);
		return;
	}
	if (full) {
		agent->full_ns = now_ns;
		agent->full_wanted = false;
	}
	agent->spoken_ns = now_ns;
	count_frame(agent, &merged, full);
	tls_stream_write(agent->stream, out.data, out.length);
}

/* Only the newest state is of use to anybody. Whoever is not connected will be asked for it then,
 * and need not keep any. */
static void keep(struct wire_agent *agent, const struct frame *frame, uint64_t now_ns)
{
	if (frame->kind == FRAME_EDGE && !agent->unsent_edge_ns)
		agent->unsent_edge_ns = frame->edge_ns ? frame->edge_ns : now_ns;
	if (agent->kept.length || agent->phase != AGENT_OPEN)
		agent->status.replaced++;
	if (agent->phase != AGENT_OPEN)
		return;
	text_clear(&agent->kept);
	agent->kept_ns = now_ns;
	frame_encode(frame, &agent->kept);
}

static void send_kept(struct wire_agent *agent)
{
	struct frame frame;
	char reason[128];
	uint64_t now_ns = time_mono_ns();

	if (!agent->kept.length)
		return;
	if (frame_decode(agent->kept.data, agent->kept.length, &frame, reason) > 0) {
		frame.age_ns += now_ns - agent->kept_ns;
		for (size_t i = 0; i < frame.notices_count; i++)
			frame.notices[i].age_ns += now_ns - agent->kept_ns;
		text_free(&agent->kept);
		send_now(agent, &frame, now_ns);
		frame_free(&frame);
	}
	text_free(&agent->kept);
}

static void on_drained(void *arg)
{
	struct wire_agent *agent = arg;

	if (agent->phase == AGENT_OPEN)
		send_kept(agent);
}

void wire_agent_send(struct wire_agent *agent, const struct frame *frame)
{
	uint64_t now_ns = time_mono_ns();

	if (agent->phase != AGENT_OPEN || tls_stream_waiting(agent->stream)) {
		keep(agent, frame, now_ns);
		return;
	}
	text_free(&agent->kept); /* older */
	send_now(agent, frame, now_ns);
}

/* ---- what the core says ---- */

static void use_interest(struct wire_agent *agent, const struct wire_interest *interest)
{
	struct layout *layout = layout_new(interest);

	if (agent->layout) {
		state_use_layout(&agent->writer.sent, layout);
		layout_unref(agent->layout);
	} else {
		frame_writer_init(&agent->writer, &agent->owners, layout);
	}
	agent->layout = layout;
	agent->full_wanted = true;
	agent->events.interest(agent->events.arg, interest);
}

static int on_welcome(struct wire_agent *agent, struct part body, char reason[REASON_SIZE])
{
	uint64_t now_ns = time_mono_ns();
	struct welcome welcome;
	int r;

	r = welcome_read(body, &welcome, reason);
	if (r < 0)
		return r;
	if (welcome.major != SESSION_MAJOR) {
		snprintf(reason, REASON_SIZE,
			 "the core speaks version %u.%u, but only %u is known here", welcome.major,
			 welcome.minor, SESSION_MAJOR);
		return -EPROTONOSUPPORT;
	}
	agent->speak_within_ns = welcome.speak_within_ms * NS_PER_MS;
	agent->silent_after_ns = welcome.silent_after_ms * NS_PER_MS;
	tls_stream_forget_peer(agent->stream);
	agent->phase = AGENT_OPEN;
	agent->spoken_ns = agent->heard_ns = now_ns;
	agent->status.connected = true;
	agent->status.connected_ns = now_ns;
	agent->status.connects++;
	agent->status.reason[0] = '\0';
	agent_set_timer(agent);
	use_interest(agent, &welcome.interest);
	agent->events.connected(agent->events.arg);
	return 0;
}

static int on_interest(struct wire_agent *agent, struct part body, char reason[REASON_SIZE])
{
	struct wire_interest interest;
	int r;

	r = interest_read(body, &interest, reason);
	if (r < 0)
		return r;
	use_interest(agent, &interest);
	return 0;
}

static int on_bye(struct wire_agent *agent, struct part body, char reason[REASON_SIZE])
{
	struct bye bye;
	int r;

	r = bye_read(body, &bye, reason);
	if (r < 0)
		return r;
	snprintf(agent->bye, sizeof(agent->bye), "%s",
		 *bye.reason ? bye.reason : "the core said goodbye");
	agent->phase = AGENT_ENDING;
	tls_stream_end(agent->stream);
	return -ECONNRESET; /* nothing counts after it */
}

static int on_message(void *arg, const struct message *message)
{
	struct wire_agent *agent = arg;

	agent->heard_ns = time_mono_ns();
	if (message->kind == MESSAGE_BYE)
		return on_bye(agent, message->body, agent->problem);
	if (agent->phase == AGENT_SHAKING) {
		if (message->kind == MESSAGE_WELCOME)
			return on_welcome(agent, message->body, agent->problem);
		snprintf(agent->problem, sizeof(agent->problem),
			 "the core said something before its welcome");
		return -EBADMSG;
	}
	switch (message->kind) {
	case MESSAGE_POLL:
		agent->events.poll(agent->events.arg);
		return 0;
	case MESSAGE_INTEREST:
		return on_interest(agent, message->body, agent->problem);
	default:
		return 0; /* a ping, or what only a newer version knows */
	}
}

static void on_data(void *arg, const void *data, size_t length)
{
	struct wire_agent *agent = arg;

	if (inbox_feed(&agent->inbox, data, length, on_message, agent, agent->problem) < 0 &&
	    agent->phase != AGENT_ENDING)
		part(agent, agent->problem);
}

static void on_closed(void *arg, const char *reason)
{
	lose(arg, reason);
}

/* ---- time ---- */

void agent_set_timer(struct wire_agent *agent)
{
	uint64_t speak_ns = agent->spoken_ns + agent->speak_within_ns;
	uint64_t silent_ns = agent->heard_ns + agent->silent_after_ns;

	if (agent->speak_within_ns && agent->silent_after_ns)
		loop_timer_at(agent->timer, MIN(speak_ns, silent_ns));
	else
		loop_timer_stop(agent->timer);
}

static void on_open_timer(struct wire_agent *agent, uint64_t now_ns)
{
	_cleanup_text_ struct text out = {0};

	if (now_ns - agent->heard_ns >= agent->silent_after_ns) {
		part(agent, "the core said nothing for too long");
		return;
	}
	if (now_ns - agent->spoken_ns >= agent->speak_within_ns) {
		message_end(&out, message_begin(&out, MESSAGE_PING));
		tls_stream_write(agent->stream, out.data, out.length);
		agent->spoken_ns = now_ns;
	}
	agent_set_timer(agent);
}

static void on_timer(void *arg, uint64_t now_ns)
{
	struct wire_agent *agent = arg;

	switch (agent->phase) {
	case AGENT_WAITING:
		connect_now(agent);
		break;
	case AGENT_SHAKING:
		part(agent, "the core did not say welcome in time");
		break;
	case AGENT_OPEN:
		on_open_timer(agent, now_ns);
		break;
	default:
		break;
	}
}

void agent_start(struct wire_agent *agent)
{
	agent->phase = AGENT_WAITING;
	loop_timer_at(agent->timer, 0);
}

int agent_timer_new(struct wire_agent *agent)
{
	return loop_timer_new(agent->loop, on_timer, agent, &agent->timer);
}
