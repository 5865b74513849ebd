/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Services and their hosts. A host runs the services that its agent names, else the one that EC2's
 * tags name for its instance. Outside a fleet there is one service, of every policy, and the one
 * host belongs to it.
 */
#include "core/core_private.h"

#define FORGET_AFTER_NS (600 * NS_PER_S)
/* After a cold start agents come back one by one. The hosts of a service are believed to be all
 * when none joined for so long, or when so much has passed since the first. */
#define JOINING_QUIET_NS (2 * NS_PER_S)
#define JOINING_MOST_NS (30 * NS_PER_S)

/* ---- services ---- */

static const char *service_of(const struct core *core, const struct policy *policy)
{
	if (!core->config.fleet)
		return "";
	return policy->service ? policy->service : policy->name;
}

static struct service *service_add(struct core *core, const char *name)
{
	struct service *service = service_find(core, name);

	if (service)
		return service;
	service = &core->services[core->services_count++];
	service->name = name;
	map_put(&core->services_by_name, hash_text(name), service);
	return service;
}

struct service *service_find(const struct core *core, const char *name)
{
	struct service *service = map_get(&core->services_by_name, hash_text(name));

	return service && strcmp(service->name, name) == 0 ? service : NULL;
}

static int service_tables_new(struct service *service)
{
	size_t at = 0;

	vec_for_each (policy, &service->policies)
		service->metrics_count += (*policy)->policy->metrics.count;
	service->metrics = calloc(MAX(service->metrics_count, 1), sizeof(*service->metrics));
	service->contributions =
		calloc(MAX(service->metrics_count, 1), sizeof(*service->contributions));
	if (!service->metrics || !service->contributions)
		return -ENOMEM;
	vec_for_each (policy, &service->policies) {
		(*policy)->metrics_at = at;
		vec_for_each (metric, &(*policy)->policy->metrics)
			service->metrics[at++] = (struct metric_ref){(*policy)->policy, metric};
	}
	return 0;
}

int services_new(struct core *core)
{
	core->services = calloc(MAX(core->policies_count, 1), sizeof(*core->services));
	if (!core->services)
		return -ENOMEM;
	for (size_t i = 0; i < core->policies_count; i++) {
		struct policy_state *policy = &core->policies[i];

		policy->service = service_add(core, service_of(core, policy->policy));
		*vec_push(&policy->service->policies) = policy;
	}
	for (size_t i = 0; i < core->services_count; i++)
		if (service_tables_new(&core->services[i]) < 0)
			return -ENOMEM;
	return 0;
}

/* ---- members ---- */

static void member_free(struct member *member)
{
	if (!member)
		return;
	free(member->testimonies);
	vec_free(&member->matches);
	vec_free(&member->more_bits);
	map_free(&member->matches_by_id);
	free(member);
}

static void hosts_changed(struct service *service)
{
	vec_for_each (policy, &service->policies)
		(*policy)->hosts_counted = 0;
}

static void member_join(struct host_view *host, struct service *service, struct moment now)
{
	struct member *member = calloc(1, sizeof(*member));

	if (!member)
		return;
	member->testimonies = calloc(MAX(service->metrics_count, 1), sizeof(*member->testimonies));
	if (!member->testimonies) {
		free(member);
		return;
	}
	member->service = service;
	member->host = host;
	member->at = service->members.count;
	*vec_push(&service->members) = member;
	vec_push(&service->heard);
	for (size_t m = 0; m < service->metrics_count; m++)
		vec_push(&service->contributions[m].list);
	if (!service->first_joined_ns)
		service->first_joined_ns = MAX(now.mono_ns, 1);
	service->last_joined_ns = now.mono_ns;
	*vec_push(&host->members) = member;
	hosts_changed(service);
}

/* The last takes its place. */
static void member_leave(struct member *member)
{
	struct service *service = member->service;
	size_t at = member->at, last = service->members.count - 1;

	service->members.at[at] = service->members.at[last];
	service->members.at[at]->at = at;
	service->members.count--;
	service->heard.at[at] = service->heard.at[last];
	service->heard.count--;
	for (size_t m = 0; m < service->metrics_count; m++) {
		struct contributions *contributions = &service->contributions[m];

		contributions->list.at[at] = contributions->list.at[last];
		contributions->list.count--;
	}
	hosts_changed(service);
	member_free(member);
}

/* ---- hosts ---- */

static void host_leave_all(struct host_view *host)
{
	vec_for_each (member, &host->members)
		member_leave(*member);
	vec_clear(&host->members);
}

