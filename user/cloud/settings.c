/* SPDX-License-Identifier: Apache-2.0 */
/* The environment and the shared files, as botocore finds them. */
#include "cloud/private.h"

#include <pwd.h>
#include <unistd.h>

#define FILE_BYTES_MAX ((size_t)1 << 20)

const char *environment(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/* "~/x" below the home directory. */
static char *expand_home(const char *path)
{
	const char *home = environment("HOME");

	if (!str_starts(path, "~/"))
		return strdup(path);
	if (!home) {
		struct passwd *user = getpwuid(getuid());

		home = user ? user->pw_dir : "/root";
	}
	return str_printf("%s%s", home, path + 1);
}

static int load_file(const char *variable, const char *fallback, char **path, struct ini *out,
		     char problem[CLOUD_TEXT_SIZE])
{
	_cleanup_free_ char *text = NULL;
	const char *given = environment(variable);
	char reason[128];
	size_t length;
	int r;

	*path = expand_home(given ? given : fallback);
	if (!*path)
		return -ENOMEM;
	r = file_read(*path, FILE_BYTES_MAX, &text, &length);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0) {
		snprintf(problem, CLOUD_TEXT_SIZE, "cannot read %s: %s%s", *path, strerror(-r),
			 r == -EACCES ? "; let forerun's user read it, or name another file" : "");
		return r;
	}
	r = ini_parse(text, length, out, reason);
	if (r < 0)
		snprintf(problem, CLOUD_TEXT_SIZE, "%s: %s", *path, reason);
	return r;
}

int settings_load(struct settings *settings, char problem[CLOUD_TEXT_SIZE])
{
	const char *profile = environment("AWS_PROFILE");
	bool plain; /* "[default]" in the config file, not "[profile default]" */
	int r;

	settings_free(settings);
	if (!profile)
		profile = environment("AWS_DEFAULT_PROFILE");
	settings->profile_named = profile != NULL;
	settings->profile = profile ? profile : "default";
	r = load_file("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials",
		      &settings->credentials_path, &settings->credentials, problem);
	if (r >= 0)
		r = load_file("AWS_CONFIG_FILE", "~/.aws/config", &settings->config_path,
			      &settings->config, problem);
	if (r < 0)
		return r;
	plain = strcmp(settings->profile, "default") == 0 &&
		!ini_has(&settings->config, "profile default");
	settings->section = str_printf("%s%s", plain ? "" : "profile ", settings->profile);
	if (settings->profile_named && !ini_has(&settings->config, settings->section) &&
	    !ini_has(&settings->credentials, settings->profile)) {
		snprintf(problem, CLOUD_TEXT_SIZE,
			 "AWS_PROFILE names %s, which is neither in %s nor in %s",
			 settings->profile, settings->credentials_path, settings->config_path);
		return -EINVAL;
	}
	return 0;
}

void settings_free(struct settings *settings)
{
	ini_free(&settings->config);
	ini_free(&settings->credentials);
	free(settings->config_path);
	free(settings->credentials_path);
	free(settings->section);
	*settings = (struct settings){.profile = "default"};
}

const struct ini_entry *profile_get(const struct settings *settings, const char *key,
				    const char **file)
{
	const struct ini_entry *found = ini_get(&settings->credentials, settings->profile, key);

	*file = settings->credentials_path;
	if (!found && settings->section) {
		found = ini_get(&settings->config, settings->section, key);
		*file = settings->config_path;
	}
	return found && *found->value ? found : NULL;
}
