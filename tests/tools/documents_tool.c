/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What forerun says of documents, for tests: documents_tool FILE... prints a JSON object a line,
 * {"file", "errors": [...], "warnings": [...]}, each file by itself and without the references
 * between them; with --check first, all files together and their references too. With --meaning
 * what was read is in it as well: "pools" and "classes".
 */
#include "base/text.h"
#include "documents/documents.h"

#define BYTES_MAX (1 << 20)

static void print_list(struct text *out, const char *name, const struct problems *problems,
		       bool warnings)
{
	bool first = true;

	text_printf(out, ", \"%s\": [", name);
	vec_for_each (problem, &problems->list) {
		_cleanup_free_ char *line = str_printf("%s: %s", problem->where, problem->text);

		if (problem->warning != warnings)
			continue;
		if (!first)
			text_add(out, ", ");
		text_add_json(out, line);
		first = false;
	}
	text_add_char(out, ']');
}

/* ---- what was read ---- */

static void add_text(struct text *out, const char *name, const char *value)
{
	text_printf(out, "\"%s\": ", name);
	if (value)
		text_add_json(out, value);
	else
		text_add(out, "null");
	text_add(out, ", ");
}

static void add_number(struct text *out, const char *name, double value)
{
	text_printf(out, "\"%s\": %.17g, ", name, value);
}

/* Texts and numbers end in ", ": the end of a list or object takes it back. */
static void end(struct text *out, char bracket)
{
	while (out->length && strchr(", ", out->data[out->length - 1]))
		out->data[--out->length] = '\0';
	text_printf(out, "%c, ", bracket);
}

static void begin(struct text *out, const char *name, char bracket)
{
	text_printf(out, "\"%s\": %c", name, bracket);
}

static void add_pairs(struct text *out, const char *name, const struct key_values *pairs)
{
	begin(out, name, '{');
	vec_for_each (pair, &pairs->list) {
		text_add_json(out, pair->key);
		text_add(out, ": ");
		text_add_json(out, pair->value);
		text_add(out, ", ");
	}
	end(out, '}');
}

static void add_resources(struct text *out, const char *name, const struct resources *resources)
{
	begin(out, name, '{');
	vec_for_each (it, &resources->list) {
		text_add_json(out, it->name);
		text_printf(out, ": %.17g, ", it->amount);
	}
	end(out, '}');
}

static void add_thresholds(struct text *out, const char *name,
			   const struct eviction_thresholds *thresholds)
{
	begin(out, name, '{');
	vec_for_each (it, &thresholds->list)
		add_text(out, it->signal, it->value);
	end(out, '}');
}

static void add_requirements(struct text *out, const struct label_terms *terms)
{
	begin(out, "requirements", '[');
	vec_for_each (term, &terms->list) {
		text_add_char(out, '{');
		add_text(out, "key", term->key);
		add_number(out, "operator", term->op);
		add_number(out, "min_values", term->min_values);
		begin(out, "values", '[');
		for (size_t i = 0; i < term->count; i++) {
			text_add_json(out, term->values[i]);
			text_add(out, ", ");
		}
		end(out, ']');
		end(out, '}');
	}
	end(out, ']');
}

static void add_taints(struct text *out, const char *name, const struct taints *taints)
{
	begin(out, name, '[');
	vec_for_each (taint, &taints->list) {
		text_add_char(out, '{');
		add_text(out, "key", taint->key);
		add_text(out, "value", taint->value);
		add_number(out, "effect", taint->effect);
		end(out, '}');
	}
	end(out, ']');
}

static void add_budgets(struct text *out, const struct pool *pool)
{
	begin(out, "budgets", '[');
	vec_for_each (budget, &pool->budgets) {
		const struct cron_schedule *cron = &budget->schedule;

		text_add_char(out, '{');
		add_number(out, "reasons", budget->reasons);
		add_number(out, "percent", budget->percent);
		add_number(out, "nodes", budget->nodes);
		add_number(out, "duration", (double)budget->duration_s);
		text_printf(out, "\"schedule\": \"%d %llx %x %x %x %x %d %d\", ", budget->scheduled,
			    (unsigned long long)cron->minutes, cron->hours, cron->month_days,
			    cron->months, cron->week_days, cron->any_month_day, cron->any_week_day);
		end(out, '}');
	}
	end(out, ']');
}

