/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The kernel's watchdog found that a CPU runs kernel code without a break (watchdog_timer_fn,
 * kernel/watchdog.c). It looks from a timer's interrupt on that CPU, so the current task is the one
 * that does. It taints the kernel last, each time; where functions cannot be hooked, its message
 * tells (tracepoint printk:console; since v5.19 in the context of the caller).
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include "event.h"
#include "found.h"
#include "softlockup.h"
#include "whom.h"

/* include/linux/panic.h */
#define TAINT_SOFTLOCKUP 14

static __always_inline int tell(void *ctx)
{
	u64 now_ns = bpf_ktime_get_boot_ns();
	struct softlockup *event;

	count_found();
	event = event_reserve(sizeof(*event), now_ns);
	if (!event)
		return 0;
	event->cpu = bpf_get_smp_processor_id();
	whom(&event->task, (struct task_struct *)bpf_get_current_task());
	how(ctx, event->frames);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

SEC("fentry/add_taint")
int BPF_PROG(add_taint_fentry, unsigned int flag)
{
	return flag == TAINT_SOFTLOCKUP ? tell(ctx) : 0;
}

SEC("kprobe/add_taint")
int BPF_KPROBE(add_taint_kprobe, unsigned int flag)
{
	return flag == TAINT_SOFTLOCKUP ? tell(ctx) : 0;
}

SEC("raw_tp/console")
int console_raw(struct bpf_raw_tracepoint_args *ctx)
{
	static const char start[] = "watchdog: BUG: soft lockup";
	char text[sizeof(start)] = {};

	if (ctx->args[1] < sizeof(start))
		return 0;
	bpf_probe_read_kernel(text, sizeof(text) - 1, (void *)ctx->args[0]);
#pragma unroll
	for (u32 at = 0; at < sizeof(start) - 1; at++)
		if (text[at] != start[at])
			return 0;
	return tell(ctx);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
