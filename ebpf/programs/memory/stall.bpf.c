/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Time that tasks lost to memory that was not free: reclaiming it (mm/vmscan.c) or moving it
 * together (mm/compaction.c) themselves. Kernel threads do that for a living and do not count.
 *
 * A task that reclaims for longer than a threshold within one second is an event, whether the host
 * had no memory (direct reclaim) or its cgroup was at its limit (memcg reclaim). One is never begun
 * within the other: a task that reclaims may take what is left (PF_MEMALLOC).
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "event.h"
#include "stall.h"
#include "task.h"
#include "whom.h"

#define WINDOW_NS 1000000000ULL

/* Set before loading. */
const volatile u64 blocked_threshold_ns = ~0ULL;

struct thread {
	/* When it began; 0: it does not. */
	u64 reclaim_ns;
	u64 compaction_ns;
	/* The second that is looked at: its start, what was lost in it, and whether that was told. */
	u64 window_ns;
	u64 blocked_ns;
	u64 is_told;
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
	__type(value, struct thread);
} threads SEC(".maps");

static __always_inline struct thread *current_thread(bool is_begin)
{
	u32 id = (u32)bpf_get_current_pid_tgid();
	struct thread *thread = bpf_map_lookup_elem(&threads, &id);
	struct thread none = {};

	if (thread || !is_begin)
		return thread;
	if (is_kernel_thread((struct task_struct *)bpf_get_current_task()))
		return NULL;
	bpf_map_update_elem(&threads, &id, &none, BPF_ANY);
	return bpf_map_lookup_elem(&threads, &id);
}

static __always_inline struct memory_stall *stall(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&stalls, &zero);
}

static __always_inline void tell(u64 duration_ns)
{
	u64 now_ns = bpf_ktime_get_boot_ns();
	struct reclaim_stall *out = event_reserve(sizeof(*out), now_ns);

	if (!out)
		return;
	out->duration_ns = duration_ns;
	whom(&out->task, (struct task_struct *)bpf_get_current_task());
	bpf_ringbuf_submit(out, 0);
}

static __always_inline int reclaim_begins(void)
{
	struct thread *thread = current_thread(true);

	if (thread)
		thread->reclaim_ns = bpf_ktime_get_ns();
	return 0;
}

/* How long it took; 0 where its begin was not seen. */
static __always_inline u64 reclaim_ends(void)
{
	struct thread *thread = current_thread(false);
	u64 begin_ns, duration_ns;

	if (!thread || !thread->reclaim_ns)
		return 0;
	begin_ns = thread->reclaim_ns;
	thread->reclaim_ns = 0;
	duration_ns = bpf_ktime_get_ns() - begin_ns;
	if (begin_ns - thread->window_ns >= WINDOW_NS) {
		thread->window_ns = begin_ns;
		thread->blocked_ns = 0;
		thread->is_told = 0;
	}
	thread->blocked_ns += duration_ns;
	if (thread->blocked_ns > blocked_threshold_ns && !thread->is_told) {
		thread->is_told = 1;
		tell(thread->blocked_ns);
	}
	return duration_ns;
}

SEC("raw_tp/mm_vmscan_direct_reclaim_begin")
int reclaim_begin_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return reclaim_begins();
}

SEC("raw_tp/mm_vmscan_direct_reclaim_end")
int reclaim_end_raw(struct bpf_raw_tracepoint_args *ctx)
{
	struct memory_stall *total = stall();

	if (total)
		total->allocation_ns += reclaim_ends();
	return 0;
}

SEC("raw_tp/mm_vmscan_memcg_reclaim_begin")
int memcg_reclaim_begin_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return reclaim_begins();
}

SEC("raw_tp/mm_vmscan_memcg_reclaim_end")
int memcg_reclaim_end_raw(struct bpf_raw_tracepoint_args *ctx)
{
	reclaim_ends();
	return 0;
}

/* Once for each zone that is compacted. */
SEC("raw_tp/mm_compaction_begin")
int compaction_begin_raw(struct bpf_raw_tracepoint_args *ctx)
{
	struct thread *thread = current_thread(true);

	if (thread)
		thread->compaction_ns = bpf_ktime_get_ns();
	return 0;
}

SEC("raw_tp/mm_compaction_end")
int compaction_end_raw(struct bpf_raw_tracepoint_args *ctx)
{
	struct thread *thread = current_thread(false);
	struct memory_stall *total = stall();

	if (!thread || !thread->compaction_ns || !total)
		return 0;
	total->compaction_ns += bpf_ktime_get_ns() - thread->compaction_ns;
	thread->compaction_ns = 0;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
