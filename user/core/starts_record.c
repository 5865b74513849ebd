/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In the lease's record: the starts that are under way, by name. EC2 keeps no token of a start, so
 * it is called only when the record that names it has been written (order_call()), and whoever
 * leads next asks for the very same one. docs/exactly-once.md has the argument.
 */
#include <cjson/cJSON.h>

#include "core/core_private.h"

#define KEY_DIGITS 16

static void start_write(const struct open_order *open, struct text *out)
{
	bool first = true;

	text_printf(out, "[\"%016llx\",%llu,", (unsigned long long)open->lane->key,
		    (unsigned long long)open->order.sequence);
	text_add_json(out, open->order.decision);
	text_add(out, ",[");
	vec_for_each (start, &open->order.starts) {
		text_add(out, first ? "[" : ",[");
		first = false;
		line_add_element(out, start->id, true);
		line_add_element(out, start->instance_type, false);
		line_add_element(out, start->zone, false);
		text_add_char(out, ']');
	}
	text_add(out, "]]");
}

/* last: what was not called yet is not called any more. */
void starts_write(struct core *core, bool last, struct text *out)
{
	bool first = true;

	text_add_char(out, '[');
	vec_for_each (it, &core->orders) {
		if (!(*it)->order.starts.count || ((*it)->unstored && last))
			continue;
		if (!first)
			text_add_char(out, ',');
		first = false;
		(*it)->written = true;
		start_write(*it, out);
	}
	text_add_char(out, ']');
}

static bool read_names(const cJSON *names, struct launch_order *order)
{
	const cJSON *it;

	cJSON_ArrayForEach (it, names) {
		const char *id = cJSON_GetStringValue(cJSON_GetArrayItem(it, 0));
		const char *type = cJSON_GetStringValue(cJSON_GetArrayItem(it, 1));
		const char *zone = cJSON_GetStringValue(cJSON_GetArrayItem(it, 2));
		struct launched_instance *start;

		if (!id || strlen(id) >= sizeof(start->id) || !type || !zone)
			return false;
		start = vec_push(&order->starts);
		set_text(start->id, id);
		set_text(start->instance_type, type);
		set_text(start->zone, zone);
	}
	return order->starts.count > 0;
}

/* That start is this core's now: the same instances under the same number. */
static void start_inherit(struct core *core, struct lane *lane, uint64_t n, const char *decision,
			  struct open_order *open, struct moment now)
{
	struct launch_order *order = &open->order;
	struct open_order *known;

	lane_token(lane, n, order->token, sizeof(order->token));
	known = order_find(core, order->token);
	if (known)
		known->order.epoch = core->epoch;
	if (known || n <= lane->seen || !*lane->policy) {
		open_order_free(open);
		return;
	}
	set_text(order->decision, decision);
	set_text(order->pool, lane->pool);
	set_text(order->policy, lane->policy);
	order->sequence = n;
	order->epoch = core->epoch;
	order->capacity_type = CAPACITY_ON_DEMAND;
	order->count = (uint32_t)order->starts.count;
	order_start_tags(core, order);
	open->made_ns = now.mono_ns;
	open->made_wall_ns = now.wall_ns;
	open->uncertain_ns = now.mono_ns;
	order_worst(core, open);
	order_add(core, open);
	order_claims(core, open, true);
	lane_used(lane, n, COUNT_UNKNOWN, false, now);
}

static int start_read(struct core *core, const cJSON *item, bool apply, struct moment now)
{
	const char *key = cJSON_GetStringValue(cJSON_GetArrayItem(item, 0));
	const cJSON *number = cJSON_GetArrayItem(item, 1);
	const char *decision = cJSON_GetStringValue(cJSON_GetArrayItem(item, 2));
	struct open_order *open;

	if (!key || strlen(key) != KEY_DIGITS || strspn(key, "0123456789abcdef") != KEY_DIGITS ||
	    !cJSON_IsNumber(number) || !(number->valuedouble >= 1) ||
	    number->valuedouble > (double)LANE_NUMBER_MAX || !decision)
		return -EBADMSG;
	open = calloc(1, sizeof(*open));
	if (!open)
		abort();
	if (!read_names(cJSON_GetArrayItem(item, 3), &open->order)) {
		open_order_free(open);
		return -EBADMSG;
	}
	if (apply)
		start_inherit(core, lane_by_key(core, strtoull(key, NULL, 16)),
			      (uint64_t)number->valuedouble, decision, open, now);
	else
		open_order_free(open);
	return 0;
}

/* A record of a version that started nothing has none. */
int starts_read(struct core *core, const cJSON *starts, bool apply, struct moment now)
{
	const cJSON *it;

	if (starts && !cJSON_IsArray(starts))
		return -EBADMSG;
	cJSON_ArrayForEach (it, starts)
		if (start_read(core, it, apply, now) < 0)
			return -EBADMSG;
	return 0;
}

/* ---- nothing tells what was started ---- */

/* A pool that has nothing has started nothing. */
static bool may_have_started(struct core *core)
{
	vec_for_each (it, &core->instances) {
		const struct pool_state *pool = pool_find(core, (*it)->pool);

		if (!(*it)->gone && (instance_warm(*it) || (pool && pool->warm)))
			return true;
	}
	return false;
}

/* After a view. Without journal and record: what somebody started last may not be shown yet as what
 * it is. */
void starts_seen(struct core *core, uint64_t asked_ns)
{
	if (core->starts_known || !core->fleet_known)
		return;
	core->starts_known =
		asked_ns > core->starts_from_ns + visible_within(core) || !may_have_started(core);
}

bool starts_hidden(struct core *core, const struct lane *lane, struct moment now, uint64_t *left_ns)
{
	const struct pool_state *pool = pool_find(core, lane->pool);
	uint64_t until_ns = core->starts_from_ns + visible_within(core);

	if (core->starts_known || !core->fleet_known || !pool || !pool->warm ||
	    is_warm_name(lane->policy))
		return false;
	*left_ns = until_ns - MIN(until_ns, now.mono_ns);
	return true;
}
