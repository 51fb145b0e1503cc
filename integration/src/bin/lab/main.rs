// SPDX-License-Identifier: Apache-2.0
//! The lab: `make lab KERNEL=6.1 TEST="containers engines networks"` compares what the agent finds
//! on a Debian kernel that is booted in QEMU with what is expected, and runs tests of this crate on
//! it. The guest's root is this machine's, read-only under a memory overlay, so that the binaries
//! built here run there. Needs root, for its own folders only. See docs/lab.md.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it tells what it does")]

mod boot;
mod expected;
mod image;
mod kernel;
mod monitor;
mod qemu;
mod tests;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use kernel::Kernel;
use tests::Test;

/// Guests of one run, one after the other.
const BOOTS: usize = 4;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let version = args.next().context("usage: lab KERNEL [TEST...]")?;
    let names: Vec<String> = args.collect();
    let begin = Instant::now();
    let kernel = kernel::fetched(&version)?;
    let folder = tempfile::tempdir()?;
    let agent = tests::agent(folder.path())?;
    let programs = tests::built(&names, folder.path())?;
    println!("lab: {} is there after {:.0} s", kernel.release, begin.elapsed().as_secs_f64());
    let begin = Instant::now();
    let (output, check) = all(&kernel, &agent, &programs)?;
    println!("lab: {} ran for {:.0} s", kernel.release, begin.elapsed().as_secs_f64());
    let as_expected = expected::judge(&version, &check);
    tests::judge(&output, &programs)?;
    as_expected
}

/// What guests printed until all tests came to their ends, and what the agent's check said. Where the
/// emulator kills a guest, the next begins with the test that was cut short; a test that failed runs
/// once more in a new guest, as emulation has no sense of time.
fn all(kernel: &Kernel, agent: &Path, programs: &[Test]) -> Result<(String, String)> {
    let mut output = String::new();
    for _ in 0..BOOTS {
        let run = boot::run(kernel, &tests::script(agent, &tests::left(&output, programs)))?;
        output.push_str(&run.output);
        let left = tests::left(&output, programs);
        if !run.is_cut_short && left.is_empty() {
            return Ok((output, run.check));
        }
        let why = if run.is_cut_short { "the emulator killed it" } else { "a test failed" };
        println!("\nlab: {}: {why}; boots another for {} tests", kernel.release, left.len());
    }
    bail!("{BOOTS} guests were not enough; target/lab/{} has the last", kernel.release)
}
