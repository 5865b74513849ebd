/* SPDX-License-Identifier: Apache-2.0 */
/* Equal pods as one class: their key, their wishes, and their rules on other pods. */
#include "plan/pack.h"

/* ---- wishes ---- */

static uint32_t anyway_count(const struct pod_template *pod)
{
	uint32_t count = 0;

	vec_for_each (spread, &pod->spread)
		count += spread->schedule_anyway;
	return count;
}

static uint32_t take(uint32_t *left, size_t most)
{
	uint32_t taken = (uint32_t)MIN(*left, most);

	*left -= taken;
	return taken;
}

static struct given_up given_up_of(const struct pod_template *pod, uint32_t relaxed)
{
	struct given_up out = {0};

	out.affinity = take(&relaxed, pod->affinity_preferred.list.count);
	out.anti_affinity = take(&relaxed, pod->anti_affinity_preferred.list.count);
	out.node_preferred = take(&relaxed, pod->node_preferred.count);
	out.spread = take(&relaxed, anyway_count(pod));
	out.soft_taints = relaxed > 0;
	return out;
}

static bool has_soft_taints(const struct planner *planner)
{
	for (size_t p = 0; p < planner->pools_count; p++)
		vec_for_each (taint, &planner->pools[p].pool->taints.list)
			if (taint->effect == TAINT_PREFER_NO_SCHEDULE)
				return true;
	return false;
}

uint32_t relaxations(const struct planner *planner, const struct pod_template *pod)
{
	size_t count = pod->affinity_preferred.list.count +
		       pod->anti_affinity_preferred.list.count + pod->node_preferred.count +
		       anyway_count(pod);

	return (uint32_t)(count + has_soft_taints(planner));
}

/* ---- keys: all that bears on where a pod may run ---- */

static void key_terms(struct text *key, const struct label_terms *terms)
{
	vec_for_each (term, &terms->list) {
		text_printf(key, "%s\x01%d", term->key, term->op);
		for (size_t i = 0; i < term->count; i++)
			text_printf(key, "\x02%s", term->values[i]);
		text_add_char(key, '\x03');
	}
	text_add_char(key, '\x04');
}

static void key_selector(struct text *key, const struct pod_selector *selector)
{
	text_add_char(key, selector->given ? '+' : '-');
	key_terms(key, &selector->labels);
}

static void key_affinities(struct text *key, const struct pod_affinity_terms *terms)
{
	vec_for_each (term, &terms->list) {
		text_printf(key, "%s\x01%d\x01", term->topology_key, term->weight);
		key_selector(key, &term->selector);
		key_selector(key, &term->namespace_selector);
		vec_for_each (name, &term->namespaces)
			text_printf(key, "%s\x02", *name);
	}
	text_add_char(key, '\x05');
}

static void key_spread(struct text *key, const struct pod_template *pod)
{
	vec_for_each (it, &pod->spread) {
		text_printf(key, "%s\x01%d,%d,%d%d%d", it->topology_key, it->max_skew,
			    it->min_domains, it->schedule_anyway, it->ignore_affinity,
			    it->honor_taints);
		key_selector(key, &it->selector);
	}
	text_add_char(key, '\x05');
}

static void key_nodes(struct text *key, const struct pod_template *pod)
{
	vec_for_each (label, &pod->node_selector.list)
		text_printf(key, "%s\x01%s\x02", label->key, label->value);
	text_add_char(key, '\x05');
	vec_for_each (term, &pod->node_required)
		key_terms(key, &term->labels);
	text_add_char(key, '\x05');
	vec_for_each (term, &pod->node_preferred) {
		text_printf(key, "%d", term->weight);
		key_terms(key, &term->labels);
	}
	text_add_char(key, '\x05');
	vec_for_each (it, &pod->tolerations)
		text_printf(key, "%s\x01%s\x01%d%d%d\x02", it->key ? it->key : "\x01",
			    it->value ? it->value : "", it->op, it->effect_given, it->effect);
	vec_for_each (port, &pod->host_ports)
		text_printf(key, "%u/%d/%s\x02", port->port, port->protocol,
			    port->ip ? port->ip : "");
}