static void host_forget(struct core *core, struct host_view *host)
{
	host_leave_all(host);
	vec_free(&host->members);
	map_remove(&core->hosts_by_name, hash_text(host->host));
	if (host_by_instance(core, host->instance_id) == host)
		map_remove(&core->hosts_by_instance, hash_text(host->instance_id));
	for (size_t i = 0; i < core->hosts.count; i++)
		if (core->hosts.at[i] == host) {
			core->hosts.at[i] = core->hosts.at[core->hosts.count - 1];
			core->hosts.count--;
			break;
		}
	core->totals.hosts_forgotten++;
	free(host);
}

struct host_view *host_by_instance(const struct core *core, const char *instance_id)
{
	return *instance_id ? map_get(&core->hosts_by_instance, hash_text(instance_id)) : NULL;
}

bool host_is_leaving(const struct core *core, const struct host_view *host)
{
	const struct instance *instance =
		*host->instance_id ? instance_find(core, host->instance_id) : NULL;

	return instance && instance->drain && instance->drain->state != DRAIN_REPLACING;
}

void host_leaves(const struct core *core, const char *instance_id)
{
	const struct host_view *host = host_by_instance(core, instance_id);
	bool leaving = host && host_is_leaving(core, host);

	for (size_t i = 0; host && i < host->members.count; i++) {
		const struct member *member = host->members.at[i];

		for (size_t m = 0; m < member->service->metrics_count; m++)
			member->service->contributions[m].list.at[member->at].leaving = leaving;
	}
}

static struct host_view *host_add(struct core *core, const char *name)
{
	struct host_view *host = map_get(&core->hosts_by_name, hash_text(name));

	if (host)
		return strcmp(host->host, name) == 0 ? host : NULL;
	host = calloc(1, sizeof(*host));
	if (!host)
		return NULL;
	text_copy(host->host, sizeof(host->host), name);
	*vec_push(&core->hosts) = host;
	map_put(&core->hosts_by_name, hash_text(name), host);
	return host;
}

static void join_named(struct core *core, struct host_view *host, struct moment now)
{
	const char *at = host->services;

	while (*at) {
		char name[CLOUD_NAME_SIZE];
		size_t length = strcspn(at, ",");
		struct service *service = NULL;

		if (length && length < sizeof(name)) {
			memcpy(name, at, length);
			name[length] = '\0';
			service = service_find(core, name);
		}
		vec_for_each (member, &host->members)
			if (service == (*member)->service)
				service = NULL; /* named twice */
		if (service)
			member_join(host, service, now);
		at += length + (at[length] == ',');
	}
}

static void host_join(struct core *core, struct host_view *host, struct moment now)
{
	if (!core->config.fleet) {
		if (core->services_count)
			member_join(host, &core->services[0], now);
	} else if (*host->services) {
		join_named(core, host, now);
	} else if (host->tagged) {
		member_join(host, host->tagged, now);
	}
}

static struct service *service_by_tag(const struct core *core, const char *instance_id)
{
	return *instance_id ? map_get(&core->tagged, hash_text(instance_id)) : NULL;
}

static bool host_instance(struct core *core, struct host_view *host, const char *instance_id)
{
	if (strcmp(host->instance_id, instance_id) == 0)
		return false;
	if (host_by_instance(core, host->instance_id) == host)
		map_remove(&core->hosts_by_instance, hash_text(host->instance_id));
	text_copy(host->instance_id, sizeof(host->instance_id), instance_id);
	if (*instance_id)
		map_put(&core->hosts_by_instance, hash_text(instance_id), host);
	return true;
}

static bool host_changed(struct core *core, struct host_view *host, const struct frame *frame,
			 const struct service *tagged)
{
	bool another = host_instance(core, host, frame->instance_id);

	return another || !host->received_ns || host->tagged != tagged ||
	       strcmp(host->services, frame->services) != 0;
}

struct host_view *host_take(struct core *core, const struct frame *frame, struct moment now)
{
	struct service *tagged = *frame->services ? NULL : service_by_tag(core, frame->instance_id);
	struct host_view *host;

	/* An instance that shuts down still speaks for a while. */
	if (*frame->instance_id && map_get(&core->ended, hash_text(frame->instance_id)))
		return NULL;
	host = host_add(core, frame->host);
	if (!host)
		return NULL;
	if (host_changed(core, host, frame, tagged)) {
		host_leave_all(host);
		text_copy(host->services, sizeof(host->services), frame->services);
		host->tagged = tagged;
		host_join(core, host, now);
	}
	host->received_ns = MAX(now.mono_ns, 1);
	vec_for_each (member, &host->members) {
		struct service *service = (*member)->service;

		service->heard.at[(*member)->at] = now.mono_ns;
		service->last_frame_ns = now.mono_ns;
	}
	return host;
}

