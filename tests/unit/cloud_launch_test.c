/* SPDX-License-Identifier: Apache-2.0 */
/* CreateFleet: the bytes of an order, and what an answer is taken for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cloud/private.h"

static void override(struct launch_order *order, const char *type, const char *zone,
		     const char *template)
{
	struct launch_override *added = vec_push(&order->overrides);

	set_text(added->instance_type, type);
	set_text(added->zone, zone);
	snprintf(added->subnet_id, sizeof(added->subnet_id), "subnet-%s", zone);
	set_text(added->launch_template, template);
	added->priority = -1;
}

static void tag(struct launch_order *order, const char *key, const char *value)
{
	struct key_value *added = vec_push(&order->tags.list);

	added->key = strdup(key);
	added->value = strdup(value);
}

static struct launch_order spot_order(void)
{
	struct launch_order order = {.capacity_type = CAPACITY_SPOT, .count = 3};

	set_text(order.token, "d-1.2");
	override(&order, "m7g.large", "1a", "arm");
	override(&order, "m7i.large", "1a", "x86");
	override(&order, "c7g.large", "1b", "arm");
	tag(&order, "Name", "forerun/web & co");
	tag(&order, TAG_OWNER, "default");
	return order;
}

static void a_spot_order_is_these_bytes(void **state)
{
	static const char EXPECTED[] =
		"Action=CreateFleet&Version=2016-11-15&Type=instant&ClientToken=d-1.2"
		"&TargetCapacitySpecification.TotalTargetCapacity=3"
		"&TargetCapacitySpecification.DefaultTargetCapacityType=spot"
		"&SpotOptions.AllocationStrategy=price-capacity-optimized"
		"&LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateName=arm"
		"&LaunchTemplateConfigs.1.LaunchTemplateSpecification.Version=1"
		"&LaunchTemplateConfigs.1.Overrides.1.InstanceType=m7g.large"
		"&LaunchTemplateConfigs.1.Overrides.1.SubnetId=subnet-1a"
		"&LaunchTemplateConfigs.1.Overrides.1.AvailabilityZone=1a"
		"&LaunchTemplateConfigs.1.Overrides.2.InstanceType=c7g.large"
		"&LaunchTemplateConfigs.1.Overrides.2.SubnetId=subnet-1b"
		"&LaunchTemplateConfigs.1.Overrides.2.AvailabilityZone=1b"
		"&LaunchTemplateConfigs.2.LaunchTemplateSpecification.LaunchTemplateName=x86"
		"&LaunchTemplateConfigs.2.LaunchTemplateSpecification.Version=1"
		"&LaunchTemplateConfigs.2.Overrides.1.InstanceType=m7i.large"
		"&LaunchTemplateConfigs.2.Overrides.1.SubnetId=subnet-1a"
		"&LaunchTemplateConfigs.2.Overrides.1.AvailabilityZone=1a"
		"&TagSpecification.1.ResourceType=instance"
		"&TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=forerun%2Fweb+%"
		"26+co"
		"&TagSpecification.1.Tag.2.Key=forerun.dev%2Fowner"
		"&TagSpecification.1.Tag.2.Value=default"
		"&TagSpecification.2.ResourceType=fleet"
		"&TagSpecification.2.Tag.1.Key=Name&TagSpecification.2.Tag.1.Value=forerun%2Fweb+%"
		"26+co"
		"&TagSpecification.2.Tag.2.Key=forerun.dev%2Fowner"
		"&TagSpecification.2.Tag.2.Value=default";
	_cleanup_text_ struct text first = {0}, second = {0};
	struct launch_order order = spot_order();

	(void)state;
	fleet_request(&order, "default", false, &first);
	fleet_request(&order, "default", false, &second);
	assert_string_equal(first.data, EXPECTED);
	assert_string_equal(second.data, EXPECTED);
	launch_order_free(&order);
}

static void on_demand_takes_the_lowest_price_and_priorities_where_given(void **state)
{
	_cleanup_text_ struct text plain = {0}, prioritized = {0};
	struct launch_order order = spot_order();

	(void)state;
	order.capacity_type = CAPACITY_ON_DEMAND;
	fleet_request(&order, "default", true, &plain);
	assert_non_null(strstr(plain.data, "&DryRun=true&"));
	assert_non_null(strstr(plain.data, "&OnDemandOptions.AllocationStrategy=lowest-price&"));
	assert_null(strstr(plain.data, "SpotOptions"));
	assert_null(strstr(plain.data, "Priority"));
	assert_null(strstr(plain.data, "Context"));
	order.overrides.at[1].priority = 2.5;
	set_text(order.context, "fleet-of-the-class");
	fleet_request(&order, "default", false, &prioritized);
	assert_non_null(strstr(prioritized.data, "AllocationStrategy=prioritized&"));
	assert_non_null(strstr(prioritized.data, ".Overrides.1.Priority=2.5&"));
	assert_non_null(strstr(prioritized.data, "&Context=fleet-of-the-class"));
	launch_order_free(&order);
}

static void an_order_without_an_owner_gets_ours(void **state)
{
	_cleanup_text_ struct text body = {0};
	struct launch_order order = {.count = 1};

	(void)state;
	override(&order, "m7g.large", "1a", "arm");
	fleet_request(&order, "mine", false, &body);
	assert_non_null(strstr(body.data, "&TagSpecification.1.Tag.1.Key=forerun.dev%2Fowner"
					  "&TagSpecification.1.Tag.1.Value=mine"));
	launch_order_free(&order);
}

/* ---- answers ---- */

