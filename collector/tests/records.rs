// SPDX-License-Identifier: Apache-2.0
//! Records of any bytes cost themselves only: what the fuzz target does for longer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use huatuo_otel::config::Config;
use huatuo_otel::entity::Entities;
use huatuo_otel::hostfs::HostFs;
use huatuo_otel::kernel::{KernelSupport, Symbols};
use huatuo_otel::probes::{DecodeContext, KnownIssues, PROBES, StartContext};

#[test]
fn no_record_makes_a_decoder_panic() {
    let (config, fs) = (Config::default(), HostFs::new("/nowhere"));
    let entities = Entities::discover(&config, &fs);
    let (symbols, issues) = (Symbols::default(), KnownIssues::default());
    let support = KernelSupport::gather(&fs);
    let start = StartContext { config: &config, fs: &fs, support: &support, types: None };
    let mut random = fastrand::Rng::with_seed(7);
    for def in PROBES {
        let Some(mut decoder) = def.decoder.map(|make| make(&start)) else { continue };
        // The largest record has some 2 KiB; each size comes once, and small ones often.
        for size in (0..2600).chain((0..2000).map(|round| round % 160)) {
            let mut bytes: Vec<u8> = (0..size).map(|_| random.u8(..)).collect();
            if random.bool() {
                bytes.iter_mut().for_each(|byte| *byte &= 3);
            }
            let mut cx = DecodeContext::new(&entities, &symbols, &issues);
            let outcome = catch_unwind(AssertUnwindSafe(|| decoder.decode(&bytes, &mut cx)));
            assert!(outcome.is_ok(), "{} panics on {bytes:?}", def.name);
        }
    }
}
