// SPDX-License-Identifier: Apache-2.0
//! Probes of the area `system`: what is of no area of its own.

mod backtraces;
mod blocked;
mod found;
pub mod hung_task;
pub mod kernel;
pub mod mounts;
pub mod pressure;
pub mod ras;
pub mod softlockup;
pub mod tasks;

pub use backtraces::LockupConfig;
