// SPDX-License-Identifier: Apache-2.0
//! BPF programs of a running agent, run without what they are attached to (`BPF_PROG_TEST_RUN`): as
//! if the kernel had told them of something that cannot be made to happen, or not as often.

use anyhow::{Context, Result, ensure};
use aya::maps::Array;
use aya::programs::{RawTracePoint, loaded_programs};
use aya::{Ebpf, EbpfLoader, RawTracePointRunOptions, TestRun};

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

/// A text in the kernel's memory, for programs that are handed one.
pub struct KernelText {
    /// Where it is.
    pub address: u64,
    /// Its bytes.
    pub length: u64,
    _kept: Ebpf,
}

/// Room for a text and its NUL (`bpf/text.bpf.c`).
const TEXT: usize = 128;

impl KernelText {
    /// Puts it there.
    pub fn of(text: &str) -> Result<Self> {
        ensure!(text.len() < TEXT, "{text:?} is too long");
        let mut room = [0; TEXT];
        room[..text.len()].copy_from_slice(text.as_bytes());
        let compiled = compiled("text")?;
        let mut object = EbpfLoader::new().override_global("text", &room, true).load(&compiled)?;
        let program: &mut RawTracePoint = object.program_mut("find").context("find")?.try_into()?;
        program.load()?;
        program.test_run(RawTracePointRunOptions::new())?;
        let found: Array<_, u64> = object.map(".bss").context(".bss")?.try_into()?;
        let address = found.get(&0, 0)?;
        ensure!(address != 0, "the text has no address");
        Ok(Self { address, length: text.len() as u64, _kept: object })
    }

    /// What the kernel's watchdog prints of a soft lockup.
    pub fn of_soft_lockup() -> Result<Self> {
        Self::of("watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [bench:1]")
    }
}
