/* SPDX-License-Identifier: Apache-2.0 */
/* DynamoDB's JSON: the item of a lease, read and written. */
#include "cloud/lease.h"

#include <cjson/cJSON.h>

/* ---- reading ---- */

void lease_item_free(struct lease_item *item)
{
	free(item->state);
	*item = (struct lease_item){0};
}

/* {"rvn": {"S": "..."}}: type "S" or "N". NULL when it is not there. */
static const char *attribute(const cJSON *item, const char *name, const char *type)
{
	const cJSON *value = cJSON_GetObjectItemCaseSensitive(item, name);

	return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(value, type));
}

static bool take_word(const cJSON *item, const char *name, char *out, size_t size)
{
	const char *word = attribute(item, name, "S");

	if (cJSON_GetObjectItemCaseSensitive(item, name) && (!word || strlen(word) >= size))
		return false;
	fit_text(out, size, word ? word : "");
	make_plain(out);
	return true;
}

static bool take_count(const cJSON *item, const char *name, uint64_t *out)
{
	const char *number = attribute(item, name, "N");

	if (!cJSON_GetObjectItemCaseSensitive(item, name))
		return true;
	return number && parse_u64(number, out) == 0;
}

static void take_pause(const cJSON *item, struct lease_item *out)
{
	const char *why = attribute(item, "paused", "S");

	out->is_paused = cJSON_GetObjectItemCaseSensitive(item, "paused");
	set_text(out->paused, why && *why ? why : out->is_paused ? "without a reason" : "");
	make_plain(out->paused);
}

static bool take_item(const cJSON *item, struct lease_item *out)
{
	const char *state = attribute(item, "state", "S");

	out->there = true;
	take_pause(item, out);
	if (!take_word(item, "holder", out->holder, sizeof(out->holder)) ||
	    !take_word(item, "rvn", out->rvn, sizeof(out->rvn)) ||
	    !take_count(item, "epoch", &out->epoch) || !take_count(item, "ttl_ms", &out->ttl_ms) ||
	    out->epoch == UINT64_MAX)
		return false;
	out->state = state ? strdup(state) : NULL;
	return true;
}

int lease_item_read(const char *body, size_t length, struct lease_item *out,
		    char problem[CLOUD_TEXT_SIZE])
{
	cJSON *answer = cJSON_ParseWithLength(body, length);
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(answer, "Item");
	int r = 0;

	*out = (struct lease_item){0};
	if (!item)
		item = cJSON_GetObjectItemCaseSensitive(answer, "Attributes");
	if (!cJSON_IsObject(answer) || (item && !cJSON_IsObject(item))) {
		snprintf(problem, CLOUD_TEXT_SIZE, "DynamoDB's answer makes no sense");
		r = -EBADMSG;
	} else if (item && !take_item(item, out)) {
		snprintf(problem, CLOUD_TEXT_SIZE,
			 "the item is none of forerun's (holder, rvn: strings; epoch, ttl_ms: "
			 "numbers): delete it, or give another --lock-table");
		r = -EBADMSG;
	}
	cJSON_Delete(answer);
	if (r < 0)
		lease_item_free(out);
	return r;
}

/* ---- writing ---- */

/* Some of the names are reserved words of DynamoDB: all go by "#NAME", those that are used. */
static void add_names(struct text *out, const char *const *names, size_t count)
{
	text_add(out, ",\"ExpressionAttributeNames\":{");
	for (size_t i = 0; i < count; i++)
		text_printf(out, "%s\"#%s\":\"%s\"", i ? "," : "", names[i], names[i]);
	text_add_char(out, '}');
}

static void add_key(struct text *out, const struct lease_config *config)
{
	text_add(out, "{\"TableName\":");
	text_add_json(out, config->table);
	text_add(out, ",\"Key\":{\"name\":{\"S\":");
	text_add_json(out, config->name);
	text_add(out, "}}");
}

void lease_read_body(const struct lease_config *config, struct text *out)
{
	static const char *const NAMES[] = {"holder", "rvn", "epoch", "ttl_ms", "paused"};

	add_key(out, config);
	text_add(out, ",\"ConsistentRead\":true,"
		      "\"ProjectionExpression\":\"#holder,#rvn,#epoch,#ttl_ms,#paused\"");
	add_names(out, NAMES, ARRAY_SIZE(NAMES));
	text_add_char(out, '}');
}

