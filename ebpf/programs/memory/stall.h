/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef __HUATUO_MEMORY_STALL_H__
#define __HUATUO_MEMORY_STALL_H__

/* Time that tasks lost on one CPU. */
struct memory_stall {
	unsigned long long allocation_ns;
	unsigned long long compaction_ns;
};

#endif
