/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs under our tag or for one of the services, asked for often while something is on its way
 * and seldom otherwise; and two connections to EC2 that are kept warm, so that a launch finds one
 * even while the other is in use.
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

	cloud->fleet.documents = cloud->documents;
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

/* ---- asking ---- */

static void on_element(void *arg, const char *path, const char *text)
{
	struct cloud *cloud = arg;

	fleet_element(&cloud->fleet, cloud->config.name, path, text);
}

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
	fleet->known = true;
	view = (struct fleet_view){fleet->view.at, fleet->view.count, fleet->asked_ns};
	cloud->events.fleet(cloud->events.arg, &view);
}

static void on_fleet(void *arg, const struct answer *answer)
{
	struct cloud *cloud = arg;
	struct fleet *fleet = &cloud->fleet;
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

/* One call for all: what somebody launched by us, what says which service it runs, and members of
 * Auto Scaling groups where a NodePool names one. */
static void fleet_query(const struct cloud *cloud, struct text *query)
{
	form_begin(query, "DescribeInstances");
	form_add(query, "tag-key", "Filter.1.Name");
	form_add(query, TAG_OWNER, "Filter.1.Value.1");
	form_add(query, TAG_SERVICE, "Filter.1.Value.2");
	vec_for_each (pool, &cloud->documents->pools)
		if (pool->auto_scaling_group) {
			form_add(query, TAG_GROUP, "Filter.1.Value.3");
			return;
		}
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
				     .arg = cloud,
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
	loop_timer_at(cloud->fleet.warm_timer, 0);
}
