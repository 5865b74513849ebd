/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same code over two kinds of trees: a real cgroup of this host's cgroup2 mount with a real
 * process in it, and directories made here where files can hold what no kernel writes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "place/place.h"

struct world {
	char root[64];
	char cgroups[96], proc[96];
	struct place *place;
	struct listener_sample listener;
	uint64_t now_ns;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_tree(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void make_directories(const char *path)
{
	_cleanup_free_ char *copy = strdup(path);

	for (char *at = copy + 1; *at; at++) {
		if (*at != '/')
			continue;
		*at = '\0';
		mkdir(copy, 0755);
		*at = '/';
	}
	mkdir(copy, 0755);
}

static void write_text(const char *directory, const char *name, const char *text)
{
	_cleanup_free_ char *path = str_printf("%s/%s", directory, name);
	_cleanup_file_ FILE *file = fopen(path, "we");

	assert_non_null(file);
	fputs(text, file);
}

/* A cgroup of the made tree; its id. */
static uint64_t make_group(struct world *w, const char *name)
{
	_cleanup_free_ char *path = str_printf("%s/%s", w->cgroups, name);
	struct stat st;

	make_directories(path);
	assert_int_equal(stat(path, &st), 0);
	return st.st_ino;
}

static void write_group(struct world *w, const char *group, const char *name, const char *text)
{
	_cleanup_free_ char *path = str_printf("%s/%s", w->cgroups, group);

	write_text(path, name, text);
}

static void world_start(struct world *w)
{
	struct place_config config = {0};

	memset(w, 0, sizeof(*w));
	strcpy(w->root, "/tmp/place-test-XXXXXX");
	assert_non_null(mkdtemp(w->root));
	snprintf(w->cgroups, sizeof(w->cgroups), "%s/cgroup", w->root);
	snprintf(w->proc, sizeof(w->proc), "%s/proc", w->root);
	make_directories(w->cgroups);
	make_directories(w->proc);
	config.cgroup_path = w->cgroups;
	config.proc_path = w->proc;
	assert_int_equal(place_new(&config, &w->place), 0);
	w->now_ns = 1000 * NS_PER_S;
}

static void world_end(struct world *w)
{
	place_free(w->place);
	remove_tree(w->root);
}

static const struct placed *step(struct world *w, uint64_t after_ns)
{
	struct sample sample = {.listeners = &w->listener, .count = 1};
	const struct placed *placed;

	w->now_ns += after_ns;
	sample.time_ns = w->now_ns;
	assert_int_equal(place_sample(w->place, &sample, &placed), 0);
	return placed;
}

static void test_the_tree_is_walked_for_an_unknown_id(void **state)
{
	struct world w;
	const struct placed *p;

	(void)state;
	world_start(&w);
	w.listener.cgroup_id = make_group(&w, "system.slice/nginx.service");
	write_group(&w, "system.slice/nginx.service", "cpu.stat", "usage_usec 1500000\n");
	memcpy(w.listener.comm, "nginx", 6);
	p = step(&w, 0);
	assert_int_equal(p->owner->kind, OWNER_UNIT);
	assert_string_equal(p->owner->name, "nginx.service");
	assert_string_equal(p->owner->process, "nginx");
	assert_string_equal(p->owner->cgroup_path, "/system.slice/nginx.service");
	assert_int_equal(p->owner->cgroup_id, w.listener.cgroup_id);
	assert_true(p->usage.cpu_known);
	assert_int_equal(p->usage.cpu_ns, 1500000000);
	assert_int_equal(p->usage.time_ns, w.now_ns);
	assert_false(p->usage.throttle_known);
	assert_false(p->usage.psi_known);
	assert_false(p->usage.cpu_limit_known);
	world_end(&w);
}

static void test_usage_is_that_of_the_owner_not_of_its_divisions(void **state)
{
	struct world w;
	const struct placed *p;

	(void)state;
	world_start(&w);
	w.listener.cgroup_id = make_group(&w, "a.slice/web.service/worker/1");
	write_group(&w, "a.slice/web.service", "cpu.stat",
		    "usage_usec 7\nuser_usec 5\nsystem_usec 2\nnr_periods 30\nnr_throttled 12\n"
		    "throttled_usec 900\n");
	write_group(&w, "a.slice/web.service", "cpu.max", "max 100000\n");
	write_group(&w, "a.slice", "cpu.max", "150000 100000\n");
	write_group(&w, "a.slice/web.service", "cpu.pressure",
		    "some avg10=0.00 avg60=0.00 avg300=0.00 total=11\nfull avg10=0 avg60=0 "
		    "avg300=0 total=3\n");
	write_group(&w, "a.slice/web.service", "memory.pressure",
		    "some avg10=0.00 avg60=0.00 avg300=0.00 total=22\nfull avg10=0.00 total=4\n");
	p = step(&w, 0);
	assert_int_equal(p->usage.cpu_ns, 7000);
	assert_true(p->usage.throttle_known);
	assert_int_equal(p->usage.periods, 30);
	assert_int_equal(p->usage.throttled_periods, 12);
	assert_int_equal(p->usage.throttled_ns, 900000);
	assert_true(p->usage.cpu_limit_known);
	assert_true(p->usage.cpu_limit_cores == 1.5);
	assert_true(p->usage.psi_known);
	assert_int_equal(p->usage.psi_cpu_some_ns, 11000);
	assert_int_equal(p->usage.psi_memory_some_ns, 22000);
	assert_int_equal(p->usage.psi_memory_full_ns, 4000);
	world_end(&w);
}

static void test_the_tightest_limit_above_counts(void **state)
{
	struct world w;

	(void)state;
	world_start(&w);
	w.listener.cgroup_id = make_group(&w, "a/b/c.service");
	write_group(&w, "a", "cpu.max", "400000 100000\n");
	write_group(&w, "a/b", "cpu.max", "50000 100000\n");
	write_group(&w, "a/b/c.service", "cpu.max", "200000 100000\n");
	assert_true(step(&w, 0)->usage.cpu_limit_cores == 0.5);
	world_end(&w);
}

static void test_young_figures_are_given_again(void **state)
{
	struct world w;
	uint64_t first_ns;

	(void)state;
	world_start(&w);
	w.listener.cgroup_id = make_group(&w, "x.service");
	write_group(&w, "x.service", "cpu.stat", "usage_usec 1\n");
	assert_int_equal(step(&w, 0)->usage.cpu_ns, 1000);
	first_ns = w.now_ns;
	write_group(&w, "x.service", "cpu.stat", "usage_usec 2\n");
	assert_int_equal(step(&w, 50 * NS_PER_MS)->usage.cpu_ns, 1000);
	assert_int_equal(step(&w, 0)->usage.time_ns, first_ns);
	assert_int_equal(step(&w, 50 * NS_PER_MS)->usage.cpu_ns, 2000);
	world_end(&w);
}

static void test_an_id_that_is_nowhere_is_unknown_and_found_when_it_comes(void **state)
{
	struct world w;
	uint64_t id;

	(void)state;
	world_start(&w);
	w.listener.cgroup_id = UINT64_MAX - 5;
	assert_int_equal(step(&w, 0)->owner->kind, OWNER_UNKNOWN);
	assert_false(step(&w, NS_PER_S)->usage.cpu_known);
	id = make_group(&w, "late.service");
	w.listener.cgroup_id = id;
	step(&w, 100 * NS_PER_MS);
	/* The walk comes within a second of the one before. */
	assert_int_equal(step(&w, NS_PER_S)->owner->kind, OWNER_UNIT);
	world_end(&w);
}

static void test_a_process_tells_where_its_cgroup_is_without_a_walk(void **state)
{
	struct world w;

	(void)state;
	world_start(&w);
	make_directories(w.proc);
	/* Found by the walk at once, so that the next one may not walk for a second. */
	w.listener.cgroup_id = make_group(&w, "first.service");
	assert_int_equal(step(&w, 0)->owner->kind, OWNER_UNIT);
	w.listener.cgroup_id = make_group(&w, "second.slice/second.service");
	w.listener.pid = 41;
	{
		_cleanup_free_ char *directory = str_printf("%s/41", w.proc);

		make_directories(directory);
		write_text(directory, "cgroup",
			   "1:name=systemd:/x\n0::/second.slice/second.service\n");
	}
	assert_string_equal(step(&w, NS_PER_MS)->owner->name, "second.service");
	world_end(&w);
}

static void test_a_process_that_lies_about_its_cgroup_is_not_believed(void **state)
{
	static const char *const lies[] = {
		"0::/first.service\n",
		"0::/../../etc\n",
		"0::\n",
		"0::/nowhere\n",
		"",
		"garbage",
		"0::/second.service",
		"\n0:",
		"0::first.service\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		_cleanup_free_ char *directory = NULL;
		struct world w;

		world_start(&w);
		w.listener.cgroup_id = make_group(&w, "first.service");
		step(&w, 0);
		directory = str_printf("%s/41", w.proc);
		make_directories(directory);
		write_text(directory, "cgroup", lies[i]);
		w.listener.cgroup_id = make_group(&w, "a.slice/second.service");
		w.listener.pid = 41;
		assert_int_equal(step(&w, NS_PER_MS)->owner->kind, OWNER_UNKNOWN);
		assert_string_equal(step(&w, 2 * NS_PER_S)->owner->name, "second.service");
		world_end(&w);
	}
}

static void test_a_removed_cgroup_keeps_its_name_and_loses_its_figures(void **state)
{
	_cleanup_free_ char *path = NULL;
	struct world w;

	(void)state;
	world_start(&w);
	w.listener.cgroup_id = make_group(&w, "x.service");
	write_group(&w, "x.service", "cpu.stat", "usage_usec 1\n");
	assert_true(step(&w, 0)->usage.cpu_known);
	path = str_printf("%s/x.service", w.cgroups);
	remove_tree(path);
	step(&w, 6 * NS_PER_S);
	assert_string_equal(step(&w, 100 * NS_PER_MS)->owner->name, "x.service");
	assert_false(step(&w, 100 * NS_PER_MS)->usage.cpu_known);
	world_end(&w);
}

static void test_listeners_of_the_root_are_owned_by_their_process(void **state)
{
	struct world w;
	const struct placed *p;

	(void)state;
	world_start(&w);
	w.listener.cgroup_id = make_group(&w, "");
	memcpy(w.listener.comm, "redis-server", 13);
	p = step(&w, 0);
	assert_int_equal(p->owner->kind, OWNER_PROCESS);
	assert_string_equal(p->owner->name, "redis-server");
	assert_string_equal(p->owner->cgroup_path, "/");
	w.listener.cgroup_id = 1;
	assert_int_equal(step(&w, 0)->owner->kind, OWNER_PROCESS);
	memset(w.listener.comm, 0, sizeof(w.listener.comm));
	assert_int_equal(step(&w, 0)->owner->kind, OWNER_UNKNOWN);
	world_end(&w);
}

static void write_stat(struct world *w, unsigned pid, const char *text, const char *children)
{
	_cleanup_free_ char *directory = str_printf("%s/%u/task/%u", w->proc, pid, pid);
	_cleanup_free_ char *process = str_printf("%s/%u", w->proc, pid);

	make_directories(directory);
	write_text(process, "stat", text);
	write_text(directory, "children", children);
}

#define STAT(pid, comm, group, user, children, start)                             \
#pid " (" comm ") S 1 " #group " 1 0 -1 0 0 0 0 0 " #user " 0 " #children \
	     " 0 20 0 1 0 " #start " 0 0 0\n"

static void test_a_process_counts_with_its_workers(void **state)
{
	_cleanup_free_ char *gone = NULL;
	struct world w;
	long tick_ns = (long)NS_PER_S / sysconf(_SC_CLK_TCK);

	(void)state;
	world_start(&w);
	w.listener.cgroup_id = 1;
	w.listener.pid = 10;
	w.listener.in_flight = 1;
	write_stat(&w, 10, STAT(10, "ng (x) inx", 10, 100, 0, 5), "11 12 13 ");
	write_stat(&w, 11, STAT(11, "ng (x) inx", 77, 1000, 0, 6), ""); /* same name */
	write_stat(&w, 12, STAT(12, "worker", 10, 2000, 0, 7), ""); /* same group */
	write_stat(&w, 13, STAT(13, "other", 13, 9000, 0, 8), ""); /* neither */
	assert_true(step(&w, 0)->usage.cpu_known);
	assert_string_equal(step(&w, 0)->owner->name, "ng (x) inx");
	assert_int_equal(step(&w, 0)->usage.cpu_ns, 0);
	write_stat(&w, 10, STAT(10, "ng (x) inx", 10, 101, 0, 5), "11 12 13 ");
	write_stat(&w, 11, STAT(11, "ng (x) inx", 77, 1010, 0, 6), "");
	write_stat(&w, 12, STAT(12, "worker", 10, 2100, 0, 7), "");
	write_stat(&w, 13, STAT(13, "other", 13, 9999, 0, 8), "");
	assert_int_equal(step(&w, 100 * NS_PER_MS)->usage.cpu_ns, 111 * tick_ns);
	/* One ends, used 5 more, and its parent has it all: only the 5 are new. */
	gone = str_printf("%s/12", w.proc);
	remove_tree(gone);
	write_stat(&w, 10, STAT(10, "ng (x) inx", 10, 101, 2105, 5), "11 13 ");
	assert_int_equal(step(&w, 100 * NS_PER_MS)->usage.cpu_ns, 116 * tick_ns);
	/* Another process with the number: it starts anew, and nothing jumps. */
	write_stat(&w, 10, STAT(10, "ng (x) inx", 10, 500000, 0, 99), "");
	assert_true(step(&w, 100 * NS_PER_MS)->usage.cpu_ns < 1000 * (uint64_t)tick_ns);
	world_end(&w);
}

static void test_a_process_with_nothing_to_do_is_read_twice_a_second(void **state)
{
	struct world w;
	uint64_t tick_ns = NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);

	(void)state;
	world_start(&w);
	w.listener.cgroup_id = 1;
	w.listener.pid = 10;
	write_stat(&w, 10, STAT(10, "quiet", 10, 100, 0, 5), "");
	assert_true(step(&w, 0)->usage.cpu_known);
	write_stat(&w, 10, STAT(10, "quiet", 10, 107, 0, 5), "");
	for (int i = 0; i < 4; i++)
		assert_int_equal(step(&w, 100 * NS_PER_MS)->usage.cpu_ns, 0);
	assert_int_equal(step(&w, 100 * NS_PER_MS)->usage.cpu_ns, 7 * tick_ns);
	/* At once when something waits. */
	write_stat(&w, 10, STAT(10, "quiet", 10, 109, 0, 5), "");
	w.listener.queue_depth = 1;
	assert_int_equal(step(&w, 100 * NS_PER_MS)->usage.cpu_ns, 9 * tick_ns);
	world_end(&w);
}

static void test_hostile_files_do_no_harm(void **state)
{
	static const char *const texts[] = {
		"",
		"\n",
		"usage_usec",
		"usage_usec ",
		"usage_usec -1\n",
		"usage_usec 99999999999999999999999999\nnr_periods\nnr_throttled x\n",
		"xusage_usec 5\nusage_usecs 6\n",
		"some total=\nfull total=",
		"some total=x",
		"total=5",
		"max",
		"0 0",
		"1 0",
		"99999999999999999999 1",
		"-5 -5",
		"10 (",
		"10 )(",
		"10 ()",
		"10 (a) S 1",
		"10 (((((((((((((((((((((((((((((((((((((",
		"10 (a) S 1 1 1 1 1 1 1 1 1 1 99999999999999999999999 1 1 1 1 1 1 1 1",
		"10 (a) S 1 1 1 1 1 1 1 1 1 1 18446744073709551615 99 -5 -9 1 1 1 1 1",
	};
	static const char *const files[] = {"cpu.stat", "cpu.max", "cpu.pressure",
					    "memory.pressure"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct world w;

		world_start(&w);
		w.listener.cgroup_id = make_group(&w, "x.service");
		for (size_t f = 0; f < ARRAY_SIZE(files); f++)
			write_group(&w, "x.service", files[f], texts[i]);
		step(&w, 0);
		w.listener.cgroup_id = 1;
		w.listener.pid = 10;
		write_stat(&w, 10, texts[i], "10 10 0 -1 99999999999999 x 10\n");
		step(&w, 100 * NS_PER_MS);
		step(&w, 2 * NS_PER_S);
		world_end(&w);
	}
}

static void test_a_file_that_is_a_directory_or_a_link_is_not_read(void **state)
{
	_cleanup_free_ char *link = NULL;
	struct world w;

	(void)state;
	world_start(&w);
	w.listener.cgroup_id = make_group(&w, "x.service");
	make_group(&w, "x.service/cpu.max");
	write_text(w.root, "elsewhere", "usage_usec 5\n");
	link = str_printf("%s/x.service/cpu.stat", w.cgroups);
	assert_int_equal(symlink("../../elsewhere", link), 0);
	assert_false(step(&w, 0)->usage.cpu_known);
	world_end(&w);
}

static void test_ten_thousand_cgroups_are_walked_in_bounded_steps(void **state)
{
	struct rusage before, after;
	struct world w;
	uint64_t id = 0;
	int steps = 0;

	(void)state;
	world_start(&w);
	for (int i = 0; i < 10000; i++) {
		char name[64];

		snprintf(name, sizeof(name), "s%d.slice/u%d.service", i % 100, i);
		id = make_group(&w, name);
	}
	w.listener.cgroup_id = id;
	while (step(&w, NS_PER_MS)->owner->kind == OWNER_UNKNOWN) {
		assert_true(++steps < 30);
	}
	assert_string_equal(step(&w, 0)->owner->name, "u9999.service");
	/* An id that is nowhere is not searched for all the time: 60 s at 10 Hz cost nothing much.
	 */
	w.listener.cgroup_id = UINT64_MAX - 5;
	getrusage(RUSAGE_SELF, &before);
	for (int i = 0; i < 600; i++)
		step(&w, 100 * NS_PER_MS);
	getrusage(RUSAGE_SELF, &after);
	print_message("60 s with an unknown id among 10,000 cgroups: %.1f ms\n",
		      (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1e3 +
			      (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec) / 1e3 +
			      (double)(after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1e3 +
			      (double)(after.ru_stime.tv_usec - before.ru_stime.tv_usec) / 1e3);
	world_end(&w);
}

static size_t open_descriptors(void)
{
	size_t count = 0;

	for (int fd = 0; fd < 4096; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void test_descriptors_and_memory_stay_bounded(void **state)
{
	static struct listener_sample listeners[600];
	struct sample sample = {.listeners = listeners, .count = ARRAY_SIZE(listeners)};
	size_t before = open_descriptors();
	const struct placed *placed;
	struct world w;

	(void)state;
	world_start(&w);
	for (size_t i = 0; i < ARRAY_SIZE(listeners); i++) {
		char name[64];

		snprintf(name, sizeof(name), "u%zu.service", i);
		listeners[i].cgroup_id = make_group(&w, name);
		write_group(&w, name, "cpu.stat", "usage_usec 1\n");
		write_group(&w, name, "cpu.pressure", "some total=1\n");
		write_group(&w, name, "memory.pressure", "some total=1\n");
	}
	for (int n = 0; n < 60; n++) {
		sample.time_ns = w.now_ns += 100 * NS_PER_MS;
		assert_int_equal(place_sample(w.place, &sample, &placed), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(listeners); i++)
		assert_true(placed[i].usage.cpu_known && placed[i].usage.psi_known);
	assert_true(open_descriptors() - before <= 384 + 2);
	sample.count = 0;
	for (int n = 0; n < 8; n++) {
		sample.time_ns = w.now_ns += 10 * NS_PER_S;
		assert_int_equal(place_sample(w.place, &sample, &placed), 0);
	}
	assert_true(open_descriptors() - before <= 2);
	world_end(&w);
}

static void test_the_host_is_all_that_is_not_idle(void **state)
{
	struct usage usage;
	struct world w;

	(void)state;
	world_start(&w);
	assert_int_equal(place_host(w.place, w.now_ns, &usage), -ENOENT);
	write_text(w.proc, "stat",
		   "cpu  10 20 30 4000 500 6 7 8 9 10\ncpu0 1 2 3\ncpu1 1 2 3\ncpu2 0 0 0\n"
		   "intr 5\nctxt 7\n");
	assert_int_equal(place_host(w.place, w.now_ns, &usage), 0);
	assert_true(usage.cpu_known);
	assert_int_equal(usage.cpu_ns, 81 * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK)));
	assert_true(usage.cpu_limit_cores == 3);
	assert_false(usage.psi_known);
	write_text(w.proc, "stat", "nonsense");
	assert_int_equal(place_host(w.place, w.now_ns + NS_PER_S, &usage), 0);
	assert_false(usage.cpu_known);
	assert_false(usage.cpu_limit_known);
	world_end(&w);
}

static void check_mount(const char *text, int r, const char *expected)
{
	char path[] = "/tmp/place-mountinfo-XXXXXX";
	int fd = mkstemp(path);
	char *found = NULL;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	assert_int_equal(place_find_cgroup2(path, &found), r);
	if (r == 0)
		assert_string_equal(found, expected);
	free(found);
	unlink(path);
}

static void test_the_mount_is_found_pure_hybrid_and_escaped(void **state)
{
	(void)state;
	check_mount("30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n", 0,
		    "/sys/fs/cgroup");
	check_mount("25 23 0:22 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu\n"
		    "30 23 0:26 / /sys/fs/cgroup/unified rw shared:4 master:1 - cgroup2 c rw\n",
		    0, "/sys/fs/cgroup/unified");
	/* the whole hierarchy rather than a part of it */
	check_mount("30 23 0:26 /part /a rw - cgroup2 c rw\n31 23 0:26 / /b rw - cgroup2 c rw\n", 0,
		    "/b");
	check_mount("30 23 0:26 / /with\\040space\\011tab rw - cgroup2 c rw\n", 0,
		    "/with space\ttab");
	check_mount("30 23 0:26 / /cgroup2 rw - tmpfs cgroup2 rw\n", -ENOENT, NULL);
	check_mount("", -ENOENT, NULL);
	check_mount("cgroup2\n - cgroup2 \n1 2 3\n1 2 3 4 5\n\\\\\\\n", -ENOENT, NULL);
	check_mount("30 23 0:26 / /x\\ rw - cgroup2 c rw\n", 0, "/x\\");
}

/* ---- this host's own cgroups (root) ---- */

struct real {
	char *mount, *slice, *group;
	pid_t child;
};

static void burn(double seconds)
{
	struct timespec t;

	do {
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	} while ((double)t.tv_sec + (double)t.tv_nsec / 1e9 < seconds);
}

/* A process in a cgroup of its own that used at least 50 ms of CPU and sleeps now. */
static void real_start(struct real *r)
{
	_cleanup_free_ char *procs = NULL;
	char ready;
	int pipes[2];

	assert_int_equal(place_find_cgroup2("/proc/self/mountinfo", &r->mount), 0);
	r->slice = str_printf("%s/foreruntest%d.slice", r->mount, getpid());
	r->group = str_printf("%s/real.service", r->slice);
	assert_int_equal(mkdir(r->slice, 0755), 0);
	assert_int_equal(mkdir(r->group, 0755), 0);
	assert_int_equal(pipe(pipes), 0);
	procs = str_printf("%s/cgroup.procs", r->group);
	r->child = fork();
	if (r->child == 0) {
		FILE *file = fopen(procs, "we");

		if (!file || fprintf(file, "%d\n", getpid()) < 0 || fclose(file) != 0)
			_exit(1);
		burn(0.05);
		if (write(pipes[1], "r", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(pipes[1]);
	assert_int_equal(read(pipes[0], &ready, 1), 1);
	close(pipes[0]);
}

static void real_end(struct real *r)
{
	kill(r->child, SIGKILL);
	waitpid(r->child, NULL, 0);
	/* The kernel takes a moment to see the cgroup empty. */
	for (int n = 0; n < 100 && rmdir(r->group) < 0; n++)
		usleep(10000);
	assert_int_equal(rmdir(r->slice), 0);
	free(r->mount);
	free(r->slice);
	free(r->group);
}

static void test_a_real_cgroup_is_found_and_its_use_is_read(void **state)
{
	struct listener_sample listener = {.comm = "sleeper"};
	struct sample sample = {.time_ns = 1000, .listeners = &listener, .count = 1};
	const struct placed *placed;
	struct place *place;
	struct real r;
	struct stat st;

	(void)state;
	real_start(&r);
	assert_int_equal(stat(r.group, &st), 0);
	listener.cgroup_id = st.st_ino;
	for (int with_pid = 0; with_pid < 2; with_pid++) {
		listener.pid = with_pid ? (uint32_t)r.child : 0;
		assert_int_equal(place_new(NULL, &place), 0);
		assert_int_equal(place_sample(place, &sample, &placed), 0);
		for (int n = 0; n < 50 && placed->owner->kind == OWNER_UNKNOWN; n++) {
			sample.time_ns += NS_PER_S;
			assert_int_equal(place_sample(place, &sample, &placed), 0);
		}
		assert_int_equal(placed->owner->kind, OWNER_UNIT);
		assert_string_equal(placed->owner->name, "real.service");
		assert_true(placed->usage.cpu_known);
		assert_true(placed->usage.cpu_ns >= 30 * NS_PER_MS);
		place_free(place);
	}
	real_end(&r);
}

static void test_a_real_process_is_measured_by_itself(void **state)
{
	struct listener_sample listener = {.cgroup_id = 1, .pid = (uint32_t)getpid()};
	struct sample sample = {.time_ns = NS_PER_S, .listeners = &listener, .count = 1};
	const struct placed *placed;
	struct timespec used;
	struct place *place;
	uint64_t before;

	(void)state;
	assert_int_equal(place_new(NULL, &place), 0);
	assert_int_equal(place_sample(place, &sample, &placed), 0);
	before = placed->usage.cpu_ns;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	burn((double)used.tv_sec + (double)used.tv_nsec / 1e9 + 0.1);
	sample.time_ns += NS_PER_S;
	assert_int_equal(place_sample(place, &sample, &placed), 0);
	assert_int_equal(placed->owner->kind, OWNER_PROCESS);
	assert_string_equal(placed->owner->name, "place_sample_te");
	assert_true(placed->usage.cpu_ns - before >= 80 * NS_PER_MS);
	assert_true(placed->usage.cpu_ns - before <= 300 * NS_PER_MS);
	place_free(place);
}

static void test_the_real_host_is_known(void **state)
{
	struct usage usage;
	struct place *place;

	(void)state;
	assert_int_equal(place_new(NULL, &place), 0);
	assert_int_equal(place_host(place, 1, &usage), 0);
	assert_true(usage.cpu_known && usage.cpu_ns > 0);
	assert_true(usage.cpu_limit_cores == (double)sysconf(_SC_NPROCESSORS_ONLN));
	place_free(place);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_tree_is_walked_for_an_unknown_id),
		cmocka_unit_test(test_usage_is_that_of_the_owner_not_of_its_divisions),
		cmocka_unit_test(test_the_tightest_limit_above_counts),
		cmocka_unit_test(test_young_figures_are_given_again),
		cmocka_unit_test(test_an_id_that_is_nowhere_is_unknown_and_found_when_it_comes),
		cmocka_unit_test(test_a_process_tells_where_its_cgroup_is_without_a_walk),
		cmocka_unit_test(test_a_process_that_lies_about_its_cgroup_is_not_believed),
		cmocka_unit_test(test_a_removed_cgroup_keeps_its_name_and_loses_its_figures),
		cmocka_unit_test(test_listeners_of_the_root_are_owned_by_their_process),
		cmocka_unit_test(test_a_process_counts_with_its_workers),
		cmocka_unit_test(test_a_process_with_nothing_to_do_is_read_twice_a_second),
		cmocka_unit_test(test_hostile_files_do_no_harm),
		cmocka_unit_test(test_a_file_that_is_a_directory_or_a_link_is_not_read),
		cmocka_unit_test(test_ten_thousand_cgroups_are_walked_in_bounded_steps),
		cmocka_unit_test(test_descriptors_and_memory_stay_bounded),
		cmocka_unit_test(test_the_host_is_all_that_is_not_idle),
		cmocka_unit_test(test_the_mount_is_found_pure_hybrid_and_escaped),
		cmocka_unit_test(test_a_real_cgroup_is_found_and_its_use_is_read),
		cmocka_unit_test(test_a_real_process_is_measured_by_itself),
		cmocka_unit_test(test_the_real_host_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
