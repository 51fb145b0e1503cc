/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Time that tasks lost to memory that was not free: reclaiming it (mm/vmscan.c) or moving it
 * together (mm/compaction.c) themselves. Kernel threads do that for a living and do not count.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "stall.h"
#include "task.h"

/* When a thread began; 0: it does not. */
struct begun {
	u64 reclaim_ns;
	u64 compaction_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct memory_stall);
} stalls SEC(".maps");

/* By thread. A thread that is killed meanwhile ends its reclaim first. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, u32);
	__type(value, struct begun);
} threads SEC(".maps");

static __always_inline struct begun *thread(bool is_begin)
{
	u32 thread = (u32)bpf_get_current_pid_tgid();
	struct begun *begun = bpf_map_lookup_elem(&threads, &thread);
	struct begun none = {};

	if (begun || !is_begin)
		return begun;
	if (is_kernel_thread((struct task_struct *)bpf_get_current_task()))
		return NULL;
	bpf_map_update_elem(&threads, &thread, &none, BPF_ANY);
	return bpf_map_lookup_elem(&threads, &thread);
}

static __always_inline struct memory_stall *stall(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&stalls, &zero);
}

SEC("raw_tp/mm_vmscan_direct_reclaim_begin")
int reclaim_begin_raw(struct bpf_raw_tracepoint_args *ctx)
{
	struct begun *begun = thread(true);

	if (begun)
		begun->reclaim_ns = bpf_ktime_get_ns();
	return 0;
}

SEC("raw_tp/mm_vmscan_direct_reclaim_end")
int reclaim_end_raw(struct bpf_raw_tracepoint_args *ctx)
{
	struct begun *begun = thread(false);
	struct memory_stall *total = stall();

	if (!begun || !begun->reclaim_ns || !total)
		return 0;
	total->allocation_ns += bpf_ktime_get_ns() - begun->reclaim_ns;
	begun->reclaim_ns = 0;
	return 0;
}

/* Once for each zone that is compacted. */
SEC("raw_tp/mm_compaction_begin")
int compaction_begin_raw(struct bpf_raw_tracepoint_args *ctx)
{
	struct begun *begun = thread(true);

	if (begun)
		begun->compaction_ns = bpf_ktime_get_ns();
	return 0;
}

SEC("raw_tp/mm_compaction_end")
int compaction_end_raw(struct bpf_raw_tracepoint_args *ctx)
{
	struct begun *begun = thread(false);
	struct memory_stall *total = stall();

	if (!begun || !begun->compaction_ns || !total)
		return 0;
	total->compaction_ns += bpf_ktime_get_ns() - begun->compaction_ns;
	begun->compaction_ns = 0;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
