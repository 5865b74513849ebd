/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/private.h"

#define FLEET_EVERY_NS NS_PER_S
#define FLEET_IDLE_EVERY_NS (30 * NS_PER_S)
#define REFRESH_EVERY_NS (300 * NS_PER_S)
#define TEMPLATE_KEEP_NS (24 * 3600 * NS_PER_S)

struct whoami {
	void (*done)(void *arg, const char *instance_id, const char *instance_type,
		     const char *zone);
	void *arg;
	unsigned at;
	char parts[3][64];
};

void cloud_config_default(struct cloud_config *config)
{
	*config = (struct cloud_config){
		.name = "default",
		.fleet_every_ns = FLEET_EVERY_NS,
		.fleet_idle_every_ns = FLEET_IDLE_EVERY_NS,
		.refresh_every_ns = REFRESH_EVERY_NS,
		.template_keep_ns = TEMPLATE_KEEP_NS,
	};
}

static char *copy(const char *text)
{
	char *made = text && *text ? strdup(text) : NULL;

	if (text && *text && !made)
		abort();
	return made;
}

static void copy_cluster(struct cloud *cloud, const struct cloud_config *config)
{
	cloud->cluster = (struct cluster){
		.name = copy(config->cluster_name),
		.endpoint = copy(config->cluster_endpoint),
		.certificate_authority = copy(config->cluster_ca),
		.cidr = copy(config->cluster_cidr),
		.dns = copy(config->cluster_dns),
	};
	cloud->config.cluster_name = cloud->cluster.name;
	cloud->config.cluster_endpoint = cloud->cluster.endpoint;
	cloud->config.cluster_ca = cloud->cluster.certificate_authority;
	cloud->config.cluster_cidr = cloud->cluster.cidr;
	cloud->config.cluster_dns = cloud->cluster.dns;
}

static void free_cluster(struct cluster *cluster)
{
	free(cluster->name);
	free(cluster->endpoint);
	free(cluster->certificate_authority);
	free(cluster->cidr);
	free(cluster->dns);
}

static int copy_config(struct cloud *cloud, const struct cloud_config *config)
{
	cloud->config = *config;
	if (config->region && !(cloud->region = strdup(config->region)))
		return -ENOMEM;
	if (config->cluster_version && !(cloud->cluster_version = strdup(config->cluster_version)))
		return -ENOMEM;
	if (config->cache_path && !(cloud->cache_path = strdup(config->cache_path)))
		return -ENOMEM;
	cloud->name = strdup(config->name && *config->name ? config->name : "default");
	if (!cloud->name)
		return -ENOMEM;
	copy_cluster(cloud, config);
	cloud->config.region = cloud->region;
	cloud->config.cluster_version = cloud->cluster_version;
	cloud->config.cache_path = cloud->cache_path;
	cloud->config.name = cloud->name;
	if (!config->fleet_every_ns)
		cloud->config.fleet_every_ns = FLEET_EVERY_NS;
	if (!config->fleet_idle_every_ns)
		cloud->config.fleet_idle_every_ns = FLEET_IDLE_EVERY_NS;
	if (!config->refresh_every_ns)
		cloud->config.refresh_every_ns = REFRESH_EVERY_NS;
	if (!config->template_keep_ns)
		cloud->config.template_keep_ns = TEMPLATE_KEEP_NS;
	return 0;
}

int cloud_new(struct loop *loop, struct http_client *http, const struct cloud_config *config,
	      const struct documents *documents, const struct cloud_events *events,
	      struct cloud **out)
{
	struct cloud *cloud = calloc(1, sizeof(*cloud));
	int r;

	if (!cloud)
		return -ENOMEM;
	cloud->loop = loop;
	cloud->http = http;
	cloud->documents = documents;
	cloud->events = *events;
	r = copy_config(cloud, config);
	if (r >= 0)
		r = http_client_new(loop, &cloud->acting);
	if (r >= 0)
		r = identity_init(cloud);
	if (r >= 0)
		r = fleet_init(cloud);
	if (r >= 0)
		r = classes_init(cloud);
	if (r >= 0)
		r = catalog_init(cloud);
	if (r >= 0)
		r = quotas_init(cloud);
	if (r >= 0)
		r = addresses_init(cloud);
	if (r >= 0)
		r = old_templates_init(cloud);
	if (r < 0) {
		cloud_free(cloud);
		return r;
	}
	*out = cloud;
	return 0;
}

