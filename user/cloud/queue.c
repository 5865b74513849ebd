/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue into which EventBridge puts what EC2 says of instances: for nodes whose own agent is
 * gone. Long polls, by whoever may act alone; a message is deleted once it has been acted on, and
 * comes again where it could not be.
 */
#include "cloud/private.h"

#include <cjson/cJSON.h>

#define WAIT_SECONDS 20 /* the most that SQS takes */
#define HIDDEN_SECONDS 30 /* from who else reads, while it is acted on */
#define TIMEOUT_MS 30000
#define LOOK_NS (500 * NS_PER_MS) /* whether this process may act */
#define PAUSE_BASE_NS NS_PER_S
#define PAUSE_MOST_NS (30 * NS_PER_S)

struct queue {
	struct cloud *cloud;
	char *name; /* or its URL */
	char *url; /* NULL: not known yet */
	struct loop_timer *timer;
	struct queue_status status;
	uint32_t failures;
};

/* ---- calls ---- */

static void call(struct queue *queue, const char *target, cJSON *body, unsigned flags, call_fn done)
{
	char *text = cJSON_PrintUnformatted(body);

	cJSON_Delete(body);
	if (!text)
		abort();
	call_send(queue->cloud, &(struct call_request){
					.service = SERVICE_SQS,
					.target = target,
					.body = text,
					.flags = CALL_JSON | flags,
					.timeout_ms = TIMEOUT_MS,
					.done = done,
					.arg = queue,
				});
	cJSON_free(text);
}

static void fail(struct queue *queue, const char *what, const struct answer *answer)
{
	uint64_t wait_ns = backoff_ns(++queue->failures, PAUSE_BASE_NS, PAUSE_MOST_NS);
	char words[512], problem[CLOUD_TEXT_SIZE];

	snprintf(problem, sizeof(problem), "the queue %.80s: %s: %.140s", queue->name, what,
		 answer_text(answer, words));
	if (strncmp(problem, queue->status.problem, 80) != 0)
		log_error("%s; tried again (--interruption-queue)", problem);
	set_text(queue->status.problem, problem);
	queue->status.errors++;
	loop_timer_at(queue->timer, time_mono_ns() + MAX(wait_ns, NS_PER_S));
}

static void worked(struct queue *queue)
{
	queue->failures = 0;
	queue->status.problem[0] = '\0';
	loop_timer_at(queue->timer, 0);
}

/* ---- what a message says ---- */

static const char *text_at(const cJSON *json, const char *key)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key));

	return text ? text : "";
}

static uint64_t wall_now(const struct queue *queue)
{
	return time_wall_ns() + (uint64_t)(int64_t)(queue->cloud->clock_offset_s * NS_PER_S);
}

static struct notice notice_of(const struct queue *queue, const cJSON *event, enum notice_kind kind,
			       const char *what)
{
	struct notice notice = {.kind = kind};
	uint64_t said_ns = 0, now_ns = wall_now(queue);

	set_text(notice.what, what);
	make_plain(notice.what);
	if (time_parse(text_at(event, "time"), &said_ns) == 0)
		notice.age_ns = now_ns - MIN(now_ns, said_ns);
	return notice;
}

static bool tell(struct queue *queue, const char *id, const struct notice *notice)
{
	const struct cloud_events *events = &queue->cloud->events;

	if (!is_instance_id(id) || !events->noticed)
		return true;
	return events->noticed(events->arg, id, notice);
}

/* Two minutes before it happens ("Spot Instance interruption notices", EC2 user guide). */
static bool take_spot(struct queue *queue, const cJSON *event, const cJSON *detail)
{
	struct notice notice =
		notice_of(queue, event, NOTICE_SPOT, text_at(detail, "instance-action"));
	uint64_t said_ns;

	if (time_parse(text_at(event, "time"), &said_ns) == 0)
		notice.when_wall_ms = said_ns / NS_PER_MS + 120000;
	return tell(queue, text_at(detail, "instance-id"), &notice);
}

