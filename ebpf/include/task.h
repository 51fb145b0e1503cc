/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What kind of task one is. */
#ifndef __HUATUO_TASK_H__
#define __HUATUO_TASK_H__

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* include/linux/sched.h */
#define PF_KTHREAD 0x00200000

static __always_inline bool is_kernel_thread(struct task_struct *task)
{
	return BPF_CORE_READ(task, flags) & PF_KTHREAD;
}

#endif
