// SPDX-License-Identifier: Apache-2.0
//! What drivers count under names of their own (`ETHTOOL_GSTRINGS`, `ETHTOOL_GSTATS`).

use super::{NetlinkSocket, text, word};

const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSTATS: u32 = 0x1d;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
/// Of the sets of names, that of the statistics.
const ETH_SS_STATS: u32 = 1;
/// `ETH_GSTRING_LEN`
const NAME: usize = 32;
/// Bytes of `struct ethtool_gstrings` before the names.
const BEFORE_NAMES: usize = 12;

/// The most that a device may have to be asked: one with 256 queues, each in 8 classes of traffic, has
/// some 70,000.
const MAX: usize = 1 << 18;

/// Room for what drivers answer.
pub struct Statistics {
    /// The kernel writes as many as the driver has by then, whatever it is told of the room. So there
    /// is room for more than any has; only what is written takes memory.
    room: Vec<u8>,
}

impl Default for Statistics {
    fn default() -> Self {
        Self { room: vec![0; BEFORE_NAMES + MAX * NAME] }
    }
}

impl Statistics {
    /// Names of the statistics of `device`, in the order of their values; none where it has none or
    /// is gone.
    pub fn names(&mut self, socket: &NetlinkSocket, device: &str) -> Vec<String> {
        // As for all sets of names: command, reserved, which sets as bits.
        let mut question = [0; 20];
        question[..4].copy_from_slice(&ETHTOOL_GSSET_INFO.to_ne_bytes());
        question[8..16].copy_from_slice(&(1u64 << ETH_SS_STATS).to_ne_bytes());
        #[expect(unsafe_code, reason = "an ioctl")]
        // SAFETY: the answer has a number for each set that is asked for, which is one.
        let answered = unsafe { socket.ask_driver(device, &mut question) };
        let count = word(&question, 16).filter(|_| answered).unwrap_or(0);
        if !(1..=MAX).contains(&(count as usize)) {
            return Vec::new();
        }
        if self.ask(socket, device, [ETHTOOL_GSTRINGS, ETH_SS_STATS]) {
            statistic_names(&self.room).collect()
        } else {
            Vec::new()
        }
    }

    /// Values of the statistics of `device`, of which it has not more than it had names; none where
    /// it is gone.
    pub fn values(
        &mut self,
        socket: &NetlinkSocket,
        device: &str,
    ) -> impl ExactSizeIterator<Item = u64> {
        let answered = self.ask(socket, device, [ETHTOOL_GSTATS, 0]);
        statistic_values(if answered { &self.room } else { &[] })
    }

    fn ask(&mut self, socket: &NetlinkSocket, device: &str, question: [u32; 2]) -> bool {
        self.room[..4].copy_from_slice(&question[0].to_ne_bytes());
        self.room[4..8].copy_from_slice(&question[1].to_ne_bytes());
        self.room[8..12].fill(0);
        #[expect(unsafe_code, reason = "an ioctl")]
        // SAFETY: an answer has a name or a value for each statistic; there is room for `MAX`, which
        // no device has.
        unsafe {
            socket.ask_driver(device, &mut self.room)
        }
    }
}

/// Names in a `struct ethtool_gstrings`: command, set, count, names. Some drivers indent them.
pub fn statistic_names(answer: &[u8]) -> impl Iterator<Item = String> {
    let count = word(answer, 8).unwrap_or(0) as usize;
    let (names, _) = answer.get(BEFORE_NAMES..).unwrap_or_default().as_chunks::<NAME>();
    names.iter().take(count).map(|name| text(name).unwrap_or_default().trim().to_owned())
}

/// Values in a `struct ethtool_stats`: command, count, values.
pub fn statistic_values(answer: &[u8]) -> impl ExactSizeIterator<Item = u64> {
    let count = word(answer, 4).unwrap_or(0) as usize;
    let (values, _) = answer.get(8..).unwrap_or_default().as_chunks::<8>();
    values.iter().take(count).map(|value| u64::from_ne_bytes(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer: numbers in front, then the rest.
    fn answer(head: &[u32], rest: &[u8]) -> Vec<u8> {
        head.iter().flat_map(|number| number.to_ne_bytes()).chain(rest.iter().copied()).collect()
    }

    fn name(text: &str) -> [u8; NAME] {
        let mut name = [0; NAME];
        name[..text.len()].copy_from_slice(text.as_bytes());
        name
    }

    fn names(count: u32, bytes: &[u8]) -> Vec<String> {
        statistic_names(&answer(&[ETHTOOL_GSTRINGS, ETH_SS_STATS, count], bytes)).collect()
    }

    #[test]
    fn names_are_of_32_bytes_with_zeros_behind_or_without() {
        let longest = "a_name_of_thirty_two_bytes_is_ok";
        let bytes = [name("rx_packets"), name("  pkts rx OOB"), name(longest)].concat();
        assert_eq!(names(3, &bytes), ["rx_packets", "pkts rx OOB", longest]);
        assert_eq!(names(1, &bytes), ["rx_packets"]);
    }

    #[test]
    fn of_an_answer_that_is_shorter_than_it_says_what_is_there_counts() {
        let two = [name("rx_packets"), name("rx_bytes")].concat();
        assert_eq!(names(u32::MAX, &two), ["rx_packets", "rx_bytes"]);
        assert_eq!(names(2, &two[..40]), ["rx_packets"]);
        assert_eq!(names(1, &[0xff; NAME]), [""]);
        assert_eq!(statistic_names(&[0; 5]).count(), 0);

        let bytes = [7u64.to_ne_bytes(), 8u64.to_ne_bytes()].concat();
        let values = |count, bytes: &[u8]| {
            statistic_values(&answer(&[ETHTOOL_GSTATS, count], bytes)).collect::<Vec<_>>()
        };
        assert_eq!(values(2, &bytes), [7, 8]);
        assert_eq!(values(u32::MAX, &bytes), [7, 8]);
        assert_eq!(values(2, &bytes[..12]), [7]);
        assert_eq!(statistic_values(&[]).len(), 0);
    }

    #[test]
    fn a_device_without_statistics_has_no_names_and_no_values() {
        let (socket, mut statistics) = (NetlinkSocket::route().unwrap(), Statistics::default());
        for device in ["lo", "no-such-device"] {
            assert!(statistics.names(&socket, device).is_empty(), "{device}");
            assert_eq!(statistics.values(&socket, device).len(), 0, "{device}");
        }
    }

    /// Whatever drives this machine's devices. Of a virtual cable the other end is known otherwise.
    #[test]
    fn each_value_of_a_device_has_a_name() {
        let (socket, mut statistics) = (NetlinkSocket::route().unwrap(), Statistics::default());
        for entry in std::fs::read_dir("/sys/class/net").unwrap() {
            let path = entry.unwrap().path();
            let device = path.file_name().unwrap().to_str().unwrap();
            let names = statistics.names(&socket, device);
            let values: Vec<u64> = statistics.values(&socket, device).collect();
            assert_eq!(names.len(), values.len(), "{device}: {names:?}");
            if let Some(at) = names.iter().position(|name| name == "peer_ifindex") {
                let other_end = std::fs::read_to_string(path.join("iflink")).unwrap();
                assert_eq!(values[at].to_string(), other_end.trim(), "{device}");
            }
        }
    }
}
