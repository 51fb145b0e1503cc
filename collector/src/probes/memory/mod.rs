// SPDX-License-Identifier: Apache-2.0
//! Probes of the area `memory`.

pub mod buddyinfo;
pub mod cgroup;
pub mod events;
pub mod meminfo;
pub mod oom;
pub mod reclaim;
pub mod stall;
pub mod vmstat;
