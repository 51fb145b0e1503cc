/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Of a record: whom it is about. */
#ifndef __HUATUO_EVENT_TASK_H__
#define __HUATUO_EVENT_TASK_H__

#define EVENT_COMM_LEN 16
/* Enough for cri-containerd-<64 hex>.scope. */
#define EVENT_CGROUP_NAME_LEN 96
/* Frames of a kernel stack, leaf first; 0 ends it. */
#define EVENT_STACK_DEPTH 64

struct event_task {
	unsigned long long cgroup_id;
	unsigned int pid; /* thread group */
	unsigned int tid;
	char comm[EVENT_COMM_LEN];
	/* Last part of the cgroup's path: the cgroup may be gone when user space looks. */
	char cgroup_name[EVENT_CGROUP_NAME_LEN];
};

#endif
