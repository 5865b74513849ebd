/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One signed call: waits for credentials, is sent, and is sent again with the same bytes when that
 * can help. Nothing queues behind anything: each call goes out at once, on a connection of its own
 * when the warm ones are in use.
 */
#include "cloud/private.h"

#include <sys/random.h>

#define TIMEOUT_MS 30000
#define ANSWER_BYTES_MAX ((size_t)32 << 20)
#define BACKOFF_BASE_NS (500 * NS_PER_MS)
#define BACKOFF_MOST_NS (20 * NS_PER_S)
#define LITTLE_TRIES 3

enum call_state { CALL_WAITS, CALL_SENT, CALL_PAUSED, CALL_FAILED };

struct call {
	struct cloud *cloud;
	struct call *next;
	enum service service;
	char *target, *body;
	unsigned flags;
	uint32_t timeout_ms;
	call_fn done;
	void (*drop)(void *arg);
	void *arg;
	enum call_state state;
	struct http_transfer *transfer;
	struct loop_timer *timer;
	uint32_t tries;
	bool renewed;
};

static void call_go(struct call *call);

uint64_t backoff_ns(uint32_t tries, uint64_t base_ns, uint64_t most_ns)
{
	uint64_t most = MIN(base_ns << MIN(tries, 16U), most_ns), random = 0;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		random = time_mono_ns() * 0x9e3779b97f4a7c15ULL;
	return (uint64_t)((double)(random >> 11) * 0x1p-53 * (double)most);
}

static void call_free(struct call *call)
{
	struct call **link = &call->cloud->calls;

	while (*link && *link != call)
		link = &(*link)->next;
	if (*link)
		*link = call->next;
	if (call->transfer)
		http_cancel(call->transfer);
	loop_timer_free(call->timer);
	free(call->target);
	free(call->body);
	free(call);
}

void calls_free(struct cloud *cloud)
{
	while (cloud->calls) {
		struct call *call = cloud->calls;

		if (call->drop)
			call->drop(call->arg);
		call_free(call);
	}
}

static void call_end(struct call *call, const struct answer *answer)
{
	call_fn done = call->done;
	void *arg = call->arg;

	/* The answer's body is the transfer's, which outlives this. */
	call->transfer = NULL;
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

	if (identity_ready(call->cloud)) {
		answer.error = -EINVAL;
		set_text(answer.code, "BadEndpoint");
		snprintf(answer.message, sizeof(answer.message),
			 "the endpoint of %s is no URL: look at AWS_ENDPOINT_URL_%s and "
			 "AWS_ENDPOINT_URL",
			 service_name(call->service), service_name(call->service));
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
		else if (!(call->flags & CALL_RETRY))
			call_fail(call);
	}
	cloud_started(cloud);
}

/* ---- answers ---- */

static bool is_transient(const struct answer *answer)
{
	return answer->throttled || answer->status == 0 || answer->status >= 500 ||
	       answer->status == 408 || answer->status == 429;
}

static bool is_denial(const struct answer *answer)
{
	return strcmp(answer->code, "UnauthorizedOperation") == 0 ||
	       str_starts(answer->code, "AccessDenied") || strcmp(answer->code, "AuthFailure") == 0;
}

static bool body_makes_sense(const struct call *call, const struct http_response *response)
{
	char root[XML_NAME_SIZE];

	if (call->flags & CALL_XML)
		return xml_read(response->body, response->body_length, NULL, NULL, root) == 0;
	if (call->flags & CALL_JSON)
		return response->body[strspn(response->body, " \r\n\t")] == '{';
	return true;
}

static void json_code(const struct http_response *response, struct answer *answer)
{
	const char *type = http_response_header(response, "x-amzn-errortype");

	if (!*answer->code && type)
		snprintf(answer->code, sizeof(answer->code), "%.*s", (int)strcspn(type, ":"), type);
}

static void answer_fill(const struct call *call, const struct http_response *response,
			struct answer *answer)
{
	const char *id = http_response_header(response, "x-amzn-requestid");

	*answer = (struct answer){
		.status = response->status,
		.body = response->body,
		.length = response->body_length,
		.started_ns = response->started_ns,
		.sent_ns = response->sent_ns,
		.done_ns = response->done_ns,
	};
	if (id)
		set_text(answer->request_id, id);
	if (response->error) {
		answer->status = 0;
		answer->error = -EAGAIN;
		set_text(answer->code, "NoAnswer");
		set_text(answer->message, response->error_text);
		return;
	}
	if (response->status >= 200 && response->status < 300) {
		if (body_makes_sense(call, response))
			return;
		answer->status = 0;
		answer->error = -EAGAIN;
		set_text(answer->code, "Garbage");
		snprintf(answer->message, sizeof(answer->message),
			 "%s answered HTTP %d with a body that makes no sense",
			 service_name(call->service), response->status);
		return;
	}
	error_read(response->body, response->body_length, answer);
	json_code(response, answer);
	if (!*answer->code)
		snprintf(answer->code, sizeof(answer->code), "HTTP %d", response->status);
	answer->throttled = code_is_throttle(answer->code) || response->status == 429;
	answer->error = is_transient(answer) ? -EAGAIN : is_denial(answer) ? -EACCES : -EINVAL;
}