void cloud_free(struct cloud *cloud)
{
	if (!cloud)
		return;
	calls_free(cloud);
	check_free(cloud);
	documents_forget(cloud);
	queue_free(cloud);
	imds_watch_free(cloud);
	imds_free(cloud);
	identity_free(cloud);
	fleet_free(cloud);
	classes_free(cloud);
	catalog_close(cloud);
	quotas_free(cloud);
	addresses_free(cloud);
	old_templates_free(cloud);
	free_cluster(&cloud->cluster);
	http_client_free(cloud->acting);
	if (cloud->whoami_timer)
		loop_timer_free(cloud->whoami_timer);
	free(cloud->whoami);
	free(cloud->region);
	free(cloud->cluster_version);
	free(cloud->name);
	free(cloud->cache_path);
	free(cloud);
}

void cloud_started(struct cloud *cloud)
{
	if (!cloud->started || cloud->working || !identity_ready(cloud))
		return;
	cloud->working = true;
	catalog_start(cloud);
	classes_start(cloud);
	fleet_start(cloud);
	quotas_start(cloud);
	old_templates_start(cloud);
}

void cloud_start(struct cloud *cloud)
{
	cloud->started = true;
	if (identity_ready(cloud))
		cloud_started(cloud);
	else
		identity_fetch(cloud);
}

static const char *problem_now(const struct cloud *cloud)
{
	if (*cloud->identity.problem)
		return cloud->identity.problem;
	if (!cloud->identity.valid)
		return "looking for region and credentials";
	for (size_t i = 0; i < cloud->classes_count; i++)
		if (!cloud->classes[i].view.ready)
			return *cloud->classes[i].view.problem ? cloud->classes[i].view.problem
							       : "looking the EC2NodeClass up";
	if (*cloud->fleet.problem)
		return cloud->fleet.problem;
	return cloud->catalog.problem;
}

void cloud_status(const struct cloud *cloud, struct cloud_status *out)
{
	*out = (struct cloud_status){
		.ready = cloud->identity.valid && classes_ready(cloud),
		.calls = cloud->calls_made,
		.errors = cloud->errors,
		.throttled = cloud->throttled,
		.hedged = cloud->hedged,
		.clock_offset_s = cloud->clock_offset_s,
		.types = cloud->catalog.types.count,
		.types_wall_ns = cloud->catalog.fetched_wall_ns,
		.prices_wall_ns = cloud->catalog.priced_wall_ns,
		.spot_wall_ns = cloud->catalog.spot_wall_ns,
	};
	set_text(out->region, cloud->identity.region);
	set_text(out->credentials, cloud->identity.source);
	set_text(out->problem, problem_now(cloud));
}

/* ---- whoami ---- */

static const char *const WHOAMI_PATHS[] = {"meta-data/instance-id", "meta-data/instance-type",
					   "meta-data/placement/availability-zone"};

static void whoami_end(struct cloud *cloud)
{
	struct whoami *whoami = TAKE(cloud->whoami);
	bool whole = whoami->at == ARRAY_SIZE(WHOAMI_PATHS);

	whoami->done(whoami->arg, whole ? whoami->parts[0] : "", whole ? whoami->parts[1] : "",
		     whole ? whoami->parts[2] : "");
	free(whoami);
}

static void on_whoami(struct cloud *cloud, void *arg, int status, const char *body,
		      const char *error)
{
	struct whoami *whoami = cloud->whoami;
	size_t length = strlen(body);

	(void)arg;
	(void)error;
	if (status != 200 || !length || length >= sizeof(whoami->parts[0]) ||
	    strspn(body, "abcdefghijklmnopqrstuvwxyz0123456789-.") != length) {
		whoami_end(cloud);
		return;
	}
	set_text(whoami->parts[whoami->at], body);
	if (++whoami->at < ARRAY_SIZE(WHOAMI_PATHS))
		imds_get(cloud, WHOAMI_PATHS[whoami->at], on_whoami, NULL);
	else
		whoami_end(cloud);
}

static void on_disabled(void *arg, uint64_t now_ns)
{
	(void)now_ns;
	whoami_end(arg);
}

void cloud_whoami(struct cloud *cloud,
		  void (*done)(void *arg, const char *instance_id, const char *instance_type,
			       const char *zone),
		  void *arg)
{
	struct whoami *whoami = calloc(1, sizeof(*whoami));

	if (!whoami)
		abort();
	free(cloud->whoami);
	*whoami = (struct whoami){.done = done, .arg = arg};
	cloud->whoami = whoami;
	if (!imds_disabled()) {
		imds_get(cloud, WHOAMI_PATHS[0], on_whoami, NULL);
		return;
	}
	if (!cloud->whoami_timer &&
	    loop_timer_new(cloud->loop, on_disabled, cloud, &cloud->whoami_timer) < 0)
		abort();
	loop_timer_at(cloud->whoami_timer, 0);
}
