/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Events that did not reach user space, per CPU. */
#ifndef __HUATUO_EVENT_LOSS_H__
#define __HUATUO_EVENT_LOSS_H__

struct event_loss {
	unsigned long long rate_limited;
	unsigned long long ring_full;
};

#endif
