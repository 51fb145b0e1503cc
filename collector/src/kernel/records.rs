// SPDX-License-Identifier: Apache-2.0
//! Where the kernel hands out records by itself.

use std::os::fd::AsRawFd;

/// A descriptor that becomes readable when there are records: a BPF ring buffer, a netlink socket.
pub trait RecordSource: AsRawFd + Send {
    /// The next record, as the kernel wrote it; `None` where there is none now.
    fn next_record(&mut self) -> Option<Vec<u8>>;
}
