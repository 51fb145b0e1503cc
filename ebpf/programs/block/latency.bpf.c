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

/* By disk alone: requests of cgroups that found no room above, so that those of the host are all. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 128);
	__type(key, struct block_key);
	__type(value, struct block_latency);
} overflow SEC(".maps");

/* By disk. User space removes those that are gone. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, struct block_disk);
} disks SEC(".maps");

/* Slots for requests in flight; a power of two. */
#define SLOTS 65536

/* A request that the device has. */
struct flight {
	u64 request; /* 0: free */
	u64 since_ns;
};

/* A request has its slot by its address. Two in one slot are rare: the second goes into the map. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, u32);
	__type(value, struct flight);
} flights SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, u64);
} collided SEC(".maps");

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

static __always_inline struct block_latency *first_in(void *map, struct block_key *key)
{
	struct block_latency first = { .start_ns = bpf_ktime_get_boot_ns() };

	bpf_map_update_elem(map, key, &first, BPF_NOEXIST);
	return bpf_map_lookup_elem(map, key);
}

static __always_inline struct block_latency *latency_of(struct block_key *key, struct gendisk *disk)
{
	struct block_latency *latency = bpf_map_lookup_elem(&latencies, key);
	struct block_disk named = {};

	if (latency)
		return latency;
	bpf_probe_read_kernel_str(named.name, sizeof(named.name), disk->disk_name);
	bpf_map_update_elem(&disks, &key->device, &named, BPF_ANY);
	latency = first_in(&latencies, key);
	if (latency)
		return latency;
	key->cgroup_id = 0;
	latency = bpf_map_lookup_elem(&overflow, key);
	return latency ? latency : first_in(&overflow, key);
}

static __always_inline u32 number(u32 major, u32 minor)
{
	return major << 20 | minor;
}

/*
 * When the request began to wait. Its own start is after the wait for a free tag; kernels until
 * v6.17 keep when its bio was submitted, which is before.
 */
static __always_inline u64 queued_at(u64 start, struct bio *bio, u64 now)
{
	struct bio___bi_issue *old = (void *)bio;
	u64 issue, since;

	if (!bio || !bpf_core_field_exists(old->bi_issue))
		return start;
	issue = BPF_CORE_READ(old, bi_issue.value) & ISSUE_TIME_MASK;
	if (!issue)
		return start;
	since = ((now & ISSUE_TIME_MASK) - issue) & ISSUE_TIME_MASK;
	return start && now - start > since ? start : now - since;
}

static __always_inline struct flight *flight_of(u64 request)
{
	/* Requests lie in a row: a multiplication spreads them (Knuth). */
	u32 slot = (u32)(request >> 6) * 2654435761U >> 16;

	slot &= SLOTS - 1;
	return bpf_map_lookup_elem(&flights, &slot);
}

static __always_inline int issue(u64 request)
{
	u64 now = bpf_ktime_get_ns();
	struct flight *flight = flight_of(request);

	if (!flight)
		return 0;
	if (flight->request && flight->request != request) {
		bpf_map_update_elem(&collided, &request, &now, BPF_ANY);
		return 0;
	}
	flight->request = request;
	flight->since_ns = now;
	return 0;
}

/* When the device got the request, and forgets it; 0 where we have not seen it. */
static __always_inline u64 landed(u64 request)
{
	struct flight *flight = flight_of(request);
	u64 *found, since;

	if (flight && flight->request == request) {
		flight->request = 0;
		return flight->since_ns;
	}
	found = bpf_map_lookup_elem(&collided, &request);
	if (!found)
		return 0;
	since = *found;
	bpf_map_delete_elem(&collided, &request);
	return since;
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

/* The verifier lets nobody calculate with a typed pointer; what is read from memory is a number. */
static __always_inline u64 address_of(void *pointer)
{
	u64 address = 0;

	bpf_probe_read_kernel(&address, sizeof(address), &pointer);
	return address;
}

/* A request that completed. */
struct done {
	u64 request;
	u64 start_ns;
	struct bio *bio;
	u32 operation;
	struct gendisk *disk;
	struct block_key key;
};

static __always_inline int complete(struct done *done)
{
	u64 dispatched = landed(done->request), now = bpf_ktime_get_ns();
	struct block_latency *latency;
	u64 queued;

	if (done->operation >= REQ_OP_FIRST_PASSTHROUGH)
		return 0;
	done->key.is_write = done->operation != REQ_OP_READ;
	latency = latency_of(&done->key, done->disk);
	if (!latency)
		return 0;
	queued = queued_at(done->start_ns, done->bio, now);
	if (queued)
		count(&latency->queued, now - queued);
	if (dispatched)
		count(&latency->dispatched, now - dispatched);
	return 0;
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(block_rq_complete_btf, struct request *rq, int error, unsigned int bytes)
{
	struct request___rq_disk *old = (void *)rq;
	struct done done = {};
	struct gendisk *disk;

	/* A part of it: the rest goes on. */
	if (bytes < rq->__data_len)
		return 0;
	if (bpf_core_field_exists(old->rq_disk)) {
		disk = BPF_CORE_READ(old, rq_disk);
		done.key.device = number(BPF_CORE_READ(disk, major),
					 BPF_CORE_READ(disk, first_minor));
	} else {
		disk = rq->q->disk;
		done.key.device = number(disk->major, disk->first_minor);
	}
	done.disk = disk;
	done.request = address_of(rq);
	done.start_ns = rq->start_time_ns;
	done.bio = rq->bio;
	done.operation = rq->cmd_flags & REQ_OP_MASK;
	if (done.bio)
		done.key.cgroup_id = rq->bio->bi_blkg->blkcg->css.cgroup->kn->id;
	return complete(&done);
}

SEC("raw_tp/block_rq_complete")
int block_rq_complete_raw(struct bpf_raw_tracepoint_args *ctx)
{
	struct request *rq = (struct request *)ctx->args[0];
	struct request___rq_disk *old = (void *)rq;
	struct done done = {};
	struct gendisk *disk;
	struct bio *bio;

	if ((u32)ctx->args[2] < BPF_CORE_READ(rq, __data_len))
		return 0;
	if (bpf_core_field_exists(old->rq_disk))
		disk = BPF_CORE_READ(old, rq_disk);
	else
		disk = BPF_CORE_READ(rq, q, disk);
	bio = BPF_CORE_READ(rq, bio);
	done.request = ctx->args[0];
	done.start_ns = BPF_CORE_READ(rq, start_time_ns);
	done.bio = bio;
	done.disk = disk;
	done.operation = BPF_CORE_READ(rq, cmd_flags) & REQ_OP_MASK;
	done.key.device = number(BPF_CORE_READ(disk, major), BPF_CORE_READ(disk, first_minor));
	done.key.cgroup_id = BPF_CORE_READ(bio, bi_blkg, blkcg, css.cgroup, kn, id);
	return complete(&done);
}

static __always_inline u32 device_of(struct request_queue *queue)
{
	struct request_queue___kobj *old = (void *)queue;
	struct gendisk *disk;
	void *parent;

	if (bpf_core_field_exists(queue->disk)) {
		disk = BPF_CORE_READ(queue, disk);
		return number(BPF_CORE_READ(disk, major), BPF_CORE_READ(disk, first_minor));
	}
	/* blk_register_queue, block/blk-sysfs.c */
	parent = BPF_CORE_READ(old, kobj.parent);
	parent -= bpf_core_field_offset(struct device, kobj);
	return BPF_CORE_READ((struct device *)parent, devt);
}

static __always_inline int freeze(struct request_queue *queue)
{
	u32 device = device_of(queue);
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
