// SPDX-License-Identifier: Apache-2.0
//! Errors of processors and of PCI Express devices.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::kernel::Setting;
use super::{modprobe, monitor};

/// A memory read that was corrected (Intel SDM volume 3, 16.9: valid, enabled, with an address).
const CORRECTED: &str = "0x9400000000000151";

/// An uncorrected error of a PCI Express device of the guest, by the name that QEMU has for it, e.g.
/// `COMP_TIME` (hw/pci/pcie_aer.c). `pcie0` is a device with error reporting, `port0` the port that
/// it is behind; Linux 5.10 has only ports report theirs. QEMU delivers no corrected ones:
/// [`super::firmware::Error::Pcie`] is one.
pub fn aer_by_monitor(device: &str, error: &str) -> Result<()> {
    monitor(&format!("pcie_aer_inject_error {device} {error}")).map(drop)
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
    modprobe("mce-inject")?;
    let folder = Path::new("/sys/kernel/debug/mce-inject");
    // Writing the bank injects it.
    for (file, text) in [("flags", "sw"), ("cpu", "0"), ("status", status), ("bank", "4")] {
        fs::write(folder.join(file), format!("{text}\n")).with_context(|| file.to_owned())?;
    }
    Ok(())
}