static bool tries_again(const struct call *call, const struct answer *answer)
{
	return is_transient(answer) &&
	       ((call->flags & CALL_RETRY) ||
		((call->flags & CALL_RETRY_LITTLE) && call->tries < LITTLE_TRIES));
}

/* Full jitter, and not before the server said. */
static void pause_call(struct call *call, const struct http_response *response,
		       const struct answer *answer)
{
	const char *after = http_response_header(response, "x-amz-retry-after");
	uint64_t wait_ns = backoff_ns(call->tries - 1, BACKOFF_BASE_NS, BACKOFF_MOST_NS);
	uint64_t after_ms = 0;
	char words[512];

	if (after && parse_u64(after, &after_ms) == 0)
		wait_ns = MAX(wait_ns, MIN(after_ms, 300000) * NS_PER_MS);
	log_write(call->tries == 3 ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG,
		  "AWS: %s %s; tried again in %.1f s", service_name(call->service),
		  answer_text(answer, words), (double)wait_ns / NS_PER_S);
	call->state = CALL_PAUSED;
	loop_timer_at(call->timer, time_mono_ns() + wait_ns);
}

static void on_answer(void *arg, const struct http_response *response)
{
	struct call *call = arg;
	struct cloud *cloud = call->cloud;
	struct answer answer;

	call->transfer = NULL;
	answer_fill(call, response, &answer);
	cloud->errors += answer.error && strcmp(answer.code, "DryRunOperation") != 0;
	cloud->throttled += answer.throttled;
	if (code_is_expired(answer.code) && !call->renewed) {
		call->renewed = true;
		call->state = CALL_WAITS;
		log_info("AWS: the credentials are refused as expired (%s): fetching new ones",
			 answer.code);
		identity_expired(cloud);
	} else if (tries_again(call, &answer)) {
		pause_call(call, response, &answer);
	} else {
		call_end(call, &answer);
	}
}

/* ---- sending ---- */

static int call_transmit(struct call *call)
{
	struct identity *identity = &call->cloud->identity;
	_cleanup_free_ char *url = NULL, *target = NULL;
	const char *headers[3] = {"Content-Type: application/x-www-form-urlencoded; charset=utf-8",
				  NULL, NULL};
	struct http_sigv4 sign = {
		.region = signing_region(call->service, identity->region),
		.service = signing_name(call->service),
		.access_key = identity->now.access_key,
		.secret_key = identity->now.secret_key,
		.session_token = identity->now.session_token,
	};

	url = endpoint_url(&identity->settings, call->service, identity->region);
	if (call->target) {
		headers[0] = "Content-Type: application/x-amz-json-1.1";
		headers[1] = target = str_printf("X-Amz-Target: %s", call->target);
	}
	return http_send(call->cloud->http,
			 &(struct http_request){
				 .method = "POST",
				 .url = url,
				 .headers = headers,
				 .body = call->body,
				 .body_length = strlen(call->body),
				 .sign = &sign,
				 .timeout_ms = call->timeout_ms,
				 .body_limit = ANSWER_BYTES_MAX,
			 },
			 on_answer, call, &call->transfer);
}

static void call_go(struct call *call)
{
	struct cloud *cloud = call->cloud;

	if (!identity_ready(cloud)) {
		call->state = CALL_WAITS;
		if (cloud->identity.asked && !cloud->identity.fetching &&
		    !(call->flags & CALL_RETRY) && cloud->identity.failures)
			call_fail(call);
		else
			identity_fetch(cloud);
		return;
	}
	call->state = CALL_SENT;
	call->tries++;
	cloud->calls_made++;
	if (call_transmit(call) < 0)
		call_fail(call);
}

void call_send(struct cloud *cloud, const struct call_request *request)
{
	struct call *call = calloc(1, sizeof(*call));

	if (!call)
		abort();
	*call = (struct call){
		.cloud = cloud,
		.next = cloud->calls,
		.service = request->service,
		.target = request->target ? strdup(request->target) : NULL,
		.body = strdup(request->body),
		.flags = request->flags,
		.timeout_ms = request->timeout_ms ? request->timeout_ms : TIMEOUT_MS,
		.done = request->done,
		.drop = request->drop,
		.arg = request->arg,
	};
	if (!call->body || loop_timer_new(cloud->loop, on_timer, call, &call->timer) < 0)
		abort();
	cloud->calls = call;
	call_go(call);
}
