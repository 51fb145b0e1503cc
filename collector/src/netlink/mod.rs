// SPDX-License-Identifier: Apache-2.0
//! Questions to the kernel by netlink, and what it tells by itself (man netlink(7), rtnetlink(7),
//! sock_diag(7)).

mod connections;
mod dcb;
mod device;
mod driver;
mod ethtool;
mod link;
mod qdisc;
mod statistics;
mod subscription;

use std::io;
use std::os::fd::AsFd;

use netlink_packet_core::{
    DefaultNla, Emitable, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader,
    NetlinkMessage, NetlinkPayload, NetlinkSerializable, NlaBuffer, NlasIterator,
};
use netlink_sys::protocols::{NETLINK_ROUTE, NETLINK_SOCK_DIAG};
use netlink_sys::{Socket, SocketAddr};
use rustix::net::netdevice::index_to_name;
use thiserror::Error;

pub use connections::{TCP_STATES, connections};
pub use dcb::{PfcFrames, frames, pfc};
pub use device::{Device, LacpPort, RTM_DELLINK, RTM_NEWLINK, device, devices};
pub use driver::Driver;
pub use link::{Link, LinkStats, link, links};
pub use qdisc::{Qdisc, qdiscs, root_queue};
pub use statistics::{Statistics, statistic_names, statistic_values};
pub use subscription::{Notice, Notices, Subscription};

/// What tests of decoders are made of.
#[cfg(test)]
pub(crate) mod tests {
    pub(crate) use super::device::tests::payload;
    pub(crate) use super::subscription::tests::record;
}

/// Bytes of answers to one question: 10,000 devices have some megabytes.
const MAX_ANSWER: usize = 64 << 20;

/// The kernel did not answer.
#[derive(Debug, Error)]
pub enum NetlinkError {
    /// The socket failed, or the kernel refused the question.
    #[error("netlink: {0}")]
    Io(#[from] io::Error),
    /// A part of the kernel that answers is not there.
    #[error("netlink: the kernel has no {0}; load the module of that name")]
    Missing(&'static str),
    /// The answer has another shape than the kernel's headers give it.
    #[error("netlink: {0}")]
    Malformed(String),
}

/// A socket to the kernel. It sees the network namespace that opened it.
pub struct NetlinkSocket {
    socket: Socket,
    sequence: u32,
}

/// The payload of a message, as it is on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Raw {
    kind: u16,
    bytes: Vec<u8>,
}

impl NetlinkSerializable for Raw {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.bytes.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.bytes);
    }
}

impl NetlinkDeserializable for Raw {
    type Error = std::convert::Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Self::Error> {
        Ok(Self { kind: header.message_type, bytes: payload.to_vec() })
    }
}

impl NetlinkSocket {
    /// For devices and their queues.
    pub fn route() -> Result<Self, NetlinkError> {
        Self::open(NETLINK_ROUTE)
    }

    /// For sockets.
    pub fn sock_diag() -> Result<Self, NetlinkError> {
        Self::open(NETLINK_SOCK_DIAG)
    }

    fn open(protocol: isize) -> Result<Self, NetlinkError> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Name of the device with this number; `None` where it has just gone.
    pub fn device_name(&self, index: u32) -> Option<String> {
        index_to_name(self.socket.as_fd(), index).ok()
    }

    /// All objects of a kind: hands the payload of each answer to `each`.
    fn dump(
        &mut self,
        kind: u16,
        question: Vec<u8>,
        each: impl FnMut(&[u8]),
    ) -> Result<(), NetlinkError> {
        self.send(kind, NLM_F_REQUEST | NLM_F_DUMP, question)?;
        self.receive(true, each)
    }

    /// One object: hands the payload of the answer to `each`.
    fn ask(
        &mut self,
        kind: u16,
        question: Vec<u8>,
        each: impl FnMut(&[u8]),
    ) -> Result<(), NetlinkError> {
        self.send(kind, NLM_F_REQUEST, question)?;
        self.receive(false, each)
    }

    fn send(&mut self, kind: u16, flags: u16, bytes: Vec<u8>) -> Result<(), NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let payload = NetlinkPayload::InnerMessage(Raw { kind, bytes });
        let mut message = NetlinkMessage::new(header, payload);
        message.finalize();
        let mut buffer = vec![0; message.buffer_len()];
        message.serialize(&mut buffer);
        self.socket.send(&buffer, 0)?;
        Ok(())
    }

    fn receive(&mut self, is_dump: bool, mut each: impl FnMut(&[u8])) -> Result<(), NetlinkError> {
        let mut received = 0;
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            received += datagram.len();
            let mut rest = &datagram[..];
            while !rest.is_empty() {
                let message = NetlinkMessage::<Raw>::deserialize(rest)
                    .map_err(|error| NetlinkError::Malformed(error.to_string()))?;
                let length = message.header.length as usize;
                // What is left of a question that broke off.
                let is_answer = message.header.sequence_number == self.sequence;
                match message.payload {
                    NetlinkPayload::Error(error) if is_answer && error.code.is_some() => {
                        return Err(refused(error.raw_code()));
                    }
                    NetlinkPayload::Done(done) if is_answer && done.code < 0 => {
                        return Err(refused(done.code));
                    }
                    NetlinkPayload::Done(_) if is_answer => return Ok(()),
                    NetlinkPayload::InnerMessage(raw) if is_answer => {
                        each(&raw.bytes);
                        if !is_dump {
                            return Ok(());
                        }
                    }
                    _ => {}
                }
                // Messages begin at multiples of four bytes.
                rest = rest.get(length.next_multiple_of(4).max(4)..).unwrap_or_default();
            }
            if received > MAX_ANSWER {
                return Err(NetlinkError::Malformed("the answer does not end".to_owned()));
            }
        }
    }
}

/// The kernel's refusal, whose number is negative. The packages' own would overflow on the least one.
fn refused(code: i32) -> NetlinkError {
    NetlinkError::Io(io::Error::from_raw_os_error(code.saturating_neg()))
}

/// An attribute as it is on the wire.
fn attribute(kind: u16, value: Vec<u8>) -> Vec<u8> {
    let nla = DefaultNla::new(kind, value);
    let mut bytes = vec![0; nla.buffer_len()];
    nla.emit(&mut bytes);
    bytes
}

/// The first attribute of that kind, before any that is malformed.
fn find(attributes: &[u8], kind: u16) -> Option<NlaBuffer<&[u8]>> {
    NlasIterator::new(attributes).map_while(Result::ok).find(|nla| nla.kind() == kind)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn double_word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    std::str::from_utf8(&bytes[..end]).ok().map(str::to_owned)
}
