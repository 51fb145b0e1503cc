/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef __HUATUO_MEMORY_OOM_H__
#define __HUATUO_MEMORY_OOM_H__

#include "../../include/event_task.h"

/* No hook told why the killer ran. */
#define OOM_CONSTRAINT_UNKNOWN -1

/* Memory that a cgroup has and may have, in pages; 0 where it is not known. */
struct oom_memory {
	unsigned long long usage;
	unsigned long long limit;
};

/* One kill. */
struct oom_kill {
	unsigned long long time_ns; /* CLOCK_BOOTTIME */
	struct event_task victim;
	struct event_task trigger;
	struct oom_memory victim_memory;
	struct oom_memory trigger_memory;
	unsigned long long limit_cgroup_id; /* whose limit was hit; 0: the machine's, or unknown */
	int constraint; /* enum oom_constraint, or OOM_CONSTRAINT_UNKNOWN */
	int score_adj; /* of the victim */
};

/* Kills in one cgroup. */
struct oom_count {
	unsigned long long start_ns; /* CLOCK_BOOTTIME of the first */
	unsigned long long kills;
	char cgroup_name[EVENT_CGROUP_NAME_LEN];
};

#endif
