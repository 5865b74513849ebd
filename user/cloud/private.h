/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share. */
#ifndef FORERUN_CLOUD_PRIVATE_H
#define FORERUN_CLOUD_PRIVATE_H

#include "cloud/cloud.h"

#include <math.h>

#include "base/log.h"
#include "base/text.h"
#include "base/vec.h"
#include "cloud/catalog_private.h"
#include "cloud/class_private.h"
#include "cloud/ini.h"
#include "cloud/userdata.h"
#include "cloud/xml.h"

#define TAG_OWNER "forerun.dev/owner"
#define TAG_POOL "forerun.dev/nodepool"
#define TAG_POLICY "forerun.dev/policy"
#define TAG_DECISION "forerun.dev/decision"
#define TAG_TOKEN "forerun.dev/token"
#define TAG_SERVICE "forerun.dev/service"
#define TAG_GROUP "aws:autoscaling:groupName"
#define TAG_COUNT "forerun.dev/count"
#define TAG_EPOCH "forerun.dev/epoch"
#define TAG_PAUSE "forerun.dev/pause"
#define TAG_DRAINING "forerun.dev/draining"
#define TAG_CLASS_HASH "forerun.dev/class-hash"
#define TAG_POOL_HASH "forerun.dev/pool-hash"
#define TAG_COUNT "forerun.dev/count"

/* As much as fits. */
static inline void fit_text(char *out, size_t size, const char *value)
{
	size_t length = strnlen(value, size - 1);

	memmove(out, value, length);
	out[length] = '\0';
}
#define set_text(out, value) fit_text(out, sizeof(out), value)

/* ---- settings: environment and shared files (settings.c) ---- */

struct settings {
	struct ini config, credentials;
	char *config_path, *credentials_path;
	const char *profile; /* never NULL */
	bool profile_named; /* by AWS_PROFILE */
	char *section; /* of the profile in the config file: "default", "profile x" */
};

/* -EINVAL with a person's words in problem. */
int settings_load(struct settings *settings, char problem[CLOUD_TEXT_SIZE]);
void settings_free(struct settings *settings);
/* Environment variable, NULL when unset or empty. */
const char *environment(const char *name);
/* Of the profile, from the credentials file, then the config file; file: where it stood. */
const struct ini_entry *profile_get(const struct settings *settings, const char *key,
				    const char **file);

/* ---- endpoints (endpoint.c) ---- */

enum service {
	SERVICE_EC2,
	SERVICE_SSM,
	SERVICE_IAM,
	SERVICE_STS,
	SERVICE_PRICING,
	SERVICE_DYNAMODB,
	SERVICE_QUOTAS,
	SERVICE_ELB,
	SERVICE_SQS,
	SERVICE_AUTO_SCALING,
	SERVICES_COUNT
};

bool is_region(const char *text);
/* The URL; signing: the region of its signature. */
char *endpoint_url(const struct settings *settings, enum service service, const char *region);
const char *signing_region(enum service service, const char *region);
const char *signing_name(enum service service);
const char *service_name(enum service service); /* "EC2", for messages */
const char *service_variable(enum service service); /* AWS_ENDPOINT_URL_<this> */
const char *json_version(enum service service); /* "1.1"; NULL: it takes forms */

/* ---- who we are (identity.c, credentials.c, imds.c) ---- */

struct credentials {
	char *access_key, *secret_key, *session_token; /* the last may be NULL */
	uint64_t expires_wall_ns; /* 0: never */
};
void credentials_free(struct credentials *credentials);
/* {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"} as containers and IMDS give it;
 * -EBADMSG with a person's words. */
int credentials_parse_json(const char *body, size_t length, struct credentials *out,
			   char problem[CLOUD_TEXT_SIZE]);
/* The answer of AssumeRoleWithWebIdentity. */
int credentials_parse_sts(const char *body, size_t length, struct credentials *out);
/* Whether http (not https) may carry credentials from there. */
bool container_host_allowed(const char *url);

