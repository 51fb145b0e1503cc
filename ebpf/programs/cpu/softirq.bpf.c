/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Time from raising a softirq to running it. Both happen on one CPU, so what is pending lies in
 * that CPU's own value: no key, no lock, nothing that could be left over.
 *
 * Whoever notices that a softirq was held off is not who held it off. The timer tick is: it
 * interrupts the holder, so what it sees while a softirq is pending for long is kept until the
 * softirq runs. Where interrupts are off, the tick itself is late, and comes when the holder turns
 * them on again.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include "event.h"
#include "histogram.h"
#include "softirq.h"
#include "whom.h"

/* Set before loading, from the registry: upper inclusive edges in ns. */
const volatile u64 edges_ns[SOFTIRQ_EDGES];
/* Set before loading: what is held off for so long is an event. */
const volatile u64 threshold_ns = ~0ULL;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct softirq_cpu);
} cpus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct softirq_holder);
} holders SEC(".maps");

static __always_inline struct softirq_cpu *this_cpu(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&cpus, &zero);
}

static __always_inline struct softirq_holder *this_holder(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&holders, &zero);
}

/* The vector that is pending for longest; SOFTIRQ_VECTORS: none is. */
static __always_inline u32 oldest(struct softirq_cpu *cpu)
{
	u32 found = SOFTIRQ_VECTORS;
	u64 earliest = ~0ULL;

#pragma unroll
	for (u32 vector = 0; vector < SOFTIRQ_VECTORS; vector++) {
		u64 raised = cpu->raised_ns[vector];

		if (raised && raised < earliest) {
			earliest = raised;
			found = vector;
		}
	}
	return found;
}

/* Since when softirqs are held off, without what has been told. */
static __always_inline u64 held_since(struct softirq_cpu *cpu, u64 raised)
{
	return raised > cpu->told_ns ? raised : cpu->told_ns;
}

static __noinline void see(void *ctx, struct softirq_holder *holder)
{
	__builtin_memset(holder->frames, 0, sizeof(holder->frames));
	how(ctx, holder->frames);
	whom(&holder->task, (struct task_struct *)bpf_get_current_task());
}

static __always_inline bool is_ksoftirqd(const char comm[EVENT_COMM_LEN])
{
	static const char start[] = "ksoftirqd/";

#pragma unroll
	for (u32 at = 0; at < sizeof(start) - 1; at++)
		if (comm[at] != start[at])
			return false;
	return true;
}

static __always_inline struct softirq_disabled *begin_event(struct softirq_cpu *cpu, u64 now,
							     u64 duration)
{
	u64 now_ns = bpf_ktime_get_boot_ns();
	struct softirq_disabled *event;

	cpu->told_ns = now;
	event = event_reserve(sizeof(*event), now_ns);
	if (!event)
		return 0;
	event->monotonic_ns = now;
	event->duration_ns = duration;
	event->cpu = bpf_get_smp_processor_id();
	return event;
}

/* Softirqs run again, first of all `vector`. Rare, and kept out of the way of what is not. */
static __noinline void tell_softirqs_held_off(struct softirq_cpu *cpu, u32 vector, u64 since,
					      u64 now)
{
	struct softirq_holder *holder = this_holder();
	char comm[EVENT_COMM_LEN] = {};
	struct softirq_disabled *event;

	event = begin_event(cpu, now, now - since);
	if (!event)
		return;
	event->vector = vector;
	bpf_get_current_comm(comm, sizeof(comm));
	event->by_ksoftirqd = is_ksoftirqd(comm);
	if (holder && cpu->sampled_ns > since) {
		event->is_sampled = true;
		__builtin_memcpy(&event->holder, holder, sizeof(*holder));
	}
	bpf_ringbuf_submit(event, 0);
}

