// SPDX-License-Identifier: Apache-2.0
//! Boots a kernel in QEMU, by software emulation: hardware virtualisation is not everywhere.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow, bail};
use integration::{installed, root};

use super::kernel::Kernel;
use super::monitor;
use super::qemu::Files;

/// How long a guest may say nothing. The slowest test takes some five minutes in emulation.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long until the lab looks whether the emulator holds it.
const LOOK: Duration = Duration::from_secs(60);

/// What a guest left.
pub struct Run {
    /// What it printed.
    pub output: String,
    /// What it wrote to `/out/check.json`.
    pub check: String,
    /// The emulator killed it before it was done.
    pub is_cut_short: bool,
}

/// Runs `script` on the kernel; what it prints is printed as it comes.
pub fn run(kernel: &Kernel, script: &str) -> Result<Run> {
    let folder = tempfile::tempdir()?;
    let files = Arc::new(Files::new(folder.path(), kernel, script)?);
    // Ends with the lab, however that ends.
    let mut qemu = Command::new(installed("setpriv")?)
        .args(["--pdeathsig", "KILL"])
        .arg(installed("qemu-system-x86_64")?)
        .args(files.arguments(kernel))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(files.complaints())?)
        .spawn()?;
    let pieces = pieces(qemu.stdout.take().context("no pipe")?);
    let for_guest = Arc::clone(&files);
    // It ends with QEMU, whose end is judged below.
    std::thread::spawn(move || monitor::serve(&for_guest));
    let (mut output, mut silent) = (String::new(), Duration::ZERO);
    let stood_still = loop {
        match pieces.recv_timeout(LOOK) {
            Ok(piece) => {
                silent = Duration::ZERO;
                let text = String::from_utf8_lossy(&piece).replace('\r', "");
                print!("{text}");
                stdout().flush()?;
                output.push_str(&text);
            }
            Err(RecvTimeoutError::Disconnected) => break None,
            Err(RecvTimeoutError::Timeout) => {
                silent += LOOK;
                let registers = monitor::registers(&files)
                    .unwrap_or_else(|error| format!("no answer: {error:#}"));
                if silent >= PATIENCE || is_at_breakpoint(&output, &registers) {
                    stands_still(&mut qemu, &files, silent)?;
                    break Some(registers);
                }
            }
        }
    };
    if stood_still.is_none() && !qemu.wait()?.success() {
        bail!("QEMU: {}", fs::read_to_string(files.complaints())?);
    }
    let kept = keep(&files, kernel, &output)?;
    let is_cut_short = !output.contains("guest: done");
    let console = console(&files);
    let registers = stood_still.unwrap_or_default();
    fs::write(kept.join("registers"), &registers)?;
    if is_cut_short && !is_emulators(&output, &console, &registers) {
        return Err(failed(&output, &console, &registers, &kept));
    }
    let check = fs::read_to_string(files.out().join("check.json")).unwrap_or_default();
    Ok(Run { output, check, is_cut_short })
}

/// The kernel patches its own code while it runs, e.g. to attach a program: a breakpoint, the rest of
/// the new code, its first byte. The emulator may keep what it translated in between, and its CPU runs
/// into a breakpoint that is not there any more. Newer kernels die of it; older ones return to where it
/// was, for ever. It happens before the first program of ours, too.
fn is_emulators(output: &str, console: &str, registers: &str) -> bool {
    is_at_breakpoint(output, registers)
        || ["int3: 0000", "RIP: 0010:asm_exc_int3"].iter().any(|sign| console.contains(sign))
}

/// A CPU was seen more than once at the handler of breakpoints, which the guest has told the place of.
fn is_at_breakpoint(output: &str, registers: &str) -> bool {
    let address = output.lines().find_map(|line| line.strip_suffix(" T asm_exc_int3"));
    let address = address.and_then(|line| line.strip_prefix("guest: "));
    address.is_some_and(|at| registers.matches(&format!("RIP={at} ")).count() > 1)
}

fn failed(output: &str, console: &str, registers: &str, kept: &Path) -> Error {
    let (said, console) = (output.lines().last().unwrap_or_default(), tail(console));
    let what = if registers.is_empty() { "died" } else { "stood still" };
    let cpus: BTreeSet<&str> =
        registers.split_whitespace().filter(|word| word.starts_with("RIP=")).collect();
    anyhow!(
        "the guest {what} after {said:?}\nCPUs: {}\n{} has the registers, the output and the \
         console, with what every task did; the console ends with: {console}",
        cpus.into_iter().collect::<Vec<_>>().join(" "),
        kept.display(),
    )
}

/// Output as it comes: the name of a test is there before it ends, without the end of its line.
fn pieces(mut pipe: ChildStdout) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut room = vec![0; 1 << 16];
        while let Ok(length) = pipe.read(&mut room) {
            if length == 0 || sender.send(room[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Ends a guest that stands still, after it has told why.
fn stands_still(qemu: &mut Child, files: &Files, silent: Duration) -> Result<()> {
    println!("\nlab: nothing for {} s; asks the guest what it does", silent.as_secs());
    if let Err(error) = monitor::print_tasks(files) {
        println!("lab: no answer: {error:#}");
    }
    qemu.kill()?;
    qemu.wait()?;
    Ok(())
}

/// Where the console and the output of a run are kept, until the next one on this kernel.
fn keep(files: &Files, kernel: &Kernel, output: &str) -> Result<PathBuf> {
    let folder = root().join("target/lab").join(&kernel.release);
    fs::create_dir_all(&folder)?;
    fs::copy(files.console(), folder.join("console"))?;
    fs::write(folder.join("output"), output)?;
    Ok(folder)
}

fn console(files: &Files) -> String {
    String::from_utf8_lossy(&fs::read(files.console()).unwrap_or_default()).into_owned()
}

fn tail(console: &str) -> String {
    let lines: Vec<&str> = console.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}
