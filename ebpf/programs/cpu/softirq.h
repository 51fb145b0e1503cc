/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef __HUATUO_CPU_SOFTIRQ_H__
#define __HUATUO_CPU_SOFTIRQ_H__

#include "../../include/event_task.h"

/* Bounds of linux.softirq.wait.duration; the last bucket is open. */
#define SOFTIRQ_EDGES 8
/* NR_SOFTIRQS of include/linux/interrupt.h, the same since v2.6.38. */
#define SOFTIRQ_VECTORS 10

/* Waits of one vector on one CPU. */
struct softirq_waits {
	unsigned long long sum_ns;
	unsigned long long buckets[SOFTIRQ_EDGES + 1];
};

/* All vectors of one CPU. Times are of CLOCK_MONOTONIC. */
struct softirq_cpu {
	/* When it was raised and has not run since; 0: not raised. */
	unsigned long long raised_ns[SOFTIRQ_VECTORS];
	/* Until when there has been an event: what is over is told once. */
	unsigned long long told_ns;
	/* When the holder was sampled. */
	unsigned long long sampled_ns;
	struct softirq_waits waits[SOFTIRQ_VECTORS];
};

/* What a CPU did when the tick looked. */
struct softirq_holder {
	unsigned long long frames[EVENT_STACK_DEPTH]; /* from the interrupt on */
	struct event_task task;
};

/* Softirqs, or all interrupts, that one CPU held off. */
struct softirq_disabled {
	unsigned long long time_ns; /* CLOCK_BOOTTIME, of its end */
	unsigned long long monotonic_ns; /* the same in CLOCK_MONOTONIC */
	unsigned long long duration_ns;
	unsigned int cpu;
	unsigned int vector; /* which waited; SOFTIRQ_VECTORS: interrupts were off */
	unsigned int is_sampled; /* otherwise the holder is not known */
	unsigned int by_ksoftirqd; /* the vector ran in ksoftirqd at last */
	struct softirq_holder holder;
};

#endif
