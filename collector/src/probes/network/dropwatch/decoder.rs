// SPDX-License-Identifier: Apache-2.0
//! From a dropped packet to its event.

use std::net::SocketAddr;
use std::sync::Arc;

use ebpf::network_dropwatch::records::{DROP_NO_REASON, dropped_packet};
use semconv::{attribute, event};

use super::Reasons;
use crate::kernel::boot_to_unix;
use crate::probes::network::host_names::HostNames;
use crate::probes::network::packet::{Ends, PacketOwners, attributes};
use crate::probes::{Decode, DecodeContext, Malformed, StartContext, Suppression, Whom, record};
use crate::signal::{Attribute, Event, Value};

/// Functions that give up packets which waited for a neighbour: kernels before v5.17 have no reason.
const NEIGHBOUR: &str = "neigh_invalidate+";
/// A driver's function that frees packets which were sent as if they were dropped.
const SENT: &str = "bnxt_tx_int";

pub(super) struct DropDecoder {
    reasons: Arc<Reasons>,
    owners: PacketOwners,
    excludes_neighbours: bool,
    host_names: Option<HostNames>,
}

impl DropDecoder {
    pub(super) fn new(cx: &StartContext<'_>, reasons: Arc<Reasons>) -> Self {
        let config = &cx.config.event_tracing.dropwatch;
        let host_names = config.resolve_host_names.then(HostNames::of_machine).transpose();
        Self {
            reasons,
            owners: PacketOwners::new(cx.fs),
            excludes_neighbours: config.excluded_neigh_invalidate,
            host_names: host_names.unwrap_or_else(|error| {
                tracing::warn!(%error, "addresses of dropped packets are shown without their names");
                None
            }),
        }
    }
}

impl Decode for DropDecoder {
    fn decode(&mut self, bytes: &[u8], cx: &mut DecodeContext<'_>) -> Result<(), Malformed> {
        let dropped: dropped_packet = record(bytes)?;
        let stack = cx.symbols.trace(&dropped.frames);
        self.tell(&dropped, &stack, cx)
    }
}

impl DropDecoder {
    fn tell(
        &mut self,
        dropped: &dropped_packet,
        stack: &str,
        cx: &mut DecodeContext<'_>,
    ) -> Result<(), Malformed> {
        let ends = Ends::of(&dropped.packet)?;
        let types = attribute::LINUX_NETWORK_DROP_TYPE.members;
        let kind = *types.get(dropped.type_ as usize).ok_or(Malformed)?;
        if self.is_excluded(dropped, stack) {
            cx.suppress(&event::LINUX_NETWORK_PACKET_DROPPED, Suppression::Excluded);
            return Ok(());
        }
        let reason = self.reason(dropped);
        let body = match reason {
            Some(reason) => format!("TCP packet dropped, {}: {reason}", ends.shown()),
            None => format!("TCP packet dropped, {}: {kind}", ends.shown()),
        };
        let mut all = attributes(&dropped.packet, ends);
        all.extend(Whom::of(&dropped.current, cx.entities).attributes());
        all.extend(self.names(ends));
        all.push((&attribute::LINUX_NETWORK_DROP_TYPE, Value::Static(kind)));
        all.extend(reason.map(|reason| (&attribute::LINUX_NETWORK_DROP_REASON, reason.into())));
        if dropped.packet.accept_limit != 0 {
            let limit = dropped.packet.accept_limit.into();
            all.push((&attribute::LINUX_SOCKET_ACCEPT_QUEUE_LIMIT, limit));
        }
        all.extend(cx.of_stack(stack));
        let owner = self.owners.owner(&dropped.packet, cx.entities);
        let time = boot_to_unix(dropped.time_ns);
        cx.raise(Event::new(&event::LINUX_NETWORK_PACKET_DROPPED, time, owner, all, body));
        Ok(())
    }

    fn names(&self, ends: Ends) -> impl Iterator<Item = Attribute> {
        let of = |end: SocketAddr| self.host_names.as_ref()?.name(end.ip());
        let source =
            of(ends.source).map(|name| (&attribute::HUATUO_SOURCE_HOST_NAME, (&name).into()));
        let destination = of(ends.destination)
            .map(|name| (&attribute::HUATUO_DESTINATION_HOST_NAME, (&name).into()));
        source.into_iter().chain(destination)
    }

    fn reason(&self, dropped: &dropped_packet) -> Option<&Arc<str>> {
        (dropped.reason != DROP_NO_REASON).then(|| self.reasons.name(dropped.reason))
    }

