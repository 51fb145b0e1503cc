/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A text in the kernel's memory, for programs that are handed one. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char text[] = "watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [bench:1]";
struct {
	u64 address;
	u64 length;
} found;

SEC("raw_tp/task_rename")
int find(void *ctx)
{
	found.address = (u64)text;
	found.length = sizeof(text) - 1;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
