/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The empty program to measure against: two cgroup_skb programs that let everything pass, attached
 * to the root cgroup beside whatever is there, until standard input ends. Prints their ids.
 */
#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <unistd.h>

#include "base/base.h"

static int load(const char *name)
{
	static const struct bpf_insn pass[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return bpf_prog_load(BPF_PROG_TYPE_CGROUP_SKB, name, "GPL", pass, ARRAY_SIZE(pass), NULL);
}

static int id_of(int prog_fd)
{
	struct bpf_prog_info info = {0};
	__u32 length = sizeof(info);

	if (bpf_obj_get_info_by_fd(prog_fd, &info, &length) < 0)
		return -errno;
	return (int)info.id;
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : "/sys/fs/cgroup";
	int cgroup = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int in = load("bench_empty_in"), out = load("bench_empty_out");
	char byte;

	if (cgroup < 0 || in < 0 || out < 0 ||
	    bpf_link_create(in, cgroup, BPF_CGROUP_INET_INGRESS, NULL) < 0 ||
	    bpf_link_create(out, cgroup, BPF_CGROUP_INET_EGRESS, NULL) < 0) {
		fprintf(stderr, "bench_empty: cannot attach to %s: %s\n", path, strerror(errno));
		return 1;
	}
	printf("{\"in\":%d,\"out\":%d}\n", id_of(in), id_of(out));
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}
