// SPDX-License-Identifier: Apache-2.0
//! Management libraries of GPUs, loaded when they are there.

mod metax;

pub use metax::{
    BoardPower, Ecc, Gpu, Ip, LinkDirection, LinkErrors, LinkInfo, Metax, MetaxError,
    THROTTLE_REASONS, Throughput,
};