#define ITEM(tail)                                                                           \
	"<item><launchTemplateAndOverrides><overrides><instanceType>m5.large</instanceType>" \
	"<availabilityZone>us-east-1a</availabilityZone></overrides></"                      \
	"launchTemplateAndOverrides>" tail "</item>"

static struct launch_result classified(int error, int status, const char *code, const char *body)
{
	struct answer answer = {.error = error, .status = status, .body = body};
	struct launch_result result = {0};

	answer.length = strlen(body);
	set_text(answer.code, code);
	answer.throttled = code_is_throttle(code);
	launch_classify(&answer, &result);
	return result;
}

static void instances_and_failures_stand_beside_each_other(void **state)
{
	struct launch_result result = classified(
		0, 200, "",
		"<CreateFleetResponse><requestId>r</requestId><fleetId>f</"
		"fleetId><errorSet>" ITEM(
			"<errorCode>InsufficientInstanceCapacity</"
			"errorCode>") "</errorSet>"
				      "<fleetInstanceSet>" ITEM("<instanceIds><item>i-0a</"
								"item><item>i-0b</item>"
								"<item>i-0a</item></"
								"instanceIds>") "</"
										"fleetInsta"
										"nceSet>"
										"</"
										"CreateFlee"
										"tResponse"
										">");

	(void)state;
	assert_int_equal(result.outcome, LAUNCH_DONE);
	assert_int_equal(result.instances.count, 2);
	assert_string_equal(result.instances.at[1].id, "i-0b");
	assert_string_equal(result.instances.at[1].zone, "us-east-1a");
	assert_int_equal(result.failures.count, 1);
	assert_string_equal(result.failures.at[0].instance_type, "m5.large");
	assert_true(result.no_capacity);
	assert_false(result.throttled);
	assert_string_equal(result.request_id, "r");
	launch_result_free(&result);
}

static void a_throttle_inside_a_200_is_one(void **state)
{
	struct launch_result result = classified(
		0, 200, "",
		"<CreateFleetResponse><fleetId>f</fleetId><errorSet>" ITEM(
			"<errorCode>RequestLimitExceeded</errorCode>") "</errorSet></"
								       "CreateFleetResponse>");

	(void)state;
	assert_int_equal(result.outcome, LAUNCH_DONE);
	assert_true(result.throttled);
	assert_false(result.no_capacity);
	launch_result_free(&result);
}

static void every_other_answer_is_refused_or_unknown(void **state)
{
	static const struct {
		int error, status;
		const char *code, *body;
		enum launch_outcome outcome;
		bool throttled, no_capacity;
	} CASES[] = {
		{-EAGAIN, 0, "NoAnswer", "", LAUNCH_UNKNOWN},
		{-ENOKEY, 0, "NoCredentials", "", LAUNCH_UNKNOWN},
		{-EAGAIN, 500, "InternalError", "", LAUNCH_UNKNOWN},
		{-EAGAIN, 503, "RequestLimitExceeded", "", LAUNCH_UNKNOWN, true},
		{-EAGAIN, 500, "InsufficientInstanceCapacity", "", LAUNCH_REFUSED, false, true},
		{-EINVAL, 400, "InvalidParameterValue", "", LAUNCH_REFUSED},
		{-EACCES, 403, "UnauthorizedOperation", "", LAUNCH_REFUSED},
		{0, 200, "", "<html>", LAUNCH_UNKNOWN},
		{0, 200, "", "<CreateFleetResponse/>", LAUNCH_UNKNOWN},
		{0, 200, "", "<DescribeResponse><fleetId>f</fleetId></DescribeResponse>",
		 LAUNCH_UNKNOWN},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct launch_result result =
			classified(CASES[i].error, CASES[i].status, CASES[i].code, CASES[i].body);

		assert_int_equal(result.outcome, CASES[i].outcome);
		assert_int_equal(result.throttled, CASES[i].throttled);
		assert_int_equal(result.no_capacity, CASES[i].no_capacity);
		assert_int_equal(result.instances.count, 0);
		launch_result_free(&result);
	}
}

static void a_cut_answer_is_unknown_wherever_it_is_cut(void **state)
{
	static const char WHOLE[] =
		"<CreateFleetResponse><fleetId>f</fleetId><fleetInstanceSet>" ITEM(
			"<instanceIds><item>i-0a</item></instanceIds>") "</fleetInstanceSet></"
									"CreateFleetResponse>";

	(void)state;
	for (size_t length = 0; length <= strlen(WHOLE); length++) {
		struct launch_result result = {0};
		int r = fleet_response(WHOLE, length, &result);

		assert_int_equal(r, length == strlen(WHOLE) ? 0 : -EBADMSG);
		assert_int_equal(result.instances.count, length == strlen(WHOLE));
		launch_result_free(&result);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_spot_order_is_these_bytes),
		cmocka_unit_test(on_demand_takes_the_lowest_price_and_priorities_where_given),
		cmocka_unit_test(an_order_without_an_owner_gets_ours),
		cmocka_unit_test(instances_and_failures_stand_beside_each_other),
		cmocka_unit_test(a_throttle_inside_a_200_is_one),
		cmocka_unit_test(every_other_answer_is_refused_or_unknown),
		cmocka_unit_test(a_cut_answer_is_unknown_wherever_it_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
