/* SPDX-License-Identifier: Apache-2.0 */
/* Error bodies in all their forms: EC2's <Response><Errors><Error>, STS' and IAM's
 * <ErrorResponse><Error>, JSON's "__type"; a gateway's HTML leaves the status alone. */
#include "cloud/private.h"

#include <cjson/cJSON.h>

bool code_is_throttle(const char *code)
{
	static const char *const CODES[] = {
		"RequestLimitExceeded",
		"EC2ThrottledException",
		"Throttling",
		"ThrottlingException",
		"ThrottledException",
		"RequestThrottled",
		"RequestThrottledException",
		"SlowDown",
		"TooManyRequestsException",
		"BandwidthLimitExceeded",
		"PriorRequestNotComplete",
		"ProvisionedThroughputExceededException",
	};

	for (size_t i = 0; i < ARRAY_SIZE(CODES); i++)
		if (strcmp(code, CODES[i]) == 0)
			return true;
	return false;
}

bool code_is_expired(const char *code)
{
	return strcmp(code, "RequestExpired") == 0 || strcmp(code, "ExpiredToken") == 0 ||
	       strcmp(code, "ExpiredTokenException") == 0;
}

/* The first one of each, wherever it stands: also in a body that is cut behind it. */
static void on_element(void *arg, const char *path, const char *text)
{
	struct answer *answer = arg;
	const char *name = strrchr(path, '/');
	bool in_error = str_ends(path, "Error/Code") || str_ends(path, "Error/Message") ||
			strcmp(path, "Code") == 0 || strcmp(path, "Message") == 0;

	name = name ? name + 1 : path;
	if (in_error && strcmp(name, "Code") == 0 && !*answer->code)
		set_text(answer->code, text);
	else if (in_error && strcmp(name, "Message") == 0 && !*answer->message)
		set_text(answer->message, text);
	else if (strcmp(name, "RequestID") == 0 || strcmp(name, "RequestId") == 0 ||
		 strcmp(name, "requestId") == 0)
		set_text(answer->request_id, text);
}

static void read_json(const char *body, size_t length, struct answer *answer)
{
	cJSON *object = cJSON_ParseWithLength(body, length);
	const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "__type"));
	const char *message = cJSON_GetStringValue(cJSON_GetObjectItem(object, "message"));

	if (type)
		set_text(answer->code, strchr(type, '#') ? strchr(type, '#') + 1 : type);
	if (message)
		set_text(answer->message, message);
	cJSON_Delete(object);
}

/* What a message shows on a terminal and in a journal is plain text. */
void make_plain(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = ' ';
}

void error_read(const char *body, size_t length, struct answer *answer)
{
	char root[XML_NAME_SIZE];
	size_t blank = strspn(body, " \r\n\t");

	if (body[blank] == '{')
		read_json(body, length, answer);
	else
		xml_read(body, length, on_element, answer, root);
	make_plain(answer->code);
	make_plain(answer->message);
	make_plain(answer->request_id);
}

const char *answer_text(const struct answer *answer, char out[512])
{
	snprintf(out, 512, "%s%s%s%s%s%s", answer->code, *answer->message ? ": " : "",
		 answer->message, *answer->request_id ? " (request " : "", answer->request_id,
		 *answer->request_id ? ")" : "");
	return out;
}
