/* SPDX-License-Identifier: Apache-2.0 */
/* Of the page: what drifted, what expires next, what consolidation would save and what holds it. */
#include <math.h>

#include "cmd/status_page.h"

static bool is_quiet(const cJSON *pool)
{
	return !(answer_number(pool, "drifted") > 0) && !(answer_number(pool, "expired") > 0) &&
	       !(answer_number(pool, "usd_per_hour_saves") > 0) &&
	       !(answer_number(pool, "usd_per_hour_held") > 0);
}

static void put_held(struct page *page, const cJSON *pool)
{
	const cJSON *it;

	cJSON_ArrayForEach (it, answer_part(pool, "held")) {
		/* That nothing is cheaper is how it should be. */
		if (strcmp(answer_words(it, "by"), "price") == 0)
			continue;
		page_put(page, 4, "  held: %.0f, %s", answer_number(it, "instances"),
			 answer_words(it, "why"));
	}
}

static void put_pool(struct page *page, const cJSON *pool)
{
	char span[24];

	page_put(page, 2,
		 "%-14.14s %.0f drifted, %.0f too old; cheaper by %.4g USD an hour, %.4g "
		 "more are held back",
		 answer_words(pool, "pool"), answer_number(pool, "drifted"),
		 answer_number(pool, "expired"), answer_number(pool, "usd_per_hour_saves"),
		 answer_number(pool, "usd_per_hour_held"));
	if (*answer_words(pool, "drift"))
		page_put(page, 4, "  drifted: %s", answer_words(pool, "drift"));
	if (*answer_words(pool, "expires_next") && answer_number(pool, "expires_in_s") > 0)
		page_put(page, 4, "  %s expires next, in %s", answer_words(pool, "expires_next"),
			 span_text(answer_number(pool, "expires_in_s"), span));
	put_held(page, pool);
}

void page_giving(struct page *page, const cJSON *status)
{
	const cJSON *pools = answer_part(answer_part(status, "giving"), "pools"), *it;
	bool any = false;

	cJSON_ArrayForEach (it, pools)
		any |= !is_quiet(it);
	if (!any)
		return;
	text_add_char(page->out, '\n');
	page_put(page, 2, "TO GIVE BACK");
	cJSON_ArrayForEach (it, pools)
		if (!is_quiet(it))
			put_pool(page, it);
}
