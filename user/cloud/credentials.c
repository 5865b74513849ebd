/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The credentials chain in botocore's order (botocore/credentials.py, create_credential_resolver):
 * environment, profile with a role, web identity, credentials file, config file, container, IMDS.
 * Whatever is configured and fails is an error; only what is not configured is passed over.
 */
#include "cloud/private.h"

static char *copy(const char *text)
{
	char *made = text ? strdup(text) : NULL;

	if (text && !made)
		abort();
	return made;
}

/* What goes into a header or a signature must be one line. */
static bool is_clean(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || *text == 0x7f)
			return false;
	return true;
}

static bool take_keys(struct cloud *cloud, const char *access, const char *secret,
		      const char *token, const char *where, struct credentials *out)
{
	if (!is_clean(access) || !is_clean(secret) || (token && !is_clean(token))) {
		identity_failed(cloud, "%s: a key has spaces or control characters in it", where);
		return false;
	}
	*out = (struct credentials){copy(access), copy(secret), copy(token), 0};
	return true;
}

/* ---- environment ---- */

static void from_environment(struct cloud *cloud)
{
	const char *access = environment("AWS_ACCESS_KEY_ID");
	const char *secret = environment("AWS_SECRET_ACCESS_KEY");
	const char *expiration = environment("AWS_CREDENTIAL_EXPIRATION");
	struct credentials found = {0};

	if (!secret) {
		identity_failed(cloud, "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not: "
				       "set both or none");
		return;
	}
	if (!take_keys(cloud, access, secret, environment("AWS_SESSION_TOKEN"),
		       "the environment (AWS_ACCESS_KEY_ID)", &found))
		return;
	if (expiration && time_parse(expiration, &found.expires_wall_ns) < 0) {
		credentials_free(&found);
		identity_failed(cloud,
				"AWS_CREDENTIAL_EXPIRATION: found \"%.40s\", expected a "
				"time such as 2026-01-31T12:00:00Z",
				expiration);
		return;
	}
	identity_took(cloud, &found, "environment");
}

/* ---- shared files ---- */

static bool refuse_unsupported(struct cloud *cloud)
{
	static const char *const KEYS[] = {"credential_process", "sso_session",
					   "sso_start_url",	 "source_profile",
					   "credential_source",	 "login_session"};
	const struct settings *settings = &cloud->identity.settings;

	for (size_t i = 0; i < ARRAY_SIZE(KEYS); i++) {
		const char *file;
		const struct ini_entry *found = profile_get(settings, KEYS[i], &file);

		if (!found)
			continue;
		identity_failed(cloud,
				"%s:%u: %s of profile %s is not supported: use keys, a web "
				"identity, a container's or an instance's role",
				file, found->line, KEYS[i], settings->profile);
		return true;
	}
	return false;
}

static bool from_file(struct cloud *cloud, const struct ini *ini, const char *section,
		      const char *path)
{
	const struct ini_entry *access = ini_get(ini, section, "aws_access_key_id");
	const struct ini_entry *secret = ini_get(ini, section, "aws_secret_access_key");
	const struct ini_entry *token = ini_get(ini, section, "aws_session_token");
	struct credentials found = {0};

	if (!access || !*access->value)
		return false;
	if (!secret || !*secret->value) {
		identity_failed(cloud,
				"%s:%u: profile %s has aws_access_key_id and no "
				"aws_secret_access_key",
				path, access->line, cloud->identity.settings.profile);
		return true;
	}
	if (take_keys(cloud, access->value, secret->value,
		      token && *token->value ? token->value : NULL, path, &found))
		identity_took(cloud, &found, "shared file, profile %s",
			      cloud->identity.settings.profile);
	return true;
}

/* ---- the chain ---- */

