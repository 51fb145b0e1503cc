// SPDX-License-Identifier: Apache-2.0
//! Probes of the area `memory`.

pub mod cgroup;
pub mod oom;
pub mod vmstat;
