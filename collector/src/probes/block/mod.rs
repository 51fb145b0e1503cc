// SPDX-License-Identifier: Apache-2.0
//! Probes of the area `block`.

pub mod disk;
pub mod latency;
