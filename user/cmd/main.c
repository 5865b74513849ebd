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
	{"agent", COMMAND_AGENT, "[OPTIONS] --core HOST:PORT",
	 "watch this host and report to a core",
	 .text = "Watches every TCP listener of this host from inside the kernel and reports to "
		 "the cores of\n--core: at once when a queue crosses its threshold, and every "
		 "--report-every. It decides and\nlaunches nothing.\n"
		 "Needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, or root.",
	 .examples = "forerun agent --core core.internal --service web --shared-key "
		     "/etc/forerun/keys/shared.key\n"
		     "forerun agent --core a.internal,b.internal --ca ca.crt --cert web-1.crt "
		     "--key web-1.key",
	 .main = command_agent},
	{"core", COMMAND_CORE, "[OPTIONS]",
	 "decide for the hosts of many agents, launch in act mode",
	 .text = "Takes what agents report, evaluates the policies of --config on it, and in act "
		 "mode launches\nand terminates EC2 instances. Several cores with the same "
		 "--lock-table are one: one leads,\nthe others stand by.\n"
		 "See also forerun core init, core pause and core resume.",
	 .examples = "forerun core --config /etc/forerun/conf.d --shared-key "
		     "/etc/forerun/keys/shared.key\n"
		     "forerun core --config /etc/forerun/conf.d --mode act --lock-table forerun "
		     "--ca ca.crt --cert core.crt --key core.key",
	 .main = command_core},
	{"core init", COMMAND_CORE_INIT,
	 "[--dir DIR] (--mtls [--core-name NAME] [--agent NAME] | --shared-key)",
	 "make the keys that agents and cores know each other by",
	 .text = "Makes an authority with the certificates of cores and agents, or one shared key, "
		 "and says\nwhat goes where. Nothing that exists is overwritten: given again, it "
		 "adds certificates of\nmore agents under the same authority.",
	 .examples = "forerun core init --mtls --core-name core.internal --agent web-1 --agent "
		     "web-2\n"
		     "forerun core init --mtls --agent web-3\n"
		     "forerun core init --shared-key",
	 .main = command_core_init},
	{"core pause", COMMAND_CORE_PAUSE, "[OPTIONS]", "let nothing be launched or terminated",
	 .text = "From the next second on nothing is launched or terminated, until forerun core "
		 "resume. Decisions\nare still made and shown. With --lock-table it holds for all "
		 "cores of it, else for the one\nwith this state directory, also for forerun run.",
	 .examples = "forerun core pause --reason \"migration until 18:00\"\n"
		     "forerun core pause --lock-table forerun",
	 .main = command_core_pause},
	{"core resume", COMMAND_CORE_RESUME, "[OPTIONS]", "lift a pause",
	 .text = "Lifts what forerun core pause set.",
	 .examples = "forerun core resume\n"
		     "forerun core resume --lock-table forerun",
	 .main = command_core_pause},
	{"explain", COMMAND_EXPLAIN, "[OPTIONS] ID | --last", "say why a decision was made",
	 .text = "Prints the signals, the arithmetic, the limits, the calls and the time of each "
		 "step of one\ndecision, from the journal in the state directory. Also while "
		 "forerun runs.",
	 .examples = "forerun explain --last\n"
		     "forerun explain --last --json\n"
		     "forerun explain fr-5ce1a7b0-9k2m4x7w-3",
	 .operand = "ID", .main = command_explain},
	{"plan", COMMAND_PLAN, "[OPTIONS] --config DIR [--pods FILE]",
	 "show which nodes pods would be packed onto, and why",
	 .text = "Packs pods onto the room of existing nodes and onto what the NodePools of "
		 "--config "
		 "may buy,\nand prints the nodes, what they may be, their price, and what has no "
		 "place and why. Nothing\nis launched; without --refresh no network is used.\n"
		 "Exits with 0 when all pods have a place, 1 when some have none, 2 when the input "
		 "is "
		 "wrong.",
	 .examples = "forerun plan --config conf.d --pods pods.yaml\n"
		     "kubectl get pods -A -o json | forerun plan --config conf.d --pods - --output "
		     "json\n"
		     "forerun plan --config conf.d --pods new.yaml --nodes cluster.json --refresh",
	 .main = command_plan},
	{"simulate", COMMAND_SIMULATE, "[OPTIONS] --config DIR (--replay FILE | --shape SHAPE)",
	 "show what policies would have done",
	 .text = "Drives the policies with a recording or a generated load, a simulated clock and "
		 "simulated\ninstances. Nothing is launched and no network is used.",
	 .examples = "forerun simulate --config conf.d --replay load.frames\n"
		     "forerun simulate --config conf.d --shape "
		     "step:at=10s,from=50,to=400,capacity=100 --duration 5m",
	 .main = command_simulate},
	{"lab swarm", COMMAND_LAB_SWARM, "[OPTIONS] --core HOST:PORT",
	 "simulate the agents of a fleet against a core",
	 .text = "Connects as many agents to a core, each over its own connection, and reports "
		 "what lines on\nstandard input say: \"depth 40\", \"edge\", \"silence 20%\", "
		 "\"host add NAME "
		 "INSTANCE SERVICE\",\n\"host remove NAME\", \"quit\". Prints one JSON object a "
		 "second.",
	 .examples = "forerun lab swarm --core 127.0.0.1 --agents 1000 --service web --shared-key "
		     "shared.key --duration 30s\n"
		     "forerun lab swarm --core 127.0.0.1 --agents 3 --depth 40 --edges 1 --ca "
		     "ca.crt --ca-key ca.key",
	 .main = command_lab_swarm},
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
	{"status", COMMAND_STATUS, "[OPTIONS]", "ask a running forerun how its fleet stands",
	 .text = "Asks a running forerun run, core or agent over its own HTTP and prints: who "
		 "leads "
		 "and what\nholds, each service with its metric and replicas, the pools and their "
		 "limits, what is on its\nway and when it is expected to serve, the instances, and "
		 "what all of it costs.",
	 .examples = "forerun status\n"
		     "forerun status --url http://10.0.3.17:9910\n"
		     "forerun status --json",
	 .main = command_status},
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

