/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Time from raising a softirq to running it. Both happen on one CPU, so what is pending lies in
 * that CPU's own value: no key, no lock, nothing that could be left over.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "histogram.h"
#include "softirq.h"

/* Set before loading, from the registry: upper inclusive edges in ns. */
const volatile u64 edges_ns[SOFTIRQ_EDGES];

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct softirq_cpu);
} cpus SEC(".maps");

static __always_inline struct softirq_cpu *this_cpu(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&cpus, &zero);
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
	u64 raised, wait;
	u32 bucket;

	if (!cpu || vector >= SOFTIRQ_VECTORS)
		return 0;
	raised = cpu->raised_ns[vector];
	if (!raised)
		return 0;
	cpu->raised_ns[vector] = 0;
	wait = bpf_ktime_get_ns() - raised;
	bucket = bucket_of(edges_ns, SOFTIRQ_EDGES, wait);
	if (bucket > SOFTIRQ_EDGES)
		return 0;
	cpu->waits[vector].buckets[bucket]++;
	cpu->waits[vector].sum_ns += wait;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
