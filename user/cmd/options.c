/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <math.h>

#include "base/vec.h"
#include "cmd/cmd.h"

const struct option_spec *option_find(const char *name, unsigned commands_bits)
{
	for (size_t i = 0; i < option_specs_count; i++)
		if (str_equal(option_specs[i].name, name) &&
		    (option_specs[i].commands & commands_bits))
			return &option_specs[i];
	return NULL;
}

const char *option_where(const struct options *options, const char *name)
{
	const struct option_spec *spec = option_find(name, options->command->bit);

	return spec ? options->sources[spec - option_specs].where : NULL;
}

/* Optimal string alignment, on what fits in one row of a small table. */
unsigned edit_distance(const char *a, const char *b)
{
	enum { LONGEST = 40 };
	unsigned row[3][LONGEST + 1];
	size_t n = strlen(a), m = strlen(b);

	if (n > LONGEST || m > LONGEST)
		return LONGEST;
	for (size_t j = 0; j <= m; j++)
		row[0][j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned *now = row[i % 3], *before = row[(i + 2) % 3], *older = row[(i + 1) % 3];

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned least = before[j - 1] + (a[i - 1] != b[j - 1]);

			least = MIN(least, MIN(before[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				least = MIN(least, older[j - 2] + 1);
			now[j] = least;
		}
	}
	return row[n % 3][m];
}

unsigned near_enough(const char *written)
{
	return 1 + CLAMP((unsigned)strlen(written) / 3, 1U, 3U);
}

const char *option_nearest(const char *written, unsigned commands_bits)
{
	const char *nearest = NULL;
	unsigned least = near_enough(written);

	for (size_t i = 0; i < option_specs_count; i++) {
		unsigned distance = edit_distance(written, option_specs[i].name);

		if ((option_specs[i].commands & commands_bits) && distance < least) {
			least = distance;
			nearest = option_specs[i].name;
		}
	}
	return nearest;
}

/* ---- one value ---- */

struct value_context {
	const struct option_spec *spec;
	const char *text, *where, *prefix;
	const char *before; /* where the value that the option has came from */
	struct problems *problems;
};

/* "--mode: found "x", expected ..."; prefix is "mode: " in a file, where the place says less. */
static int refuse(const struct value_context *context, const char *expected)
{
	problem_add(context->problems, context->where, "%sfound \"%s\", expected %s",
		    context->prefix, context->text, expected);
	return -EINVAL;
}

static void duration_text(uint64_t ns, char *out, size_t size)
{
	if (ns && ns % (3600 * NS_PER_S) == 0)
		snprintf(out, size, "%lluh", (unsigned long long)(ns / (3600 * NS_PER_S)));
	else if (ns % NS_PER_S == 0)
		snprintf(out, size, "%llus", (unsigned long long)(ns / NS_PER_S));
	else
		snprintf(out, size, "%llums", (unsigned long long)(ns / NS_PER_MS));
}

static int set_duration(const struct value_context *context, uint64_t *out)
{
	char expected[128], least[32], most[32];
	uint64_t ns;

	duration_text(context->spec->least, least, sizeof(least));
	duration_text(context->spec->most, most, sizeof(most));
	snprintf(expected, sizeof(expected), "a duration such as 500ms, 3s or 1h30m, from %s to %s",
		 least, most);
	if (parse_duration_ns(context->text, &ns) < 0 || ns < context->spec->least ||
	    ns > context->spec->most)
		return refuse(context, expected);
	*out = ns;
	return 0;
}

static int set_count(const struct value_context *context, uint64_t *out)
{
	char expected[96];
	uint64_t value;

	snprintf(expected, sizeof(expected), "a whole number from %llu to %llu",
		 (unsigned long long)context->spec->least, (unsigned long long)context->spec->most);
	if (parse_u64(context->text, &value) < 0 || value < context->spec->least ||
	    value > context->spec->most)
		return refuse(context, expected);
	*out = value;
	return 0;
}

static int set_amount(const struct value_context *context, double *out)
{
	double value;

	if (parse_double(context->text, &value) < 0 || !isfinite(value) || value < 0)
		return refuse(context, "an amount of US dollars, such as 2.50");
	*out = value;
	return 0;
}

static int set_number(const struct value_context *context, double *out)
{
	double value;

	if (parse_double(context->text, &value) < 0 || !(value >= 0 && value <= 1000))
		return refuse(context, "a number from 0 to 1000, such as 0.5");
	*out = value;
	return 0;
}

static int set_share(const struct value_context *context, double *out)
{
	double value;

	if (parse_double(context->text, &value) < 0 || !(value >= 0 && value <= 1))
		return refuse(context, "a share from 0 to 1, such as 0.2");
	*out = value;
	return 0;
}

static int set_switch(const struct value_context *context, bool *out)
{
	bool yes = str_equal(context->text, "true") || str_equal(context->text, "1");

	if (!yes && !str_equal(context->text, "false") && !str_equal(context->text, "0"))
		return refuse(context, "true or false");
	*out = yes;
	return 0;
}

/* "observe|act" as "observe or act". */
static void choices_text(const char *choices, char *out, size_t size)
{
	size_t at = 0;

	for (const char *c = choices; *c && at + 5 < size; c++) {
		if (*c != '|')
			out[at++] = *c;
		else
			at += (size_t)snprintf(out + at, size - at,
					       strchr(c + 1, '|') ? ", " : " or ");
	}
	out[at] = '\0';
}

static int set_choice(const struct value_context *context, uint64_t *out)
{
	char expected[96];
	uint64_t index = 0;
	size_t length = strlen(context->text);

	for (const char *c = context->spec->choices; c; index++) {
		const char *end = strchrnul(c, '|');

		if ((size_t)(end - c) == length && length && !strncmp(c, context->text, length)) {
			*out = index;
			return 0;
		}
		c = *end ? end + 1 : NULL;
	}
	choices_text(context->spec->choices, expected, sizeof(expected));
	return refuse(context, expected);
}

static int set_text(const struct value_context *context, char **out)
{
	char expected[64];
	char *copy;

	if (!context->text[0]) {
		snprintf(expected, sizeof(expected), "%s", context->spec->argument);
		return refuse(context, expected);
	}
	copy = strdup(context->text);
	if (!copy)
		return -ENOMEM;
	free(*out);
	*out = copy;
	return 0;
}

static int set_list(const struct value_context *context, char **out)
{
	_cleanup_free_ char *before = NULL;
	char *joined;

	if (!*out || !str_equal(context->before, context->where))
		return set_text(context, out);
	before = TAKE(*out);
	if (set_text(context, out) < 0)
		return -EINVAL;
	joined = str_printf("%s,%s", before, *out);
	if (!joined)
		return -ENOMEM;
	free(*out);
	*out = joined;
	return 0;
}

static int set_value(struct options *options, const struct value_context *context)
{
	void *field = (char *)options + context->spec->offset;

	switch (context->spec->kind) {
	case OPTION_TEXT:
		return set_text(context, field);
	case OPTION_LIST:
		return set_list(context, field);
	case OPTION_SWITCH:
		return set_switch(context, field);
	case OPTION_COUNT_NUMBER:
		return set_count(context, field);
	case OPTION_AMOUNT:
		return set_amount(context, field);
	case OPTION_NUMBER:
		return set_number(context, field);
	case OPTION_SHARE:
		return set_share(context, field);
	case OPTION_DURATION:
		return set_duration(context, field);
	case OPTION_CHOICE:
		return set_choice(context, field);
	}
	return -EINVAL;
}

int option_set(struct options *options, const struct option_spec *spec, const char *text,
	       const char *where, const char *prefix, struct problems *problems)
{
	char **source = &options->sources[spec - option_specs].where;
	struct value_context context = {spec, text, where, prefix, *source, problems};
	int r = set_value(options, &context);

	if (r < 0)
		return r;
	free(*source);
	*source = where ? strdup(where) : NULL;
	return 0;
}

/* ---- flags ---- */

struct flag {
	const struct option_spec *spec;
	const char *value; /* NULL: a switch */
};
struct flags {
	VEC(struct flag) list;
};

static size_t getopt_table(unsigned bits, struct option *out)
{
	size_t count = 0;

	for (size_t i = 0; i < option_specs_count; i++)
		if (option_specs[i].commands & bits)
			out[count++] = (struct option){option_specs[i].name,
						       option_specs[i].argument ? required_argument
										: no_argument,
						       NULL, (int)i + 256};
	out[count++] = (struct option){0};
	return count;
}

static void refuse_flag(const struct options *options, const char *written, int known,
			struct problems *problems)
{
	_cleanup_free_ char *name = strndup(written, strcspn(written, "="));
	const char *nearest;

	if (!name)
		return;
	if (known >= 256) {
		problem_add(problems, name, "takes no value, found \"%s\"",
			    strchr(written, '=') ? strchr(written, '=') + 1 : "");
		return;
	}
	nearest = option_nearest(name + strspn(name, "-"), options->command->bit);
	if (nearest)
		problem_add(problems, name, "no such option of forerun %s; did you mean --%s?",
			    options->command->name, nearest);
	else
		problem_add(problems, name, "no such option of forerun %s", options->command->name);
}

static void refuse_missing(int known, struct problems *problems)
{
	const struct option_spec *spec = &option_specs[known - 256];
	char where[64];

	snprintf(where, sizeof(where), "--%s", spec->name);
	problem_add(problems, where, "found nothing behind it, expected %s", spec->argument);
}

static void take_operands(struct options *options, int argc, char **argv, int at,
			  struct problems *problems)
{
	for (int i = at; i < argc; i++) {
		if (options->command->operand && !options->operand) {
			options->operand = strdup(argv[i]);
			continue;
		}
		problem_add(problems, argv[i],
			    options->command->operand
				    ? "found one argument more, expected only one %s"
				    : "found an argument, expected only options%.0s",
			    options->command->operand ? options->command->operand : "");
	}
}

static void collect_flags(struct options *options, int argc, char **argv, struct flags *flags,
			  struct problems *problems)
{
	struct option table[ARRAY_SIZE(options->sources) + 1];
	int c;

	getopt_table(options->command->bit, table);
	opterr = 0;
	optind = 1;
	while ((c = getopt_long(argc, argv, ":h", table, NULL)) != -1) {
		if (c == '?')
			refuse_flag(options, argv[optind - 1], optopt, problems);
		else if (c == ':')
			refuse_missing(optopt, problems);
		else if (c == 'h')
			options->help = true;
		else
			*vec_push(&flags->list) = (struct flag){&option_specs[c - 256], optarg};
	}
	/* Behind an option that is none, what stands there may have been its value. */
	if (!problems->errors)
		take_operands(options, argc, argv, optind, problems);
}

static void apply_flags(struct options *options, const struct flags *flags,
			struct problems *problems)
{
	char where[64];

	vec_for_each (flag, &flags->list) {
		snprintf(where, sizeof(where), "--%s", flag->spec->name);
		option_set(options, flag->spec, flag->value ? flag->value : "true", where, "",
			   problems);
	}
}

static void apply_defaults(struct options *options, struct problems *problems)
{
	options->usd_per_hour = options->usd_per_day = INFINITY;
	for (size_t i = 0; i < option_specs_count; i++)
		if (option_specs[i].fallback)
			option_set(options, &option_specs[i], option_specs[i].fallback, NULL, "",
				   problems);
}

/* The file's own name comes from a flag or the environment, before the file can be read. */
static const char *options_file_of(const struct options *options, const struct flags *flags,
				   bool *given)
{
	const char *variable = getenv("FORERUN_OPTIONS_FILE"), *path = options->options_file;

	*given = variable && *variable;
	if (*given)
		path = variable;
	vec_for_each (flag, &flags->list)
		if (str_equal(flag->spec->name, "options-file")) {
			path = flag->value;
			*given = true;
		}
	return path;
}

int options_read(struct options *options, const struct command *command, int argc, char **argv,
		 struct problems *problems)
{
	struct flags flags = {0};
	bool given;
	const char *path;

	memset(options, 0, sizeof(*options));
	options->command = command;
	apply_defaults(options, problems);
	collect_flags(options, argc, argv, &flags, problems);
	path = options_file_of(options, &flags, &given);
	options_from_file(options, path, given, problems);
	options_from_environment(options, problems);
	apply_flags(options, &flags, problems);
	vec_free(&flags.list);
	return problems->errors ? -EINVAL : 0;
}

void options_free(struct options *options)
{
	for (size_t i = 0; i < option_specs_count; i++) {
		if (option_specs[i].kind == OPTION_TEXT || option_specs[i].kind == OPTION_LIST)
			free_pointer((char *)options + option_specs[i].offset);
		free(options->sources[i].where);
	}
	free(options->operand);
	memset(options, 0, sizeof(*options));
}
