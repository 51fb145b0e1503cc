// SPDX-License-Identifier: Apache-2.0
//! BPF programs of a running agent, run without what they are attached to (`BPF_PROG_TEST_RUN`): as
//! if the kernel had told them of something that cannot be made to happen, or not as often.

use anyhow::{Context, Result, ensure};
use aya::maps::Array;
use aya::programs::{RawTracePoint, loaded_programs};
use aya::{Ebpf, RawTracePointRunOptions, TestRun};

use crate::bpf::{compiled, ids};

/// A kernel's name of a program ends after so many bytes.
const NAME: usize = 15;

/// A program of a raw tracepoint.
pub struct Program(RawTracePoint);

impl Program {
    /// The one of this name that a process has loaded.
    pub fn of(pid: u32, name: &str) -> Result<Self> {
        let ids = ids(pid, "prog_id:")?;
        let shown = &name.as_bytes()[..name.len().min(NAME)];
        let mut all = loaded_programs().filter_map(Result::ok);
        let found = all.find(|info| ids.contains(&info.id().to_string()) && info.name() == shown);
        let info = found.with_context(|| format!("process {pid} has no program {name}"))?;
        Ok(Self(RawTracePoint::from_program_info(info, name.to_owned().into())?))
    }

    /// Runs it with the arguments of its tracepoint; those that are left out are 0, which are pointers
    /// to nothing: what programs read there is 0.
    pub fn run(&self, args: &[u64]) -> Result<()> {
        let mut options = RawTracePointRunOptions::new();
        options.args[..args.len()].copy_from_slice(args);
        self.0.test_run(options)?;
        Ok(())
    }
}

/// What the kernel's watchdog prints of a soft lockup, in the kernel's memory.
pub struct SoftLockupText {
    /// Where it is.
    pub address: u64,
    /// Its bytes.
    pub length: u64,
    _kept: Ebpf,
}

impl SoftLockupText {
    /// Puts it there.
    pub fn new() -> Result<Self> {
        let mut object = Ebpf::load(&compiled("text")?)?;
        let program: &mut RawTracePoint = object.program_mut("find").context("find")?.try_into()?;
        program.load()?;
        program.test_run(RawTracePointRunOptions::new())?;
        let found: Array<_, [u64; 2]> = object.map(".bss").context(".bss")?.try_into()?;
        let [address, length] = found.get(&0, 0)?;
        ensure!(address != 0, "the text has no address");
        Ok(Self { address, length, _kept: object })
    }
}