static bool take_rebalance(struct queue *queue, const cJSON *event, const cJSON *detail)
{
	struct notice notice = notice_of(queue, event, NOTICE_REBALANCE, "");

	return tell(queue, text_at(detail, "instance-id"), &notice);
}

static bool take_state(struct queue *queue, const cJSON *event, const cJSON *detail)
{
	const struct cloud_events *events = &queue->cloud->events;
	const char *id = text_at(detail, "instance-id"), *text = text_at(detail, "state");

	(void)event;
	for (int s = INSTANCE_SHUTTING_DOWN; s <= INSTANCE_STOPPED; s++) {
		if (strcmp(text, instance_state_text((enum instance_state)s)) != 0)
			continue;
		fleet_hurry(queue->cloud);
		if (is_instance_id(id) && events->state_changed)
			return events->state_changed(events->arg, id, (enum instance_state)s);
	}
	return true; /* pending and running are nobody's end */
}

static bool take_health(struct queue *queue, const cJSON *event, const cJSON *detail)
{
	struct notice notice =
		notice_of(queue, event, NOTICE_MAINTENANCE, text_at(detail, "eventTypeCode"));
	bool handled = true;
	const cJSON *it;

	if (strcmp(text_at(detail, "service"), "EC2") != 0 ||
	    strcmp(text_at(detail, "eventTypeCategory"), "scheduledChange") != 0)
		return true;
	notice.when_wall_ms = notice_time_ms(text_at(detail, "startTime"));
	cJSON_ArrayForEach (it, cJSON_GetObjectItemCaseSensitive(detail, "affectedEntities"))
		handled &= tell(queue, text_at(it, "entityValue"), &notice);
	return handled;
}

static const struct {
	const char *type;
	bool (*take)(struct queue *queue, const cJSON *event, const cJSON *detail);
} KINDS[] = {
	{"EC2 Spot Instance Interruption Warning", take_spot},
	{"EC2 Instance Rebalance Recommendation", take_rebalance},
	{"EC2 Instance State-change Notification", take_state},
	{"AWS Health Event", take_health},
};

/* Whether it is over with. What nobody here understands is, too: it would come again for ever. */
static bool take_message(struct queue *queue, const char *body)
{
	cJSON *event = cJSON_Parse(body);
	const cJSON *detail = cJSON_GetObjectItemCaseSensitive(event, "detail");
	bool known = false, handled = true;

	for (size_t i = 0; i < ARRAY_SIZE(KINDS) && !known; i++)
		if (strcmp(text_at(event, "detail-type"), KINDS[i].type) == 0) {
			known = true;
			handled = KINDS[i].take(queue, event, detail);
		}
	queue->status.unknown += !known;
	cJSON_Delete(event);
	return handled;
}

/* ---- reading it ---- */

static void on_deleted(void *arg, const struct answer *answer)
{
	struct queue *queue = arg;
	char words[512];

	queue->status.errors += answer->error != 0;
	if (answer->error)
		log_warning("the queue %s: DeleteMessageBatch: %s; what was read comes again",
			    queue->name, answer_text(answer, words));
}

static void delete_all(struct queue *queue, cJSON *entries)
{
	cJSON *body = cJSON_CreateObject();

	queue->status.deleted += (uint64_t)cJSON_GetArraySize(entries);
	cJSON_AddStringToObject(body, "QueueUrl", queue->url);
	cJSON_AddItemToObject(body, "Entries", entries);
	call(queue, "AmazonSQS.DeleteMessageBatch", body, CALL_RETRY_LITTLE, on_deleted);
}

static void add_entry(cJSON *entries, const cJSON *message)
{
	cJSON *entry = cJSON_CreateObject();
	char id[16];

	snprintf(id, sizeof(id), "%d", cJSON_GetArraySize(entries));
	cJSON_AddStringToObject(entry, "Id", id);
	cJSON_AddStringToObject(entry, "ReceiptHandle", text_at(message, "ReceiptHandle"));
	cJSON_AddItemToArray(entries, entry);
}

