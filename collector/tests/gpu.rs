// SPDX-License-Identifier: Apache-2.0
//! GPUs of MetaX and NVIDIA, of whose management libraries stand-ins are compiled (`gpu/*.c`).

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use huatuo_otel::collect::{Collector, Starter};
use huatuo_otel::config::Config;
use huatuo_otel::entity::Entities;
use huatuo_otel::export::prometheus::{Format, render};
use huatuo_otel::hostfs::HostFs;
use huatuo_otel::kernel::KernelSupport;
use huatuo_otel::probes::PROBES;
use huatuo_otel::signal::{Audience, Snapshot};
use huatuo_otel::status::{Board, ProbeState};

/// MetaX's library, with the compiler's `options`.
fn library(folder: &Path, options: &[&str]) -> PathBuf {
    compiled(folder, "mxsml", options)
}

fn compiled(folder: &Path, name: &str, options: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/gpu/{name}.c"));
    let path = folder.join(format!("lib{name}.so"));
    let mut clang = Command::new("clang");
    clang.args(["-shared", "-fPIC", "-Wall", "-o"]).arg(&path).arg(source).args(options);
    assert!(clang.status().unwrap().success(), "{clang:?}; install it with `make deps`");
    path
}

/// What the probe tells with this library, and its state with the reason.
fn collect(library: &Path) -> (Snapshot, ProbeState, String) {
    collect_of("gpu.metax", library)
}

fn collect_of(name: &str, library: &Path) -> (Snapshot, ProbeState, String) {
    let others = PROBES.iter().map(|probe| probe.name).filter(|other| *other != name);
    let mut config =
        Config { black_list: others.map(str::to_owned).collect(), ..Config::default() };
    config.metric_collector.metax_gpu.library = library.display().to_string();
    config.metric_collector.nvidia_gpu.library = library.display().to_string();
    let (config, fs) = (Arc::new(config), HostFs::new("/"));
    let support = KernelSupport::gather(&fs);
    let entities = Arc::new(Entities::discover(&config, &fs));
    let board = Arc::new(Board::default());
    let starter = Starter { config, fs, support, board: Arc::clone(&board), events: None };
    let mut collector = Collector::start(starter, entities);
    let snapshot = collector.collect(Audience::Everyone);
    let probes = board.verdicts().probes;
    let verdict = probes.into_iter().find(|verdict| verdict.probe == name).unwrap();
    (snapshot, verdict.state, verdict.reason)
}

