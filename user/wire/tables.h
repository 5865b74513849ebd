/* SPDX-License-Identifier: Apache-2.0 */
/* Which member stands under which tag. A tag is never used again for something else; docs/wire.md
 * lists them. */
#ifndef FORERUN_WIRE_TABLES_H
#define FORERUN_WIRE_TABLES_H

#include "wire/fields.h"
#include "wire/notice.h"

/* Fields of a frame and of an indicator that are no single member. */
#define TAG_FRAME_NOTICE 10
#define TAG_FRAME_INDICATOR 16
#define TAG_INDICATOR_VALUES 32
#define TAG_INDICATOR_BUCKETS 33

extern const struct table usage_table;
extern const struct table notice_table;
/* Its fields; a kind that is not known here is NOTICE_OTHER. */
int notice_read(struct part part, struct notice *out, char reason[REASON_SIZE]);
extern const struct table frame_table;
extern const struct table indicator_table;

/* Of the messages between agents and cores. */
extern const struct table hello_table;
extern const struct table welcome_table;
extern const struct table bye_table;

#endif
