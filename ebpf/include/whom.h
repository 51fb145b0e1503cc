/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Filling the part of a record that tells whom it is about. */
#ifndef __HUATUO_WHOM_H__
#define __HUATUO_WHOM_H__

#include "vmlinux.h"
#include "cgroup.h"
#include "event_task.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

static __always_inline void whom(struct event_task *out, struct task_struct *task)
{
	struct kernfs_node *node = BPF_CORE_READ(cgroup_of(task), kn);

	out->cgroup_id = BPF_CORE_READ(node, id);
	bpf_probe_read_kernel_str(out->cgroup_name, sizeof(out->cgroup_name),
				  BPF_CORE_READ(node, name));
	out->pid = BPF_CORE_READ(task, tgid);
	out->tid = BPF_CORE_READ(task, pid);
	bpf_core_read_str(out->comm, sizeof(out->comm), &task->comm);
}

/* The kernel stack that led to the hook. `frames` must be zeroed. */
static __always_inline void how(void *ctx, u64 frames[EVENT_STACK_DEPTH])
{
	bpf_get_stack(ctx, frames, EVENT_STACK_DEPTH * sizeof(u64), 0);
}

#endif
