/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials, prices and endpoints: what is taken from bodies and from the environment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cloud/private.h"

static void credentials_come_from_json(void **state)
{
	static const char BODY[] = "{\"Code\":\"Success\",\"AccessKeyId\":\"A\","
				   "\"SecretAccessKey\":\"S\",\"Token\":\"T\","
				   "\"Expiration\":\"2026-01-31T12:00:00Z\"}";
	struct credentials found;
	char problem[CLOUD_TEXT_SIZE];

	(void)state;
	assert_int_equal(credentials_parse_json(BODY, strlen(BODY), &found, problem), 0);
	assert_string_equal(found.access_key, "A");
	assert_string_equal(found.secret_key, "S");
	assert_string_equal(found.session_token, "T");
	assert_int_equal(found.expires_wall_ns, 1769860800ULL * NS_PER_S);
	credentials_free(&found);
}

static void json_without_credentials_says_why(void **state)
{
	static const struct {
		const char *body, *problem;
	} CASES[] = {
		{"", "its answer is no JSON object"},
		{"[]", "its answer is no JSON object"},
		{"{}", "its answer has no AccessKeyId and SecretAccessKey"},
		{"{\"Code\":\"Failed\"}", "it answered Code Failed"},
		{"{\"AccessKeyId\":1,\"SecretAccessKey\":\"x\"}",
		 "its answer has no AccessKeyId and SecretAccessKey"},
		{"{\"AccessKeyId\":\"a\\nb\",\"SecretAccessKey\":\"x\"}",
		 "its answer has no AccessKeyId and SecretAccessKey"},
		{"{\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"x\",\"Expiration\":\"soon\"}",
		 "its answer's Expiration is no time"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct credentials found;
		char problem[CLOUD_TEXT_SIZE];

		assert_int_equal(credentials_parse_json(CASES[i].body, strlen(CASES[i].body),
							&found, problem),
				 -EBADMSG);
		assert_string_equal(problem, CASES[i].problem);
		assert_null(found.access_key);
	}
}

static void credentials_come_from_sts(void **state)
{
	static const char BODY[] =
		"<AssumeRoleWithWebIdentityResponse xmlns=\"x\"><AssumeRoleWithWebIdentityResult>"
		"<Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey>"
		"<SessionToken>T</SessionToken><Expiration>2026-01-31T12:00:00Z</Expiration>"
		"</Credentials></AssumeRoleWithWebIdentityResult></"
		"AssumeRoleWithWebIdentityResponse>";
	struct credentials found;

	(void)state;
	assert_int_equal(credentials_parse_sts(BODY, strlen(BODY), &found), 0);
	assert_string_equal(found.session_token, "T");
	credentials_free(&found);
	for (size_t length = 0; length < strlen(BODY); length++)
		assert_int_equal(credentials_parse_sts(BODY, length, &found), -EBADMSG);
}

static void credentials_travel_by_http_to_few_hosts(void **state)
{
	static const char *const GOOD[] = {"http://127.0.0.1:9/x",
					   "http://127.255.0.3/",
					   "http://localhost/",
					   "http://[::1]:80/",
					   "http://169.254.170.2/v2",
					   "http://169.254.170.23/v1/credentials",
					   "http://[fd00:ec2::23]/v1/credentials",
					   "https://example.com/"};
	static const char *const BAD[] = {"http://example.com/",
					  "http://169.254.170.3/",
					  "http://127.0.0.1.evil.com/",
					  "http://1.2.3.4/",
					  "ftp://127.0.0.1/",
					  "http://127.0.0.1@evil.com/",
					  "nonsense",
					  ""};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(GOOD); i++)
		assert_true(container_host_allowed(GOOD[i]));
	for (size_t i = 0; i < ARRAY_SIZE(BAD); i++)
		assert_false(container_host_allowed(BAD[i]));
}

/* ---- prices ---- */

struct seen {
	char type[32];
	double usd;
	unsigned count;
};

