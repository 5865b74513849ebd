/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs under our tag, asked for often while something is on its way and seldom otherwise; and
 * two connections to EC2 that are kept warm, so that a launch finds one even while the other is in
 * use.
 */
#include "cloud/private.h"

#define HURRY_NS (15 * NS_PER_S)
#define WARM_EVERY_NS (15 * NS_PER_S)
#define WARM_CONNECTIONS 2
#define WARM_TIMEOUT_MS 5000

static void on_timer(void *arg, uint64_t now_ns);
static void on_warm_timer(void *arg, uint64_t now_ns);

int fleet_init(struct cloud *cloud)
{
	int r = loop_timer_new(cloud->loop, on_timer, cloud, &cloud->fleet.timer);

	if (r >= 0)
		r = loop_timer_new(cloud->loop, on_warm_timer, cloud, &cloud->fleet.warm_timer);
	return r;
}

void fleet_free(struct cloud *cloud)
{
	if (cloud->fleet.timer)
		loop_timer_free(cloud->fleet.timer);
	if (cloud->fleet.warm_timer)
		loop_timer_free(cloud->fleet.warm_timer);
	vec_free(&cloud->fleet.gathering);
	vec_free(&cloud->fleet.view);
}

/* ---- reading ---- */

static bool state_of(const char *text, enum instance_state *state)
{
	for (int i = INSTANCE_PENDING; i <= INSTANCE_STOPPED; i++)
		if (strcmp(text, instance_state_text((enum instance_state)i)) == 0) {
			*state = (enum instance_state)i;
			return true;
		}
	return false;
}

static void take_count(struct instance_view *item, const char *value)
{
	uint64_t count;

	if (parse_u64(value, &count) == 0 && count < UINT32_MAX)
		item->launch_count = (uint32_t)count;
}

static void take_tag(struct instance_view *item, const char *key, const char *value)
{
	if (strcmp(key, TAG_DECISION) == 0)
		set_text(item->decision, value);
	else if (strcmp(key, TAG_POOL) == 0)
		set_text(item->pool, value);
	else if (strcmp(key, TAG_POLICY) == 0)
		set_text(item->policy, value);
	else if (strcmp(key, TAG_TOKEN) == 0)
		set_text(item->token, value);
	else if (strcmp(key, TAG_COUNT) == 0)
		take_count(item, value);
}

static void end_item(struct fleet *fleet)
{
	fleet->item.owned = true; /* the query asks for ours alone */
	if (*fleet->item.id)
		*vec_push(&fleet->gathering) = fleet->item;
	fleet->item = (struct instance_view){0};
}

static void on_element(void *arg, const char *path, const char *text)
{
	static const char prefix[] = "reservationSet/item/instancesSet/item";
	struct fleet *fleet = arg;
	struct instance_view *item = &fleet->item;

	if (!str_starts(path, prefix))
		return;
	path += sizeof(prefix) - 1;
	if (!*path)
		end_item(fleet);
	else if (strcmp(path, "/instanceId") == 0)
		set_text(item->id, text);
	else if (strcmp(path, "/instanceState/name") == 0)
		state_of(text, &item->state);
	else if (strcmp(path, "/instanceType") == 0)
		set_text(item->instance_type, text);
	else if (strcmp(path, "/placement/availabilityZone") == 0)
		set_text(item->zone, text);
	else if (strcmp(path, "/privateIpAddress") == 0)
		set_text(item->private_address, text);
	else if (strcmp(path, "/launchTime") == 0)
		time_parse(text, &item->launched_wall_ns);
	else if (strcmp(path, "/instanceLifecycle") == 0)
		item->capacity_type =
			strcmp(text, "spot") == 0 ? CAPACITY_SPOT : CAPACITY_ON_DEMAND;
	else if (strcmp(path, "/tagSet/item/key") == 0)
		set_text(fleet->tag_key, text);
	else if (strcmp(path, "/tagSet/item/value") == 0)
		take_tag(item, fleet->tag_key, text);
}

/* ---- asking ---- */

static bool on_its_way(const struct fleet *fleet)
{
	vec_for_each (item, &fleet->view)
		if (item->state == INSTANCE_PENDING || item->state == INSTANCE_SHUTTING_DOWN ||
		    item->state == INSTANCE_STOPPING)
			return true;
	return false;
}

