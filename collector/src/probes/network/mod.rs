// SPDX-License-Identifier: Apache-2.0
//! Probes of the area `network`.

pub mod neighbor;
pub mod netdev;
pub mod netstat;
pub mod sockstat;
