// SPDX-License-Identifier: Apache-2.0
//! MetaX: `libmxsml.so`, the vendor's System Management Library (MxSml.h of the MXMACA toolkit).
//!
//! The only place that calls it. Records are laid out as its header has them; each function is
//! looked up when it is called, for older libraries lack some.

#![expect(unsafe_code, reason = "a C library is loaded at run time, and only its header says how")]

mod records;

use std::ffi::{c_char, c_int, c_uint, c_ulonglong};
use std::path::Path;

use libloading::Library;
use thiserror::Error;

pub use records::{BoardPower, Ecc, LinkErrors, LinkInfo, Throughput};
use records::{DeviceInfo, Memory, Traffic, Unavailable};

const SUCCESS: c_uint = 0;
/// A board has at most so many ways of power, a GPU so many links, a die so many clocks.
const MAX_WAYS: usize = 8;
const MAX_LINKS: usize = 16;
const MAX_CLOCKS: usize = 16;

/// Bits of the reasons for which a clock is held down, from bit 1.
pub const THROTTLE_REASONS: [&str; 12] = [
    "idle",
    "application_limit",
    "over_power",
    "chip_overheated",
    "vr_overheated",
    "hbm_overheated",
    "thermal_overheated",
    "pcc",
    "power_brake",
    "didt",
    "low_usage",
    "other",
];

/// The library cannot be used.
#[derive(Debug, Error)]
pub enum MetaxError {
    /// It is not installed.
    #[error("{0} is not there; it comes with the MetaX driver")]
    Absent(String),
    /// It is there and does not work.
    #[error("{path}: {reason}")]
    Broken {
        /// The library.
        path: String,
        /// What it said.
        reason: String,
    },
}

/// The library, initialized.
pub struct Metax {
    library: Library,
}

/// One GPU. What does not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// Its number for the library.
    pub index: u32,
    /// Its UUID.
    pub uuid: String,
    /// Its model.
    pub model: String,
    /// Its address on the PCI bus.
    pub bdf: String,
    /// `native`, `pf` or `vf`.
    pub mode: &'static str,
    /// Version of its firmware.
    pub bios_version: String,
    /// Version of the driver.
    pub driver_version: String,
    /// Its dies.
    pub dies: u32,
}

/// A part of a die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ip {
    /// Video encoder.
    Encoder,
    /// Video decoder.
    Decoder,
    /// Compute cores.
    Xcore,
    /// Memory.
    Memory,
}

/// Which way over a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkDirection {
    /// To the GPU.
    Receive = 0,
    /// From the GPU.
    Transmit = 1,
}

/// Calls a function of the library that tells its success.
macro_rules! call {
    ($self:ident, $name:literal, ($($kind:ty),*), ($($argument:expr),*)) => {{
        // SAFETY: the header declares the function so; it writes to the records it is given only,
        // and no more of them than the size that it is given.
        unsafe {
            let function: Option<libloading::Symbol<'_, unsafe extern "C" fn($($kind),*) -> c_uint>> =
                $self.library.get($name).ok();
            function.is_some_and(|function| function($($argument),*) == SUCCESS)
        }
    }};
}

impl Metax {
    /// Loads and initializes the library.
    pub fn load(path: &str) -> Result<Self, MetaxError> {
        if !Path::new(path).exists() {
            return Err(MetaxError::Absent(path.to_owned()));
        }
        let broken = |reason: String| MetaxError::Broken { path: path.to_owned(), reason };
        // SAFETY: the user names the library of the driver, whose initializers may run.
        let library = unsafe { Library::new(path) }.map_err(|error| broken(error.to_string()))?;
        let this = Self { library };
        if !call!(this, b"mxSmlInit\0", (), ()) {
            return Err(broken("mxSmlInit fails; is the driver loaded?".to_owned()));
        }
        Ok(this)
    }

    /// The version of the library.
    pub fn version(&self) -> Option<String> {
        let (mut text, mut size) = ([0 as c_char; 128], 128);
        let arguments = (text.as_mut_ptr(), &raw mut size);
        call!(
            self,
            b"mxSmlGetMacaVersion\0",
            (*mut c_char, *mut c_uint),
            (arguments.0, arguments.1)
        )
        .then(|| plain(&text))
    }

    /// All GPUs: the native ones and virtual functions, and those that have virtual functions.
    pub fn gpus(&self) -> Vec<Gpu> {
        let count = |name: &[u8]| {
            // SAFETY: the header declares it so.
            unsafe {
                let function: Option<libloading::Symbol<'_, unsafe extern "C" fn() -> c_uint>> =
                    self.library.get(name).ok();
                function.map_or(0, |function| function())
            }
        };
        let (native, physical) =
            (count(b"mxSmlGetDeviceCount\0"), count(b"mxSmlGetPfDeviceCount\0"));
        // The second kind is numbered from 100.
        let indices = (0..native.min(256)).chain((0..physical.min(256)).map(|index| 100 + index));
        indices.filter_map(|index| self.gpu(index)).collect()
    }

