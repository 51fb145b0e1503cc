// SPDX-License-Identifier: Apache-2.0
//! The table of probes, the registry and the folders agree; data goes one way.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use huatuo_otel::probes::{PROBES, ProbeDef};
use semconv::{event, family, metric};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All files below `folder` with that ending.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") && !path.ends_with(".git") {
                found.extend(files(&path, ending));
            }
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found
}

#[test]
fn every_probe_has_the_file_of_its_name() {
    for def in PROBES {
        let path = root().join("collector/src/probes").join(def.name.replace('.', "/"));
        let is_there = path.with_extension("rs").exists() || path.join("mod.rs").exists();
        assert!(is_there, "{} is not in {}.rs", def.name, path.display());
    }
}

#[test]
fn names_of_probes_are_used_once() {
    let mut seen = BTreeSet::new();
    for name in PROBES.iter().flat_map(|def| def.legacy_names.iter().chain([&def.name])) {
        assert!(seen.insert(*name), "{name}");
    }
}

#[test]
fn every_bpf_program_belongs_to_a_probe_and_has_a_header() {
    for file in files(&root().join("ebpf/programs"), ".bpf.c") {
        let area = file.parent().unwrap().file_name().unwrap().to_str().unwrap();
        let stem = file.file_name().unwrap().to_str().unwrap().trim_end_matches(".bpf.c");
        let name = format!("{area}.{stem}");
        assert!(PROBES.iter().any(|def| def.name == name), "{name} is no probe");
        assert!(file.with_file_name(format!("{stem}.h")).exists(), "{stem}.h");
    }
}

#[test]
fn every_signal_has_its_probe_and_every_probe_its_signal() {
    let metrics = metric::ALL.iter().map(|def| def.probe);
    let events = event::ALL.iter().map(|def| def.probe);
    let families = family::ALL.iter().map(|def| def.probe);
    let used: BTreeSet<&str> = metrics.chain(events).chain(families).collect();
    let area = |name: &'static str| name.split('.').next().unwrap();
    // Probes of an area may share metrics.
    let of_probe = |def: &&&ProbeDef| used.contains(def.name) || used.contains(area(def.name));
    let idle: Vec<&str> = PROBES.iter().filter(|def| !of_probe(def)).map(|def| def.name).collect();
    assert!(idle.is_empty(), "{idle:?} tell nothing");
    let names = PROBES.iter().flat_map(|def| [def.name, area(def.name)]).chain(["agent"]);
    let known: BTreeSet<&str> = names.collect();
    let orphans: Vec<_> = used.difference(&known).collect();
    assert!(orphans.is_empty(), "{orphans:?} are no probes");
    for def in event::ALL {
        let probe = PROBES.iter().find(|probe| probe.name == def.probe).unwrap();
        assert!(probe.decoder.is_some(), "{} has no decoder", def.probe);
    }
}

/// Which of our modules a folder may not use.
const FORBIDDEN: [(&str, &[&str]); 10] = [
    ("probes", &["export", "server", "telemetry", "agent", "collect"]),
    ("export", &["probes", "server", "bpf", "agent"]),
    ("server", &["probes", "bpf", "agent"]),
    ("signal", &["probes", "export", "server", "bpf", "entity", "telemetry", "collect"]),
    ("entity", &["probes", "export", "server", "bpf", "telemetry", "collect", "kubelet"]),
    ("kubelet", &["probes", "export", "server", "bpf", "telemetry", "collect"]),
    ("hostfs", &["probes", "export", "server", "bpf", "entity", "telemetry", "signal"]),
    ("netlink", &["probes", "export", "server", "bpf", "entity", "telemetry", "signal"]),
    ("gpu", &["probes", "export", "server", "bpf", "entity", "telemetry", "signal"]),
    ("bpf", &["probes", "export", "server", "entity", "telemetry", "signal"]),
];

#[test]
fn data_goes_one_way() {
    let src = root().join("collector/src");
    for (folder, forbidden) in FORBIDDEN {
        // Tests follow an event to the document that is made of it.
        let is_test = |file: &PathBuf| file.ends_with("tests.rs");
        for file in files(&src.join(folder), ".rs").into_iter().filter(|file| !is_test(file)) {
            let text = fs::read_to_string(&file).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap();
            for module in forbidden {
                let used = text.contains(&format!("crate::{module}::"));
                assert!(!used, "{} uses crate::{module}", file.display());
            }
        }
    }
}

#[test]
fn foreign_libraries_stay_in_their_module() {
    let src = root().join("collector/src");
    for (library, homes) in [
        ("aya::", &["bpf"][..]),
        ("opentelemetry", &["export/otlp", "telemetry"]),
        ("axum::", &["server"]),
        ("netlink_", &["netlink"]),
        ("libloading", &["gpu"]),
        ("nvml_wrapper", &["probes/gpu"]),
        ("tonic::", &["export/otlp", "telemetry"]),
    ] {
        for file in files(&src, ".rs") {
            let text = fs::read_to_string(&file).unwrap();
            let uses = text.lines().any(|line| line.starts_with(&format!("use {library}")));
            let at_home = homes.iter().any(|home| file.starts_with(src.join(home)));
            assert!(!uses || at_home, "{} uses {library}", file.display());
        }
    }
}

#[test]
fn no_file_is_too_long_and_each_has_its_licence() {
    let root = root();
    for folder in ["semconv", "ebpf", "collector", "integration"] {
        for ending in [".rs", ".c", ".h", ".toml", ".yaml"] {
            for file in files(&root.join(folder), ending) {
                let text = fs::read_to_string(&file).unwrap();
                assert!(text.lines().count() <= 800, "{} is too long", file.display());
                let head: Vec<&str> = text.lines().take(3).collect();
                let licensed = head.iter().any(|line| line.contains("SPDX-License-Identifier: "));
                assert!(licensed, "{} has no SPDX line", file.display());
            }
        }
    }
}
