/* SPDX-License-Identifier: Apache-2.0 */
/* Where each service is, and the overrides of the AWS SDKs' reference guide ("Service-specific
 * endpoints"). */
#include "cloud/private.h"

#include <strings.h>

struct service_facts {
	const char *name; /* for messages */
	const char *id; /* AWS_ENDPOINT_URL_<id> */
	const char *key; /* in a services section */
	const char *host; /* before the region */
	const char *signing;
	const char *json; /* the version of its JSON protocol; NULL: forms */
};

static const struct service_facts FACTS[SERVICES_COUNT] = {
	[SERVICE_EC2] = {"EC2", "EC2", "ec2", "ec2", "ec2", NULL},
	[SERVICE_SSM] = {"SSM", "SSM", "ssm", "ssm", "ssm", "1.1"},
	[SERVICE_IAM] = {"IAM", "IAM", "iam", "iam", "iam", NULL},
	[SERVICE_STS] = {"STS", "STS", "sts", "sts", "sts", NULL},
	[SERVICE_PRICING] = {"Pricing", "PRICING", "pricing", "api.pricing", "pricing", "1.1"},
	[SERVICE_DYNAMODB] = {"DynamoDB", "DYNAMODB", "dynamodb", "dynamodb", "dynamodb", "1.0"},
	[SERVICE_QUOTAS] = {"Service Quotas", "SERVICE_QUOTAS", "service_quotas", "servicequotas",
			    "servicequotas", "1.1"},
	[SERVICE_ELB] = {"ELB", "ELASTIC_LOAD_BALANCING_V2", "elastic_load_balancing_v2",
			 "elasticloadbalancing", "elasticloadbalancing", NULL},
	[SERVICE_SQS] = {"SQS", "SQS", "sqs", "sqs", "sqs", "1.0"},
	[SERVICE_AUTO_SCALING] = {"Auto Scaling", "AUTO_SCALING", "auto_scaling", "autoscaling",
				  "autoscaling", NULL},
};

bool is_region(const char *text)
{
	size_t length = strlen(text);

	return length > 0 && length < 32 &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

static bool is_china(const char *region)
{
	return str_starts(region, "cn-");
}

const char *service_name(enum service service)
{
	return FACTS[service].name;
}

const char *signing_name(enum service service)
{
	return FACTS[service].signing;
}

const char *service_variable(enum service service)
{
	return FACTS[service].id;
}

const char *json_version(enum service service)
{
	return FACTS[service].json;
}

/* IAM and Pricing are in few regions of each partition (botocore/data/endpoints.json). */
const char *signing_region(enum service service, const char *region)
{
	if (service == SERVICE_IAM)
		return is_china(region)		       ? "cn-north-1"
		       : str_starts(region, "us-gov-") ? "us-gov-west-1"
						       : "us-east-1";
	if (service == SERVICE_PRICING)
		return is_china(region) ? "cn-northwest-1" : "us-east-1";
	return region;
}

static const char *override_of(const struct settings *settings, enum service service)
{
	_cleanup_free_ char *variable = str_printf("AWS_ENDPOINT_URL_%s", FACTS[service].id);
	_cleanup_free_ char *section = NULL, *key = NULL;
	const char *ignore = environment("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
	const struct ini_entry *found;
	const char *file;

	if (!variable || (ignore && strcasecmp(ignore, "true") == 0))
		return NULL;
	if (environment(variable))
		return environment(variable);
	if (environment("AWS_ENDPOINT_URL"))
		return environment("AWS_ENDPOINT_URL");
	found = profile_get(settings, "services", &file);
	if (found) {
		section = str_printf("services %s", found->value);
		key = str_printf("%s.endpoint_url", FACTS[service].key);
		found = section && key ? ini_get(&settings->config, section, key) : NULL;
		if (found && *found->value)
			return found->value;
	}
	found = profile_get(settings, "endpoint_url", &file);
	return found ? found->value : NULL;
}

char *endpoint_url(const struct settings *settings, enum service service, const char *region)
{
	const char *override = override_of(settings, service);
	const char *suffix = is_china(region) ? "amazonaws.com.cn" : "amazonaws.com";
	const char *at = signing_region(service, region);

	if (override)
		return str_printf("%s%s", override, str_ends(override, "/") ? "" : "/");
	if (service == SERVICE_IAM && strcmp(at, "us-east-1") == 0)
		return str_printf("https://iam.amazonaws.com/");
	if (service == SERVICE_IAM && strcmp(at, "us-gov-west-1") == 0)
		return str_printf("https://iam.us-gov.amazonaws.com/");
	return str_printf("https://%s.%s.%s/", FACTS[service].host, at, suffix);
}
