// SPDX-License-Identifier: Apache-2.0
//! Records that the kernel hands out: of ring buffers and netlink sockets. Decoders keep what they
//! have learned from one record to the next.
#![no_main]

use std::cell::RefCell;
use std::sync::LazyLock;

use huatuo_otel::config::Config;
use huatuo_otel::entity::Entities;
use huatuo_otel::hostfs::HostFs;
use huatuo_otel::kernel::{KernelSupport, Symbols};
use huatuo_otel::probes::{Decode, DecodeContext, KnownIssues, PROBES, StartContext};
use libfuzzer_sys::fuzz_target;

/// A machine without cgroups.
static NOBODY: LazyLock<Entities> =
    LazyLock::new(|| Entities::discover(&Config::default(), &HostFs::new("/nowhere")));
static SYMBOLS: LazyLock<Symbols> = LazyLock::new(Symbols::default);
static ISSUES: LazyLock<KnownIssues> = LazyLock::new(KnownIssues::default);

thread_local! {
    static DECODERS: RefCell<Vec<Box<dyn Decode>>> = RefCell::new(decoders());
}

fn decoders() -> Vec<Box<dyn Decode>> {
    let (config, fs) = (Config::default(), HostFs::new("/nowhere"));
    let support = KernelSupport::gather(&fs);
    let cx = StartContext { config: &config, fs: &fs, support: &support, types: None };
    PROBES.iter().filter_map(|def| def.decoder).map(|decoder| decoder(&cx)).collect()
}

fuzz_target!(|bytes: &[u8]| {
    DECODERS.with_borrow_mut(|decoders| {
        for decoder in decoders {
            let mut cx = DecodeContext::new(&NOBODY, &SYMBOLS, &ISSUES);
            let _ = decoder.decode(bytes, &mut cx);
        }
    });
});
