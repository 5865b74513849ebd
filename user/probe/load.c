/* SPDX-License-Identifier: Apache-2.0 */
/* Opens, sizes, loads, attaches and pins the programs. */
#include "probe/private.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

/* ---- messages ---- */

static int to_debug_log(enum libbpf_print_level level, const char *format, va_list arguments)
{
	char line[1024];

	(void)level;
	vsnprintf(line, sizeof(line), format, arguments);
	line[strcspn(line, "\n")] = '\0';
	if (*line)
		log_debug("libbpf: %s", line);
	return 0;
}

void probe_quiet_libbpf(void)
{
	libbpf_set_print(to_debug_log);
}

/* The capabilities that loading and attaching need, by name. */
static const struct {
	unsigned number;
	const char *name;
} needed[] = {{CAP_BPF, "CAP_BPF"}, {CAP_PERFMON, "CAP_PERFMON"}, {CAP_NET_ADMIN, "CAP_NET_ADMIN"}};

static const char *missing_capability(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};

	if (syscall(SYS_capget, &header, data))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (!(data[needed[i].number / 32].effective & 1U << needed[i].number % 32))
			return needed[i].name;
	return NULL;
}

static bool kernel_is_old(void)
{
	struct utsname name;
	unsigned major = 0, minor = 0;

	return uname(&name) == 0 && sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
	       major * 100 + minor < 601;
}

const char *probe_failure_hint(int error)
{
	const char *capability = missing_capability();

	if (capability)
		return str_equal(capability, "CAP_BPF")
			       ? "CAP_BPF is missing: run as root, or with CAP_BPF, CAP_PERFMON "
				 "and CAP_NET_ADMIN"
		       : str_equal(capability, "CAP_PERFMON")
			       ? "CAP_PERFMON is missing: run as root, or with CAP_BPF, "
				 "CAP_PERFMON and CAP_NET_ADMIN"
			       : "CAP_NET_ADMIN is missing: run as root, or with CAP_BPF, "
				 "CAP_PERFMON and CAP_NET_ADMIN";
	if (!probe_kernel_btf())
		return "this kernel has no BTF (/sys/kernel/btf/vmlinux): it must be built with "
		       "CONFIG_DEBUG_INFO_BTF=y";
	if (kernel_is_old())
		return "this kernel is too old: Linux 6.1 or newer is needed";
	if (error == -ENOMEM || error == -EPERM)
		return "memory for BPF may be limited: raise LimitMEMLOCK, or --listeners-max is "
		       "too large";
	return "run with --log-level debug for what the kernel's verifier says";
}

/* ---- where to attach ---- */

int probe_find_cgroup2(char **path)
{
	_cleanup_file_ FILE *file = fopen("/proc/self/mountinfo", "re");
	char line[4096], mount_point[2048];

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		char *type = strstr(line, " - ");

		if (type && str_starts(type, " - cgroup2 ") &&
		    sscanf(line, "%*s %*s %*s %*s %2047s", mount_point) == 1) {
			*path = strdup(mount_point);
			return *path ? 0 : -ENOMEM;
		}
	}
	return -ENOENT;
}

/* ---- sizes ---- */

static uint32_t stripes_for(unsigned cpus)
{
	uint32_t stripes = 1;

	while (stripes < cpus && stripes < FORERUN_STRIPES_MAX)
		stripes *= 2;
	return stripes;
}

static int set_sizes(struct probe *probe)
{
	struct forerun *skel = probe->skel;
	uint32_t max = probe->config.listeners_max;
	int r = bpf_map__set_max_entries(skel->maps.addresses, max);

	if (!r)
		r = bpf_map__set_max_entries(skel->maps.free_slots, max);
	if (!r)
		r = bpf_map__set_max_entries(skel->maps.slots, max);
	if (!r)
		r = bpf_map__set_max_entries(skel->maps.paths, max);
	if (!r)
		r = bpf_map__set_max_entries(skel->maps.counters, max * probe->stripes);
	skel->rodata->stripe_mask = probe->stripes - 1;
	skel->rodata->connections_max = probe->config.connections_max;
	return r;
}

/* ---- attaching ---- */

struct hook {
	struct bpf_program *program;
	struct bpf_link **link;
	bool cgroup;
};

/* A link that an earlier process left pinned goes on counting into the maps that were adopted with
 * it. */