struct identity {
	struct settings settings;
	char region[32];
	struct credentials now;
	bool valid; /* can be signed with */
	bool fetching;
	bool asked; /* at least one fetch has ended */
	char source[48];
	char problem[CLOUD_TEXT_SIZE];
	uint32_t failures;
	struct loop_timer *timer;
	struct http_transfer *transfer;
	char *role_arn, *role_session, *token_file; /* of web identity, while asking */
};

int identity_init(struct cloud *cloud);
void identity_free(struct cloud *cloud);
/* Region and credentials; calls_identity_changed() when it ended. */
void identity_fetch(struct cloud *cloud);
/* What is there is refused: fetch anew, and let calls wait for it. */
void identity_expired(struct cloud *cloud);
bool identity_ready(struct cloud *cloud);
/* The ends of a fetch. taken is handed over. */
void identity_took(struct cloud *cloud, struct credentials *taken, const char *format, ...)
	_printf_(3, 4);
void identity_failed(struct cloud *cloud, const char *format, ...) _printf_(2, 3);
void credentials_find(struct cloud *cloud); /* the chain */
void credentials_from_container(struct cloud *cloud, const char *relative, const char *full);
void credentials_from_web_identity(struct cloud *cloud);

struct imds {
	char *token;
	uint64_t token_until_ns;
	VEC(struct imds_request *) requests;
	struct imds_watch *watch;
};

/* status 0: not there (error says why), else IMDS' own. */
typedef void (*imds_fn)(struct cloud *cloud, void *arg, int status, const char *body,
			const char *error);
/* GET http://169.254.169.254/latest/PATH with a session token (IMDSv2). Answers from the loop. */
void imds_get(struct cloud *cloud, const char *path, imds_fn done, void *arg);
bool imds_disabled(void);
void imds_free(struct cloud *cloud);
void imds_watch_free(struct cloud *cloud);
uint64_t notice_time_ms(const char *text);
void queue_free(struct cloud *cloud);

/* ---- calls (call.c, describe.c) ---- */

struct answer {
	int error; /* 0: 2xx; -EAGAIN: no answer, throttled or the server's fault; -EACCES: the
		      caller may not; -EINVAL: refused for another reason; -ENOKEY: no credentials
		    */
	bool throttled;
	int status;
	char code[CLOUD_NAME_SIZE], message[CLOUD_TEXT_SIZE], request_id[CLOUD_NAME_SIZE];
	const char *body;
	size_t length;
	uint64_t started_ns, sent_ns, done_ns;
};

enum call_flags {
	CALL_RETRY = 1, /* tried again until there is an answer that is not -EAGAIN */
	CALL_RETRY_LITTLE = 2, /* three times */
	CALL_XML = 4, /* a 2xx that is not well-formed XML counts as no answer */
	CALL_JSON = 8,
	CALL_ACTS = 16, /* has an effect: not written when may_act says no */
	CALL_TWICE = 32, /* asking twice has one effect: goes out again on a connection of its own
			    when the one that it was written to is dead */
	CALL_APART = 64, /* on the connections that are kept for launches */
	CALL_FRESH = 128, /* on a new connection */
};

struct call_request {
	enum service service;
	const char *target; /* X-Amz-Target of JSON services, NULL: a form */
	const char *body;
	unsigned flags;
	uint32_t timeout_ms; /* 0: 30 s */
	uint32_t instances; /* that it is about, where EC2 counts them */
	call_fn done;
	void (*drop)(void *arg); /* instead of done when the cloud is freed; may be NULL */
	void *arg;
};

void call_send(struct cloud *cloud, const struct call_request *request);
void calls_identity_changed(struct cloud *cloud);
void calls_free(struct cloud *cloud);
void calls_forget(struct cloud *cloud, const void *arg); /* those of arg: nothing is called */
/* One answer of the wire, read (answer.c). written: some try of the call was. */
void answer_fill(struct cloud *cloud, const struct call_request *request, bool written,
		 const struct http_response *response, struct answer *answer);
