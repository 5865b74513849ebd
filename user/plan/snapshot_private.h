/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog's JSON: the fields of a type, as they are read and written. */
#ifndef FORERUN_PLAN_SNAPSHOT_PRIVATE_H
#define FORERUN_PLAN_SNAPSHOT_PRIVATE_H

#include "plan/catalog.h"

enum field_kind { FIELD_FLAG, FIELD_NUMBER, FIELD_TEXT };

struct field {
	const char *key;
	enum field_kind kind;
	size_t offset, size;
};
struct fields {
	const struct field *at;
	size_t count;
};

extern const struct fields TYPE_FIELDS, ACCELERATOR_FIELDS;

#endif
