/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef __HUATUO_NETWORK_RECEIVE_LATENCY_H__
#define __HUATUO_NETWORK_RECEIVE_LATENCY_H__

#include "../../include/event_packet.h"

/* How far a packet has come. */
#define RECEIVE_DRIVER_TO_STACK 0
#define RECEIVE_DRIVER_TO_TCP 1
#define RECEIVE_DRIVER_TO_USER 2
#define RECEIVE_STAGES 3

/* Longer is no wait but a stamp of another clock. */
#define RECEIVE_MAX_DELAY_NS 3600000000000LL

/* What user space knows of the wall clock. */
struct receive_clock {
	long long offset_ns; /* CLOCK_REALTIME minus CLOCK_BOOTTIME */
	long long step_ns; /* how far the last step moved it */
	unsigned long long stepped_ns; /* CLOCK_BOOTTIME when that was noticed; 0: never */
};

/* What programs know of clocks. */
struct receive_clocks {
	struct receive_clock wall;
	/* The wall clock when jiffies were 0, if all were as long as now: the least that programs have
	   found since user space has set it to 0 */
	long long jiffies_began_ns;
};

/* One packet that is late. */
struct late_packet {
	unsigned long long time_ns; /* CLOCK_BOOTTIME */
	unsigned long long delay_ns;
	struct receive_clock clock; /* by which the delay was measured */
	struct event_packet packet;
	struct event_task current; /* in the last stage the reader, else often another's */
	unsigned int stage;
	unsigned int padding;
};

#endif
