/* SPDX-License-Identifier: Apache-2.0 */
/* The shared files ~/.aws/credentials and ~/.aws/config, as botocore reads them
 * (botocore/configloader.py). */
#ifndef FORERUN_CLOUD_INI_H
#define FORERUN_CLOUD_INI_H

#include "base/vec.h"

struct ini_entry {
	char *section; /* "default", "profile x", "services y" */
	char *key; /* lower case; of a nested setting "ec2.endpoint_url"; "" for the section itself
		    */
	char *value;
	unsigned line;
};

struct ini {
	VEC(struct ini_entry) list;
};

/* -EINVAL, with line and reason in problem, when a line is no section, setting or comment. */
int ini_parse(const char *text, size_t length, struct ini *out, char problem[128]);
void ini_free(struct ini *ini);
bool ini_has(const struct ini *ini, const char *section);
/* The last one of that name; NULL when there is none. */
const struct ini_entry *ini_get(const struct ini *ini, const char *section, const char *key);

#endif
