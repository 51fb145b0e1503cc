/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A text in the kernel's memory, for programs that are handed one. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

/* Set before loading. */
char text[128] = "?";
u64 address;

SEC("raw_tp/task_rename")
int find(void *ctx)
{
	address = (u64)text;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
