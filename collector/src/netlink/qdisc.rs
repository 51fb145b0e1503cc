// SPDX-License-Identifier: Apache-2.0
//! Queues of network devices (`RTM_GETQDISC`, include/uapi/linux/rtnetlink.h, gen_stats.h).

use netlink_packet_core::NlasIterator;

use super::{NetlinkError, NetlinkSocket, double_word, text, word};

const RTM_GETQDISC: u16 = 38;
/// `struct tcmsg`.
const HEADER: usize = 20;
const TC_H_ROOT: u32 = 0xffff_ffff;

const TCA_KIND: u16 = 1;
const TCA_STATS2: u16 = 7;
const TCA_STATS_BASIC: u16 = 1;
const TCA_STATS_QUEUE: u16 = 3;
/// Packets in 64 bits, since v5.5; the other count overflows.
const TCA_STATS_PKT64: u16 = 8;

/// What one root queue has counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Qdisc {
    /// Number of the device.
    pub device: u32,
    /// Kind: `fq_codel`, `mq` and so on.
    pub kind: String,
    /// Bytes sent.
    pub bytes: u64,
    /// Packets sent.
    pub packets: u64,
    /// Packets dropped.
    pub drops: u32,
    /// Packets that the device did not take.
    pub requeues: u32,
    /// Times over a limit.
    pub overlimits: u32,
    /// Packets that wait.
    pub length: u32,
    /// Bytes that wait.
    pub backlog: u32,
}

/// The root queues of all devices; what lies below a root is counted in it.
pub fn qdiscs(socket: &mut NetlinkSocket) -> Result<Vec<Qdisc>, NetlinkError> {
    let mut found = Vec::new();
    socket.dump(RTM_GETQDISC, vec![0; HEADER], |payload| found.extend(root_queue(payload)))?;
    Ok(found)
}

/// The root queue that an answer tells of; `None` for what is none, or is malformed.
pub fn root_queue(payload: &[u8]) -> Option<Qdisc> {
    let attributes = payload.get(HEADER..)?;
    if word(payload, 12)? != TC_H_ROOT {
        return None;
    }
    let mut qdisc = Qdisc { device: word(payload, 4)?, ..Qdisc::default() };
    for nla in NlasIterator::new(attributes) {
        let nla = nla.ok()?;
        match nla.kind() {
            TCA_KIND => qdisc.kind = text(nla.value())?,
            TCA_STATS2 => read_stats(&mut qdisc, nla.value())?,
            _ => {}
        }
    }
    (!qdisc.kind.is_empty()).then_some(qdisc)
}

fn read_stats(qdisc: &mut Qdisc, nested: &[u8]) -> Option<()> {
    for nla in NlasIterator::new(nested) {
        let nla = nla.ok()?;
        let value = nla.value();
        match nla.kind() {
            TCA_STATS_BASIC => {
                qdisc.bytes = double_word(value, 0)?;
                qdisc.packets = qdisc.packets.max(word(value, 8)?.into());
            }
            TCA_STATS_PKT64 => qdisc.packets = double_word(value, 0)?,
            TCA_STATS_QUEUE => {
                qdisc.length = word(value, 0)?;
                qdisc.backlog = word(value, 4)?;
                qdisc.drops = word(value, 8)?;
                qdisc.requeues = word(value, 12)?;
                qdisc.overlimits = word(value, 16)?;
            }
            _ => {}
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::attribute;
    use super::*;

    fn message(parent: u32) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        for value in [2u32, 0x8001_0000, parent, 2] {
            bytes.extend(value.to_ne_bytes());
        }
        let mut basic = 7000u64.to_ne_bytes().to_vec();
        basic.extend([70u32.to_ne_bytes(), [0; 4]].concat());
        let queue: Vec<u8> = [3u32, 400, 5, 6, 7].into_iter().flat_map(u32::to_ne_bytes).collect();
        let mut stats = attribute(TCA_STATS_BASIC, basic);
        stats.extend(attribute(TCA_STATS_PKT64, (1u64 << 33).to_ne_bytes().to_vec()));
        stats.extend(attribute(TCA_STATS_QUEUE, queue));
        bytes.extend(attribute(TCA_KIND, b"fq_codel\0".to_vec()));
        bytes.extend(attribute(TCA_STATS2, stats));
        bytes
    }

    #[test]
    fn a_root_queue_is_read_with_its_64_bit_packets() {
        let expected = Qdisc {
            device: 2,
            kind: "fq_codel".to_owned(),
            bytes: 7000,
            packets: 1 << 33,
            drops: 5,
            requeues: 6,
            overlimits: 7,
            length: 3,
            backlog: 400,
        };
        assert_eq!(root_queue(&message(TC_H_ROOT)), Some(expected));
        assert_eq!(root_queue(&message(0x8001_0000)), None);
    }

    #[test]
    fn a_torn_message_is_no_queue_and_never_a_panic() {
        let whole = message(TC_H_ROOT);
        for length in 0..whole.len() {
            root_queue(&whole[..length]);
        }
        assert_eq!(root_queue(&whole[..HEADER]), None);
    }
}
