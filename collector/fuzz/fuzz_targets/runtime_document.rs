// SPDX-License-Identifier: Apache-2.0
//! Documents that container runtimes write: names and labels in them are their users'.
#![no_main]

use huatuo_otel::entity::runtime::{bundle, docker, stored};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(document) = serde_json::from_slice(bytes) {
        docker(&document);
        bundle(&document);
        stored(document, "c0ffee");
    }
});
