/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share. */
#ifndef FORERUN_CLOUD_PRIVATE_H
#define FORERUN_CLOUD_PRIVATE_H

#include "cloud/cloud.h"

#include <math.h>

#include "base/log.h"
#include "base/text.h"
#include "base/vec.h"
#include "cloud/ini.h"
#include "cloud/userdata.h"
#include "cloud/xml.h"

#define TAG_OWNER "forerun.dev/owner"
#define TAG_POOL "forerun.dev/nodepool"
#define TAG_POLICY "forerun.dev/policy"
#define TAG_DECISION "forerun.dev/decision"
#define TAG_TOKEN "forerun.dev/token"
#define TAG_SERVICE "forerun.dev/service"
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
typedef void (*call_fn)(void *arg, const struct answer *answer);

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
void launch_classify(const struct answer *answer, struct launch_result *result);

/* ---- the fleet (fleet.c) ---- */

struct fleet {
	VEC(struct instance_view) gathering, view;
	bool known; /* view is what EC2 said, once at least */
	struct instance_view item; /* being read */
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

/* ---- classes (class.c, image*.c, reservation.c, profile.c, template*.c) ---- */

struct image {
	char id[CLOUD_NAME_SIZE];
	enum architecture architecture;
	enum image_variant variant;
	char created[32], name[128];
	bool deprecated;
	bool usable; /* of an architecture that is known here */
};

/* A parameter of SSM that holds an image of an alias. */
struct image_parameter {
	char *name;
	enum architecture architecture;
	enum image_variant variants[2]; /* that it is for; the second may be IMAGE_ANY: one alone */
};

struct resolver;
typedef void (*resolver_step)(struct resolver *resolver);

/* One EC2NodeClass being looked up, step after step. */
struct resolver {
	struct cloud *cloud;
	const struct node_class *class;
	bool check; /* only looks: templates by DryRun */
	unsigned flags; /* of its calls */
	bool busy, again;
	bool named_only; /* templates were not made: another one leads */
	size_t term, image_at, template_at; /* positions in the lists it works through */
	size_t found_before, images_seen;
	unsigned variants; /* that were looked up: class_variants() */
	VEC(struct subnet) subnets;
	VEC(char *) groups;
	VEC(struct image_parameter) parameters;
	VEC(char *) image_ids;
	VEC(struct image) images;
	VEC(struct capacity_reservation) reservations;
	VEC(struct launch_template) wanted; /* without their names */
	VEC(struct launch_template) templates;
	VEC(char *) made; /* names of templates known to exist */
	char profile[160];
	struct subnet subnet; /* being read */
	struct image image;
	struct capacity_reservation reservation;
	char field[64]; /* of the first problem: "subnetSelectorTerms" */
	char problem[CLOUD_TEXT_SIZE];
	int problem_error; /* of the answer; 0: what was found is not enough */
	struct launch_template template;
	void (*done)(struct resolver *resolver); /* problem is "" when it is whole */
	void *arg;
	/* of the standing ones */
	struct loop_timer *timer;
	uint32_t failures;
	struct class_view view;
	VEC(struct subnet) view_subnets;
	VEC(struct launch_template) view_templates;
	VEC(struct capacity_reservation) view_reservations;
	VEC(char *) view_groups;
};

void resolver_init(struct resolver *resolver, struct cloud *cloud, const struct node_class *class);
void resolver_free(struct resolver *resolver);
void resolver_run(struct resolver *resolver);
/* Ends the run with a problem of that field of spec. */
void resolver_fail(struct resolver *resolver, const char *field, int error, const char *format, ...)
	_printf_(4, 5);
void resolve_images(struct resolver *resolver); /* goes on with resolve_reservations */
void resolve_image_terms(struct resolver *resolver); /* those without an alias */
void resolve_reservations(struct resolver *resolver); /* goes on with resolve_profile */
void resolve_profile(struct resolver *resolver); /* goes on with resolve_templates */
void resolve_templates(struct resolver *resolver); /* ends */
void resolver_finish(struct resolver *resolver);
const char *class_alias(const struct node_class *class); /* NULL: it has none */
/* The parameters of an alias that the class' pools may use. -EINVAL with problem. */
int alias_parameters(struct resolver *resolver, const char *name, char problem[CLOUD_TEXT_SIZE]);
/* Bits of architecture and variant that some pool of the class has types for, as far as the catalog
 * knows; the plain image is always one. */
unsigned class_variants(const struct cloud *cloud, const struct node_class *class);
bool class_needs_image(const struct resolver *resolver, enum architecture architecture,
		       enum image_variant variant);
void image_add(struct resolver *resolver, const struct image *image); /* the better one stays */
bool is_image_id(const char *text);
void parameter_image(const struct answer *answer, char id[CLOUD_NAME_SIZE]);
void parameter_ask(struct resolver *resolver, const char *name, call_fn done);
void reservation_request(const struct reservation_term *term, struct text *query);
/* CreateLaunchTemplate of what was resolved: the body, and template's name. -EINVAL with problem:
 * its user data does not merge. */
int template_request(const struct resolver *resolver, struct launch_template *template,
		     bool dry_run, struct text *out, char problem[CLOUD_TEXT_SIZE]);
/* All templates that the class' pools may launch from, without their names. */
void templates_list(struct resolver *resolver);
/* Whether its releases have to be told which directories go to the instance store. */
bool bottlerocket_binds_by_name(const struct node_class *class, const char *image_name);
/* Whether a pool of that class may buy it. */
bool class_wants(const struct cloud *cloud, const struct node_class *class, const char *label,
		 const char *value);

int classes_init(struct cloud *cloud);
void classes_free(struct cloud *cloud);
void classes_start(struct cloud *cloud);
bool classes_ready(const struct cloud *cloud);
void classes_lead(struct cloud *cloud); /* from now on this process may act */
void class_publish(struct resolver *resolver);
/* An element of DescribeSubnets below subnetSet/item. */
void subnet_element(struct subnet *subnet, const char *path, const char *text);
void classes_catalog_changed(struct cloud *cloud); /* other variants may be needed */
void classes_template_lost(struct cloud *cloud); /* EC2 does not know one of ours: make them anew */

/* ---- templates that are of no use any more (template_old.c) ---- */

struct old_template {
	char id[32], name[128];
	uint64_t created_wall_ns;
};
struct old_templates {
	VEC(struct old_template) found;
	struct old_template item; /* being read */
	uint64_t working_since_ns;
	size_t at;
	bool busy;
	struct loop_timer *timer;
};
int old_templates_init(struct cloud *cloud);
void old_templates_free(struct cloud *cloud);
void old_templates_start(struct cloud *cloud);
/* Whether it may go: a day old, and neither launched from now nor the one of an instance. */
bool template_is_old(const struct cloud *cloud, const struct old_template *template,
		     uint64_t now_wall_ns);

/* ---- the catalog (catalog.c, types.c, types_read.c, zone_ids.c, prices.c, spot.c, cache.c) ----
 */

#define TYPES_EVERY_NS (12 * 3600 * NS_PER_S) /* types, zones and prices on demand */
#define NETWORK_CARDS_MAX 32

/* One type of DescribeInstanceTypes being read: what stands there before it is known what counts.
 */
struct type_reader {
	struct instance_type type;
	uint32_t card_interfaces[NETWORK_CARDS_MAX], cards, default_card;
	double card_gbps; /* baseline of all cards */
	bool nvme_unsupported, ebs_optimized;
	struct accelerator device; /* being read */
	uint32_t device_cores;
	struct accelerator inference; /* counts where there is no Neuron device */
	uint32_t gpu_kinds, neuron_kinds, inference_kinds;
};
/* An element below instanceTypeSet/item (types_read.c). */
void type_element(struct type_reader *reader, const char *path, const char *text);
/* At the item's end; false: not a type that Linux nodes are made of. The reader is as new. */
bool type_end(struct type_reader *reader, struct instance_type *out);

/* NodePools with the same requirements and labels: the first of them. */
struct pool_kind {
	const struct pool *pool;
	uint64_t hash;
};

struct catalog_state {
	struct cloud *cloud;
	VEC(struct pool_kind) kinds;
	VEC(struct instance_type) types;
	VEC(struct type_zone) zones;
	uint64_t fetched_wall_ns; /* types and zones; 0: never */
	uint64_t priced_wall_ns, spot_wall_ns; /* on demand, on spot; 0: never */
	struct offerings offerings; /* what was published last */
	VEC(struct vcpu_quota) quotas;
	struct catalog view;
	/* while fetching */
	VEC(struct instance_type) new_types;
	VEC(struct type_zone) new_zones;
	struct type_reader type;
	struct type_zone zone;
	VEC(struct zone_id) zone_ids;
	struct zone_id zone_id;
	uint64_t zone_since_ns; /* since when that is its price */
	VEC(uint64_t) spot_since_ns; /* of each of zones, while prices come */
	size_t price_at;
	char *price_token;
	bool price_by_type, fetching, pricing, spot_asking;
	bool everything; /* not only what pools could buy */
	unsigned flags;
	char problem[CLOUD_TEXT_SIZE];
	uint32_t failures;
	void (*done)(void *arg); /* of the types, once; for the check */
	void *done_arg;
	struct loop_timer *timer, *spot_timer, *price_timer;
	struct {
		void (*done)(void *arg, struct catalog *catalog, const char *problem);
		void *arg;
		bool types, prices, spot; /* under way */
		char problem[CLOUD_TEXT_SIZE];
	} refresh;
};

int catalog_init(struct cloud *cloud);
void catalog_close(struct cloud *cloud);
void catalog_start(struct cloud *cloud);
void catalog_fetch_types(struct cloud *cloud); /* types, then the ids of zones, then zones */
void catalog_fetch_zone_ids(struct cloud *cloud);
void catalog_take_zone_ids(struct catalog_state *state); /* into the new zones */
void catalog_fetch_zones(struct cloud *cloud);
void catalog_fetch_prices(struct cloud *cloud);
void catalog_fetch_spot(struct cloud *cloud);
void catalog_publish(struct cloud *cloud);
void catalog_prune(struct cloud *cloud); /* what no pool could buy is not kept */
void catalog_view(const struct cloud *cloud, struct catalog *out); /* without offerings */
/* Names what the pools ask for. */
void catalog_filter(const struct cloud *cloud, char out[20]);
uint64_t catalog_due_ns(uint64_t every_ns); /* from now, up to a tenth sooner */
/* A part of cloud_refresh_catalog() ended; problem: how it failed, NULL. */
void refresh_ended(struct cloud *cloud, bool *part, const char *problem);
void catalog_load(struct cloud *cloud);
void catalog_save(struct cloud *cloud);
/* Of the same type and zone as key. */
struct type_zone *catalog_zone(struct catalog_state *state, const struct type_zone *key);
void catalog_add_filter(struct cloud *cloud, struct text *query); /* the types that are known */
struct instance_type *catalog_find(struct catalog_state *state, const char *name);
/* Wildcards ("c7g.*") that cover every type which some pool could buy; none: all types. Ownership
 * passes. */
struct patterns {
	VEC(char *) list;
};
void catalog_patterns(const struct documents *documents, struct patterns *out);
void patterns_free(struct patterns *patterns);
bool documents_want_spot(const struct documents *documents);
/* One page of Pricing's GetProducts: calls fn for each on-demand price; token gets NextToken or
 * NULL. -EBADMSG when it is none. */
int prices_parse(const char *body, size_t length,
		 void (*fn)(void *arg, const char *type, double usd_per_hour), void *arg,
		 char **token);

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
