/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/notice.h"

const char *notice_kind_text(enum notice_kind kind)
{
	static const char *const names[NOTICE_KINDS] = {[NOTICE_SPOT] = "spot",
							[NOTICE_REBALANCE] = "rebalance",
							[NOTICE_MAINTENANCE] = "maintenance"};

	return (size_t)kind < NOTICE_KINDS ? names[kind] : "unknown";
}
