/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel's structs with just the fields that the programs read. Offsets come from the running
 * kernel's BTF (CO-RE), so order and padding mean nothing here, anonymous unions are flattened, and
 * one header serves every architecture and needs no BTF on the machine that builds.
 */
#ifndef FORERUN_KERNEL_TYPES_H
#define FORERUN_KERNEL_TYPES_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 s64;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

struct kernfs_node {
	u64 id;
};
struct cgroup {
	struct kernfs_node *kn;
};
struct sock_cgroup_data {
	struct cgroup *cgroup;
};

struct ns_common {
	unsigned int inum;
};
struct net {
	struct ns_common ns;
};
typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	u32 skc_rcv_saddr;
	struct in6_addr skc_v6_rcv_saddr;
	possible_net_t skc_net;
};
struct sk_buff;
struct sk_buff_head {
	struct sk_buff *next;
	u32 qlen;
};
struct sock {
	struct sock_common __sk_common;
	atomic_t sk_drops;
	struct sk_buff_head sk_receive_queue;
	u16 sk_protocol;
	u32 sk_ack_backlog, sk_max_ack_backlog;
	struct sock_cgroup_data sk_cgrp_data;
};
struct socket {
	struct sock *sk;
};
struct inet_sock {
	struct sock sk;
};
struct request_sock_queue {
	atomic_t qlen, young;
};
struct inet_connection_sock {
	struct inet_sock icsk_inet;
	struct request_sock_queue icsk_accept_queue;
};
struct tcp_sock {
	struct inet_connection_sock inet_conn;
};

struct sockaddr_un {
	char sun_path[108];
};
struct unix_address {
	int len;
	struct sockaddr_un name[0];
};
struct unix_sock {
	struct unix_address *addr;
};

struct task_struct {
	int tgid;
	char comm[16];
};
struct inode {
	unsigned long i_ino;
};
struct file {
	struct inode *f_inode;
};
struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
};
struct bpf_iter__bpf_sk_storage_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	struct sock *sk;
	void *value;
};
struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	u32 fd;
	struct file *file;
};

#pragma clang attribute pop

#endif
