/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef __HUATUO_NETWORK_NETSTAT_H__
#define __HUATUO_NETWORK_NETSTAT_H__

/* Words at most. */
#define NETSTAT_WORDS 64
/* Numbers at most that there are of one CPU; those of struct linux_mib follow struct tcp_mib's. */
#define NETSTAT_NUMBERS 512
#define NETSTAT_EXT 32

/* What was counted in one network namespace. */
struct network_counts {
	unsigned long long network; /* its inode */
	unsigned long long sums[NETSTAT_WORDS]; /* of all CPUs, in the order of `wanted` */
};

#endif
