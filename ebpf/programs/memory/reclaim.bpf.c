/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Tasks that had to reclaim memory of their cgroup because it was at its limit (try_charge_memcg,
 * mm/memcontrol.c). kswapd and other kernel threads do not charge.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "cgroup.h"
#include "reclaim.h"
#include "task.h"

/* User space removes the entries of cgroups that are gone. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2048);
	__type(key, u64);
	__type(value, struct reclaim_count);
} cgroup_reclaims SEC(".maps");

SEC("raw_tp/mm_vmscan_memcg_reclaim_begin")
int memcg_reclaim_begin_raw(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct reclaim_count *count;
	u64 cgroup_id;

	if (is_kernel_thread(task))
		return 0;
	cgroup_id = cgroup_id_of(task);
	count = bpf_map_lookup_elem(&cgroup_reclaims, &cgroup_id);
	if (!count) {
		struct reclaim_count first = {};

		bpf_map_update_elem(&cgroup_reclaims, &cgroup_id, &first, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&cgroup_reclaims, &cgroup_id);
		if (!count)
			return 0;
	}
	__sync_fetch_and_add(&count->reclaims, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
