// SPDX-License-Identifier: Apache-2.0
//! Ring buffers that programs write records of events to.

use std::os::fd::{AsRawFd, RawFd};

use aya::maps::{Map, MapData, RingBuf};

use crate::kernel::RecordSource;

/// A ring buffer.
pub struct RingSource(RingBuf<MapData>);

impl RingSource {
    pub(super) fn new(map: Map) -> Option<Self> {
        RingBuf::try_from(map).ok().map(Self)
    }
}

impl AsRawFd for RingSource {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl RecordSource for RingSource {
    fn next_record(&mut self) -> Option<Vec<u8>> {
        self.0.next().map(|item| item.to_vec())
    }
}
