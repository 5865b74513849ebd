/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One signed call: waits for credentials and for EC2's own rate, is sent, and is sent again with
 * the same bytes when that can help. Nothing queues behind another call: each goes out on a
 * connection of its own when the warm ones are in use, and waits for the rate of its own action
 * alone.
 */
#include "cloud/private.h"

#include <sys/random.h>

#define TIMEOUT_MS 30000
#define ANSWER_BYTES_MAX ((size_t)32 << 20)
#define BACKOFF_BASE_NS (500 * NS_PER_MS)
#define BACKOFF_MOST_NS (20 * NS_PER_S)
#define LITTLE_TRIES 3

/*
 * A peer whose host or path is gone acknowledges nothing; one that is only slow has acknowledged
 * the request within a round trip, and after a pause Linux does so at once (tcp_input.c,
 * tcp_event_data_recv). The allowance is for a peer that delays it: 40 ms (TCP_DELACK_MIN).
 */
#define DEAD_AFTER_NS (50 * NS_PER_MS)
#define DEAD_AFTER_ROUND_TRIPS 4

enum call_state { CALL_WAITS, CALL_SENT, CALL_PAUSED, CALL_FAILED };

struct call {
	struct cloud *cloud;
	struct call *next;
	struct call_request request; /* target and body are the call's own */
	enum call_state state;
	struct http_transfer *transfer;
	struct http_transfer *second; /* the same bytes, where the first connection is dead */
	struct loop_timer *timer;
	struct loop_timer *watch_timer; /* of CALL_TWICE */
	uint64_t transmitted_ns;
	uint64_t acknowledged_bytes, acknowledged_ns; /* by the peer's TCP; when it last did */
	uint32_t tries;
	bool paid; /* for this try, at its bucket */
	bool renewed;
	bool written; /* the last byte of some try */
	bool forbidden;
};

static void call_go(struct call *call);

uint64_t random_u64(void)
{
	uint64_t random = 0;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		random = time_mono_ns() * 0x9e3779b97f4a7c15ULL;
	return random;
}

uint64_t backoff_ns(uint32_t tries, uint64_t base_ns, uint64_t most_ns)
{
	uint64_t most = MIN(base_ns << MIN(tries, 16U), most_ns);

	return (uint64_t)((double)(random_u64() >> 11) * 0x1p-53 * (double)most);
}

static void cancel_transfers(struct call *call)
{
	if (call->transfer)
		http_cancel(TAKE(call->transfer));
	if (call->second)
		http_cancel(TAKE(call->second));
	if (call->watch_timer)
		loop_timer_stop(call->watch_timer);
}

static void call_free(struct call *call)
{
	struct call **link = &call->cloud->calls;

	while (*link && *link != call)
		link = &(*link)->next;
	if (*link)
		*link = call->next;
	cancel_transfers(call);
	loop_timer_free(call->timer);
	if (call->watch_timer)
		loop_timer_free(call->watch_timer);
	free((char *)call->request.target);
	free((char *)call->request.body);
	free(call);
}

void calls_free(struct cloud *cloud)
{
	while (cloud->calls) {
		struct call *call = cloud->calls;

		if (call->request.drop)
			call->request.drop(call->request.arg);
		call_free(call);
	}
}

void calls_forget(struct cloud *cloud, const void *arg)
{
	for (struct call *call = cloud->calls, *next; call; call = next) {
		next = call->next;
		if (call->request.arg == arg)
			call_free(call);
	}
}

static void call_end(struct call *call, const struct answer *answer)
{
	call_fn done = call->request.done;
	void *arg = call->request.arg;

	/* The answer's body is that of a transfer which outlives this. */
	call_free(call);
	done(arg, answer);
}

/* From the loop, never from inside call_send(). */
static void call_fail(struct call *call)
{
	call->state = CALL_FAILED;
	loop_timer_at(call->timer, 0);
}

static void call_report_failure(struct call *call)
{
	struct answer answer = {.error = -ENOKEY, .body = ""};

	if (call->forbidden) {
		answer_not_allowed(call->written, &answer);
	} else if (identity_ready(call->cloud)) {
		answer.error = -EINVAL;
		set_text(answer.code, "BadEndpoint");
		snprintf(answer.message, sizeof(answer.message),
			 "the endpoint of %s is no URL: look at AWS_ENDPOINT_URL_%s and "
			 "AWS_ENDPOINT_URL",
			 service_name(call->request.service),
			 service_variable(call->request.service));
	} else {
		set_text(answer.code, "NoCredentials");
		set_text(answer.message, call->cloud->identity.problem);
	}
	answer.done_ns = time_mono_ns();
	call->cloud->errors++;
	call_end(call, &answer);
}

