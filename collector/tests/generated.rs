// SPDX-License-Identifier: Apache-2.0
//! Generated files are as they would be generated now. `make gen` writes them anew.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::path::Path;
use std::{env, fs};

use huatuo_otel::config::{example, reference};

fn is_current(path: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if env::var_os("UPDATE_GENERATED").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "{} is out of date; run `make gen`", path.display());
}

#[test]
fn the_example_configuration_is_current() {
    is_current("otel-config/huatuo-otel.toml", &example());
}

#[test]
fn the_reference_of_the_configuration_is_current() {
    is_current("docs/config.md", &reference());
}

#[test]
fn the_page_of_metrics_is_current() {
    is_current("docs/metrics.md", &semconv::docs::metrics());
}

#[test]
fn the_page_of_events_is_current() {
    is_current("docs/events.md", &semconv::docs::events());
}
