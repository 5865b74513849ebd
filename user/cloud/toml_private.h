/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the TOML reader share. */
#ifndef FORERUN_CLOUD_TOML_PRIVATE_H
#define FORERUN_CLOUD_TOML_PRIVATE_H

#include "base/vec.h"
#include "cloud/toml.h"

#define TOML_DEPTH_MAX 32

/* How a table or an array came to be: who may add to it follows from that. */
enum toml_origin {
	TOML_IMPLICIT, /* a part of a header's name: [a.b] makes a */
	TOML_HEADER, /* [a]: not a second time */
	TOML_DOTTED, /* by a dotted key: no header for it */
	TOML_WHOLE, /* written as a value: nothing is added */
	TOML_TABLES, /* [[a]]: one more each time */
};

struct toml_mark {
	const cJSON *node;
	enum toml_origin origin;
};

struct toml_reader {
	const char *at, *end;
	unsigned line, depth;
	cJSON *root;
	cJSON *table; /* that keys go to */
	VEC(struct toml_mark) marks;
	char *problem;
};

struct toml_key {
	VEC(char *) parts;
};

/* False, with the first problem's place and words. */
bool toml_refuse(struct toml_reader *reader, const char *format, ...) _printf_(2, 3);
void toml_mark(struct toml_reader *reader, const cJSON *node, enum toml_origin origin);
void toml_skip_blanks(struct toml_reader *reader); /* spaces and tabs */
bool toml_skip_lines(struct toml_reader *reader); /* newlines and comments too */
bool toml_take(struct toml_reader *reader, char c);
bool toml_read_key(struct toml_reader *reader, struct toml_key *key);
void toml_key_free(struct toml_key *key);
/* key = value into the table. */
bool toml_read_pair(struct toml_reader *reader, cJSON *table);
/* A quoted string of any of the four kinds; single: not over several lines. NULL: refused. */
char *toml_read_string(struct toml_reader *reader, bool single);
cJSON *toml_read_value(struct toml_reader *reader);

#endif