static void on_timer(void *arg, uint64_t now_ns)
{
	struct call *call = arg;

	(void)now_ns;
	if (call->state == CALL_FAILED)
		call_report_failure(call);
	else
		call_go(call);
}

void calls_identity_changed(struct cloud *cloud)
{
	bool ready = identity_ready(cloud);

	for (struct call *call = cloud->calls, *next; call; call = next) {
		next = call->next;
		if (call->state != CALL_WAITS)
			continue;
		if (ready)
			call_go(call);
		else if (!(call->request.flags & CALL_RETRY))
			call_fail(call);
	}
	cloud_started(cloud);
}

/* ---- answers ---- */

static bool tries_again(const struct call *call, const struct answer *answer)
{
	return answer_is_transient(answer) && answer->error == -EAGAIN &&
	       ((call->request.flags & CALL_RETRY) ||
		((call->request.flags & CALL_RETRY_LITTLE) && call->tries < LITTLE_TRIES));
}

/* Full jitter, and not before the server said. */
static void pause_call(struct call *call, uint64_t after_ns, const struct answer *answer)
{
	uint64_t wait_ns = backoff_ns(call->tries - 1, BACKOFF_BASE_NS, BACKOFF_MOST_NS);
	char words[512];

	wait_ns = MAX(wait_ns, after_ns);
	log_write(call->tries == 3 ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG,
		  "AWS: %s %s; tried again in %.1f s", service_name(call->request.service),
		  answer_text(answer, words), (double)wait_ns / NS_PER_S);
	call->state = CALL_PAUSED;
	loop_timer_at(call->timer, time_mono_ns() + wait_ns);
}

/* True while the other of two transfers may still bring the answer. */
static bool take_transfer(struct call *call, const struct http_response *response)
{
	if (response->transfer == call->second)
		call->second = NULL;
	else
		call->transfer = NULL;
	call->written |= response->request_sent;
	return response->error && (call->transfer || call->second);
}

static void on_answer(void *arg, const struct http_response *response)
{
	struct call *call = arg;
	struct cloud *cloud = call->cloud;
	struct answer answer;
	uint64_t after_ns;

	if (take_transfer(call, response))
		return;
	cancel_transfers(call);
	answer_fill(cloud, &call->request, call->written, response, &answer);
	answer.started_ns = call->transmitted_ns;
	after_ns = answer_retry_after_ns(response);
	if (answer.throttled)
		bucket_throttled(cloud, &call->request, after_ns);
	cloud->errors += answer.error && strcmp(answer.code, "DryRunOperation") != 0;
	cloud->throttled += answer.throttled;
	if (code_is_expired(answer.code) && !call->renewed && !clock_is_wrong(cloud)) {
		call->renewed = true;
		call->state = CALL_WAITS;
		log_info("AWS: the credentials are refused as expired (%s): fetching new ones",
			 answer.code);
		identity_expired(cloud);
	} else if (tries_again(call, &answer)) {
		pause_call(call, after_ns, &answer);
	} else {
		call_end(call, &answer);
	}
}

/* ---- sending ---- */

static bool may_write(void *arg)
{
	const struct cloud_events *events = &((struct call *)arg)->cloud->events;

	return !events->may_act || events->may_act(events->arg);
}

static int transmit(struct call *call, bool fresh, struct http_transfer **out)
{
	const struct call_request *request = &call->request;
	struct identity *identity = &call->cloud->identity;
	_cleanup_free_ char *url = NULL, *target = NULL, *type = NULL;
	const char *headers[3] = {"Content-Type: application/x-www-form-urlencoded; charset=utf-8",
				  NULL, NULL};
	struct http_sigv4 sign = {
		.region = signing_region(request->service, identity->region),
		.service = signing_name(request->service),
		.access_key = identity->now.access_key,
		.secret_key = identity->now.secret_key,
		.session_token = identity->now.session_token,
	};

	url = endpoint_url(&identity->settings, request->service, identity->region);
	if (request->target) {
		headers[0] = type = str_printf("Content-Type: application/x-amz-json-%s",
					       json_version(request->service));
		headers[1] = target = str_printf("X-Amz-Target: %s", request->target);
	}
	return http_send(request->flags & CALL_APART ? call->cloud->acting : call->cloud->http,
			 &(struct http_request){
				 .method = "POST",
				 .url = url,
				 .headers = headers,
				 .body = request->body,
				 .body_length = strlen(request->body),
				 .sign = &sign,
				 .timeout_ms = request->timeout_ms,
				 .body_limit = ANSWER_BYTES_MAX,
				 .fresh_connection = fresh,
				 .may_write = request->flags & CALL_ACTS ? may_write : NULL,
				 .may_write_arg = call,
			 },
			 on_answer, call, out);
}