bool answer_is_transient(const struct answer *answer);
/* may_act said no; what was written before may have had its effect. */
void answer_not_allowed(bool written, struct answer *answer);
uint64_t answer_retry_after_ns(const struct http_response *response); /* x-amz-retry-after */
/* The clock of this host is so far from AWS' that signatures are refused. */
bool clock_is_wrong(const struct cloud *cloud);
/* As tag, target group and queue tell it: 0, -EAGAIN (not known, throttled, not leading), -EINVAL.
 */
int result_error(const struct answer *answer);

/* ---- EC2's rates (bucket.c) ---- */

#define BUCKETS_COUNT 17

struct bucket {
	double tokens; /* < 0: so many calls wait */
	uint64_t filled_ns; /* 0: never used, full */
	uint64_t closed_until_ns; /* EC2 said so */
	uint64_t waits, waited_ns;
};

/* How long the call has to wait before it may be sent; its tokens are taken. */
uint64_t bucket_take(struct cloud *cloud, const struct call_request *request);
/* EC2 says that its own bucket is empty: others use it too. */
void bucket_throttled(struct cloud *cloud, const struct call_request *request, uint64_t after_ns);
/* Code, message and request id of an error body of any service; "" for what is not there. */
void error_read(const char *body, size_t length, struct answer *answer);
void make_plain(char *text); /* control characters become spaces */
bool code_is_throttle(const char *code);
bool code_is_expired(const char *code);
/* "EC2 refused CreateFleet: Code: message (request id)": for logs. */
const char *answer_text(const struct answer *answer, char out[512]);

/* A paginated EC2 or IAM Describe. done gets the last answer. */
struct describe_request {
	enum service service; /* EC2 or IAM */
	const char *query; /* the form without NextToken */
	unsigned flags; /* CALL_RETRY or CALL_RETRY_LITTLE */
	xml_fn on_element;
	call_fn done;
	void *arg;
};
void describe_send(struct cloud *cloud, const struct describe_request *request);

/* "&KEY=value" with the value encoded. */
void form_add(struct text *form, const char *value, const char *key_format, ...) _printf_(3, 4);
void form_begin(struct text *form, const char *action); /* Action and EC2's Version */

/* ---- launching (launch.c, terminate.c) ---- */

/* The CreateFleet body of an order: the same order always gives the same bytes. dry_run for
 * permission checks. */
void fleet_request(const struct launch_order *order, const char *owner, bool dry_run,
		   struct text *out);
/* The body of a 2xx. -EBADMSG: no CreateFleet answer. */
int fleet_response(const char *body, size_t length, struct launch_result *result);
bool is_instance_id(const char *id);
/* An order that names instances to start (start.c). */
void start_order(struct cloud *cloud, const struct launch_order *order);
/* An order that names an Auto Scaling group, and the end of its members (group.c). */
void group_order(struct cloud *cloud, const struct launch_order *order);
void group_terminate(struct cloud *cloud, const struct terminate_order *order);
struct group_view {
	bool found;
	uint64_t desired, max;
	VEC(struct instance_id) members; /* that its number counts: none that is leaving it */
	struct instance_id item; /* being read */
	bool item_leaves;
};
void group_describe(struct cloud *cloud, const char *name, unsigned flags, call_fn done,
		    void (*drop)(void *arg), void *arg);
/* The body of a 2xx. -EBADMSG: no answer of DescribeAutoScalingGroups. */
int group_read(const char *body, size_t length, struct group_view *view);
void launch_classify(const struct answer *answer, struct launch_result *result);

/* ---- the fleet (fleet.c) ---- */

