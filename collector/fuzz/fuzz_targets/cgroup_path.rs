// SPDX-License-Identifier: Apache-2.0
//! Paths of cgroups: any process that may make cgroups chooses their names.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use huatuo_otel::entity::container_at;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new(OsStr::from_bytes(bytes));
    if let Some(name) = container_at(path) {
        assert!(!name.id.is_empty() && !name.id.contains('/'));
        let pod = name.pod.map(|pod| pod.uid);
        assert!(pod.is_none_or(|uid| (32..=36).contains(&uid.len())));
    }
});
