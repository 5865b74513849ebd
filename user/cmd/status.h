/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FORERUN_CMD_STATUS_H
#define FORERUN_CMD_STATUS_H

#include <cjson/cJSON.h>

#include "base/text.h"

#define STATUS_WIDTH 100 /* where standard output is no terminal */

/* The answer of /v1/status for a person: plain text, no line wider than width (at least 80), and
 * only printable ASCII, whatever names hold. */
void status_print(const cJSON *status, unsigned width, struct text *out);

#endif
