// SPDX-License-Identifier: Apache-2.0
//! Payloads of netlink answers, and what drivers answer: drivers and queueing disciplines fill them.
#![no_main]

use huatuo_otel::netlink::{device, frames, link, root_queue, statistic_names, statistic_values};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    root_queue(bytes);
    frames(bytes);
    link(bytes);
    device(bytes);
    statistic_names(bytes).for_each(drop);
    statistic_values(bytes).for_each(drop);
});
