/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* How often something was found, whatever became of its event. */
#ifndef __HUATUO_FOUND_H__
#define __HUATUO_FOUND_H__

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} found SEC(".maps");

static __always_inline void count_found(void)
{
	u32 zero = 0;
	u64 *count = bpf_map_lookup_elem(&found, &zero);

	if (count)
		(*count)++;
}

#endif
