// SPDX-License-Identifier: Apache-2.0
//! The configuration: a file, and behind a NUL the lines `NAME=value` of an environment.
#![no_main]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use huatuo_otel::config::{Layers, Overrides, Source, load};
use huatuo_otel::probes::PROBES;
use libfuzzer_sys::fuzz_target;

/// The loader takes a file only.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/configuration");

static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| PROBES.iter().map(|def| def.name).collect());

fuzz_target!(
    init: {
        fs::create_dir_all(Path::new(FILE).parent().unwrap()).unwrap();
    },
    |bytes: &[u8]| {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        fs::write(FILE, &bytes[..end]).unwrap();
        let variables = String::from_utf8_lossy(bytes.get(end + 1..).unwrap_or_default());
        let env = |name: &str| {
            let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_owned());
            variables.lines().find_map(value)
        };
        let source = Source::File(FILE.into());
        let layers =
            Layers { source, env: &env, overrides: Overrides::default(), probes: NAMES.clone() };
        match load(&layers) {
            Ok(loaded) => assert!(!loaded.render().is_empty()),
            Err(errors) => assert!(!errors.0.is_empty()),
        }
    }
);
