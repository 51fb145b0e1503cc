// SPDX-License-Identifier: Apache-2.0
//! Files of the kernel, whose shape differs between versions and architectures.
#![no_main]

use huatuo_otel::hostfs::{bonding, mounts, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    bonding::bond(text);
    parse::fields(text).for_each(drop);
    parse::interfaces(text).for_each(drop);
    parse::load_averages(text);
    parse::cpu_ticks(text);
    parse::online_cpus(text);
    parse::buddy_zones(text).for_each(|zone| zone.blocks().for_each(drop));
    parse::stalls(text).for_each(drop);
    parse::neighbors(text);
    parse::neighbor_table(text);
    parse::protocols(text).for_each(drop);
    parse::sockets(text).for_each(drop);
    parse::memory(text).for_each(drop);
    parse::disks(text).for_each(drop);
    mounts::mounts(text).for_each(drop);
});
