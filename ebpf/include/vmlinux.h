/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The kernel types that our programs read, and of them only the members that they read. CO-RE
 * relocations find the true offsets in the running kernel's BTF, so order and omissions do not
 * matter; names and types do.
 */
#ifndef __VMLINUX_H__
#define __VMLINUX_H__

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef __u8 u8;
typedef __s8 s8;
typedef __u16 u16;
typedef __s16 s16;
typedef __u32 u32;
typedef __s32 s32;
typedef __u64 u64;
typedef __s64 s64;
typedef _Bool bool;
enum { false = 0, true = 1 };

/* include/uapi/linux/bpf.h */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
};
enum bpf_func_id {
	BPF_FUNC_map_lookup_percpu_elem = 195,
};
enum { BPF_ANY = 0, BPF_NOEXIST = 1, BPF_EXIST = 2 };
/* include/uapi/linux/time.h */
#define CLOCK_MONOTONIC 1
struct bpf_raw_tracepoint_args {
	__u64 args[0];
};

/* arch/x86/include/asm/ptrace.h; arch/arm64/include/uapi/asm/ptrace.h */
#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8;
	unsigned long ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	__u64 regs[31];
	__u64 sp, pc, pstate;
};
#endif

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
	const char *name;
	u64 id;
};

struct cgroup {
	int level;
	struct kernfs_node *kn;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

/* The numbers differ from kernel to kernel: always through bpf_core_enum_value(). */
enum cgroup_subsys_id {
	memory_cgrp_id = 4,
	CGROUP_SUBSYS_COUNT = 16,
};

struct css_set {
	struct cgroup_subsys_state *subsys[CGROUP_SUBSYS_COUNT];
	struct cgroup *dfl_cgrp;
};

struct rq {
	u64 clock;
};

struct cfs_rq {
	struct rq *rq;
};

struct sched_entity {
	struct cfs_rq *cfs_rq;
};

struct sched_info {
	unsigned long long run_delay;
	unsigned long long last_queued;
};

struct signal_struct {
	short oom_score_adj;
};

/* `cfs_rq` has one pointer per CPU. */
struct task_group {
	struct task_group *parent;
	struct cfs_rq **cfs_rq;
};

struct nsproxy {
	struct net *net_ns;
};

struct task_struct {
	unsigned int flags;
	unsigned int __state;
	int exit_state;
	unsigned in_iowait : 1;
	int pid;
	int tgid;
	char comm[16];
	struct sched_entity se;
	struct task_group *sched_task_group;
	struct sched_info sched_info;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
	struct css_set *cgroups;
};

/* Until v5.13. */
struct task_struct___state {
	long state;
};

struct timerqueue_node {
	s64 expires;
};

struct hrtimer_clock_base {
	int clockid;
};

struct hrtimer {
	struct timerqueue_node node;
	struct hrtimer_clock_base *base;
	u8 is_hard;
};

/* arch/x86/include/uapi/asm/mce.h */
struct mce {
	u64 status;
	u64 misc;
	u64 addr;
	u64 mcgstatus;
	u64 ip;
	u64 tsc;
	u64 time;
	u8 cpuvendor;
	u32 cpuid;
	u8 cs;
	u8 bank;
	u32 extcpu;
	u32 socketid;
	u32 apicid;
	u64 mcgcap;
	u64 synd;
	u64 ipid;
};

/* include/linux/cper.h */
struct cper_sec_proc_arm {
	u32 validation_bits;
	u8 affinity_level;
	u64 mpidr;
	u64 midr;
	u32 running_state;
	u32 psci_state;
};

/* A map that is an array. */
struct bpf_array {
	void *pptrs[0];
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

typedef struct {
	s64 counter;
} atomic64_t;
typedef atomic64_t atomic_long_t;

/* In pages. */
struct page_counter {
	atomic_long_t usage;
	unsigned long max;
};

struct mem_cgroup {
	struct cgroup_subsys_state css;
	struct page_counter memory;
};

struct blkcg {
	struct cgroup_subsys_state css;
};

struct blkcg_gq {
	struct blkcg *blkcg;
};

struct bio {
	struct blkcg_gq *bi_blkg;
};

struct gendisk {
	int major;
	int first_minor;
	char disk_name[32];
};

struct request_queue {
	struct gendisk *disk;
};

struct kobject {
	struct kobject *parent;
};

struct device_driver {
	const char *name;
};

struct device {
	struct kobject kobj;
	struct device *parent;
	struct device_driver *driver;
	u32 devt;
};

/* Until v5.14 a queue knows its disk only as its parent in sysfs. */
struct request_queue___kobj {
	struct kobject kobj;
};

struct request {
	struct request_queue *q;
	unsigned int cmd_flags;
	unsigned int __data_len;
	struct bio *bio;
	u64 start_time_ns;
};

/* Until v5.16. */
struct request___rq_disk {
	struct gendisk *rq_disk;
};

/* Until v6.17: when the bio was submitted, in the low 51 bits. */
struct bio_issue {
	u64 value;
};
struct bio___bi_issue {
	struct bio_issue bi_issue;
};

enum oom_constraint {
	CONSTRAINT_NONE,
	CONSTRAINT_CPUSET,
	CONSTRAINT_MEMORY_POLICY,
	CONSTRAINT_MEMCG,
};

struct oom_control {
	struct mem_cgroup *memcg;
	enum oom_constraint constraint;
};

typedef struct {
	int counter;
} atomic_t;

struct ns_common {
	unsigned int inum;
};

struct netns_ipv4 {
	/* An int until v5.12; its low byte tells all the same. */
	u8 sysctl_tcp_syncookies;
	unsigned int sysctl_max_syn_backlog;
};

/* Pointers per CPU. */
struct netns_mib {
	struct tcp_mib *tcp_statistics;
	struct linux_mib *net_statistics;
};

struct net {
	struct ns_common ns;
	struct netns_mib mib;
	struct netns_ipv4 ipv4;
	u64 net_cookie;
};

/* Until v5.12. */
struct net___atomic_cookie {
	atomic64_t net_cookie;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct net_device {
	unsigned long state;
	unsigned int flags;
	int ifindex;
	possible_net_t nd_net;
	char name[16];
	struct device dev;
};

struct in6_addr {
	u8 bytes[16];
};

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};

/* Why a packet was dropped. Since v5.17; the numbers differ from kernel to kernel. */
enum skb_drop_reason {
	SKB_NOT_DROPPED_YET,
	SKB_CONSUMED,
	SKB_DROP_REASON_NOT_SPECIFIED,
	SKB_DROP_REASON_TCP_LISTEN_OVERFLOW,
};

struct sock_cgroup_data {
	struct cgroup *cgroup;
};

/* Until v5.15: the pointer to the cgroup, or with bit 0 set numbers of cgroup v1. */
struct sock_cgroup_data___val {
	u64 val;
};

struct sk_buff_head {
	struct sk_buff *next;
	u32 qlen;
};

struct sock {
	struct sock_common __sk_common;
	struct sk_buff_head sk_receive_queue;
	u32 sk_ack_backlog;
	u32 sk_max_ack_backlog;
	u16 sk_protocol;
	struct mem_cgroup *sk_memcg;
	struct sock_cgroup_data sk_cgrp_data;
};

struct sock___cgroup_val {
	struct sock_cgroup_data___val sk_cgrp_data;
};

struct request_sock_queue {
	atomic_t qlen;
};

struct inet_connection_sock {
	struct request_sock_queue icsk_accept_queue;
};

struct tcp_skb_cb {
	u32 seq;
	u32 ack_seq;
};

struct sk_buff {
	struct net_device *dev;
	struct sock *sk;
	s64 tstamp;
	char cb[48];
	unsigned int len;
	u16 queue_mapping;
	int skb_iif;
	/* Not of the wall clock but of the one with this number. Since v6.10. */
	u8 tstamp_type : 2;
	__be16 protocol;
	u16 transport_header;
	u16 network_header;
	unsigned int tail;
	unsigned char *head;
	unsigned char *data;
};

/* From v5.18 to v6.9: the stamp is when to send, of the monotonic clock. */
struct sk_buff___mono {
	u8 mono_delivery_time : 1;
};

#pragma clang attribute pop

/* Headers of packets: their layout is the same everywhere. */
struct iphdr {
	u8 version_and_length;
	u8 tos;
	__be16 tot_len;
	__be16 id;
	__be16 frag_off;
	u8 ttl;
	u8 protocol;
	u16 check;
	__be32 saddr;
	__be32 daddr;
};

struct ipv6hdr {
	u8 version_and_flow[4];
	__be16 payload_len;
	u8 nexthdr;
	u8 hop_limit;
	u8 saddr[16];
	u8 daddr[16];
};

struct tcphdr {
	__be16 source;
	__be16 dest;
	__be32 seq;
	__be32 ack_seq;
	u8 offset_and_flags[2];
	__be16 window;
	u16 check;
	__be16 urg_ptr;
};

#endif
