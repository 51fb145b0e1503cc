/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Transmit queues that the watchdog finds stuck (dev_watchdog, net/sched/sch_generic.c), of all
 * network namespaces.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "event.h"
#include "transmit_timeout.h"

/*
 * Devices come and go; one that has been quiet for long makes room. Should it come back, its count
 * begins anew, and says so by its start.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct transmit_device);
	__type(value, struct transmit_count);
} device_timeouts SEC(".maps");

static __always_inline void count_timeout(struct transmit_device *device, u64 now_ns)
{
	struct transmit_count *count = bpf_map_lookup_elem(&device_timeouts, device);

	if (!count) {
		struct transmit_count first = { .start_ns = now_ns };

		bpf_map_update_elem(&device_timeouts, device, &first, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&device_timeouts, device);
	}
	if (count)
		__sync_fetch_and_add(&count->timeouts, 1);
}

/* The name as netdev_drivername() finds it. */
static __always_inline void describe(struct transmit_device *out, struct net_device *device)
{
	struct device *parent = BPF_CORE_READ(device, dev.parent);
	const char *driver;

	bpf_core_read_str(out->name, sizeof(out->name), &device->name);
	if (!parent)
		return;
	driver = BPF_CORE_READ(parent, driver, name);
	if (driver)
		bpf_probe_read_kernel_str(out->driver, sizeof(out->driver), driver);
}

SEC("raw_tp/net_dev_xmit_timeout")
int net_dev_xmit_timeout_raw(struct bpf_raw_tracepoint_args *ctx)
{
	struct transmit_device device = {};
	struct transmit_timeout *timeout;
	u64 now_ns = bpf_ktime_get_boot_ns();

	describe(&device, (struct net_device *)ctx->args[0]);
	count_timeout(&device, now_ns);
	timeout = event_reserve(sizeof(*timeout), now_ns);
	if (!timeout)
		return 0;
	timeout->device = device;
	timeout->queue = (u32)ctx->args[1];
	bpf_ringbuf_submit(timeout, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
