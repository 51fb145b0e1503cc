/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Every task with its state and cgroup, in one pass when user space asks: a thousandth of what
 * reading /proc/<pid>/stat of each costs.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "cgroup.h"
#include "tasks.h"

static __always_inline u32 state_of(struct task_struct *task)
{
	struct task_struct___state *old = (void *)task;
	u32 state;

	if (bpf_core_field_exists(old->state))
		state = (u32)BPF_CORE_READ(old, state);
	else
		state = task->__state;
	return state | (u32)task->exit_state;
}

SEC("iter/task")
int tasks_iter(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct task_record record = {};

	/* The end. */
	if (!task)
		return 0;
	record.cgroup_id = cgroup_id_of(task);
	record.state = state_of(task);
	record.is_in_iowait = BPF_CORE_READ_BITFIELD(task, in_iowait);
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
