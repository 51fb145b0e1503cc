/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Tasks that khungtaskd found waiting uninterruptibly for too long (check_hung_task,
 * kernel/hung_task.c), each anew every time that it looks.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "event.h"
#include "found.h"
#include "hung_task.h"
#include "whom.h"

SEC("raw_tp/sched_process_hang")
int sched_process_hang_raw(struct bpf_raw_tracepoint_args *ctx)
{
	u64 now_ns = bpf_ktime_get_boot_ns();
	struct hung_task *event;

	count_found();
	event = event_reserve(sizeof(*event), now_ns);
	if (!event)
		return 0;
	whom(&event->task, (struct task_struct *)ctx->args[0]);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
