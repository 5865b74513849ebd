/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The instance metadata service, version 2 only: a session token by PUT, then GETs with it. A
 * reply to the PUT may not pass the hop limit, so silence is an answer too: short timeouts.
 */
#include "cloud/private.h"

#include <strings.h>

#define TOKEN_SECONDS 21600
#define TIMEOUT_MS 1000
#define TRIES 2
#define BODY_BYTES_MAX ((size_t)64 << 10)

struct imds_request {
	struct cloud *cloud;
	char *path;
	imds_fn done;
	void *arg;
	struct http_transfer *transfer;
	bool getting; /* else asking for a token */
	bool token_renewed;
	unsigned tries;
};

static void request_go(struct imds_request *request);

bool imds_disabled(void)
{
	const char *disabled = environment("AWS_EC2_METADATA_DISABLED");

	return disabled && strcasecmp(disabled, "true") == 0;
}

static char *imds_url(const char *path)
{
	const char *endpoint = environment("AWS_EC2_METADATA_SERVICE_ENDPOINT");
	const char *mode = environment("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");

	if (!endpoint)
		endpoint = mode && strcasecmp(mode, "ipv6") == 0 ? "http://[fd00:ec2::254]"
								 : "http://169.254.169.254";
	return str_printf("%s%slatest/%s", endpoint, str_ends(endpoint, "/") ? "" : "/", path);
}

static void request_end(struct imds_request *request, int status, const char *body,
			const char *error)
{
	struct cloud *cloud = request->cloud;

	for (size_t i = 0; i < cloud->imds.requests.count; i++)
		if (cloud->imds.requests.at[i] == request) {
			vec_remove(&cloud->imds.requests, i);
			break;
		}
	request->done(cloud, request->arg, status, body, error);
	free(request->path);
	free(request);
}

static void take_token(struct imds_request *request, const struct http_response *response)
{
	struct imds *imds = &request->cloud->imds;
	const char *body = response->body;

	if (response->status != 200 || !*body || response->body_length > 4096 ||
	    body[strcspn(body, "\r\n")] != '\0') {
		char error[CLOUD_TEXT_SIZE];

		snprintf(error, sizeof(error),
			 "IMDS gave no session token (HTTP %d); IMDSv2 must be enabled",
			 response->status);
		request_end(request, response->status == 200 ? 0 : response->status, "", error);
		return;
	}
	free(imds->token);
	imds->token = strdup(body);
	imds->token_until_ns = time_mono_ns() + (TOKEN_SECONDS - 60) * NS_PER_S;
	request_go(request);
}

static void on_answer(void *arg, const struct http_response *response)
{
	struct imds_request *request = arg;

	request->transfer = NULL;
	if (response->error) {
		if (++request->tries < TRIES)
			request_go(request);
		else
			request_end(request, 0, "", response->error_text);
	} else if (!request->getting) {
		take_token(request, response);
	} else if (response->status == 401 && !request->token_renewed) {
		request->token_renewed = true;
		free(TAKE(request->cloud->imds.token));
		request_go(request);
	} else {
		request_end(request, response->status, response->body, "");
	}
}

static void request_go(struct imds_request *request)
{
	struct imds *imds = &request->cloud->imds;
	_cleanup_free_ char *url = NULL, *header = NULL;
	const char *headers[2] = {NULL, NULL};
	int r;

	request->getting = imds->token && time_mono_ns() < imds->token_until_ns;
	url = imds_url(request->getting ? request->path : "api/token");
	header = request->getting
			 ? str_printf("X-aws-ec2-metadata-token: %s", imds->token)
			 : str_printf("X-aws-ec2-metadata-token-ttl-seconds: %d", TOKEN_SECONDS);
	headers[0] = header;
	r = http_send(request->cloud->http,
		      &(struct http_request){
			      .method = request->getting ? "GET" : "PUT",
			      .url = url,
			      .headers = headers,
			      .connect_timeout_ms = TIMEOUT_MS,
			      .timeout_ms = TIMEOUT_MS,
			      .body_limit = BODY_BYTES_MAX,
			      .no_proxy = true,
		      },
		      on_answer, request, &request->transfer);
	if (r < 0)
		request_end(request, 0, "",
			    "AWS_EC2_METADATA_SERVICE_ENDPOINT is not a URL such as "
			    "http://169.254.169.254");
}

void imds_get(struct cloud *cloud, const char *path, imds_fn done, void *arg)
{
	struct imds_request *request = calloc(1, sizeof(*request));

	if (!request)
		abort();
	*request = (struct imds_request){
		.cloud = cloud, .path = strdup(path), .done = done, .arg = arg};
	*vec_push(&cloud->imds.requests) = request;
	request_go(request);
}

void imds_free(struct cloud *cloud)
{
	vec_for_each (it, &cloud->imds.requests) {
		if ((*it)->transfer)
			http_cancel((*it)->transfer);
		free((*it)->path);
		free(*it);
	}
	vec_free(&cloud->imds.requests);
	free(TAKE(cloud->imds.token));
}
