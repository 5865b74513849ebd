/* SPDX-License-Identifier: Apache-2.0 */
/* What a cgroup has used: cpu.stat, cpu.max, PSI (Documentation/admin-guide/cgroup-v2.rst). */
#include <fcntl.h>
#include <unistd.h>

#include "place/private.h"

#define LIMIT_EVERY_NS (5 * NS_PER_S)
/* Reading PSI brings all its averages up to date in the kernel; three times a second is enough. */
#define PRESSURE_EVERY_NS (300 * NS_PER_MS)

static void drop(struct groups *groups, int *fd)
{
	if (*fd < 0)
		return;
	close_descriptor(fd);
	*fd = -1;
	groups->descriptors--;
}

void group_close(struct groups *groups, struct group *group)
{
	drop(groups, &group->cpu_fd);
	drop(groups, &group->cpu_pressure_fd);
	drop(groups, &group->memory_pressure_fd);
}

/* Reads through the descriptor kept in *fd, which is opened first if there may be one more. */
static ssize_t read_kept(struct groups *groups, struct group *group, int *fd, const char *file,
			 char *text)
{
	char path[FILE_TEXT_SIZE + 64];
	ssize_t r;

	if (*fd >= 0) {
		r = text_read(*fd, text, FILE_TEXT_SIZE);
		if (r < 0)
			drop(groups, fd);
		return r;
	}
	snprintf(path, sizeof(path), "%s/%s", group->usage_path, file);
	if (groups->descriptors >= groups->descriptors_max)
		return text_read_at(groups->root_fd, path, text, FILE_TEXT_SIZE);
	*fd = openat(groups->root_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (*fd < 0)
		return -errno;
	groups->descriptors++;
	r = text_read(*fd, text, FILE_TEXT_SIZE);
	if (r < 0)
		drop(groups, fd);
	return r;
}

static void read_cpu(struct groups *groups, struct group *group, struct usage *usage)
{
	char text[FILE_TEXT_SIZE];
	uint64_t usec;

	usage->cpu_known = usage->throttle_known = false;
	if (read_kept(groups, group, &group->cpu_fd, "cpu.stat", text) <= 0)
		return;
	if (text_counter(text, "usage_usec", &usec)) {
		usage->cpu_known = true;
		usage->cpu_ns = saturating_multiply(usec, NS_PER_US);
	}
	/* Only where the cpu controller is enabled for this cgroup. */
	usage->throttle_known = text_counter(text, "nr_periods", &usage->periods) &&
				text_counter(text, "nr_throttled", &usage->throttled_periods) &&
				text_counter(text, "throttled_usec", &usec);
	if (usage->throttle_known)
		usage->throttled_ns = saturating_multiply(usec, NS_PER_US);
}

static bool pressure_line(const char *text, const char *kind, uint64_t *total_ns)
{
	const char *line = strstr(text, kind);
	const char *total = line ? strstr(line, "total=") : NULL;
	const char *end = line ? strchr(line, '\n') : NULL;
	uint64_t usec;

	if (!total || (end && total > end) || !text_counter(total, "total", &usec))
		return false;
	*total_ns = saturating_multiply(usec, NS_PER_US);
	return true;
}

bool pressure_parse(const char *text, uint64_t *some_ns, uint64_t *full_ns)
{
	if (!pressure_line(text, "some ", some_ns))
		return false;
	/* Kernels before 5.13 have no "full" line for the CPU. */
	if (!pressure_line(text, "full ", full_ns))
		*full_ns = 0;
	return true;
}

static void read_pressure(struct groups *groups, struct group *group, struct usage *usage)
{
	char text[FILE_TEXT_SIZE];
	uint64_t unused;

	usage->psi_known = false;
	if (read_kept(groups, group, &group->cpu_pressure_fd, "cpu.pressure", text) <= 0 ||
	    !pressure_parse(text, &usage->psi_cpu_some_ns, &unused))
		return;
	if (read_kept(groups, group, &group->memory_pressure_fd, "memory.pressure", text) <= 0 ||
	    !pressure_parse(text, &usage->psi_memory_some_ns, &usage->psi_memory_full_ns))
		return;
	usage->psi_known = true;
}

/* "max 100000" or "50000 100000": cores, INFINITY for none; false when it makes no sense. */
static bool limit_parse(const char *text, double *cores)
{
	unsigned long long quota, period;

	if (str_starts(text, "max")) {
		*cores = __builtin_inf();
		return true;
	}
	if (sscanf(text, "%19llu %19llu", &quota, &period) != 2 || period == 0 || quota == 0)
		return false;
	*cores = (double)quota / (double)period;
	return true;
}

/* The tightest of the cgroup's own limit and those above it. */
static void read_limit(struct groups *groups, struct group *group, struct usage *usage)
{
	char path[FILE_TEXT_SIZE + 64];
	char text[128];
	size_t length = strlen(group->usage_path);
	double tightest = __builtin_inf();

	if (length >= FILE_TEXT_SIZE)
		return;
	memcpy(path, group->usage_path, length + 1);
	while (length > 0) {
		double cores;

		snprintf(path + length, sizeof(path) - length, "/cpu.max");
		if (text_read_at(groups->root_fd, path, text, sizeof(text)) > 0 &&
		    limit_parse(text, &cores))
			tightest = MIN(tightest, cores);
		path[length] = '\0';
		while (length > 0 && path[--length] != '/')
			;
		path[length] = '\0';
	}
	usage->cpu_limit_known = tightest < __builtin_inf();
	usage->cpu_limit_cores = usage->cpu_limit_known ? tightest : 0;
}

void group_read_usage(struct groups *groups, struct group *group, uint64_t now_ns)
{
	struct usage *usage = &group->usage;

	if (!group->usage_path || group->gone)
		return;
	read_cpu(groups, group, usage);
	usage->time_ns = now_ns;
	if (!usage->psi_time_ns || now_ns >= usage->psi_time_ns + PRESSURE_EVERY_NS) {
		read_pressure(groups, group, usage);
		usage->psi_time_ns = now_ns;
	}
	if (!group->limit_read_ns || now_ns >= group->limit_read_ns + LIMIT_EVERY_NS) {
		read_limit(groups, group, usage);
		group->limit_read_ns = now_ns;
	}
}
