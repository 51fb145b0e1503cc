// SPDX-License-Identifier: Apache-2.0
//! What the kernel tells by itself: messages of a multicast group (man netlink(7), rtnetlink(7)).

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

use netlink_packet_core::NLMSG_OVERRUN;
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;

use super::{NetlinkError, word};
use crate::kernel::RecordSource;

/// Devices that come, change and go (include/uapi/linux/rtnetlink.h).
const RTNLGRP_LINK: u32 = 1;
/// Bytes that may wait in the kernel; it grants no more than `net.core.rmem_max`.
const ROOM: libc::c_int = 1 << 20;
/// `struct nlmsghdr`: length, type, flags, sequence number, port.
const HEADER: usize = 16;

/// Messages of a group. A record is one message with its header. The kernel's notices have no
/// sequence number, so the record has one of ours: a gap shows where records were given up on the
/// way to the decoder.
pub struct Subscription {
    socket: Socket,
    waiting: VecDeque<Vec<u8>>,
    sequence: u32,
    has_lost: bool,
}

impl Subscription {
    /// To devices of this network namespace.
    pub fn links() -> Result<Self, NetlinkError> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.set_non_blocking(true)?;
        socket.set_rx_buf_sz(ROOM)?;
        socket.add_membership(RTNLGRP_LINK)?;
        Ok(Self { socket, waiting: VecDeque::new(), sequence: 0, has_lost: false })
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
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Some(self.numbered(message));
            }
            match self.socket.recv_from_full() {
                Ok((datagram, sender)) if sender.port_number() == 0 => {
                    self.waiting.extend(messages(&datagram));
                }
                // Another process may send, too.
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => self.has_lost = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    let has_lost = std::mem::take(&mut self.has_lost);
                    return has_lost.then(|| self.numbered(message(NLMSG_OVERRUN, &[])));
                }
            }
        }
    }
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
    }
}