static int attach_hook(struct probe *probe, const struct hook *hook, int cgroup)
{
	_cleanup_free_ char *pin = pins_link(probe, hook->program);
	int r;

	if (pin && access(pin, F_OK) == 0) {
		*hook->link = bpf_link__open(pin);
		return *hook->link ? 0 : -errno;
	}
	*hook->link = hook->cgroup ? bpf_program__attach_cgroup(hook->program, cgroup)
				   : bpf_program__attach(hook->program);
	if (!*hook->link) {
		r = -errno;
		log_error("cannot attach %s%s: %s; %s", bpf_program__name(hook->program),
			  hook->cgroup ? " to the root cgroup" : "", strerror(-r),
			  hook->cgroup && r == -EPERM && !missing_capability()
				  ? "another program holds it exclusively (bpftool cgroup tree)"
				  : probe_failure_hint(r));
		return r;
	}
	return pin ? bpf_link__pin(*hook->link, pin) : 0;
}

static int attach_iterator(struct bpf_program *program, struct bpf_map *map, struct bpf_link **link)
{
	union bpf_iter_link_info info = {.map.map_fd = map ? (u32)bpf_map__fd(map) : 0};
	LIBBPF_OPTS(bpf_iter_attach_opts, options, .link_info = &info,
		    .link_info_len = sizeof(info));
	int r;

	*link = bpf_program__attach_iter(program, map ? &options : NULL);
	if (*link)
		return 0;
	r = -errno;
	log_error("cannot attach the iterator %s: %s; %s", bpf_program__name(program), strerror(-r),
		  probe_failure_hint(r));
	return r;
}

static int attach_all(struct probe *probe, int cgroup)
{
	struct forerun *skel = probe->skel;
	/* Connections end before they begin to be counted, so that none stays open by accident. */
	const struct hook hooks[] = {
		{skel->progs.forerun_state, &skel->links.forerun_state, false},
		{skel->progs.forerun_sockops, &skel->links.forerun_sockops, true},
		{skel->progs.forerun_accept4, &skel->links.forerun_accept4, true},
		{skel->progs.forerun_accept6, &skel->links.forerun_accept6, true},
		{skel->progs.forerun_egress, &skel->links.forerun_egress, true},
		{skel->progs.forerun_ingress, &skel->links.forerun_ingress, true},
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(hooks) && !r; i++)
		r = attach_hook(probe, &hooks[i], cgroup);
	if (!r)
		r = attach_iterator(skel->progs.forerun_rows, skel->maps.listeners,
				    &skel->links.forerun_rows);
	if (!r)
		r = attach_iterator(skel->progs.forerun_files, NULL, &skel->links.forerun_files);
	return r;
}

static int open_cgroup(struct probe *probe)
{
	_cleanup_free_ char *found = NULL;
	const char *path = probe->config.cgroup_path;
	int r, fd;

	if (!path) {
		r = probe_find_cgroup2(&found);
		if (!found) {
			log_error("no cgroup2 mount in /proc/self/mountinfo: the programs attach "
				  "to its root; "
				  "mount -t cgroup2 none /sys/fs/cgroup/unified");
			return r < 0 ? r : -ENOENT;
		}
		path = found;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		r = -errno;
		log_error("cannot open the cgroup2 mount %s: %s", path, strerror(-r));
		return r;
	}
	return fd;
}

/* Kernels from 5.11 on account BPF memory to the cgroup; the limit matters only where that is
 * switched off. */
static void raise_memlock(void)
{
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

	setrlimit(RLIMIT_MEMLOCK, &limit);
}

static int load_programs(struct probe *probe)
{
	const char *failing;
	int r = forerun__load(probe->skel);

	if (!r)
		return 0;
	failing = hooks_first_failing();
	log_error("the kernel does not load %s%s: %s; %s",
		  failing ? "the program " : "forerun's maps", failing ?: "", strerror(-r),
		  probe_failure_hint(r));
	return r;
}

int probe_load(struct probe *probe)
{
	_cleanup_close_ int cgroup = open_cgroup(probe);
	int r;

	if (cgroup < 0)
		return cgroup;
	probe_quiet_libbpf();
	raise_memlock();
	probe->stripes = stripes_for((unsigned)get_nprocs_conf());
	probe->skel = forerun__open();
	if (!probe->skel)
		return -errno;
	r = set_sizes(probe);
	if (r < 0) {
		log_error("cannot size the kernel's tables for %u listeners: %s",
			  probe->config.listeners_max, strerror(-r));
		return r;
	}
	r = pins_set(probe);
	if (!r)
		r = load_programs(probe);
	if (!r)
		r = slots_map(probe);
	if (!r)
		r = attach_all(probe, cgroup);
	if (!r)
		pins_remove_others(probe);
	return r;
}

void probe_unload(struct probe *probe)
{
	slots_unmap(probe);
	if (probe->skel)
		forerun__destroy(probe->skel);
	probe->skel = NULL;
	free(TAKE(probe->pins));
}
