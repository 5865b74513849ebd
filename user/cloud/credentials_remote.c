/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials from a container's endpoint (ECS, EKS Pod Identity) and from STS for a web
 * identity. */
#include "cloud/private.h"

#include <cjson/cJSON.h>
#include <curl/curl.h>

#define TOKEN_BYTES_MAX ((size_t)64 << 10)
#define ANSWER_BYTES_MAX ((size_t)256 << 10)
#define CONTAINER_TIMEOUT_MS 2000
#define STS_TIMEOUT_MS 10000

/* ---- answers ---- */

static char *json_copy(const cJSON *object, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
	const char *text = cJSON_GetStringValue(item);

	if (!text || !*text)
		return NULL;
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c <= ' ' || *c == 0x7f)
			return NULL;
	return strdup(text);
}

static int fields_from_json(const cJSON *object, struct credentials *out, char *problem)
{
	const char *code = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "Code"));
	const char *until =
		cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "Expiration"));

	if (code && strcmp(code, "Success") != 0) {
		snprintf(problem, CLOUD_TEXT_SIZE, "it answered Code %.60s", code);
		return -EBADMSG;
	}
	out->access_key = json_copy(object, "AccessKeyId");
	out->secret_key = json_copy(object, "SecretAccessKey");
	out->session_token = json_copy(object, "Token");
	if (!out->access_key || !out->secret_key) {
		snprintf(problem, CLOUD_TEXT_SIZE,
			 "its answer has no AccessKeyId and SecretAccessKey");
		return -EBADMSG;
	}
	if (until && time_parse(until, &out->expires_wall_ns) < 0) {
		snprintf(problem, CLOUD_TEXT_SIZE, "its answer's Expiration is no time");
		return -EBADMSG;
	}
	return 0;
}

int credentials_parse_json(const char *body, size_t length, struct credentials *out,
			   char problem[CLOUD_TEXT_SIZE])
{
	cJSON *object = cJSON_ParseWithLength(body, length);
	int r = -EBADMSG;

	*out = (struct credentials){0};
	if (!cJSON_IsObject(object))
		snprintf(problem, CLOUD_TEXT_SIZE, "its answer is no JSON object");
	else
		r = fields_from_json(object, out, problem);
	cJSON_Delete(object);
	if (r < 0)
		credentials_free(out);
	return r;
}

static void take_once(char **out, const char *text)
{
	if (!*out && *text)
		*out = strdup(text);
}

static void on_sts_element(void *arg, const char *path, const char *text)
{
	static const char prefix[] = "AssumeRoleWithWebIdentityResult/Credentials/";
	struct credentials *out = arg;

	if (!str_starts(path, prefix))
		return;
	path += sizeof(prefix) - 1;
	if (strcmp(path, "AccessKeyId") == 0)
		take_once(&out->access_key, text);
	else if (strcmp(path, "SecretAccessKey") == 0)
		take_once(&out->secret_key, text);
	else if (strcmp(path, "SessionToken") == 0)
		take_once(&out->session_token, text);
	else if (strcmp(path, "Expiration") == 0)
		time_parse(text, &out->expires_wall_ns);
}

int credentials_parse_sts(const char *body, size_t length, struct credentials *out)
{
	char root[XML_NAME_SIZE];
	int r;

	*out = (struct credentials){0};
	r = xml_read(body, length, on_sts_element, out, root);
	if (r < 0 || !out->access_key || !out->secret_key || !out->session_token ||
	    !out->expires_wall_ns || strpbrk(out->session_token, "\r\n")) {
		credentials_free(out);
		return -EBADMSG;
	}
	return 0;
}

/* ---- container ---- */

static void url_free(CURLU **url)
{
	curl_url_cleanup(*url);
}

bool container_host_allowed(const char *url)
{
	static const char *const HOSTS[] = {"169.254.170.2", "169.254.170.23", "[fd00:ec2::23]",
					    "[::1]", "localhost"};
	_cleanup_(url_free)
	CURLU *parsed = curl_url();
	char *scheme = NULL, *host = NULL;
	bool allowed = false;

	if (parsed && !curl_url_set(parsed, CURLUPART_URL, url, 0) &&
	    !curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) &&
	    !curl_url_get(parsed, CURLUPART_HOST, &host, 0)) {
		unsigned a, b, c, d;
		int end = 0;

		allowed = str_equal(scheme, "https");
		for (size_t i = 0; i < ARRAY_SIZE(HOSTS) && str_equal(scheme, "http"); i++)
			allowed |= strcmp(host, HOSTS[i]) == 0;
		if (str_equal(scheme, "http") &&
		    sscanf(host, "%u.%u.%u.%u%n", &a, &b, &c, &d, &end) == 4 && !host[end])
			allowed |= a == 127 && b < 256 && c < 256 && d < 256;
	}
	curl_free(scheme);
	curl_free(host);
	return allowed;
}

