/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef __HUATUO_SYSTEM_TASKS_H__
#define __HUATUO_SYSTEM_TASKS_H__

/* One task. */
struct task_record {
	unsigned long long cgroup_id;
	unsigned int state; /* TASK_* of include/linux/sched.h, with the EXIT_* bits */
	unsigned int is_in_iowait;
};

#endif
