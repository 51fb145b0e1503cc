// SPDX-License-Identifier: Apache-2.0
//! The only module that knows aya: loading, attaching, maps and the ring buffer.
//!
//! A probe says what it wants ([`Plan`]); [`Object::load`] tries it hook by hook and returns what
//! became of each ([`HookVerdict`]). One missing hook never takes a probe down.

mod attach;
mod enumeration;
mod map;
mod object;
mod ring;
mod stats;

pub use attach::{Hook, HookState, HookVerdict, Twin, Way};
pub use enumeration::{Enumeration, Members, members};
pub use map::{Cell, CgroupTable, Keys, MapError, PerCpuTotal, Record, Table, possible_cpus};
pub use object::{Global, KernelTypes, LoadError, Object, Plan, WalkError};
pub use ring::RingSource;
pub use stats::{ProgramSize, ProgramStats, RunStats, StatsSwitch};
