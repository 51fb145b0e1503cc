// SPDX-License-Identifier: Apache-2.0
//! Devices with their counters (`RTM_GETLINK`, include/uapi/linux/if_link.h).

use netlink_packet_core::NlasIterator;

use super::{NetlinkError, NetlinkSocket, double_word, text};

pub(super) const RTM_GETLINK: u16 = 18;
/// `struct ifinfomsg`
pub(super) const HEADER: usize = 16;
pub(super) const IFLA_IFNAME: u16 = 3;
const IFLA_STATS64: u16 = 23;

/// One device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Its counters.
    pub stats: LinkStats,
}

/// `struct rtnl_link_stats64`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the kernel's names, explained in if_link.h")]
pub struct LinkStats {
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    pub rx_dropped: u64,
    pub tx_dropped: u64,
    pub multicast: u64,
    pub collisions: u64,
    pub rx_length_errors: u64,
    pub rx_over_errors: u64,
    pub rx_crc_errors: u64,
    pub rx_frame_errors: u64,
    pub rx_fifo_errors: u64,
    pub rx_missed_errors: u64,
    pub tx_aborted_errors: u64,
    pub tx_carrier_errors: u64,
    pub tx_fifo_errors: u64,
    pub tx_heartbeat_errors: u64,
    pub tx_window_errors: u64,
    pub rx_compressed: u64,
    pub tx_compressed: u64,
    /// Since v4.6.
    pub rx_nohandler: u64,
}

/// All devices.
pub fn links(socket: &mut NetlinkSocket) -> Result<Vec<Link>, NetlinkError> {
    let mut found = Vec::new();
    socket.dump(RTM_GETLINK, vec![0; HEADER], |payload| found.extend(link(payload)))?;
    Ok(found)
}

/// The device that an answer tells of; `None` where it is malformed or has no counters.
pub fn link(payload: &[u8]) -> Option<Link> {
    let (mut name, mut stats) = (None, None);
    for nla in NlasIterator::new(payload.get(HEADER..)?) {
        let nla = nla.ok()?;
        match nla.kind() {
            IFLA_IFNAME => name = text(nla.value()),
            IFLA_STATS64 => stats = Some(read_stats(nla.value())?),
            _ => {}
        }
    }
    Some(Link { name: name?, stats: stats? })
}

fn read_stats(bytes: &[u8]) -> Option<LinkStats> {
    let at = |index: usize| double_word(bytes, 8 * index);
    Some(LinkStats {
        rx_packets: at(0)?,
        tx_packets: at(1)?,
        rx_bytes: at(2)?,
        tx_bytes: at(3)?,
        rx_errors: at(4)?,
        tx_errors: at(5)?,
        rx_dropped: at(6)?,
        tx_dropped: at(7)?,
        multicast: at(8)?,
        collisions: at(9)?,
        rx_length_errors: at(10)?,
        rx_over_errors: at(11)?,
        rx_crc_errors: at(12)?,
        rx_frame_errors: at(13)?,
        rx_fifo_errors: at(14)?,
        rx_missed_errors: at(15)?,
        tx_aborted_errors: at(16)?,
        tx_carrier_errors: at(17)?,
        tx_fifo_errors: at(18)?,
        tx_heartbeat_errors: at(19)?,
        tx_window_errors: at(20)?,
        rx_compressed: at(21)?,
        tx_compressed: at(22)?,
        rx_nohandler: at(23).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_device_of_this_process_is_found_with_what_it_sent() {
        let found = links(&mut NetlinkSocket::route().unwrap()).unwrap();
        let device = found.iter().find(|link| link.name == "lo").unwrap();
        assert_eq!(device.stats.rx_packets, device.stats.tx_packets);
    }

    #[test]
    fn a_torn_answer_is_no_device_and_never_a_panic() {
        let mut payload = vec![0; HEADER];
        payload.extend([7, 0, 3, 0, b'l', b'o', 0, 0]);
        payload.extend([12, 0, 23, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert!((0..=payload.len()).all(|length| link(&payload[..length]).is_none()));
    }
}