static void on_container(void *arg, const struct http_response *response)
{
	struct cloud *cloud = arg;
	struct credentials found = {0};
	char problem[CLOUD_TEXT_SIZE];

	cloud->identity.transfer = NULL;
	if (response->error)
		identity_failed(cloud, "the container's credentials endpoint: %s",
				response->error_text);
	else if (response->status != 200)
		identity_failed(cloud,
				"the container's credentials endpoint answered HTTP %d: %.80s",
				response->status, response->body);
	else if (credentials_parse_json(response->body, response->body_length, &found, problem) < 0)
		identity_failed(cloud, "the container's credentials endpoint: %s", problem);
	else
		identity_took(cloud, &found, "container");
}

/* The token that the endpoint wants; the file wins and is read anew each time. */
static int container_token(struct cloud *cloud, char **header)
{
	const char *file = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	const char *given = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN");
	_cleanup_free_ char *text = NULL;
	int r;

	if (file) {
		r = file_read(file, TOKEN_BYTES_MAX, &text, NULL);
		if (r < 0) {
			identity_failed(cloud,
					"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: cannot "
					"read %s: %s",
					file, strerror(-r));
			return r;
		}
		given = text;
	}
	if (given && strpbrk(given, "\r\n")) {
		identity_failed(cloud, "%s has a line break in the token",
				file ? file : "AWS_CONTAINER_AUTHORIZATION_TOKEN");
		return -EINVAL;
	}
	if (given)
		*header = str_printf("Authorization: %s", given);
	return 0;
}

void credentials_from_container(struct cloud *cloud, const char *relative, const char *full)
{
	_cleanup_free_ char *url = NULL, *token = NULL;
	const char *headers[3] = {"Accept: application/json", NULL, NULL};
	int r;

	url = relative ? str_printf("http://169.254.170.2%s", relative) : strdup(full);
	if (!container_host_allowed(url)) {
		identity_failed(cloud,
				"AWS_CONTAINER_CREDENTIALS_FULL_URI: found %s, expected https, or "
				"http to loopback, 169.254.170.2, 169.254.170.23 or fd00:ec2::23",
				url);
		return;
	}
	if (container_token(cloud, &token) < 0)
		return;
	headers[1] = token;
	r = http_send(cloud->http,
		      &(struct http_request){
			      .method = "GET",
			      .url = url,
			      .headers = headers,
			      .connect_timeout_ms = CONTAINER_TIMEOUT_MS,
			      .timeout_ms = CONTAINER_TIMEOUT_MS,
			      .body_limit = ANSWER_BYTES_MAX,
			      .no_proxy = str_starts(url, "http:"),
		      },
		      on_container, cloud, &cloud->identity.transfer);
	if (r < 0)
		identity_failed(cloud, "the container's credentials endpoint %s: %s", url,
				strerror(-r));
}

/* ---- web identity ---- */

static void on_sts(void *arg, const struct http_response *response)
{
	struct cloud *cloud = arg;
	struct credentials found = {0};
	struct answer answer = {0};

	cloud->identity.transfer = NULL;
	if (response->error) {
		identity_failed(cloud, "STS: %s", response->error_text);
	} else if (response->status != 200) {
		error_read(response->body, response->body_length, &answer);
		identity_failed(cloud, "STS refused role %s (HTTP %d): %s: %.100s",
				cloud->identity.role_arn, response->status, answer.code,
				answer.message);
	} else if (credentials_parse_sts(response->body, response->body_length, &found) < 0) {
		identity_failed(cloud, "STS answered something that holds no credentials");
	} else {
		identity_took(cloud, &found, "web identity");
	}
}

static int sts_body(struct cloud *cloud, struct text *body)
{
	struct identity *identity = &cloud->identity;
	_cleanup_free_ char *token = NULL;
	size_t length;
	int r;

	if (!identity->role_arn) {
		identity_failed(cloud, "AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is "
				       "not: set both or none");
		return -EINVAL;
	}
	r = file_read(identity->token_file, TOKEN_BYTES_MAX, &token, &length);
	if (r < 0) {
		identity_failed(cloud, "cannot read the web identity token %s: %s",
				identity->token_file, strerror(-r));
		return r;
	}
	while (length && strchr("\r\n \t", token[length - 1]))
		token[--length] = '\0';
	text_add(body, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15");
	form_add(body, identity->role_arn, "RoleArn");
	form_add(body, identity->role_session, "RoleSessionName");
	form_add(body, token, "WebIdentityToken");
	return 0;
}

void credentials_from_web_identity(struct cloud *cloud)
{
	static const char *const HEADERS[] = {
		"Content-Type: application/x-www-form-urlencoded; charset=utf-8", NULL};
	_cleanup_text_ struct text body = {0};
	_cleanup_free_ char *url = NULL;
	int r;

	if (sts_body(cloud, &body) < 0)
		return;
	url = endpoint_url(&cloud->identity.settings, SERVICE_STS, cloud->identity.region);
	r = http_send(cloud->http,
		      &(struct http_request){
			      .method = "POST",
			      .url = url,
			      .headers = HEADERS,
			      .body = body.data,
			      .body_length = body.length,
			      .timeout_ms = STS_TIMEOUT_MS,
			      .body_limit = ANSWER_BYTES_MAX,
		      },
		      on_sts, cloud, &cloud->identity.transfer);
	if (r < 0)
		identity_failed(cloud, "STS at %s: %s", url, strerror(-r));
}
