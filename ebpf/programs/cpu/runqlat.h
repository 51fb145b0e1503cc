/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef __HUATUO_CPU_RUNQLAT_H__
#define __HUATUO_CPU_RUNQLAT_H__

/* Bounds of linux.cpu.runqueue.wait.duration; the last bucket is open. */
#define RUNQLAT_EDGES 13

/* Waits counted on one CPU. */
struct runqlat_histogram {
	unsigned long long start_ns; /* CLOCK_BOOTTIME of the first wait, on the CPU that saw it */
	unsigned long long sum_ns;
	unsigned long long buckets[RUNQLAT_EDGES + 1];
};

#endif
