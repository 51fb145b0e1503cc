/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* How an event reaches user space: a ring buffer, a rate limit, and a count of what was held back. */
#ifndef __HUATUO_EVENT_H__
#define __HUATUO_EVENT_H__

#include "vmlinux.h"
#include "event_loss.h"
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct event_loss);
} losses SEC(".maps");

/* Events let through per second. Set before loading where a probe tells more. */
const volatile u64 events_per_second = 100;

/* The running second and what it has let through. Shared by all CPUs; a race lets through a few more. */
static u64 rate_second;
static u64 rate_sent;

static __always_inline struct event_loss *event_loss(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&losses, &zero);
}

static __always_inline bool event_allowed_up_to(u64 most, u64 now_ns)
{
	u64 second = now_ns / 1000000000;
	struct event_loss *loss;

	if (rate_second != second) {
		rate_second = second;
		rate_sent = 0;
	}
	if (rate_sent < most) {
		/* Without its result: kernels before 5.12 cannot give it. */
		__sync_fetch_and_add(&rate_sent, 1);
		return true;
	}
	loss = event_loss();
	if (loss)
		loss->rate_limited++;
	return false;
}

/* See below; only until `most` events were let through in this second, which leaves room for others. */
static __always_inline void *event_reserve_up_to(u64 most, u64 size, u64 now_ns)
{
	struct event_loss *loss;
	u64 *record;

	if (!event_allowed_up_to(most, now_ns))
		return 0;
	record = bpf_ringbuf_reserve(&events, size, 0);
	if (record) {
		__builtin_memset(record, 0, size);
		*record = now_ns;
		return record;
	}
	loss = event_loss();
	if (loss)
		loss->ring_full++;
	return 0;
}

/*
 * Room for a record of `size` bytes, zeroed but for its time, which is what records begin with; or
 * null: then the loss has been counted.
 */
static __always_inline void *event_reserve(u64 size, u64 now_ns)
{
	return event_reserve_up_to(events_per_second, size, now_ns);
}

#endif