/* The timer of this CPU comes late: interrupts have just been turned on. */
static __noinline void tell_interrupts_off(void *ctx, struct softirq_cpu *cpu, u64 duration,
					   u64 now)
{
	struct softirq_disabled *event;

	/* An idle CPU whose timer is late slept too deep, or its hypervisor ran another. */
	if (!(u32)bpf_get_current_pid_tgid()) {
		cpu->told_ns = now;
		return;
	}
	event = begin_event(cpu, now, duration);
	if (!event)
		return;
	event->vector = SOFTIRQ_VECTORS;
	event->is_sampled = true;
	see(ctx, &event->holder);
	bpf_ringbuf_submit(event, 0);
}

SEC("raw_tp/softirq_raise")
int softirq_raise_raw(struct bpf_raw_tracepoint_args *ctx)
{
	u32 vector = (u32)ctx->args[0];
	struct softirq_cpu *cpu = this_cpu();

	/* Raised again before it ran: the wait began with the first. */
	if (!cpu || vector >= SOFTIRQ_VECTORS || cpu->raised_ns[vector])
		return 0;
	cpu->raised_ns[vector] = bpf_ktime_get_ns();
	return 0;
}

SEC("raw_tp/softirq_entry")
int softirq_entry_raw(struct bpf_raw_tracepoint_args *ctx)
{
	u32 vector = (u32)ctx->args[0];
	struct softirq_cpu *cpu = this_cpu();
	u64 raised, wait, now;
	u32 bucket;

	if (!cpu || vector >= SOFTIRQ_VECTORS)
		return 0;
	raised = cpu->raised_ns[vector];
	if (!raised)
		return 0;
	now = bpf_ktime_get_ns();
	wait = now - raised;
	cpu->raised_ns[vector] = 0;
	bucket = bucket_of(edges_ns, SOFTIRQ_EDGES, wait);
	if (bucket > SOFTIRQ_EDGES)
		return 0;
	cpu->waits[vector].buckets[bucket]++;
	cpu->waits[vector].sum_ns += wait;
	if (wait >= threshold_ns) {
		u64 since = held_since(cpu, raised);

		if (now - since >= threshold_ns)
			tell_softirqs_held_off(cpu, vector, since, now);
	}
	return 0;
}

/*
 * A timer expires, in the interrupt. Those that ask for it hard belong to the kernel: the tick, and
 * what limits and measures CPU time. Timers of user space can be set to a time that is over.
 */
static __always_inline int tick(void *ctx, u64 expires)
{
	struct softirq_cpu *cpu = this_cpu();
	u64 now = bpf_ktime_get_ns();
	u32 vector;

	if (!cpu)
		return 0;
	vector = oldest(cpu);
	if (vector < SOFTIRQ_VECTORS) {
		u64 since = held_since(cpu, cpu->raised_ns[vector]);
		struct softirq_holder *holder;

		if (now - since >= threshold_ns / 2 && cpu->sampled_ns <= since) {
			holder = this_holder();
			if (holder) {
				see(ctx, holder);
				cpu->sampled_ns = now;
			}
		}
	}
	/* Several timers are late at once. */
	if (now > expires && now - expires >= threshold_ns && expires > cpu->told_ns)
		tell_interrupts_off(ctx, cpu, now - expires, now);
	return 0;
}

SEC("tp_btf/hrtimer_expire_entry")
int BPF_PROG(hrtimer_expire_entry_btf, struct hrtimer *timer)
{
	if (!timer->is_hard || timer->base->clockid != CLOCK_MONOTONIC)
		return 0;
	return tick(ctx, timer->node.expires);
}

SEC("raw_tp/hrtimer_expire_entry")
int hrtimer_expire_entry_raw(struct bpf_raw_tracepoint_args *ctx)
{
	struct hrtimer *timer = (struct hrtimer *)ctx->args[0];

	if (!BPF_CORE_READ(timer, is_hard) ||
	    BPF_CORE_READ(timer, base, clockid) != CLOCK_MONOTONIC)
		return 0;
	return tick(ctx, BPF_CORE_READ(timer, node.expires));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