/* "core init" goes before "core": taken says how many words it was. */
static const struct command *command_of(int argc, char **argv, int *taken)
{
	_cleanup_free_ char *two = argc > 1 ? str_printf("%s %s", argv[0], argv[1]) : NULL;
	const struct command *command = two ? command_find(two) : NULL;

	*taken = command ? 2 : 1;
	return command ? command : command_find(argv[0]);
}

/* A first word that needs a second one: names those that there are. */
static bool refuse_alone(const char *name)
{
	bool found = false;

	for (size_t i = 0; i < commands_count; i++) {
		size_t length = strlen(name);

		if (strncmp(commands[i].name, name, length) != 0 || commands[i].name[length] != ' ')
			continue;
		fprintf(stderr, "%s%s", found ? ", " : "forerun: expected forerun ",
			commands[i].name);
		found = true;
	}
	if (found)
		fprintf(stderr, "\nforerun --help lists all subcommands\n");
	return found;
}

static int refuse_command(const char *name)
{
	const char *nearest = NULL;
	unsigned least = near_enough(name);

	if (refuse_alone(name))
		return EXIT_USAGE;
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
	int taken = 1;

	if (!name) {
		help_all(stderr);
		return EXIT_USAGE;
	}
	if (str_equal(name, "--help") || str_equal(name, "-h") || str_equal(name, "help")) {
		if (argc > 2 && str_equal(argv[2], "man-options"))
			help_man_options(stdout);
		else if (argc > 2 && (command = command_of(argc - 2, argv + 2, &taken)))
			help_command(command, stdout);
		else
			help_all(stdout);
		return EXIT_DONE;
	}
	if (str_equal(name, "--version"))
		command = command_find("version");
	else
		command = command_of(argc - 1, argv + 1, &taken);
	if (!command)
		return refuse_command(name);
	return run_command(command, argc - taken, argv + taken);
}
