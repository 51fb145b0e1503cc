/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef __HUATUO_NETWORK_TRANSMIT_TIMEOUT_H__
#define __HUATUO_NETWORK_TRANSMIT_TIMEOUT_H__

/* IFNAMSIZ (include/uapi/linux/if.h) */
#define TRANSMIT_DEVICE_LEN 16
#define TRANSMIT_DRIVER_LEN 32

/* A device whose queues time out. */
struct transmit_device {
	char name[TRANSMIT_DEVICE_LEN];
	char driver[TRANSMIT_DRIVER_LEN]; /* empty where the kernel knows none */
};

/* One timeout. */
struct transmit_timeout {
	unsigned long long time_ns; /* CLOCK_BOOTTIME */
	struct transmit_device device;
	unsigned int queue;
	unsigned int padding;
};

/* Timeouts of one device. */
struct transmit_count {
	unsigned long long start_ns; /* CLOCK_BOOTTIME of the first */
	unsigned long long timeouts;
};

#endif
