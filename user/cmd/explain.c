/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the journal, without its lock, into a core without effects, and prints what it knows. */
#include "base/appendlog.h"
#include "cmd/cmd.h"

static int no_journal(void *arg, const char *json, size_t length, bool sync)
{
	(void)arg;
	(void)json;
	(void)length;
	(void)sync;
	return -EROFS;
}

static void no_launch(void *arg, const struct launch_order *order)
{
	(void)arg;
	(void)order;
}

static void no_terminate(void *arg, const struct terminate_order *order)
{
	(void)arg;
	(void)order;
}

static void no_decided(void *arg, const struct decision *decision)
{
	(void)arg;
	(void)decision;
}

struct replay {
	struct core *core;
	const char *path;
};

static int on_line(void *arg, const char *payload, size_t length, unsigned line)
{
	struct replay *replay = arg;
	char reason[160] = "";
	int r = core_replay(replay->core, payload, length, reason);

	if (r < 0)
		fprintf(stderr, "%s:%u: %s\n", replay->path, line, reason);
	return r;
}

static int print_decision(const struct options *options, const struct core *core, const char *path)
{
	_cleanup_text_ struct text text = {0};
	const struct decision *decision = options->last
						  ? core_decision(core, 0)
						  : core_decision_by_id(core, options->operand);

	if (!decision) {
		if (options->last)
			fprintf(stderr, "forerun explain: no decision in %s yet\n", path);
		else
			fprintf(stderr,
				"forerun explain: no decision %s in %s; --last explains the "
				"newest\n",
				options->operand, path);
		return EXIT_FAILED;
	}
	if (options->json)
		decision_json(decision, &text);
	else
		decision_explain(decision, &text);
	fwrite(text.data, 1, text.length, stdout);
	if (!str_ends(text.data, "\n"))
		putchar('\n');
	return EXIT_DONE;
}

static int replay_and_print(const struct options *options, const char *path)
{
	struct core_effects effects = {NULL, no_journal, no_launch, no_terminate, no_decided};
	/* All that the journal holds can be asked for. */
	struct core_config config = {.mode = MODE_OBSERVE, .decisions_kept = SIZE_MAX};
	struct documents documents = {0};
	struct replay replay = {.path = path};
	int r, code = EXIT_FAILED;

	limits_from_options(options, &config.limits);
	host_name(config.host, sizeof(config.host));
	if (core_new(&config, &documents, &effects, &replay.core) < 0)
		return EXIT_FAILED;
	r = appendlog_read(path, on_line, &replay);
	if (r == 0)
		code = print_decision(options, replay.core, path);
	else if (r == -ENOENT)
		fprintf(stderr,
			"forerun explain: there is no journal %s: give the --state-dir that "
			"forerun run has\n",
			path);
	else
		fprintf(stderr, "forerun explain: cannot read the journal %s: %s\n", path,
			strerror(-r));
	core_free(replay.core);
	return code;
}

int command_explain(struct options *options)
{
	_cleanup_free_ char *path = str_printf("%s/journal", options->state_dir);

	if (!path)
		return EXIT_FAILED;
	if (!options->operand == !options->last) {
		fprintf(stderr, "forerun explain: %s, expected either a decision's ID or --last\n",
			options->last ? "found both" : "found neither");
		return EXIT_USAGE;
	}
	return replay_and_print(options, path);
}
