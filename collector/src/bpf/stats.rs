// SPDX-License-Identifier: Apache-2.0
//! What our programs cost the machine.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use aya::Ebpf;
use aya::programs::{Program, ProgramFd};
use aya::sys::{Stats, enable_stats};
use serde::Serialize;

use super::attach::telling_lines;

/// Keeps the kernel's BPF statistics on (`BPF_ENABLE_STATS`, Linux 5.8); off again when dropped.
/// Costs every BPF program of the host two clock readings a run.
pub struct StatsSwitch(#[expect(dead_code, reason = "held, not read")] OwnedFd);

impl StatsSwitch {
    /// Turns them on. Needs CAP_SYS_ADMIN.
    pub fn on() -> Result<Self, String> {
        enable_stats(Stats::RunTime)
            .map(Self)
            .map_err(|error| telling_lines(&format!("{error}: {}", error.io_error)))
    }
}

/// How much of a program there is, to the kernel that loaded it.
#[derive(Debug, Clone, Serialize)]
pub struct ProgramSize {
    /// Its name in the object.
    pub program: &'static str,
    /// Instructions as the verifier left them; instructions of 16 bytes count twice.
    pub instructions: u32,
    /// Steps that the verifier took; since Linux 5.16.
    pub verified_instructions: Option<u32>,
}

impl ProgramSize {
    /// `None` for one that is not loaded. Source: `struct bpf_prog_info` (include/uapi/linux/bpf.h).
    pub(super) fn of(name: &'static str, program: &Program) -> Option<Self> {
        let info = program.info().ok()?;
        Some(Self {
            program: name,
            instructions: info.size_translated()? / 8,
            verified_instructions: info.verified_instruction_count(),
        })
    }
}

/// The loaded programs of one object.
pub struct ProgramStats {
    programs: Vec<(String, ProgramFd)>,
}

/// The kernel's counters of one program. Both stand still while the statistics are off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunStats {
    /// Nanoseconds spent in it.
    pub time_ns: u64,
    /// Times it ran.
    pub count: u64,
}

impl ProgramStats {
    pub(super) fn of(ebpf: &Ebpf) -> Self {
        let loaded = |(name, program): (&str, &Program)| {
            let fd = program.fd().ok()?.try_clone().ok()?;
            Some((name.to_owned(), fd))
        };
        Self { programs: ebpf.programs().filter_map(loaded).collect() }
    }

    /// The counters of each program, by name. Source: `/proc/self/fdinfo`
    /// (`bpf_prog_show_fdinfo`, kernel/bpf/syscall.c).
    pub fn read(&self) -> Vec<(&str, RunStats)> {
        let mut stats = Vec::with_capacity(self.programs.len());
        for (name, fd) in &self.programs {
            let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
            if let Ok(text) = fs::read_to_string(path) {
                stats.push((name.as_str(), parse(&text)));
            }
        }
        stats
    }
}

fn parse(fdinfo: &str) -> RunStats {
    let field = |name: &str| {
        let line = fdinfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
    };
    RunStats { time_ns: field("run_time_ns"), count: field("run_cnt") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_run_time_and_count_and_takes_missing_fields_for_zero() {
        let text = "prog_type:\t26\nrun_time_ns:\t1200\nrun_cnt:\t40\nrecursion_misses:\t0\n";
        assert_eq!(parse(text), RunStats { time_ns: 1200, count: 40 });
        assert_eq!(parse("prog_type:\t26\n"), RunStats::default());
    }
}
