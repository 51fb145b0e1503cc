// SPDX-License-Identifier: Apache-2.0
//! TCP packets of records: their attributes, and whose they are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ebpf::event_packet::event_packet;
use semconv::attribute;

use super::connections::STATES;
use crate::entity::{Entities, NetworkOwners};
use crate::hostfs::HostFs;
use crate::probes::{Malformed, kernel_text};
use crate::signal::{Attribute, Resource, Value};

/// `IFF_UP` (include/uapi/linux/if.h).
const IFF_UP: u32 = 1;
/// Bits of `enum netdev_state_t` (include/linux/netdevice.h).
const NO_CARRIER: u32 = 1 << 2;
const DORMANT: u32 = 1 << 4;

/// Whose packets are.
pub struct PacketOwners(NetworkOwners);

impl PacketOwners {
    /// Nothing was looked at.
    pub fn new(fs: &HostFs) -> Self {
        Self(NetworkOwners::new(fs))
    }

    /// The container whose cgroup made the socket, or else who has the network namespace, or else
    /// the host. Never the task that ran: packets are handled in softirqs, on top of anybody.
    pub fn owner(&mut self, packet: &event_packet, entities: &Entities) -> Arc<Resource> {
        let of_socket = || {
            let name = kernel_text(&packet.socket_cgroup_name);
            let container = entities.container_of_event(packet.socket_cgroup_id, &name)?;
            Some(Arc::clone(&container.resource))
        };
        let owner = (packet.socket_cgroup_id != 0).then(of_socket).flatten();
        owner
            .or_else(|| self.0.owner(packet.network_inode.into(), entities))
            .unwrap_or_else(|| Arc::clone(entities.host()))
    }
}

/// Where a packet comes from, and where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// Its sender.
    pub source: SocketAddr,
    /// Its receiver.
    pub destination: SocketAddr,
}

impl Ends {
    /// What a record tells.
    pub fn of(packet: &event_packet) -> Result<Self, Malformed> {
        let address = |bytes: [u8; 16]| match packet.version {
            4 => Ok(IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]))),
            6 => Ok(Ipv6Addr::from(bytes).to_canonical()),
            _ => Err(Malformed),
        };
        Ok(Self {
            source: SocketAddr::new(address(packet.source)?, packet.source_port),
            destination: SocketAddr::new(address(packet.destination)?, packet.destination_port),
        })
    }

    /// `10.0.0.1:8080 to 10.0.0.2:49000`
    pub fn shown(&self) -> String {
        format!("{} to {}", self.source, self.destination)
    }
}

/// What a record tells of a packet. What it does not know has no attribute.
pub fn attributes(packet: &event_packet, ends: Ends) -> Vec<Attribute> {
    let Ends { source, destination } = ends;
    let version = if destination.is_ipv4() { "ipv4" } else { "ipv6" };
    let mut out: Vec<Attribute> = vec![
        (&attribute::SOURCE_ADDRESS, source.ip().to_string().into()),
        (&attribute::SOURCE_PORT, u32::from(source.port()).into()),
        (&attribute::DESTINATION_ADDRESS, destination.ip().to_string().into()),
        (&attribute::DESTINATION_PORT, u32::from(destination.port()).into()),
        (&attribute::NETWORK_TRANSPORT, Value::Static("tcp")),
        (&attribute::NETWORK_TYPE, Value::Static(version)),
        (&attribute::LINUX_TCP_SEQ, packet.sequence.into()),
        (&attribute::LINUX_TCP_ACK_SEQ, packet.ack_sequence.into()),
        (&attribute::LINUX_SKB_LENGTH, packet.length.into()),
        (&attribute::LINUX_NETWORK_QUEUE_INDEX, u32::from(packet.queue).into()),
    ];
    if let Some(state) = state(packet.state) {
        out.push((&attribute::NETWORK_CONNECTION_STATE, Value::Static(state)));
    }
    if packet.device_index != 0 {
        out.push((&attribute::LINUX_NETWORK_INTERFACE_INDEX, packet.device_index.into()));
    }
    let name = kernel_text(&packet.device_name);
    if !name.is_empty() {
        out.push((&attribute::NETWORK_INTERFACE_NAME, name.into()));
        out.push((&attribute::LINUX_NETWORK_INTERFACE_FLAGS, Value::Array(flags(packet))));
    }
    if let Some(cookie) = i64::try_from(packet.network_cookie).ok().filter(|cookie| *cookie != 0) {
        out.push((&attribute::LINUX_NETWORK_NAMESPACE_COOKIE, cookie.into()));
    }
    out
}

fn state(number: u32) -> Option<&'static str> {
    STATES.get(usize::try_from(number.checked_sub(1)?).ok()?).copied()
}

fn flags(packet: &event_packet) -> Vec<Value> {
    let is_up = packet.device_flags & IFF_UP != 0;
    let states = [(NO_CARRIER, "no_carrier"), (DORMANT, "dormant")];
    let set = states.into_iter().filter(|(bit, _)| packet.device_state & bit != 0);
    let link = if is_up { "up" } else { "down" };
    [link].into_iter().chain(set.map(|(_, word)| word)).map(Value::Static).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use zerocopy::FromZeros;

    use super::*;

    /// From 10.0.0.1:8080 to 10.0.0.2:49000 on eth0.
    pub(in crate::probes::network) fn packet() -> event_packet {
        let mut packet = event_packet::new_zeroed();
        packet.version = 4;
        packet.source[..4].copy_from_slice(&[10, 0, 0, 1]);
        packet.destination[..4].copy_from_slice(&[10, 0, 0, 2]);
        (packet.source_port, packet.destination_port) = (8080, 49000);
        (packet.sequence, packet.ack_sequence, packet.length) = (u32::MAX, 7, 1460);
        (packet.state, packet.accept_limit, packet.queue) = (1, 128, 3);
        (packet.device_index, packet.device_flags, packet.network_cookie) =
            (2, IFF_UP, 123_456_789);
        for (to, from) in packet.device_name.iter_mut().zip(b"eth0") {
            *to = from.cast_signed();
        }
        packet
    }

    #[test]
    fn addresses_of_both_versions_are_read_and_others_are_malformed() {
        let mut packet = packet();
        assert_eq!(Ends::of(&packet).unwrap().shown(), "10.0.0.1:8080 to 10.0.0.2:49000");
        packet.version = 6;
        packet.source = "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets();
        packet.destination = "::ffff:10.0.0.2".parse::<Ipv6Addr>().unwrap().octets();
        let ends = Ends::of(&packet).unwrap();
        assert_eq!(ends.shown(), "[2001:db8::1]:8080 to 10.0.0.2:49000");
        packet.version = 5;
        assert_eq!(Ends::of(&packet), Err(Malformed));
    }

    #[test]
    fn what_is_not_known_has_no_attribute() {
        let mut packet = packet();
        packet.state = 99;
        packet.device_index = 0;
        packet.device_name = [0; 16];
        packet.network_cookie = u64::MAX;
        let ends = Ends::of(&packet).unwrap();
        assert_eq!(attributes(&packet, ends).len(), 10);
    }

    #[test]
    fn a_link_is_up_or_down_and_may_have_no_carrier() {
        let mut packet = packet();
        assert_eq!(flags(&packet), [Value::Static("up")]);
        packet.device_flags = 0;
        packet.device_state = 1 << 2;
        assert_eq!(flags(&packet), [Value::Static("down"), Value::Static("no_carrier")]);
    }
}
