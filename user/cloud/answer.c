/* SPDX-License-Identifier: Apache-2.0 */
/* What came back for a call: no answer, garbage, an error in one of AWS' forms, or what was asked
 * for. */
#include "cloud/private.h"

#include <time.h>

#define RETRY_AFTER_MOST_MS 300000
#define CLOCK_OFFSET_MOST_S 120

bool answer_is_transient(const struct answer *answer)
{
	return answer->throttled || answer->status == 0 || answer->status >= 500 ||
	       answer->status == 408 || answer->status == 429;
}

static bool is_denial(const struct answer *answer)
{
	return strcmp(answer->code, "UnauthorizedOperation") == 0 ||
	       str_starts(answer->code, "AccessDenied") || strcmp(answer->code, "AuthFailure") == 0;
}

static bool body_makes_sense(unsigned flags, const struct http_response *response)
{
	char root[XML_NAME_SIZE];

	if (flags & CALL_XML)
		return xml_read(response->body, response->body_length, NULL, NULL, root) == 0;
	if (flags & CALL_JSON)
		return response->body[strspn(response->body, " \r\n\t")] == '{';
	return true;
}

static void json_code(const struct http_response *response, struct answer *answer)
{
	const char *type = http_response_header(response, "x-amzn-errortype");

	if (!*answer->code && type)
		snprintf(answer->code, sizeof(answer->code), "%.*s", (int)strcspn(type, ":"), type);
}

static void no_answer(const char *code, const char *text, struct answer *answer)
{
	answer->status = 0;
	answer->error = -EAGAIN;
	set_text(answer->code, code);
	set_text(answer->message, text);
}

void answer_not_allowed(bool written, struct answer *answer)
{
	no_answer("NotLeader", "this process does not lead, or is paused", answer);
	if (!written)
		answer->error = -EINVAL;
}

static void take_error(const struct http_response *response, struct answer *answer)
{
	error_read(response->body, response->body_length, answer);
	json_code(response, answer);
	if (!*answer->code)
		snprintf(answer->code, sizeof(answer->code), "HTTP %d", response->status);
	answer->throttled = code_is_throttle(answer->code) || response->status == 429;
	answer->error = answer_is_transient(answer) ? -EAGAIN
			: is_denial(answer)	    ? -EACCES
						    : -EINVAL;
}

uint64_t answer_retry_after_ns(const struct http_response *response)
{
	const char *after = http_response_header(response, "x-amz-retry-after");
	uint64_t after_ms = 0;

	if (!after || parse_u64(after, &after_ms) < 0)
		return 0;
	return MIN(after_ms, RETRY_AFTER_MOST_MS) * NS_PER_MS;
}

/* ---- the clock ---- */

/* "Tue, 24 Nov 2026 06:08:00 GMT" (RFC 9110, section 5.6.7). */
static bool parse_date(const char *date, uint64_t *wall_ns)
{
	static const char MONTHS[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm tm = {0};
	char month[4] = "";
	const char *found;
	time_t seconds;

	if (sscanf(date, "%*3s, %2d %3s %4d %2d:%2d:%2d GMT", &tm.tm_mday, month, &tm.tm_year,
		   &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6)
		return false;
	found = strstr(MONTHS, month);
	if (!found || strlen(month) != 3 || (found - MONTHS) % 3)
		return false;
	tm.tm_mon = (int)(found - MONTHS) / 3;
	tm.tm_year -= 1900;
	seconds = timegm(&tm);
	*wall_ns = (uint64_t)seconds * NS_PER_S;
	return seconds > 0;
}

bool clock_is_wrong(const struct cloud *cloud)
{
	return fabs(cloud->clock_offset_s) >= CLOCK_OFFSET_MOST_S;
}

/* AWS takes no signature that is minutes off, and libcurl signs with the time of this host. */
static void look_at_clock(struct cloud *cloud, const struct http_response *response)
{
	const char *date = http_response_header(response, "date");
	bool was_wrong = clock_is_wrong(cloud);
	uint64_t theirs_ns;

	if (response->error || !date || !parse_date(date, &theirs_ns))
		return;
	cloud->clock_offset_s = (double)theirs_ns / NS_PER_S - (double)time_wall_ns() / NS_PER_S;
	if (clock_is_wrong(cloud) && !was_wrong)
		log_error("the clock of this host is %.0f s %s that of AWS, which refuses what is "
			  "signed more than 5 minutes off: set it (timedatectl status, chronyc "
			  "makestep)",
			  fabs(cloud->clock_offset_s),
			  cloud->clock_offset_s > 0 ? "behind" : "ahead of");
}

static bool may_be_the_clock(const char *code)
{
	static const char *const CODES[] = {
		"AuthFailure",		 "RequestExpired",   "RequestTimeTooSkewed",
		"SignatureDoesNotMatch", "InvalidSignature", "InvalidSignatureException",
		"IncompleteSignature",
	};

	for (size_t i = 0; i < ARRAY_SIZE(CODES); i++)
		if (strcmp(code, CODES[i]) == 0)
			return true;
	return false;
}

static void name_the_clock(const struct cloud *cloud, struct answer *answer)
{
	char message[sizeof(answer->message)];

	if (!clock_is_wrong(cloud) || !may_be_the_clock(answer->code))
		return;
	snprintf(message, sizeof(message),
		 "the clock of this host is %.0f s %s that of AWS: %.160s",
		 fabs(cloud->clock_offset_s), cloud->clock_offset_s > 0 ? "behind" : "ahead of",
		 answer->message);
	set_text(answer->message, message);
}

void answer_fill(struct cloud *cloud, const struct call_request *request, bool written,
		 const struct http_response *response, struct answer *answer)
{
	const char *id = http_response_header(response, "x-amzn-requestid");
	char text[CLOUD_TEXT_SIZE];

	look_at_clock(cloud, response);
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
	if (response->error == -ECANCELED) {
		answer_not_allowed(written, answer);
	} else if (response->error) {
		no_answer("NoAnswer", response->error_text, answer);
	} else if (response->status < 200 || response->status >= 300) {
		take_error(response, answer);
		name_the_clock(cloud, answer);
	} else if (!body_makes_sense(request->flags, response)) {
		snprintf(text, sizeof(text), "%s answered HTTP %d with a body that makes no sense",
			 service_name(request->service), response->status);
		no_answer("Garbage", text, answer);
	}
}
