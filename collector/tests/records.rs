// SPDX-License-Identifier: Apache-2.0
//! Records of any bytes cost themselves only: what the fuzz target does for longer.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use huatuo_otel::config::Config;
use huatuo_otel::entity::Entities;
use huatuo_otel::hostfs::HostFs;
use huatuo_otel::kernel::{KernelSupport, Symbols};
use huatuo_otel::probes::{DecodeContext, KnownIssues, PROBES, StartContext};

/// Runs a round with each decoder, on a machine without containers whose devices are all watched.
fn with_each(mut round: impl FnMut(&mut dyn FnMut(&[u8]))) {
    let (mut config, fs) = (Config::default(), HostFs::new("/nowhere"));
    config.event_tracing.netdev.device_list = vec![".*".to_owned()];
    let entities = Entities::discover(&config, &fs);
    let (symbols, issues) = (Symbols::default(), KnownIssues::default());
    let support = KernelSupport::gather(&fs);
    let start = StartContext { config: &config, fs: &fs, support: &support, types: None };
    for def in PROBES {
        let Some(mut decoder) = def.decoder.map(|make| make(&start)) else { continue };
        round(&mut |bytes| {
            let mut cx = DecodeContext::new(&entities, &symbols, &issues);
            let outcome = catch_unwind(AssertUnwindSafe(|| decoder.decode(bytes, &mut cx)));
            assert!(outcome.is_ok(), "{} panics on {bytes:?}", def.name);
        });
    }
}

#[test]
fn no_record_makes_a_decoder_panic() {
    let mut random = fastrand::Rng::with_seed(7);
    with_each(|decode| {
        // The largest record has some 2 KiB; each size comes once, and small ones often.
        for size in (0..2600).chain((0..2000).map(|round| round % 160)) {
            let mut bytes: Vec<u8> = (0..size).map(|_| random.u8(..)).collect();
            if random.bool() {
                bytes.iter_mut().for_each(|byte| *byte &= 3);
            }
            decode(&bytes);
        }
    });
}

/// Only a record of its whole size is looked into.
#[test]
fn no_byte_that_is_wrong_in_a_record_makes_a_decoder_panic() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/kernel_record");
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(seeds.len() > PROBES.iter().filter(|def| def.decoder.is_some()).count());
    let mut random = fastrand::Rng::with_seed(7);
    with_each(|decode| {
        for seed in &seeds {
            for round in 0..200 {
                let mut bytes = seed.clone();
                for _ in 0..round % 8 {
                    let at = random.usize(..bytes.len());
                    bytes[at] = random.u8(..);
                }
                decode(&bytes);
            }
        }
    });
}
