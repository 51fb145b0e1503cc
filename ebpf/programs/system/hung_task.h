/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef __HUATUO_SYSTEM_HUNG_TASK_H__
#define __HUATUO_SYSTEM_HUNG_TASK_H__

#include "../../include/event_task.h"

/* A task that waits uninterruptibly for too long. */
struct hung_task {
	unsigned long long time_ns; /* CLOCK_BOOTTIME */
	struct event_task task;
};

#endif
