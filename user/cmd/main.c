/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

const struct command commands[] = {
	{"run", COMMAND_RUN, "[OPTIONS]", "watch this host, decide, and launch in act mode",
	 .text = "Watches every TCP listener of this host from inside the kernel, turns its queues "
		 "and rates\ninto signals, evaluates the policies of --config on every edge and "
		 "every interval, and in\nact mode launches and terminates EC2 instances.\n"
		 "Needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, or root.",
	 .examples = "forerun run\n"
		     "forerun run --config /etc/forerun/conf.d\n"
		     "forerun run --config /etc/forerun/conf.d --mode act --max-usd-per-hour 25\n"
		     "forerun run --config /etc/forerun/conf.d --check\n"
		     "forerun run --format json --duration 10s --record load.frames",
	 .main = command_run},
	{"explain", COMMAND_EXPLAIN, "[OPTIONS] ID | --last", "say why a decision was made",
	 .text = "Prints the signals, the arithmetic, the limits, the calls and the time of each "
		 "step of one\ndecision, from the journal in the state directory. Also while "
		 "forerun runs.",
	 .examples = "forerun explain --last\n"
		     "forerun explain --last --json\n"
		     "forerun explain fr-5ce1a7b0-9k2m4x7w-3",
	 .operand = "ID", .main = command_explain},
	{"simulate", COMMAND_SIMULATE, "[OPTIONS] --config DIR (--replay FILE | --shape SHAPE)",
	 "show what policies would have done",
	 .text = "Drives the policies with a recording or a generated load, a simulated clock and "
		 "simulated\ninstances. Nothing is launched and no network is used.",
	 .examples = "forerun simulate --config conf.d --replay load.frames\n"
		     "forerun simulate --config conf.d --shape "
		     "step:at=10s,from=50,to=400,capacity=100 --duration 5m",
	 .main = command_simulate},
	{"doctor", COMMAND_DOCTOR, "[OPTIONS]", "check what this host gives and lacks",
	 .text = "Checks kernel, capabilities, mounts, hooks, and with --config the documents and "
		 "AWS. Each\nline says what was found; what is missing comes with what to do.",
	 .examples = "forerun doctor\n"
		     "forerun doctor --config /etc/forerun/conf.d",
	 .main = command_doctor},
	{"top", COMMAND_TOP, "[OPTIONS]", "look at the listeners of a running forerun, live",
	 .text = "Shows every listener of a running forerun run or agent: queue, rates, response "
		 "times, a\nhistory and the diagnosis; sorts by any column, filters, and opens one "
		 "listener with its\nresponse times as a histogram. ? lists the keys.",
	 .examples = "forerun top\n"
		     "forerun top --url http://10.0.3.17:9910 --refresh 500ms",
	 .main = command_top},
	{"version", COMMAND_VERSION, "", "show versions and which hooks work here",
	 .text = "Shows the version of forerun, libbpf and the kernel, and which hooks work here.",
	 .examples = "forerun version", .main = command_version},
};

const size_t commands_count = ARRAY_SIZE(commands);

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < commands_count; i++)
		if (str_equal(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static int refuse_command(const char *name)
{
	static const char *const later[] = {"agent", "core"};
	const char *nearest = NULL;
	unsigned least = near_enough(name);

	for (size_t i = 0; i < ARRAY_SIZE(later); i++)
		if (str_equal(name, later[i])) {
			fprintf(stderr,
				"forerun %s: not supported in this version: use forerun run\n",
				name);
			return EXIT_USAGE;
		}
	for (size_t i = 0; i < commands_count; i++)
		if (edit_distance(name, commands[i].name) < least) {
			least = edit_distance(name, commands[i].name);
			nearest = commands[i].name;
		}
	fprintf(stderr, "forerun: found \"%s\", expected a subcommand", name);
	if (nearest)
		fprintf(stderr, "; did you mean %s?", nearest);
	fprintf(stderr, "\nforerun --help lists them\n");
	return EXIT_USAGE;
}

static int run_command(const struct command *command, int argc, char **argv)
{
	_cleanup_(problems_free)
	struct problems problems = {0};
	_cleanup_(options_free)
	struct options options = {0};
	static const enum log_level levels[] = {LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO,
						LOG_LEVEL_DEBUG};
	int r = options_read(&options, command, argc, argv, &problems);

	if (options.help) {
		help_command(command, stdout);
		return EXIT_DONE;
	}
	if (r < 0) {
		problems_print(&problems, stderr);
		fprintf(stderr, "forerun %s --help shows all options\n", command->name);
		return EXIT_USAGE;
	}
	log_set_level(levels[options.log_level]);
	return command->main(&options);
}

int main(int argc, char **argv)
{
	const struct command *command;
	const char *name = argc > 1 ? argv[1] : NULL;

	if (!name) {
		help_all(stderr);
		return EXIT_USAGE;
	}
	if (str_equal(name, "--help") || str_equal(name, "-h") || str_equal(name, "help")) {
		if (argc > 2 && str_equal(argv[2], "man-options"))
			help_man_options(stdout);
		else if (argc > 2 && (command = command_find(argv[2])))
			help_command(command, stdout);
		else
			help_all(stdout);
		return EXIT_DONE;
	}
	command = command_find(str_equal(name, "--version") ? "version" : name);
	if (!command)
		return refuse_command(name);
	return run_command(command, argc - 1, argv + 1);
}
