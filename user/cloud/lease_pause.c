/* SPDX-License-Identifier: Apache-2.0 */
/* Pausing whoever holds a lease, from outside: the attribute "paused" of its item. A renewal
 * leaves it alone. */
#include "cloud/lease.h"

#define TIMEOUT_MS 5000

struct pausing {
	struct cloud *cloud;
	char *table, *name;
	void (*done)(void *arg, int error, const char *text);
	void *arg;
};

static void pausing_free(void *arg)
{
	struct pausing *pausing = arg;

	free(pausing->table);
	free(pausing->name);
	free(pausing);
}

static void on_answer(void *arg, const struct answer *answer)
{
	struct pausing *pausing = arg;
	char problem[CLOUD_TEXT_SIZE], text[2 * CLOUD_TEXT_SIZE];
	int error = answer->error;

	if (strcmp(answer->code, "ConditionalCheckFailedException") == 0) {
		error = -ENOENT;
		snprintf(text, sizeof(text),
			 "table %.64s has no item %.64s: expected the --name of a core that runs "
			 "with this table",
			 pausing->table, pausing->name);
	} else if (error) {
		lease_problem(pausing->cloud, pausing->table, answer, problem);
		snprintf(text, sizeof(text), "lock table %.64s: %s", pausing->table, problem);
	} else {
		text[0] = '\0';
	}
	pausing->done(pausing->arg, error, text);
	pausing_free(pausing);
}

static void pause_body(const struct lease_config *config, const char *why, struct text *out)
{
	text_add(out, "{\"TableName\":");
	text_add_json(out, config->table);
	text_add(out, ",\"Key\":{\"name\":{\"S\":");
	text_add_json(out, config->name);
	text_printf(out,
		    "}},\"UpdateExpression\":\"%s\",\"ConditionExpression\":"
		    "\"attribute_exists(#rvn)\",\"ExpressionAttributeNames\":{\"#rvn\":\"rvn\","
		    "\"#paused\":\"paused\"}",
		    why ? "SET #paused = :why" : "REMOVE #paused");
	if (why) {
		text_add(out, ",\"ExpressionAttributeValues\":{\":why\":{\"S\":");
		text_add_json(out, why);
		text_add(out, "}}");
	}
	text_add_char(out, '}');
}

void lease_pause(struct cloud *cloud, const struct lease_config *config, const char *why,
		 void (*done)(void *arg, int error, const char *text), void *arg)
{
	struct pausing *pausing = calloc(1, sizeof(*pausing));
	_cleanup_text_ struct text body = {0};

	if (!pausing)
		abort();
	*pausing = (struct pausing){cloud, strdup(config->table), strdup(config->name), done, arg};
	if (!pausing->table || !pausing->name)
		abort();
	pause_body(config, why, &body);
	call_send(cloud, &(struct call_request){
				 .service = SERVICE_DYNAMODB,
				 .target = "DynamoDB_20120810.UpdateItem",
				 .body = body.data,
				 .flags = CALL_JSON | CALL_RETRY_LITTLE,
				 .timeout_ms = TIMEOUT_MS,
				 .done = on_answer,
				 .drop = pausing_free,
				 .arg = pausing,
			 });
}
