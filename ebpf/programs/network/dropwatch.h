/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef __HUATUO_NETWORK_DROPWATCH_H__
#define __HUATUO_NETWORK_DROPWATCH_H__

#include "../../include/event_packet.h"

/* Reasons of the kernel that are counted one by one (enum skb_drop_reason). */
#define DROP_REASONS 256
/* Reasons of other subsystems have its number in their upper half, and are counted for it. */
#define DROP_SUBSYSTEMS 8
/* What is beyond both. */
#define DROP_OTHER (DROP_REASONS + DROP_SUBSYSTEMS)
#define DROP_SLOTS (DROP_OTHER + 1)

struct drop_counts {
	unsigned long long packets[DROP_SLOTS];
};

/* What kind of drop it is. */
#define DROP_COMMON 0
#define DROP_SYN_FLOOD 1 /* the queue of connection requests is full */
#define DROP_LISTEN_OVERFLOW_HANDSHAKE1 2 /* a SYN while the accept queue is full */
#define DROP_LISTEN_OVERFLOW_HANDSHAKE3 3 /* the last ACK of a handshake while it is */
#define DROP_TYPES 4

/* The kernel told none. */
#define DROP_NO_REASON 0xffffffff

/* One packet. */
struct dropped_packet {
	unsigned long long time_ns; /* CLOCK_BOOTTIME */
	struct event_packet packet;
	struct event_task current; /* the task that the CPU was running, often another's */
	unsigned int reason; /* enum skb_drop_reason, or DROP_NO_REASON */
	unsigned int type;
	unsigned long long frames[EVENT_STACK_DEPTH];
};

#endif