/* From the environment, else from the profile; both keys are needed. */
static bool has_web_identity(struct cloud *cloud)
{
	struct identity *identity = &cloud->identity;
	const struct ini_entry *role, *token, *session;
	const char *file, *session_name = environment("AWS_ROLE_SESSION_NAME");

	role = profile_get(&identity->settings, "role_arn", &file);
	token = profile_get(&identity->settings, "web_identity_token_file", &file);
	session = profile_get(&identity->settings, "role_session_name", &file);
	if (environment("AWS_WEB_IDENTITY_TOKEN_FILE"))
		identity->token_file = copy(environment("AWS_WEB_IDENTITY_TOKEN_FILE"));
	else if (token)
		identity->token_file = copy(token->value);
	else
		return false;
	if (environment("AWS_ROLE_ARN"))
		identity->role_arn = copy(environment("AWS_ROLE_ARN"));
	else if (role)
		identity->role_arn = copy(role->value);
	identity->role_session = copy(session_name ? session_name
				      : session	   ? session->value
						   : "forerun");
	return true;
}

static bool refuse_role(struct cloud *cloud)
{
	const struct settings *settings = &cloud->identity.settings;
	const char *file, *other;
	const struct ini_entry *role = profile_get(settings, "role_arn", &file);

	if (!role || profile_get(settings, "web_identity_token_file", &other) ||
	    environment("AWS_WEB_IDENTITY_TOKEN_FILE"))
		return false;
	if (refuse_unsupported(cloud))
		return true;
	identity_failed(cloud,
			"%s:%u: role_arn of profile %s without web_identity_token_file is "
			"not supported",
			file, role->line, settings->profile);
	return true;
}

static void from_metadata(struct cloud *cloud);

void credentials_find(struct cloud *cloud)
{
	struct settings *settings = &cloud->identity.settings;
	const char *relative = environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	const char *full = environment("AWS_CONTAINER_CREDENTIALS_FULL_URI");

	if (environment("AWS_ACCESS_KEY_ID")) {
		from_environment(cloud);
		return;
	}
	if (refuse_role(cloud))
		return;
	if (has_web_identity(cloud)) {
		credentials_from_web_identity(cloud);
		return;
	}
	if (from_file(cloud, &settings->credentials, settings->profile,
		      settings->credentials_path) ||
	    refuse_unsupported(cloud) ||
	    from_file(cloud, &settings->config, settings->section, settings->config_path))
		return;
	if (relative || full)
		credentials_from_container(cloud, relative, full);
	else
		from_metadata(cloud);
}

/* ---- IMDS ---- */

static const char NONE[] = "none found: not in the environment (AWS_ACCESS_KEY_ID), not in the "
			   "shared files, no web identity, no container, ";

static void on_role_keys(struct cloud *cloud, void *arg, int status, const char *body,
			 const char *error)
{
	struct credentials found = {0};
	char problem[CLOUD_TEXT_SIZE];

	(void)arg;
	if (status != 200)
		identity_failed(cloud, "IMDS: HTTP %d for the instance's role: %s", status, error);
	else if (credentials_parse_json(body, strlen(body), &found, problem) < 0)
		identity_failed(cloud, "IMDS: %s", problem);
	else
		identity_took(cloud, &found, "IMDSv2");
}

static void on_role(struct cloud *cloud, void *arg, int status, const char *body, const char *error)
{
	_cleanup_free_ char *path = NULL;
	size_t length = strcspn(body, "\r\n");

	(void)arg;
	if (status == 404 || (status == 200 && !length)) {
		identity_failed(cloud,
				"%sand this instance has no role: attach an instance "
				"profile to it",
				NONE);
		return;
	}
	if (status != 200) {
		char http[32];

		snprintf(http, sizeof(http), "HTTP %d", status);
		identity_failed(cloud, "%sand IMDS does not say (%s)", NONE, *error ? error : http);
		return;
	}
	if (length > 128 || strspn(body, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					 "0123456789_+=,.@-") < length) {
		identity_failed(cloud, "IMDS: what it says of the instance's role is no name");
		return;
	}
	path = str_printf("meta-data/iam/security-credentials/%.*s", (int)length, body);
	imds_get(cloud, path, on_role_keys, NULL);
}

static void from_metadata(struct cloud *cloud)
{
	if (imds_disabled())
		identity_failed(cloud, "%sand IMDS is off (AWS_EC2_METADATA_DISABLED)", NONE);
	else
		imds_get(cloud, "meta-data/iam/security-credentials/", on_role, NULL);
}
