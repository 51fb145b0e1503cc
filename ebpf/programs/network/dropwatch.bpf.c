/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Packets that the kernel drops: all are counted by reason, and those of TCP are told of.
 *
 * kfree_skb tells of every packet that is freed because it could not be handled. It has one argument
 * more since v5.17 (why) and another since v6.11 (which socket it was for): of its three programs the
 * kernel takes the first whose arguments it has.
 *
 * A connection request that a listening socket refuses is freed as one that was handled; functions of
 * the handshake tell of it, where the kernel lets us hook them.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include "dropwatch.h"
#include "event.h"
#include "packet.h"
#include "whom.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct drop_counts);
} drops SEC(".maps");

struct refusal {
	u64 skb;
	u64 listener;
};

/* The packet that this CPU has just refused because an accept queue is full. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct refusal);
} refused SEC(".maps");

#define HAS_REASON(name) bpf_core_enum_value_exists(enum skb_drop_reason, name)
#define REASON(name) bpf_core_enum_value(enum skb_drop_reason, name)

static __always_inline bool is_no_drop(u32 reason)
{
	if (HAS_REASON(SKB_NOT_DROPPED_YET) && reason == REASON(SKB_NOT_DROPPED_YET))
		return true;
	return HAS_REASON(SKB_CONSUMED) && reason == REASON(SKB_CONSUMED);
}

static __always_inline void count(u32 reason)
{
	u32 zero = 0, slot = reason, subsystem = reason >> 16;
	struct drop_counts *counts = bpf_map_lookup_elem(&drops, &zero);

	if (subsystem)
		slot = subsystem < DROP_SUBSYSTEMS ? DROP_REASONS + subsystem : DROP_OTHER;
	else if (reason >= DROP_REASONS)
		slot = DROP_OTHER;
	if (counts && slot < DROP_SLOTS)
		counts->packets[slot]++;
}

/* A packet on its way out has no network header yet when there is no route for it. */
static __always_inline bool is_sent_by_tcp(struct sk_buff *skb)
{
	struct sock *sk = skb->sk;

	return sk && is_full_socket(sk) && BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP;
}

/* All drops come by here, a million a second in a flood: one look into the packet at most. */
static __always_inline bool is_tcp(struct sk_buff *skb)
{
	unsigned char *network = skb->head + skb->network_header;
	struct event_packet unused;
	struct {
		__be16 frag_off;
		u8 ttl;
		u8 protocol;
	} ip = {};
	u8 protocol = 0;

	if (!skb->network_header)
		return is_sent_by_tcp(skb);
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		bpf_probe_read_kernel(&ip, sizeof(ip), network + offsetof(struct iphdr, frag_off));
		return ip.protocol == IPPROTO_TCP && is_first_fragment(ip.frag_off);
	}
	if (skb->protocol != bpf_htons(ETH_P_IPV6))
		return false;
	bpf_probe_read_kernel(&protocol, 1, network + offsetof(struct ipv6hdr, nexthdr));
	if (is_ipv6_extension(protocol))
		return tcp_over_ipv6(skb->head, skb->network_header, &unused);
	return protocol == IPPROTO_TCP;
}

static __always_inline void packet(struct event_packet *out, struct sk_buff *skb, struct sock *sk)
{
	u32 network = BPF_CORE_READ(skb, network_header);
	u16 transport = BPF_CORE_READ(skb, transport_header);

	if (sk)
		packet_socket(out, sk);
	packet_device(out, skb);
	out->length = BPF_CORE_READ(skb, len);
	if (network && packet_headers(out, skb, network))
		return;
	if (!sk)
		return;
	packet_endpoints(out, sk, false);
	/* Not set yet, it is all ones. */
	if (transport != (u16)~0)
		packet_tcp(out, skb, transport);
}

static __always_inline int report(void *ctx, struct sk_buff *skb, struct sock *sk, u32 reason, u32 type)
{
	u64 now_ns = bpf_ktime_get_boot_ns();
	struct dropped_packet *dropped = event_reserve(sizeof(*dropped), now_ns);

	if (!dropped)
		return 0;
	dropped->reason = reason;
	dropped->type = type;
	packet(&dropped->packet, skb, sk);
	whom(&dropped->current, (struct task_struct *)bpf_get_current_task());
	how(ctx, dropped->frames);
	bpf_ringbuf_submit(dropped, 0);
	return 0;
}

/* The listening socket that had no room for the connection; null where it was not that. */
static __always_inline struct sock *refused_by(struct sk_buff *skb)
{
	u32 zero = 0;
	struct refusal *last = bpf_map_lookup_elem(&refused, &zero);

	if (!last || last->skb != (u64)skb)
		return 0;
	last->skb = 0;
	return (struct sock *)last->listener;
}

static __always_inline bool is_overflow(u32 reason)
{
	return HAS_REASON(SKB_DROP_REASON_TCP_LISTEN_OVERFLOW) &&
	       reason == REASON(SKB_DROP_REASON_TCP_LISTEN_OVERFLOW);
}

/* The end of a connection that nobody read before the socket was closed: no data is lost. */
static __always_inline bool is_unread_end(struct sk_buff *skb)
{
	struct sock *sk = skb->sk;

	return !skb->len && sk && BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_CLOSE;
}

static __always_inline bool is_without_reason(u32 reason)
{
	if (reason == DROP_NO_REASON)
		return true;
	return HAS_REASON(SKB_DROP_REASON_NOT_SPECIFIED) && reason == REASON(SKB_DROP_REASON_NOT_SPECIFIED);
}

