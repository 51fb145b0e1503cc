/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Time a runnable task waits for a CPU.
 *
 * The kernel keeps the wait itself (struct sched_info, kernel/sched/stats.h): last_queued is when
 * the task was put on this run queue, run_delay is what it has waited before. At sched_switch the
 * kernel has not closed the wait of `next` yet, so one hook is enough: no wake-up hook, no time
 * stamps of our own. A task that is moved to another queue while it waits has the first part of
 * its wait in run_delay already; `delays` remembers run_delay of its last run to find that part.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include "cgroup.h"
#include "histogram.h"
#include "runqlat.h"

/* Slots for remembered delays; a power of two. Two tasks in one slot cost a part of one wait. */
#define DELAY_SLOTS 65536
/* A slot packs the task (22 bits: pid_max is 2^22) with its run_delay in ns (42 bits: 73 minutes). */
#define DELAY_BITS 42
#define DELAY_MASK ((1ULL << DELAY_BITS) - 1)

/* Set before loading, from the registry: upper inclusive edges in ns. */
const volatile u64 edges_ns[RUNQLAT_EDGES];

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct runqlat_histogram);
} host_waits SEC(".maps");

/* User space sets the size and removes the entries of cgroups that are gone. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 1024);
	__type(key, u64);
	__type(value, struct runqlat_histogram);
} cgroup_waits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, DELAY_SLOTS);
	__type(key, u32);
	__type(value, u64);
} delays SEC(".maps");

/* A wait that is over. */
struct wait {
	u64 ns;
	u32 bucket;
};

static __always_inline void count(struct runqlat_histogram *histogram, struct wait *wait)
{
	if (wait->bucket > RUNQLAT_EDGES)
		return;
	histogram->buckets[wait->bucket]++;
	histogram->sum_ns += wait->ns;
}

/* The part of the wait that was spent on other run queues. */
static __always_inline u64 carried(u32 pid, u64 run_delay, u64 wait)
{
	u32 slot_index = pid & (DELAY_SLOTS - 1);
	u64 *slot = bpf_map_lookup_elem(&delays, &slot_index);
	u64 before, part;

	if (!slot)
		return 0;
	before = *slot;
	*slot = ((u64)pid << DELAY_BITS) | ((run_delay + wait) & DELAY_MASK);
	if (before >> DELAY_BITS != pid)
		return 0;
	part = (run_delay - before) & DELAY_MASK;
	/* Behind the remembered delay: a new task with an old pid. */
	return part > DELAY_MASK / 2 ? 0 : part;
}

static __always_inline void count_cgroup(u64 cgroup_id, struct wait *wait)
{
	struct runqlat_histogram *histogram = bpf_map_lookup_elem(&cgroup_waits, &cgroup_id);

	if (!histogram) {
		struct runqlat_histogram first = { .start_ns = bpf_ktime_get_boot_ns() };

		bpf_map_update_elem(&cgroup_waits, &cgroup_id, &first, BPF_NOEXIST);
		histogram = bpf_map_lookup_elem(&cgroup_waits, &cgroup_id);
		if (!histogram)
			return;
	}
	count(histogram, wait);
}

/* Returns the closed wait, counted for the host. */
static __always_inline struct wait count_host(u32 pid, u64 queued, u64 now, u64 run_delay)
{
	struct wait wait = { .ns = now > queued ? now - queued : 0 };
	struct runqlat_histogram *histogram;
	u32 zero = 0;

	wait.ns += carried(pid, run_delay, wait.ns);
	wait.bucket = bucket_of(edges_ns, RUNQLAT_EDGES, wait.ns);
	histogram = bpf_map_lookup_elem(&host_waits, &zero);
	if (histogram)
		count(histogram, &wait);
	return wait;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(sched_switch_btf, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	u64 queued = next->sched_info.last_queued;
	struct cgroup *cgroup;
	struct wait wait;

	/* Nobody queues the idle task. */
	if (!queued)
		return 0;
	wait = count_host(next->pid, queued, next->se.cfs_rq->rq->clock, next->sched_info.run_delay);
	cgroup = cgroup_of_typed(next);
	if (cgroup->level)
		count_cgroup(cgroup->kn->id, &wait);
	return 0;
}

SEC("raw_tp/sched_switch")
int sched_switch_raw(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *next = (struct task_struct *)ctx->args[2];
	u64 queued = BPF_CORE_READ(next, sched_info.last_queued);
	struct cgroup *cgroup;
	struct wait wait;

	if (!queued)
		return 0;
	wait = count_host(BPF_CORE_READ(next, pid), queued, BPF_CORE_READ(next, se.cfs_rq, rq, clock),
			  BPF_CORE_READ(next, sched_info.run_delay));
	cgroup = cgroup_of(next);
	if (BPF_CORE_READ(cgroup, level))
		count_cgroup(BPF_CORE_READ(cgroup, kn, id), &wait);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
