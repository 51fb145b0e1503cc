// SPDX-License-Identifier: Apache-2.0
//! Probes of the area `network`.

pub mod netdev;