    fn gpu(&self, index: u32) -> Option<Gpu> {
        let mut info = DeviceInfo {
            device: 0,
            kind: 0,
            bdf: [0; 32],
            gpu: 0,
            node: 0,
            uuid: [0; 96],
            brand: 0,
            mode: 0,
            name: [0; 32],
        };
        call!(self, b"mxSmlGetDeviceInfo\0", (c_uint, *mut DeviceInfo), (index, &raw mut info))
            .then_some(())?;
        let mut dies = 0;
        let has_dies =
            call!(self, b"mxSmlGetDeviceDieCount\0", (c_uint, *mut c_uint), (index, &raw mut dies));
        let mode = match info.mode {
            0 => "native",
            1 => "pf",
            _ => "vf",
        };
        Some(Gpu {
            index,
            uuid: plain(&info.uuid),
            model: plain(&info.name),
            bdf: plain(&info.bdf),
            mode,
            bios_version: self.device_version(index, 0).unwrap_or_default(),
            driver_version: self.device_version(index, 1).unwrap_or_default(),
            dies: if has_dies { dies.clamp(1, 16) } else { 1 },
        })
    }

    fn device_version(&self, gpu: u32, unit: c_uint) -> Option<String> {
        let (mut text, mut size) = ([0 as c_char; 64], 64);
        let (text_at, size_at) = (text.as_mut_ptr(), &raw mut size);
        call!(
            self,
            b"mxSmlGetDeviceVersion\0",
            (c_uint, c_uint, *mut c_char, *mut c_uint),
            (gpu, unit, text_at, size_at)
        )
        .then(|| plain(&text))
    }

    /// The ways of the board's power.
    pub fn board_power(&self, gpu: u32) -> Option<Vec<BoardPower>> {
        let (mut ways, mut size) = ([BoardPower::default(); MAX_WAYS], MAX_WAYS as c_uint);
        let (at, size_at) = (ways.as_mut_ptr(), &raw mut size);
        call!(
            self,
            b"mxSmlGetBoardPowerInfo\0",
            (c_uint, *mut c_uint, *mut BoardPower),
            (gpu, size_at, at)
        )
        .then(|| taken(&ways, size))
    }

    /// The PCIe link.
    pub fn pcie_link(&self, gpu: u32) -> Option<LinkInfo> {
        let mut link = LinkInfo::default();
        call!(self, b"mxSmlGetPcieInfo\0", (c_uint, *mut LinkInfo), (gpu, &raw mut link))
            .then_some(link)
    }

    /// MB/s over PCIe.
    pub fn pcie_throughput(&self, gpu: u32) -> Option<Throughput> {
        let mut rate = Throughput::default();
        call!(self, b"mxSmlGetPcieThroughput\0", (c_uint, *mut Throughput), (gpu, &raw mut rate))
            .then_some(rate)
    }

    /// The MetaXLinks.
    pub fn links(&self, gpu: u32) -> Option<Vec<LinkInfo>> {
        let (mut links, mut size) = ([LinkInfo::default(); MAX_LINKS], MAX_LINKS as c_uint);
        let (at, size_at) = (links.as_mut_ptr(), &raw mut size);
        call!(
            self,
            b"mxSmlGetMetaXLinkInfo_v2\0",
            (c_uint, *mut c_uint, *mut LinkInfo),
            (gpu, size_at, at)
        )
        .then(|| taken(&links, size))
    }

    /// MB/s over each MetaXLink.
    pub fn link_throughput(&self, gpu: u32, way: LinkDirection) -> Option<Vec<Throughput>> {
        let (mut rates, mut size) = ([Throughput::default(); MAX_LINKS], MAX_LINKS as c_uint);
        let (at, size_at) = (rates.as_mut_ptr(), &raw mut size);
        call!(
            self,
            b"mxSmlGetMetaXLinkBandwidth\0",
            (c_uint, c_uint, *mut c_uint, *mut Throughput),
            (gpu, way as c_uint, size_at, at)
        )
        .then(|| taken(&rates, size))
    }

    /// Bytes over each MetaXLink.
    pub fn link_traffic(&self, gpu: u32, way: LinkDirection) -> Option<Vec<u64>> {
        let (mut traffic, mut size) = ([Traffic::default(); MAX_LINKS], MAX_LINKS as c_uint);
        let (at, size_at) = (traffic.as_mut_ptr(), &raw mut size);
        call!(
            self,
            b"mxSmlGetMetaXLinkTrafficStat\0",
            (c_uint, c_uint, *mut c_uint, *mut Traffic),
            (gpu, way as c_uint, size_at, at)
        )
        .then(|| taken(&traffic, size).iter().map(|link| positive(link.requested)).collect())
    }

