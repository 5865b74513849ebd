/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What planning alone costs, without reading its files: all pods at once, and then the pods of
 * another file one by one, as they arrive. Times are CPU time, so that neighbours on the machine
 * weigh little. Prints one JSON object.
 *
 *	bench_plan CATALOG CONFIG PODS LATER	CATALOG: JSON; CONFIG: NodePools and EC2NodeClasses
 */
#include <sys/resource.h>
#include <time.h>

#include "plan/plan.h"

#define FILE_LIMIT (256U << 20)

struct used {
	double cpu_seconds;
	long max_rss_bytes;
};

static struct used used(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (struct used){(double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
				     1e-6 * (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec),
			     ru.ru_maxrss * 1024};
}

static double milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

/* ---- inputs ---- */

static void read_all(const char *path, char **text, size_t *length)
{
	int r = file_read(path, FILE_LIMIT, text, length);

	if (r == 0)
		return;
	fprintf(stderr, "%s: %s\n", path, strerror(-r));
	exit(1);
}

typedef int parser(struct documents *documents, const char *file, const char *text, size_t length,
		   struct problems *problems);

static void parse_file(parser *parse, const char *path, struct documents *documents)
{
	_cleanup_free_ char *text = NULL;
	struct problems problems = {0};
	size_t length;

	read_all(path, &text, &length);
	parse(documents, path, text, length, &problems);
	problems_print(&problems, stderr);
	if (problems.errors)
		exit(1);
	problems_free(&problems);
}

static struct catalog *catalog_of(const char *path)
{
	_cleanup_free_ char *text = NULL;
	struct problems problems = {0};
	struct catalog *catalog = NULL;
	size_t length;

	read_all(path, &text, &length);
	if (catalog_read(path, text, length, &catalog, &problems) < 0) {
		problems_print(&problems, stderr);
		exit(1);
	}
	problems_free(&problems);
	return catalog;
}

/* ---- planning ---- */

static struct planner *plan_all(const struct documents *documents, const struct documents *pods,
				const struct catalog *catalog)
{
	struct planner_config config;
	struct planner *planner;

	planner_config_default(&config);
	if (planner_new(&config, documents, catalog, &planner) < 0)
		abort();
	vec_for_each (pod, &pods->pods)
		if (planner_add_pods(planner, *pod) < 0)
			abort();
	if (planner_solve(planner) < 0)
		abort();
	return planner;
}

static int double_compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

/* Sorted milliseconds, one for each pod that comes. */
static double *plan_later(struct planner *planner, const struct documents *later)
{
	double *times = calloc(later->pods.count, sizeof(*times));

	if (!times)
		abort();
	for (size_t i = 0; i < later->pods.count; i++) {
		double began = milliseconds();

		if (planner_add_pods(planner, later->pods.at[i]) < 0 || planner_solve(planner) < 0)
			abort();
		times[i] = milliseconds() - began;
	}
	qsort(times, later->pods.count, sizeof(*times), double_compare);
	return times;
}

static double types_a_node(const struct plan_view *view)
{
	double types = 0;

	for (size_t i = 0; i < view->nodes_count; i++)
		types += view->nodes[i]->types;
	return types / (double)MAX(view->nodes_count, 1);
}

int main(int argc, char **argv)
{
	struct documents documents = {0}, pods = {0}, later = {0};
	struct catalog *catalog;
	struct planner *planner;
	struct plan_view view;
	struct used before, after;
	double *times;

	if (argc != 5) {
		fprintf(stderr, "usage: bench_plan CATALOG CONFIG PODS LATER\n");
		return 2;
	}
	catalog = catalog_of(argv[1]);
	parse_file(documents_parse, argv[2], &documents);
	parse_file(pods_parse, argv[3], &pods);
	parse_file(pods_parse, argv[4], &later);
	before = used();
	planner = plan_all(&documents, &pods, catalog);
	after = used();
	planner_view(planner, &view);
	printf("{\"pods\":%zu,\"cpu_seconds\":%.6f,\"loaded_rss_bytes\":%ld,\"max_rss_bytes\":%ld,"
	       "\"nodes\":%zu,\"failures\":%zu,\"usd_per_hour\":%.10g,\"types_a_node\":%.1f",
	       pods.pods.count, after.cpu_seconds - before.cpu_seconds, before.max_rss_bytes,
	       after.max_rss_bytes, view.nodes_count, view.failures_count, view.usd_per_hour,
	       types_a_node(&view));
	times = plan_later(planner, &later);
	printf(",\"later\":%zu,\"later_ms\":%.4f,\"later_ms_p99\":%.4f,\"later_ms_worst\":%.4f}\n",
	       later.pods.count, times[later.pods.count / 2], times[later.pods.count * 99 / 100],
	       times[later.pods.count - 1]);
	free(times);
	planner_free(planner);
	documents_free(&documents);
	documents_free(&pods);
	documents_free(&later);
	catalog_free(catalog);
	return 0;
}
