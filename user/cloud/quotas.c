/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many vCPUs the account may run (Service Quotas). The permission is optional: without it the
 * quotas are not known, and EC2 refuses what is too much.
 */
#include "cloud/private.h"

#include <cjson/cJSON.h>

#define EVERY_NS (600 * NS_PER_S)
/* "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", with I's Im and Is. */
#define STANDARD "a,c,d,h,i,im,is,m,r,t,z"

struct quota_source {
	const char *code;
	enum capacity_type capacity_type;
};

static const struct quota_source SOURCES[] = {
	{"L-1216C47A", CAPACITY_ON_DEMAND},
	{"L-34B43A08", CAPACITY_SPOT},
};

static void ask(struct cloud *cloud);

static void on_timer(void *arg, uint64_t now_ns)
{
	struct cloud *cloud = arg;

	(void)now_ns;
	cloud->quotas.at = 0;
	vec_clear(&cloud->quotas.found);
	ask(cloud);
}

int quotas_init(struct cloud *cloud)
{
	return loop_timer_new(cloud->loop, on_timer, cloud, &cloud->quotas.timer);
}

void quotas_free(struct cloud *cloud)
{
	if (cloud->quotas.timer)
		loop_timer_free(cloud->quotas.timer);
	vec_free(&cloud->quotas.found);
}

void quotas_start(struct cloud *cloud)
{
	loop_timer_at(cloud->quotas.timer, 0);
}

int quota_read(const char *body, size_t length, struct vcpu_quota *out)
{
	cJSON *answer = cJSON_ParseWithLength(body, length);
	const cJSON *quota = cJSON_GetObjectItemCaseSensitive(answer, "Quota");
	const cJSON *value = cJSON_GetObjectItemCaseSensitive(quota, "Value");
	const char *name =
		cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(quota, "QuotaName"));
	bool whole = cJSON_IsNumber(value) && value->valuedouble >= 0;

	if (whole) {
		out->vcpus = value->valuedouble;
		set_text(out->name, name ? name : "vCPUs");
		make_plain(out->name);
	}
	cJSON_Delete(answer);
	return whole ? 0 : -EBADMSG;
}

static void take_answer(struct cloud *cloud, const struct answer *answer)
{
	const struct quota_source *source = &SOURCES[cloud->quotas.at];
	struct vcpu_quota quota = {.capacity_type = source->capacity_type, .categories = STANDARD};
	char words[512];

	if (!answer->error && quota_read(answer->body, answer->length, &quota) == 0) {
		*vec_push(&cloud->quotas.found) = quota;
		return;
	}
	if (!cloud->quotas.said)
		log_info("AWS: the vCPU quota %s is not known (servicequotas:GetServiceQuota, "
			 "optional): %s",
			 source->code,
			 answer->error ? answer_text(answer, words) : "the answer has none");
	cloud->quotas.said = true;
}

static void on_quota(void *arg, const struct answer *answer)
{
	struct cloud *cloud = arg;

	take_answer(cloud, answer);
	cloud->quotas.at++;
	ask(cloud);
}

static void quotas_done(struct cloud *cloud)
{
	loop_timer_at(cloud->quotas.timer, time_mono_ns() + EVERY_NS);
	catalog_take_quotas(cloud);
}

/* One after the other; spot's only where some pool buys spot. */
static void ask(struct cloud *cloud)
{
	_cleanup_text_ struct text body = {0};

	while (cloud->quotas.at < ARRAY_SIZE(SOURCES) &&
	       SOURCES[cloud->quotas.at].capacity_type == CAPACITY_SPOT &&
	       !documents_want_spot(cloud->documents))
		cloud->quotas.at++;
	if (cloud->quotas.at == ARRAY_SIZE(SOURCES)) {
		quotas_done(cloud);
		return;
	}
	text_printf(&body, "{\"ServiceCode\":\"ec2\",\"QuotaCode\":\"%s\"}",
		    SOURCES[cloud->quotas.at].code);
	call_send(cloud, &(struct call_request){
				 .service = SERVICE_QUOTAS,
				 .target = "ServiceQuotasV20190624.GetServiceQuota",
				 .body = body.data,
				 .flags = CALL_JSON | CALL_RETRY_LITTLE,
				 .done = on_quota,
				 .arg = cloud,
			 });
}
