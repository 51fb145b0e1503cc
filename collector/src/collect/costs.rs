// SPDX-License-Identifier: Apache-2.0
//! What the probes cost the machine, and what they could not tell.

/// CPU time of one BPF program.
#[derive(Debug, Clone, PartialEq)]
pub struct ProgramCost {
    /// Its name.
    pub program: String,
    /// Seconds spent in it while the kernel's BPF statistics were on.
    pub seconds: f64,
    /// Times it ran meanwhile.
    pub runs: u64,
}

/// Events of one probe that happened and were not recorded. Counts since the probe's first start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lost {
    /// The probe.
    pub probe: &'static str,
    /// Came too quickly.
    pub rate_limited: u64,
    /// The kernel had no room for it.
    pub ring_full: u64,
    /// The agent was behind.
    pub queue_full: u64,
    /// Not what the agent expects.
    pub malformed: u64,
}

/// All costs and losses at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Costs {
    /// One per BPF program.
    pub programs: Vec<ProgramCost>,
    /// One per probe with events.
    pub lost: Vec<Lost>,
    /// Series in the last snapshot.
    pub series: u64,
}
