// SPDX-License-Identifier: Apache-2.0
//! For tests that run in the lab's guest (docs/lab.md): its hardware, and faults of it. What a fault
//! changes is as before when its value is dropped.

mod clock;
mod disk;
pub mod firmware;
mod hardware;
mod kernel;
mod network;
mod overrun;

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value as Json;

pub use clock::ClockStep;
pub use disk::{
    HungTask, NullDisk, NvmeDisk, Partition, Scratch, SlowDisk, Throttled, scratch_disk,
};
pub use hardware::{
    DEVICE, HeldReports, aer_by_monitor, machine_check, mce_by_monitor, mce_by_software,
    threshold_by_software,
};
pub use kernel::{KernelLog, Setting, Trace};
pub use network::{Nic, SoftRoce, TransmitHang};
pub use overrun::Overrun;

/// Whether this is the lab: what can only be there has to be.
pub fn in_lab() -> bool {
    std::env::var_os("HUATUO_LAB").is_some()
}

/// Prints why a test cannot run here, and that the lab can; whether it cannot.
#[allow(clippy::print_stdout, reason = "the reader of a test's output has to know")]
pub fn is_elsewhere(test: &str, needs: &str) -> bool {
    if !in_lab() {
        println!("not here: needs {needs}; `make lab TEST={test}` has it");
    }
    !in_lab()
}

/// Asks QEMU's monitor for something that the lab allows; what it answers, which is nothing for most.
pub fn monitor(command: &str) -> Result<String> {
    let mut line = OpenOptions::new().read(true).write(true).open("/dev/ttyS2")?;
    writeln!(line, "{command}")?;
    let mut answer = String::new();
    BufReader::new(line).read_line(&mut answer)?;
    ensure!(!answer.is_empty(), "the lab does not answer to {command}");
    let answer: Json = serde_json::from_str(&answer).with_context(|| answer.clone())?;
    if let Some(error) = answer["error"].as_str() {
        bail!("{command}: {error}");
    }
    let answer = answer["answer"].as_str().unwrap_or_default();
    ensure!(!answer.contains("rror:"), "{command}: {answer}");
    Ok(answer.to_owned())
}

/// Loads a module of the kernel; parameters follow its name.
pub fn modprobe(module: &str) -> Result<()> {
    shell(&format!("modprobe {module}")).map(drop)
}

/// What a command of the shell prints; an error where it fails.
fn shell(script: &str) -> Result<String> {
    let output = Command::new("sh").args(["-c", script]).output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{script}: {}", complaint.trim());
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