static void ask_later(struct cloud *cloud)
{
	struct fleet *fleet = &cloud->fleet;
	uint64_t now_ns = time_mono_ns();
	bool often = on_its_way(fleet) || now_ns < fleet->hurry_until_ns;

	loop_timer_at(fleet->timer, now_ns + (often ? cloud->config.fleet_every_ns
						    : cloud->config.fleet_idle_every_ns));
}

static void publish(struct cloud *cloud)
{
	struct fleet *fleet = &cloud->fleet;
	struct fleet_view view;

	vec_clear(&fleet->view);
	vec_for_each (item, &fleet->gathering)
		*vec_push(&fleet->view) = *item;
	view = (struct fleet_view){fleet->view.at, fleet->view.count, fleet->asked_ns};
	cloud->events.fleet(cloud->events.arg, &view);
}

static void on_fleet(void *arg, const struct answer *answer)
{
	struct fleet *fleet = arg;
	struct cloud *cloud = (struct cloud *)((char *)fleet - offsetof(struct cloud, fleet));
	char words[512];

	fleet->asking = false;
	if (answer->error) {
		answer_text(answer, words);
		if (strncmp(fleet->problem, words, sizeof(answer->code)) != 0)
			log_error("EC2 refused DescribeInstances: %s", words);
		set_text(fleet->problem, words);
	} else {
		fleet->problem[0] = '\0';
		publish(cloud);
	}
	if (fleet->again) {
		fleet->again = false;
		cloud_describe_now(cloud);
	} else {
		ask_later(cloud);
	}
}

static void fleet_query(struct cloud *cloud, struct text *query)
{
	form_begin(query, "DescribeInstances");
	form_add(query, "tag:" TAG_OWNER, "Filter.1.Name");
	form_add(query, cloud->config.name, "Filter.1.Value.1");
}

/* Terminated ones too: EC2 shows them for about an hour, and so their end is known. */
void cloud_describe_now(struct cloud *cloud)
{
	struct fleet *fleet = &cloud->fleet;
	_cleanup_text_ struct text query = {0};

	if (fleet->asking) {
		fleet->again = true;
		return;
	}
	fleet->asking = true;
	loop_timer_stop(fleet->timer);
	vec_clear(&fleet->gathering);
	fleet->item = (struct instance_view){0};
	fleet->asked_ns = time_mono_ns();
	fleet_query(cloud, &query);
	form_add(&query, "500", "MaxResults");
	describe_send(cloud, &(struct describe_request){
				     .query = query.data,
				     .flags = CALL_RETRY,
				     .on_element = on_element,
				     .done = on_fleet,
				     .arg = fleet,
			     });
}

static void on_timer(void *arg, uint64_t now_ns)
{
	(void)now_ns;
	cloud_describe_now(arg);
}

/* What was launched may take a while to show. */
void fleet_hurry(struct cloud *cloud)
{
	uint64_t now_ns = time_mono_ns();

	cloud->fleet.hurry_until_ns = now_ns + HURRY_NS;
	if (cloud->started && !cloud->fleet.asking)
		loop_timer_at(cloud->fleet.timer, now_ns + cloud->config.fleet_every_ns);
}

static void on_warm(void *arg, const struct answer *answer)
{
	(void)arg;
	(void)answer;
}

/* DryRun: EC2 looks up nothing, the same permission as the real one is enough. */
static void on_warm_timer(void *arg, uint64_t now_ns)
{
	struct cloud *cloud = arg;
	_cleanup_text_ struct text query = {0};

	fleet_query(cloud, &query);
	form_add(&query, "true", "DryRun");
	for (int i = 0; i < WARM_CONNECTIONS && identity_ready(cloud); i++)
		call_send(cloud, &(struct call_request){
					 .service = SERVICE_EC2,
					 .body = query.data,
					 .flags = CALL_APART,
					 .timeout_ms = WARM_TIMEOUT_MS,
					 .done = on_warm,
					 .arg = cloud,
				 });
	loop_timer_at(cloud->fleet.warm_timer, now_ns + WARM_EVERY_NS);
}

void fleet_warm_now(struct cloud *cloud)
{
	if (cloud->working)
		loop_timer_at(cloud->fleet.warm_timer, 0);
}

void fleet_start(struct cloud *cloud)
{
	cloud_describe_now(cloud);
	loop_timer_at(cloud->fleet.warm_timer, time_mono_ns() + NS_PER_S);
}
