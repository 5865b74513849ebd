/* SPDX-License-Identifier: Apache-2.0 */
/* A plan as one JSON object: docs/capacity.md says what is in it. */
#include <math.h>

#include "base/map.h"
#include "cmd/plan.h"

void plan_pod_name(const struct plan_pod *pod, struct text *out)
{
	const struct pod_template *template = pod->template_;

	text_printf(out, "%s/%s", template->namespace_, template->name);
	if (template->source != POD_SINGLE)
		text_printf(out, "-%u", pod->index);
}

static void put_pod(struct text *out, const struct plan_pod *pod)
{
	_cleanup_text_ struct text name = {0};

	plan_pod_name(pod, &name);
	text_add_json(out, name.data);
}

static void put_usd(struct text *out, double usd)
{
	if (isfinite(usd))
		text_printf(out, "%.10g", usd);
	else
		text_add(out, "null");
}

/* Those that the plan placed. */
static void put_pods(struct text *out, const struct plan_node *node)
{
	size_t before = node->pods.count - node->new_pods;

	text_add(out, "\"pods\":[");
	for (size_t i = before; i < node->pods.count; i++) {
		if (i > before)
			text_add_char(out, ',');
		put_pod(out, &node->pods.at[i]);
	}
	text_add_char(out, ']');
}

static void put_requests(struct text *out, const struct plan_node *node)
{
	text_add(out, ",\"requests\":{");
	vec_for_each (it, &node->requests.list) {
		if (it != node->requests.list.at)
			text_add_char(out, ',');
		text_add_json(out, it->name);
		text_printf(out, ":%.15g", it->amount);
	}
	text_add_char(out, '}');
}

/* The different values of a text among the offerings, in the order in which they come. */
static void put_different(struct text *out, const char *name, const struct plan_node *node,
			  const char *(*of)(const struct offering *offering))
{
	struct map seen = {0};

	text_printf(out, ",\"%s\":[", name);
	vec_for_each (it, &node->offerings) {
		const char *value = of(*it);

		if (map_get(&seen, hash_text(value)))
			continue;
		if (seen.count)
			text_add_char(out, ',');
		map_put(&seen, hash_text(value), (void *)value);
		text_add_json(out, value);
	}
	text_add_char(out, ']');
	map_free(&seen);
}

static const char *type_of(const struct offering *offering)
{
	return offering->instance_type;
}

static const char *zone_of(const struct offering *offering)
{
	return offering->zone;
}

static const char *capacity_type_of(const struct offering *offering)
{
	return capacity_type_text(offering->capacity_type);
}

static void put_offerings(struct text *out, const struct plan_node *node)
{
	text_add(out, ",\"offerings\":[");
	vec_for_each (it, &node->offerings) {
		if (it != node->offerings.at)
			text_add_char(out, ',');
		text_printf(out, "[\"%s\",\"%s\",\"%s\",", (*it)->instance_type, (*it)->zone,
			    capacity_type_of(*it));
		put_usd(out, (*it)->usd_per_hour);
		text_add_char(out, ']');
	}
	text_add_char(out, ']');
}

static void put_node(struct text *out, const struct plan_node *node, size_t number)
{
	const struct offering *cheapest = node->offerings.count ? node->offerings.at[0] : NULL;

	text_printf(out, "{\"name\":\"new-%zu\",\"pool\":", number);
	text_add_json(out, node->pool->name);
	text_add(out, ",\"node_class\":");
	text_add_json(out, node->node_class ? node->node_class->name : "");
	text_add_char(out, ',');
	put_pods(out, node);
	put_requests(out, node);
	text_add(out, ",\"usd_per_hour\":");
	put_usd(out, node->usd_per_hour);
	if (cheapest)
		text_printf(out,
			    ",\"cheapest\":{\"type\":\"%s\",\"zone\":\"%s\",\"capacity_type\":"
			    "\"%s\"}",
			    cheapest->instance_type, cheapest->zone, capacity_type_of(cheapest));
	put_different(out, "types", node, type_of);
	put_different(out, "zones", node, zone_of);
	put_different(out, "capacity_types", node, capacity_type_of);
	put_offerings(out, node);
	text_add_char(out, '}');
}

static void put_existing(struct text *out, const struct plan_node *node)
{
	text_add(out, "{\"name\":");
	text_add_json(out, node->existing->name);
	text_add_char(out, ',');
	put_pods(out, node);
	text_add_char(out, '}');
}

static void flush(struct text *text, FILE *out)
{
	fwrite(text->data, 1, text->length, out);
	text_clear(text);
}

static void put_nodes(const struct plan_view *view, struct text *text, FILE *out)
{
	size_t number = 0;
	bool first = true;

	text_add(text, "{\"nodes\":[");
	for (size_t i = 0; i < view->nodes_count; i++) {
		if (view->nodes[i]->existing)
			continue;
		if (number)
			text_add_char(text, ',');
		put_node(text, view->nodes[i], ++number);
		flush(text, out);
	}
	text_add(text, "],\"existing\":[");
	for (size_t i = 0; i < view->nodes_count; i++) {
		if (!view->nodes[i]->existing)
			continue;
		if (!first)
			text_add_char(text, ',');
		first = false;
		put_existing(text, view->nodes[i]);
	}
	text_add_char(text, ']');
}

static void put_failures(const struct plan_view *view, struct text *text)
{
	text_add(text, ",\"unschedulable\":[");
	for (size_t i = 0; i < view->failures_count; i++) {
		text_add(text, i ? ",{\"pod\":" : "{\"pod\":");
		put_pod(text, &view->failures[i].pod);
		text_add(text, ",\"why\":");
		text_add_json(text, view->failures[i].why);
		text_add_char(text, '}');
	}
	text_add_char(text, ']');
}

void plan_print_json(const struct plan_input *input, const struct plan_view *view, double seconds,
		     FILE *out)
{
	_cleanup_text_ struct text text = {0};
	size_t placed = 0, nodes = 0;

	for (size_t i = 0; i < view->nodes_count; i++) {
		placed += view->nodes[i]->new_pods;
		nodes += !view->nodes[i]->existing;
	}
	put_nodes(view, &text, out);
	put_failures(view, &text);
	text_printf(&text,
		    ",\"totals\":{\"pods\":%zu,\"placed\":%zu,\"nodes\":%zu,\"usd_per_hour\":",
		    placed + view->failures_count, placed, nodes);
	put_usd(&text, view->usd_per_hour);
	text_printf(&text, ",\"seconds\":%.6f},\"catalog\":{\"region\":", seconds);
	text_add_json(&text, input->catalog->region);
	text_printf(&text, ",\"fetched_wall_us\":%llu,\"snapshot\":%s}}\n",
		    (unsigned long long)(input->catalog->fetched_wall_ns / NS_PER_US),
		    input->catalog->snapshot ? "true" : "false");
	flush(&text, out);
}
