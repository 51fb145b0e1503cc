// SPDX-License-Identifier: Apache-2.0
//! What the kernel tells by itself: messages of a multicast group (man netlink(7), rtnetlink(7)).

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use netlink_packet_core::NLMSG_OVERRUN;
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;

use super::{NetlinkError, word};
use crate::kernel::RecordSource;
use crate::rate::RateLimit;

/// Devices that come, change and go (include/uapi/linux/rtnetlink.h).
const RTNLGRP_LINK: u32 = 1;
/// Bytes that may wait in the kernel; it grants no more than `net.core.rmem_max`.
const ROOM: libc::c_int = 1 << 20;
/// `struct nlmsghdr`: length, type, flags, sequence number, port.
const HEADER: usize = 16;

/// Messages that are taken within [`SPAN`]; then for so long none are. A container that comes or goes
/// makes some ten.
const MOST: u32 = 1000;
const SPAN: Duration = Duration::from_secs(1);
/// Messages that are thrown away at once: more than the room is for, so that whoever sends without
/// an end does not keep us.
const MOST_THROWN: u64 = 4096;

/// Messages of a group. A record is one message with its header. The kernel's notices have no
/// sequence number, so the record has one of ours: a gap shows where records were given up on the
/// way to the decoder.
///
/// Messages tell how things are, so in a storm of them it is enough to look now and then: what comes
/// too quickly is left in the kernel for a while, then thrown away and told as a loss.
pub struct Subscription {
    socket: Socket,
    waiting: VecDeque<Vec<u8>>,
    sequence: u32,
    has_lost: bool,
    limit: RateLimit,
    is_over: bool,
    lost: LostMessages,
}

impl Subscription {
    /// To devices of this network namespace.
    pub fn links() -> Result<Self, NetlinkError> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        let port = socket.bind_auto()?.port_number();
        socket.set_non_blocking(true)?;
        socket.set_rx_buf_sz(ROOM)?;
        socket.add_membership(RTNLGRP_LINK)?;
        Ok(Self {
            socket,
            waiting: VecDeque::new(),
            sequence: 0,
            has_lost: false,
            limit: RateLimit::new(MOST, SPAN),
            is_over: false,
            lost: LostMessages { port, thrown: Arc::default() },
        })
    }

    /// Counts what is lost, also while this is read elsewhere.
    pub fn lost(&self) -> LostMessages {
        self.lost.clone()
    }

    /// Gives up what waits.
    fn throw_away(&mut self) {
        let mut thrown = self.waiting.drain(..).len() as u64;
        while thrown < MOST_THROWN {
            match self.socket.recv(&mut Vec::new(), 0) {
                Ok(_) => thrown += 1,
                Err(error) if is_overrun(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.lost.thrown.fetch_add(thrown, Ordering::Relaxed);
    }

    fn numbered(&mut self, mut message: Vec<u8>) -> Vec<u8> {
        if let Some(sequence) = message.get_mut(8..12) {
            sequence.copy_from_slice(&self.sequence.to_ne_bytes());
        }
        self.sequence = self.sequence.wrapping_add(1);
        message
    }
}

impl AsRawFd for Subscription {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl RecordSource for Subscription {
    /// The kernel says that it had no room before it gives what it kept, which is older. So what it
    /// kept comes first, and then the record of the loss.
    fn next_record(&mut self) -> Option<Vec<u8>> {
        if self.is_over {
            (self.is_over, self.has_lost) = (false, false);
            self.throw_away();
            return Some(self.numbered(message(NLMSG_OVERRUN, &[])));
        }
        loop {
            if !self.waiting.is_empty() {
                self.is_over = !self.limit.admit();
                if self.is_over {
                    return None;
                }
            }
            if let Some(message) = self.waiting.pop_front() {
                return Some(self.numbered(message));
            }
            match self.socket.recv_from_full() {
                Ok((datagram, sender)) if sender.port_number() == 0 => {
                    self.waiting.extend(messages(&datagram));
                }
                // Another process may send, too.
                Ok(_) => {}
                Err(error) if is_overrun(&error) => self.has_lost = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    let has_lost = std::mem::take(&mut self.has_lost);
                    return has_lost.then(|| self.numbered(message(NLMSG_OVERRUN, &[])));
                }
            }
        }
    }

    fn pause(&self) -> Option<Duration> {
        self.is_over.then_some(SPAN)
    }
}

/// Messages of one subscription that were not read.
#[derive(Debug, Clone)]
pub struct LostMessages {
    port: u32,
    thrown: Arc<AtomicU64>,
}

impl LostMessages {
    /// What came too quickly.
    pub fn thrown(&self) -> u64 {
        self.thrown.load(Ordering::Relaxed)
    }

    /// What the kernel had no room for.
    pub fn overrun(&self) -> u64 {
        let table = std::fs::read_to_string("/proc/self/net/netlink").unwrap_or_default();
        dropped(&table, self.port).unwrap_or_default()
    }
}

/// From the kernel's table of sockets: `sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode`.
fn dropped(table: &str, port: u32) -> Option<u64> {
    let (protocol, port) = (NETLINK_ROUTE.to_string(), port.to_string());
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut of = rows.filter(|row| row.get(1) == Some(&&*protocol) && row.get(2) == Some(&&*port));
    of.next()?.get(8)?.parse().ok()
}

fn is_overrun(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOBUFS)
}

/// One record of a [`Subscription`].
#[derive(Debug, PartialEq, Eq)]
pub enum Notice<'a> {
    /// A message: its type and its payload.
    Message(u16, &'a [u8]),
    /// Messages were lost: what they told has to be asked for.
    Lost,
}

/// Reads the records of one subscription, in their order.
#[derive(Debug, Default)]
pub struct Notices {
    expected: u32,
}

impl Notices {
    /// What a record says; `None` where it is malformed.
    pub fn read<'a>(&mut self, record: &'a [u8]) -> Option<Notice<'a>> {
        let payload = record.get(HEADER..)?;
        let kind = u16::from_ne_bytes(record.get(4..6)?.try_into().ok()?);
        let sequence = word(record, 8)?;
        let is_next = sequence == self.expected;
        self.expected = sequence.wrapping_add(1);
        let is_whole = is_next && kind != NLMSG_OVERRUN;
        Some(if is_whole { Notice::Message(kind, payload) } else { Notice::Lost })
    }
}

