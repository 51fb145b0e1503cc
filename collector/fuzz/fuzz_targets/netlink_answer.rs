// SPDX-License-Identifier: Apache-2.0
//! Datagrams of netlink, the payloads in them, and what drivers answer: drivers and queueing
//! disciplines fill them.
#![no_main]

use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixDatagram;

use huatuo_otel::kernel::RecordSource;
use huatuo_otel::netlink::{
    NetlinkSocket, Notices, Subscription, connections, device, frames, link, root_queue,
    statistic_names, statistic_values,
};
use libfuzzer_sys::fuzz_target;

/// `struct nlmsghdr`
const HEADER: usize = 16;

fuzz_target!(
    init: {
        // An answer to the first question, a socket in the first state, is one only where it comes by
        // our socket.
        let answer = [18, 0, 0, 0, 18, 0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0];
        let end = [20, 0, 0, 0, 3, 0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(ask(&[answer, end].concat()), Some(1));
    },
    |bytes: &[u8]| {
        ask(bytes);
        listen(bytes);
        let payload = bytes.get(HEADER..).unwrap_or_default();
        root_queue(payload);
        frames(payload);
        link(payload);
        device(payload);
        statistic_names(bytes).for_each(drop);
        statistic_values(bytes).for_each(drop);
    }
);

/// Sockets in the first state, where the answer to the first question is this datagram.
fn ask(datagram: &[u8]) -> Option<u64> {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    // The socket does not tell its number, which is the lowest that is free.
    let number = theirs.try_clone().unwrap().as_raw_fd();
    let mut socket = NetlinkSocket::route().unwrap();
    replace(number, &theirs);
    ours.send(datagram).ok()?;
    connections(&mut socket).ok().map(|counts| counts[0])
}

/// This datagram to who listens.
fn listen(datagram: &[u8]) {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let mut subscription = Subscription::links().unwrap();
    replace(subscription.as_raw_fd(), &theirs);
    let mut notices = Notices::default();
    if ours.send(datagram).is_ok() {
        while let Some(record) = subscription.next_record() {
            assert!(notices.read(&record).is_some());
        }
    }
}

/// Has a socket hear us instead of the kernel. It does not wait for more.
fn replace(number: RawFd, socket: &UnixDatagram) {
    socket.set_nonblocking(true).unwrap();
    // SAFETY: both are open; what had this number is not used any more.
    assert_eq!(unsafe { libc::dup2(socket.as_raw_fd(), number) }, number);
}
