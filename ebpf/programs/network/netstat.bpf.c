/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What TCP counted in the network namespaces of some processes, in one pass over all tasks when user
 * space asks. The kernel's files have ten times as many words, each of which it adds up and prints.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "netstat.h"

/* The verifier wants an end; a kernel may have as many. */
#define MAX_CPUS 8192
/* Groups of the scheduler within each other. */
#define MAX_DEPTH 64

/* Set before loading: which of the numbers are wanted, and how many. */
const volatile u64 wanted[NETSTAT_WORDS] = {};
const volatile u64 wanted_count = 0;
/* Bytes of struct tcp_mib and of struct linux_mib that hold all of them. */
const volatile u64 tcp_size = 0;
const volatile u64 ext_size = 0;
/* CPUs that may ever be online: 0 to one less. */
const volatile u64 cpus = 0;

/* By process: one in each network namespace. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, u32);
} processes SEC(".maps");

struct scratch {
	struct network_counts counts;
	/* struct tcp_mib and struct linux_mib of the namespace, per CPU. */
	u64 tcp;
	u64 ext;
	u64 numbers[NETSTAT_NUMBERS];
	u64 pointer;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

static __always_inline struct scratch *our_scratch(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

/* A pointer as a number: the verifier forgets what is in a map. */
static __always_inline u64 number_of(struct scratch *ours, void *pointer)
{
	*(void *volatile *)&ours->pointer = pointer;
	return *(volatile u64 *)&ours->pointer;
}

/* What the scheduler has of each CPU, by CPU; NULL where that is not found. */
static __always_inline struct cfs_rq **queues(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct task_group *group = BPF_CORE_READ(task, sched_task_group);

	for (int depth = 0; depth < MAX_DEPTH; depth++) {
		struct task_group *parent = BPF_CORE_READ(group, parent);

		if (!parent)
			return BPF_CORE_READ(group, cfs_rq);
		group = parent;
	}
	return NULL;
}

/* Where our own map is on another CPU; 0 where that is not found. */
static __always_inline u64 scratch_on(u32 cpu, struct scratch *ours)
{
	u32 zero = 0;
	struct cfs_rq **all;
	u64 here = 0, there = 0;

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_map_lookup_percpu_elem))
		return number_of(ours, bpf_map_lookup_percpu_elem(&scratch, &zero, cpu));
	/* Until v5.19: as far from ours as the other CPU's run queue from this one's. */
	all = queues();
	bpf_probe_read_kernel(&here, sizeof(here), &all[bpf_get_smp_processor_id()]);
	bpf_probe_read_kernel(&there, sizeof(there), &all[cpu]);
	return here && there ? number_of(ours, ours) + there - here : 0;
}

/* What a pointer per CPU has to be moved by on a CPU: as much as the one to our own map. */
static __always_inline bool find_offset(u32 cpu, struct scratch *ours, u64 *offset)
{
	u64 map = number_of(ours, &scratch);
	u64 pointers = map + bpf_core_field_offset(struct bpf_array, pptrs);
	u64 pointer = 0, there = scratch_on(cpu, ours);

	if (!there || bpf_probe_read_kernel(&pointer, sizeof(pointer), (void *)pointers))
		return false;
	*offset = there - pointer;
	return true;
}

/* A function of its own, so that the verifier looks at it once and not for each CPU. */
__noinline int add_cpu(u32 cpu)
{
	struct scratch *ours = our_scratch();
	u64 offset, count = wanted_count;

	if (!ours || !find_offset(cpu, ours, &offset))
		return -1;
	if (bpf_probe_read_kernel(ours->numbers, tcp_size, (void *)(ours->tcp + offset)))
		return -1;
	if (bpf_probe_read_kernel(&ours->numbers[NETSTAT_EXT], ext_size,
				  (void *)(ours->ext + offset)))
		return -1;
	for (u32 i = 0; i < NETSTAT_WORDS && i < count; i++)
		ours->counts.sums[i] += ours->numbers[wanted[i] & (NETSTAT_NUMBERS - 1)];
	return 0;
}

static __always_inline bool is_wanted(struct task_struct *task)
{
	u32 process = task->tgid;

	return task->pid == process && bpf_map_lookup_elem(&processes, &process);
}

/* Adds up what all CPUs counted in `net`. */
static __always_inline bool add_up(struct net *net, struct scratch *ours)
{
	u64 end = cpus;

	__builtin_memset(&ours->counts, 0, sizeof(ours->counts));
	ours->counts.network = BPF_CORE_READ(net, ns.inum);
	ours->tcp = (u64)BPF_CORE_READ(net, mib.tcp_statistics);
	ours->ext = (u64)BPF_CORE_READ(net, mib.net_statistics);
	if (!ours->tcp || !ours->ext)
		return false;
	for (u32 cpu = 0; cpu < MAX_CPUS && cpu < end; cpu++) {
		if (add_cpu(cpu))
			return false;
	}
	return true;
}

SEC("iter/task")
int netstat_iter(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct scratch *ours;
	struct net *net;

	/* The end. */
	if (!task || !is_wanted(task))
		return 0;
	ours = our_scratch();
	/* A process that ends has left its namespaces. */
	net = BPF_CORE_READ(task, nsproxy, net_ns);
	if (ours && net && add_up(net, ours))
		bpf_seq_write(ctx->meta->seq, &ours->counts, sizeof(ours->counts));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
