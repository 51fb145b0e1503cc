// SPDX-License-Identifier: Apache-2.0
//! Records of ring buffers.
#![no_main]

use std::sync::LazyLock;

use huatuo_otel::config::Config;
use huatuo_otel::entity::Entities;
use huatuo_otel::hostfs::HostFs;
use huatuo_otel::probes::PROBES;
use libfuzzer_sys::fuzz_target;

/// A machine without cgroups.
static NOBODY: LazyLock<Entities> =
    LazyLock::new(|| Entities::discover(&Config::default(), &HostFs::new("/nowhere")));

fuzz_target!(|bytes: &[u8]| {
    for decode in PROBES.iter().filter_map(|probe| probe.decode) {
        decode(bytes, &NOBODY);
    }
});