struct fleet {
	VEC(struct instance_view) gathering, view;
	bool known; /* view is what EC2 said, once at least */
	struct instance_view item; /* being read */
	char group[GROUP_NAME_SIZE]; /* its Auto Scaling group */
	const struct documents *documents; /* whose NodePools name such groups */
	char tag_key[128];
	uint64_t asked_ns;
	bool asking, again;
	uint64_t hurry_until_ns;
	struct loop_timer *timer, *warm_timer;
	char problem[CLOUD_TEXT_SIZE];
};
/* Which element of DescribeInstances' answer says what; an instance is taken when it is owner's, or
 * says which service it runs. */
void fleet_element(struct fleet *fleet, const char *owner, const char *path, const char *text);
int fleet_init(struct cloud *cloud);
void fleet_free(struct cloud *cloud);
void fleet_start(struct cloud *cloud);
void fleet_warm_now(struct cloud *cloud); /* the connections that are kept for launches */
void fleet_hurry(struct cloud *cloud); /* something was launched or terminated */

/* ---- quotas (quotas.c) and free addresses (addresses.c) ---- */

struct quotas {
	VEC(struct vcpu_quota) found;
	size_t at; /* of those that are asked for */
	bool said; /* that one is not known */
	struct loop_timer *timer;
};
int quotas_init(struct cloud *cloud);
void quotas_free(struct cloud *cloud);
void quotas_start(struct cloud *cloud);
/* Name and value of GetServiceQuota's answer. -EBADMSG: it has none. */
int quota_read(const char *body, size_t length, struct vcpu_quota *out);
void catalog_take_quotas(struct cloud *cloud); /* publishes them with the catalog */

struct addresses {
	bool asking, again;
	uint64_t asked_ns;
	struct subnet subnet; /* being read */
	struct loop_timer *timer;
};
int addresses_init(struct cloud *cloud);
void addresses_free(struct cloud *cloud);
void addresses_changed(struct cloud *cloud); /* something was launched or terminated */

/* ---- the identity document (document.c) ---- */

struct stack_st_X509;
struct papers;

/* cloud_identity_verify() with certificates that were read. */
int document_check(const char *document, const char *pkcs7, struct stack_st_X509 *certificates,
		   char instance_id[32], char reason[128]);
/* All certificates of a PEM file; the caller frees with sk_X509_pop_free(). */
struct stack_st_X509 *certificates_read(const char *pem, size_t length);
void documents_forget(struct cloud *cloud); /* those that are asked for */

/* ---- all of it ---- */

/* "pool.yaml:12:5" of the deepest part of path ("spec.subnetSelectorTerms") in that document. The
 * caller frees. */
char *place_of(const struct origin *origin, const char *kind, const char *name, const char *path);

struct check;
struct queue;
struct whoami;

struct cloud {
	struct loop *loop;
	struct http_client *http;
	struct cloud_config config;
	char *region, *cluster_version, *name, *cache_path; /* what config points to */
	struct cluster cluster; /* too */
	const struct documents *documents;
	struct cloud_events events;
	bool started; /* cloud_start() was called */
	bool working; /* there were credentials, and everything is under way */
	struct identity identity;
	struct imds imds;
	struct http_client *acting; /* for launches: describes take none of its connections */
	struct call *calls;
	struct bucket buckets[BUCKETS_COUNT];
	struct fleet fleet;
	struct resolver *classes;
	size_t classes_count;
	struct catalog_state catalog;
	struct quotas quotas;
	struct addresses addresses;
	struct old_templates old_templates;
	struct check *check;
	struct queue *queue; /* NULL: none is read */
	struct whoami *whoami;
	struct loop_timer *whoami_timer;
	struct papers *papers;
	uint64_t calls_made, errors, throttled, hedged;
	double clock_offset_s; /* of AWS' clock from ours */
};

void cloud_started(struct cloud *cloud); /* begins once there are region and credentials */
void check_free(struct cloud *cloud);

uint64_t random_u64(void);
/* Full jitter over base doubled with each try, most at most: as the AWS SDKs. */
uint64_t backoff_ns(uint32_t tries, uint64_t base_ns, uint64_t most_ns);

#endif
