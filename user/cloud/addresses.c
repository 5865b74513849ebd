/* SPDX-License-Identifier: Apache-2.0 */
/* The free addresses of the subnets, counted anew after each launch and termination, so that the
 * next launch is not refused for want of them. */
#include "cloud/private.h"

#define EVERY_NS (5 * NS_PER_S)

static void on_timer(void *arg, uint64_t now_ns);

int addresses_init(struct cloud *cloud)
{
	return loop_timer_new(cloud->loop, on_timer, cloud, &cloud->addresses.timer);
}

void addresses_free(struct cloud *cloud)
{
	if (cloud->addresses.timer)
		loop_timer_free(cloud->addresses.timer);
}

void addresses_changed(struct cloud *cloud)
{
	struct addresses *addresses = &cloud->addresses;

	if (!cloud->working)
		return;
	if (addresses->asking)
		addresses->again = true;
	else
		loop_timer_at(addresses->timer,
			      addresses->asked_ns ? addresses->asked_ns + EVERY_NS : 0);
}

static void end_subnet(struct cloud *cloud)
{
	const struct subnet *counted = &cloud->addresses.subnet;

	for (size_t i = 0; i < cloud->classes_count; i++)
		vec_for_each (subnet, &cloud->classes[i].view_subnets)
			if (strcmp(subnet->id, counted->id) == 0)
				subnet->free_addresses = counted->free_addresses;
	cloud->addresses.subnet = (struct subnet){0};
}

static void on_element(void *arg, const char *path, const char *text)
{
	struct cloud *cloud = arg;
	struct subnet *subnet = &cloud->addresses.subnet;

	if (strcmp(path, "subnetSet/item") == 0)
		end_subnet(cloud);
	else
		subnet_element(subnet, path, text);
}

static void on_counted(void *arg, const struct answer *answer)
{
	struct cloud *cloud = arg;
	struct addresses *addresses = &cloud->addresses;

	addresses->asking = false;
	if (!answer->error)
		for (size_t i = 0; i < cloud->classes_count; i++)
			if (cloud->classes[i].view.ready)
				class_publish(&cloud->classes[i]);
	if (addresses->again) {
		addresses->again = false;
		addresses_changed(cloud);
	}
}

static size_t add_subnets(const struct cloud *cloud, struct text *query)
{
	size_t count = 0;

	form_add(query, "subnet-id", "Filter.1.Name");
	for (size_t i = 0; i < cloud->classes_count; i++)
		vec_for_each (subnet, &cloud->classes[i].view_subnets)
			form_add(query, subnet->id, "Filter.1.Value.%zu", ++count);
	return count;
}

static void on_timer(void *arg, uint64_t now_ns)
{
	struct cloud *cloud = arg;
	struct addresses *addresses = &cloud->addresses;
	_cleanup_text_ struct text query = {0};

	form_begin(&query, "DescribeSubnets");
	if (addresses->asking || !add_subnets(cloud, &query))
		return;
	addresses->asking = true;
	addresses->asked_ns = now_ns;
	addresses->subnet = (struct subnet){0};
	form_add(&query, "500", "MaxResults");
	describe_send(cloud, &(struct describe_request){
				     .query = query.data,
				     .flags = CALL_RETRY_LITTLE,
				     .on_element = on_element,
				     .done = on_counted,
				     .arg = cloud,
			     });
}
