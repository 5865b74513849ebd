/* SPDX-License-Identifier: Apache-2.0 */
/* What the readers of the journal share: fields of a line, which may be missing or of the wrong
 * kind. */
#ifndef FORERUN_CORE_REPLAY_H
#define FORERUN_CORE_REPLAY_H

#include <cjson/cJSON.h>

#include "core/drain.h"

#define INSTANCES_MAX 1000000 /* of one decision: more is nonsense */

const char *text_of(const cJSON *object, const char *key); /* "" when it is none */
double number_of(const cJSON *object, const char *key); /* NaN when it is none */
/* A number within [0, most]; what is none or lies outside is the nearest bound. */
uint64_t count_of(const cJSON *object, const char *key, double most);
uint64_t number_at(const cJSON *array, int index, double most);
uint64_t ns_of(const cJSON *object, const char *key); /* of microseconds */
const char *element(const cJSON *array, int index); /* "" when it is no text */
int no_sense(char reason[160], const char *format, ...) _printf_(2, 3); /* -EBADMSG */

int replay_drain(struct core *core, const cJSON *json, char reason[160]);
enum capacity_type capacity_type_of(const char *text); /* CAPACITY_ON_DEMAND when it is none */
enum launch_source source_of_text(const char *text); /* SOURCE_ON_DEMAND when it is none */

int replay_snapshot(struct core *core, const cJSON *json, const char *kind, char reason[160]);

#endif
