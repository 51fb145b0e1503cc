/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Has a thread hold up its CPU, for tests: a thread that is named
 *   "softirq MS" in the next softirq that interrupts it,
 *   "irq MS" with interrupts off, when it next sends a signal,
 *   "lockup MS" in the next softirq too, which the kernel's watchdog finds if it is long enough.
 * The first two end after 80 ms at most.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#define LONGEST_MS 80

struct order {
	u32 thread;
	u32 ms;
};

struct order in_softirq;
struct order with_interrupts_off;
struct order for_watchdog;

/* What is copied onto itself to pass the time: some 0.5 ms, or 10 ms in emulation. */
static char room[3 << 20];

/*
 * Looks at the clock after so many copies. Ends after looking `most` times, too: the verifier goes
 * around a loop itself, 8,000 times and no more. One of the kernel's came with v5.17.
 */
static __always_inline void spin(u32 ms, u32 most, const u32 copies)
{
	u64 end = bpf_ktime_get_ns() + (u64)ms * 1000000;

	for (u32 at = 0; at < most && bpf_ktime_get_ns() < end; at++)
#pragma unroll
		for (u32 copy = 0; copy < copies; copy++)
			bpf_probe_read_kernel(room, sizeof(room), room);
}

/* The milliseconds that the current thread was named for, once; 0 for others. */
static __always_inline u32 taken(struct order *order)
{
	u32 ms = order->ms;

	if (order->thread != (u32)bpf_get_current_pid_tgid())
		return 0;
	order->ms = 0;
	return ms;
}

static __always_inline int follow(struct order *order)
{
	u32 ms = taken(order);

	if (ms)
		spin(ms < LONGEST_MS ? ms : LONGEST_MS, 1000, 1);
	return 0;
}

/* The milliseconds in a name that starts with `word`; 0 where it does not. */
static __always_inline u32 milliseconds(const char name[16], const char *word, u32 length)
{
	u32 ms = 0;

	for (u32 at = 0; at < length; at++)
		if (name[at] != word[at])
			return 0;
	for (u32 at = length; at < 15; at++)
		if (name[at] >= '0' && name[at] <= '9')
			ms = ms * 10 + name[at] - '0';
	return ms;
}

#define MILLISECONDS(name, word) milliseconds(name, word, sizeof(word) - 1)

SEC("raw_tp/task_rename")
int take_order(struct bpf_raw_tracepoint_args *ctx)
{
	u32 thread = (u32)bpf_get_current_pid_tgid();
	char name[16] = {};
	u32 ms;

	bpf_probe_read_kernel_str(name, sizeof(name), (void *)ctx->args[1]);
	ms = MILLISECONDS(name, "softirq ");
	if (ms)
		in_softirq = (struct order){ thread, ms };
	ms = MILLISECONDS(name, "irq ");
	if (ms)
		with_interrupts_off = (struct order){ thread, ms };
	ms = MILLISECONDS(name, "lockup ");
	if (ms)
		for_watchdog = (struct order){ thread, ms };
	return 0;
}

/* Nothing but a softirq keeps the watchdog away on all kernels: v7.2 lets a program at the tracepoint
 * of a thread be preempted. */
SEC("raw_tp/softirq_entry")
int lock_up_in_softirq(void *ctx)
{
	u32 ms = taken(&for_watchdog);

	if (ms)
		spin(ms, 7000, 8);
	return 0;
}

SEC("raw_tp/softirq_entry")
int burn_in_softirq(void *ctx)
{
	return follow(&in_softirq);
}

SEC("raw_tp/signal_generate")
int burn_with_interrupts_off(void *ctx)
{
	return follow(&with_interrupts_off);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
