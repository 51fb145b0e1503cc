// SPDX-License-Identifier: Apache-2.0
//! Probes of the area `system`: what is of no area of its own.

pub mod kernel;
pub mod mounts;
pub mod pressure;
pub mod ras;
pub mod tasks;
