/* SPDX-License-Identifier: Apache-2.0 */
/* `forerun doctor`: what this host gives and lacks; each finding with what was expected and what to
 * do. */
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cmd/check.h"
#include "place/place.h"
#include "probe/probe.h"

#define HOOKS_MOST 32
#define BPF_FS_MAGIC_NUMBER 0xcafe4a11 /* include/uapi/linux/magic.h */
#define KERNEL_LEAST_MAJOR 6
#define KERNEL_LEAST_MINOR 1

struct doctor {
	unsigned bad;
};

static void finding(struct doctor *doctor, bool good, const char *what, const char *found,
		    const char *fix)
{
	printf("%-4s %-14s %s\n", good ? "ok" : "BAD", what, found);
	if (good)
		return;
	doctor->bad++;
	printf("%-19s %s\n", "", fix);
}

static void check_kernel(struct doctor *doctor)
{
	struct utsname kernel;
	unsigned major = 0, minor = 0;
	char found[160];

	if (uname(&kernel) < 0)
		return;
	sscanf(kernel.release, "%u.%u", &major, &minor);
	snprintf(found, sizeof(found), "%.60s %.20s", kernel.release, kernel.machine);
	finding(doctor,
		major > KERNEL_LEAST_MAJOR ||
			(major == KERNEL_LEAST_MAJOR && minor >= KERNEL_LEAST_MINOR),
		"kernel", found, "expected Linux 6.1 or newer: boot a newer kernel");
	finding(doctor, probe_kernel_btf(), "BTF",
		probe_kernel_btf() ? "/sys/kernel/btf/vmlinux" : "not found",
		"expected /sys/kernel/btf/vmlinux: boot a kernel built with "
		"CONFIG_DEBUG_INFO_BTF=y");
}

static void check_mounts(struct doctor *doctor)
{
	_cleanup_free_ char *cgroup = NULL;
	struct statfs bpf;
	bool has_bpf =
		statfs("/sys/fs/bpf", &bpf) == 0 && (uint32_t)bpf.f_type == BPF_FS_MAGIC_NUMBER;
	int r = place_find_cgroup2("/proc/self/mountinfo", &cgroup);

	finding(doctor, r == 0, "cgroup2", r == 0 ? cgroup : "not mounted",
		"expected a cgroup2 file system: mount -t cgroup2 none /sys/fs/cgroup");
	printf("%-4s %-14s %s\n", has_bpf ? "ok" : "note", "bpffs",
	       has_bpf ? "/sys/fs/bpf"
		       : "not mounted at /sys/fs/bpf; only --pin needs it: mount -t bpf bpf "
			 "/sys/fs/bpf");
}

/* CapEff of /proc/self/status: bits of include/uapi/linux/capability.h. */
static int effective_capabilities(uint64_t *out)
{
	_cleanup_free_ char *text = NULL;
	const char *line;
	int r = file_read("/proc/self/status", 1 << 16, &text, NULL);

	if (r < 0)
		return r;
	line = strstr(text, "CapEff:");
	if (!line)
		return -ENOENT;
	*out = strtoull(line + strlen("CapEff:"), NULL, 16);
	return 0;
}

static void check_capabilities(struct doctor *doctor)
{
	static const struct {
		const char *name, *use;
		unsigned bit;
	} needed[] = {
		{"CAP_BPF", "loads programs and maps", 39},
		{"CAP_PERFMON", "reads typed kernel pointers", 38},
		{"CAP_NET_ADMIN", "attaches to cgroups", 12},
	};
	uint64_t effective = 0;

	effective_capabilities(&effective);
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		bool has = effective >> needed[i].bit & 1;
		char found[96];

		snprintf(found, sizeof(found), "%s (%s)", has ? "effective" : "missing",
			 needed[i].use);
		finding(doctor, has, needed[i].name, found,
			"run as root, or by the systemd unit, which gives the three capabilities");
	}
}

static void check_hooks(struct doctor *doctor)
{
	struct probe_hook hooks[HOOKS_MOST];
	size_t count = MIN(probe_hooks(hooks, HOOKS_MOST), (size_t)HOOKS_MOST);

	for (size_t i = 0; i < count; i++) {
		char found[256];

		snprintf(found, sizeof(found), "%s: %s", hooks[i].name,
			 hooks[i].works ? "works" : hooks[i].why);
		finding(doctor, hooks[i].works, "hook", found,
			"expected every hook to work: see kernel support in docs/operations.md");
	}
}

static void check_state_dir(struct doctor *doctor, const struct options *options)
{
	char found[512];
	bool missing = access(options->state_dir, F_OK) < 0;
	bool writable = !missing && access(options->state_dir, W_OK | X_OK) == 0;

	snprintf(found, sizeof(found), "%.400s%s", options->state_dir,
		 missing    ? ": not there yet, forerun run makes it"
		 : writable ? ""
			    : ": not writable");
	finding(doctor, missing || writable, "state dir", found,
		"expected a directory that this user may write: change its owner, or give "
		"--state-dir");
}

static void check_configuration(struct doctor *doctor, const struct options *options)
{
	_cleanup_(problems_free)
	struct problems problems = {0};
	_cleanup_(documents_free)
	struct documents documents = {0};
	struct cloud_status status = {0};
	char found[160];

	if (!options->config) {
		printf("%-4s %-14s %s\n", "note", "configuration", "none given (--config DIR)");
		return;
	}
	config_read(options->config, option_where(options, "config"), options->expand_env,
		    &documents, &problems);
	snprintf(found, sizeof(found), "%zu policies, %zu pools, %zu classes, %zu problems",
		 documents.policies.count, documents.pools.count, documents.classes.count,
		 problems.errors);
	finding(doctor, !problems.errors, "configuration", found, "expected none; they are:");
	if (!problems.errors && documents.classes.count) {
		check_cloud(options, &documents, &problems, &status);
		snprintf(found, sizeof(found), "region %s, credentials from %s, %zu problems",
			 status.region[0] ? status.region : "not found",
			 status.credentials[0] ? status.credentials : "nowhere", problems.errors);
		finding(doctor, !problems.errors, "AWS", found, "expected none; they are:");
	}
	problems_print(&problems, stdout);
}

int command_doctor(struct options *options)
{
	struct doctor doctor = {0};

	check_kernel(&doctor);
	check_mounts(&doctor);
	check_capabilities(&doctor);
	check_hooks(&doctor);
	check_state_dir(&doctor, options);
	check_configuration(&doctor, options);
	if (!doctor.bad)
		printf("forerun can run here\n");
	return doctor.bad ? EXIT_FAILED : EXIT_DONE;
}
