/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of `forerun status` share: the page that is written, and the answer that is read.
 * What is missing in the answer is "" or NaN. */
#ifndef FORERUN_CMD_STATUS_PAGE_H
#define FORERUN_CMD_STATUS_PAGE_H

#include <cjson/cJSON.h>

#include "base/text.h"

struct page {
	struct text *out;
	unsigned width;
};

/* One line; what does not fit goes on below, at a space, indented. */
void page_put(struct page *page, unsigned indent, const char *format, ...) _printf_(3, 4);

const cJSON *answer_part(const cJSON *object, const char *key);
const char *answer_words(const cJSON *object, const char *key);
double answer_number(const cJSON *object, const char *key);
bool answer_true(const cJSON *object, const char *key);

/* "12 s", "3 min 20 s", "2 h 10 min", "5 d 3 h"; "-": not known. */
const char *span_text(double seconds, char out[24]);
const char *figure_text(double value, char out[24]); /* "-": not known */
/* "8 of 100", "8" where there is no limit. */
const char *used_text(double value, double limit, double unit, char out[48]);
const char *plural_text(double count); /* "s", "" for one */

/* ---- status_lists.c: services, pools, what is on its way, instances ---- */
void page_services(struct page *page, const cJSON *status);
void page_pools(struct page *page, const cJSON *status);
void page_coming(struct page *page, const cJSON *status);
void page_leaving(struct page *page, const cJSON *status);
void page_nodes(struct page *page, const cJSON *status);

/* ---- status_giving.c: what could be given back ---- */
void page_giving(struct page *page, const cJSON *status);

#endif
