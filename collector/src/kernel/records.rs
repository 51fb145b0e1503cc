// SPDX-License-Identifier: Apache-2.0
//! Where the kernel hands out records by itself.

use std::os::fd::AsRawFd;
use std::time::Duration;

/// A descriptor that becomes readable when there are records: a BPF ring buffer, a netlink socket.
pub trait RecordSource: AsRawFd + Send {
    /// The next record, as the kernel wrote it; `None` where there is none now.
    fn next_record(&mut self) -> Option<Vec<u8>>;

    /// When it has given no record: for how long it is left alone now because it gave too many. It is
    /// asked again then, readable or not.
    fn pause(&self) -> Option<Duration> {
        None
    }
}
