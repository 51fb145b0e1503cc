/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Counting a duration against the fixed edges of a histogram. */
#ifndef __HUATUO_HISTOGRAM_H__
#define __HUATUO_HISTOGRAM_H__

#include "vmlinux.h"

/* Of `count` ascending upper inclusive edges the first that holds `value`; `count` beyond the last. */
static __always_inline u32 bucket_of(const volatile u64 *edges, const u32 count, u64 value)
{
	u32 bucket = 0;

#pragma unroll
	for (u32 i = 0; i < count; i++) {
		if (value <= edges[i])
			break;
		bucket++;
	}
	return bucket;
}

#endif
