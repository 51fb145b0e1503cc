// SPDX-License-Identifier: Apache-2.0
//! Probes of the area `gpu`. Their metrics are those of hardware, whoever made it.

pub mod metax;
pub mod nvidia;
