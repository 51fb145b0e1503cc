/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * How long block requests take: in all (q2c), and in the device alone (d2c).
 *
 * A request is a piece of a disk's tag set and used again and again; its address names it while it
 * is in flight, and what was remembered of one that never completes is overwritten by the next.
 * Requests are counted for the whole disk that serves them: those of partitions and of dm and md
 * devices reach a disk in the end.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include "histogram.h"
#include "latency.h"

/* include/linux/blk_types.h */
#define REQ_OP_MASK 0xff
#define REQ_OP_READ 0
/* Commands of drivers and ioctls: 32 and more. */
#define REQ_OP_FIRST_PASSTHROUGH 32
/* bio_issue_time(): the time's low bits, above them a size. */
#define ISSUE_TIME_MASK ((1ULL << 51) - 1)

/* Set before loading, from the registry: upper inclusive edges in ns. */
const volatile u64 edges_ns[BLOCK_EDGES];

/* User space sets the size and removes the entries of cgroups that are gone. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct block_key);
	__type(value, struct block_latency);
} latencies SEC(".maps");

/* By address of the request: when it went to the device. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, u64);
} dispatched SEC(".maps");

/* By disk: times that its queue was frozen. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, u64);
} freezes SEC(".maps");

static __always_inline void count(struct block_durations *durations, u64 duration)
{
	u32 bucket = bucket_of(edges_ns, BLOCK_EDGES, duration);

	if (bucket > BLOCK_EDGES)
		return;
	durations->buckets[bucket]++;
	durations->sum_ns += duration;
}

static __always_inline struct block_latency *latency_of(struct block_key *key)
{
	struct block_latency *latency = bpf_map_lookup_elem(&latencies, key);
	struct block_latency first = {};

	if (latency)
		return latency;
	first.start_ns = bpf_ktime_get_boot_ns();
	bpf_map_update_elem(&latencies, key, &first, BPF_NOEXIST);
	return bpf_map_lookup_elem(&latencies, key);
}

static __always_inline u32 device_of(struct gendisk *disk)
{
	return BPF_CORE_READ(disk, major) << 20 | BPF_CORE_READ(disk, first_minor);
}

static __always_inline struct gendisk *disk_of(struct request *rq)
{
	struct request___rq_disk *old = (void *)rq;

	if (bpf_core_field_exists(old->rq_disk))
		return BPF_CORE_READ(old, rq_disk);
	return BPF_CORE_READ(rq, q, disk);
}

/*
 * When the request began to wait. Its own start is after the wait for a free tag; kernels until
 * v6.17 keep when its bio was submitted, which is before.
 */
static __always_inline u64 queued_at(struct request *rq, struct bio *bio, u64 now)
{
	struct bio___bi_issue *old = (void *)bio;
	u64 start = BPF_CORE_READ(rq, start_time_ns);
	u64 issue, since;

	if (!bio || !bpf_core_field_exists(old->bi_issue))
		return start;
	issue = BPF_CORE_READ(old, bi_issue.value) & ISSUE_TIME_MASK;
	if (!issue)
		return start;
	since = ((now & ISSUE_TIME_MASK) - issue) & ISSUE_TIME_MASK;
	return start && now - start > since ? start : now - since;
}

static __always_inline int issue(u64 rq)
{
	u64 now = bpf_ktime_get_ns();

	bpf_map_update_elem(&dispatched, &rq, &now, BPF_ANY);
	return 0;
}

/* v5.11, a54895fa057c: the queue is no argument any more. A kernel without it refuses the second. */
SEC("raw_tp/block_rq_issue")
int block_rq_issue_after_queue_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return issue(ctx->args[1]);
}

SEC("raw_tp/block_rq_issue")
int block_rq_issue_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return issue(ctx->args[0]);
}

SEC("raw_tp/block_rq_complete")
int block_rq_complete_raw(struct bpf_raw_tracepoint_args *ctx)
{
	struct request *rq = (struct request *)ctx->args[0];
	u32 operation = BPF_CORE_READ(rq, cmd_flags) & REQ_OP_MASK;
	u64 address = ctx->args[0], now = bpf_ktime_get_ns();
	struct block_latency *latency;
	struct block_key key = {};
	u64 *dispatch, queued;
	struct bio *bio;

	/* A part of it: the rest goes on. */
	if ((u32)ctx->args[2] < BPF_CORE_READ(rq, __data_len))
		return 0;
	dispatch = bpf_map_lookup_elem(&dispatched, &address);
	if (operation < REQ_OP_FIRST_PASSTHROUGH) {
		bio = BPF_CORE_READ(rq, bio);
		queued = queued_at(rq, bio, now);
		key.device = device_of(disk_of(rq));
		key.is_write = operation != REQ_OP_READ;
		key.cgroup_id = BPF_CORE_READ(bio, bi_blkg, blkcg, css.cgroup, kn, id);
		latency = latency_of(&key);
		if (latency && queued)
			count(&latency->queued, now - queued);
		if (latency && dispatch)
			count(&latency->dispatched, now - *dispatch);
	}
	if (dispatch)
		bpf_map_delete_elem(&dispatched, &address);
	return 0;
}

static __always_inline int freeze(struct request_queue *queue)
{
	u32 device = device_of(BPF_CORE_READ(queue, disk));
	u64 one = 1, *freezes_of;

	freezes_of = bpf_map_lookup_elem(&freezes, &device);
	if (freezes_of)
		__sync_fetch_and_add(freezes_of, 1);
	else
		bpf_map_update_elem(&freezes, &device, &one, BPF_NOEXIST);
	return 0;
}

SEC("fentry/blk_mq_freeze_queue")
int BPF_PROG(freeze_queue_fentry, struct request_queue *queue)
{
	return freeze(queue);
}

SEC("kprobe/blk_mq_freeze_queue")
int BPF_KPROBE(freeze_queue_kprobe, struct request_queue *queue)
{
	return freeze(queue);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
