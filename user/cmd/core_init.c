/* SPDX-License-Identifier: Apache-2.0 */
/* `forerun core init`: the files by which agents and cores know each other. */
#include <fcntl.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/pki.h"
#include "base/vec.h"
#include "cmd/cmd.h"

#define AUTHORITY_DAYS 3650
#define PEM_LIMIT (1U << 20)
#define SHARED_KEY_BYTES 32

struct names {
	VEC(char *) list;
};

struct init {
	const struct options *options;
	struct names cores, agents;
	bool authority; /* is in the directory already */
	struct pki *pki;
};

static char *path_in(const struct init *init, const char *name, const char *suffix)
{
	return str_printf("%s/%s%s", init->options->dir, name, suffix);
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* ---- what was asked for ---- */

static int split(const char *text, struct names *out, const char *where, bool addresses,
		 struct problems *problems)
{
	while (text && *text) {
		size_t length = strcspn(text, ",");
		char *name = strndup(text, length);

		if (!name)
			return -ENOMEM;
		*vec_push(&out->list) = name;
		text += length + (text[length] == ',');
		if (addresses ? name_or_address_valid(name) : name_valid(name, HOST_NAME_MOST))
			continue;
		problem_add(problems, where, "found \"%s\", expected %s, digits, '-' and '.'", name,
			    addresses ? "an address or a name of letters"
				      : "a host's name of at most 63 letters");
	}
	return 0;
}

static void check_ways(const struct options *options, struct problems *problems)
{
	if (options->mtls == options->make_shared_key)
		problem_add(problems, "--mtls",
			    options->mtls ? "found together with --shared-key, expected one of them"
					  : "found neither it nor --shared-key, expected one of "
					    "them");
	else if (options->make_shared_key && (options->core_name || options->agent))
		problem_add(problems, options->core_name ? "--core-name" : "--agent",
			    "found together with --shared-key, expected it with --mtls");
	else if (options->mtls && !options->core_name && !options->agent)
		problem_add(problems, "--mtls",
			    "found neither --core-name nor --agent, expected one of them");
}

/* Half an authority is no place to start from. */
static void check_authority(struct init *init, struct problems *problems)
{
	_cleanup_free_ char *certificate = path_in(init, "ca", ".crt");
	_cleanup_free_ char *key = path_in(init, "ca", ".key");

	if (exists(certificate) != exists(key))
		problem_add(problems, "--dir", "found %s without %s, expected both or neither",
			    exists(key) ? key : certificate, exists(key) ? certificate : key);
	init->authority = exists(certificate);
	if (!init->authority && !init->options->core_name)
		problem_add(problems, "--core-name",
			    "found nothing, and there is no authority in %s yet: expected the name "
			    "by which agents reach the core",
			    init->options->dir);
}

static void check_free(struct init *init, const char *name, struct problems *problems)
{
	static const char *const suffixes[] = {".crt", ".key"};

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		_cleanup_free_ char *path = path_in(init, name, suffixes[i]);

		if (exists(path))
			problem_add(problems, path,
				    "exists and is not overwritten: move it away to make another");
	}
}

static void check_mtls(struct init *init, struct problems *problems)
{
	const struct options *options = init->options;

	split(options->core_name, &init->cores, "--core-name", true, problems);
	split(options->agent, &init->agents, "--agent", false, problems);
	check_authority(init, problems);
	if (init->cores.list.count)
		check_free(init, "core", problems);
	vec_for_each (name, &init->agents.list) {
		_cleanup_free_ char *file = str_printf("agents/%s", *name);

		check_free(init, file, problems);
	}
}

/* ---- files ---- */

static int make_directory(const char *path)
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return 0;
	fprintf(stderr, "cannot make the directory %s: %s\n", path, strerror(errno));
	return -errno;
}

/* Only for who makes it, and never over what is there. */
static int write_new(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ssize_t length = (ssize_t)strlen(text);

	if (fd < 0 || write(fd, text, (size_t)length) != length || fsync(fd) < 0) {
		fprintf(stderr, "cannot write %s: %s\n", path, strerror(errno));
		return -EIO;
	}
	return 0;
}

static int write_pair(struct init *init, const char *name, const struct pki_pair *pair)
{
	_cleanup_free_ char *certificate = path_in(init, name, ".crt");
	_cleanup_free_ char *key = path_in(init, name, ".key");
	int r = write_new(key, pair->key);

	if (r == 0)
		r = write_new(certificate, pair->certificate);
	if (r == 0)
		printf("made %s and %s\n", certificate, key);
	return r;
}

/* ---- certificates ---- */

static int make_authority(struct init *init, char reason[PKI_REASON_SIZE])
{
	_cleanup_(pki_pair_free)
	struct pki_pair pair = {0};
	int r = pki_authority("forerun", AUTHORITY_DAYS, &pair, reason);

	if (r == 0)
		r = pki_open(pair.certificate, pair.key, &init->pki, reason);
	if (r == 0)
		r = write_pair(init, "ca", &pair);
	return r;
}

static int open_authority(struct init *init, char reason[PKI_REASON_SIZE])
{
	_cleanup_free_ char *certificate_path = path_in(init, "ca", ".crt");
	_cleanup_free_ char *key_path = path_in(init, "ca", ".key");
	_cleanup_(pki_pair_free)
	struct pki_pair pair = {0};
	int r = file_read(certificate_path, PEM_LIMIT, &pair.certificate, NULL);

	if (r == 0)
		r = file_read(key_path, PEM_LIMIT, &pair.key, NULL);
	if (r < 0) {
		snprintf(reason, PKI_REASON_SIZE, "%s", strerror(-r));
		return r;
	}
	return pki_open(pair.certificate, pair.key, &init->pki, reason);
}

