/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Filling the part of a record that tells of a TCP packet. None of this is for hot paths. */
#ifndef __HUATUO_PACKET_H__
#define __HUATUO_PACKET_H__

#include "vmlinux.h"
#include "cgroup.h"
#include "event_packet.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* include/uapi/linux/if_ether.h, in.h, ipv6.h and include/linux/socket.h */
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define IPPROTO_TCP 6
#define IPV6_HOP_OPTIONS 0
#define IPV6_ROUTING 43
#define IPV6_DESTINATION_OPTIONS 60
#define AF_INET 2
#define AF_INET6 10
/* include/net/tcp_states.h: sockets that end with their struct sock_common. */
#define TCP_TIME_WAIT 6
#define TCP_CLOSE 7
#define TCP_NEW_SYN_RECV 12

/* In the second byte of struct tcphdr's offset_and_flags. */
#define TCP_SYN 0x02
#define TCP_RST 0x04

/* Headers of IPv6 that may stand before that of TCP; more of them are not looked at. */
#define IPV6_EXTENSIONS 4

static __always_inline bool is_ipv6_extension(u8 header)
{
	return header == IPV6_HOP_OPTIONS || header == IPV6_ROUTING ||
	       header == IPV6_DESTINATION_OPTIONS;
}

/* Only that has the header of TCP. */
static __always_inline bool is_first_fragment(__be16 frag_off)
{
	return !(frag_off & bpf_htons(0x1fff));
}

static __always_inline bool is_full_socket(struct sock *sk)
{
	u8 state = BPF_CORE_READ(sk, __sk_common.skc_state);

	return state != TCP_TIME_WAIT && state != TCP_NEW_SYN_RECV;
}

/* From skb->head to the header of TCP, whose IPv4 header is `network` bytes behind it; 0 if none. */
static __always_inline u32 tcp_over_ipv4(unsigned char *head, u32 network, struct event_packet *out)
{
	struct iphdr ip;

	if (bpf_probe_read_kernel(&ip, sizeof(ip), head + network))
		return 0;
	if (ip.protocol != IPPROTO_TCP || !is_first_fragment(ip.frag_off))
		return 0;
	out->version = 4;
	__builtin_memcpy(out->source, &ip.saddr, sizeof(ip.saddr));
	__builtin_memcpy(out->destination, &ip.daddr, sizeof(ip.daddr));
	return network + (ip.version_and_length & 0xf) * 4;
}

/* The same over IPv6. */
static __always_inline u32 tcp_over_ipv6(unsigned char *head, u32 network, struct event_packet *out)
{
	struct ipv6hdr ip;
	u8 header, next[2];

	if (bpf_probe_read_kernel(&ip, sizeof(ip), head + network))
		return 0;
	out->version = 6;
	__builtin_memcpy(out->source, ip.saddr, sizeof(ip.saddr));
	__builtin_memcpy(out->destination, ip.daddr, sizeof(ip.daddr));
	header = ip.nexthdr;
	network += sizeof(ip);
#pragma unroll
	for (u32 i = 0; i < IPV6_EXTENSIONS; i++) {
		if (!is_ipv6_extension(header))
			break;
		if (bpf_probe_read_kernel(next, sizeof(next), head + network))
			return 0;
		header = next[0];
		network += (next[1] + 1) * 8;
	}
	return header == IPPROTO_TCP ? network : 0;
}

static __always_inline bool packet_tcp(struct event_packet *out, struct sk_buff *skb, u32 transport)
{
	struct tcphdr tcp;

	if (transport + sizeof(tcp) > BPF_CORE_READ(skb, tail))
		return false;
	if (bpf_probe_read_kernel(&tcp, sizeof(tcp), BPF_CORE_READ(skb, head) + transport))
		return false;
	out->source_port = bpf_ntohs(tcp.source);
	out->destination_port = bpf_ntohs(tcp.dest);
	out->sequence = bpf_ntohl(tcp.seq);
	out->ack_sequence = bpf_ntohl(tcp.ack_seq);
	return true;
}

/* Addresses and numbers from the headers, of which the first is `network` bytes behind skb->head. */
static __always_inline bool packet_headers(struct event_packet *out, struct sk_buff *skb, u32 network)
{
	u16 protocol = BPF_CORE_READ(skb, protocol);
	unsigned char *head = BPF_CORE_READ(skb, head);
	u32 transport = 0;

	if (protocol == bpf_htons(ETH_P_IP))
		transport = tcp_over_ipv4(head, network, out);
	else if (protocol == bpf_htons(ETH_P_IPV6))
		transport = tcp_over_ipv6(head, network, out);
	return transport && packet_tcp(out, skb, transport);
}

