/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef __HUATUO_BLOCK_LATENCY_H__
#define __HUATUO_BLOCK_LATENCY_H__

/* Bounds of linux.block.io.duration; the last bucket is open. */
#define BLOCK_EDGES 15

/* Whose requests: the cgroup that the kernel accounts them to, of the hierarchy with the io controller. */
struct block_key {
	unsigned long long cgroup_id;
	unsigned int device; /* major << 20 | minor, of the whole disk */
	unsigned int is_write;
};

/* A disk as the kernel calls it: a path to a disk (NVMe multipath) has no number in /sys. */
struct block_disk {
	char name[32];
};

/* Durations of one kind. */
struct block_durations {
	unsigned long long sum_ns;
	unsigned long long buckets[BLOCK_EDGES + 1];
};

/* Requests that completed on one CPU. */
struct block_latency {
	unsigned long long start_ns; /* CLOCK_BOOTTIME of the first, on the CPU that saw it */
	struct block_durations queued; /* from queueing to completion */
	struct block_durations dispatched; /* from dispatch to the device to completion */
};

#endif
