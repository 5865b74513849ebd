/* SPDX-License-Identifier: Apache-2.0 */
/* The item of a lease: what is asked of DynamoDB under which condition, and what is read of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <cjson/cJSON.h>

#include "cloud/lease.h"

static const struct lease_config CONFIG = {.table = "lock", .name = "we\"b", .holder = "me"};

static cJSON *written(const struct lease_update *update)
{
	_cleanup_text_ struct text body = {0};
	cJSON *json;

	lease_update_body(&CONFIG, update, &body);
	json = cJSON_Parse(body.data);
	assert_non_null(json);
	return json;
}

static const char *word(const cJSON *json, const char *name)
{
	return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));
}

/* The value that an expression calls so; NULL: it has none. */
static const char *value(const cJSON *json, const char *name, const char *type)
{
	const cJSON *values = cJSON_GetObjectItemCaseSensitive(json, "ExpressionAttributeValues");

	return word(cJSON_GetObjectItemCaseSensitive(values, name), type);
}

static void names_are_those_that_are_used(const cJSON *json)
{
	const cJSON *names = cJSON_GetObjectItemCaseSensitive(json, "ExpressionAttributeNames"),
		    *it;

	cJSON_ArrayForEach (it, names) {
		assert_true(strstr(word(json, "UpdateExpression"), it->string) ||
			    strstr(word(json, "ConditionExpression"), it->string));
	}
}

static void what_is_free_is_taken_only_while_nobody_has_it(void **state)
{
	cJSON *json = written(&(struct lease_update){.holder = "me",
						     .rvn = "r1",
						     .epoch = 1,
						     .ttl_ms = 5000,
						     .if_absent = true,
						     .return_item = true});

	(void)state;
	assert_string_equal(word(json, "ConditionExpression"),
			    "attribute_not_exists(#rvn) AND attribute_not_exists(#holder)");
	assert_string_equal(value(json, ":holder", "S"), "me");
	assert_string_equal(value(json, ":epoch", "N"), "1");
	assert_string_equal(word(json, "ReturnValues"), "ALL_NEW");
	assert_string_equal(word(json, "ReturnValuesOnConditionCheckFailure"), "ALL_OLD");
	names_are_those_that_are_used(json);
	cJSON_Delete(json);
}

static void what_is_left_is_taken_only_at_the_version_that_was_seen(void **state)
{
	cJSON *json = written(&(struct lease_update){.holder = "me", .rvn = "r2", .if_rvn = "r1"});

	(void)state;
	assert_string_equal(word(json, "ConditionExpression"), "#rvn = :if_rvn");
	assert_string_equal(value(json, ":if_rvn", "S"), "r1");
	names_are_those_that_are_used(json);
	cJSON_Delete(json);
	json = written(&(struct lease_update){.holder = "me", .rvn = "r2", .if_rvn = ""});
	assert_string_equal(word(json, "ConditionExpression"), "attribute_not_exists(#rvn)");
	assert_null(value(json, ":if_rvn", "S"));
	cJSON_Delete(json);
}

static void a_renewal_holds_only_for_the_holder_at_its_version(void **state)
{
	cJSON *json = written(&(struct lease_update){.holder = "me",
						     .rvn = "r2",
						     .state = "{\"a\":\"\n\"}",
						     .if_holder = "me",
						     .if_rvn = "r1"});

	(void)state;
	assert_string_equal(word(json, "ConditionExpression"),
			    "#rvn = :if_rvn AND #holder = :if_holder");
	assert_string_equal(value(json, ":state", "S"), "{\"a\":\"\n\"}");
	assert_string_equal(word(json, "ReturnValues"), "NONE");
	names_are_those_that_are_used(json);
	cJSON_Delete(json);
}

static void giving_up_takes_the_holder_out_and_nothing_else(void **state)
{
	cJSON *json = written(&(struct lease_update){.holder = "", .rvn = "r3", .if_holder = "me"});

	(void)state;
	assert_string_equal(word(json, "UpdateExpression"),
			    "SET #rvn = :rvn, #epoch = :epoch, #ttl_ms = :ttl_ms REMOVE #holder");
	assert_string_equal(word(json, "ConditionExpression"), "#holder = :if_holder");
	assert_null(value(json, ":holder", "S"));
	names_are_those_that_are_used(json);
	cJSON_Delete(json);
}

static int read_text(const char *body, struct lease_item *item, char problem[CLOUD_TEXT_SIZE])
{
	return lease_item_read(body, strlen(body), item, problem);
}

static void an_item_is_read_whole(void **state)
{
	char problem[CLOUD_TEXT_SIZE] = "";
	struct lease_item item;

	(void)state;
	assert_int_equal(
		read_text("{\"Attributes\":{\"holder\":{\"S\":\"a\"},\"rvn\":{\"S\":\"r\"},"
			  "\"epoch\":{\"N\":\"7\"},\"ttl_ms\":{\"N\":\"5000\"},"
			  "\"paused\":{\"S\":\"x\\ny\"},\"state\":{\"S\":\"{}\"}}}",
			  &item, problem),
		0);
	assert_true(item.there && item.is_paused);
	assert_string_equal(item.holder, "a");
	assert_string_equal(item.rvn, "r");
	assert_string_equal(item.paused, "x y");
	assert_string_equal(item.state, "{}");
	assert_int_equal(item.epoch, 7);
	assert_int_equal(item.ttl_ms, 5000);
	lease_item_free(&item);
}

static void no_item_is_none_and_a_paused_one_without_words_is_paused(void **state)
{
	char problem[CLOUD_TEXT_SIZE] = "";
	struct lease_item item;

	(void)state;
	assert_int_equal(read_text("{}", &item, problem), 0);
	assert_false(item.there);
	assert_int_equal(read_text("{\"Item\":{\"paused\":{\"BOOL\":true}}}", &item, problem), 0);
	assert_true(item.there && item.is_paused);
	assert_string_equal(item.paused, "without a reason");
	lease_item_free(&item);
}

static void what_is_no_item_of_ours_is_refused(void **state)
{
	static const char *const BODIES[] = {
		"",
		"[]",
		"null",
		"{\"Item\":5}",
		"{\"Item\":{\"holder\":{\"N\":\"5\"}}}",
		"{\"Item\":{\"holder\":\"a\"}}",
		"{\"Item\":{\"epoch\":{\"N\":\"1.5\"}}}",
		"{\"Item\":{\"epoch\":{\"N\":\"18446744073709551615\"}}}",
		"{\"Item\":{\"ttl_ms\":{\"S\":\"5\"}}}",
		"{\"Item\":{\"rvn\":{\"S\":\"0123456789012345678901234567890123\"}}}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(BODIES); i++) {
		char problem[CLOUD_TEXT_SIZE] = "";
		struct lease_item item;

		assert_int_equal(read_text(BODIES[i], &item, problem), -EBADMSG);
		assert_true(*problem);
		assert_false(item.there);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_free_is_taken_only_while_nobody_has_it),
		cmocka_unit_test(what_is_left_is_taken_only_at_the_version_that_was_seen),
		cmocka_unit_test(a_renewal_holds_only_for_the_holder_at_its_version),
		cmocka_unit_test(giving_up_takes_the_holder_out_and_nothing_else),
		cmocka_unit_test(an_item_is_read_whole),
		cmocka_unit_test(no_item_is_none_and_a_paused_one_without_words_is_paused),
		cmocka_unit_test(what_is_no_item_of_ours_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