/* Addresses of a socket as those of a packet that it sends, or of one that it receives. */
static __always_inline void packet_endpoints(struct event_packet *out, struct sock *sk, bool receives)
{
	void *local = receives ? out->destination : out->source;
	void *remote = receives ? out->source : out->destination;
	u16 local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	u16 remote_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));

	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET6) {
		out->version = 6;
		bpf_core_read(local, 16, &sk->__sk_common.skc_v6_rcv_saddr);
		bpf_core_read(remote, 16, &sk->__sk_common.skc_v6_daddr);
	} else {
		out->version = 4;
		bpf_core_read(local, 4, &sk->__sk_common.skc_rcv_saddr);
		bpf_core_read(remote, 4, &sk->__sk_common.skc_daddr);
	}
	out->source_port = receives ? remote_port : local_port;
	out->destination_port = receives ? local_port : remote_port;
}

static __always_inline void packet_network(struct event_packet *out, struct net *net)
{
	out->network_inode = BPF_CORE_READ(net, ns.inum);
	if (bpf_core_field_exists(net->net_cookie))
		out->network_cookie = BPF_CORE_READ(net, net_cookie);
	else
		out->network_cookie =
			BPF_CORE_READ((struct net___atomic_cookie *)net, net_cookie.counter);
}

/* The cgroup that made the socket, in the hierarchy that containers are known by. On v1 few sockets
 * are accounted to one. */
static __always_inline struct cgroup *cgroup_of_socket(struct sock *sk)
{
	struct sock___cgroup_val *old = (struct sock___cgroup_val *)sk;
	struct mem_cgroup *memcg;
	u64 value;

	if (memory_is_v1) {
		if (!bpf_core_field_exists(sk->sk_memcg))
			return 0;
		memcg = BPF_CORE_READ(sk, sk_memcg);
		return memcg ? BPF_CORE_READ(memcg, css.cgroup) : 0;
	}
	if (bpf_core_field_exists(sk->sk_cgrp_data.cgroup))
		return BPF_CORE_READ(sk, sk_cgrp_data.cgroup);
	if (!bpf_core_field_exists(old->sk_cgrp_data.val))
		return 0;
	value = BPF_CORE_READ(old, sk_cgrp_data.val);
	return value & 1 ? 0 : (struct cgroup *)(value & ~3ULL);
}

static __always_inline void packet_socket(struct event_packet *out, struct sock *sk)
{
	struct kernfs_node *node;
	struct cgroup *cgroup;

	out->state = BPF_CORE_READ(sk, __sk_common.skc_state);
	packet_network(out, BPF_CORE_READ(sk, __sk_common.skc_net.net));
	if (!is_full_socket(sk))
		return;
	out->accept_limit = BPF_CORE_READ(sk, sk_max_ack_backlog);
	cgroup = cgroup_of_socket(sk);
	if (!cgroup)
		return;
	node = BPF_CORE_READ(cgroup, kn);
	out->socket_cgroup_id = BPF_CORE_READ(node, id);
	bpf_probe_read_kernel_str(out->socket_cgroup_name, sizeof(out->socket_cgroup_name),
				  BPF_CORE_READ(node, name));
}

/* After packet_socket(): the pointer to a device shares its room with links of the queues that
 * sockets keep packets in, so it is a device only if it is in the socket's network namespace. What
 * TCP has received has no pointer any more; the number of its device is left. */
static __always_inline void packet_device(struct event_packet *out, struct sk_buff *skb)
{
	struct net_device *dev = BPF_CORE_READ(skb, dev);
	struct net *net;

	out->queue = BPF_CORE_READ(skb, queue_mapping);
	out->device_index = BPF_CORE_READ(skb, skb_iif);
	if (!dev)
		return;
	net = BPF_CORE_READ(dev, nd_net.net);
	if (!out->network_inode)
		packet_network(out, net);
	else if (BPF_CORE_READ(net, ns.inum) != out->network_inode)
		return;
	out->device_index = BPF_CORE_READ(dev, ifindex);
	out->device_flags = BPF_CORE_READ(dev, flags);
	out->device_state = BPF_CORE_READ(dev, state);
	bpf_core_read_str(out->device_name, sizeof(out->device_name), &dev->name);
}

#endif