    /// Errors of each MetaXLink.
    pub fn link_errors(&self, gpu: u32) -> Option<Vec<LinkErrors>> {
        let (mut errors, mut size) = ([LinkErrors::default(); MAX_LINKS], MAX_LINKS as c_uint);
        let (at, size_at) = (errors.as_mut_ptr(), &raw mut size);
        call!(
            self,
            b"mxSmlGetMetaXLinkAer\0",
            (c_uint, *mut c_uint, *mut LinkErrors),
            (gpu, size_at, at)
        )
        .then(|| taken(&errors, size))
    }

    /// 0 where the die works, else the vendor's code.
    pub fn status(&self, gpu: u32, die: u32) -> Option<i32> {
        let mut state = Unavailable { code: 0, reason: [0; 64] };
        call!(
            self,
            b"mxSmlGetDieUnavailableReason\0",
            (c_uint, c_uint, *mut Unavailable),
            (gpu, die, &raw mut state)
        )
        .then_some(state.code)
    }

    /// Degrees Celsius of the hottest place.
    pub fn temperature(&self, gpu: u32, die: u32) -> Option<f64> {
        let mut hundredths = 0;
        call!(
            self,
            b"mxSmlGetDieTemperatureInfo\0",
            (c_uint, c_uint, c_uint, *mut c_int),
            (gpu, die, 0, &raw mut hundredths)
        )
        .then(|| f64::from(hundredths) / 100.0)
    }

    /// Percent of the time that the part was busy.
    pub fn utilization(&self, gpu: u32, die: u32, ip: Ip) -> Option<i32> {
        let number = match ip {
            Ip::Encoder => 1,
            Ip::Decoder => 2,
            Ip::Xcore => 4,
            Ip::Memory => return None,
        };
        let mut percent = 0;
        call!(
            self,
            b"mxSmlGetDieIpUsage\0",
            (c_uint, c_uint, c_uint, *mut c_int),
            (gpu, die, number, &raw mut percent)
        )
        .then_some(percent)
    }

    /// Bytes of memory: all, and used.
    pub fn memory(&self, gpu: u32, die: u32) -> Option<[u64; 2]> {
        let mut memory = Memory::default();
        let bytes = |kilobytes: i64| positive(kilobytes).saturating_mul(1024);
        call!(
            self,
            b"mxSmlGetDieMemoryInfo\0",
            (c_uint, c_uint, *mut Memory),
            (gpu, die, &raw mut memory)
        )
        .then(|| [bytes(memory.total), bytes(memory.used)])
    }

    /// MHz of the part, the fastest where it has several clocks.
    pub fn clock(&self, gpu: u32, die: u32, ip: Ip) -> Option<u32> {
        let number = match ip {
            Ip::Encoder => 5,
            Ip::Decoder => 6,
            Ip::Xcore => 11,
            Ip::Memory => 3,
        };
        let (mut clocks, mut size) = ([0; MAX_CLOCKS], MAX_CLOCKS as c_uint);
        let (at, size_at) = (clocks.as_mut_ptr(), &raw mut size);
        let is_known = call!(
            self,
            b"mxSmlGetDieClocks\0",
            (c_uint, c_uint, c_uint, *mut c_uint, *mut c_uint),
            (gpu, die, number, size_at, at)
        );
        is_known.then(|| taken(&clocks, size)).and_then(|clocks| clocks.into_iter().max())
    }

    /// Bits of [`THROTTLE_REASONS`].
    pub fn throttle_reasons(&self, gpu: u32, die: u32) -> Option<u64> {
        let mut bits = 0;
        call!(
            self,
            b"mxSmlGetDieCurrentClocksThrottleReason\0",
            (c_uint, c_uint, *mut c_ulonglong),
            (gpu, die, &raw mut bits)
        )
        .then_some(bits)
    }

    /// The level of the compute cores' power management.
    pub fn performance_level(&self, gpu: u32, die: u32) -> Option<u32> {
        let mut level = 0;
        call!(
            self,
            b"mxSmlGetCurrentDieDpmIpPerfLevel\0",
            (c_uint, c_uint, c_uint, *mut c_uint),
            (gpu, die, 1, &raw mut level)
        )
        .then_some(level)
    }

    /// Errors of the memories.
    pub fn ecc(&self, gpu: u32, die: u32) -> Option<Ecc> {
        let mut ecc = Ecc::default();
        call!(
            self,
            b"mxSmlGetDieTotalEccErrors\0",
            (c_uint, c_uint, *mut Ecc),
            (gpu, die, &raw mut ecc)
        )
        .then_some(ecc)
    }
}

/// As many as the library says it has written, and there can be.
fn taken<T: Copy>(all: &[T], size: c_uint) -> Vec<T> {
    all[..all.len().min(size as usize)].to_vec()
}

fn positive(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The text up to its end; what is no UTF-8 is replaced.
fn plain(text: &[c_char]) -> String {
    let bytes: Vec<u8> =
        text.iter().map(|letter| letter.cast_unsigned()).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
