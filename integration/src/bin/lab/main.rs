// SPDX-License-Identifier: Apache-2.0
//! The lab: `make lab KERNEL=6.1 TEST="containers engines networks"` runs tests of this crate on a
//! Debian kernel that is booted in QEMU. The guest's root is this machine's, read-only under a
//! memory overlay, so that the binaries built here run there. Needs root, for its own folders only.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it tells what it does")]

mod boot;
mod image;
mod kernel;
mod tests;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// For all tests of one run; emulation is some twenty times slower than the machine.
const PATIENCE: Duration = Duration::from_secs(1500);

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let version = args.next().context("usage: lab KERNEL TEST...")?;
    let names: Vec<String> = args.collect();
    ensure!(!names.is_empty(), "usage: lab KERNEL TEST...");
    let begin = Instant::now();
    let kernel = kernel::fetched(&version)?;
    let binaries = tests::built(&names)?;
    println!("lab: {} is there after {:.0} s", kernel.release, begin.elapsed().as_secs_f64());
    let begin = Instant::now();
    let output = boot::run(&kernel, &tests::script(&binaries), PATIENCE)?;
    println!("lab: {} ran for {:.0} s", kernel.release, begin.elapsed().as_secs_f64());
    tests::judge(&output, binaries.len())
}