static void on_price(void *arg, const char *type, double usd)
{
	struct seen *seen = arg;

	set_text(seen->type, type);
	seen->usd = usd;
	seen->count++;
}

static void prices_come_from_products(void **state)
{
	static const char BODY[] =
		"{\"PriceList\":[\"{\\\"product\\\":{\\\"attributes\\\":{\\\"instanceType\\\":"
		"\\\"m5.large\\\"}},\\\"terms\\\":{\\\"OnDemand\\\":{\\\"x\\\":{"
		"\\\"priceDimensions\\\":"
		"{\\\"y\\\":{\\\"unit\\\":\\\"Hrs\\\",\\\"pricePerUnit\\\":{\\\"USD\\\":\\\"0."
		"0960000000\\\"}}}}}}}\","
		"\"broken\",7,{\"product\":{}}],\"NextToken\":\"n\"}";
	struct seen seen = {0};
	char *token;

	(void)state;
	assert_int_equal(prices_parse(BODY, strlen(BODY), on_price, &seen, &token), 0);
	assert_string_equal(seen.type, "m5.large");
	assert_true(seen.usd == 0.096);
	assert_int_equal(seen.count, 1);
	assert_string_equal(token, "n");
	free(token);
}

static void what_is_no_price_is_not_taken(void **state)
{
	static const char *const PRICES[] = {"\"0\"", "\"-1\"", "\"inf\"", "\"nan\"", "7", "\"\""};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(PRICES); i++) {
		_cleanup_free_ char *body =
			str_printf("{\"PriceList\":[{\"product\":{\"attributes\":{\"instanceType\":"
				   "\"m5.large\"}},"
				   "\"terms\":{\"OnDemand\":{\"x\":{\"priceDimensions\":{\"y\":{"
				   "\"pricePerUnit\":"
				   "{\"USD\":%s}}}}}}}]}",
				   PRICES[i]);
		struct seen seen = {0};
		char *token;

		assert_int_equal(prices_parse(body, strlen(body), on_price, &seen, &token), 0);
		assert_int_equal(seen.count, 0);
		assert_null(token);
	}
}

/* ---- endpoints ---- */

static void endpoints_follow_region_and_partition(void **state)
{
	static const struct {
		enum service service;
		const char *region, *url, *signing;
	} CASES[] = {
		{SERVICE_EC2, "eu-west-1", "https://ec2.eu-west-1.amazonaws.com/", "eu-west-1"},
		{SERVICE_EC2, "cn-north-1", "https://ec2.cn-north-1.amazonaws.com.cn/",
		 "cn-north-1"},
		{SERVICE_IAM, "eu-west-1", "https://iam.amazonaws.com/", "us-east-1"},
		{SERVICE_IAM, "cn-northwest-1", "https://iam.cn-north-1.amazonaws.com.cn/",
		 "cn-north-1"},
		{SERVICE_IAM, "us-gov-east-1", "https://iam.us-gov.amazonaws.com/",
		 "us-gov-west-1"},
		{SERVICE_PRICING, "eu-west-1", "https://api.pricing.us-east-1.amazonaws.com/",
		 "us-east-1"},
		{SERVICE_STS, "ap-south-1", "https://sts.ap-south-1.amazonaws.com/", "ap-south-1"},
	};
	struct settings settings = {.profile = "default"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		_cleanup_free_ char *url =
			endpoint_url(&settings, CASES[i].service, CASES[i].region);

		assert_string_equal(url, CASES[i].url);
		assert_string_equal(signing_region(CASES[i].service, CASES[i].region),
				    CASES[i].signing);
	}
}