static void add_condition(struct text *out, const struct lease_update *update)
{
	text_add(out, ",\"ConditionExpression\":\"");
	if (update->if_absent)
		text_add(out, "attribute_not_exists(#rvn) AND attribute_not_exists(#holder)");
	else if (update->if_rvn && !*update->if_rvn)
		text_add(out, "attribute_not_exists(#rvn)");
	else if (update->if_rvn)
		text_add(out, "#rvn = :if_rvn");
	if (update->if_holder)
		text_printf(out, "%s#holder = :if_holder", update->if_rvn ? " AND " : "");
	text_add_char(out, '"');
}

static void add_value(struct text *out, const char *name, const char *value)
{
	text_printf(out, ",\":%s\":{\"S\":", name);
	text_add_json(out, value);
	text_add_char(out, '}');
}

static void add_values(struct text *out, const struct lease_update *update)
{
	text_printf(out,
		    ",\"ExpressionAttributeValues\":{\":epoch\":{\"N\":\"%llu\"},"
		    "\":ttl_ms\":{\"N\":\"%llu\"}",
		    (unsigned long long)update->epoch, (unsigned long long)update->ttl_ms);
	add_value(out, "rvn", update->rvn);
	if (*update->holder)
		add_value(out, "holder", update->holder);
	if (update->state)
		add_value(out, "state", update->state);
	if (update->if_rvn && *update->if_rvn)
		add_value(out, "if_rvn", update->if_rvn);
	if (update->if_holder)
		add_value(out, "if_holder", update->if_holder);
	text_add_char(out, '}');
}

void lease_update_body(const struct lease_config *config, const struct lease_update *update,
		       struct text *out)
{
	static const char *const NAMES[] = {"rvn", "epoch", "ttl_ms", "holder", "state"};

	add_key(out, config);
	text_printf(out,
		    ",\"UpdateExpression\":\"SET #rvn = :rvn, #epoch = :epoch, #ttl_ms = "
		    ":ttl_ms%s%s%s\"",
		    *update->holder ? ", #holder = :holder" : "",
		    update->state ? ", #state = :state" : "",
		    *update->holder ? "" : " REMOVE #holder");
	add_condition(out, update);
	add_names(out, NAMES, update->state ? 5 : 4);
	add_values(out, update);
	text_printf(out,
		    ",\"ReturnValues\":\"%s\",\"ReturnValuesOnConditionCheckFailure\":\"ALL_OLD\"}",
		    update->return_item ? "ALL_NEW" : "NONE");
}

/* ---- what may be wrong ---- */

bool is_table_name(const char *table)
{
	size_t length = table ? strlen(table) : 0;

	return length >= 3 && length <= 255 &&
	       strspn(table, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") ==
		       length;
}

void lease_problem(const struct cloud *cloud, const char *table, const struct answer *answer,
		   char out[CLOUD_TEXT_SIZE])
{
	char words[512];

	if (strcmp(answer->code, "ResourceNotFoundException") == 0 && strlen(table) > 48)
		snprintf(out, CLOUD_TEXT_SIZE,
			 "there is none in %s: make it as docs/aws.md says, under \"Lock table\"",
			 cloud->identity.region);
	else if (strcmp(answer->code, "ResourceNotFoundException") == 0)
		snprintf(out, CLOUD_TEXT_SIZE,
			 "none in %.20s: aws dynamodb create-table --table-name %.48s "
			 "--attribute-definitions AttributeName=name,AttributeType=S "
			 "--key-schema AttributeName=name,KeyType=HASH "
			 "--billing-mode PAY_PER_REQUEST",
			 cloud->identity.region, table);
	else if (answer->error == -EACCES)
		snprintf(out, CLOUD_TEXT_SIZE,
			 "not allowed: dynamodb:GetItem and UpdateItem on table/%.64s are needed: "
			 "%.100s",
			 table, answer_text(answer, words));
	else if (strcmp(answer->code, "ValidationException") == 0 &&
		 strstr(answer->message, " key"))
		snprintf(out, CLOUD_TEXT_SIZE,
			 "expected the partition key \"name\" (a string) and no sort key: %.150s",
			 answer_text(answer, words));
	else
		snprintf(out, CLOUD_TEXT_SIZE, "%.255s", answer_text(answer, words));
}