static void hedge(struct call *call, uint64_t silent_ns)
{
	log_warning("AWS: the connection to %s is dead: nothing acknowledged for %.0f ms; the same "
		    "bytes go out on another",
		    service_name(call->request.service), (double)silent_ns / NS_PER_MS);
	call->cloud->hedged++;
	fleet_warm_now(call->cloud); /* the other kept ones may be dead too */
	if (transmit(call, true, &call->second) < 0)
		call->second = NULL;
}

/* Looks whether the peer's TCP has what was written; when it has, the answer is waited for. */
static void on_watch(void *arg, uint64_t now_ns)
{
	struct call *call = arg;
	struct http_flight flight = {0};
	bool connected;

	if (!call->transfer || call->second)
		return;
	connected = http_flight(call->transfer, &flight) == 0;
	if (connected && !flight.unacknowledged)
		return;
	if (!connected || flight.acknowledged_bytes != call->acknowledged_bytes) {
		call->acknowledged_bytes = flight.acknowledged_bytes;
		call->acknowledged_ns = now_ns;
	} else if (now_ns - call->acknowledged_ns >=
		   DEAD_AFTER_NS + DEAD_AFTER_ROUND_TRIPS * flight.round_trip_ns) {
		hedge(call, now_ns - call->acknowledged_ns);
		return;
	}
	loop_timer_at(call->watch_timer, now_ns + DEAD_AFTER_NS / 2);
}

static void watch(struct call *call)
{
	struct http_flight flight = {0};

	if (!(call->request.flags & CALL_TWICE))
		return;
	if (!call->watch_timer &&
	    loop_timer_new(call->cloud->loop, on_watch, call, &call->watch_timer) < 0)
		abort();
	if (call->transfer && http_flight(call->transfer, &flight) == 0)
		call->acknowledged_bytes = flight.acknowledged_bytes;
	call->acknowledged_ns = call->transmitted_ns;
	loop_timer_at(call->watch_timer, call->transmitted_ns + DEAD_AFTER_NS);
}

static void wait_for_identity(struct call *call)
{
	struct cloud *cloud = call->cloud;

	call->state = CALL_WAITS;
	if (cloud->identity.asked && !cloud->identity.fetching &&
	    !(call->request.flags & CALL_RETRY) && cloud->identity.failures)
		call_fail(call);
	else
		identity_fetch(cloud);
}

/* True when the call has to wait for the rate of its action. */
static bool wait_for_bucket(struct call *call)
{
	uint64_t wait_ns = call->paid ? 0 : bucket_take(call->cloud, &call->request);

	call->paid = true;
	if (!wait_ns)
		return false;
	call->state = CALL_PAUSED;
	loop_timer_at(call->timer, time_mono_ns() + wait_ns);
	return true;
}

static void call_go(struct call *call)
{
	if (!identity_ready(call->cloud)) {
		wait_for_identity(call);
		return;
	}
	if (wait_for_bucket(call))
		return;
	if ((call->request.flags & CALL_ACTS) && !may_write(call)) {
		call->forbidden = true;
		call_fail(call);
		return;
	}
	call->paid = false;
	call->state = CALL_SENT;
	call->tries++;
	call->cloud->calls_made++;
	call->transmitted_ns = time_mono_ns();
	if (transmit(call, call->request.flags & CALL_FRESH, &call->transfer) < 0)
		call_fail(call);
	else
		watch(call);
}

void call_send(struct cloud *cloud, const struct call_request *request)
{
	struct call *call = calloc(1, sizeof(*call));

	if (!call)
		abort();
	*call = (struct call){.cloud = cloud, .next = cloud->calls, .request = *request};
	call->request.target = request->target ? strdup(request->target) : NULL;
	call->request.body = strdup(request->body);
	if (!request->timeout_ms)
		call->request.timeout_ms = TIMEOUT_MS;
	if (!call->request.body || loop_timer_new(cloud->loop, on_timer, call, &call->timer) < 0)
		abort();
	cloud->calls = call;
	call_go(call);
}
