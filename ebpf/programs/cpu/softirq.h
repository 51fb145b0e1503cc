/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef __HUATUO_CPU_SOFTIRQ_H__
#define __HUATUO_CPU_SOFTIRQ_H__

/* Bounds of linux.softirq.wait.duration; the last bucket is open. */
#define SOFTIRQ_EDGES 8
/* NR_SOFTIRQS of include/linux/interrupt.h, the same since v2.6.38. */
#define SOFTIRQ_VECTORS 10

/* Waits of one vector on one CPU. */
struct softirq_waits {
	unsigned long long sum_ns;
	unsigned long long buckets[SOFTIRQ_EDGES + 1];
};

/* All vectors of one CPU. */
struct softirq_cpu {
	/* When it was raised and has not run since; 0: not raised. */
	unsigned long long raised_ns[SOFTIRQ_VECTORS];
	struct softirq_waits waits[SOFTIRQ_VECTORS];
};

#endif
