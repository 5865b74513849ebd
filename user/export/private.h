/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share. */
#ifndef FORERUN_EXPORT_PRIVATE_H
#define FORERUN_EXPORT_PRIVATE_H

#include "export/export.h"

/* Whole numbers in full, others as the shortest decimal text that reads back as the same double. */
#define NUMBER_TEXT_SIZE 32
void number_text(double value, char out[NUMBER_TEXT_SIZE]);

/* Appends a sample line's `name{labels} value`; suffix goes behind the name ("_total", "_bucket",
 * ""); extra_name/extra_value is one more label, or NULL. */
void metrics_sample(struct export_metrics *metrics, const char *name, const char *suffix,
		    const char *const *labels, const char *extra_name, const char *extra_value,
		    double value);

/* Numbers as people read them in a column: "-" for NaN. */
void table_count_text(double value, char *out, size_t size);
void table_seconds_text(double seconds, char *out, size_t size);

#endif
