/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/utsname.h>

#include "cmd/cmd.h"
#include "probe/probe.h"

#define HOOKS_MOST 32

int command_version(struct options *options)
{
	struct probe_hook hooks[HOOKS_MOST];
	struct utsname kernel;
	size_t count;

	(void)options;
	printf("forerun %s\n", FORERUN_VERSION);
	printf("libbpf %s\n", probe_libbpf_version());
	if (uname(&kernel) == 0)
		printf("kernel %s %s\n", kernel.release, kernel.machine);
	printf("BTF %s\n", probe_kernel_btf() ? "yes" : "no");
	count = MIN(probe_hooks(hooks, HOOKS_MOST), (size_t)HOOKS_MOST);
	for (size_t i = 0; i < count; i++)
		printf("hook %-40s %s%s\n", hooks[i].name,
		       hooks[i].works ? "works" : "no: ", hooks[i].why);
	return EXIT_DONE;
}