    fn is_excluded(&self, dropped: &dropped_packet, stack: &str) -> bool {
        let is_of_neighbour =
            || self.reasons.is_of_neighbour(dropped.reason) || stack.contains(NEIGHBOUR);
        stack.contains(SENT) || self.excludes_neighbours && is_of_neighbour()
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use serde_json::json;
    use zerocopy::FromZeros;

    use super::super::reasons::tests::reasons;
    use super::*;
    use crate::config::{Config, KnownIssue};
    use crate::entity::Entities;
    use crate::export::document::document;
    use crate::hostfs::HostFs;
    use crate::kernel::Symbols;
    use crate::probes::KnownIssues;
    use crate::probes::network::packet::tests::packet;

    const STACK: &str = "sk_skb_reason_drop+0x5/0x20\ntcp_v4_rcv+0x6ad/0xfb0";

    fn dropped(reason: u32) -> dropped_packet {
        let mut dropped = dropped_packet::new_zeroed();
        dropped.packet = packet();
        dropped.reason = reason;
        (dropped.current.pid, dropped.current.tid) = (42, 43);
        dropped.current.comm[0] = b'x'.cast_signed();
        dropped
    }

    /// The event, or none where it is excluded.
    fn told(dropped: &dropped_packet, stack: &str) -> Result<Option<Event>, Malformed> {
        let root = tempfile::tempdir().unwrap();
        let fs = HostFs::new(root.path());
        let entities = Entities::discover(&Config::default(), &fs);
        let issue = KnownIssue("closed".to_owned(), "tcp_v4_rcv".to_owned());
        let (symbols, issues) = (Symbols::default(), KnownIssues::new(&[issue]));
        let mut cx = DecodeContext::new(&entities, &symbols, &issues);
        let owners = PacketOwners::new(&fs);
        let mut decoder = DropDecoder {
            reasons: reasons().into(),
            owners,
            excludes_neighbours: true,
            host_names: None,
        };
        assert_eq!(decoder.decode(&[0; 9], &mut cx), Err(Malformed));
        decoder.tell(dropped, stack, &mut cx)?;
        let (mut events, suppressed) = cx.into_found();
        assert_eq!(events.len() + suppressed.len(), 1);
        assert!(suppressed.iter().all(|(_, why)| *why == Suppression::Excluded));
        Ok(events.pop())
    }

    #[test]
    fn a_dropped_packet_has_huatuos_fields() {
        let event = told(&dropped(3), STACK).unwrap().unwrap();
        assert_eq!(event.body, "TCP packet dropped, 10.0.0.1:8080 to 10.0.0.2:49000: no_socket");
        let text = |key| event.get(key).and_then(Value::as_str).unwrap();
        assert_eq!(text(&attribute::LINUX_NETWORK_DROP_REASON), "no_socket");
        assert_eq!(text(&attribute::NETWORK_TYPE), "ipv4");
        assert_eq!(text(&attribute::HUATUO_KNOWN_ISSUE), "closed");
        assert_eq!(text(&attribute::CODE_STACKTRACE), STACK);
        let data = &document(&event, &TimeZone::UTC)["tracer_data"];
        assert_eq!(
            *data,
            json!({
                "type": "common_drop", "comm": "x", "pid": 42,
                "saddr": "10.0.0.1", "daddr": "10.0.0.2", "sport": 8080, "dport": 49000,
                "src_hostname": "<nil>", "dest_hostname": "<nil>", "max_ack_backlog": 128,
                "seq": u32::MAX, "ack_seq": 7, "pkt_len": 1460, "sk_state": "ESTABLISHED",
                "stack": "sk_skb_reason_drop/5 [kernel]\ntcp_v4_rcv/6ad [kernel]\n",
                "netdev_queue_mapping": 3, "netdev_linkstatus": ["linkStatusUp"],
                "netdev_name": "eth0", "netdev_ifindex": 2, "net_cookie": 123_456_789,
            })
        );
    }

    #[test]
    fn without_a_reason_the_kind_tells_and_without_a_socket_the_state_is_nil() {
        let mut refused = dropped(DROP_NO_REASON);
        refused.type_ = 2;
        refused.packet.state = 0;
        let event = told(&refused, "").unwrap().unwrap();
        assert!(event.body.ends_with(": listen_overflow_handshake1"), "{}", event.body);
        assert!(event.get(&attribute::LINUX_NETWORK_DROP_REASON).is_none());
        let data = &document(&event, &TimeZone::UTC)["tracer_data"];
        assert_eq!((&data["sk_state"], &data["stack"]), (&json!("<nil>"), &json!("")));
    }

    #[test]
    fn packets_for_neighbours_that_are_gone_and_packets_that_were_sent_are_left_out() {
        assert!(told(&dropped(58), STACK).unwrap().is_none());
        assert!(
            told(&dropped(DROP_NO_REASON), "kfree_skb+0x1/0x2\nneigh_invalidate+0x1/0x2")
                .unwrap()
                .is_none()
        );
        assert!(told(&dropped(3), "__bnxt_tx_int+0x1/0x2 [bnxt_en]").unwrap().is_none());
    }

    #[test]
    fn a_type_or_version_that_does_not_exist_is_malformed() {
        let mut odd = dropped(3);
        odd.type_ = 4;
        assert_eq!(told(&odd, "").err(), Some(Malformed));
        let mut odd = dropped(3);
        odd.packet.version = 0;
        assert_eq!(told(&odd, "").err(), Some(Malformed));
    }
}
