// SPDX-License-Identifier: Apache-2.0
//! Records that the library fills, as its header lays them out.

use std::ffi::{c_char, c_int, c_uint};

/// `mxSmlDeviceInfo_t`
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct DeviceInfo {
    pub(super) device: c_uint,
    pub(super) kind: c_uint,
    pub(super) bdf: [c_char; 32],
    pub(super) gpu: c_uint,
    pub(super) node: c_uint,
    pub(super) uuid: [c_char; 96],
    pub(super) brand: c_uint,
    pub(super) mode: c_uint,
    pub(super) name: [c_char; 32],
}

/// One way of a board's power, in mV, mA and mW.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct BoardPower {
    voltage: c_uint,
    current: c_uint,
    /// mW
    pub power: c_uint,
}

/// A link, PCIe or MetaXLink.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct LinkInfo {
    /// GT/s
    pub speed: f32,
    /// Lanes.
    pub width: c_uint,
}

/// MB/s.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Throughput {
    /// Received over PCIe; of a MetaXLink, what was requested.
    pub first: c_int,
    /// Sent over PCIe; of a MetaXLink, what was answered.
    pub second: c_int,
}

/// Errors of a MetaXLink.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct LinkErrors {
    /// Corrected.
    pub corrected: c_int,
    /// Not corrected.
    pub uncorrected: c_int,
}

/// Errors of a die's memories.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Ecc {
    /// On the die, corrected.
    pub sram_corrected: c_uint,
    /// On the die, not corrected.
    pub sram_uncorrected: c_uint,
    /// Beside it, corrected.
    pub dram_corrected: c_uint,
    /// Beside it, not corrected.
    pub dram_uncorrected: c_uint,
    /// Pages that are not used any more.
    pub retired_pages: c_uint,
}

/// Bytes over a MetaXLink: requested and answered.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Traffic {
    pub(super) requested: i64,
    pub(super) answered: i64,
}

/// KB.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Memory {
    pub(super) visible_total: i64,
    pub(super) visible_used: i64,
    pub(super) total: i64,
    pub(super) used: i64,
    pub(super) table_total: i64,
    pub(super) table_used: i64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Unavailable {
    pub(super) code: c_int,
    pub(super) reason: [c_char; 64],
}
