/* SPDX-License-Identifier: Apache-2.0 */
/* Which hooks work here: each is tried, by loading its real program alone. */
#include "probe/private.h"

#include <unistd.h>

static const struct {
	const char *program;
	const char *name;
} trials[] = {
	{"forerun_sockops", "sockops: listen, established"},
	{"forerun_ingress", "cgroup_skb/ingress: handshakes, requests"},
	{"forerun_egress", "cgroup_skb/egress: responses"},
	{"forerun_accept4", "cgroup/getpeername4: accept(2) on IPv4"},
	{"forerun_accept6", "cgroup/getpeername6: accept(2) on IPv6"},
	{"forerun_state", "tp_btf/inet_sock_set_state: closed"},
	{"forerun_rows", "iter/bpf_sk_storage_map: queue depth"},
	{"forerun_files", "iter/task_file: what was there before"},
};

static int try_program(const char *wanted)
{
	struct forerun *skel = forerun__open();
	struct bpf_program *program;
	int r;

	if (!skel)
		return -errno;
	bpf_object__for_each_program(program, skel->obj)
		bpf_program__set_autoload(program, str_equal(bpf_program__name(program), wanted));
	r = forerun__load(skel);
	forerun__destroy(skel);
	return r;
}

const char *hooks_first_failing(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(trials); i++)
		if (try_program(trials[i].program) < 0)
			return trials[i].program;
	return NULL;
}

size_t probe_hooks(struct probe_hook *hooks, size_t count)
{
	probe_quiet_libbpf();
	for (size_t i = 0; i < MIN(count, ARRAY_SIZE(trials)); i++) {
		int r = try_program(trials[i].program);

		hooks[i] = (struct probe_hook){.name = trials[i].name, .works = r == 0};
		if (r < 0)
			snprintf(hooks[i].why, sizeof(hooks[i].why), "%s; %s", strerror(-r),
				 probe_failure_hint(r));
	}
	return ARRAY_SIZE(trials);
}

const char *probe_libbpf_version(void)
{
	return libbpf_version_string();
}

bool probe_kernel_btf(void)
{
	return access("/sys/kernel/btf/vmlinux", R_OK) == 0;
}
