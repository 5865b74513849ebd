/* SPDX-License-Identifier: Apache-2.0 */
/* In-cluster access as client-go has it (rest.InClusterConfig, transport/token_source.go). */
#include "kube/kube.h"

#include <ctype.h>
#include <cjson/cJSON.h>

#include "base/log.h"
#include "base/text.h"

#define ACCOUNT_PATH "/var/run/secrets/kubernetes.io/serviceaccount"
#define TOKEN_BYTES_MAX ((size_t)64 << 10)
#define TOKEN_AGE_MS_MAX 60000U
#define TIMEOUT_MS 10000U
#define BODY_BYTES_MAX ((size_t)16 << 20)

/* A request that is under way, so that kube_free() can end it. */
struct call {
	struct call *next, **link;
	struct kube *kube;
	struct http_transfer *transfer;
	http_done_fn done; /* or */
	kube_version_fn version_done;
	void *arg;
};

struct kube {
	struct http_client *http;
	char *base_url; /* "https://host:port" */
	char *ca_path, *token_path;
	uint64_t token_age_ns_max;
	char *authorization; /* the header; NULL: to be read */
	uint64_t token_read_ns;
	struct call *calls;
};

/* ---- who we are ---- */

static void trim_end(char *text)
{
	size_t length = strlen(text);

	while (length && isspace((unsigned char)text[length - 1]))
		text[--length] = '\0';
}

static int read_token(struct kube *kube, uint64_t now_ns)
{
	_cleanup_free_ char *token = NULL;
	char *header;
	int r;

	r = file_read(kube->token_path, TOKEN_BYTES_MAX, &token, NULL);
	if (r < 0)
		return r;
	trim_end(token);
	if (!*token || strpbrk(token, "\r\n"))
		return -EINVAL;
	header = str_printf("Authorization: Bearer %s", token);
	if (!header)
		return -ENOMEM;
	free(kube->authorization);
	kube->authorization = header;
	kube->token_read_ns = now_ns;
	return 0;
}

/* The kubelet rotates the file. While it cannot be read, the old token may still be good. */
static int fresh_token(struct kube *kube)
{
	uint64_t now_ns = time_mono_ns();
	int r;

	if (kube->authorization && now_ns - kube->token_read_ns < kube->token_age_ns_max)
		return 0;
	r = read_token(kube, now_ns);
	if (r < 0)
		log_warning("could not read the Kubernetes token %s: %s%s", kube->token_path,
			    strerror(-r), kube->authorization ? "; the old one is used" : "");
	return kube->authorization ? 0 : r;
}

static void drop_token(struct kube *kube)
{
	free(kube->authorization);
	kube->authorization = NULL;
}

/* ---- life ---- */

static int set_paths(struct kube *kube, const char *host, const char *port,
		     const char *account_path)
{
	bool six = strchr(host, ':') != NULL;

	kube->base_url =
		str_printf("https://%s%s%s:%s", six ? "[" : "", host, six ? "]" : "", port);
	kube->ca_path = str_printf("%s/ca.crt", account_path);
	kube->token_path = str_printf("%s/token", account_path);
	return kube->base_url && kube->ca_path && kube->token_path ? 0 : -ENOMEM;
}

int kube_new(struct http_client *http, const struct kube_config *config, struct kube **out)
{
	static const struct kube_config from_environment;
	const char *host, *port;
	struct kube *kube;
	int r;

	config = config ? config : &from_environment;
	host = config->host ? config->host : getenv("KUBERNETES_SERVICE_HOST");
	port = config->port ? config->port : getenv("KUBERNETES_SERVICE_PORT");
	if (!host || !*host || !port || !*port)
		return -ENOENT;
	kube = calloc(1, sizeof(*kube));
	if (!kube)
		return -ENOMEM;
	kube->http = http;
	kube->token_age_ns_max =
		(config->token_age_ms_max ? config->token_age_ms_max : TOKEN_AGE_MS_MAX) *
		NS_PER_MS;
	r = set_paths(kube, host, port, config->account_path ? config->account_path : ACCOUNT_PATH);
	if (r >= 0)
		r = read_token(kube, time_mono_ns());
	if (r < 0) {
		kube_free(kube);
		return r;
	}
	*out = kube;
	return 0;
}