static void add_pool(struct text *out, const struct pool *pool)
{
	text_add_char(out, '{');
	add_text(out, "name", pool->name);
	add_text(out, "node_class", pool->node_class);
	add_number(out, "weight", pool->weight);
	add_requirements(out, &pool->requirements);
	add_pairs(out, "labels", &pool->labels);
	add_pairs(out, "annotations", &pool->annotations);
	add_resources(out, "limits", &pool->limits);
	add_taints(out, "taints", &pool->taints);
	add_taints(out, "startup_taints", &pool->startup_taints);
	add_number(out, "expire_after", (double)pool->expire_after_s);
	add_number(out, "grace",
		   pool->termination_grace_given ? (double)pool->termination_grace_s : -1);
	add_number(out, "replicas", (double)pool->replicas);
	add_number(out, "consolidation", pool->consolidation);
	add_number(out, "consolidate_after", (double)pool->consolidate_after_s);
	add_budgets(out, pool);
	add_number(out, "warm_size", pool->warm.size);
	add_number(out, "warm_state", pool->warm.state);
	add_number(out, "warm_refresh", (double)pool->warm.refresh_s);
	add_number(out, "spot_low", pool->spot_share.low);
	add_number(out, "spot_high", pool->spot_share.high);
	add_text(out, "auto_scaling_group", pool->auto_scaling_group);
	end(out, '}');
}

static void add_terms(struct text *out, const char *name, const struct selector_terms *terms)
{
	begin(out, name, '[');
	vec_for_each (term, &terms->list) {
		text_add_char(out, '{');
		add_text(out, "id", term->id);
		add_text(out, "name", term->name);
		add_pairs(out, "tags", &term->tags);
		end(out, '}');
	}
	end(out, ']');
}

static void add_images(struct text *out, const struct node_class *node_class)
{
	begin(out, "amis", '[');
	vec_for_each (term, &node_class->amis) {
		text_add_char(out, '{');
		add_text(out, "alias", term->alias);
		add_text(out, "id", term->id);
		add_text(out, "name", term->name);
		add_text(out, "owner", term->owner);
		add_text(out, "ssm_parameter", term->ssm_parameter);
		add_pairs(out, "tags", &term->tags);
		end(out, '}');
	}
	end(out, ']');
}

static void add_reservations(struct text *out, const struct node_class *node_class)
{
	begin(out, "reservations", '[');
	vec_for_each (term, &node_class->reservations) {
		text_add_char(out, '{');
		add_text(out, "id", term->id);
		add_text(out, "owner", term->owner_id);
		add_text(out, "match", term->instance_match_criteria);
		add_pairs(out, "tags", &term->tags);
		end(out, '}');
	}
	end(out, ']');
}

static void add_devices(struct text *out, const struct node_class *node_class)
{
	begin(out, "devices", '[');
	vec_for_each (device, &node_class->block_devices) {
		text_add_char(out, '{');
		add_text(out, "name", device->device_name);
		add_number(out, "encrypted", device->encrypted_set ? device->encrypted : -1);
		add_number(out, "delete",
			   device->delete_on_termination_set ? device->delete_on_termination : -1);
		add_number(out, "iops", device->iops);
		add_number(out, "throughput", device->throughput);
		add_text(out, "kms", device->kms_key_id);
		add_text(out, "snapshot", device->snapshot_id);
		add_text(out, "type", device->volume_type);
		add_number(out, "bytes", (double)device->volume_size_bytes);
		add_number(out, "root", device->root_volume);
		add_number(out, "rate", device->volume_initialization_rate);
		end(out, '}');
	}
	end(out, ']');
}

static void add_kubelet(struct text *out, const struct kubelet *kubelet)
{
	begin(out, "kubelet", '{');
	add_number(out, "given", kubelet->given);
	begin(out, "dns", '[');
	vec_for_each (address, &kubelet->cluster_dns) {
		text_add_json(out, *address);
		text_add(out, ", ");
	}
	end(out, ']');
	add_number(out, "max_pods", kubelet->max_pods);
	add_number(out, "pods_per_core", kubelet->pods_per_core);
	add_resources(out, "system", &kubelet->system_reserved);
	add_resources(out, "kube", &kubelet->kube_reserved);
	add_thresholds(out, "hard", &kubelet->eviction_hard);
	add_thresholds(out, "soft", &kubelet->eviction_soft);
	add_thresholds(out, "grace", &kubelet->eviction_soft_grace_period);
	add_number(out, "max_grace", kubelet->eviction_max_pod_grace_period_s);
	add_number(out, "gc_high", kubelet->image_gc_high_threshold_percent);
	add_number(out, "gc_low", kubelet->image_gc_low_threshold_percent);
	add_number(out, "quota", kubelet->cpu_cfs_quota);
	end(out, '}');
}

