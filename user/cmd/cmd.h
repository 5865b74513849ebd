/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the command line share: the options, and one function for each subcommand. */
#ifndef FORERUN_CMD_CMD_H
#define FORERUN_CMD_CMD_H

#include "base/base.h"
#include "base/log.h"
#include "base/yaml.h"
#include "core/core.h"

/* Exit codes. */
#define EXIT_DONE 0
#define EXIT_FAILED 1
#define EXIT_USAGE 2

enum command_bit {
	COMMAND_RUN = 1 << 0,
	COMMAND_EXPLAIN = 1 << 1,
	COMMAND_SIMULATE = 1 << 2,
	COMMAND_DOCTOR = 1 << 3,
	COMMAND_VERSION = 1 << 4,
	COMMAND_AGENT = 1 << 5,
	COMMAND_CORE = 1 << 6,
	COMMAND_CORE_INIT = 1 << 7,
	COMMAND_CORE_PAUSE = 1 << 8,
	COMMAND_CORE_RESUME = 1 << 9,
	COMMAND_LAB_SWARM = 1 << 10,
	COMMAND_TOP = 1 << 11,
	COMMAND_STATUS = 1 << 12,
	COMMAND_PLAN = 1 << 13,
};

enum plan_output { PLAN_TABLE, PLAN_JSON };
enum output_format { FORMAT_AUTO, FORMAT_TABLE, FORMAT_JSON, FORMAT_NONE };

/* Every option of every subcommand; strings are owned and NULL where nothing was given. */
struct options {
	char *config, *listen, *state_dir, *pin, *region, *cluster_version, *name, *record;
	char *cluster_name, *cluster_endpoint, *cluster_ca, *cluster_cidr, *cluster_dns;
	char *options_file;
	char *replay, *shape;
	char *url; /* of a running forerun */
	uint64_t mode, format, log_level; /* enum core_mode, output_format, log_level */
	uint64_t edge_depth, listeners_max, connections_max, launches_per_minute;
	uint64_t interval_ns, duration_ns, stale_ns, lead_time_ns, rescan_ns, serving_after_ns;
	uint64_t boot_ns, serve_ns, refresh_ns, drain_most_ns, drain_blind_ns;
	double usd_per_hour, price;
	bool check, expand_env, last, json, help;
	bool spot_to_spot;

	/* agents and cores */
	char *core, *service, *host; /* lists with commas */
	char *ca, *certificate, *key, *shared_key;
	char *listen_agents, *identity_certificates, *lock_table, *pause_file, *interruption_queue;
	uint64_t report_ns, lease_ns, visible_within_ns, surge, host_replicas;
	double usd_per_day, silent_share;

	/* core init, core pause */
	char *dir, *core_name, *agent, *reason;
	uint64_t days;
	bool mtls, make_shared_key;

	/* lab swarm */
	char *instance_id, *ca_key;
	uint64_t agents, listeners, depth, port;
	double rate, edges;

	/* plan */
	char *pods, *nodes, *catalog; /* pods: a list with commas */
	uint64_t output; /* enum plan_output */
	bool fetch;

	char *operand; /* the one argument that is no option */
	const struct command *command;
	struct {
		char *where; /* "--mode", "FORERUN_MODE", "/etc/forerun/forerun.yaml:3:7" */
	} sources[112]; /* by index into option_specs[]; NULL: the default holds */
};

struct command {
	const char *name;
	enum command_bit bit;
	const char *usage; /* behind "forerun NAME " */
	const char *summary; /* half a line */
	const char *text; /* what it does, for --help */
	const char *examples;
	const char *operand; /* "ID", or NULL: takes none */
	int (*main)(struct options *options);
};

extern const struct command commands[];
extern const size_t commands_count;

/* ---- options ---- */

enum option_kind {
	OPTION_TEXT,
	OPTION_LIST, /* text; a flag that is given again adds to it, with a comma between */
	OPTION_SWITCH,
	OPTION_COUNT_NUMBER,
	OPTION_AMOUNT,
	OPTION_NUMBER,
	OPTION_SHARE,
	OPTION_DURATION,
	OPTION_CHOICE
};

/* One row drives parsing, --help and the manual page. A name may stand in two rows when no command
 * takes both. */
struct option_spec {
	const char *name;
	const char *argument; /* "DIR"; NULL for a switch */
	enum option_kind kind;
	size_t offset; /* in struct options */
	unsigned commands;
	const char *fallback; /* the default as it would be written; NULL: none */
	uint64_t least, most; /* of counts and durations (ns) */
	const char *choices; /* "observe|act": index is the value */
	bool only_flag; /* neither a variable nor the options file gives it */
	const char *help;
};

extern const struct option_spec option_specs[];
extern const size_t option_specs_count;

/* Everything from flags, environment, options file and defaults, in this order of precedence.
 * Problems name the flag, the variable or the place in the file. -EINVAL when there are any. */
int options_read(struct options *options, const struct command *command, int argc, char **argv,
		 struct problems *problems);
void options_free(struct options *options);
/* Sets one option from text; where names it in messages. */
int option_set(struct options *options, const struct option_spec *spec, const char *text,
	       const char *where, const char *prefix, struct problems *problems);
/* Where the value of the option comes from: "--config", "FORERUN_CONFIG", "file:line:column"; NULL:
 * it is the default. */
const char *option_where(const struct options *options, const char *name);
/* The row of that name that one of these commands takes, else NULL. */
const struct option_spec *option_find(const char *name, unsigned commands_bits);
/* The option of that command that is nearest to what was written; NULL when none is near. */
const char *option_nearest(const char *written, unsigned commands_bits);
/* "FORERUN_STATE_DIR" of "state-dir". */
void option_variable(const char *name, char *out, size_t size);
int options_from_environment(struct options *options, struct problems *problems);
int options_from_file(struct options *options, const char *path, bool must_exist,
		      struct problems *problems);

void help_all(FILE *out);
void help_command(const struct command *command, FILE *out);
void help_man_options(FILE *out);
/* How many letters must change, be added, removed or swapped. */
unsigned edit_distance(const char *a, const char *b);
/* The distance from which on a word is no misspelling of another: it grows with the length. */
unsigned near_enough(const char *written);

/* ---- configuration directory ---- */

/* All *.yaml and *.yml of the directory in the order of their names. Every problem is reported;
 * -EINVAL when there is one. References between the documents are checked, too. */
int config_read(const char *directory, const char *where, bool expand_env,
		struct documents *documents, struct problems *problems);

/* ---- subcommands: exit codes ---- */

int command_run(struct options *options);
int command_check(struct options *options); /* forerun run --check */
int command_explain(struct options *options);
int command_simulate(struct options *options);
int command_doctor(struct options *options);
int command_version(struct options *options);
int command_agent(struct options *options);
int command_core(struct options *options);
int command_core_init(struct options *options);
int command_core_pause(struct options *options); /* and resume */
int command_lab_swarm(struct options *options);
int command_top(struct options *options);
int command_status(struct options *options);
int command_plan(struct options *options);

/* The limits of the core as the options say. */
void limits_from_options(const struct options *options, struct core_limits *limits);
/* What the options say of the cluster that nodes join, and whether that makes sense. */
struct cloud_config;
void cluster_check(const struct options *options, struct problems *problems);
void cluster_from_options(const struct options *options, struct cloud_config *config);
/* A DNS name of at most so many characters: of a host, a service; an underscore is taken, too. */
#define HOST_NAME_MOST 63
bool name_valid(const char *name, size_t most);
bool name_or_address_valid(const char *text);
/* This host's name, cut to size. */
void host_name(char *out, size_t size);

#endif