bool host_silent(const struct core *core, const struct host_view *host, uint64_t now_ns)
{
	return now_ns > host->received_ns + core->config.limits.stale_ns;
}

void hosts_forget(struct core *core, struct moment now)
{
	if (!core->config.fleet || now.mono_ns < core->forgot_ns + NS_PER_S)
		return;
	core->forgot_ns = now.mono_ns;
	for (size_t i = core->hosts.count; i-- > 0;)
		if (now.mono_ns > core->hosts.at[i]->received_ns + FORGET_AFTER_NS)
			host_forget(core, core->hosts.at[i]);
}

/* Hosts of the service that are not among the policy's own instances. One that fell silent is still
 * there: it may serve. */
void hosts_count(const struct core *core, struct policy_state *policy)
{
	if (policy->hosts_counted == core->changes)
		return;
	policy->hosts_counted = core->changes;
	policy->hosts = 0;
	vec_for_each (it, &policy->service->members) {
		const char *id = (*it)->host->instance_id;
		const struct instance *instance = *id ? instance_find(core, id) : NULL;

		policy->hosts += !instance || !str_equal(policy->policy->name, instance->policy) ||
				 !str_equal(policy->policy->pool, instance->pool);
	}
}

/* ---- what EC2 says of hosts ---- */

static struct service *service_of_view(const struct core *core, const struct instance_view *view)
{
	const struct policy_state *policy;

	if (*view->service)
		return service_find(core, view->service);
	policy = *view->policy ? policy_find((struct core *)core, view->policy) : NULL;
	return policy ? policy->service : NULL;
}

/* Which service an instance runs, and which hosts have ended. */
void hosts_see(struct core *core, const struct fleet_view *view)
{
	if (!core->config.fleet)
		return;
	map_free(&core->tagged);
	map_free(&core->ended);
	for (size_t i = 0; i < view->count; i++) {
		const struct instance_view *it = &view->instances[i];
		struct service *service = service_of_view(core, it);
		struct host_view *host;

		if (it->state == INSTANCE_PENDING || it->state == INSTANCE_RUNNING) {
			if (service)
				map_put(&core->tagged, hash_text(it->id), service);
			continue;
		}
		map_put(&core->ended, hash_text(it->id), core);
		host = host_by_instance(core, it->id);
		if (host)
			host_forget(core, host);
	}
}

/* Without this a core that starts cold would take the first hosts that join for all there are. */
bool service_settled(struct core *core, struct service *service, struct moment now)
{
	if (service->settled || !core->config.fleet)
		return true;
	if (!service->first_joined_ns)
		return false;
	service->settled = now.mono_ns >= service->last_joined_ns + JOINING_QUIET_NS ||
			   now.mono_ns >= service->first_joined_ns + JOINING_MOST_NS;
	return service->settled;
}

bool core_host(const struct core *core, size_t index, struct moment now, struct host_status *out)
{
	const struct host_view *host;
	size_t length = 0;

	if (index >= core->hosts.count)
		return false;
	host = core->hosts.at[index];
	*out = (struct host_status){.heard_ns = host->received_ns,
				    .silent = host_silent(core, host, now.mono_ns),
				    .responded = host->responded};
	text_copy(out->host, sizeof(out->host), host->host);
	text_copy(out->instance_id, sizeof(out->instance_id), host->instance_id);
	vec_for_each (member, &host->members) {
		int added = snprintf(out->services + length, sizeof(out->services) - length, "%s%s",
				     length ? "," : "", (*member)->service->name);

		if (added > 0)
			length = MIN(length + (size_t)added, sizeof(out->services) - 1);
	}
	return true;
}

void services_free(struct core *core)
{
	vec_for_each (host, &core->hosts) {
		vec_for_each (member, &(*host)->members)
			member_free(*member);
		vec_free(&(*host)->members);
		free(*host);
	}
	for (size_t i = 0; i < core->services_count; i++) {
		struct service *service = &core->services[i];

		for (size_t m = 0; service->contributions && m < service->metrics_count; m++)
			vec_free(&service->contributions[m].list);
		vec_free(&service->policies);
		vec_free(&service->members);
		vec_free(&service->heard);
		free(service->metrics);
		free(service->contributions);
	}
	free(core->services);
	vec_free(&core->hosts);
	vec_free(&core->slots);
	map_free(&core->services_by_name);
	map_free(&core->hosts_by_name);
	map_free(&core->hosts_by_instance);
	map_free(&core->tagged);
	map_free(&core->ended);
}
