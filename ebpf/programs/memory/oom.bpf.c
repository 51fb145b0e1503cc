/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Every process that the OOM killer kills.
 *
 * oom:mark_victim alone is not enough: it also marks tasks that are dying anyway and so would count
 * the other threads of a victim again. A kill sends SIGKILL first and marks right after, under one
 * spin lock (__oom_kill_process, mm/oom_kill.c), so the pair on one CPU is exactly a kill.
 *
 * oom_kill_process, where the kernel lets us hook it, adds why the killer ran and whose limit it was.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include "cgroup.h"
#include "event.h"
#include "oom.h"
#include "whom.h"

#define SIGKILL 9
/* include/linux/sched/signal.h: the kernel itself sends. */
#define SEND_SIG_PRIV 1

struct reason {
	u64 limit_cgroup_id;
	s32 constraint;
	u32 padding;
};

/* The task this CPU has just sent a SIGKILL from the kernel. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} killed SEC(".maps");

/* By thread: why the OOM killer runs in its context. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, u32);
	__type(value, struct reason);
} reasons SEC(".maps");

/* User space removes the entries of cgroups that are gone. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u64);
	__type(value, struct oom_count);
} cgroup_kills SEC(".maps");

static __always_inline void count_kill(struct task_struct *victim, u64 now_ns)
{
	struct kernfs_node *node = BPF_CORE_READ(cgroup_of(victim), kn);
	u64 cgroup_id = BPF_CORE_READ(node, id);
	struct oom_count *count = bpf_map_lookup_elem(&cgroup_kills, &cgroup_id);

	if (!count) {
		struct oom_count first = { .start_ns = now_ns };

		bpf_probe_read_kernel_str(first.cgroup_name, sizeof(first.cgroup_name),
					  BPF_CORE_READ(node, name));
		bpf_map_update_elem(&cgroup_kills, &cgroup_id, &first, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&cgroup_kills, &cgroup_id);
	}
	if (count)
		__sync_fetch_and_add(&count->kills, 1);
}

/* Of the task's cgroup, now: it may be gone when user space looks. */
static __always_inline void memory_of(struct oom_memory *out, struct task_struct *task)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	struct mem_cgroup *memcg;

	/* A mem_cgroup begins with its css (include/linux/memcontrol.h). */
	bpf_core_read(&memcg, sizeof(memcg), &set->subsys[MEMORY_SUBSYS]);
	out->usage = BPF_CORE_READ(memcg, memory.usage.counter);
	out->limit = BPF_CORE_READ(memcg, memory.max);
}

static __always_inline void explain(struct oom_kill *kill)
{
	u32 thread = (u32)bpf_get_current_pid_tgid();
	struct reason *reason = bpf_map_lookup_elem(&reasons, &thread);

	kill->constraint = OOM_CONSTRAINT_UNKNOWN;
	kill->limit_cgroup_id = 0;
	if (!reason)
		return;
	kill->constraint = reason->constraint;
	kill->limit_cgroup_id = reason->limit_cgroup_id;
}

static __always_inline int remember_reason(struct oom_control *control)
{
	u32 thread = (u32)bpf_get_current_pid_tgid();
	struct mem_cgroup *memcg = BPF_CORE_READ(control, memcg);
	struct reason reason = { .constraint = BPF_CORE_READ(control, constraint) };

	if (memcg)
		reason.limit_cgroup_id = BPF_CORE_READ(memcg, css.cgroup, kn, id);
	bpf_map_update_elem(&reasons, &thread, &reason, BPF_ANY);
	return 0;
}

SEC("raw_tp/signal_generate")
int signal_generate_raw(struct bpf_raw_tracepoint_args *ctx)
{
	u32 zero = 0;
	u64 *task;

	if (ctx->args[0] != SIGKILL || ctx->args[1] != SEND_SIG_PRIV)
		return 0;
	task = bpf_map_lookup_elem(&killed, &zero);
	if (task)
		*task = ctx->args[2];
	return 0;
}

SEC("raw_tp/mark_victim")
int mark_victim_raw(struct bpf_raw_tracepoint_args *ctx)
{
	u64 marked = ctx->args[0];
	struct task_struct *victim;
	struct oom_kill *kill;
	u32 zero = 0;
	u64 now_ns;
	u64 *slot;

	slot = bpf_map_lookup_elem(&killed, &zero);
	if (!slot || !*slot)
		return 0;
	victim = (struct task_struct *)*slot;
	*slot = 0;
	/* v6.8, 72ba14deb40a: the argument became the task; before, it is the pid. */
	if ((s64)marked < 0 ? marked != (u64)victim : (s32)marked != BPF_CORE_READ(victim, pid))
		return 0;

	now_ns = bpf_ktime_get_boot_ns();
	count_kill(victim, now_ns);
	kill = event_reserve(sizeof(*kill), now_ns);
	if (!kill)
		return 0;
	whom(&kill->victim, victim);
	memory_of(&kill->victim_memory, victim);
	kill->score_adj = BPF_CORE_READ(victim, signal, oom_score_adj);
	whom(&kill->trigger, (struct task_struct *)bpf_get_current_task());
	memory_of(&kill->trigger_memory, (struct task_struct *)bpf_get_current_task());
	explain(kill);
	bpf_ringbuf_submit(kill, 0);
	return 0;
}

SEC("fentry/oom_kill_process")
int BPF_PROG(oom_kill_process_fentry, struct oom_control *control)
{
	return remember_reason(control);
}

SEC("kprobe/oom_kill_process")
int BPF_KPROBE(oom_kill_process_kprobe, struct oom_control *control)
{
	return remember_reason(control);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
