/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TOML 1.0, for the settings of Bottlerocket: read whole, changed as a tree, written anew. (Debian
 * has TOML libraries for C++ alone.)
 */
#ifndef FORERUN_CLOUD_TOML_H
#define FORERUN_CLOUD_TOML_H

#include <cjson/cJSON.h>

#include "base/text.h"

#define TOML_PROBLEM_SIZE 160

/* Tables are objects; numbers, dates and times are kept as they were written (cJSON_Raw). The
 * caller frees with cJSON_Delete(). NULL when it is no TOML: problem says the line and what is
 * wrong. */
cJSON *toml_read(const char *text, size_t length, char problem[TOML_PROBLEM_SIZE]);
/* Of such a tree; null is nothing. Values first, then tables, each in the order of the tree. */
void toml_write(const cJSON *tree, struct text *out);

#endif
