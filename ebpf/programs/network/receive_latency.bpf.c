/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * TCP packets that are received late: from the driver to the network stack, to TCP, and to the reader.
 *
 * The kernel stamps a packet with the wall clock as the driver hands it over, while anybody has asked
 * for stamps. Programs can only read clocks that are never set; user space keeps the difference.
 *
 * tcp_probe stands at the head of tcp_rcv_established() for both versions of IP: it is late for what
 * waited in a socket's backlog too, and silent for handshakes.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include "event.h"
#include "packet.h"
#include "receive_latency.h"
#include "whom.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct receive_clocks);
} clocks SEC(".maps");

/* Set before loading: from this delay on a packet is late in each stage. */
const volatile u64 thresholds_ns[RECEIVE_STAGES] = { 5000000, 10000000, 115000000 };
/* Set before loading: length of a jiffy. */
const volatile u64 tick_ns = 0;
/* Set before loading: inode of a network namespace that is left out; 0: none. */
const volatile u64 excluded_network = 0;

/* How late a packet is. */
struct measured {
	u64 time_ns;
	s64 delay_ns;
	struct receive_clock clock;
	u32 stage;
};

/* The stamp may be a time to send, of another clock. */
static __always_inline bool is_stamp_of_another_clock(struct sk_buff *skb)
{
	struct sk_buff___mono *mono = (struct sk_buff___mono *)skb;

	if (bpf_core_field_exists(skb->tstamp_type))
		return BPF_CORE_READ_BITFIELD_PROBED(skb, tstamp_type);
	if (bpf_core_field_exists(mono->mono_delivery_time))
		return BPF_CORE_READ_BITFIELD_PROBED(mono, mono_delivery_time);
	return false;
}

/* Jiffies say it already, and cost a fraction of the exact clock. */
static __always_inline bool is_early(s64 stamp, u32 stage, struct receive_clocks *known)
{
	s64 next_tick = known->jiffies_began_ns + (s64)((bpf_jiffies64() + 1) * tick_ns);

	return known->jiffies_began_ns && next_tick - stamp < (s64)thresholds_ns[stage];
}

static __always_inline void learn_jiffies(struct receive_clocks *known, s64 now)
{
	s64 began = now - (s64)(bpf_jiffies64() * tick_ns);

	if (!known->jiffies_began_ns || began < known->jiffies_began_ns)
		known->jiffies_began_ns = began;
}

/* Whether a packet is late in this stage. Every packet comes by here. */
static __always_inline bool is_late(s64 stamp, u32 stage, struct measured *out)
{
	u32 zero = 0;
	struct receive_clocks *known;
	s64 now;

	if (!stamp)
		return false;
	known = bpf_map_lookup_elem(&clocks, &zero);
	if (!known || is_early(stamp, stage, known))
		return false;
	out->stage = stage;
	out->clock = known->wall;
	out->time_ns = bpf_ktime_get_boot_ns();
	now = (s64)out->time_ns + out->clock.offset_ns;
	learn_jiffies(known, now);
	out->delay_ns = now - stamp;
	return out->delay_ns >= (s64)thresholds_ns[stage] && out->delay_ns <= RECEIVE_MAX_DELAY_NS;
}

static __always_inline bool is_excluded(struct net *net)
{
	return excluded_network && BPF_CORE_READ(net, ns.inum) == excluded_network;
}

static __always_inline struct late_packet *begin(const struct measured *measured)
{
	struct late_packet *late = event_reserve(sizeof(*late), measured->time_ns);

	if (!late)
		return 0;
	late->delay_ns = measured->delay_ns;
	late->stage = measured->stage;
	late->clock = measured->clock;
	whom(&late->current, (struct task_struct *)bpf_get_current_task());
	return late;
}

/* The network header is where the data begins: it is noted right after this tracepoint. */
SEC("tp_btf/netif_receive_skb")
int BPF_PROG(netif_receive_skb, struct sk_buff *skb)
{
	struct event_packet packet = {};
	struct late_packet *late;
	struct measured measured;

	if (!is_late(skb->tstamp, RECEIVE_DRIVER_TO_STACK, &measured))
		return 0;
	if (is_stamp_of_another_clock(skb) || is_excluded(BPF_CORE_READ(skb, dev, nd_net.net)))
		return 0;
	if (!packet_headers(&packet, skb, skb->data - skb->head))
		return 0;
	late = begin(&measured);
	if (!late)
		return 0;
	late->packet = packet;
	packet_device(&late->packet, skb);
	late->packet.length = skb->len;
	bpf_ringbuf_submit(late, 0);
	return 0;
}

/* TCP has the packet: its socket tells the addresses, and its control block the numbers. */
static __always_inline int received(struct sock *sk, struct sk_buff *skb,
				    const struct measured *measured)
{
	struct tcp_skb_cb *block = (struct tcp_skb_cb *)&skb->cb;
	struct late_packet *late;

	if (is_stamp_of_another_clock(skb) ||
	    is_excluded(BPF_CORE_READ(sk, __sk_common.skc_net.net)))
		return 0;
	late = begin(measured);
	if (!late)
		return 0;
	packet_socket(&late->packet, sk);
	packet_endpoints(&late->packet, sk, true);
	packet_device(&late->packet, skb);
	late->packet.length = BPF_CORE_READ(skb, len);
	late->packet.sequence = BPF_CORE_READ(block, seq);
	late->packet.ack_sequence = BPF_CORE_READ(block, ack_seq);
	bpf_ringbuf_submit(late, 0);
	return 0;
}

SEC("tp_btf/tcp_probe")
int BPF_PROG(tcp_probe, struct sock *sk, struct sk_buff *skb)
{
	struct measured measured;

	if (!is_late(skb->tstamp, RECEIVE_DRIVER_TO_TCP, &measured))
		return 0;
	return received(sk, skb, &measured);
}

/*
 * The reader's socket is locked, and what has just been copied to it is the first of the queue until
 * this is over. skb_copy_datagram_iovec would name the packet, but sees readers of all kinds of
 * sockets: of Unix ones there are millions a second.
 */
SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(tcp_rcv_space_adjust, struct sock *sk)
{
	struct measured measured;
	struct sk_buff *skb;

	if (!sk->sk_receive_queue.qlen)
		return 0;
	skb = sk->sk_receive_queue.next;
	if (!is_late(skb->tstamp, RECEIVE_DRIVER_TO_USER, &measured))
		return 0;
	return received(sk, skb, &measured);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