/* What is not said of them is Karpenter's default. */
static void add_metadata(struct text *out, const struct metadata_options *options)
{
	add_text(out, "endpoint", options->http_endpoint ?: "enabled");
	add_text(out, "ipv6", options->http_protocol_ipv6 ?: "disabled");
	add_text(out, "tokens", options->http_tokens ?: "required");
	add_number(out, "hops", options->http_put_response_hop_limit);
}

static void add_network(struct text *out, const struct node_class *node_class)
{
	add_number(out, "public_ip", node_class->associate_public_ip);
	add_number(out, "prefixes", node_class->ip_prefix_count);
	add_number(out, "tcp", node_class->connection_tracking.tcp_established_s);
	add_number(out, "udp_stream", node_class->connection_tracking.udp_stream_s);
	add_number(out, "udp", node_class->connection_tracking.udp_s);
	begin(out, "interfaces", '[');
	vec_for_each (it, &node_class->network_interfaces)
		text_printf(out, "\"%u %u %d\", ", it->card, it->device, it->efa_only);
	end(out, ']');
	add_text(out, "group_id", node_class->placement_group_id);
	add_text(out, "group_name", node_class->placement_group_name);
	add_number(out, "nested", node_class->nested_virtualization);
}

static void add_class(struct text *out, const struct node_class *node_class)
{
	text_add_char(out, '{');
	add_text(out, "name", node_class->name);
	add_text(out, "family", ami_family_text(node_class->family));
	add_images(out, node_class);
	add_terms(out, "subnets", &node_class->subnets);
	add_terms(out, "groups", &node_class->security_groups);
	add_reservations(out, node_class);
	add_text(out, "role", node_class->role);
	add_text(out, "profile", node_class->instance_profile);
	add_text(out, "user_data", node_class->user_data);
	add_pairs(out, "tags", &node_class->tags);
	add_devices(out, node_class);
	add_metadata(out, &node_class->metadata);
	add_kubelet(out, &node_class->kubelet);
	add_network(out, node_class);
	add_number(out, "raid0", node_class->instance_store_raid0);
	add_text(out, "context", node_class->context);
	add_number(out, "monitoring", node_class->detailed_monitoring);
	end(out, '}');
}

static void add_meaning(struct text *out, const struct documents *documents)
{
	text_add(out, ", ");
	begin(out, "pools", '[');
	vec_for_each (pool, &documents->pools)
		add_pool(out, pool);
	end(out, ']');
	begin(out, "classes", '[');
	vec_for_each (node_class, &documents->classes)
		add_class(out, node_class);
	text_add_char(out, ' ');
	end(out, ']');
	out->length -= strlen(", ");
	out->data[out->length] = '\0';
}

/* ---- files ---- */

static void print(const char *file, const struct problems *problems,
		  const struct documents *meaning)
{
	_cleanup_text_ struct text out = {0};

	text_add(&out, "{\"file\": ");
	text_add_json(&out, file);
	print_list(&out, "errors", problems, false);
	print_list(&out, "warnings", problems, true);
	if (meaning)
		add_meaning(&out, meaning);
	text_add_char(&out, '}');
	puts(out.data);
}

static int parse(const char *file, struct documents *documents, struct problems *problems)
{
	_cleanup_free_ char *text = NULL;
	size_t length = 0;
	int r = file_read(file, BYTES_MAX, &text, &length);

	if (r < 0)
		return r;
	documents_parse(documents, file, text, length, problems);
	return 0;
}

static int each(char **files, bool meaning)
{
	for (; *files; files++) {
		struct documents documents = {0};
		struct problems problems = {0};
		int r = parse(*files, &documents, &problems);

		if (r == 0)
			print(*files, &problems, meaning ? &documents : NULL);
		documents_free(&documents);
		problems_free(&problems);
		if (r < 0)
			return r;
	}
	return 0;
}

static int together(char **files)
{
	struct documents documents = {0};
	struct problems problems = {0};
	int r = 0;

	for (; *files && r == 0; files++)
		r = parse(*files, &documents, &problems);
	if (r == 0) {
		documents_check(&documents, &problems);
		print("", &problems, NULL);
	}
	documents_free(&documents);
	problems_free(&problems);
	return r;
}

int main(int argc, char **argv)
{
	bool check = argc > 1 && strcmp(argv[1], "--check") == 0;
	bool meaning = argc > 1 && strcmp(argv[1], "--meaning") == 0;
	int r = check ? together(argv + 2) : each(argv + 1 + meaning, meaning);

	if (r < 0)
		fprintf(stderr, "documents_tool: %s\n", strerror(-r));
	return r < 0;
}