/*
 * The kernel frees what it handles for a socket that waits for the end of a connection as if it were
 * dropped, without a reason (discard_it in tcp_v4_rcv(), net/ipv4/tcp_ipv4.c): each connection whose
 * second end is closed later than the first. A packet without data that neither opens nor resets a
 * connection is most likely that, and nothing is lost with it.
 */
static __always_inline bool is_without_data(struct sk_buff *skb)
{
	u32 network = skb->network_header, transport = skb->transport_header, length;
	struct tcphdr tcp = {};
	__be16 total = 0;

	if (!network || transport <= network || transport == (u16)~0)
		return false;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		bpf_probe_read_kernel(&total, sizeof(total), skb->head + network + offsetof(struct iphdr, tot_len));
		length = bpf_ntohs(total);
	} else {
		bpf_probe_read_kernel(&total, sizeof(total),
				      skb->head + network + offsetof(struct ipv6hdr, payload_len));
		length = bpf_ntohs(total) + sizeof(struct ipv6hdr);
	}
	bpf_probe_read_kernel(&tcp, sizeof(tcp), skb->head + transport);
	if (tcp.offset_and_flags[1] & (TCP_SYN | TCP_RST))
		return false;
	return length == transport - network + (tcp.offset_and_flags[0] >> 4) * 4;
}

static __always_inline int dropped(void *ctx, struct sk_buff *skb, u32 reason, struct sock *sk)
{
	struct sock *listener;
	u32 type = DROP_COMMON;

	count(reason == DROP_NO_REASON ? 0 : reason);
	if (!is_tcp(skb) || is_unread_end(skb))
		return 0;
	listener = refused_by(skb);
	if (listener || is_overflow(reason))
		type = DROP_LISTEN_OVERFLOW_HANDSHAKE3;
	else if (is_without_reason(reason) && is_without_data(skb))
		return 0;
	return report(ctx, skb, sk ?: listener ?: skb->sk, reason, type);
}

SEC("tp_btf/kfree_skb")
int BPF_PROG(kfree_skb_socket, struct sk_buff *skb, void *location, u32 reason, struct sock *sk)
{
	return is_no_drop(reason) ? 0 : dropped(ctx, skb, reason, sk);
}

SEC("tp_btf/kfree_skb")
int BPF_PROG(kfree_skb_reason, struct sk_buff *skb, void *location, u32 reason)
{
	return is_no_drop(reason) ? 0 : dropped(ctx, skb, reason, 0);
}

SEC("tp_btf/kfree_skb")
int BPF_PROG(kfree_skb_plain, struct sk_buff *skb)
{
	return dropped(ctx, skb, DROP_NO_REASON, 0);
}

static __always_inline bool accept_queue_is_full(struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_ack_backlog) > BPF_CORE_READ(sk, sk_max_ack_backlog);
}

/* What tcp_conn_request() (net/ipv4/tcp_input.c) finds, in its order. Of requests in the last quarter
 * of the queue it serves those of hosts that it has measured before, which we cannot tell. Kernels since
 * v6.14, and stable ones since then, let one in when the queue is just full: it is told all the same. */
static __always_inline int requested(void *ctx, struct sock *sk, struct sk_buff *skb)
{
	struct inet_connection_sock *inet = (struct inet_connection_sock *)sk;
	struct net *net = BPF_CORE_READ(sk, __sk_common.skc_net.net);
	int queued = BPF_CORE_READ(inet, icsk_accept_queue.qlen.counter);
	int limit = BPF_CORE_READ(net, ipv4.sysctl_max_syn_backlog);
	bool cookies = BPF_CORE_READ(net, ipv4.sysctl_tcp_syncookies);

	if (!cookies && queued >= (int)BPF_CORE_READ(sk, sk_max_ack_backlog))
		return report(ctx, skb, sk, DROP_NO_REASON, DROP_SYN_FLOOD);
	if (accept_queue_is_full(sk))
		return report(ctx, skb, sk, DROP_NO_REASON, DROP_LISTEN_OVERFLOW_HANDSHAKE1);
	if (!cookies && limit - queued < limit >> 2)
		return report(ctx, skb, sk, DROP_NO_REASON, DROP_SYN_FLOOD);
	return 0;
}

SEC("fentry/tcp_conn_request")
int BPF_PROG(tcp_conn_request_fentry, void *ops, void *af_ops, struct sock *sk, struct sk_buff *skb)
{
	return requested(ctx, sk, skb);
}

SEC("kprobe/tcp_conn_request")
int BPF_KPROBE(tcp_conn_request_kprobe, void *ops, void *af_ops, struct sock *sk, struct sk_buff *skb)
{
	return requested(ctx, sk, skb);
}

/* The packet is freed right after, on this CPU, and no kernel before v6.11 tells then whose it was. */
static __always_inline int acknowledged(struct sock *sk, struct sk_buff *skb)
{
	u32 zero = 0;
	struct refusal *last;

	if (!accept_queue_is_full(sk))
		return 0;
	last = bpf_map_lookup_elem(&refused, &zero);
	if (last) {
		last->skb = (u64)skb;
		last->listener = (u64)sk;
	}
	return 0;
}

SEC("fentry/tcp_v4_syn_recv_sock")
int BPF_PROG(tcp_v4_syn_recv_sock_fentry, struct sock *sk, struct sk_buff *skb)
{
	return acknowledged(sk, skb);
}

SEC("fentry/tcp_v6_syn_recv_sock")
int BPF_PROG(tcp_v6_syn_recv_sock_fentry, struct sock *sk, struct sk_buff *skb)
{
	return acknowledged(sk, skb);
}

SEC("kprobe/tcp_v4_syn_recv_sock")
int BPF_KPROBE(syn_recv_sock_kprobe, struct sock *sk, struct sk_buff *skb)
{
	return acknowledged(sk, skb);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
