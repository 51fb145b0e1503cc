/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef __HUATUO_SYSTEM_SOFTLOCKUP_H__
#define __HUATUO_SYSTEM_SOFTLOCKUP_H__

#include "../../include/event_task.h"

/* A CPU that ran kernel code without a break. */
struct softlockup {
	unsigned long long time_ns; /* CLOCK_BOOTTIME */
	struct event_task task; /* which runs there */
	unsigned int cpu;
	unsigned int padding;
	unsigned long long frames[EVENT_STACK_DEPTH]; /* from the watchdog's interrupt on */
};

#endif
