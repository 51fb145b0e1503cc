/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef __HUATUO_MEMORY_RECLAIM_H__
#define __HUATUO_MEMORY_RECLAIM_H__

/* Direct reclaims of one cgroup. */
struct reclaim_count {
	unsigned long long reclaims;
};

#endif