/// The messages of a datagram; a torn one ends it.
fn messages(datagram: &[u8]) -> Vec<Vec<u8>> {
    let (mut found, mut rest) = (Vec::new(), datagram);
    while let Some(length) = word(rest, 0).map(|length| length as usize) {
        let Some(message) = rest.get(..length).filter(|message| message.len() >= HEADER) else {
            break;
        };
        found.push(message.to_vec());
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// A message as it is on the wire.
fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = (HEADER + payload.len()) as u32;
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.resize(HEADER, 0);
    bytes.extend(payload);
    bytes
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    impl Notices {
        /// Number of the next record.
        pub(crate) fn expected(&self) -> u32 {
            self.expected
        }
    }

    /// A record as a subscription gives it.
    pub(crate) fn record(sequence: u32, kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut record = message(kind, payload);
        record[8..12].copy_from_slice(&sequence.to_ne_bytes());
        record
    }

    #[test]
    fn a_datagram_is_split_into_its_messages_and_a_torn_one_ends_it() {
        let datagram = [message(16, b"abcd"), message(17, b"efghijkl")].concat();
        assert_eq!(messages(&datagram), [message(16, b"abcd"), message(17, b"efghijkl")]);
        assert_eq!(messages(&datagram[..datagram.len() - 1]).len(), 1);
        assert!(messages(&[4, 0, 0, 0]).is_empty());
        assert!(messages(&[0; 64]).is_empty());
    }

    #[test]
    fn a_gap_in_the_numbers_and_an_overrun_are_a_loss() {
        let mut notices = Notices::default();
        assert_eq!(notices.read(&record(0, 16, b"x")), Some(Notice::Message(16, b"x")));
        assert_eq!(notices.read(&record(2, 16, b"x")), Some(Notice::Lost));
        assert_eq!(notices.read(&record(3, 17, b"")), Some(Notice::Message(17, b"")));
        assert_eq!(notices.read(&record(4, NLMSG_OVERRUN, b"")), Some(Notice::Lost));
        assert_eq!(notices.read(&record(5, 16, b"")[..15]), None);
        assert_eq!(notices.read(&record(5, 16, b"")), Some(Notice::Message(16, b"")));
    }

    #[test]
    fn nothing_waits_on_a_new_subscription() {
        let mut subscription = Subscription::links().unwrap();
        // Devices of this machine may change meanwhile.
        while subscription.next_record().is_some() {}
        assert_eq!(subscription.numbered(message(NLMSG_OVERRUN, &[])).len(), HEADER);
        assert_eq!((subscription.lost().thrown(), subscription.lost().overrun()), (0, 0));
    }

    #[test]
    fn what_comes_too_quickly_is_thrown_away_after_a_pause_and_told_as_a_loss() {
        let mut subscription = Subscription::links().unwrap();
        subscription.limit = RateLimit::new(2, SPAN);
        let mut notices = Notices::default();
        subscription.waiting.extend((0..5).map(|_| message(16, b"")));
        for _ in 0..2 {
            let record = subscription.next_record().unwrap();
            assert_eq!(notices.read(&record), Some(Notice::Message(16, b"")));
            assert_eq!(subscription.pause(), None);
        }
        assert_eq!(subscription.next_record(), None);
        assert_eq!(subscription.pause(), Some(SPAN));
        let record = subscription.next_record().unwrap();
        assert_eq!(notices.read(&record), Some(Notice::Lost));
        assert_eq!(subscription.pause(), None);
        assert!(subscription.waiting.is_empty());
        assert!(subscription.lost().thrown() >= 3);
    }

    #[test]
    fn the_kernels_table_tells_what_it_had_no_room_for() {
        let table = "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n\
            0000000000000000 4   77         00000000 0        0        0     2        5        1\n\
            0000000000000000 0   7          00000001 0        0        0     2        6        2\n\
            0000000000000000 0   77         00000001 0        0        0     2        1896     3\n";
        assert_eq!((dropped(table, 77), dropped(table, 8)), (Some(1896), None));
    }
}