static void the_environment_overrides_endpoints(void **state)
{
	struct settings settings = {.profile = "default"};
	_cleanup_free_ char *own = NULL, *common = NULL, *ignored = NULL;

	(void)state;
	setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1", 1);
	setenv("AWS_ENDPOINT_URL_EC2", "http://127.0.0.1:2/", 1);
	own = endpoint_url(&settings, SERVICE_EC2, "eu-west-1");
	common = endpoint_url(&settings, SERVICE_SSM, "eu-west-1");
	setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "True", 1);
	ignored = endpoint_url(&settings, SERVICE_EC2, "eu-west-1");
	unsetenv("AWS_ENDPOINT_URL");
	unsetenv("AWS_ENDPOINT_URL_EC2");
	unsetenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
	assert_string_equal(own, "http://127.0.0.1:2/");
	assert_string_equal(common, "http://127.0.0.1:1/");
	assert_string_equal(ignored, "https://ec2.eu-west-1.amazonaws.com/");
}

static void waits_grow_and_stay_below_their_most(void **state)
{
	(void)state;
	for (uint32_t tries = 0; tries < 100; tries++)
		assert_true(backoff_ns(tries, NS_PER_S, 20 * NS_PER_S) <=
			    MIN(NS_PER_S << MIN(tries, 16U), 20 * NS_PER_S));
}

#define GROUP_ANSWER(text)                                                                 \
	"<DescribeAutoScalingGroupsResponse><DescribeAutoScalingGroupsResult><"            \
	"AutoScalingGroups>" text "</AutoScalingGroups></DescribeAutoScalingGroupsResult>" \
	"</DescribeAutoScalingGroupsResponse>"
#define GROUP_MEMBER(id, is)                                                             \
	"<member><InstanceId>" id "</InstanceId><LifecycleState>" is "</LifecycleState>" \
	"</member>"

static void a_group_is_its_number_and_its_members(void **state)
{
	static const char BODY[] = GROUP_ANSWER(
		"<member><MaxSize>5</MaxSize><DesiredCapacity>3</"
		"DesiredCapacity><Instances>" GROUP_MEMBER("i-1", "InService")
			GROUP_MEMBER("i-2", "Terminating:Wait")
				GROUP_MEMBER("i-3", "Pending:Proceed")
					GROUP_MEMBER("i-4", "Standby") "</Instances></member>");
	struct group_view view = {0};

	(void)state;
	assert_int_equal(group_read(BODY, strlen(BODY), &view), 0);
	assert_true(view.found);
	assert_int_equal(view.desired, 3);
	assert_int_equal(view.max, 5);
	assert_int_equal(view.members.count, 2);
	assert_string_equal(view.members.at[0].id, "i-1");
	assert_string_equal(view.members.at[1].id, "i-3");
	vec_free(&view.members);
}

/* What is no number lets nothing grow. */
static void what_is_no_group_is_not_one(void **state)
{
	static const struct {
		const char *body;
		int error;
	} CASES[] = {
		{"", -EBADMSG},
		{"<DescribeAutoScalingGroupsResponse>", -EBADMSG},
		{"<ErrorResponse><MaxSize>5</MaxSize></ErrorResponse>", -EBADMSG},
		{GROUP_ANSWER(""), 0},
		{GROUP_ANSWER("<member><MaxSize>-1</MaxSize>"
			      "<DesiredCapacity>99999999999999999999</DesiredCapacity></member>"),
		 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct group_view view = {0};

		assert_int_equal(group_read(CASES[i].body, strlen(CASES[i].body), &view),
				 CASES[i].error);
		assert_int_equal(view.max, 0);
		assert_int_equal(view.desired, 0);
		assert_int_equal(view.members.count, 0);
		vec_free(&view.members);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(credentials_come_from_json),
		cmocka_unit_test(json_without_credentials_says_why),
		cmocka_unit_test(credentials_come_from_sts),
		cmocka_unit_test(credentials_travel_by_http_to_few_hosts),
		cmocka_unit_test(prices_come_from_products),
		cmocka_unit_test(what_is_no_price_is_not_taken),
		cmocka_unit_test(endpoints_follow_region_and_partition),
		cmocka_unit_test(the_environment_overrides_endpoints),
		cmocka_unit_test(waits_grow_and_stay_below_their_most),
		cmocka_unit_test(a_group_is_its_number_and_its_members),
		cmocka_unit_test(what_is_no_group_is_not_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
