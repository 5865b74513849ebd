/* SPDX-License-Identifier: Apache-2.0 */
/* --help and the option list of the manual page, from the tables of commands and options. */
#include "cmd/cmd.h"

#define HELP_INDENT 30
#define HELP_WIDTH 98

void help_all(FILE *out)
{
	fprintf(out, "forerun %s: capacity that starts moving before the load has hurt anyone.\n\n",
		FORERUN_VERSION);
	fprintf(out, "usage: forerun COMMAND [OPTIONS]\n\n");
	for (size_t i = 0; i < commands_count; i++)
		fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].summary);
	fprintf(out, "\nforerun COMMAND --help shows its options and examples.\n");
}

/* Words of text, broken at HELP_WIDTH, every line but the first indented. */
static void put_wrapped(FILE *out, const char *text, unsigned column)
{
	while (*text) {
		size_t word = strcspn(text, " ");

		if (column > HELP_INDENT && column + 1 + word > HELP_WIDTH) {
			fprintf(out, "\n%*s", HELP_INDENT, "");
			column = HELP_INDENT;
		} else if (column > HELP_INDENT) {
			fputc(' ', out);
			column++;
		}
		fprintf(out, "%.*s", (int)word, text);
		column += (unsigned)word;
		text += word + (text[word] == ' ');
	}
	fputc('\n', out);
}

static void put_choices(FILE *out, const struct option_spec *spec)
{
	if (spec->choices)
		fprintf(out, "%s", spec->choices);
	else
		fprintf(out, "%s", spec->argument);
}

static void put_option(FILE *out, const struct option_spec *spec)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ char *flag = str_printf("--%s%s%s", spec->name, spec->argument ? " " : "",
					       spec->choices	? spec->choices
					       : spec->argument ? spec->argument
								: "");

	text = spec->fallback ? str_printf("%s Default: %s.", spec->help, spec->fallback)
			      : strdup(spec->help);
	if (!flag || !text)
		return;
	if (strlen(flag) + 4 > HELP_INDENT)
		fprintf(out, "  %s\n%*s", flag, HELP_INDENT, "");
	else
		fprintf(out, "  %-*s", HELP_INDENT - 2, flag);
	put_wrapped(out, text, HELP_INDENT);
}

void help_command(const struct command *command, FILE *out)
{
	const char *line = command->examples;

	fprintf(out, "usage: forerun %s %s\n\n%s\n\noptions:\n", command->name, command->usage,
		command->text);
	for (size_t i = 0; i < option_specs_count; i++)
		if (option_specs[i].commands & command->bit)
			put_option(out, &option_specs[i]);
	fprintf(out,
		"\nEach option can also be given as a variable (--state-dir: FORERUN_STATE_DIR) or "
		"in the\noptions file (state-dir: DIR). A flag goes before a variable, a variable "
		"before the file.\n\nexamples:\n");
	while (*line) {
		size_t length = strcspn(line, "\n");

		fprintf(out, "  %.*s\n", (int)length, line);
		line += length + (line[length] == '\n');
	}
}

/* roff: a hyphen in a flag must be \- to be found and copied, a backslash \e; a dot or quote at the
 * start of a line would be a request. */
static void put_roff(FILE *out, const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", out);
	for (; *text; text++) {
		if (*text == '-')
			fputs("\\-", out);
		else if (*text == '\\')
			fputs("\\e", out);
		else
			fputc(*text, out);
	}
}

static void put_roff_commands(FILE *out, unsigned bits)
{
	bool first = true;

	fputs(" (", out);
	for (size_t i = 0; i < commands_count; i++)
		if (commands[i].bit & bits) {
			fprintf(out, "%s%s", first ? "" : ", ", commands[i].name);
			first = false;
		}
	fputs(")\n", out);
}

void help_man_options(FILE *out)
{
	for (size_t i = 0; i < option_specs_count; i++) {
		const struct option_spec *spec = &option_specs[i];

		fputs(".TP\n\\fB", out);
		put_roff(out, "--");
		put_roff(out, spec->name);
		fputs("\\fR", out);
		if (spec->argument) {
			fputs(" \\fI", out);
			put_choices(out, spec);
			fputs("\\fR", out);
		}
		put_roff_commands(out, spec->commands);
		put_roff(out, spec->help);
		if (spec->fallback) {
			fputs(" Default: ", out);
			put_roff(out, spec->fallback);
			fputc('.', out);
		}
		fputc('\n', out);
	}
}