static int issue(struct init *init, enum pki_use use, const char *file, char *const *names,
		 size_t count)
{
	_cleanup_(pki_pair_free)
	struct pki_pair pair = {0};
	char reason[PKI_REASON_SIZE] = "";
	int r = pki_issue(init->pki, use, (const char *const *)names, count,
			  (unsigned)init->options->days, &pair, reason);

	if (r < 0) {
		fprintf(stderr, "%s: %s\n", file, reason);
		return r;
	}
	return write_pair(init, file, &pair);
}

static int make_certificates(struct init *init)
{
	char reason[PKI_REASON_SIZE] = "";
	int r = init->authority ? open_authority(init, reason) : make_authority(init, reason);

	if (r < 0) {
		if (reason[0])
			fprintf(stderr, "the authority in %s: %s\n", init->options->dir, reason);
		return r;
	}
	if (init->cores.list.count)
		r = issue(init, PKI_CORE, "core", init->cores.list.at, init->cores.list.count);
	vec_for_each (name, &init->agents.list) {
		_cleanup_free_ char *file = str_printf("agents/%s", *name);

		if (r == 0)
			r = issue(init, PKI_AGENT, file, name, 1);
	}
	return r;
}

/* ---- what goes where ---- */

/* How agents reach the core: by the name given now, or by the one in its certificate from before.
 */
static char *core_of(const struct init *init)
{
	_cleanup_free_ char *path = path_in(init, "core", ".crt");
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ char *name = NULL;

	if (init->cores.list.count)
		name = strdup(init->cores.list.at[0]);
	else if (file_read(path, PEM_LIMIT, &text, NULL) == 0)
		name = pki_name_of(text);
	if (name && strchr(name, ':'))
		return str_printf("[%s]", name);
	return name ? TAKE(name) : strdup("CORE");
}

static void tell_core(const char *dir)
{
	printf("\non each core, readable by nobody but forerun: ca.crt, core.crt, core.key\n"
	       "  forerun core --ca %s/ca.crt --cert %s/core.crt --key %s/core.key\n"
	       "or in its options file\n"
	       "  ca: %s/ca.crt\n  cert: %s/core.crt\n  key: %s/core.key\n",
	       dir, dir, dir, dir, dir, dir);
}

static void tell_agent(const char *dir, const char *core, const char *name)
{
	printf("\non %s, readable by nobody but forerun: ca.crt, agents/%s.crt, agents/%s.key\n"
	       "  forerun agent --core %s --host %s --ca %s/ca.crt --cert %s/agents/%s.crt "
	       "--key %s/agents/%s.key\n"
	       "or in its options file\n"
	       "  core: %s\n  host: %s\n"
	       "  ca: %s/ca.crt\n  cert: %s/agents/%s.crt\n  key: %s/agents/%s.key\n",
	       name, name, name, core, name, dir, dir, name, dir, name, core, name, dir, dir, name,
	       dir, name);
}

static void tell_mtls(const struct init *init)
{
	_cleanup_free_ char *core = core_of(init);
	const char *dir = init->options->dir;

	if (!init->authority)
		printf("\nkeep %s/ca.key here alone: who has it can make agents and cores\n", dir);
	if (init->cores.list.count)
		tell_core(dir);
	vec_for_each (name, &init->agents.list)
		tell_agent(dir, core, *name);
}

static int make_mtls(struct init *init)
{
	_cleanup_free_ char *agents = path_in(init, "agents", "");
	int r = make_directory(init->options->dir);

	if (r == 0 && init->agents.list.count)
		r = make_directory(agents);
	if (r == 0)
		r = make_certificates(init);
	if (r == 0)
		tell_mtls(init);
	return r;
}

/* ---- the shared key ---- */

static int make_shared_key(const struct init *init)
{
	_cleanup_free_ char *path = path_in(init, "shared", ".key");
	unsigned char key[SHARED_KEY_BYTES];
	char line[2 * SHARED_KEY_BYTES + 2];
	int r = make_directory(init->options->dir);

	if (r < 0)
		return r;
	if (RAND_bytes(key, sizeof(key)) != 1) {
		fprintf(stderr, "cannot make a key: the system gives no random numbers\n");
		return -EIO;
	}
	for (size_t i = 0; i < sizeof(key); i++)
		snprintf(line + 2 * i, 3, "%02x", key[i]);
	snprintf(line + 2 * sizeof(key), 2, "\n");
	r = write_new(path, line);
	explicit_bzero(key, sizeof(key));
	explicit_bzero(line, sizeof(line));
	if (r < 0)
		return r;
	printf("made %s\n\n"
	       "on each core and each host, readable by nobody but forerun: shared.key\n"
	       "  forerun core --shared-key %s\n"
	       "  forerun agent --core CORE --shared-key %s\n"
	       "or in their options files\n"
	       "  shared-key: %s\n\n"
	       "who has it can report as any host: for more than a small site make certificates "
	       "with --mtls\n",
	       path, path, path, path);
	return 0;
}

static void names_free(struct names *names)
{
	vec_for_each (name, &names->list)
		free(*name);
	vec_free(&names->list);
}

int command_core_init(struct options *options)
{
	_cleanup_(problems_free)
	struct problems problems = {0};
	struct init init = {.options = options};
	int code = EXIT_USAGE;

	check_ways(options, &problems);
	if (!problems.errors && options->mtls)
		check_mtls(&init, &problems);
	problems_print(&problems, stderr);
	if (!problems.errors) {
		int r = options->mtls ? make_mtls(&init) : make_shared_key(&init);

		code = r < 0 ? EXIT_FAILED : EXIT_DONE;
	}
	names_free(&init.cores);
	names_free(&init.agents);
	pki_close(init.pki);
	return code;
}
