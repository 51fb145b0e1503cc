// SPDX-License-Identifier: Apache-2.0
//! Types of the running kernel: distributions build them, and so may who builds a module.
#![no_main]

use huatuo_otel::bpf::{Enumeration, members};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    members(bytes, Enumeration::Named("skb_drop_reason"));
    members(bytes, Enumeration::With("TCP_MIB_ACTIVEOPENS"));
});
