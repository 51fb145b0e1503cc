/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef __HUATUO_MEMORY_OOM_H__
#define __HUATUO_MEMORY_OOM_H__

#define OOM_COMM_LEN 16
/* Enough for cri-containerd-<64 hex>.scope. */
#define OOM_CGROUP_NAME_LEN 96
/* No hook told why the killer ran. */
#define OOM_CONSTRAINT_UNKNOWN -1

struct oom_task {
	unsigned long long cgroup_id;
	unsigned int pid; /* thread group */
	int score_adj;
	char comm[OOM_COMM_LEN];
	/* Last part of the cgroup's path: the cgroup may be gone when user space looks. */
	char cgroup_name[OOM_CGROUP_NAME_LEN];
};

/* One kill. */
struct oom_kill {
	unsigned long long time_ns; /* CLOCK_BOOTTIME */
	struct oom_task victim;
	struct oom_task trigger;
	unsigned long long limit_cgroup_id; /* whose limit was hit; 0: the machine's, or unknown */
	int constraint; /* enum oom_constraint, or OOM_CONSTRAINT_UNKNOWN */
	unsigned int padding;
};

/* Kills in one cgroup. */
struct oom_count {
	unsigned long long start_ns; /* CLOCK_BOOTTIME of the first */
	unsigned long long kills;
	char cgroup_name[OOM_CGROUP_NAME_LEN];
};

#endif
