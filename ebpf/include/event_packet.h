/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Of a record: the TCP packet that it is about, and the socket and device that had it. */
#ifndef __HUATUO_EVENT_PACKET_H__
#define __HUATUO_EVENT_PACKET_H__

#include "event_task.h"

#define EVENT_DEVICE_NAME_LEN 16

/* Numbers are in the host's byte order. */
struct event_packet {
	unsigned long long network_cookie; /* of the network namespace; 0: not known */
	unsigned long long socket_cgroup_id; /* 0: not known */
	char socket_cgroup_name[EVENT_CGROUP_NAME_LEN];
	unsigned char source[16]; /* IPv4 in the first four bytes */
	unsigned char destination[16];
	unsigned int version; /* of the Internet Protocol, 4 or 6 */
	unsigned int sequence;
	unsigned int ack_sequence;
	unsigned int length; /* bytes that the kernel still held of it */
	unsigned int network_inode; /* 0: not known */
	unsigned int state; /* include/net/tcp_states.h; 0: no socket */
	unsigned int accept_limit; /* connections that may wait to be accepted */
	unsigned int device_index; /* 0: no device */
	unsigned int device_flags; /* IFF_* of include/uapi/linux/if.h */
	unsigned int device_state; /* bits of enum netdev_state_t */
	unsigned short source_port;
	unsigned short destination_port;
	unsigned short queue;
	unsigned short padding;
	char device_name[EVENT_DEVICE_NAME_LEN];
};

#endif