static void on_received(void *arg, const struct answer *answer)
{
	struct queue *queue = arg;
	cJSON *json, *entries;
	const cJSON *it;

	if (answer->error) {
		fail(queue, "ReceiveMessage", answer);
		return;
	}
	json = cJSON_ParseWithLength(answer->body, answer->length);
	entries = cJSON_CreateArray();
	cJSON_ArrayForEach (it, cJSON_GetObjectItemCaseSensitive(json, "Messages")) {
		queue->status.received++;
		if (take_message(queue, text_at(it, "Body")))
			add_entry(entries, it);
	}
	if (cJSON_GetArraySize(entries))
		delete_all(queue, entries);
	else
		cJSON_Delete(entries);
	cJSON_Delete(json);
	worked(queue);
}

static void receive(struct queue *queue)
{
	cJSON *body = cJSON_CreateObject();

	cJSON_AddStringToObject(body, "QueueUrl", queue->url);
	cJSON_AddNumberToObject(body, "MaxNumberOfMessages", 10);
	cJSON_AddNumberToObject(body, "WaitTimeSeconds", WAIT_SECONDS);
	cJSON_AddNumberToObject(body, "VisibilityTimeout", HIDDEN_SECONDS);
	call(queue, "AmazonSQS.ReceiveMessage", body, 0, on_received);
}

static void on_url(void *arg, const struct answer *answer)
{
	struct queue *queue = arg;
	cJSON *json;

	if (answer->error) {
		fail(queue, "GetQueueUrl", answer);
		return;
	}
	json = cJSON_ParseWithLength(answer->body, answer->length);
	if (*text_at(json, "QueueUrl"))
		queue->url = strdup(text_at(json, "QueueUrl"));
	cJSON_Delete(json);
	worked(queue);
}

static void find(struct queue *queue)
{
	cJSON *body = cJSON_CreateObject();

	cJSON_AddStringToObject(body, "QueueName", queue->name);
	call(queue, "AmazonSQS.GetQueueUrl", body, 0, on_url);
}

static void on_timer(void *arg, uint64_t now_ns)
{
	struct queue *queue = arg;
	const struct cloud_events *events = &queue->cloud->events;

	queue->status.reads = !events->may_act || events->may_act(events->arg);
	if (!queue->status.reads)
		loop_timer_at(queue->timer, now_ns + LOOK_NS);
	else if (queue->url)
		receive(queue);
	else
		find(queue);
}

bool queue_name_valid(const char *text)
{
	size_t length = strlen(text);

	if (str_starts(text, "https://") || str_starts(text, "http://"))
		return length < 512 && strchr(text + 8, '/') && !strpbrk(text, " \t\"\\");
	return length && length <= 80 &&
	       strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
		       length;
}

int cloud_watch_queue(struct cloud *cloud, const char *name)
{
	struct queue *queue;

	if (!queue_name_valid(name))
		return -EINVAL;
	queue = calloc(1, sizeof(*queue));
	if (!queue)
		return -ENOMEM;
	cloud->queue = queue;
	queue->cloud = cloud;
	queue->name = strdup(name);
	queue->url = strstr(name, "://") ? strdup(name) : NULL;
	if (!queue->name || loop_timer_new(cloud->loop, on_timer, queue, &queue->timer) < 0)
		return -ENOMEM;
	loop_timer_at(queue->timer, 0);
	return 0;
}

void queue_free(struct cloud *cloud)
{
	struct queue *queue = TAKE(cloud->queue);

	if (!queue)
		return;
	if (queue->timer)
		loop_timer_free(queue->timer);
	free(queue->name);
	free(queue->url);
	free(queue);
}

bool cloud_queue_status(const struct cloud *cloud, struct queue_status *out)
{
	if (cloud->queue)
		*out = cloud->queue->status;
	return cloud->queue != NULL;
}