/// Lines of the page without labels of the host, `metax_gpu_` and HELP.
fn lines(snapshot: &Snapshot) -> Vec<String> {
    let page = render(snapshot, Format::Text);
    let host = page.split("host=\"").nth(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    let host = format!("host=\"{}\",", host.unwrap_or_default());
    let lines = page.lines().filter_map(|line| line.strip_prefix("huatuo_bamai_metax_gpu_"));
    lines
        .map(|line| line.replace(&host, "").replace(",region=\"\"", "").replace("region=\"\",", ""))
        .collect()
}

#[test]
fn everything_that_the_library_tells_is_on_the_page_in_its_units() {
    let folder = tempfile::tempdir().unwrap();
    let (snapshot, state, reason) = collect(&library(folder.path(), &[]));
    assert_eq!(state, ProbeState::Attached, "{reason}");
    let lines = lines(&snapshot);
    for expected in [
        r#"sdk_info{version="2.27.0"} 1"#,
        r#"driver_info{version="2.2.9"} 1"#,
        r#"info{bdf="0000:0f:00.0",bios_version="1.19.1",die_count="2",gpu="0",mode="native",model="MXC500",uuid="GPU-5e2b1a70"} 1"#,
        r#"board_power_watts{gpu="0"} 75.5"#,
        r#"pcie_link_speed_gt_per_second{gpu="0"} 32"#,
        r#"pcie_link_width_lanes{gpu="0"} 16"#,
        r#"pcie_receive_bytes_per_second{gpu="0"} 1.1e+07"#,
        r#"pcie_transmit_bytes_per_second{gpu="0"} 1.2e+07"#,
        r#"metaxlink_link_speed_gt_per_second{gpu="0",metaxlink="2"} 25"#,
        r#"metaxlink_link_width_lanes{gpu="0",metaxlink="2"} 9"#,
        r#"metaxlink_receive_bytes_per_second{gpu="0",metaxlink="1"} 1e+08"#,
        r#"metaxlink_transmit_bytes_per_second{gpu="0",metaxlink="2"} 1.11e+08"#,
        r#"metaxlink_receive_bytes_total{gpu="0",metaxlink="2"} 1001"#,
        r#"metaxlink_transmit_bytes_total{gpu="0",metaxlink="1"} 1100"#,
        r#"metaxlink_aer_errors_total{error_type="ce",gpu="0",metaxlink="2"} 4"#,
        r#"metaxlink_aer_errors_total{error_type="ue",gpu="0",metaxlink="1"} 5"#,
        r#"status{die="0",gpu="0"} 0"#,
        r#"status{die="1",gpu="0"} 7"#,
        r#"temperature_celsius{die="1",gpu="0"} 42.5"#,
        r#"utilization_percent{die="0",gpu="0",ip="encoder"} 10"#,
        r#"utilization_percent{die="0",gpu="0",ip="decoder"} 20"#,
        r#"utilization_percent{die="1",gpu="0",ip="xcore"} 41"#,
        r#"memory_total_bytes{die="0",gpu="0"} 6.8719476736e+10"#,
        r#"memory_used_bytes{die="1",gpu="0"} 1.0496e+06"#,
        r#"clock_mhz{die="0",gpu="0",ip="xcore"} 1101"#,
        r#"clock_mhz{die="0",gpu="0",ip="memory"} 301"#,
        r#"clocks_throttling{die="0",gpu="0",reason="idle"} 1"#,
        r#"clocks_throttling{die="0",gpu="0",reason="application_limit"} 0"#,
        r#"clocks_throttling{die="0",gpu="0",reason="over_power"} 1"#,
        r#"dpm_performance_level{die="1",gpu="0",ip="xcore"} 5"#,
        r#"ecc_memory_errors_total{die="0",error_type="ce",gpu="0",memory_type="sram"} 1"#,
        r#"ecc_memory_errors_total{die="1",error_type="ue",gpu="0",memory_type="dram"} 4"#,
        r#"ecc_memory_retired_pages_total{die="0",gpu="0"} 5"#,
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected}\n{lines:#?}");
    }
    assert!(!lines.iter().any(|line| line.starts_with("clock_mhz") && line.contains("decoder")));
    let failed = snapshot.entities[0].points.iter().find(|point| {
        let is =
            |text: &str| point.attributes.iter().any(|(_, value)| value.as_str() == Some(text));
        point.metric.name == "hw.status" && is("failed")
    });
    assert!((failed.unwrap().value.as_f64() - 1.0).abs() < f64::EPSILON, "a die does not work");
}

#[test]
fn what_an_older_library_lacks_has_no_points() {
    let folder = tempfile::tempdir().unwrap();
    let (snapshot, state, _) = collect(&library(folder.path(), &["-DOLD"]));
    assert_eq!(state, ProbeState::Attached);
    let lines = lines(&snapshot);
    assert!(!lines.iter().any(|line| line.starts_with("metaxlink_link_speed")));
    assert!(lines.iter().any(|line| line.starts_with("metaxlink_receive_bytes_total")));
}

#[test]
fn without_the_library_or_its_driver_there_is_a_verdict_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (snapshot, state, reason) = collect(&folder.path().join("libmxsml.so"));
    assert_eq!((state, snapshot.entities.len()), (ProbeState::Absent, 0));
    assert!(reason.contains("is not there; it comes with the MetaX driver"), "{reason}");
    let (_, state, reason) = collect(&library(folder.path(), &["-DBROKEN"]));
    assert_eq!(state, ProbeState::Failed);
    assert!(reason.contains("mxSmlInit fails"), "{reason}");
    std::fs::write(folder.path().join("libmxsml.so"), "no library").unwrap();
    let (_, state, reason) = collect(&folder.path().join("libmxsml.so"));
    assert_eq!(state, ProbeState::Failed);
    assert!(reason.contains("libmxsml.so"), "{reason}");
}

#[test]
fn a_gpu_of_nvidia_has_the_same_metrics_and_is_not_on_the_page_as_metax() {
    let folder = tempfile::tempdir().unwrap();
    let (snapshot, state, reason) = collect_of("gpu.nvidia", &compiled(folder.path(), "nvml", &[]));
    assert_eq!(state, ProbeState::Attached, "{reason}");
    let points = &snapshot.entities[0].points;
    let told: Vec<(&str, f64)> =
        points.iter().map(|point| (point.metric.name, point.value.as_f64())).collect();
    let gib = f64::from(1 << 30);
    let expected = [
        ("hw.status", 1.0),
        ("hw.power", 350.5),
        ("hw.temperature", 61.0),
        ("hw.gpu.utilization", 0.87),
        ("hw.gpu.utilization", 0.05),
        ("hw.gpu.memory.limit", 141.0 * gib),
        ("hw.gpu.memory.usage", 3.0 * gib),
        ("hw.errors", 10.0),
        ("hw.errors", 11.0),
    ];
    assert_eq!(told, expected);
    assert!(points.iter().all(|p| p.attributes[0].1.as_str() == Some("GPU-8932f937")));
    assert_eq!(lines(&snapshot), Vec::<String>::new());
    let (_, state, reason) = collect_of("gpu.nvidia", &folder.path().join("absent.so"));
    assert_eq!(state, ProbeState::Absent, "{reason}");
}
