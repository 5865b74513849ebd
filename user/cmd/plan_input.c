/* SPDX-License-Identifier: Apache-2.0 */
/* What `forerun plan` reads: documents, pods, nodes, and what EC2 sells. */
#include <math.h>
#include <unistd.h>

#include "cmd/plan.h"

#define FILE_LIMIT (256U << 20)

/* ---- files ---- */

static int read_stream(int fd, char **text, size_t *length)
{
	struct text all = {0};
	char buffer[65536];
	ssize_t n;

	while ((n = read(fd, buffer, sizeof(buffer))) > 0 && all.length < FILE_LIMIT)
		text_add_bytes(&all, buffer, (size_t)n);
	if (n < 0) {
		text_free(&all);
		return -errno;
	}
	*length = all.length;
	*text = text_take(&all);
	return 0;
}

static int read_text(const char *path, char **text, size_t *length, struct problems *problems)
{
	int r = strcmp(path, "-") == 0 ? read_stream(STDIN_FILENO, text, length)
				       : file_read(path, FILE_LIMIT, text, length);

	if (r < 0)
		problem_add(problems, path, "cannot read it: %s", strerror(-r));
	return r;
}

static void read_pods(const char *list, struct plan_input *input, struct problems *problems)
{
	_cleanup_free_ char *paths = strdup(list);
	char *rest = paths, *path;

	while ((path = strsep(&rest, ","))) {
		_cleanup_free_ char *text = NULL;
		size_t length = 0;

		if (*path && read_text(path, &text, &length, problems) == 0)
			pods_parse(&input->pods, path, text, length, problems);
	}
}

static void read_nodes(const char *path, struct plan_input *input, struct problems *problems)
{
	_cleanup_free_ char *text = NULL;
	size_t length = 0;

	if (read_text(path, &text, &length, problems) == 0)
		nodes_parse(&input->nodes, &input->pods, path, text, length, problems);
}

/* What was fetched last, by `forerun core` or by --refresh; what forerun ships when there is none,
 * or it is of an older version. */
static void read_fetched(const struct options *options, struct plan_input *input)
{
	_cleanup_free_ char *path = str_printf("%s/catalog.json", options->state_dir);
	_cleanup_free_ char *text = NULL;
	_cleanup_(problems_free)
	struct problems unread = {0};
	size_t length = 0;

	if (!path || file_read(path, FILE_LIMIT, &text, &length) < 0 ||
	    catalog_read(path, text, length, &input->catalog, &unread) < 0)
		input->catalog = catalog_shipped();
}

static void read_catalog(const struct options *options, struct plan_input *input,
			 struct problems *problems)
{
	const char *path = options->catalog;
	_cleanup_free_ char *text = NULL;
	size_t length = 0;

	if (options->fetch)
		plan_fetch(options, &input->catalog, problems);
	else if (!path)
		read_fetched(options, input);
	else if (read_text(path, &text, &length, problems) == 0)
		catalog_read(path, text, length, &input->catalog, problems);
}

/* ---- demand of policies ---- */

/* The host is the replica: on bare EC2 the image decides which service an instance runs. So each
 * is away from every other pod of any namespace. */
static void keep_alone(struct pod_template *replica)
{
	struct pod_affinity_terms own = replica->anti_affinity;

	replica->anti_affinity = (struct pod_affinity_terms){0};
	vec_for_each (term, &own.list)
		*vec_push(&replica->anti_affinity.list) = *term;
	*vec_push(&replica->anti_affinity.list) =
		(struct pod_affinity_term){.selector = {.given = true},
					   .topology_key = "kubernetes.io/hostname",
					   .namespace_selector = {.given = true}};
}

/* As many replicas as the policy always keeps. */
static void add_demand(const struct policy *policy, struct plan_input *input,
		       struct problems *problems)
{
	const struct pod_template *pod;
	struct pod_template *added;

	if (!policy->replica)
		return;
	pod = documents_pod(&input->documents, policy->replica);
	if (!pod) {
		_cleanup_free_ char *where = str_printf("%s:%u:%u", policy->origin.file,
							policy->origin.line, policy->origin.column);

		problem_add(
			problems, where,
			"found no Pod, PodTemplate or workload \"%s\", which forerun.dev/replica "
			"names",
			policy->replica);
		return;
	}
	added = vec_push(&input->demand);
	*added = *pod;
	added->source = POD_REPLICAS;
	added->replicas = (uint32_t)policy->min_replicas;
	keep_alone(added);
}

int plan_input_read(const struct options *options, struct plan_input *input,
		    struct problems *problems)
{
	if (!options->config)
		problem_add(
			problems, "--config",
			"found nothing, expected a directory with NodePools and EC2NodeClasses");
	else
		config_read(options->config, option_where(options, "config"), options->expand_env,
			    &input->documents, problems);
	if (options->pods)
		read_pods(options->pods, input, problems);
	if (options->nodes)
		read_nodes(options->nodes, input, problems);
	if (options->fetch && options->catalog)
		problem_add(problems, "--refresh",
			    "found together with --catalog, expected one of "
			    "them");
	else
		read_catalog(options, input, problems);
	if (!problems->errors && !options->pods)
		vec_for_each (policy, &input->documents.policies)
			add_demand(policy, input, problems);
	return problems->errors ? -EINVAL : 0;
}

void plan_input_free(struct plan_input *input)
{
	vec_for_each (pod, &input->demand) /* all else of it is the documents' */
		vec_free(&pod->anti_affinity.list);
	vec_free(&input->demand);
	node_objects_free(&input->nodes);
	documents_free(&input->pods);
	documents_free(&input->documents);
	catalog_free(input->catalog);
}

/* ---- nodes ---- */

static const struct offering *offering_of(const struct catalog *catalog,
					  const struct key_values *labels)
{
	const char *type = key_values_get(labels, LABEL_INSTANCE_TYPE);
	const char *zone = key_values_get(labels, LABEL_ZONE);
	const char *capacity_type = key_values_get(labels, LABEL_CAPACITY_TYPE);

	for (size_t i = 0; type && zone && i < catalog->count; i++) {
		const struct offering *offering = &catalog->offerings[i];

		if (strcmp(offering->instance_type, type) == 0 &&
		    strcmp(offering->zone, zone) == 0 &&
		    strcmp(capacity_type_text(offering->capacity_type),
			   capacity_type ? capacity_type : "on-demand") == 0)
			return offering;
	}
	return NULL;
}

void plan_add_nodes(struct planner *planner, const struct plan_input *input)
{
	vec_for_each (node, &input->nodes.list) {
		const struct offering *offering = offering_of(input->catalog, &node->labels);
		struct plan_existing existing = {
			.name = node->name,
			.pool = key_values_get(&node->labels, "karpenter.sh/nodepool"),
			.offering = offering,
			.labels = &node->labels,
			.taints = &node->taints,
			.allocatable = &node->allocatable,
			.capacity = &node->capacity,
			.usd_per_hour = offering ? offering->usd_per_hour : NAN,
			.closed = node->unschedulable,
		};

		planner_add_existing(planner, &existing);
	}
}