/* Labels that tell pods of one workload apart, and that no selector of pods should go by. */
static bool is_own_label(const char *key)
{
	return strcmp(key, "statefulset.kubernetes.io/pod-name") == 0 ||
	       strcmp(key, "apps.kubernetes.io/pod-index") == 0 ||
	       strcmp(key, "batch.kubernetes.io/job-completion-index") == 0;
}

static char *key_of(const struct pod_template *pod, uint32_t relaxed)
{
	struct text key = {0};

	text_printf(&key, "%u,%d,%d,%s\x05", relaxed, pod->priority, pod->of_daemon_set,
		    pod->namespace_);
	vec_for_each (it, &pod->requests.list)
		text_printf(&key, "%s\x01%.17g\x02", it->name, it->amount);
	text_add_char(&key, '\x05');
	vec_for_each (label, &pod->labels.list)
		if (!is_own_label(label->key))
			text_printf(&key, "%s\x01%s\x02", label->key, label->value);
	text_add_char(&key, '\x05');
	key_nodes(&key, pod);
	key_affinities(&key, &pod->affinity);
	key_affinities(&key, &pod->affinity_preferred);
	key_affinities(&key, &pod->anti_affinity);
	key_affinities(&key, &pod->anti_affinity_preferred);
	key_spread(&key, pod);
	return text_take(&key);
}

/* ---- shapes ---- */

static void class_shapes(struct planner *planner, struct pod_class *class)
{
	class->alternatives = (uint32_t)MAX(class->pod->node_required.count, 1U);
	class->shapes =
		calloc(planner->pools_count * class->alternatives + 1, sizeof(struct shape *));
	if (!class->shapes)
		abort();
	if (class->impossible)
		return;
	for (uint32_t a = 0; a < class->alternatives; a++)
		for (uint32_t p = 0; p < planner->pools_count; p++)
			if (pool_tolerated(planner->pools[p].pool, class->pod,
					   !class->given_up.soft_taints))
				class->shapes[a * planner->pools_count + p] =
					shape_by_terms(planner, p, class, a);
}

static struct pod_class *class_new(struct planner *planner, const struct pod_template *pod,
				   uint32_t relaxed, char *key)
{
	struct pod_class *class = calloc(1, sizeof(*class));

	if (!class)
		abort();
	*class = (struct pod_class){
		.id = (uint32_t)planner->classes.count,
		.pod = pod,
		.relaxed = relaxed,
		.given_up = given_up_of(pod, relaxed),
		.key = key,
		.priority = pod->priority,
	};
	class->impossible = !amounts_of(planner, &pod->requests, &class->need);
	class->need.of[PODS] += 1000;
	class_shapes(planner, class);
	*vec_push(&planner->classes) = class;
	rules_of_class(planner, class);
	return class;
}

int class_of(struct planner *planner, const struct pod_template *pod, uint32_t relaxed,
	     struct pod_class **out)
{
	char *key = key_of(pod, relaxed);
	uint64_t hash = hash_text(key);
	struct pod_class *class;

	while ((class = map_get(&planner->classes_by_hash, hash)) && strcmp(class->key, key) != 0)
		hash++;
	if (!class) {
		class = class_new(planner, pod, relaxed, key);
		map_put(&planner->classes_by_hash, hash, class);
	} else {
		free(key);
	}
	*out = class;
	return 0;
}

void pod_classes_free(struct planner *planner)
{
	vec_for_each (it, &planner->classes) {
		struct pod_class *class = *it;

		vec_free(&class->hosts);
		vec_free(&class->domains);
		vec_free(&class->host_adds);
		vec_free(&class->domain_adds);
		vec_free(&class->pods);
		vec_for_each (binding, &class->bindings) {
			free((*binding)->shapes);
			free(*binding);
		}
		vec_free(&class->bindings);
		vec_free(&class->filled);
		free(class->shapes);
		free(class->key);
		free(class);
	}
	vec_free(&planner->classes);
	map_free(&planner->classes_by_hash);
}
