// SPDX-License-Identifier: Apache-2.0
//! Probes of the area `memory`.

pub mod oom;
pub mod vmstat;
