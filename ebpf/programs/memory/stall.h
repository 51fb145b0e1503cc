/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef __HUATUO_MEMORY_STALL_H__
#define __HUATUO_MEMORY_STALL_H__

#include "../../include/event_task.h"

/* Time that tasks lost on one CPU. */
struct memory_stall {
	unsigned long long allocation_ns;
	unsigned long long compaction_ns;
};

/* A task that reclaimed memory for too long within one second. */
struct reclaim_stall {
	unsigned long long time_ns; /* CLOCK_BOOTTIME */
	unsigned long long duration_ns;
	struct event_task task;
};

#endif