static void call_free(struct call *call)
{
	*call->link = call->next;
	if (call->next)
		call->next->link = call->link;
	free(call);
}

void kube_free(struct kube *kube)
{
	if (!kube)
		return;
	while (kube->calls) {
		http_cancel(kube->calls->transfer);
		call_free(kube->calls);
	}
	free(kube->base_url);
	free(kube->ca_path);
	free(kube->token_path);
	free(kube->authorization);
	free(kube);
}

/* ---- the version ---- */

/* "1" and "34+" (as EKS wrote it) are "1.34". */
static char *version_of(const cJSON *document)
{
	const char *major = cJSON_GetStringValue(cJSON_GetObjectItem(document, "major"));
	const char *minor = cJSON_GetStringValue(cJSON_GetObjectItem(document, "minor"));
	size_t major_digits = major ? strspn(major, "0123456789") : 0;
	size_t minor_digits = minor ? strspn(minor, "0123456789") : 0;

	if (!major_digits || !minor_digits || major[major_digits] || major_digits > 4 ||
	    minor_digits > 4)
		return NULL;
	return str_printf("%s.%.*s", major, (int)minor_digits, minor);
}

/* An error comes as a Status object with a message. */
static char *error_of(const struct http_response *response, const cJSON *document)
{
	const char *message = cJSON_GetStringValue(cJSON_GetObjectItem(document, "message"));

	if (response->error < 0)
		return str_printf("could not read the Kubernetes version: %s",
				  response->error_text);
	if (response->status != 200)
		return str_printf("could not read the Kubernetes version: the API server answered "
				  "%d%s%.200s",
				  response->status, message ? ": " : "", message ? message : "");
	return str_printf("could not read the Kubernetes version: the API server's answer has no "
			  "\"major\" and \"minor\"");
}

static void give_version(const struct call *call, const struct http_response *response)
{
	cJSON *document = cJSON_ParseWithLength(response->body, response->body_length);
	_cleanup_free_ char *version = NULL, *error = NULL;

	if (response->error == 0 && response->status == 200)
		version = version_of(document);
	if (!version)
		error = error_of(response, document);
	cJSON_Delete(document);
	call->version_done(call->arg, version, version ? NULL : error ? error : "out of memory");
}

/* ---- asking ---- */

static void on_response(void *arg, const struct http_response *response)
{
	struct call *call = arg, over = *call;

	if (response->error == 0 && response->status == 401)
		drop_token(call->kube);
	call_free(call);
	/* From here on kube may be freed. */
	if (over.version_done)
		give_version(&over, response);
	else
		over.done(over.arg, response);
}

static struct call *call_new(struct kube *kube, const struct call *like)
{
	struct call *call = malloc(sizeof(*call));

	if (!call)
		return NULL;
	*call = *like;
	call->kube = kube;
	call->next = kube->calls;
	call->link = &kube->calls;
	if (call->next)
		call->next->link = &call->next;
	kube->calls = call;
	return call;
}

static int send_call(struct kube *kube, const char *path, const struct call *like)
{
	_cleanup_free_ char *url = str_printf("%s%s", kube->base_url, path);
	const char *headers[] = {NULL, "Accept: application/json", NULL};
	struct http_request request = {.method = "GET",
				       .url = url,
				       .headers = headers,
				       .ca_file = kube->ca_path,
				       .timeout_ms = TIMEOUT_MS,
				       .body_limit = BODY_BYTES_MAX};
	struct call *call;
	int r;

	if (!url)
		return -ENOMEM;
	r = fresh_token(kube);
	if (r < 0)
		return r;
	headers[0] = kube->authorization;
	call = call_new(kube, like);
	if (!call)
		return -ENOMEM;
	r = http_send(kube->http, &request, on_response, call, &call->transfer);
	if (r < 0)
		call_free(call);
	return r;
}

int kube_get(struct kube *kube, const char *path, http_done_fn done, void *arg)
{
	if (*path != '/')
		return -EINVAL;
	return send_call(kube, path, &(struct call){.done = done, .arg = arg});
}

int kube_server_version(struct kube *kube, kube_version_fn done, void *arg)
{
	return send_call(kube, "/version", &(struct call){.version_done = done, .arg = arg});
}
