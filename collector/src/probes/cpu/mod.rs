// SPDX-License-Identifier: Apache-2.0
//! Probes of the area `cpu`.

pub mod cgroup;
pub mod loadavg;
pub mod runqlat;
pub mod utilization;
