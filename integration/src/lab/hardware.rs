// SPDX-License-Identifier: Apache-2.0
//! Errors of processors and of PCI Express devices.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::kernel::Setting;
use super::{modprobe, monitor};

/// A memory read that was corrected (Intel SDM volume 3, 16.9: valid, enabled, with an address).
const CORRECTED: &str = "0x9400000000000151";

/// An uncorrected error of a PCI Express device of the guest, by the name that QEMU has for it, e.g.
/// `COMP_TIME` (hw/pci/pcie_aer.c); words of a packet's header may follow, which the device keeps of
/// its last error. `pcie0` is a device with error reporting, `port0` the port that it is behind; Linux
/// 5.10 has only ports report theirs. QEMU delivers no corrected ones: [`super::firmware::Error::Pcie`]
/// is one.
pub fn aer_by_monitor(device: &str, error: &str) -> Result<()> {
    monitor(&format!("pcie_aer_inject_error {device} {error}")).map(drop)
}

/// Device with error reporting.
pub const DEVICE: &str = "0000:01:00.0";

/// The port of [`DEVICE`] with its reports to the kernel held back: errors pile up, and it reports
/// them at once when this is dropped.
pub struct HeldReports {
    /// Its address.
    pub port: String,
    config: File,
    at: u64,
    before: [u8; 4],
}

/// The capability of error reporting, and offsets of registers in it (PCI Express Base Specification,
/// 7.8.4).
const ERROR_REPORTING: u32 = 1;
const UNCORRECTABLE_ERROR_STATUS: u64 = 4;
const ROOT_ERROR_COMMAND: u64 = 0x2c;

impl HeldReports {
    /// Holds them back from now on. Errors before that the kernel has left in place are gone.
    pub fn new() -> Result<Self> {
        let device = fs::canonicalize(Path::new("/sys/bus/pci/devices").join(DEVICE))?;
        let port = device.parent().context("a device without a port")?;
        let name = port.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let config = OpenOptions::new().read(true).write(true).open(port.join("config"))?;
        let reporting = capability(&config, ERROR_REPORTING)?;
        // Writing a bit clears it.
        config.write_all_at(&[0xff; 4], reporting + UNCORRECTABLE_ERROR_STATUS)?;
        let at = reporting + ROOT_ERROR_COMMAND;
        let mut before = [0; 4];
        config.read_exact_at(&mut before, at)?;
        config.write_all_at(&[0; 4], at)?;
        Ok(Self { port: name, config, at, before })
    }
}

impl Drop for HeldReports {
    fn drop(&mut self) {
        let _ = self.config.write_all_at(&self.before, self.at);
    }
}

/// Where an extended capability begins: each tells its id, and where the next one is.
fn capability(config: &File, id: u32) -> Result<u64> {
    let mut at = 0x100;
    while at != 0 {
        let mut head = [0; 4];
        config.read_exact_at(&mut head, at)?;
        let head = u32::from_le_bytes(head);
        if head & 0xffff == id {
            return Ok(at);
        }
        at = (head >> 20).into();
    }
    bail!("no capability {id}")
}

/// A corrected error in bank 3 of the second processor, put there by QEMU. The kernel looks for those
/// every second until what this returns is dropped.
pub fn mce_by_monitor() -> Result<Setting> {
    let interval = "/sys/devices/system/machinecheck/machinecheck0/check_interval";
    let often = Setting::new(interval, "1")?;
    monitor(&format!("mce 1 3 {CORRECTED} 0 0x12345000 0x8c"))?;
    Ok(often)
}

/// The same in bank 4 of the first processor, by the kernel's module `mce-inject`.
pub fn mce_by_software() -> Result<()> {
    machine_check(CORRECTED)
}

/// A machine check of bank 4 of the first processor with this status, by the kernel's module
/// `mce-inject`: only software sees it.
pub fn machine_check(status: &str) -> Result<()> {
    inject("sw", status)
}

/// The interrupt of the first processor that corrected errors are over their threshold, by the
/// kernel's module `mce-inject`.
pub fn threshold_by_software() -> Result<()> {
    inject("th", "0")?;
    // It leaves an error in the bank, which the kernel would find when it looks, each 300 s.
    modprobe("msr")?;
    let registers = OpenOptions::new().write(true).open("/dev/cpu/0/msr")?;
    Ok(registers.write_all_at(&[0; 8], BANK_4_STATUS)?)
}

/// The register `IA32_MC4_STATUS` (Intel SDM volume 4).
const BANK_4_STATUS: u64 = 0x411;

fn inject(flags: &str, status: &str) -> Result<()> {
    modprobe("mce-inject")?;
    let folder = Path::new("/sys/kernel/debug/mce-inject");
    // Writing the bank injects it.
    for (file, text) in [("flags", flags), ("cpu", "0"), ("status", status), ("bank", "4")] {
        fs::write(folder.join(file), format!("{text}\n")).with_context(|| file.to_owned())?;
    }
    Ok(())
}
