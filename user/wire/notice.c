/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/notice.h"

#include "wire/tables.h"

const char *notice_kind_text(enum notice_kind kind)
{
	static const char *const names[NOTICE_KINDS] = {[NOTICE_OTHER] = "other",
							[NOTICE_SPOT] = "spot",
							[NOTICE_REBALANCE] = "rebalance",
							[NOTICE_MAINTENANCE] = "maintenance"};

	return (size_t)kind < NOTICE_KINDS ? names[kind] : "unknown";
}

int notice_read(struct part part, struct notice *out, char reason[REASON_SIZE])
{
	struct part value = {0};
	uint16_t tag = 0;
	int r;

	fields_default(&notice_table, out);
	while ((r = field_next(&part, &tag, &value, reason)) > 0) {
		r = field_read(&notice_table, tag, value, out, reason);
		if (r < 0)
			return r;
	}
	if ((unsigned)out->kind >= NOTICE_KINDS)
		out->kind = NOTICE_OTHER;
	/* People read it. */
	for (char *c = out->what; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	return r;
}
