/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Region and credentials over time: found once, renewed 15 minutes before they end (botocore's
 * advisory refresh), and kept until they really end when renewing fails.
 */
#include "cloud/private.h"

#define RENEW_AHEAD_NS (900 * NS_PER_S)
#define RENEW_SOON_MIN_NS (500 * NS_PER_MS)
#define RETRY_MOST_NS (60 * NS_PER_S)

void credentials_free(struct credentials *credentials)
{
	free(credentials->access_key);
	free(credentials->secret_key);
	free(credentials->session_token);
	*credentials = (struct credentials){0};
}

static void on_timer(void *arg, uint64_t now_ns)
{
	(void)now_ns;
	identity_fetch(arg);
}

int identity_init(struct cloud *cloud)
{
	cloud->identity.settings.profile = "default";
	return loop_timer_new(cloud->loop, on_timer, cloud, &cloud->identity.timer);
}

static void web_identity_clear(struct identity *identity)
{
	free(TAKE(identity->role_arn));
	free(TAKE(identity->role_session));
	free(TAKE(identity->token_file));
}

void identity_free(struct cloud *cloud)
{
	struct identity *identity = &cloud->identity;

	if (identity->transfer)
		http_cancel(identity->transfer);
	identity->transfer = NULL;
	if (identity->timer)
		loop_timer_free(identity->timer);
	credentials_free(&identity->now);
	settings_free(&identity->settings);
	web_identity_clear(identity);
}

bool identity_ready(struct cloud *cloud)
{
	struct identity *identity = &cloud->identity;

	if (identity->valid && identity->now.expires_wall_ns &&
	    time_wall_ns() >= identity->now.expires_wall_ns) {
		identity->valid = false;
		set_text(identity->problem, "the credentials have expired");
	}
	return identity->valid;
}

/* When the next ones are asked for: well ahead, or half way for those that end soon. */
static void renew_later(struct cloud *cloud)
{
	struct identity *identity = &cloud->identity;
	uint64_t wall_ns = time_wall_ns(), left_ns, wait_ns;

	if (!identity->now.expires_wall_ns) {
		loop_timer_stop(identity->timer);
		return;
	}
	left_ns = identity->now.expires_wall_ns - MIN(identity->now.expires_wall_ns, wall_ns);
	wait_ns = left_ns > 2 * RENEW_AHEAD_NS ? left_ns - RENEW_AHEAD_NS : left_ns / 2;
	loop_timer_at(identity->timer, time_mono_ns() + MAX(wait_ns, RENEW_SOON_MIN_NS));
}

static void fetch_ended(struct cloud *cloud)
{
	cloud->identity.fetching = false;
	cloud->identity.asked = true;
	web_identity_clear(&cloud->identity);
	calls_identity_changed(cloud);
}

void identity_took(struct cloud *cloud, struct credentials *taken, const char *format, ...)
{
	struct identity *identity = &cloud->identity;
	char source[sizeof(identity->source)];
	va_list args;

	va_start(args, format);
	vsnprintf(source, sizeof(source), format, args);
	va_end(args);
	if (taken->expires_wall_ns && taken->expires_wall_ns <= time_wall_ns()) {
		char until[TIME_TEXT_SIZE];

		time_format(taken->expires_wall_ns, until);
		credentials_free(taken);
		identity_failed(cloud, "%s gave credentials that expired at %s", source, until);
		return;
	}
	if (!identity->asked || strcmp(source, identity->source) != 0 || identity->failures)
		log_info("AWS: region %s, credentials from %s", identity->region, source);
	set_text(identity->source, source);
	credentials_free(&identity->now);
	identity->now = *taken;
	*taken = (struct credentials){0};
	identity->valid = true;
	identity->problem[0] = '\0';
	identity->failures = 0;
	renew_later(cloud);
	fetch_ended(cloud);
}

void identity_failed(struct cloud *cloud, const char *format, ...)
{
	struct identity *identity = &cloud->identity;
	uint64_t wait_ns = backoff_ns(identity->failures, 2 * NS_PER_S, RETRY_MOST_NS);
	char problem[CLOUD_TEXT_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(problem, sizeof(problem), format, args);
	va_end(args);
	if (strcmp(problem, identity->problem) != 0 && cloud->config.read_only)
		log_warning("AWS not reached, fine in observe mode: %s", problem);
	else if (strcmp(problem, identity->problem) != 0)
		log_error("AWS credentials: %s%s", problem,
			  identity_ready(cloud) ? "; those in use are kept until they expire" : "");
	set_text(identity->problem, problem);
	identity->failures++;
	loop_timer_at(identity->timer, time_mono_ns() + MAX(wait_ns, NS_PER_S));
	fetch_ended(cloud);
}

void identity_expired(struct cloud *cloud)
{
	cloud->identity.valid = false;
	identity_fetch(cloud);
}

/* ---- region ---- */

static void on_imds_region(struct cloud *cloud, void *arg, int status, const char *body,
			   const char *error)
{
	(void)arg;
	if (status != 200 || !is_region(body)) {
		identity_failed(cloud,
				"no region: set AWS_REGION or --region, or region in the profile "
				"(%s%s)",
				str_starts(error, "IMDS") ? "" : "IMDS: ",
				*error ? error : "no answer that is a region");
		return;
	}
	set_text(cloud->identity.region, body);
	credentials_find(cloud);
}

static const char *region_given(struct cloud *cloud, const char **where)
{
	const struct ini_entry *entry;

	*where = "--region";
	if (cloud->config.region && *cloud->config.region)
		return cloud->config.region;
	*where = "AWS_REGION";
	if (environment("AWS_REGION"))
		return environment("AWS_REGION");
	*where = "AWS_DEFAULT_REGION";
	if (environment("AWS_DEFAULT_REGION"))
		return environment("AWS_DEFAULT_REGION");
	entry = profile_get(&cloud->identity.settings, "region", where);
	return entry ? entry->value : NULL;
}

void identity_fetch(struct cloud *cloud)
{
	struct identity *identity = &cloud->identity;
	char problem[CLOUD_TEXT_SIZE] = "";
	const char *region, *where;

	if (identity->fetching)
		return;
	identity->fetching = true;
	loop_timer_stop(identity->timer);
	if (settings_load(&identity->settings, problem) < 0) {
		identity_failed(cloud, "%s", problem);
		return;
	}
	region = region_given(cloud, &where);
	if (region && !is_region(region)) {
		identity_failed(cloud, "%s: found \"%.40s\", expected a region such as eu-west-1",
				where, region);
	} else if (region) {
		set_text(identity->region, region);
		credentials_find(cloud);
	} else if (*identity->region) {
		credentials_find(cloud);
	} else if (imds_disabled()) {
		identity_failed(cloud, "no region: set AWS_REGION or --region, or region in the "
				       "profile (IMDS is off: AWS_EC2_METADATA_DISABLED)");
	} else {
		imds_get(cloud, "meta-data/placement/region", on_imds_region, NULL);
	}
}
