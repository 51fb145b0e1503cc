// SPDX-License-Identifier: Apache-2.0
//! Files of the kernel, whose shape differs between versions and architectures.
#![no_main]

use huatuo_otel::hostfs::{bonding, mounts, parse};
use huatuo_otel::kernel::{Symbols, interrupted, log_message};
use libfuzzer_sys::fuzz_target;

/// Addresses in functions of the seed.
const FRAMES: [u64; 4] = [0xffff_ffff_c000_00a0, 0xffff_ffff_8100_0210, 0x1234, u64::MAX];

fuzz_target!(|text: &str| {
    bonding::bond(text);
    parse::fields(text).for_each(drop);
    parse::interfaces(text).for_each(drop);
    parse::load_averages(text);
    parse::cpu_ticks(text);
    parse::online_cpus(text);
    parse::cpu_list(text);
    parse::buddy_zones(text).for_each(|zone| zone.blocks().for_each(drop));
    parse::stalls(text).for_each(drop);
    parse::neighbors(text);
    parse::neighbor_table(text);
    parse::protocols(text).for_each(drop);
    parse::sockets(text).for_each(drop);
    parse::memory(text).for_each(drop);
    parse::disks(text).for_each(drop);
    mounts::mounts(text).for_each(drop);
    mounts::controller(text, "memory");
    log_message(text.as_bytes());
    interrupted(text);
    if let Ok(symbols) = Symbols::read(text.as_bytes()) {
        symbols.trace(&FRAMES);
    }
});
